//! What the networks are built of.

use burn::module::{Initializer, Module, Param, ParamId};
use burn::tensor::{Device, Tensor};

use super::pass::Pass;
use crate::config::Initialization;
use clothseg_kernels::{Activation, ConvOptions};

/// Added to variances before the root, where a network says nothing else.
const EPSILON: f64 = 1e-5;

impl Initialization {
    fn weight(self, fan_in: usize) -> Initializer {
        let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
        match self {
            Self::HeNormal => Initializer::Normal { mean: 0.0, std: std::f64::consts::SQRT_2 * bound },
            Self::Pytorch => Initializer::Uniform { min: -bound, max: bound },
        }
    }

    fn bias(self, fan_in: usize) -> Initializer {
        match self {
            Self::HeNormal => Initializer::Zeros,
            Self::Pytorch => self.weight(fan_in),
        }
    }
}

/// Sizes of a [`Conv`].
#[derive(Clone, Copy, Debug)]
pub struct ConvConfig {
    /// Channels that come in.
    pub channels_in: usize,
    /// Channels that go out.
    pub channels_out: usize,
    /// Side of the square kernel. The padding keeps height and width at stride 1; of an even side, more of it lies below
    /// and right.
    pub kernel: usize,
    /// Whether one zero less stands above and left than below and right at step 2, as in TensorFlow's "same".
    pub tensorflow_padding: bool,
    /// Added to the variances of the batch norm behind it.
    pub epsilon: f64,
    /// Step between outputs.
    pub stride: usize,
    /// Distance between the kernel's elements.
    pub dilation: usize,
    /// Whether each channel has a kernel of its own; then `channels_out` is `channels_in`.
    pub depthwise: bool,
    /// Whether a constant is added to each channel.
    pub bias: bool,
    /// How the weights start.
    pub initialization: Initialization,
}

impl ConvConfig {
    /// A convolution of step 1 without bias.
    pub fn new(channels_in: usize, channels_out: usize, kernel: usize) -> Self {
        Self {
            channels_in,
            channels_out,
            kernel,
            tensorflow_padding: false,
            epsilon: EPSILON,
            stride: 1,
            dilation: 1,
            depthwise: false,
            bias: false,
            initialization: Initialization::HeNormal,
        }
    }

    /// One kernel a channel.
    pub fn depthwise(channels: usize, kernel: usize) -> Self {
        Self { depthwise: true, ..Self::new(channels, channels, kernel) }
    }

    /// With a step.
    pub fn with_stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// With holes.
    pub fn with_dilation(self, dilation: usize) -> Self {
        Self { dilation, ..self }
    }

    /// With a bias.
    pub fn with_bias(self) -> Self {
        Self { bias: true, ..self }
    }

    /// With weights that start in another way.
    pub fn with_initialization(self, initialization: Initialization) -> Self {
        Self { initialization, ..self }
    }

    /// With TensorFlow's "same" padding, for heights and widths that the step divides: at step 2 the zero above and left
    /// is left out.
    pub fn with_tensorflow_padding(self) -> Self {
        Self { tensorflow_padding: true, ..self }
    }

    /// With another epsilon of the batch norm.
    pub fn with_epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// Zeros before and after each row and column. TensorFlow's "same" puts `dilation (kernel - 1) + 1 - stride` zeros in
    /// all, the smaller half before, where the step divides the size.
    fn padding(&self) -> [usize; 2] {
        let reach = (self.kernel - 1) * self.dilation;
        let all = if self.tensorflow_padding { (reach + 1).saturating_sub(self.stride) } else { reach };
        [all / 2, all - all / 2]
    }

    /// Fresh weights.
    pub fn init(&self, device: &Device) -> Conv {
        let inputs = if self.depthwise { 1 } else { self.channels_in };
        let fan_in = inputs * self.kernel * self.kernel;
        let shape = [self.channels_out, inputs, self.kernel, self.kernel];
        let [padding_before, padding_after] = self.padding();
        Conv {
            weight: self.initialization.weight(fan_in).init(shape, device),
            bias: self.bias.then(|| self.initialization.bias(fan_in).init([self.channels_out], device)),
            stride: self.stride,
            padding_before,
            padding_after,
            dilation: self.dilation,
            depthwise: self.depthwise,
        }
    }

    /// This convolution with a batch norm and an activation behind it.
    pub fn norm(&self, activation: Activation, device: &Device) -> ConvNorm {
        ConvNorm {
            conv: self.init(device),
            norm: BatchNorm::new(self.channels_out, self.epsilon, device),
            activation: activation.into(),
        }
    }
}

/// A convolution whose padding keeps height and width, but for its step.
#[derive(Module, Debug)]
pub struct Conv {
    weight: Param<Tensor<4>>,
    bias: Option<Param<Tensor<1>>>,
    stride: usize,
    padding_before: usize,
    padding_after: usize,
    dilation: usize,
    depthwise: bool,
}

impl Conv {
    /// The identity of its weights.
    pub(super) fn weight_id(&self) -> ParamId {
        self.weight.id
    }

