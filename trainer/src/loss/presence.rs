//! Which classes a photo shows at all: the loss of a network's head for it.

use burn::tensor::activation::{relu, softplus};
use burn::tensor::{Device, Tensor, TensorData};

use crate::data::{LabelSets, Shown};

/// Cells of a label that a class must fill for the photo to show it, for certain: a share of all. What fills fewer may be
/// an edge that the crop has cut off; it counts neither as shown nor as not shown.
const LEAST_SHARE: f64 = 5e-4;

/// The truth of a batch's photos, as far as it is known.
#[derive(Clone, Debug)]
pub struct PresenceTargets {
    /// `(N, C)`: 1 where a class is shown.
    shown: Tensor<2>,
    /// `(N, C)`: 1 where it is known whether.
    known: Tensor<2>,
    /// `(G, N x C)`: a row for each set of classes that a photo shows without telling which, with 1 at those that it may be.
    some_of: Option<Tensor<2>>,
    /// How many are known, of classes and sets together; 1 where none is.
    count: f64,
}

impl PresenceTargets {
    /// From `counts`, the cells of each class and then of each set of classes, image by image, `(N, C + S)`, and from what
    /// is known of the photos besides: `(N, C)`, or nothing. `cells` are those of an image.
    ///
    /// What the label shows is shown, and of a set that it shows at least one class is. What it does not show is not, unless a set
    /// that it does show may be it, or the photo is known to show it and the crop may have cut it off.
    pub(super) fn new(counts: &[f32], sets: &LabelSets, cells: usize, tags: &[Shown], device: &Device) -> Self {
        let classes = sets.classes();
        let columns = classes + sets.sets().len();
        let least = (LEAST_SHARE * cells as f64).max(f64::MIN_POSITIVE);
        let rows: Vec<&[f32]> = counts.chunks_exact(columns.max(1)).collect();
        let images = rows.len();
        let truth: Vec<Option<bool>> = (0..images * classes)
            .map(|place| is_shown(rows[place / classes], place % classes, sets, least, tags.get(place).copied()))
            .collect();
        let some_of: Vec<Vec<f32>> = (0..images)
            .flat_map(|image| (classes..columns).map(move |label| (image, label)))
            .filter(|(image, label)| f64::from(rows[*image][*label]) >= least)
            .filter_map(|(image, label)| open_members(image, label as u8, sets, &truth))
            .collect();
        let shown_sets = some_of.len();
        let some_of = (shown_sets > 0)
            .then(|| Tensor::from_data(TensorData::new(some_of.concat(), [shown_sets, images * classes]), device));
        let tensor = |value: fn(&Option<bool>) -> bool| {
            let values: Vec<f32> = truth.iter().map(|truth| f32::from(u8::from(value(truth)))).collect();
            Tensor::from_data(TensorData::new(values, [images, classes]), device)
        };
        Self {
            shown: tensor(|truth| *truth == Some(true)),
            known: tensor(Option::is_some),
            some_of,
            count: (truth.iter().flatten().count() + shown_sets).max(1) as f64,
        }
    }
}

/// Whether an image shows a class; `None` where that is not known. `counts` are the cells of each class and set in its label, of which
/// `least` are enough.
fn is_shown(counts: &[f32], class: usize, sets: &LabelSets, least: f64, tag: Option<Shown>) -> Option<bool> {
    let may_be =
        (sets.classes()..counts.len()).any(|label| counts[label] > 0.0 && sets.allows(label as u8, class as u8));
    let by_label = match f64::from(counts[class]) {
        count if count >= least => Some(true),
        count if count > 0.0 || may_be => None,
        _ => Some(false),
    };
    match (by_label, tag.unwrap_or_default()) {
        (Some(true), _) | (_, Shown::Yes) => Some(true),
        (_, Shown::No) => Some(false),
        (_, Shown::Maybe) => None,
        (by_label, Shown::ByLabel) => by_label,
    }
}

