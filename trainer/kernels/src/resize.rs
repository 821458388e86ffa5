//! Enlarging feature maps.

use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor, TensorData};

use super::compute::resize::{self as compute, Join, Resize};
use super::operation::{Operation, Place, apply, place};

/// `(N, C, H, W)` to `(N, C, height, width)`, linear between cell centres (half-pixel centres).
pub fn resize_bilinear(input: Tensor<4>, [height, width]: [usize; 2]) -> Tensor<4> {
    let dims @ [batch, channels, from_height, from_width] = input.dims();
    match place(&input) {
        Place::Kernels => {
            let sizes = Resize { planes: batch * channels, from: [from_height, from_width], to: [height, width] };
            apply(vec![input.into_dispatch()], Bilinear { sizes, dims })
        }
        Place::Capture => {
            let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_align_corners(false);
            interpolate(input, options.with_output_size([height, width]))
        }
        // As two matrix products: Burn's GPU backends have no backward pass for interpolation.
        Place::Burn => {
            let device = input.device();
            let rows = compute::matrix(from_height, height);
            let columns = transposed(&compute::matrix(from_width, width), from_width);
            let tensor =
                |values, shape, device: &Device| Tensor::<4>::from_data(TensorData::new(values, shape), device);
            let rows = tensor(rows, [1, 1, height, from_height], &device);
            let columns = tensor(columns, [1, 1, from_width, width], &device);
            let narrow = rows.expand([batch, channels, height, from_height]).matmul(input);
            narrow.matmul(columns.expand([batch, channels, from_width, width]))
        }
    }
}

/// The transpose of a row-major matrix of `columns` columns.
fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns).copied()).collect()
}

/// Repeats each cell of `low` `(N, A, H, W)` 2 x 2 and puts `skip` `(N, B, 2H, 2W)` behind it: `(N, A + B, 2H, 2W)`.
pub fn join_nearest(low: Tensor<4>, skip: Option<Tensor<4>>) -> Tensor<4> {
    let [batch, channels, height, width] = low.dims();
    let skip_channels = skip.as_ref().map_or(0, |skip| skip.dims()[1]);
    if place(&low) == Place::Kernels {
        let sizes = Join { batch, low: channels, skip: skip_channels, from: [height, width] };
        let mut inputs = vec![low.into_dispatch()];
        inputs.extend(skip.map(Tensor::into_dispatch));
        return apply(inputs, Nearest { sizes });
    }
    let options = InterpolateOptions::new(InterpolateMode::Nearest).with_align_corners(false);
    let enlarged = interpolate(low, options.with_output_size([2 * height, 2 * width]));
    match skip {
        Some(skip) => Tensor::cat(vec![enlarged, skip], 1),
        None => enlarged,
    }
}

#[derive(Debug)]
struct Bilinear {
    sizes: Resize,
    dims: [usize; 4],
}

impl Operation for Bilinear {
    fn output_shape(&self) -> Vec<usize> {
        vec![self.dims[0], self.dims[1], self.sizes.to[0], self.sizes.to[1]]
    }

    fn forward(&self, inputs: &[&[f32]]) -> Vec<f32> {
        compute::bilinear(&self.sizes, inputs[0])
    }

    fn backward(&self, _: &[&[f32]], _: &[f32], gradient: &[f32], _: &[bool]) -> Vec<Option<Vec<f32>>> {
        vec![Some(compute::bilinear_gradient(&self.sizes, gradient))]
    }

    fn keeps_input(&self, _: usize) -> bool {
        false
    }
}

#[derive(Debug)]
struct Nearest {
    sizes: Join,
}

impl Operation for Nearest {
    fn output_shape(&self) -> Vec<usize> {
        let Join { batch, low, skip, from: [height, width] } = self.sizes;
        vec![batch, low + skip, 2 * height, 2 * width]
    }

    fn forward(&self, inputs: &[&[f32]]) -> Vec<f32> {
        compute::join(&self.sizes, inputs[0], inputs.get(1).copied().unwrap_or_default())
    }

    fn backward(&self, _: &[&[f32]], _: &[f32], gradient: &[f32], _: &[bool]) -> Vec<Option<Vec<f32>>> {
        compute::join_gradient(&self.sizes, gradient).map(Some).into()
    }

    fn keeps_input(&self, _: usize) -> bool {
        false
    }
}
