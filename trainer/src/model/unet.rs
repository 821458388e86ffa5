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
