//! What training minimises: a weighted sum of terms, written `ce:1,miou:1` in the config.
//!
//! Every term takes the [`Sums`] of a batch's logits and its [`Targets`], and returns one value, a `(1)` tensor. Pixels
//! of class [`IGNORE`] count in no term.

mod cross_entropy;
mod jaccard;

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

pub use cross_entropy::cross_entropy;
pub use jaccard::{AbsentClasses, mean_iou_loss};

use crate::data::IGNORE;
use crate::kernels::{SegmentationLabels, segmentation_sums};

/// The truth of a batch.
#[derive(Clone, Debug)]
pub struct Targets {
    /// The class of each pixel.
    pub labels: SegmentationLabels,
    /// Pixels of each class in each image: `(N, C)`.
    pub counts: Tensor<2>,
    /// Pixels that count.
    pub pixels: usize,
}

impl Targets {
    /// From class indices `(N, H, W)`, row-major; [`IGNORE`] and every index >= `classes` are ignored.
    pub fn from_indices(indices: &[u8], shape: [usize; 3], classes: usize, device: &Device) -> Self {
        let [images, height, width] = shape;
        let mut counts = vec![0.0_f32; images * classes];
        for (image, indices) in indices.chunks_exact((height * width).max(1)).enumerate() {
            for index in indices.iter().map(|index| usize::from(*index)).filter(|index| *index < classes) {
                counts[image * classes + index] += 1.0;
            }
        }
        Self {
            pixels: indices.iter().filter(|index| usize::from(**index) < classes).count(),
            counts: Tensor::from_data(TensorData::new(counts, [images, classes]), device),
            labels: SegmentationLabels { indices: indices.into(), shape },
        }
    }
}

/// What the terms are made of: see [`segmentation_sums`].
#[derive(Clone, Debug)]
pub struct Sums {
    /// Sum of `-log p` over the pixels of each image, `p` the softmax of the true class: `(N, 1)`.
    pub entropy: Tensor<2>,
    /// Sum of the focal loss over the pixels of each image: `(N, 1)`.
    pub focal: Tensor<2>,
    /// Sum of each class's softmax over the pixels of each image: `(N, C)`.
    pub predicted: Tensor<2>,
    /// Sum of each class's softmax over the pixels that are of it: `(N, C)`.
    pub overlap: Tensor<2>,
}

impl Sums {
    /// Of logits `(N, C, H, W)`; `gamma` is the focal loss's exponent, where it is wanted.
    pub fn new(logits: Tensor<4>, targets: &Targets, gamma: Option<f32>) -> Self {
        let [_, classes, _, _] = logits.dims();
        let sums = segmentation_sums(logits, &targets.labels, &vec![1.0; classes], gamma);
        let part = |start: usize, count: usize| sums.clone().narrow(1, start, count);
        Self {
            entropy: part(0, 1),
            focal: part(1, 1),
            predicted: part(2, classes),
            overlap: part(2 + classes, classes),
        }
    }
}

/// One term's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Term {
    /// Cross entropy, the mean over the pixels that count.
    CrossEntropy,
    /// Mean IoU: soft Jaccard, per image and class.
    MeanIou,
}

impl Term {
    /// The name in configs and logs.
    pub fn name(self) -> &'static str {
        match self {
            Term::CrossEntropy => "ce",
            Term::MeanIou => "miou",
        }
    }
}

/// A weighted sum of terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// Terms and their weights, in the order written.
    pub terms: Vec<(Term, f64)>,
    /// Added to both parts of the mean IoU's fraction, in pixels.
    pub smooth: f64,
    /// What the mean IoU does with classes that the image does not show.
    pub absent: AbsentClasses,
}

/// Why a text is no loss.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is no loss: {cause}; write terms with weights such as `ce:1,miou:1` (terms: ce, miou)")]
pub struct ParseLossError {
    text: String,
    cause: String,
}

impl FromStr for Loss {
    type Err = ParseLossError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |cause: String| ParseLossError { text: text.to_owned(), cause };
        let mut terms = Vec::new();
        for part in text.split(',') {
            let (name, weight) = part.trim().split_once(':').unwrap_or((part.trim(), "1"));
            let term = match name.trim() {
                "ce" => Term::CrossEntropy,
                "miou" => Term::MeanIou,
                other => return Err(fail(format!("there is no term `{other}`"))),
            };
            let weight: f64 = weight.trim().parse().map_err(|_| fail(format!("`{weight}` is no number")))?;
            if !weight.is_finite() || weight <= 0.0 {
                return Err(fail(format!("the weight {weight} is not above 0")));
            }
            if terms.iter().any(|(known, _)| *known == term) {
                return Err(fail(format!("`{name}` is there twice")));
            }
            terms.push((term, weight));
        }
        Ok(Self { terms, smooth: 1.0, absent: AbsentClasses::default() })
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (term, weight)) in self.terms.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{}:{weight}", term.name())?;
        }
        Ok(())
    }
}

