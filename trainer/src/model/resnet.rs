//! ResNet50 as an encoder: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2015, with the step on
//! the 3 x 3 convolutions ("v1.5"), and its last stage dilated instead of strided, as DeepLab does.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::blocks::{ConvConfig, ConvNorm, scaled};
use super::pass::Pass;
use clothseg_kernels::{Activation, max_pool2d};

/// Blocks, inner channels, step and dilation of each stage, at width 1. A block returns four times its inner channels.
const STAGES: [[usize; 4]; 4] = [[3, 64, 1, 1], [4, 128, 2, 1], [6, 256, 2, 1], [3, 512, 1, 2]];
/// Channels of the stem at width 1.
const STEM: usize = 64;
/// Output channels of a block for each inner channel.
const EXPANSION: usize = 4;

/// How wide a [`ResNet`] is.
#[derive(Clone, Copy, Debug)]
pub struct ResNetConfig {
    /// Factor on all channels.
    pub width: f64,
}

impl ResNetConfig {
    /// Channels of the shallow (stride 4) and the deep (stride 16) feature map.
    pub fn channels(&self) -> [usize; 2] {
        [STAGES[0], STAGES[3]].map(|stage| EXPANSION * scaled(stage[1], self.width))
    }

    /// Fresh weights on `device`.
    pub fn init(&self, device: &Device) -> ResNet {
        let stem = scaled(STEM, self.width);
        let mut from = stem;
        let stages = STAGES
            .iter()
            .map(|[blocks, inner, stride, dilation]| {
                let inner = scaled(*inner, self.width);
                let blocks = (0..*blocks)
                    .map(|index| {
                        let stride = if index == 0 { *stride } else { 1 };
                        let block = Bottleneck::new(from, inner, stride, *dilation, index == 0, device);
                        from = EXPANSION * inner;
                        block
                    })
                    .collect();
                ResStage { blocks }
            })
            .collect();
        ResNet { stem: ConvConfig::new(3, stem, 7).with_stride(2).norm(Activation::Relu, device), stages }
    }
}

/// Narrow, 3 x 3, widen, plus the input.
#[derive(Module, Debug)]
pub struct Bottleneck {
    narrow: ConvNorm,
    spatial: ConvNorm,
    widen: ConvNorm,
    shortcut: Option<ConvNorm>,
}

impl Bottleneck {
    fn new(from: usize, inner: usize, stride: usize, dilation: usize, changes: bool, device: &Device) -> Self {
        let to = EXPANSION * inner;
        let spatial = ConvConfig::new(inner, inner, 3).with_stride(stride).with_dilation(dilation);
        let shortcut = ConvConfig::new(from, to, 1).with_stride(stride);
        Self {
            narrow: ConvConfig::new(from, inner, 1).norm(Activation::Relu, device),
            spatial: spatial.norm(Activation::Relu, device),
            widen: ConvConfig::new(inner, to, 1).norm(Activation::Relu, device),
            shortcut: changes.then(|| shortcut.norm(Activation::Identity, device)),
        }
    }

    fn forward(&self, input: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let x = self.narrow.forward(input.clone(), pass);
        let x = self.spatial.forward(x, pass);
        let residual = match &self.shortcut {
            Some(shortcut) => shortcut.forward(input, pass),
            None => input,
        };
        self.widen.forward_onto(x, residual, pass)
    }
}

/// The blocks of one stage.
#[derive(Module, Debug)]
pub struct ResStage {
    blocks: Vec<Bottleneck>,
}

/// ResNet50 without classifier.
#[derive(Module, Debug)]
pub struct ResNet {
    stem: ConvNorm,
    stages: Vec<ResStage>,
}

impl ResNet {
    /// `(N, 3, H, W)`, H and W multiples of 16, to the shallow and the deep feature map; at width 1:
    /// `(N, 256, H/4, W/4)` and `(N, 2048, H/16, W/16)`.
    pub fn forward(&self, input: Tensor<4>, pass: &mut Pass) -> [Tensor<4>; 2] {
        let x = self.stem.forward(input, pass); //          (N, 64, H/2, W/2)
        let mut x = max_pool2d(x, 3, 2, 1); //              (N, 64, H/4, W/4)
        let mut shallow = x.clone();
        for (index, stage) in self.stages.iter().enumerate() {
            for block in &stage.blocks {
                x = block.forward(x, pass);
            }
            if index == 0 {
                shallow = x.clone();
            }
        }
        [shallow, x]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_width_has_the_weights_of_resnet50() {
        // 25 557 032 in the published classifier, less its layer 2048 x 1000 with bias; 26 560 channels have a norm, and
        // its two running statistics count here.
        let encoder = ResNetConfig { width: 1.0 }.init(&Device::default());
        assert_eq!(encoder.num_params(), 25_557_032 - 2_049_000 + 2 * 26_560);
    }

    #[test]
    fn the_maps_have_strides_4_and_16() {
        let device = Device::default();
        let encoder = ResNetConfig { width: 0.125 }.init(&device);
        let features = encoder.forward(Tensor::zeros([1, 3, 32, 48], &device), &mut Pass::evaluation());
        assert_eq!(features.map(|map| map.dims()), [[1, 32, 8, 12], [1, 256, 2, 3]]);
    }
}
