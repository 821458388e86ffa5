//! The study's U-Net on VGG16: Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image
//! Segmentation", 2015, with the encoder's maps taken behind each max-pool.
//!
//! What stride 32 holds goes through dropout. Each of four steps upsamples twice (nearest), convolves 2 x 2, joins the
//! encoder's map of that size and convolves 3 x 3 twice; then a 1 x 1 convolution makes logits of stride 2, which are
//! upsampled to the input's size. Every convolution but the last has a batch norm and a ReLU behind it, "same" padding
//! replaces the paper's cropping.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::blocks::{Conv, ConvConfig, ConvNorm, conv_row, forward_row, scaled};
use super::pass::Pass;
use super::vgg::{VggEncoder, VggEncoderConfig};
use crate::config::Initialization;
use clothseg_kernels::{Activation, join_nearest, resize_bilinear};

/// Channels of the decoder's steps at width 1, from stride 16 to stride 2.
const DECODER: [usize; 4] = [512, 256, 128, 64];

/// Sizes of a [`UNet`].
#[derive(Clone, Copy, Debug)]
pub struct UNetConfig {
    /// Number of classes, background included: the channels of the logits.
    pub classes: usize,
    /// Factor on all channels of encoder and decoder.
    pub width: f64,
    /// Stride of the logits: 2, or 1 for logits upsampled to the input's size.
    pub output_stride: u32,
    /// Probability with which a value of the deepest feature map is dropped in training, 0 to 1; 0.5 in the study.
    pub dropout: f64,
}

impl UNetConfig {
    /// Fresh weights on `device`.
    pub fn init(&self, device: &Device) -> UNet {
        let encoder = VggEncoderConfig { width: self.width };
        let [skips @ .., deepest] = encoder.channels();
        let mut channels_in = deepest;
        let decoder = DECODER
            .iter()
            .zip(skips.iter().rev())
            .map(|(channels, skip)| {
                let channels_out = scaled(*channels, self.width);
                let step = UpStep::new(channels_in, *skip, channels_out, device);
                channels_in = channels_out;
                step
            })
            .collect();
        UNet {
            encoder: encoder.init(device),
            dropout: self.dropout,
            decoder,
            classifier: ConvConfig::new(channels_in, self.classes, 1).with_bias().init(device),
            full_size: self.output_stride == 1,
        }
    }
}

/// One step up.
#[derive(Module, Debug)]
pub struct UpStep {
    enlarged: ConvNorm,
    row: Vec<ConvNorm>,
}

impl UpStep {
    fn new(channels_in: usize, skip: usize, channels_out: usize, device: &Device) -> Self {
        Self {
            enlarged: ConvConfig::new(channels_in, channels_out, 2).norm(Activation::Relu, device),
            row: conv_row(2, channels_out + skip, channels_out, Initialization::HeNormal, device),
        }
    }

    /// `(N, channels_in, H, W)` and `(N, skip, 2H, 2W)` to `(N, channels_out, 2H, 2W)`.
    fn forward(&self, input: Tensor<4>, skip: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let x = join_nearest(input, None); //               (N, channels_in, 2H, 2W)
        let x = self.enlarged.forward(x, pass); //          (N, channels_out, 2H, 2W)
        let x = Tensor::cat(vec![x, skip], 1); //           (N, channels_out + skip, 2H, 2W)
        forward_row(&self.row, x, pass) //                  (N, channels_out, 2H, 2W)
    }
}

/// The study's U-Net.
#[derive(Module, Debug)]
pub struct UNet {
    encoder: VggEncoder,
    dropout: f64,
    decoder: Vec<UpStep>,
    classifier: Conv,
    full_size: bool,
}

impl UNet {
    /// `(N, 3, H, W)`, normalised RGB, H and W multiples of 32, to logits `(N, classes, H / stride, W / stride)`.
    pub fn forward(&self, input: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let [_, _, height, width] = input.dims();
        let mut features = self.encoder.pooled(input, pass);
        let Some(x) = features.pop() else { unreachable!("the encoder has five maps") };
        let mut x = pass.dropout(x, self.dropout); //       (N, 512, H/32, W/32)
        for (step, skip) in self.decoder.iter().zip(features.into_iter().rev()) {
            x = step.forward(x, skip, pass);
        }
        let logits = self.classifier.forward(x); //         (N, classes, H/2, W/2)
        if self.full_size { resize_bilinear(logits, [height, width]) } else { logits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(width: f64, output_stride: u32) -> UNetConfig {
        UNetConfig { classes: 47, width, output_stride, dropout: 0.5 }
    }

    #[test]
    fn logits_come_at_the_output_stride() {
        let device = Device::default();
        for (stride, size) in [(1, [64, 96]), (2, [32, 48])] {
            let output = config(0.0625, stride)
                .init(&device)
                .forward(Tensor::zeros([2, 3, 64, 96], &device), &mut Pass::evaluation());
            assert_eq!(output.dims(), [2, 47, size[0], size[1]]);
        }
    }

    #[test]
    fn the_weights_at_full_width_are_those_of_the_layers() {
        // Convolutions without bias, and 4 numbers a channel for each norm.
        let conv = |from: usize, to: usize, kernel: usize| from * to * kernel * kernel + 4 * to;
        let step = |from: usize, skip: usize, to: usize| conv(from, to, 2) + conv(to + skip, to, 3) + conv(to, to, 3);
        let encoder = 14_714_688 - 4_224 + 4 * 4_224; // see vgg.rs
        let decoder = step(512, 512, 512) + step(512, 256, 256) + step(256, 128, 128) + step(128, 64, 64);
        let model = config(1.0, 1).init(&Device::default());
        assert_eq!(model.num_params(), encoder + decoder + 64 * 47 + 47);
    }

    #[test]
    fn dropout_changes_training_and_not_evaluation() {
        let device = Device::default();
        let model = config(0.0625, 2).init(&device);
        let input = Tensor::<4>::ones([1, 3, 32, 32], &device);
        let numbers = |output: Tensor<4>| output.into_data().iter::<f32>().collect::<Vec<_>>();
        let random = |seed| crate::data::augment::generator(seed, 0, 0);
        let train = |seed| numbers(model.forward(input.clone(), &mut Pass::training(random(seed))));
        assert_eq!(train(1), train(1));
        assert_ne!(train(1), train(2));
        let evaluate = || numbers(model.forward(input.clone(), &mut Pass::evaluation()));
        assert_eq!(evaluate(), evaluate());
    }
}