/// The classes of a set that an image may show, 1 each in a row of all images' classes; `None` where one of them is known to be
/// shown, or all are known to be missing: then the set says nothing more.
fn open_members(image: usize, label: u8, sets: &LabelSets, truth: &[Option<bool>]) -> Option<Vec<f32>> {
    let classes = sets.classes();
    let mut row = vec![0.0; truth.len()];
    for class in (0..classes).filter(|class| sets.allows(label, *class as u8)) {
        let place = image * classes + class;
        match truth[place] {
            Some(true) => return None,
            Some(false) => (),
            None => row[place] = 1.0,
        }
    }
    row.contains(&1.0).then_some(row)
}

/// Least sum of `log(1 + e^z)` over a set, where the logarithm still has a slope in single precision.
const LEAST_SUM: f64 = 1e-5;

/// The mean over images and classes, as far as it is known whether they are shown, of the binary cross entropy of the head's
/// logits `(N, C, 1, 1)`: `log(1 + e^z) - y z`. A set of which at least one class is shown counts as one more, with the probability
/// that not all are missing, were they independent: `-log(1 - e^-s)`, where `s` is the sum of `log(1 + e^z)` over its classes.
pub fn presence_loss(logits: Tensor<4>, targets: &PresenceTargets) -> Tensor<1> {
    let [images, classes, ..] = logits.dims();
    let logits = logits.reshape([images, classes]);
    // log(1 + e^z) as z+ + log(1 + e^-|z|), which does not overflow: minus the log of the probability that a class is missing.
    let missing = relu(logits.clone()).add(softplus(logits.clone().abs().neg(), 1.0));
    let entropy = missing.clone().sub(logits.mul(targets.shown.clone()));
    let mut sum = entropy.mul(targets.known.clone()).sum();
    if let Some(some_of) = &targets.some_of {
        let all_missing = some_of.clone().matmul(missing.reshape([images * classes, 1])).clamp_min(LEAST_SUM);
        sum = sum.sub(all_missing.neg().exp().neg().add_scalar(1.0).log().sum());
    }
    sum.div_scalar(targets.count)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Loss, Targets};
    use super::*;
    use crate::data::IGNORE;
    use crate::model::Prediction;

    /// Four classes and the label 4 for the second or third.
    fn sets() -> LabelSets {
        let mut sets = LabelSets::from(4);
        assert_eq!(sets.label(vec![1, 2]), Ok(4));
        sets
    }

    fn truth(labels: &[u8], tags: &[Shown]) -> Vec<Option<bool>> {
        let targets = Targets::from_labels(labels, [1, 1, labels.len()], &sets(), tags, &[], &Device::default());
        let read = |tensor: &Tensor<2>| tensor.clone().into_data().iter::<f32>().collect::<Vec<_>>();
        let known = read(&targets.presence.known);
        known
            .iter()
            .zip(read(&targets.presence.shown))
            .map(|(known, shown)| (*known > 0.0).then_some(shown > 0.0))
            .collect()
    }

    #[test]
    fn labels_tell_what_is_shown_and_sets_leave_it_open() {
        let [yes, no] = [Some(true), Some(false)];
        assert_eq!(truth(&[0, 0, 3, IGNORE], &[]), [yes, no, no, yes]);
        assert_eq!(truth(&[0, 4, 4, 2], &[]), [yes, None, yes, no]);
        // One cell of 3 000 may be an edge.
        let mut labels = [0; 3000];
        labels[7] = 1;
        assert_eq!(truth(&labels, &[]), [yes, None, no, no]);
    }

    #[test]
    fn tags_know_what_labels_do_not() {
        let tags = [Shown::ByLabel, Shown::Maybe, Shown::Yes, Shown::No];
        assert_eq!(truth(&[IGNORE, 0], &tags), [Some(true), None, Some(true), Some(false)]);
        assert_eq!(truth(&[1, 4], &tags), [Some(false), Some(true), Some(true), Some(false)]);
    }

    #[test]
    fn of_a_set_that_is_shown_one_class_is() {
        let device = Device::default().autodiff();
        let value_of = |labels: &[u8], tags: &[Shown], logits: [f32; 4]| {
            let targets = Targets::from_labels(labels, [1, 1, labels.len()], &sets(), tags, &[], &device);
            let logits = Tensor::<1>::from_floats(logits, &device).reshape([1, 4, 1, 1]).require_grad();
            let loss = presence_loss(logits.clone(), &targets.presence);
            let gradient = logits.grad(&loss.clone().backward()).unwrap();
            (f64::from(loss.into_scalar::<f32>()), gradient.into_data().iter::<f32>().collect::<Vec<_>>())
        };
        // The background is shown and the last class is not, both for certain; of the set's classes one has probability 3/4, the
        // other 1/5. Three terms, of which the set's is -log(1 - 1/4 x 4/5).
        let logits = [50.0, 3.0_f32.ln(), -(4.0_f32.ln()), -50.0];
        let (value, gradient) = value_of(&[0, 4], &[], logits);
        assert!((value + 0.8_f64.ln() / 3.0).abs() < 1e-6, "{value}");
        // d/dz = -p (1 - P) / P for each, where P = 0.8.
        for (found, expected) in gradient.iter().zip([0.0, -0.75 * 0.2 / 0.8 / 3.0, -0.2 * 0.2 / 0.8 / 3.0, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{gradient:?}");
        }
        // One that is certainly not there leaves the other; one that is there leaves nothing to learn of the rest.
        let tags = [Shown::ByLabel, Shown::No, Shown::Maybe, Shown::ByLabel];
        let (value, _) = value_of(&[0, 4], &tags, [50.0, -50.0, -(4.0_f32.ln()), -50.0]);
        assert!((value + 0.2_f64.ln() / 4.0).abs() < 1e-6, "{value}");
        let (value, _) = value_of(&[0, 4, 1, 1], &[], [50.0, 50.0, 3.0, -50.0]);
        assert!(value.abs() < 1e-6, "{value}");
        let (value, gradient) = value_of(&[0, 4], &[], [50.0, -90.0, -90.0, -50.0]);
        assert!(value.is_finite() && gradient.iter().all(|slope| slope.is_finite()), "{value} {gradient:?}");
    }

    #[test]
    fn is_the_mean_binary_cross_entropy_of_what_is_known() {
        let device = Device::default().autodiff();
        let loss: Loss = "presence".parse().unwrap();
        let targets = Targets::from_labels(&[0, 4], [1, 1, 2], &sets(), &[], &[], &device);
        let logits = Tensor::<4>::from_floats([[[[1.0]], [[50.0]], [[-50.0]], [[-100.0]]]], &device).require_grad();
        let pixels = Tensor::<4>::zeros([1, 4, 1, 2], &device);
        let prediction = Prediction { logits: pixels.clone(), presence: Some(logits.clone()) };
        let value = loss.values(prediction, &targets).remove(0);
        // Two classes are known, and the set has a class that is certain.
        let expected = (1.0 + (-1.0_f64).exp()).ln() / 3.0;
        assert!((f64::from(value.clone().into_scalar::<f32>()) - expected).abs() < 1e-6);
        let gradient: Vec<f32> = logits.grad(&value.backward()).unwrap().into_data().iter::<f32>().collect();
        let sigmoid = 1.0 / (1.0 + (-1.0_f32).exp());
        assert!(
            (gradient[0] - (sigmoid - 1.0) / 3.0).abs() < 1e-6 && gradient[1..].iter().all(|value| value.abs() < 1e-6)
        );
        // Without a head there is nothing to learn from.
        let none: f32 = loss.values(Prediction::from(pixels), &targets).remove(0).into_scalar();
        assert_eq!(none, 0.0);
    }
}
