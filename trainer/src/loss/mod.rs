//! What training minimises: a weighted sum of terms, written `ce:1,miou:1` in the config.
//!
//! Every term returns one value, a `(1)` tensor. All but Lovasz-softmax are made of the [`Sums`] of a batch's logits, which
//! one pass over them gives. Terms take class indices, never one-hot tensors; pixels of class [`IGNORE`] count in none.

mod cross_entropy;
mod focal;
mod lovasz;
mod presence;
mod region;

use std::str::FromStr;

use burn::tensor::{Device, Tensor, TensorData};

pub use cross_entropy::cross_entropy;
pub use focal::{focal_loss, self_balanced_weights};
pub use lovasz::lovasz_softmax;
pub use presence::{PresenceTargets, presence_loss};
pub use region::{Region, RegionConfig};

pub use crate::config::{AbsentClasses, FocalConfig, LossConfig, Over, ParseLossError, Term, Terms};
use crate::data::{Batch, IGNORE, LabelSets, Shown};
use crate::model::Prediction;
use clothseg_kernels::{PixelWeights, SegmentationLabels, segmentation_sums};

/// The truth of a batch.
#[derive(Clone, Debug)]
pub struct Targets {
    /// The class of each pixel.
    pub labels: SegmentationLabels,
    /// Pixels that are certainly of each class in each image: `(N, C)`.
    pub counts: Tensor<2>,
    /// The same in plain numbers, row-major.
    pub plain_counts: Vec<f32>,
    /// Pixels that count, those of several possible classes included.
    pub pixels: usize,
    /// Their class weights' sum; above 0.
    pub weighted_pixels: f64,
    /// Which classes the photos show.
    pub presence: PresenceTargets,
}

impl Targets {
    /// From class indices `(N, H, W)`, row-major; [`IGNORE`] and every index >= `classes` are ignored. Without
    /// `class_weights` all weights are 1.
    pub fn from_indices(
        indices: &[u8],
        shape: [usize; 3],
        classes: usize,
        class_weights: &[f32],
        device: &Device,
    ) -> Self {
        Self::from_labels(indices, shape, &LabelSets::from(classes), &[], class_weights, device)
    }

    /// As [`Targets::from_indices`], of labels some of which are sets of classes. `tags` are what is known besides of which
    /// classes each photo shows: `(N, C)`, or nothing.
    pub fn from_labels(
        indices: &[u8],
        shape: [usize; 3],
        sets: &LabelSets,
        tags: &[Shown],
        class_weights: &[f32],
        device: &Device,
    ) -> Self {
        let [images, height, width] = shape;
        let classes = sets.classes();
        let known = classes + sets.sets().len();
        let mut counts = vec![0.0_f32; images * known];
        for (image, indices) in indices.chunks_exact((height * width).max(1)).enumerate() {
            for index in indices.iter().map(|index| usize::from(*index)).filter(|index| *index < known) {
                counts[image * known + index] += 1.0;
            }
        }
        let of_class = |class: usize| f64::from(class_weights.get(class).copied().unwrap_or(1.0));
        let of_set = |set: &Vec<u8>| {
            set.iter().map(|class| of_class(usize::from(*class))).sum::<f64>() / set.len().max(1) as f64
        };
        let weights: Vec<f64> = (0..classes).map(of_class).chain(sets.sets().iter().map(of_set)).collect();
        let weighted =
            counts.iter().zip(weights.iter().cycle()).map(|(count, weight)| weight * f64::from(*count)).sum::<f64>();
        let pixels = counts.iter().map(|count| *count as usize).sum();
        let certain: Vec<f32> =
            counts.chunks_exact(known.max(1)).flat_map(|image| &image[..classes]).copied().collect();
        Self {
            pixels,
            weighted_pixels: if weighted > 0.0 { weighted } else { 1.0 },
            counts: Tensor::from_data(TensorData::new(certain.clone(), [images, classes]), device),
            plain_counts: certain,
            presence: PresenceTargets::new(&counts, sets, height * width, tags, device),
            labels: SegmentationLabels { indices: indices.into(), sets: sets.shared(), shape },
        }
    }
}

/// What the terms are made of: see [`segmentation_sums`].
#[derive(Clone, Debug)]
pub struct Sums {
    /// Weighted sum of `-log p` over the pixels of each image, `p` the softmax of the true class: `(N, 1)`.
    pub entropy: Tensor<2>,
    /// Weighted sum of the focal loss over the pixels of each image: `(N, 1)`.
    pub focal: Tensor<2>,
    /// Sum of each class's softmax over the pixels of each image: `(N, C)`.
    pub predicted: Tensor<2>,
    /// Sum of each class's softmax over the pixels that are of it: `(N, C)`.
    pub overlap: Tensor<2>,
}

