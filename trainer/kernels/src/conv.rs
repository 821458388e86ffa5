//! 2-D convolution.

use burn::tensor::Tensor;
use burn::tensor::module::conv2d as burn_conv2d;
use burn::tensor::ops::ConvOptions as BurnConvOptions;
use rayon::prelude::*;

use super::compute::taps::ConvGeometry;
use super::compute::{dense, depthwise, weight_gradient, winograd, winograd_gradient};
use super::operation::{Operation, Place, apply, place};
use super::profile::timed;

/// How a kernel moves over its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvOptions {
    /// Step between outputs, the same both ways.
    pub stride: usize,
    /// Zeros above and left of the input, and zeros below and right of it.
    pub padding: (usize, usize),
    /// Distance between the kernel's elements.
    pub dilation: usize,
    /// Whether each channel has a kernel of its own (weights `(C, 1, KH, KW)`) instead of all having all.
    pub depthwise: bool,
}

impl Default for ConvOptions {
    fn default() -> Self {
        Self { stride: 1, padding: (0, 0), dilation: 1, depthwise: false }
    }
}

/// Input `(N, C, H, W)`, weights `(O, C, KH, KW)`, bias `(O)`, to `(N, O, H', W')` with
/// `H' = (H + before + after - dilation (KH - 1) - 1) / stride + 1`.
pub fn conv2d(input: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, options: ConvOptions) -> Tensor<4> {
    let [batch, channels_in, height, width] = input.dims();
    let [channels_out, _, kernel_height, kernel_width] = weight.dims();
    if place(&input) != Place::Kernels || options.stride > 2 {
        let groups = if options.depthwise { channels_in } else { 1 };
        let ConvOptions { stride, padding, dilation, .. } = options;
        let options = BurnConvOptions::new_with_padding([stride; 2], [padding; 2], [dilation; 2], groups);
        return burn_conv2d(input, weight, bias, options);
    }
    let (before, after) = options.padding;
    let output =
        |size: usize, kernel: usize| (size + before + after - options.dilation * (kernel - 1) - 1) / options.stride + 1;
    let geometry = ConvGeometry {
        batch,
        channels_in,
        channels_out,
        input: [height, width],
        output: [output(height, kernel_height), output(width, kernel_width)],
        kernel: [kernel_height, kernel_width],
        stride: options.stride,
        padding: [before; 2],
        dilation: options.dilation,
    };
    assert!(!options.depthwise || (channels_in == channels_out && bias.is_none()));
    let mut inputs = vec![input.into_dispatch(), weight.into_dispatch()];
    inputs.extend(bias.map(Tensor::into_dispatch));
    apply(inputs, Conv { geometry, depthwise: options.depthwise })
}

#[derive(Debug)]
struct Conv {
    geometry: ConvGeometry,
    depthwise: bool,
}

impl Operation for Conv {
    fn output_shape(&self) -> Vec<usize> {
        let [height, width] = self.geometry.output;
        vec![self.geometry.batch, self.geometry.channels_out, height, width]
    }

    fn name(&self) -> String {
        let ConvGeometry { channels_in, channels_out, kernel, stride, dilation, output, .. } = &self.geometry;
        let kind = if self.depthwise { "depthwise" } else { "conv" };
        format!("{kind} {0}x{0} {channels_in}->{channels_out} step {stride} holes {dilation} to {output:?}", kernel[0])
    }

    fn forward(&self, inputs: &[&[f32]]) -> Vec<f32> {
        match (self.depthwise, inputs) {
            (true, [input, weights, ..]) => depthwise::forward(&self.geometry, input, weights),
            (false, [input, weights, bias @ ..]) => {
                let forward = if winograd::suits(&self.geometry) { winograd::forward } else { dense::forward };
                forward(&self.geometry, input, weights, bias.first().copied())
            }
            _ => unreachable!("a convolution has input and weights"),
        }
    }

    fn backward(&self, inputs: &[&[f32]], _: &[f32], gradient: &[f32], wanted: &[bool]) -> Vec<Option<Vec<f32>>> {
        let (geometry, [input, weights, ..]) = (&self.geometry, inputs) else {
            unreachable!("a convolution has input and weights")
        };
        let part = |name: &str| format!("{}: {name}", self.name());
        let of_input = wanted[0].then(|| {
            timed(
                || part("input"),
                || match self.depthwise {
                    true => depthwise::input_gradient(geometry, gradient, weights),
                    false if winograd::suits(geometry) => winograd::input_gradient(geometry, gradient, weights),
                    false => dense::input_gradient(geometry, gradient, weights),
                },
            )
        });
        let of_weights = wanted[1].then(|| {
            timed(
                || part("weights"),
                || match self.depthwise {
                    true => depthwise::weight_gradient(geometry, input, gradient),
                    false if winograd_gradient::suits(geometry) => {
                        winograd_gradient::weight_gradient(geometry, input, gradient)
                    }
                    false => weight_gradient::weight_gradient(geometry, input, gradient),
                },
            )
        });
        let of_bias = wanted.get(2).is_some_and(|wanted| *wanted).then(|| bias_gradient(geometry, gradient));
        vec![of_input, of_weights, of_bias]
    }

    fn keeps_input(&self, index: usize) -> bool {
        index < 2
    }
}

/// The sum of each output channel's gradient.
fn bias_gradient(geometry: &ConvGeometry, gradient: &[f32]) -> Vec<f32> {
    let plane = geometry.output_plane();
    let of_plane = |values: &[f32]| -> f64 {
        let mut sums = [0.0_f32; 32];
        for block in values.chunks(32) {
            sums.iter_mut().zip(block).for_each(|(sum, value)| *sum += value);
        }
        sums.iter().map(|sum| f64::from(*sum)).sum()
    };
    (0..geometry.channels_out)
        .into_par_iter()
        .map(|channel| {
            let planes = gradient.chunks_exact(plane).skip(channel).step_by(geometry.channels_out);
            planes.map(of_plane).sum::<f64>() as f32
        })
        .collect()
}
