//! What a model expects and returns.

mod check;
mod file;
mod hugging_face;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::taxonomy::Taxonomy;
pub(crate) use file::read_model;

/// Version of the description that this crate writes and reads.
pub const SPEC_VERSION: u32 = 1;

/// Key of the description in the metadata of an ONNX file.
pub const METADATA_KEY: &str = "clothseg.spec";

/// What a model expects and returns, beside its weights: JSON in the metadata of the ONNX file (key [`METADATA_KEY`]), or, for
/// a model made elsewhere, a file `NAME.json` beside `NAME.onnx`, one of any name
/// ([`Model::open_as`](crate::Model::open_as)), or the `config.json` and `preprocessor_config.json` of a Hugging Face folder.
///
/// Fields that this version does not know are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelSpec {
    /// Version of the description, [`SPEC_VERSION`].
    pub version: u32,
    /// Name of the model.
    pub name: String,
    /// Classes in channel order (0 = background) and groups of them.
    #[serde(flatten)]
    pub taxonomy: Taxonomy,
    /// What goes in.
    pub input: InputSpec,
    /// What comes out.
    pub output: OutputSpec,
    /// Free facts on how the model was made: data, metrics, licence, date.
    #[serde(default)]
    pub training: Map<String, Value>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The input tensor: N x 3 x H x W, value = (pixel / 255 - mean) / std. Numbers are float32, or whatever the graph declares:
/// float16, or uint8, which is pixels as they are (`mean` 0 and `std` 1 or 1/255).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InputSpec {
    /// Name of the input in the graph; empty, or left out, for whatever name the graph's one input has.
    #[serde(default)]
    pub name: String,
    /// Order of the axes; where it is left out, what the graph declares, else N x 3 x H x W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Channel order.
    pub color: ColorOrder,
    /// Mean a channel, in 0..1 units, in the order of `color`.
    pub mean: [f32; 3],
    /// Standard deviation a channel, in 0..1 units, in the order of `color`. A network that takes pixels of 0..255 has
    /// 1/255 here.
    pub std: [f32; 3],
    /// How a photo is brought to the network's size.
    pub fit: Fit,
    /// Longest side, in pixels, of the second size in test-time augmentation ([`Quality::Best`](crate::Quality::Best)), where
    /// `fit` is [`Fit::LongestSide`] and the model has been found to gain from it. Smaller photos are not upsampled for it.
    /// Without it there is one size. Earlier descriptions call it `larger_side`.
    #[serde(default, alias = "larger_side", skip_serializing_if = "Option::is_none")]
    pub tta_long_side: Option<u32>,
    /// Colour of the padding, red, green, blue; the mean where it is left out.
    #[serde(default)]
    pub pad: [u8; 3],
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Order of the axes of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Layout {
    /// Photos, channels, rows, columns, as PyTorch has them.
    #[serde(alias = "NCHW")]
    Nchw,
    /// Photos, rows, columns, channels, as TensorFlow has them.
    #[serde(alias = "NHWC")]
    Nhwc,
}

/// Channel order of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ColorOrder {
    /// Red, green, blue.
    #[serde(alias = "RGB")]
    Rgb,
    /// Blue, green, red, as OpenCV reads photos.
    #[serde(alias = "BGR")]
    Bgr,
}

impl ColorOrder {
    /// For each channel of the input the channel of the photo, where red is 0.
    pub(crate) fn channels(self) -> [usize; 3] {
        match self {
            Self::Rgb => [0, 1, 2],
            Self::Bgr => [2, 1, 0],
        }
    }
}

/// How a photo is brought to the network's size. Sampling has half-pixel centres (align_corners = false).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// To exactly this size; the aspect ratio is not kept.
    Stretch {
        /// Width of the input in pixels.
        width: u32,
        /// Height of the input in pixels.
        height: u32,
    },
    /// The longest side becomes `size`, the aspect ratio is kept, and the right and the bottom are padded until both
    /// sides are multiples of `multiple`.
    LongestSide {
        /// Longest side in pixels.
        size: u32,
        /// What both sides of the tensor are multiples of.
        multiple: u32,
    },
}

/// The output tensor: N x classes x H/stride x W/stride. A model of two classes may have one channel, of the second class, or no
/// axis of channels at all. Numbers are float32 or float16; of a class map whole numbers of any size, too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutputSpec {
    /// Name of the output in the graph; empty, or left out, for the graph's first one. Other outputs are not asked for.
    #[serde(default)]
    pub name: String,
    /// What the numbers are.
    pub kind: OutputKind,
    /// Order of the axes; where it is left out, what the graph declares, else N x classes x H x W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Of a model with one channel: how likely the class must be to win, above 0 and below 1; one half where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// Input pixels for each output cell, a side. Where it is 0 or left out it is found when the model is opened.
    #[serde(default)]
    pub stride: u32,
    /// How small and doubtful areas are merged into their neighbours; not at all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<Cleanup>,
    /// The clean-up of older models, used where there is no `cleanup`. Earlier descriptions call it `settling`.
    #[serde(default, alias = "settling", skip_serializing_if = "Option::is_none")]
    pub small_regions: Option<SmallRegions>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// When two connected areas of cells become one, of the class that has more probability in both together: where that loses
