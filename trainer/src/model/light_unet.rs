//! A U-Net with a light decoder, on EfficientNet-Lite or VGG16, for speed on a CPU. The study's own is [`super::unet`].
//!
//! Two things differ from that one: the decoder may stop before full size ([`LightUNetConfig::output_stride`]; the
//! runtime upsamples the logits), and the channels are reduced by a 1 x 1 convolution *before* they are upsampled (a
//! convolution afterwards costs four times as much). Between the encoder and the decoder the whole photo may be looked at
//! ([`super::whole_view`]).

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::blocks::{Conv, ConvConfig, ConvNorm, conv_row, forward_row, scaled};
use super::efficientnet_lite::{EfficientNetLite, EfficientNetLiteConfig};
use super::network::Prediction;
use super::pass::Pass;
use super::vgg::{VggEncoder, VggEncoderConfig};
use super::whole_view::WholeView;
use crate::config::{DecoderConfig, LiteVariant, Upsampling};
use clothseg_kernels::{Activation, join_nearest, resize_bilinear};

/// Channels of the decoder's stages on VGG16 at width 1, from stride 8 to stride 1.
const VGG_DECODER: [usize; 4] = [512, 256, 128, 64];
/// Channels of the decoder's stages on EfficientNet-Lite at width 1, from stride 16 to stride 1.
const LITE_DECODER: [usize; 5] = [128, 64, 48, 32, 16];

/// What a [`LightUNet`] stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LightEncoder {
    /// [`VggEncoder`]: maps of stride 1 to 16.
    Vgg16,
    /// [`EfficientNetLite`]: maps of stride 2 to 32.
    EfficientNetLite(LiteVariant),
}

/// Sizes of a [`LightUNet`].
#[derive(Clone, Debug)]
pub struct LightUNetConfig {
    /// What comes before the decoder.
    pub encoder: LightEncoder,
    /// Number of classes, background included: the channels of the logits.
    pub classes: usize,
    /// Factor on all channels of encoder and decoder.
    pub width: f64,
    /// Stride of the logits: 1, 2 or 4.
    pub output_stride: u32,
    /// The decoder.
    pub decoder: DecoderConfig,
    /// Probability with which a value of the deepest feature map is dropped in training, 0 to 1.
    pub dropout: f64,
}

impl LightUNetConfig {
    /// Fresh weights on `device`. Values of [`LightUNetConfig::output_stride`] other than 1, 2 and 4 count as the next
    /// smaller of these.
    pub fn init(&self, device: &Device) -> LightUNet {
        let (encoder, channels, usual): (Encoder, [usize; 5], &[usize]) = match self.encoder {
            LightEncoder::Vgg16 => {
                let config = VggEncoderConfig { width: self.width };
                (Encoder::Vgg(config.init(device)), config.channels(), &VGG_DECODER)
            }
            LightEncoder::EfficientNetLite(variant) => {
                let config = EfficientNetLiteConfig { variant, width: self.width };
                (Encoder::EfficientNetLite(config.init(device)), config.channels(), &LITE_DECODER)
            }
        };
        let left_out = match self.output_stride {
            0 | 1 => 0,
            2 | 3 => 1,
            _ => 2,
        };
        let stages = usual.len() - left_out;
        let decoder = if self.decoder.channels.is_empty() { usual } else { &self.decoder.channels };
        // A decoder of fewer widths than stages goes on with its last.
        let decoder = (0..stages).map(|stage| decoder[stage.min(decoder.len() - 1)]);
        let skips = channels.iter().rev().skip(1).map(Some).chain(std::iter::repeat(None));
        let mut channels_in = channels[4];
        let stages = decoder
            .zip(skips)
            .map(|(channels, skip)| {
                let channels_out = scaled(channels, self.width);
                let skip = skip.copied().unwrap_or(0);
                let stage = DecoderStage::new(channels_in, skip, channels_out, &self.decoder, device);
                channels_in = channels_out;
                stage
            })
            .collect();
        let initialization = self.decoder.initialization;
        let classifier = ConvConfig::new(channels_in, self.classes, 1).with_initialization(initialization).with_bias();
        LightUNet {
            encoder,
            dropout: self.dropout,
            whole: WholeView::new(channels[4], self.classes, &self.decoder, device),
            decoder: stages,
            classifier: classifier.init(device),
        }
    }
}

/// One step up: reduce, upsample twice, join the encoder's map of that size where there is one, some 3 x 3 convolutions.
#[derive(Module, Debug)]
pub struct DecoderStage {
    reduce: ConvNorm,
    row: Vec<ConvNorm>,
    #[module(skip)]
    upsampling: Upsampling,
}

impl DecoderStage {
    fn new(channels_in: usize, skip: usize, channels_out: usize, config: &DecoderConfig, device: &Device) -> Self {
        let DecoderConfig { upsampling, convolutions, initialization, .. } = *config;
        let reduce = ConvConfig::new(channels_in, channels_out, 1).with_initialization(initialization);
        Self {
            reduce: reduce.norm(Activation::Relu, device),
            row: conv_row(convolutions, channels_out + skip, channels_out, initialization, device),
            upsampling,
        }
    }