    /// `(N, channels_in, H, W)` to `(N, channels_out, ceil(H / stride), ceil(W / stride))`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let options = ConvOptions {
            stride: self.stride,
            padding: (self.padding_before, self.padding_after),
            dilation: self.dilation,
            depthwise: self.depthwise,
        };
        clothseg_kernels::conv2d(input, self.weight.val(), self.bias.as_ref().map(Param::val), options)
    }
}

/// A module's way to hold an [`Activation`], which has no weights.
#[derive(Module, Debug)]
struct Act {
    #[module(skip)]
    activation: Activation,
}

impl From<Activation> for Act {
    fn from(activation: Activation) -> Self {
        Self { activation }
    }
}

/// Batch norm: in training by the batch's statistics, which the [`Pass`] takes note of, else by the running ones.
#[derive(Module, Debug)]
pub struct BatchNorm {
    gamma: Param<Tensor<1>>,
    beta: Param<Tensor<1>>,
    running_mean: Param<Tensor<1>>,
    running_variance: Param<Tensor<1>>,
    epsilon: f64,
}

impl BatchNorm {
    fn new(channels: usize, epsilon: f64, device: &Device) -> Self {
        let fixed = |initializer: Initializer| -> Param<Tensor<1>> {
            initializer.init([channels], device).set_require_grad(false)
        };
        Self {
            gamma: Initializer::Ones.init([channels], device),
            beta: Initializer::Zeros.init([channels], device),
            running_mean: fixed(Initializer::Zeros),
            running_variance: fixed(Initializer::Ones),
            epsilon,
        }
    }

    fn forward(
        &self,
        input: Tensor<4>,
        residual: Option<Tensor<4>>,
        activation: Activation,
        pass: &mut Pass,
    ) -> Tensor<4> {
        let affine = [self.gamma.val(), self.beta.val()];
        if !pass.is_training() {
            pass.look_at(self.gamma.id, self.epsilon, &input);
            let running = [self.running_mean.val(), self.running_variance.val()];
            return clothseg_kernels::norm_act_frozen(input, affine, running, self.epsilon, residual, activation);
        }
        if pass.is_frozen(self.gamma.id) {
            let running = [self.running_mean.val(), self.running_variance.val()].map(Tensor::inner);
            let (affine, residual) = (affine.map(Tensor::inner), residual.map(Tensor::inner));
            let output =
                clothseg_kernels::norm_act_frozen(input.inner(), affine, running, self.epsilon, residual, activation);
            return Tensor::from_inner(output);
        }
        let [batch, _, height, width] = input.dims();
        let (output, statistics) = clothseg_kernels::norm_act(input, affine, self.epsilon, residual, activation);
        pass.note(self.running_mean.id, self.running_variance.id, statistics, batch * height * width);
        output
    }
}

/// Convolution, batch norm, optional residual, activation.
#[derive(Module, Debug)]
pub struct ConvNorm {
    conv: Conv,
    norm: BatchNorm,
    activation: Act,
}

impl ConvNorm {
    /// `(N, channels_in, H, W)` to `(N, channels_out, H', W')`.
    pub fn forward(&self, input: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.norm.forward(self.conv.forward(input), None, self.activation.activation, pass)
    }

    /// As [`ConvNorm::forward`], with `residual`, of the output's shape, added before the activation.
    pub fn forward_onto(&self, input: Tensor<4>, residual: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.norm.forward(self.conv.forward(input), Some(residual), self.activation.activation, pass)
    }
}

/// A row of 3 x 3 convolutions with batch norm and ReLU: the first changes the channels, the others keep them.
pub(super) fn conv_row(
    count: usize,
    channels_in: usize,
    channels_out: usize,
    initialization: Initialization,
    device: &Device,
) -> Vec<ConvNorm> {
    (0..count)
        .map(|index| {
            let channels_in = if index == 0 { channels_in } else { channels_out };
            let config = ConvConfig::new(channels_in, channels_out, 3).with_initialization(initialization);
            config.norm(Activation::Relu, device)
        })
        .collect()
}

/// Runs a row of blocks one after the other.
pub(super) fn forward_row(row: &[ConvNorm], input: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
    row.iter().fold(input, |x, block| block.forward(x, pass))
}

/// `channels` times `width`, rounded, at least 1.
pub(super) fn scaled(channels: usize, width: f64) -> usize {
    ((channels as f64 * width).round() as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_start_with_the_deviation_of_their_formula() {
        let device = Device::default();
        device.seed(1);
        for (initialization, deviation) in [
            (Initialization::HeNormal, (2.0_f64 / 288.0).sqrt()),
            (Initialization::Pytorch, 1.0 / (3.0_f64 * 288.0).sqrt()),
        ] {
            let config = ConvConfig::new(32, 64, 3).with_bias().with_initialization(initialization);
            let conv = config.init(&device);
            let values: Vec<f32> = conv.weight.val().into_data().iter::<f32>().collect();
            let squares = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / values.len() as f64;
            assert!((squares.sqrt() / deviation - 1.0).abs() < 0.03, "{initialization:?}: {}", squares.sqrt());
            let bias: f32 = conv.bias.map_or(f32::NAN, |bias| bias.val().abs().max().into_scalar());
            assert_eq!(bias == 0.0, initialization == Initialization::HeNormal);
            assert!(f64::from(bias) <= 1.0 / 288.0_f64.sqrt());
        }
    }
}
