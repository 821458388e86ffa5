//! EfficientNet-Lite0, -Lite1 and -Lite2 as encoders: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
//! Networks", 2019, in the "Lite" form that its authors published for mobile devices: no squeeze-and-excitation, ReLU6,
//! fixed stem. Without the head of 1280 channels. Padding and epsilon are TensorFlow's, so that the weights that were
//! published for it ([`super::pretrained`]) give what they gave there.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::blocks::{ConvConfig, ConvNorm, scaled};
use super::pass::Pass;
use crate::config::LiteVariant;
use clothseg_kernels::Activation;

/// Expansion, kernel, step, channels and repeats of each stage of Lite0, at width 1.
const STAGES: [[usize; 5]; 7] = [
    [1, 3, 1, 16, 1],
    [6, 3, 2, 24, 2],
    [6, 5, 2, 40, 2],
    [6, 3, 2, 80, 3],
    [6, 5, 1, 112, 3],
    [6, 5, 2, 192, 4],
    [6, 3, 1, 320, 1],
];
/// Repeats of Lite1 and Lite2: 1.1 and 1.2 times those of Lite0, rounded up, but for the first and the last stage.
const DEEPER: [usize; 7] = [1, 3, 3, 4, 4, 5, 1];
/// Channels of Lite2: 1.1 times those of Lite0, to multiples of 8.
const WIDER: [usize; 7] = [16, 24, 48, 88, 120, 208, 352];
/// Channels of the stem at width 1, the same in all.
const STEM: usize = 32;
/// Added to the variances of every batch norm.
const EPSILON: f64 = 1e-3;
/// Stages whose output is a feature map: the last of each stride from 2 to 32.
const TAPPED: [usize; 5] = [0, 1, 2, 4, 6];

impl LiteVariant {
    /// Expansion, kernel, step, channels and repeats of each stage, at width 1.
    fn stages(self) -> [[usize; 5]; 7] {
        let mut stages = STAGES;
        for (index, [.., channels, repeats]) in stages.iter_mut().enumerate() {
            if self != LiteVariant::Lite0 {
                *repeats = DEEPER[index];
            }
            if self == LiteVariant::Lite2 {
                *channels = WIDER[index];
            }
        }
        stages
    }

    /// The place of a stage's block among all blocks.
    pub(super) fn block_index(self, stage: usize, block: usize) -> usize {
        self.stages().iter().take(stage).map(|[.., repeats]| repeats).sum::<usize>() + block
    }
}

/// Sizes of an [`EfficientNetLite`].
#[derive(Clone, Copy, Debug)]
pub struct EfficientNetLiteConfig {
    /// Which of the published sizes.
    pub variant: LiteVariant,
    /// Factor on all channels.
    pub width: f64,
}

impl EfficientNetLiteConfig {
    /// Channels of the five feature maps, from stride 2 to stride 32.
    pub fn channels(&self) -> [usize; 5] {
        let stages = self.variant.stages();
        TAPPED.map(|stage| scaled(stages[stage][3], self.width))
    }

    /// Fresh weights on `device`.
    pub fn init(&self, device: &Device) -> EfficientNetLite {
        let stem = scaled(STEM, self.width);
        let mut channels_in = stem;
        let stages = self
            .variant
            .stages()
            .iter()
            .map(|[expansion, kernel, stride, channels, repeats]| {
                let channels_out = scaled(*channels, self.width);
                let blocks = (0..*repeats)
                    .map(|index| {
                        let stride = if index == 0 { *stride } else { 1 };
                        let block = MbConv::new(channels_in, channels_out, *expansion, *kernel, stride, device);
                        channels_in = channels_out;
                        block
                    })
                    .collect();
                MbStage { blocks }
            })
            .collect();
        EfficientNetLite { stem: layer(ConvConfig::new(3, stem, 3).with_stride(2), Activation::Relu6, device), stages }
    }
}

