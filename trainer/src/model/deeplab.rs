//! DeepLabV3+: Chen, Zhu, Papandreou, Schroff and Adam, "Encoder-Decoder with Atrous Separable Convolution for Semantic
//! Image Segmentation", 2018, on ResNet50 at stride 16, with plain convolutions as in the study.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::blocks::{Conv, ConvConfig, ConvNorm, conv_row, forward_row, scaled};
use super::pass::Pass;
use super::resnet::{ResNet, ResNetConfig};
use crate::config::Initialization;
use clothseg_kernels::{Activation, mean_pool2d, resize_bilinear};

/// Dilations of the 3 x 3 convolutions of the pyramid, for stride 16.
const RATES: [usize; 3] = [6, 12, 18];
/// Channels of the pyramid and the decoder at width 1.
const CHANNELS: usize = 256;
/// Channels to which the shallow map is reduced, at width 1.
const SHALLOW: usize = 48;

/// Sizes of a [`DeepLab`].
#[derive(Clone, Copy, Debug)]
pub struct DeepLabConfig {
    /// Number of classes, background included: the channels of the logits.
    pub classes: usize,
    /// Factor on all channels.
    pub width: f64,
    /// Stride of the logits: 4, or 1 for logits upsampled to the input's size.
    pub output_stride: u32,
    /// Probability with which a value of the pyramid's output is dropped in training, 0 to 1.
    pub dropout: f64,
}

impl DeepLabConfig {
    /// Fresh weights on `device`.
    pub fn init(&self, device: &Device) -> DeepLab {
        let encoder = ResNetConfig { width: self.width };
        let [shallow, deep] = encoder.channels();
        let channels = scaled(CHANNELS, self.width);
        let reduced = scaled(SHALLOW, self.width);
        let relu = |config: ConvConfig| config.norm(Activation::Relu, device);
        let atrous = RATES.map(|rate| relu(ConvConfig::new(deep, channels, 3).with_dilation(rate)));
        DeepLab {
            encoder: encoder.init(device),
            pyramid: Pyramid {
                pointwise: relu(ConvConfig::new(deep, channels, 1)),
                atrous: atrous.into(),
                image: relu(ConvConfig::new(deep, channels, 1)),
                project: relu(ConvConfig::new((2 + RATES.len()) * channels, channels, 1)),
            },
            dropout: self.dropout,
            shallow: relu(ConvConfig::new(shallow, reduced, 1)),
            decoder: conv_row(2, channels + reduced, channels, Initialization::HeNormal, device),
            classifier: ConvConfig::new(channels, self.classes, 1).with_bias().init(device),
            full_size: self.output_stride == 1,
        }
    }
}

/// Atrous spatial pyramid pooling: the deep map seen at several scales.
#[derive(Module, Debug)]
pub struct Pyramid {
    pointwise: ConvNorm,
    atrous: Vec<ConvNorm>,
    image: ConvNorm,
    project: ConvNorm,
}

impl Pyramid {
    /// `(N, 2048, H, W)` to `(N, 256, H, W)`, at width 1.
    fn forward(&self, input: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let mut scales = vec![self.pointwise.forward(input.clone(), pass)];
        scales.extend(self.atrous.iter().map(|atrous| atrous.forward(input.clone(), pass)));
        let whole = mean_pool2d(input); //                  (N, 2048, 1, 1)
        let whole = self.image.forward(whole, pass);
        // Spread over the map by an addition, which in ONNX works at any size.
        scales.push(scales[0].clone().mul_scalar(0.0).add(whole));
        self.project.forward(Tensor::cat(scales, 1), pass)
    }
}

/// DeepLabV3+ on ResNet50.
#[derive(Module, Debug)]
pub struct DeepLab {
    encoder: ResNet,
    pyramid: Pyramid,
    dropout: f64,
    shallow: ConvNorm,
    decoder: Vec<ConvNorm>,
    classifier: Conv,
    full_size: bool,
}

impl DeepLab {
    /// `(N, 3, H, W)`, normalised RGB, H and W multiples of 16, to logits `(N, classes, H / stride, W / stride)`.
    pub fn forward(&self, input: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let [_, _, height, width] = input.dims();
        let [shallow, deep] = self.encoder.forward(input, pass);
        let [_, _, rows, columns] = shallow.dims();
        let x = self.pyramid.forward(deep, pass); //        (N, 256, H/16, W/16)
        let x = pass.dropout(x, self.dropout);
        let x = resize_bilinear(x, [rows, columns]); //     (N, 256, H/4, W/4)
        let shallow = self.shallow.forward(shallow, pass); // (N, 48, H/4, W/4)
        let x = forward_row(&self.decoder, Tensor::cat(vec![x, shallow], 1), pass);
        let logits = self.classifier.forward(x); //         (N, classes, H/4, W/4)
        if self.full_size { resize_bilinear(logits, [height, width]) } else { logits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_come_at_the_output_stride() {
        let device = Device::default();
        for (output_stride, size) in [(1, [64, 48]), (4, [16, 12])] {
            let config = DeepLabConfig { classes: 5, width: 0.0625, output_stride, dropout: 0.0 };
            let output = config.init(&device).forward(Tensor::zeros([2, 3, 64, 48], &device), &mut Pass::evaluation());
            assert_eq!(output.dims(), [2, 5, size[0], size[1]]);
        }
    }
}
