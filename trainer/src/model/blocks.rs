//! What the networks are built of.

use burn::module::{Initializer, Module};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

/// Sizes of a [`ConvNormRelu`].
#[derive(Clone, Copy, Debug)]
pub struct ConvNormReluConfig {
    /// Channels that come in.
    pub channels_in: usize,
    /// Channels that go out.
    pub channels_out: usize,
    /// Side of the square kernel, odd; the padding keeps height and width.
    pub kernel: usize,
}

impl ConvNormReluConfig {
    /// Weights after He et al. 2015 (fan-in, for ReLU). No bias: the batch norm that follows has one.
    pub fn init(&self, device: &Device) -> ConvNormRelu {
        let padding = self.kernel / 2;
        let conv = Conv2dConfig::new([self.channels_in, self.channels_out], [self.kernel, self.kernel])
            .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
            .with_bias(false)
            .with_initializer(Initializer::KaimingNormal { gain: std::f64::consts::SQRT_2, fan_out_only: false })
            .init(device);
        ConvNormRelu { conv, norm: BatchNormConfig::new(self.channels_out).init(device) }
    }
}

/// Convolution, batch norm, ReLU: `(N, channels_in, H, W)` to `(N, channels_out, H, W)`.
#[derive(Module, Debug)]
pub struct ConvNormRelu {
    conv: Conv2d,
    norm: BatchNorm,
}

impl ConvNormRelu {
    /// `(N, channels_in, H, W)` to `(N, channels_out, H, W)`, values >= 0.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        relu(self.norm.forward(self.conv.forward(input)))
    }
}

/// A row of 3 x 3 [`ConvNormRelu`]s: the first changes the channels, the others keep them.
pub(super) fn conv_row(count: usize, channels_in: usize, channels_out: usize, device: &Device) -> Vec<ConvNormRelu> {
    (0..count)
        .map(|index| {
            let channels_in = if index == 0 { channels_in } else { channels_out };
            ConvNormReluConfig { channels_in, channels_out, kernel: 3 }.init(device)
        })
        .collect()
}

/// Runs a row of blocks one after the other.
pub(super) fn forward_row(row: &[ConvNormRelu], input: Tensor<4>) -> Tensor<4> {
    row.iter().fold(input, |x, block| block.forward(x))
}