    /// `(N, channels_in, H, W)` and `(N, skip, 2H, 2W)` to `(N, channels_out, 2H, 2W)`.
    fn forward(&self, input: Tensor<4>, skip: Option<Tensor<4>>, pass: &mut Pass) -> Tensor<4> {
        let x = self.reduce.forward(input, pass); //        (N, channels_out, H, W)
        let x = match self.upsampling {
            Upsampling::Nearest => join_nearest(x, skip), // (N, channels_out + skip, 2H, 2W)
            Upsampling::Bilinear => {
                let [_, _, height, width] = x.dims();
                let x = resize_bilinear(x, [2 * height, 2 * width]);
                match skip {
                    Some(skip) => Tensor::cat(vec![x, skip], 1),
                    None => x,
                }
            }
        };
        forward_row(&self.row, x, pass) //                  (N, channels_out, 2H, 2W)
    }
}

/// What comes before the decoder.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // there is one in a network
enum Encoder {
    Vgg(VggEncoder),
    EfficientNetLite(EfficientNetLite),
}

/// U-Net.
#[derive(Module, Debug)]
pub struct LightUNet {
    encoder: Encoder,
    dropout: f64,
    whole: WholeView,
    decoder: Vec<DecoderStage>,
    classifier: Conv,
}

impl LightUNet {
    /// Whether it has a head that tells which classes a photo shows.
    pub fn has_presence(&self) -> bool {
        self.whole.has_presence()
    }

    /// `(N, 3, H, W)`, normalised RGB, to logits `(N, classes, H / stride, W / stride)`, and what the head finds where there
    /// is one.
    pub fn forward(&self, input: Tensor<4>, pass: &mut Pass) -> Prediction {
        let mut features = match &self.encoder {
            Encoder::Vgg(encoder) => encoder.forward(input, pass),
            Encoder::EfficientNetLite(encoder) => encoder.forward(input, pass),
        };
        let Some(x) = features.pop() else { unreachable!("the encoders have five maps") };
        let x = pass.dropout(x, self.dropout);
        let (mut x, presence) = self.whole.forward(x, pass);
        for stage in &self.decoder {
            x = stage.forward(x, features.pop(), pass);
        }
        let logits = self.classifier.forward(x); //         (N, classes, H / stride, W / stride)
        match presence {
            Some(presence) => presence.join(logits),
            None => logits.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::augment::generator;

    fn config(output_stride: u32) -> LightUNetConfig {
        LightUNetConfig {
            encoder: LightEncoder::Vgg16,
            classes: 5,
            width: 0.0625,
            output_stride,
            decoder: DecoderConfig::default(),
            dropout: 0.5,
        }
    }

    #[test]
    fn logits_come_at_the_output_stride() {
        let device = Device::default();
        for encoder in [LightEncoder::Vgg16, LightEncoder::EfficientNetLite(LiteVariant::Lite0)] {
            for stride in [1, 2, 4] {
                for upsampling in [Upsampling::Nearest, Upsampling::Bilinear] {
                    let decoder = DecoderConfig { upsampling, ..DecoderConfig::default() };
                    let model = LightUNetConfig { decoder, encoder, ..config(stride) }.init(&device);
                    let output = model.forward(Tensor::zeros([2, 3, 32, 64], &device), &mut Pass::evaluation());
                    assert_eq!(output.logits.dims(), [2, 5, 32 / stride as usize, 64 / stride as usize]);
                }
            }
        }
    }

    #[test]
    fn the_weights_are_those_of_the_layers() {
        // Encoder at width 1/16: channels 4, 8, 16, 32, 32. Convolutions, and 4 numbers a channel for each norm.
        let conv = |channels_in: usize, channels_out: usize, kernel: usize| {
            channels_in * channels_out * kernel * kernel + 4 * channels_out
        };
        let row = |count: usize, from: usize, to: usize| conv(from, to, 3) + (count - 1) * conv(to, to, 3);
        let encoder = row(2, 3, 4) + row(2, 4, 8) + row(3, 8, 16) + row(3, 16, 32) + row(3, 32, 32);
        let stage = |from: usize, skip: usize, to: usize| conv(from, to, 1) + row(2, to + skip, to);
        let decoder = stage(32, 32, 32) + stage(32, 16, 16) + stage(16, 8, 8);
        let model = config(2).init(&Device::default());
        assert_eq!(model.num_params(), encoder + decoder + 8 * 5 + 5);
    }

    #[test]
    fn dropout_repeats_with_its_generator_and_is_off_in_evaluation() {
        let device = Device::default();
        let model = config(4).init(&device);
        let input = Tensor::<4>::ones([1, 3, 32, 32], &device);
        let numbers = |output: Prediction| output.logits.into_data().iter::<f32>().collect::<Vec<_>>();
        let train = |seed| numbers(model.forward(input.clone(), &mut Pass::training(generator(seed, 0, 0))));
        assert_eq!(train(1), train(1));
        assert_ne!(train(1), train(2));
        let evaluate = || numbers(model.forward(input.clone(), &mut Pass::evaluation()));
        assert_eq!(evaluate(), evaluate());
    }
}
