//! Lovasz-softmax: Berman, Triki and Blaschko, "The Lovasz-Softmax Loss: A Tractable Surrogate for the Optimization of the
//! Intersection-Over-Union Measure in Neural Networks", 2018.
//!
//! The Jaccard loss of a class, as a function of the set of wrong pixels, is extended to real errors `e` (`1 - p` where
//! the class is true, else `p`): with the errors sorted downwards, the extension is `sum(e_k (J_k - J_(k-1)))`, `J_k` the
//! Jaccard loss if exactly the first `k` pixels were wrong. For a given order it is linear in `p`, so its value and
//! gradient follow from one coefficient a pixel and class, found in plain numbers: it trains on every device.

use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use super::{RegionConfig, Targets};
use crate::config::{AbsentClasses, Over};
use clothseg_kernels::SegmentationLabels;

/// The mean over classes (and images) of the extended Jaccard loss, as a `(1)` tensor in 0 to 1. `smooth` plays no part.
pub fn lovasz_softmax(logits: Tensor<4>, targets: &Targets, config: &RegionConfig) -> Tensor<1> {
    let dims @ [_, classes, _, _] = logits.dims();
    let device = logits.device();
    let probabilities = softmax(logits, 1);
    let values: Vec<f32> = probabilities.clone().detach().into_data().iter::<f32>().collect();
    let found = coefficients(&values, &targets.labels, classes, config, dims[2] * dims[3]);
    let slopes = Tensor::<4>::from_data(TensorData::new(found.slopes, dims), &device);
    probabilities.mul(slopes).sum().add_scalar(found.constant)
}

/// The loss as `constant + sum(slopes * p)`.
struct Coefficients {
    /// `(N, C, H, W)`.
    slopes: Vec<f32>,
    constant: f64,
}

fn coefficients(
    probabilities: &[f32],
    labels: &SegmentationLabels,
    classes: usize,
    config: &RegionConfig,
    pixels: usize,
) -> Coefficients {
    let images = labels.indices.len() / pixels.max(1);
    // Images that are sorted together.
    let group = match config.over {
        Over::Image => 1,
        Over::Batch => images.max(1),
    };
    let weight = |class: usize| f64::from(config.class_weights.get(class).copied().unwrap_or(1.0));
    let units: Vec<(usize, usize)> =
        (0..images.div_ceil(group)).flat_map(|first| (0..classes).map(move |class| (first, class))).collect();
    let found: Vec<Option<Vec<(usize, f32)>>> = units
        .par_iter()
        .map(|(first, class)| {
            let members = (first * group..((first + 1) * group).min(images)).flat_map(|image| {
                (0..pixels).map(move |pixel| (image * pixels + pixel, (image * classes + class) * pixels + pixel))
            });
            of_class(members, probabilities, labels, *class, classes, config.absent)
        })
        .collect();
    let total: f64 =
        units.iter().zip(&found).filter(|(_, found)| found.is_some()).map(|((_, class), _)| weight(*class)).sum();
    let mut result = Coefficients { slopes: vec![0.0; probabilities.len()], constant: 0.0 };
    for ((_, class), found) in units.iter().zip(found) {
        let share = weight(*class) / total.max(1e-6);
        for (at, slope) in found.into_iter().flatten() {
            let slope = share * f64::from(slope);
            result.slopes[at] = slope as f32;
            // The error of a true pixel is 1 - p.
            result.constant -= slope.min(0.0);
        }
    }
    result
}

