//! The sums over a batch of logits that losses are made of.

use std::sync::Arc;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};

use super::compute::loss::SegmentationSums;
use super::operation::{Operation, Place, apply, place};

/// The true classes of a batch.
#[derive(Clone, Debug)]
pub struct SegmentationLabels {
    /// Class indices `(N, H, W)`, row-major. The index `C + i` stands for any class of the set `i`; an index without a class
    /// or set is ignored.
    pub indices: Arc<[u8]>,
    /// Sets of classes.
    pub sets: Arc<[Vec<u8>]>,
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
    /// Those of the classes, and behind them, image by image, those of `sets`: the means of their classes'.
    fn with_sets(&self, classes: usize, sets: &[Vec<u8>]) -> Self {
        let extend = |weights: &[f32]| -> Vec<f32> {
            let of_image = |weights: &[f32]| -> Vec<f32> {
                let mean = |set: &Vec<u8>| {
                    set.iter().map(|class| weights[usize::from(*class)]).sum::<f32>() / set.len().max(1) as f32
                };
                weights.iter().copied().chain(sets.iter().map(mean)).collect()
            };
            weights.chunks_exact(classes.max(1)).flat_map(of_image).collect()
        };
        Self { entropy: extend(&self.entropy), focal: extend(&self.focal) }
    }

    /// All 1.
    pub fn ones(images: usize, classes: usize) -> Self {
        Self { entropy: vec![1.0; images * classes], focal: vec![1.0; images * classes] }
    }
}

/// Row by row (one an image): the sum of `-w log p` over the pixels, the sum of `-w (1 - p)^gamma log p` (0 without
/// `gamma`), then of each class the sum of its softmax over all pixels that count, then of each class the sum of its
/// softmax over the pixels that are of it. `p` is the softmax of a pixel's true class and `w` that class's weight. A pixel of a
/// set has the sum of its classes' softmaxes as `p` and the mean of their weights as `w`; it is in the sums of the softmaxes
/// of the classes outside of the set alone. `(N, C, H, W)` to `(N, 2 + 2 C)`.
pub fn segmentation_sums(
    logits: Tensor<4>,
    labels: &SegmentationLabels,
    weights: &PixelWeights,
    gamma: Option<f32>,
) -> Tensor<2> {
    let [batch, classes, height, width] = logits.dims();
    assert_eq!(labels.shape, [batch, height, width]);
    assert_eq!([weights.entropy.len(), weights.focal.len()], [batch * classes; 2]);
    let weights = weights.with_sets(classes, &labels.sets);
    if place(&logits) != Place::Kernels {
        return by_burn(logits, labels, &weights, gamma);
    }
    let PixelWeights { entropy: entropy_weights, focal: focal_weights } = weights;
    let (pixels, sets) = (height * width, labels.sets.clone());
    let sums = SegmentationSums { batch, classes, pixels, sets, entropy_weights, focal_weights, gamma };
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

/// The same of Burn's operations, by tensors that are 1 where a class may be a pixel's. `weights` are of classes and sets.
fn by_burn(logits: Tensor<4>, labels: &SegmentationLabels, weights: &PixelWeights, gamma: Option<f32>) -> Tensor<2> {
    let (device, dims @ [batch, classes, height, width]) = (logits.device(), logits.dims());
    let planes = Planes::new(labels, weights, dims);
    let full = |values: Vec<f32>| Tensor::<4>::from_data(TensorData::new(values, dims), &device);
    let flat = |values: Vec<f32>| Tensor::<4>::from_data(TensorData::new(values, [batch, 1, height, width]), &device);
    let (possible, one_hot, alarms) = (full(planes.possible), full(planes.certain), full(planes.alarms));

    let logs = log_softmax(logits, 1);
    let softmax = logs.clone().exp();
    // -log of the summed probability of what is possible; where one class is, exactly its logarithm.
    let impossible = possible.clone().sub_scalar(1.0).mul_scalar(1e30);
    let masked = logs.mul(possible.clone()).add(impossible);
    let largest = masked.clone().max_dim(1);
    let summed = masked.sub(largest.clone().expand(dims)).exp().sum_dim(1).log().add(largest);
    let counted = flat(planes.counted);
    // Where nothing counts, everything is impossible, and the sum no number to multiply.
    let entropies = summed.neg().mask_fill(counted.lower_elem(0.5), 0.0);
    let over_pixels = |values: Tensor<4>| values.reshape([batch, classes, height * width]).sum_dim(2);
    let by_class = |values: Tensor<4>| over_pixels(values).reshape([batch, classes]);
    let by_image = |values: Tensor<4>| values.reshape([batch, height * width]).sum_dim(1);
    let focal = match gamma {
        Some(gamma) => {
            let rest = softmax.clone().mul(possible).sum_dim(1).neg().add_scalar(1.0).clamp_min(1e-7);
            by_image(entropies.clone().mul(flat(planes.focal)).mul(rest.powf_scalar(gamma)))
        }
        None => Tensor::zeros([batch, 1], &device),
    };
    let entropies = by_image(entropies.mul(flat(planes.entropy)));
    let regions = by_class(softmax.clone().mul(alarms));
    Tensor::cat(vec![entropies, focal, regions, by_class(softmax.mul(one_hot))], 1)
}

/// What labels say, pixel by pixel.
struct Planes {
    /// `(N, C, H, W)`: 1 where a class may be the pixel's.
    possible: Vec<f32>,
    /// `(N, C, H, W)`: 1 where a class is the pixel's.
    certain: Vec<f32>,
    /// `(N, C, H, W)`: 1 where the softmax of a class is in its sum over pixels.
    alarms: Vec<f32>,
    /// `(N, 1, H, W)`: 1 where the pixel counts.
    counted: Vec<f32>,
    /// `(N, 1, H, W)`: its weights.
    entropy: Vec<f32>,
    focal: Vec<f32>,
}

impl Planes {
    fn new(labels: &SegmentationLabels, weights: &PixelWeights, [batch, classes, height, width]: [usize; 4]) -> Self {
        let pixels = height * width;
        let full = || vec![0.0; batch * classes * pixels];
        let flat = || vec![0.0; batch * pixels];
        let mut planes =
            Self { possible: full(), certain: full(), alarms: full(), counted: flat(), entropy: flat(), focal: flat() };
        let known = classes + labels.sets.len();
        for (at, label) in labels.indices.iter().enumerate() {
            let (image, pixel, label) = (at / pixels.max(1), at % pixels.max(1), usize::from(*label));
            if label >= known {
                continue;
            }
            planes.counted[at] = 1.0;
            planes.entropy[at] = weights.entropy[image * known + label];
            planes.focal[at] = weights.focal[image * known + label];
            let place = |class: usize| (image * classes + class) * pixels + pixel;
            let set = label.checked_sub(classes).map(|index| &labels.sets[index]);
            for class in 0..classes {
                let is_possible = set.map_or(class == label, |set| set.contains(&(class as u8)));
                planes.possible[place(class)] = f32::from(u8::from(is_possible));
                planes.certain[place(class)] = f32::from(u8::from(class == label));
                planes.alarms[place(class)] = f32::from(u8::from(set.is_none() || !is_possible));
            }
        }
        planes
    }
}
