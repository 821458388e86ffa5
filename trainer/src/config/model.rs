//! Table `[model]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    Architecture, Checked, Context, DecoderConfig, Initialization, LiteVariant, MOST_STAGES, Upsampling, ensure,
};

/// Table `[model]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The network.
    pub network: Architecture,
    /// Factor on all channels.
    pub width: f64,
    /// Whether the encoder starts with the weights that `ci/weights` fetches. Only `unet-lite0`, `-lite1` and `-lite2` of
    /// width 1.
    #[serde(default)]
    pub pretrained: bool,
    /// Folder of an earlier run, or a file that `export` wrote, relative to the working folder, whose weights the run starts
    /// with: all that have the same name and shape in both networks, but for the classifier's where the classes are others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_from: Option<PathBuf>,
    /// Stride of the logits: 1, 2 or 4.
    pub output_stride: u32,
    /// How the decoder upsamples.
    #[serde(default)]
    pub upsampling: Upsampling,
    /// Channels of a light decoder's stages at width 1, the deepest first, instead of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decoder_channels: Vec<usize>,
    /// 3 x 3 convolutions in each stage of a light decoder.
    #[serde(default = "two")]
    pub decoder_convolutions: usize,
    /// How a light decoder's weights start.
    #[serde(default)]
    pub initialization: Initialization,
    /// What a light decoder is told of the whole photo.
    #[serde(default)]
    pub context: Context,
    /// Whether a head tells which classes the photo shows, and its log probabilities are added to the logits.
    #[serde(default)]
    pub presence: bool,
    /// Dropout at the deepest features.
    #[serde(default = "half")]
    pub dropout: f64,
}

impl ModelConfig {
    /// The encoder whose ImageNet weights the network starts with, where it starts with any.
    pub fn pretrained_variant(&self) -> Option<LiteVariant> {
        self.network.lite_variant().filter(|_| self.pretrained)
    }

    pub(crate) fn decoder(&self) -> DecoderConfig {
        DecoderConfig {
            upsampling: self.upsampling,
            channels: self.decoder_channels.clone(),
            convolutions: self.decoder_convolutions,
            initialization: self.initialization,
            context: self.context,
            presence: self.presence,
        }
    }

    pub(super) fn check(&self) -> Checked {
        let name = self.network.name();
        let strides = self.network.output_strides();
        let cause = format!("must be one of {strides:?} for {name}");
        ensure(strides.contains(&self.output_stride), "model.output_stride", &cause)?;
        ensure(self.width > 0.0 && self.width <= 4.0, "model.width", "must be above 0, and at most 4")?;
        let has_weights = self.network.lite_variant().is_some() && self.width == 1.0;
        let cause = "is possible only for the networks unet-lite0, unet-lite1 and unet-lite2 at width 1";
        ensure(has_weights || !self.pretrained, "model.pretrained", cause)?;
        ensure((0.0..1.0).contains(&self.dropout), "model.dropout", "must be 0 or more and below 1")?;
        let channels = &self.decoder_channels;
        let cause = format!("must be a list of 1 to {MOST_STAGES} numbers of channels, each 1 to 1024");
        let fits = channels.len() <= MOST_STAGES && channels.iter().all(|channels| (1..=1024).contains(channels));
        ensure(fits, "model.decoder_channels", &cause)?;
        ensure((1..=4).contains(&self.decoder_convolutions), "model.decoder_convolutions", "must be 1 to 4")?;
        let plain =
            DecoderConfig { upsampling: self.upsampling, initialization: self.initialization, ..Default::default() };
        let cause = format!(
            "has no light decoder: decoder_channels, decoder_convolutions, context and presence do nothing for {name}"
        );
        ensure(self.network.has_light_decoder() || self.decoder() == plain, "model.network", &cause)
    }
}

fn two() -> usize {
    2
}

fn half() -> f64 {
    0.5
}
