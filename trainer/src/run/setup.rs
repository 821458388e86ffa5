//! What a config means for the network, the data and the loss.

use clothseg::Taxonomy;
use clothseg::spec::{Fit, InputSpec, ModelSpec, OutputSpec};

use crate::config::{AugmentConfig, CloseUpConfig, Config, ExportConfig, ParseLossError};
use crate::data::augment::{CloseUp, ColorJitter, Erasing, FocusJitter};
use crate::data::{Augmentation, Frame};
use crate::error::Result;
use crate::loss::Loss;
use crate::model::{NetworkConfig, pretrained};

impl Config {
    /// The loss.
    pub fn loss(&self) -> std::result::Result<Loss, ParseLossError> {
        self.loss.loss()
    }

    /// The network's sizes for `classes` classes.
    pub fn network(&self, classes: usize) -> NetworkConfig {
        NetworkConfig {
            architecture: self.model.network,
            classes,
            width: self.model.width,
            output_stride: self.model.output_stride,
            decoder: self.model.decoder(),
            dropout: self.model.dropout,
        }
    }

    /// What the network gets in training.
    pub fn input_spec(&self) -> InputSpec {
        let fit = self.input.fit(self.model.network.input_multiple());
        if self.model.pretrained { pretrained::input_spec(fit) } else { InputSpec::imagenet(fit) }
    }

    /// The description of the exported model.
    pub fn model_spec(&self) -> Result<ModelSpec> {
        let ExportConfig { longest_side, stretch, tta_long_side, cleanup, small_regions } = self.export;
        let mut output = OutputSpec::logits(self.model.output_stride);
        (output.cleanup, output.small_regions) = (cleanup, small_regions);
        let mut input = self.input_spec();
        if let (Some(side), Fit::LongestSide { size, .. }) = (longest_side, &mut input.fit) {
            *size = side;
        }
        if let Some([width, height]) = stretch {
            input.fit = Fit::Stretch { width, height };
        }
        input.tta_long_side = tta_long_side;
        Ok(ModelSpec::new(self.name.clone(), self.target()?.taxonomy, input, output))
    }

    /// The frame of training crops.
    pub fn frame(&self) -> Frame {
        let [width, height] = self.input.crop;
        Frame { width, height, output_stride: self.model.output_stride, pad: self.input_spec().pad }
    }

    /// How examples vary.
    ///
    /// # Errors
    /// Where the taxonomy or a class of close-ups is unknown, which [`Config::open`] refuses.
    pub fn augmentation(&self) -> Result<Augmentation> {
        Ok(self.augment.augmentation(self.input_spec().fit, &self.target()?.taxonomy)?)
    }
}

impl AugmentConfig {
    /// How examples vary that inference fits as `fit` says, of the classes of `taxonomy`.
    fn augmentation(&self, fit: Fit, taxonomy: &Taxonomy) -> clothseg::Result<Augmentation> {
        let close_up = |config: &CloseUpConfig| {
            let classes = taxonomy.resolve_all(&config.classes)?;
            let classes = classes.into_iter().filter_map(|class| u8::try_from(class).ok()).collect();
            Ok(CloseUp { share: config.share, classes, scale: (config.scale[0], config.scale[1]) })
        };
        Ok(Augmentation {
            fit,
            scale: (self.scale[0], self.scale[1]),
            aspect_jitter: self.aspect_jitter,
            flip: self.flip,
            rotation_degrees: self.rotation_degrees,
            color: ColorJitter {
                brightness: self.brightness,
                contrast: self.contrast,
                saturation: self.saturation,
                hue_degrees: self.hue_degrees,
                channel_gain: self.channel_gain,
                greyscale: self.greyscale,
            },
            erasing: Erasing { probability: self.erase, largest_share: self.erase_share },
            mosaic: self.mosaic,
            close_ups: self.close_up.iter().map(close_up).collect::<clothseg::Result<_>>()?,
            focus: FocusJitter {
                blur: self.blur,
                sharpen: self.sharpen,
                sigma_px: (self.focus_px[0], self.focus_px[1]),
            },
        })
    }
}
