//! U-Net: Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015, on
//! the VGG16 encoder of the study.
//!
//! Three things differ from the paper, each for speed on a CPU: the decoder may stop before full size
//! ([`UNetConfig::output_stride`]; the runtime enlarges the logits), the channels are reduced by a 1 x 1 convolution
//! *before* they are enlarged (the paper convolves afterwards, at four times the cost), and "same" padding replaces
//! cropping.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::blocks::{ConvNormRelu, ConvNormReluConfig, conv_row, forward_row};
use super::vgg::{VggEncoder, VggEncoderConfig, scaled};

/// Channels of the decoder's stages at width 1, from stride 8 to stride 1.
const DECODER_CHANNELS: [usize; 4] = [512, 256, 128, 64];

/// How the decoder enlarges its feature maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Upsampling {
    /// Each value is repeated 2 x 2: fast to train.
    #[default]
    Nearest,
    /// Linear between cell centres (half-pixel centres).
    Bilinear,
}

/// Sizes of a [`UNet`].
#[derive(Clone, Copy, Debug)]
pub struct UNetConfig {
    /// Number of classes, background included: the channels of the logits.
    pub classes: usize,
    /// Factor on all channels of encoder and decoder.
    pub width: f64,
    /// Stride of the logits: 1, 2 or 4.
    pub output_stride: u32,
    /// How the decoder enlarges.
    pub upsampling: Upsampling,
    /// Probability with which a value of the deepest feature map is dropped in training, 0 to 1.
    pub dropout: f64,
}

impl UNetConfig {
    /// Height and width of the input must be multiples of this.
    pub const INPUT_MULTIPLE: u32 = 16;

    /// Fresh weights on `device`. Values of [`UNetConfig::output_stride`] other than 1, 2 and 4 count as the next
    /// smaller of these.
    pub fn init(&self, device: &Device) -> UNet {
        let encoder_config = VggEncoderConfig { width: self.width };
        let encoder_channels = encoder_config.channels();
        let stages = match self.output_stride {
            0 | 1 => 4,
            2 | 3 => 3,
            _ => 2,
        };
        let mut channels_in = encoder_channels[4];
        let mut decoder = Vec::with_capacity(stages);
        for (stage, channels) in DECODER_CHANNELS.iter().take(stages).enumerate() {
            let channels_out = scaled(*channels, self.width);
            let skip = encoder_channels[3 - stage];
            decoder.push(DecoderStage::new(channels_in, skip, channels_out, self.upsampling, device));
            channels_in = channels_out;
        }
        UNet {
            encoder: encoder_config.init(device),
            dropout: self.dropout,
            decoder,
            classifier: Conv2dConfig::new([channels_in, self.classes], [1, 1]).init(device),
        }
    }
}

/// One step up: reduce, enlarge twice, join the encoder's map of that size, two 3 x 3 convolutions.
#[derive(Module, Debug)]
pub struct DecoderStage {
    reduce: ConvNormRelu,
    row: Vec<ConvNormRelu>,
    #[module(skip)]
    upsampling: Upsampling,
}

impl DecoderStage {
    fn new(channels_in: usize, skip: usize, channels_out: usize, upsampling: Upsampling, device: &Device) -> Self {
        Self {
            reduce: ConvNormReluConfig { channels_in, channels_out, kernel: 1 }.init(device),
            row: conv_row(2, channels_out + skip, channels_out, device),
            upsampling,
        }
    }

    /// `(N, channels_in, H, W)` and `(N, skip, 2H, 2W)` to `(N, channels_out, 2H, 2W)`.
    fn forward(&self, input: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = skip.dims();
        let mode = match self.upsampling {
            Upsampling::Nearest => InterpolateMode::Nearest,
            Upsampling::Bilinear => InterpolateMode::Bilinear,
        };
        let options = InterpolateOptions::new(mode).with_align_corners(false).with_output_size([height, width]);
        let x = self.reduce.forward(input); //              (N, channels_out, H, W)
        let x = interpolate(x, options); //                 (N, channels_out, 2H, 2W)
        let x = Tensor::cat(vec![x, skip], 1); //           (N, channels_out + skip, 2H, 2W)
        forward_row(&self.row, x) //                        (N, channels_out, 2H, 2W)
    }
}

/// U-Net on VGG16.
#[derive(Module, Debug)]
pub struct UNet {
    encoder: VggEncoder,
    dropout: f64,
    decoder: Vec<DecoderStage>,
    classifier: Conv2d,
}

impl UNet {
    /// `(N, 3, H, W)`, normalised RGB, H and W multiples of 16, to logits `(N, classes, H / stride, W / stride)`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.decode(self.encoder.forward(input), None)
    }

    /// As [`UNet::forward`], with dropout. Its random numbers are the caller's, so that a step can be repeated.
    pub fn forward_train(&self, input: Tensor<4>, random: &mut ChaCha8Rng) -> Tensor<4> {
        self.decode(self.encoder.forward(input), Some(random))
    }

    fn decode(&self, mut features: Vec<Tensor<4>>, random: Option<&mut ChaCha8Rng>) -> Tensor<4> {
        let Some(mut x) = features.pop() else { unreachable!("the encoder has five blocks") };
        if let Some(random) = random.filter(|_| self.dropout > 0.0) {
            let keep = dropout_mask(x.dims(), self.dropout, random, &x.device());
            x = x.mul(keep); //                             (N, 512 width, H/16, W/16)
        }
        for (stage, skip) in self.decoder.iter().zip(features.into_iter().rev()) {
            x = stage.forward(x, skip); //                  strides 8, 4, then 2 and 1 where the decoder goes that far
        }
        self.classifier.forward(x) //                       (N, classes, H / stride, W / stride)
    }
}

/// 0 with probability `dropout`, else `1 / (1 - dropout)`, which keeps the mean.
fn dropout_mask(shape: [usize; 4], dropout: f64, random: &mut ChaCha8Rng, device: &Device) -> Tensor<4> {
    let kept = (1.0 / (1.0 - dropout)) as f32;
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|_| if random.random::<f64>() < dropout { 0.0 } else { kept }).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::augment::generator;

    fn config(output_stride: u32) -> UNetConfig {
        UNetConfig { classes: 5, width: 0.0625, output_stride, upsampling: Upsampling::Nearest, dropout: 0.5 }
    }

    #[test]
    fn logits_come_at_the_output_stride() {
        let device = Device::default();
        for stride in [1, 2, 4] {
            for upsampling in [Upsampling::Nearest, Upsampling::Bilinear] {
                let model = UNetConfig { upsampling, ..config(stride) }.init(&device);
                let output = model.forward(Tensor::zeros([2, 3, 32, 48], &device));
                assert_eq!(output.dims(), [2, 5, 32 / stride as usize, 48 / stride as usize]);
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
        let numbers = |output: Tensor<4>| output.into_data().iter::<f32>().collect::<Vec<_>>();
        let train = |seed| numbers(model.forward_train(input.clone(), &mut generator(seed, 0, 0)));
        assert_eq!(train(1), train(1));
        assert_ne!(train(1), train(2));
        assert_eq!(numbers(model.forward(input.clone())), numbers(model.forward(input.clone())));
    }

    #[test]
    fn a_dropout_mask_keeps_the_mean() {
        let mask = dropout_mask([1, 1, 100, 100], 0.25, &mut generator(0, 0, 0), &Device::default());
        let mean: f32 = mask.mean().into_scalar();
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
    }
}
