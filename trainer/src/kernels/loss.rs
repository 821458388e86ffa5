//! The sums over a batch of logits that losses are made of.

use std::sync::Arc;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};

use super::compute::loss::SegmentationSums;
use super::operation::{Operation, Place, apply, place};

/// The true classes of a batch.
#[derive(Clone, Debug)]
pub struct SegmentationLabels {
    /// Class indices `(N, H, W)`, row-major; an index without a class is ignored.
    pub indices: Arc<[u8]>,
    /// N, H, W.
    pub shape: [usize; 3],
}

/// How much a pixel of each class counts, image by image.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelWeights {
    /// In the cross entropy: `(N, C)`, row-major.
    pub entropy: Vec<f32>,
    /// In the focal loss: `(N, C)`, row-major.
    pub focal: Vec<f32>,
}

impl PixelWeights {
    /// All 1.
    pub fn ones(images: usize, classes: usize) -> Self {
        Self { entropy: vec![1.0; images * classes], focal: vec![1.0; images * classes] }
    }
}

/// Row by row (one an image): the sum of `-w log p` over the pixels, the sum of `-w (1 - p)^gamma log p` (0 without
/// `gamma`), then of each class the sum of its softmax over all pixels that count, then of each class the sum of its
/// softmax over the pixels that are of it. `p` is the softmax of a pixel's true class and `w` that class's weight.
/// `(N, C, H, W)` to `(N, 2 + 2 C)`.
pub fn segmentation_sums(
    logits: Tensor<4>,
    labels: &SegmentationLabels,
    weights: &PixelWeights,
    gamma: Option<f32>,
) -> Tensor<2> {
    let [batch, classes, height, width] = logits.dims();
    assert_eq!(labels.shape, [batch, height, width]);
    assert_eq!([weights.entropy.len(), weights.focal.len()], [batch * classes; 2]);
    if place(&logits) != Place::Kernels {
        return by_burn(logits, labels, weights, gamma);
    }
    let PixelWeights { entropy: entropy_weights, focal: focal_weights } = weights.clone();
    let sums = SegmentationSums { batch, classes, pixels: height * width, entropy_weights, focal_weights, gamma };
    apply(vec![logits.into_dispatch()], Sums { sums, labels: labels.indices.clone() })
}

#[derive(Debug)]
struct Sums {
    sums: SegmentationSums,
    labels: Arc<[u8]>,
}

impl Operation for Sums {
    fn output_shape(&self) -> Vec<usize> {
        vec![self.sums.batch, self.sums.columns()]
    }

    fn forward(&self, inputs: &[&[f32]]) -> Vec<f32> {
        self.sums.forward(inputs[0], &self.labels)
    }

    fn backward(&self, inputs: &[&[f32]], _: &[f32], gradient: &[f32], _: &[bool]) -> Vec<Option<Vec<f32>>> {
        vec![Some(self.sums.backward(inputs[0], &self.labels, gradient))]
    }
}

/// The same of Burn's operations, by a one-hot tensor.
fn by_burn(logits: Tensor<4>, labels: &SegmentationLabels, weights: &PixelWeights, gamma: Option<f32>) -> Tensor<2> {
    let (device, dims @ [batch, classes, height, width]) = (logits.device(), logits.dims());
    let indices: Vec<i32> = labels.indices.iter().map(|index| i32::from(*index)).collect();
    let indices = Tensor::<4, Int>::from_data(TensorData::new(indices, [batch, 1, height, width]), &device);
    let channels = Tensor::<1, Int>::arange(0..classes as i64, &device).reshape([1, classes, 1, 1]);
    let one_hot = indices.expand(dims).equal(channels.expand(dims)).float();
    let tensor = |weights: &[f32]| {
        Tensor::<4>::from_data(TensorData::new(weights.to_vec(), [batch, classes, 1, 1]), &device).expand(dims)
    };
    let valid = one_hot.clone().sum_dim(1);

    let logs = log_softmax(logits, 1);
    let softmax = logs.clone().exp();
    let over_pixels = |values: Tensor<4>| values.reshape([batch, classes, height * width]).sum_dim(2);
    let by_class = |values: Tensor<4>| over_pixels(values).reshape([batch, classes]);
    let by_image = |values: Tensor<4>| by_class(values).sum_dim(1);
    let entropies = one_hot.clone().mul(logs).neg();
    let focal = match gamma {
        // The softmax of a pixel's true class, everywhere in its column: the power is then of one value a pixel.
        Some(gamma) => {
            let rest = softmax.clone().mul(one_hot.clone()).sum_dim(1).neg().add_scalar(1.0).clamp_min(1e-7);
            by_image(entropies.clone().mul(tensor(&weights.focal)).mul(rest.powf_scalar(gamma).expand(dims)))
        }
        None => Tensor::zeros([batch, 1], &device),
    };
    let regions = by_class(softmax.clone().mul(valid.expand(dims)));
    let entropies = entropies.mul(tensor(&weights.entropy));
    Tensor::cat(vec![by_image(entropies), focal, regions, by_class(softmax.mul(one_hot))], 1)
}
