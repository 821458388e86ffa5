//! VGG16 as an encoder: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
//! 2015, configuration D without its classifier, with a batch norm after each convolution because it is trained from
//! scratch here.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::blocks::{ConvNorm, conv_row, forward_row, scaled};
use super::pass::Pass;
use crate::config::Initialization;
use clothseg_kernels::max_pool2d;

/// Convolutions in each of the five blocks.
const CONVOLUTIONS: [usize; 5] = [2, 2, 3, 3, 3];
/// Channels of each block at width 1.
const CHANNELS: [usize; 5] = [64, 128, 256, 512, 512];

/// How wide a [`VggEncoder`] is.
#[derive(Clone, Copy, Debug)]
pub struct VggEncoderConfig {
    /// Factor on the channels 64, 128, 256, 512, 512.
    pub width: f64,
}

impl VggEncoderConfig {
    /// Channels of the five feature maps, from stride 1 to stride 16.
    pub fn channels(&self) -> [usize; 5] {
        CHANNELS.map(|channels| scaled(channels, self.width))
    }

    /// Fresh weights on `device`.
    pub fn init(&self, device: &Device) -> VggEncoder {
        let channels = self.channels();
        let blocks = (0..5)
            .map(|index| {
                let channels_in = if index == 0 { 3 } else { channels[index - 1] };
                VggBlock {
                    row: conv_row(CONVOLUTIONS[index], channels_in, channels[index], Initialization::HeNormal, device),
                }
            })
            .collect();
        VggEncoder { blocks }
    }
}

/// The convolutions of one resolution.
#[derive(Module, Debug)]
pub struct VggBlock {
    row: Vec<ConvNorm>,
}

/// The five blocks of VGG16, with a 2 x 2 max-pool between them.
#[derive(Module, Debug)]
pub struct VggEncoder {
    blocks: Vec<VggBlock>,
}

impl VggEncoder {
    /// `(N, 3, H, W)`, H and W multiples of 16, to five feature maps; at width 1:
    /// `(N, 64, H, W)`, `(N, 128, H/2, W/2)`, `(N, 256, H/4, W/4)`, `(N, 512, H/8, W/8)`, `(N, 512, H/16, W/16)`.
    pub fn forward(&self, input: Tensor<4>, pass: &mut Pass) -> Vec<Tensor<4>> {
        let mut features: Vec<Tensor<4>> = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let x = match features.last() {
                None => input.clone(),
                Some(previous) => max_pool2d(previous.clone(), 2, 2, 0),
            };
            features.push(forward_row(&block.row, x, pass));
        }
        features
    }

    /// `(N, 3, H, W)`, H and W multiples of 32, to the five maps behind a max-pool each, as the study takes them; at
    /// width 1: `(N, 64, H/2, W/2)`, `(N, 128, H/4, W/4)`, `(N, 256, H/8, W/8)`, `(N, 512, H/16, W/16)`,
    /// `(N, 512, H/32, W/32)`.
    pub fn pooled(&self, input: Tensor<4>, pass: &mut Pass) -> Vec<Tensor<4>> {
        let mut features: Vec<Tensor<4>> = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let x = features.last().cloned().unwrap_or_else(|| input.clone());
            features.push(max_pool2d(forward_row(&block.row, x, pass), 2, 2, 0));
        }
        features
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_width_has_the_convolutions_of_vgg16() {
        // 14 714 688 weights and biases in the paper's 13 convolutions, less 4 224 biases, plus two numbers a channel
        // of the batch norms and their two running statistics.
        let encoder = VggEncoderConfig { width: 1.0 }.init(&Device::default());
        assert_eq!(encoder.num_params(), 14_714_688 - 4_224 + 4 * 4_224);
    }

    #[test]
    fn pooled_maps_have_strides_2_to_32() {
        let device = Device::default();
        let encoder = VggEncoderConfig { width: 0.125 }.init(&device);
        let features = encoder.pooled(Tensor::zeros([1, 3, 64, 32], &device), &mut Pass::evaluation());
        let shapes: Vec<[usize; 4]> = features.iter().map(Tensor::dims).collect();
        assert_eq!(shapes, [[1, 8, 32, 16], [1, 16, 16, 8], [1, 32, 8, 4], [1, 64, 4, 2], [1, 64, 2, 1]]);
    }

    #[test]
    fn each_feature_map_halves_the_last() {
        let device = Device::default();
        let encoder = VggEncoderConfig { width: 0.125 }.init(&device);
        let features = encoder.forward(Tensor::zeros([2, 3, 32, 48], &device), &mut Pass::evaluation());
        let shapes: Vec<[usize; 4]> = features.iter().map(Tensor::dims).collect();
        assert_eq!(shapes, [[2, 8, 32, 48], [2, 16, 16, 24], [2, 32, 8, 12], [2, 64, 4, 6], [2, 64, 2, 3]]);
    }
}
