//! Pooling.

use burn::tensor::Tensor;
use burn::tensor::module::{adaptive_avg_pool2d, max_pool2d as burn_max_pool2d};
use burn::tensor::ops::MaxPoolOptions;

use super::compute::pool::{self as compute, MaxPool};
use super::operation::{Operation, Place, apply, place};

/// The largest value of each `kernel` x `kernel` window: `(N, C, H, W)` to `(N, C, H', W')` with
/// `H' = (H + 2 padding - kernel) / stride + 1`.
pub fn max_pool2d(input: Tensor<4>, kernel: usize, stride: usize, padding: usize) -> Tensor<4> {
    let dims @ [batch, channels, height, width] = input.dims();
    if place(&input) != Place::Kernels {
        let options = MaxPoolOptions::new([kernel; 2]).with_stride([stride; 2]).with_padding([padding; 2]);
        return burn_max_pool2d(input, options);
    }
    let output = [height, width].map(|size| (size + 2 * padding - kernel) / stride + 1);
    let sizes = MaxPool { planes: batch * channels, input: [height, width], output, kernel, stride, padding };
    apply(vec![input.into_dispatch()], Pool { sizes, dims })
}

/// The mean of each channel: `(N, C, H, W)` to `(N, C, 1, 1)`.
pub fn mean_pool2d(input: Tensor<4>) -> Tensor<4> {
    match place(&input) {
        // What writes ONNX knows this, and no mean along an axis.
        Place::Capture => adaptive_avg_pool2d(input, [1, 1]),
        _ => input.mean_dim(2).mean_dim(3),
    }
}

#[derive(Debug)]
struct Pool {
    sizes: MaxPool,
    dims: [usize; 4],
}

impl Operation for Pool {
    fn output_shape(&self) -> Vec<usize> {
        vec![self.dims[0], self.dims[1], self.sizes.output[0], self.sizes.output[1]]
    }

    fn forward(&self, inputs: &[&[f32]]) -> Vec<f32> {
        compute::forward(&self.sizes, inputs[0])
    }

    fn backward(&self, inputs: &[&[f32]], _: &[f32], gradient: &[f32], _: &[bool]) -> Vec<Option<Vec<f32>>> {
        vec![Some(compute::input_gradient(&self.sizes, inputs[0], gradient))]
    }
}
