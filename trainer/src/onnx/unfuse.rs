//! Batch norms out of convolutions that took them in.
//!
//! A file holds `w' = gamma w / sigma` and `b' = beta - gamma mean / sigma`, and of these numbers `w'` and `b'` are all that
//! is left. But batch norm undoes any scale of the weights in front of it, so that `w` may be chosen; what then comes to the
//! norm from photos gives its mean and deviation, and `gamma` and `beta` follow. The network answers as the file does, and in
//! training, where norms go by the batch, it begins close to it.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData};

use super::FoldedConvolution;
use crate::device::cpu;
use crate::error::Result;
use crate::model::values::{Values, place};
use crate::model::{Network, Pass, Survey};

/// Norm of the weights of a channel out: that of fresh ones ([`Initialization::Pytorch`](crate::model::Initialization)), the
/// root of a third, so that the learning rate means the same.
const CHANNEL_NORM: f64 = 0.577_350_269_189_625_8;

/// A convolution of a network and what belongs to it, by the names of the fields down to them.
#[derive(Debug)]
struct Layer {
    weight: String,
    id: ParamId,
    shape: Vec<usize>,
    bias: Option<String>,
    norm: Option<Norm>,
}

#[derive(Debug)]
struct Norm {
    name: String,
    gamma: ParamId,
}

impl Norm {
    fn values(&self, [gamma, beta, mean, variance]: [Vec<f32>; 4]) -> impl Iterator<Item = (String, TensorData)> {
        [("gamma", gamma), ("beta", beta), ("running_mean", mean), ("running_variance", variance)]
            .map(|(field, values)| (format!("{}.{field}", self.name), vector(values)))
            .into_iter()
    }
}

fn vector(values: Vec<f32>) -> TensorData {
    let length = values.len();
    TensorData::new(values, [length])
}

/// The convolutions of a network, in the order in which they run, which `survey` knows; that is not everywhere the order of
/// the fields.
fn layers(network: &Network, survey: &Survey) -> Vec<Layer> {
    #[derive(Default)]
    struct Names {
        module: Vec<String>,
        parameters: Vec<(String, Vec<usize>, ParamId)>,
    }
    impl ModuleVisitor for Names {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.module.push(name.to_owned());
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.module.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.parameters.push((self.module.join("."), param.val().dims().to_vec(), param.id));
        }
    }
    let mut names = Names::default();
    network.visit(&mut names);
    let ids: BTreeMap<&str, ParamId> = names.parameters.iter().map(|(name, _, id)| (name.as_str(), *id)).collect();
    let layer = |(name, shape, id): &(String, Vec<usize>, ParamId)| {
        let convolution = name.strip_suffix(".weight")?;
        let bias = Some(format!("{convolution}.bias")).filter(|bias| ids.contains_key(bias.as_str()));
        let norm = convolution.strip_suffix(".conv").and_then(|block| {
            let name = format!("{block}.norm");
            let gamma = *ids.get(format!("{name}.gamma").as_str())?;
            Some(Norm { name, gamma })
        });
        Some(Layer { weight: name.clone(), id: *id, shape: shape.clone(), bias, norm })
    };
    let mut layers: Vec<Layer> = names.parameters.iter().filter_map(layer).collect();
    // What the survey does not know is the classifier, which runs last.
    let position = |layer: &Layer| survey.position(layer.norm.as_ref().map_or(layer.id, |norm| norm.gamma));
    layers.sort_by_key(|layer| position(layer).unwrap_or(usize::MAX));
    layers
}

/// A file's convolutions by the names of their weights in a network.
pub(crate) type Named = BTreeMap<String, FoldedConvolution>;

/// Puts a file's convolutions into a network. `pictures` are batches of normalised photos, `(N, 3, H, W)`, such as it will be
/// trained on. Layers that are not named stay as they are.
pub(crate) fn unfuse(
    network: Network,
    convolutions: &Named,
    pictures: impl IntoIterator<Item = Result<Tensor<4>>>,
) -> Result<Network> {
    let norms = norms(&network);
    let layers = layers(&network, &norms);
    let pairs = || layers.iter().filter_map(|layer| Some((layer, convolutions.get(&layer.weight)?)));
    let network = place(network, &answering(pairs(), &norms)).0;
    let mut survey = Survey::default();
    for pictures in pictures {
        survey = survey.join(look(&network, pictures?));
    }
    Ok(place(network, &surveyed(pairs(), &survey)).0)
}