/// Index into the probabilities and slope of each pixel that counts; [`None`] where the class does not count. `members`
/// are pixels as indices into the labels and into the probabilities. A pixel of a set of classes does not count for these,
/// and is wrong for all others.
fn of_class(
    members: impl Iterator<Item = (usize, usize)>,
    probabilities: &[f32],
    labels: &SegmentationLabels,
    class: usize,
    classes: usize,
    absent: AbsentClasses,
) -> Option<Vec<(usize, f32)>> {
    let mut truth = 0_usize;
    let is_alarm = |label: usize| {
        let set = label.checked_sub(classes).map(|index| labels.sets.get(index));
        set.is_none_or(|set| set.is_some_and(|set| !set.contains(&(class as u8))))
    };
    let mut pixels: Vec<(f32, usize, bool)> = members
        .filter(|(label, _)| is_alarm(usize::from(labels.indices[*label])))
        .map(|(label, at)| {
            let is_true = usize::from(labels.indices[label]) == class;
            truth += usize::from(is_true);
            (if is_true { 1.0 - probabilities[at] } else { probabilities[at] }, at, is_true)
        })
        .collect();
    if pixels.is_empty() || (truth == 0 && absent == AbsentClasses::Skip) {
        return None;
    }
    // By error, then by place: the order is the same on every machine.
    pixels.sort_unstable_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
    let (mut hits, mut alarms, mut before) = (truth as f64, 0.0, 0.0);
    let slopes = pixels.into_iter().map(|(_, at, is_true)| {
        // This pixel wrong as well: a hit less, or a false alarm more.
        if is_true {
            hits -= 1.0;
        } else {
            alarms += 1.0;
        }
        let jaccard = 1.0 - hits / (truth as f64 + alarms);
        let slope = (jaccard - before) as f32;
        before = jaccard;
        (at, if is_true { -slope } else { slope })
    });
    Some(slopes.collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn config(absent: AbsentClasses, over: Over) -> RegionConfig {
        RegionConfig { smooth: 0.0, over, absent, class_weights: Vec::new() }
    }

    fn value(probabilities: [[f32; 3]; 2], labels: &[u8], absent: AbsentClasses) -> f32 {
        let device = Device::default();
        let targets = Targets::from_indices(labels, [1, 1, 3], 2, &[], &device);
        let logits = Tensor::<2>::from_floats(probabilities, &device).log().reshape([1, 2, 1, 3]);
        lovasz_softmax(logits, &targets, &config(absent, Over::Image)).into_scalar()
    }

    #[test]
    fn follows_the_papers_algorithm() {
        // Class 0, truth pixels 0 and 1: errors 0.1, 0.6, 0.3; sorted 0.6 (true), 0.3 (false), 0.1 (true).
        // Jaccard losses: 1 - 1/2, 1 - 1/3, 1 - 0/3. Class 1, truth pixel 2: the same errors; 1 - 1/2 (alarm),
        // 1 - 0/2 (its own), then no change.
        let zero = 0.6 * 0.5 + 0.3 * (2.0 / 3.0 - 0.5) + 0.1 * (1.0 - 2.0 / 3.0);
        let one = 0.6 * 0.5 + 0.3 * 0.5;
        let found = value([[0.9, 0.4, 0.3], [0.1, 0.6, 0.7]], &[0, 0, 1], AbsentClasses::Skip);
        assert!((found - (zero + one) / 2.0).abs() < 1e-6, "{found}");
    }

    #[test]
    fn is_the_jaccard_loss_of_certain_predictions() {
        // Pixel 1 is wrong: class 0 has IoU 1/2, class 1 has 1/2.
        let (no, yes) = (1e-12, 1.0 - 1e-12);
        let found = value([[yes, no, no], [no, yes, yes]], &[0, 0, 1], AbsentClasses::Skip);
        assert!((found - 0.5).abs() < 1e-5, "{found}");
    }

    #[test]
    fn an_absent_class_costs_its_largest_alarm_or_nothing() {
        let probabilities = [[0.9, 0.8, 0.6], [0.1, 0.2, 0.4]];
        // Class 0 everywhere: errors 0.4, 0.2, 0.1, each worth a third.
        let present = 0.7 / 3.0;
        assert!((value(probabilities, &[0, 0, 0], AbsentClasses::Skip) - present).abs() < 1e-6);
        let counted = (present + 0.4) / 2.0;
        assert!((value(probabilities, &[0, 0, 0], AbsentClasses::Count) - counted).abs() < 1e-6);
        assert_eq!(value(probabilities, &[255; 3], AbsentClasses::Skip), 0.0);
    }

    #[test]
    fn the_batch_can_be_sorted_as_one() {
        let device = Device::default();
        let targets = Targets::from_indices(&[0, 1, 0, 1], [2, 1, 2], 2, &[], &device);
        let split = Tensor::<2>::from_floats([[0.9, 0.4], [0.1, 0.6], [0.3, 0.2], [0.7, 0.8]], &device).log();
        let together: f32 =
            lovasz_softmax(split.clone().reshape([2, 2, 1, 2]), &targets, &config(AbsentClasses::Skip, Over::Batch))
                .into_scalar();
        let one = Targets::from_indices(&[0, 1, 0, 1], [1, 1, 4], 2, &[], &device);
        let joined = Tensor::<2>::from_floats([[0.9, 0.4, 0.3, 0.2], [0.1, 0.6, 0.7, 0.8]], &device).log();
        let as_one: f32 =
            lovasz_softmax(joined.reshape([1, 2, 1, 4]), &one, &config(AbsentClasses::Skip, Over::Image)).into_scalar();
        assert!((together - as_one).abs() < 1e-6);
    }
}
