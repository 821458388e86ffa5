//! The weights of an earlier run as the start of another: at another size, on other data, with another loss, and with
//! other classes too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use serde_json::{Value, json};

use super::RunFolder;
use crate::checkpoint::Checkpoint;
use crate::config::{Config, names};
use crate::device::cpu;
use crate::error::{Error, Result};
use crate::model::Network;

/// The field of every network that makes logits out of features.
const CLASSIFIER: &str = "classifier";

/// An earlier run's weights: the best checkpoint's, or the last one's where no epoch was finished.
pub struct EarlierWeights {
    checkpoint: PathBuf,
    /// Values by the names of the fields down to them. Without the classifier's where the classes are others.
    values: BTreeMap<String, TensorData>,
    /// What the earlier run was: its name, data and steps, and what it had started from.
    facts: Value,
}

impl EarlierWeights {
    /// Reads those of the run in folder `run` for one by `config`, which must have a network of the same kind that sees
    /// photos in the same way.
    pub fn open(run: &Path, config: &Config) -> Result<Self> {
        let fail = |cause: String| Error::Run { path: run.to_path_buf(), cause };
        let folder = RunFolder::at(run);
        let checkpoint = folder
            .best_or_last()
            .ok_or_else(|| fail("holds no checkpoint to start from (model.start_from)".to_owned()))?;
        let earlier = Config::open(&folder.config())?;
        if earlier.model.network != config.model.network || earlier.model.width != config.model.width {
            let [had, wanted] = [&earlier, config]
                .map(|config| format!("{} of width {}", config.model.network.name(), config.model.width));
            return Err(fail(format!("is of the network {had}, and {wanted} cannot start from it (model.start_from)")));
        }
        let levels = |config: &Config| {
            let input = config.input_spec();
            (input.mean, input.std)
        };
        if levels(&earlier) != levels(config) {
            let pretrained = earlier.model.pretrained;
            return Err(fail(format!(
                "normalises photos in another way; say pretrained = {pretrained} in [model] as it did, to start from it"
            )));
        }
        let classes = earlier.target()?.classes();
        let network = earlier.network(classes).init(&cpu(), earlier.seed);
        let opened = Checkpoint::open(&checkpoint)?;
        let network = opened.load_model(&checkpoint, network)?;
        let mut collect = Collect { module: Vec::new(), values: BTreeMap::new() };
        network.visit(&mut collect);
        let mut values = collect.values;
        if earlier.taxonomy != config.taxonomy {
            values.retain(|name, _| !name.split('.').any(|field| field == CLASSIFIER));
        }
        let facts = json!({
            "name": earlier.name,
            "trained_on": names(&earlier.data.train),
            "steps": opened.state.step,
            "started_from": folder.read_start()?,
        });
        Ok(Self { checkpoint, values, facts })
    }

    /// What the earlier run was, for the descriptions of models that come from it.
    pub fn facts(&self) -> &Value {
        &self.facts
    }

    /// Puts them into a network, and leaves as it is what they have no tensor of the same name and shape for: the
    /// classifier of other classes, the stages of a decoder that goes further.
    pub fn load_into(&self, network: Network) -> Network {
        let mut place = Place { module: Vec::new(), values: &self.values, taken: 0, fresh: Vec::new() };
        let network = network.map(&mut place);
        let fresh = match place.fresh.is_empty() {
            true => String::new(),
            false => format!("; fresh: {}", place.fresh.join(", ")),
        };
        tracing::info!("weights: {} tensors of {}{fresh}", place.taken, self.checkpoint.display());
        network
    }
}

/// Reads all values of a network.
struct Collect {
    module: Vec<String>,
    values: BTreeMap<String, TensorData>,
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
    values: &'a BTreeMap<String, TensorData>,
    taken: usize,
    /// Names of what stayed.
    fresh: Vec<String>,
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
            self.fresh.push(name);
            return param;
        };
        self.taken += 1;
        let trains = param.is_require_grad();
        param.map(|old| Tensor::from_data(values.clone(), &old.device())).set_require_grad(trains)
    }
}