impl Sums {
    /// Of logits `(N, C, H, W)`; `gamma` is the focal loss's exponent, where it is wanted.
    pub fn new(logits: Tensor<4>, targets: &Targets, weights: &PixelWeights, gamma: Option<f32>) -> Self {
        let [_, classes, _, _] = logits.dims();
        let sums = segmentation_sums(logits, &targets.labels, weights, gamma);
        let part = |start: usize, count: usize| sums.clone().narrow(1, start, count);
        Self {
            entropy: part(0, 1),
            focal: part(1, 1),
            predicted: part(2, classes),
            overlap: part(2 + classes, classes),
        }
    }
}

/// A weighted sum of terms, with their constants.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// Terms and their weights, in the order written.
    pub terms: Vec<(Term, f64)>,
    /// Added to both parts of the region terms' ratios (Dice, mean IoU, Tversky), in pixels.
    pub smooth: f64,
    /// What the region terms' sums go over.
    pub over: Over,
    /// What the region terms do with classes that the image does not show.
    pub absent: AbsentClasses,
    /// Weight of the background in the weighted mean IoU; 0.1 in the study.
    pub background_weight: f64,
    /// Tversky's alpha and beta: weights of false alarms and of misses.
    pub tversky: [f64; 2],
    /// The focal losses' constants.
    pub focal: FocalConfig,
    /// Weight of each class in every term; all 1 where it is empty.
    pub class_weights: Vec<f32>,
}

impl LossConfig {
    /// The loss, without class weights.
    ///
    /// # Errors
    /// [`ParseLossError`] for terms that there are not.
    pub fn loss(&self) -> Result<Loss, ParseLossError> {
        let Self { smooth, over, absent, background_weight, tversky, focal, .. } = *self;
        Ok(Loss { smooth, over, absent, background_weight, tversky, focal, ..self.terms.parse()? })
    }
}

impl FromStr for Loss {
    type Err = ParseLossError;

    /// Terms as written, with the usual constants.
    fn from_str(text: &str) -> Result<Self, ParseLossError> {
        Ok(Self {
            terms: text.parse::<Terms>()?.0,
            smooth: 1.0,
            over: Over::default(),
            absent: AbsentClasses::default(),
            background_weight: 0.1,
            tversky: [0.3, 0.7],
            focal: FocalConfig::default(),
            class_weights: Vec::new(),
        })
    }
}

impl Loss {
    /// The truth of a batch, as [`Loss::values`] takes it.
    pub fn targets(&self, batch: &Batch, sets: &LabelSets, device: &Device) -> Targets {
        Targets::from_labels(&batch.labels, batch.label_shape, sets, &batch.shown, &self.class_weights, device)
    }

    /// The terms' unweighted values, in order, each a `(1)` tensor, of logits `(N, C, H, W)` and, where the network has a head
    /// for it, of which classes it finds at all.
    pub fn values(&self, prediction: impl Into<Prediction>, targets: &Targets) -> Vec<Tensor<1>> {
        let Prediction { logits, presence } = prediction.into();
        let [images, classes, _, _] = logits.dims();
        let has = |wanted: &[Term]| self.terms.iter().any(|(term, _)| wanted.contains(term));
        let gamma = has(&[Term::Focal, Term::SelfBalancedFocal]).then_some(self.focal.gamma as f32);
        let needs_sums = self.terms.iter().any(|(term, _)| !matches!(term, Term::LovaszSoftmax | Term::Presence));
        let sums = needs_sums
            .then(|| Sums::new(logits.clone(), targets, &self.pixel_weights(targets, images, classes), gamma));
        let value = |term: Term| match (term, &sums) {
            (Term::Presence, _) => match &presence {
                Some(presence) => presence_loss(presence.clone(), &targets.presence),
                None => Tensor::zeros([1], &logits.device()),
            },
            (Term::LovaszSoftmax, _) | (_, None) => {
                lovasz_softmax(logits.clone(), targets, &self.region(self.class_weights.clone()))
            }
            (term, Some(sums)) => self.value(term, classes, sums, targets),
        };
        self.terms.iter().map(|(term, _)| value(*term)).collect()
    }