impl Loss {
    /// The terms' unweighted values, in order, each a `(1)` tensor, of logits `(N, C, H, W)`.
    pub fn values(&self, logits: Tensor<4>, targets: &Targets) -> Vec<Tensor<1>> {
        let sums = Sums::new(logits, targets, None);
        self.terms
            .iter()
            .map(|(term, _)| match term {
                Term::CrossEntropy => cross_entropy(&sums, targets),
                Term::MeanIou => mean_iou_loss(&sums, targets, self.smooth, self.absent),
            })
            .collect()
    }

    /// The weighted sum of values from [`Loss::values`], a `(1)` tensor.
    pub fn weighted_sum(&self, values: &[Tensor<1>]) -> Option<Tensor<1>> {
        self.terms
            .iter()
            .zip(values)
            .map(|((_, weight), value)| value.clone().mul_scalar(*weight))
            .reduce(|sum, value| sum.add(value))
    }
}

/// Indices that stand for no class must stay what the data calls ignored.
const _: () = assert!(IGNORE == u8::MAX);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LABELS: [u8; 8] = [0, 1, 1, 2, 2, 0, IGNORE, 1];

    fn logits() -> Vec<f32> {
        (0..24).map(|index| ((index * 7 % 11) as f32 - 5.0) / 4.0).collect()
    }

    /// Two images, three classes, 2 x 2.
    fn weighted(loss: &Loss, values: Vec<f32>, device: &Device) -> (Tensor<4>, Tensor<1>) {
        let targets = Targets::from_indices(&LABELS, [2, 2, 2], 3, device);
        let logits = Tensor::<4>::from_data(TensorData::new(values, [2, 3, 2, 2]), device).require_grad();
        let values = loss.values(logits.clone(), &targets);
        (logits, loss.weighted_sum(&values).unwrap())
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for (text, absent) in
            [("ce:1", AbsentClasses::Skip), ("miou:1", AbsentClasses::Skip), ("ce:0.5,miou:2", AbsentClasses::Count)]
        {
            let loss = Loss { absent, ..text.parse().unwrap() };
            let device = Device::default().autodiff();
            let (input, value) = weighted(&loss, logits(), &device);
            let gradient = input.grad(&value.backward()).unwrap();
            let gradient: Vec<f32> = gradient.into_data().iter::<f32>().collect();
            let at = |values: Vec<f32>| weighted(&loss, values, &Device::default().autodiff()).1.into_scalar::<f32>();
            for index in 0..24 {
                let moved = |step: f32| {
                    let mut values = logits();
                    values[index] += step;
                    at(values)
                };
                let expected = (moved(0.01) - moved(-0.01)) / 0.02;
                assert!((gradient[index] - expected).abs() < 2e-4, "{text} {index}: {} {expected}", gradient[index]);
            }
        }
    }

    #[test]
    fn ignored_pixels_have_no_gradient() {
        let loss: Loss = "ce:1,miou:1".parse().unwrap();
        let device = Device::default().autodiff();
        let (input, value) = weighted(&loss, logits(), &device);
        let gradient: Vec<f32> = input.grad(&value.backward()).unwrap().into_data().iter::<f32>().collect();
        for class in 0..3 {
            assert_eq!(gradient[12 + class * 4 + 2], 0.0);
        }
    }

    #[test]
    fn terms_are_read_and_faults_named() {
        let loss: Loss = " ce:1 , miou:0.5".parse().unwrap();
        assert_eq!(loss.terms, [(Term::CrossEntropy, 1.0), (Term::MeanIou, 0.5)]);
        assert_eq!(loss.to_string(), "ce:1,miou:0.5");
        for (text, cause) in
            [("dice:1", "dice"), ("ce:x", "no number"), ("ce:-1", "above 0"), ("ce:1,ce:2", "twice"), ("", "no term")]
        {
            let error = text.parse::<Loss>().unwrap_err().to_string();
            assert!(error.contains(cause), "{error}");
        }
    }
}
