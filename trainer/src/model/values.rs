//! The values of a network by the names of its fields.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use super::Network;

/// Values by the names of the fields down to them.
pub(crate) type Values = BTreeMap<String, TensorData>;

/// All values of a network.
pub(crate) fn read(network: &Network) -> Values {
    let mut collect = Collect { module: Vec::new(), values: Values::new() };
    network.visit(&mut collect);
    collect.values
}

/// Puts values into the parameters of their names, where the shapes agree.
pub(crate) fn place(network: Network, values: &Values) -> (Network, Placed) {
    let mut place = Place { module: Vec::new(), values, placed: Placed::default() };
    let network = network.map(&mut place);
    (network, place.placed)
}

/// What became of a network's parameters.
#[derive(Default)]
pub(crate) struct Placed {
    /// Parameters that were given.
    pub taken: usize,
    /// Names of what stayed.
    pub fresh: Vec<String>,
}

/// Reads all values of a network.
struct Collect {
    module: Vec<String>,
    values: Values,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.module.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.module.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.values.insert(self.module.join("."), param.val().into_data());
    }
}

/// Writes values into a network.
struct Place<'a> {
    module: Vec<String>,
    values: &'a Values,
    placed: Placed,
}

impl ModuleMapper for Place<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.module.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.module.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.module.join(".");
        let shape = param.val().dims();
        let Some(values) = self.values.get(&name).filter(|values| values.shape()[..] == shape[..]) else {
            self.placed.fresh.push(name);
            return param;
        };
        self.placed.taken += 1;
        let trains = param.is_require_grad();
        param.map(|old| Tensor::from_data(values.clone(), &old.device())).set_require_grad(trains)
    }
}