/// less, summed over their cells, than these numbers allow. Found by measurement, model by model. All 0 changes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Cleanup {
    /// Probability, in per cent of a cell's, for each cell edge of the border between the two.
    pub border_percent: u32,
    /// Between two garments besides: probability, in per cent, for each cell of the smaller area.
    pub merge_percent: u32,
    /// Garments that cover less of the photo, in millionths, go to their neighbours.
    pub least_ppm: u32,
}

/// Which connected regions of cells are merged into the neighbour with the longest shared border. The values are found by
/// measurement for each model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SmallRegions {
    /// Regions smaller than this, in square pixels of the network's input. Earlier descriptions call it `speck_px`.
    #[serde(alias = "speck_px")]
    pub min_area_px: u32,
    /// Garments beside a larger garment whose mean probability over the region is at least this share of the region's own,
    /// in per cent, 1 to 100; without it none. Earlier descriptions call it `likeness_percent`.
    #[serde(default, alias = "likeness_percent", skip_serializing_if = "Option::is_none")]
    pub merge_threshold_percent: Option<u32>,
}

impl Cleanup {
    /// From its three numbers, in the order of the fields.
    pub fn new(border_percent: u32, merge_percent: u32, least_ppm: u32) -> Self {
        Self { border_percent, merge_percent, least_ppm }
    }

    /// The first number that makes no sense, as `key value must be ...`.
    pub fn fault(&self) -> Option<String> {
        let Self { border_percent, merge_percent, least_ppm } = *self;
        [
            ("border_percent", border_percent, 1000),
            ("merge_percent", merge_percent, 100),
            ("least_ppm", least_ppm, 100_000),
        ]
        .into_iter()
        .find(|(_, value, most)| value > most)
        .map(|(key, value, most)| format!("{key} {value} must be at most {most}"))
    }
}

impl SmallRegions {
    /// The first number that makes no sense, as `key value must be ...`.
    pub fn fault(&self) -> Option<String> {
        let percent = self.merge_threshold_percent.filter(|percent| !(1..=100).contains(percent))?;
        Some(format!("merge_threshold_percent {percent} must be 1 to 100"))
    }
}

/// What the numbers of an output are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OutputKind {
    /// Unbounded scores; softmax over the classes gives probabilities. Log-probabilities are such scores too, and may be
    /// written as `log-probabilities`: softmax gives back the probabilities that they are of.
    #[serde(alias = "log-probabilities")]
    Logits,
    /// Probabilities already: of one class or another (softmax), or of each class by itself (sigmoid).
    #[serde(alias = "sigmoid", alias = "softmax")]
    Probabilities,
    /// The index of the winning class: N x H/stride x W/stride, or with one channel. An opened model gives it as probabilities
    /// of 0 and 1.
    #[serde(alias = "argmax", alias = "labels")]
    ClassMap,
}

impl InputSpec {
    /// RGB with ImageNet's mean and deviation, padded with the mean colour, input name `input`.
    pub fn imagenet(fit: Fit) -> Self {
        Self {
            name: "input".into(),
            layout: None,
            color: ColorOrder::Rgb,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            fit,
            tta_long_side: None,
            pad: [124, 116, 104],
            extra: Map::new(),
        }
    }

    /// With this mean and standard deviation a channel, in 0..1 units, and padded with the mean colour.
    pub fn with_normalization(mut self, mean: [f32; 3], std: [f32; 3]) -> Self {
        (self.mean, self.std) = (mean, std);
        self.pad = check::mean_color(&self);
        self
    }
}

impl InputSpec {
    /// How a photo is brought to the second, larger size of test-time augmentation ([`Quality::Best`](crate::Quality::Best)).
    pub fn tta_fit(&self) -> Option<Fit> {
        match (self.fit, self.tta_long_side) {
            (Fit::LongestSide { multiple, .. }, Some(size)) => Some(Fit::LongestSide { size, multiple }),
            _ => None,
        }
    }

    /// The fit with the largest inputs.
    pub fn largest_fit(&self) -> Fit {
        self.tta_fit().unwrap_or(self.fit)
    }
}

impl OutputSpec {
    /// Logits at `stride` under the name `logits`.
    pub fn logits(stride: u32) -> Self {
        Self {
            name: "logits".into(),
            kind: OutputKind::Logits,
            layout: None,
            threshold: None,
            stride,
            cleanup: None,
            small_regions: None,
            extra: Map::new(),
        }
    }
}

impl ModelSpec {
    /// A description of the current version without training facts.
    pub fn new(name: impl Into<String>, taxonomy: Taxonomy, input: InputSpec, output: OutputSpec) -> Self {
        Self {
            version: SPEC_VERSION,
            name: name.into(),
            taxonomy,
            input,
            output,
            training: Map::new(),
            extra: Map::new(),
        }
    }
}

#[cfg(test)]
mod tests;