    /// The value of a term that is made of the sums.
    fn value(&self, term: Term, classes: usize, sums: &Sums, targets: &Targets) -> Tensor<1> {
        let [false_alarms, misses] = self.tversky;
        let region = |region: Region, weights| region.loss(sums, targets, &self.region(weights));
        match term {
            Term::CrossEntropy => cross_entropy(sums, targets),
            Term::Focal | Term::SelfBalancedFocal => focal_loss(sums, targets, self.focal.alpha),
            Term::Dice => region(Region::Dice, self.class_weights.clone()),
            Term::MeanIou => region(Region::MeanIou, self.class_weights.clone()),
            Term::WeightedMeanIou => region(Region::MeanIou, self.weights_with_less_background(classes)),
            Term::Tversky => region(Region::Tversky { false_alarms, misses }, self.class_weights.clone()),
            Term::LovaszSoftmax | Term::Presence => unreachable!("these are not made of the sums"),
        }
    }

    fn region(&self, class_weights: Vec<f32>) -> RegionConfig {
        RegionConfig { smooth: self.smooth, over: self.over, absent: self.absent, class_weights }
    }

    fn weights_with_less_background(&self, classes: usize) -> Vec<f32> {
        let mut weights = match self.class_weights.is_empty() {
            true => vec![1.0; classes],
            false => self.class_weights.clone(),
        };
        if let Some(background) = weights.first_mut() {
            *background *= self.background_weight as f32;
        }
        weights
    }