/// A convolution with its batch norm, as published.
fn layer(config: ConvConfig, activation: Activation, device: &Device) -> ConvNorm {
    config.with_tensorflow_padding().with_epsilon(EPSILON).norm(activation, device)
}

/// An inverted residual block: widen, one kernel a channel, narrow (Sandler et al., "MobileNetV2", 2018).
#[derive(Module, Debug)]
pub struct MbConv {
    expand: Option<ConvNorm>,
    depthwise: ConvNorm,
    project: ConvNorm,
    residual: bool,
}

impl MbConv {
    fn new(from: usize, to: usize, expansion: usize, kernel: usize, stride: usize, device: &Device) -> Self {
        let wide = from * expansion;
        Self {
            expand: (expansion > 1).then(|| layer(ConvConfig::new(from, wide, 1), Activation::Relu6, device)),
            depthwise: layer(ConvConfig::depthwise(wide, kernel).with_stride(stride), Activation::Relu6, device),
            project: layer(ConvConfig::new(wide, to, 1), Activation::Identity, device),
            residual: stride == 1 && from == to,
        }
    }

    fn forward(&self, input: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let x = match &self.expand {
            Some(expand) => expand.forward(input.clone(), pass),
            None => input.clone(),
        };
        let x = self.depthwise.forward(x, pass);
        if self.residual { self.project.forward_onto(x, input, pass) } else { self.project.forward(x, pass) }
    }
}

/// The blocks of one stage.
#[derive(Module, Debug)]
pub struct MbStage {
    blocks: Vec<MbConv>,
}

/// An EfficientNet-Lite without head.
#[derive(Module, Debug)]
pub struct EfficientNetLite {
    stem: ConvNorm,
    stages: Vec<MbStage>,
}

impl EfficientNetLite {
    /// `(N, 3, H, W)`, H and W multiples of 32, to five feature maps; of Lite0 at width 1: `(N, 16, H/2, W/2)`,
    /// `(N, 24, H/4, W/4)`, `(N, 40, H/8, W/8)`, `(N, 112, H/16, W/16)`, `(N, 320, H/32, W/32)`.
    pub fn forward(&self, input: Tensor<4>, pass: &mut Pass) -> Vec<Tensor<4>> {
        let mut x = self.stem.forward(input, pass);
        let mut features = Vec::with_capacity(TAPPED.len());
        for (index, stage) in self.stages.iter().enumerate() {
            for block in &stage.blocks {
                x = block.forward(x, pass);
            }
            if TAPPED.contains(&index) {
                features.push(x.clone());
            }
        }
        features
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_width_has_the_weights_of_the_published_network() {
        // In the published classifiers, less their heads: a convolution to 1280 channels with norm (2 x 1280) and a layer
        // 1280 x 1000 with bias. The channels with a norm have two running statistics, which count here.
        for (variant, published, deepest, normed) in [
            (LiteVariant::Lite0, 4_652_008, 320, 19_728),
            (LiteVariant::Lite1, 5_416_680, 320, 25_552),
            (LiteVariant::Lite2, 6_092_072, 352, 27_768),
        ] {
            let without_head = published - (deepest * 1280 + 2 * 1280) - (1280 * 1000 + 1000);
            let encoder = EfficientNetLiteConfig { variant, width: 1.0 }.init(&Device::default());
            assert_eq!(encoder.num_params(), without_head + 2 * normed, "{variant:?}");
        }
    }

    #[test]
    fn each_feature_map_halves_the_last() {
        let device = Device::default();
        let encoder = EfficientNetLiteConfig { variant: LiteVariant::Lite0, width: 0.25 }.init(&device);
        let features = encoder.forward(Tensor::zeros([1, 3, 64, 32], &device), &mut Pass::evaluation());
        let shapes: Vec<[usize; 4]> = features.iter().map(Tensor::dims).collect();
        assert_eq!(shapes, [[1, 4, 32, 16], [1, 6, 16, 8], [1, 10, 8, 4], [1, 28, 4, 2], [1, 80, 2, 1]]);
    }
}