/// What the norms become by what came to them.
fn surveyed<'a>(pairs: impl Iterator<Item = (&'a Layer, &'a FoldedConvolution)>, survey: &Survey) -> Values {
    let mut values = Values::new();
    for (layer, convolution) in pairs {
        let norm = layer.norm.as_ref().and_then(|norm| Some((norm, survey.of(norm.gamma)?)));
        let Some((norm, seen)) = norm else { continue };
        let channels = factors(convolution).into_iter().zip(&convolution.bias).zip(seen.statistics());
        let mut fields: [Vec<f32>; 4] = Default::default();
        for ((factor, bias), [mean, variance]) in channels {
            let gamma = (variance + seen.epsilon).sqrt() / factor;
            let beta = f64::from(*bias) + mean / factor;
            for (field, value) in fields.iter_mut().zip([gamma, beta, mean, variance]) {
                field.push(value as f32);
            }
        }
        values.extend(norm.values(fields));
    }
    values
}

/// The weights as the file has them but for their scale, which the norm undoes: the answers are the file's for norms that add
/// these `epsilons`.
fn answering<'a>(pairs: impl Iterator<Item = (&'a Layer, &'a FoldedConvolution)>, epsilons: &Survey) -> Values {
    let mut values = Values::new();
    for (layer, convolution) in pairs {
        let factors = match layer.norm {
            Some(_) => factors(convolution),
            None => vec![1.0; convolution.bias.len()],
        };
        let each = (convolution.weight.len() / factors.len().max(1)).max(1);
        let channels = convolution.weight.chunks(each).zip(&factors);
        let scaled = channels
            .flat_map(|(channel, factor)| channel.iter().map(move |value| (f64::from(*value) * factor) as f32))
            .collect();
        values.insert(layer.weight.clone(), TensorData::new(scaled, convolution.shape.clone()));
        let Some(norm) = &layer.norm else {
            values.extend(layer.bias.iter().map(|name| (name.clone(), vector(convolution.bias.clone()))));
            continue;
        };
        #[expect(clippy::expect_used, reason = "a forward pass goes through every norm of a network")]
        let epsilon = epsilons.of(norm.gamma).expect("the survey has seen every norm").epsilon;
        let channels = factors.len();
        let gamma = factors.iter().map(|factor| (1.0 / factor) as f32).collect();
        let variance = vec![(1.0 - epsilon) as f32; channels];
        values.extend(norm.values([gamma, convolution.bias.clone(), vec![0.0; channels], variance]));
    }
    values
}

/// What each channel's weights are multiplied by.
fn factors(convolution: &FoldedConvolution) -> Vec<f64> {
    let each = (convolution.weight.len() / convolution.bias.len().max(1)).max(1);
    let norm = |channel: &[f32]| channel.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let factor = |channel| Some(CHANNEL_NORM / norm(channel)).filter(|factor| *factor < 1e6).unwrap_or(1.0);
    convolution.weight.chunks(each).map(factor).collect()
}

/// The norms in the order in which they run, and what each adds to variances, which is known to nobody but itself.
fn norms(network: &Network) -> Survey {
    let device = network.valid().devices().first().cloned().unwrap_or_else(cpu);
    look(network, Tensor::zeros([1, 3, 64, 64], &device))
}

/// What comes to the norms from `pictures`.
fn look(network: &Network, pictures: Tensor<4>) -> Survey {
    let mut pass = Pass::survey();
    network.valid().forward(pictures, &mut pass);
    pass.into_survey()
}

/// Names a file's convolutions, which must be those of `network` in the order in which they run, by their weights there. Of
/// the parts that a file `may_lack`, by the names of their fields, as many are left out in this order as it has fewer. `fit` changes a convolution before it is
/// compared.
/// Fails with what is different.
pub(crate) fn name(
    network: &Network,
    convolutions: Vec<FoldedConvolution>,
    may_lack: &[&str],
    fit: impl Fn(&str, FoldedConvolution) -> FoldedConvolution,
) -> std::result::Result<Named, String> {
    let mut layers = layers(network, &norms(network));
    let all = layers.len();
    for part in may_lack {
        if layers.len() > convolutions.len() {
            layers.retain(|layer| !layer.weight.split('.').any(|field| field == *part));
        }
    }
    if layers.len() != convolutions.len() {
        return Err(format!("has {} convolutions, not {all}", convolutions.len()));
    }
    let mut named = Named::new();
    for (index, (layer, found)) in layers.into_iter().zip(convolutions).enumerate() {
        let found = fit(&layer.weight, found);
        if layer.shape != found.shape {
            let (had, wanted) = (&found.shape, &layer.shape);
            return Err(format!("has weights of shape {had:?} in convolution {}, not {wanted:?}", index + 1));
        }
        named.insert(layer.weight, found);
    }
    Ok(named)
}