    fn pixel_weights(&self, targets: &Targets, images: usize, classes: usize) -> PixelWeights {
        let mut weights = PixelWeights::ones(images, classes);
        if !self.class_weights.is_empty() {
            weights.entropy = self.class_weights.repeat(images);
            weights.focal = weights.entropy.clone();
        }
        if self.terms.iter().any(|(term, _)| *term == Term::SelfBalancedFocal) {
            let balance = self_balanced_weights(&targets.plain_counts, classes, self.focal.balance);
            weights.focal.iter_mut().zip(balance).for_each(|(weight, factor)| *weight *= factor);
        }
        weights
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

    /// Three classes, and the label 3 for the first or the last.
    fn sets() -> LabelSets {
        let mut sets = LabelSets::from(3);
        assert_eq!(sets.label(vec![0, 2]), Ok(3));
        sets
    }

    /// [`LABELS`] with two pixels of a set.
    const LABELS_WITH_SETS: [u8; 8] = [0, 3, 1, 2, 2, 3, IGNORE, 1];

    /// The errors that follow lie at least 0.02 apart: Lovasz-softmax has a kink where two are equal.
    fn logits() -> Vec<f32> {
        (0..24).map(|index| index as f32).map(|index| 1.5 * (2.1 * index + 0.3 * index * index).sin()).collect()
    }

    /// Two images, three classes, 2 x 2.
    fn weighted(loss: &Loss, labels: &[u8], values: Vec<f32>, device: &Device) -> (Tensor<4>, Tensor<1>) {
        let targets = Targets::from_labels(labels, [2, 2, 2], &sets(), &[], &loss.class_weights, device);
        let logits = Tensor::<4>::from_data(TensorData::new(values, [2, 3, 2, 2]), device).require_grad();
        let values = loss.values(logits.clone(), &targets);
        (logits, loss.weighted_sum(&values).unwrap())
    }

    fn differentiate(loss: &Loss, labels: &[u8]) -> Vec<f32> {
        let (input, value) = weighted(loss, labels, logits(), &Device::default().autodiff());
        input.grad(&value.backward()).unwrap().into_data().iter::<f32>().collect()
    }

    fn all_losses() -> Vec<Loss> {
        let mut losses = Vec::new();
        for term in Term::ALL.into_iter().filter(|term| *term != Term::Presence) {
            for (absent, over) in [(AbsentClasses::Skip, Over::Image), (AbsentClasses::Count, Over::Batch)] {
                for class_weights in [vec![], vec![0.5, 2.0, 1.0]] {
                    losses.push(Loss { absent, over, class_weights, ..term.name().parse::<Loss>().unwrap() });
                }
            }
        }
        let focal = FocalConfig { alpha: 0.25, gamma: 5.0, balance: 3.0 };
        losses.push(Loss { focal, .."focal".parse::<Loss>().unwrap() });
        losses.push("ce:0.5,miou:2,lovasz:0.3".parse::<Loss>().unwrap());
        losses.push(Loss { smooth: 0.01, .."dice:1,ce:1".parse::<Loss>().unwrap() });
        losses
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for (loss, labels) in
            all_losses().into_iter().flat_map(|loss| [(loss.clone(), LABELS), (loss, LABELS_WITH_SETS)])
        {
            let gradient = differentiate(&loss, &labels);
            let device = Device::default().autodiff();
            let at = |values: Vec<f32>| weighted(&loss, &labels, values, &device).1.into_scalar::<f32>();
            for index in 0..24 {
                let moved = |step: f32| {
                    let mut values = logits();
                    values[index] += step;
                    at(values)
                };
                let expected = (moved(0.003) - moved(-0.003)) / 0.006;
                assert!((gradient[index] - expected).abs() < 2e-4, "{loss:?} {index}: {} {expected}", gradient[index]);
            }
        }
    }

    /// Softmax `(C)` of a pixel of image 0.
    fn softmax_at(pixel: usize) -> Vec<f64> {
        let values = logits();
        let powers: Vec<f64> = (0..3).map(|class| f64::from(values[class * 4 + pixel]).exp()).collect();
        powers.iter().map(|power| power / powers.iter().sum::<f64>()).collect()
    }

    #[test]
    fn the_gradient_of_cross_entropy_is_p_minus_y() {
        let gradient = differentiate(&"ce".parse::<Loss>().unwrap(), &LABELS);
        for pixel in 0..4 {
            for (class, p) in softmax_at(pixel).into_iter().enumerate() {
                let y = f64::from(u8::from(usize::from(LABELS[pixel]) == class));
                assert!((f64::from(gradient[class * 4 + pixel]) - (p - y) / 7.0).abs() < 1e-7);
            }
        }
    }

    #[test]
    fn the_gradient_of_mean_iou_is_that_of_the_ratio() {
        // On a probability: -(y (U + s) - (1 - y) (I + s)) / (U + s)^2, for one of three classes of one of two images;
        // then through the softmax: p (g - sum(p g)).
        let loss = Loss { absent: AbsentClasses::Count, smooth: 0.01, .."miou".parse::<Loss>().unwrap() };
        let gradient = differentiate(&loss, &LABELS);
        let y = |pixel: usize, class: usize| f64::from(u8::from(usize::from(LABELS[pixel]) == class));
        let on_probability = |pixel: usize, class: usize| {
            let p = |pixel: usize| softmax_at(pixel)[class];
            let overlap: f64 = (0..4).map(|pixel| p(pixel) * y(pixel, class)).sum();
            let union: f64 = (0..4).map(|pixel| p(pixel) + y(pixel, class)).sum::<f64>() - overlap;
            let (above, below) = (overlap + 0.01, union + 0.01);
            -(y(pixel, class) * below - (1.0 - y(pixel, class)) * above) / (below * below) / 6.0
        };
        for pixel in 0..4 {
            let p = softmax_at(pixel);
            let g: Vec<f64> = (0..3).map(|class| on_probability(pixel, class)).collect();
            let mean: f64 = p.iter().zip(&g).map(|(p, g)| p * g).sum();
            for class in 0..3 {
                let expected = p[class] * (g[class] - mean);
                assert!((f64::from(gradient[class * 4 + pixel]) - expected).abs() < 1e-7);
            }
        }
    }

    #[test]
    fn ignored_pixels_have_no_gradient() {
        for loss in all_losses() {
            let gradient = differentiate(&loss, &LABELS);
            assert!((0..3).all(|class| gradient[12 + class * 4 + 2] == 0.0), "{loss:?}");
        }
    }
    #[test]
    fn a_set_costs_what_its_classes_together_are_not() {
        // One pixel of classes 0 or 2; softmax 1/2, 1/4, 1/4. Region sums: the pixel is an alarm for class 1 alone.
        let device = Device::default();
        let logits = || Tensor::<4>::from_floats([[[[2.0_f32.ln()]], [[0.0]], [[0.0]]]], &device);
        let value = |text: &str, class_weights: Vec<f32>| -> f32 {
            let loss = Loss { class_weights, ..text.parse::<Loss>().unwrap() };
            let targets = Targets::from_labels(&[3], [1, 1, 1], &sets(), &[], &loss.class_weights, &device);
            loss.values(logits(), &targets)[0].clone().into_scalar()
        };
        assert!((value("ce", vec![]) + 0.75_f32.ln()).abs() < 1e-6);
        // The weight of a set is its classes' mean; of one pixel it divides away.
        assert!((value("ce", vec![1.0, 9.0, 3.0]) + 0.75_f32.ln()).abs() < 1e-6);
        assert!((value("focal", vec![]) + 0.25 * 0.25 * 0.25 * 0.75_f32.ln()).abs() < 1e-6);
        let counted = Loss { absent: AbsentClasses::Count, .."miou".parse::<Loss>().unwrap() };
        let targets = Targets::from_labels(&[3], [1, 1, 1], &sets(), &[], &[], &device);
        let found: f32 = counted.values(logits(), &targets)[0].clone().into_scalar();
        assert!((found - (1.0 - 1.0 / 1.25) / 3.0).abs() < 1e-6, "{found}");
        assert_eq!((targets.pixels, targets.plain_counts), (1, vec![0.0; 3]));
    }
}
