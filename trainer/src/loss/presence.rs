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
    /// How many are known; 1 where none is.
    count: f64,
}

impl PresenceTargets {
    /// From `counts`, the cells of each class and then of each set of classes, image by image, `(N, C + S)`, and from what
    /// is known of the photos besides: `(N, C)`, or nothing. `cells` are those of an image.
    ///
    /// What the label shows is shown. What it does not show is not, unless a set that it does show may be it, or the photo
    /// is known to show it and the crop may have cut it off.
    pub(super) fn new(counts: &[f32], sets: &LabelSets, cells: usize, tags: &[Shown], device: &Device) -> Self {
        let (classes, columns) = (sets.classes(), sets.classes() + sets.sets().len());
        let images = counts.len() / columns.max(1);
        let least = LEAST_SHARE * cells as f64;
        let of = |image: usize, class: usize| {
            let counts = &counts[image * columns..][..columns];
            let may_be = (classes..columns).any(|label| counts[label] > 0.0 && sets.allows(label as u8, class as u8));
            let by_label = match f64::from(counts[class]) {
                count if count >= least && count > 0.0 => Some(true),
                count if count > 0.0 || may_be => None,
                _ => Some(false),
            };
            match (by_label, tags.get(image * classes + class).copied().unwrap_or_default()) {
                (Some(true), _) | (_, Shown::Yes) => Some(true),
                (_, Shown::No) => Some(false),
                (_, Shown::Maybe) => None,
                (by_label, Shown::ByLabel) => by_label,
            }
        };
        let truth: Vec<Option<bool>> = (0..images)
            .flat_map(|image| (0..classes).map(move |class| (image, class)))
            .map(|(i, c)| of(i, c))
            .collect();
        let tensor = |value: fn(&Option<bool>) -> bool| {
            let values: Vec<f32> = truth.iter().map(|truth| f32::from(u8::from(value(truth)))).collect();
            Tensor::from_data(TensorData::new(values, [images, classes]), device)
        };
        Self {
            shown: tensor(|truth| *truth == Some(true)),
            known: tensor(Option::is_some),
            count: truth.iter().flatten().count().max(1) as f64,
        }
    }
}

/// The mean over images and classes, as far as it is known whether they are shown, of the binary cross entropy of the head's
/// logits `(N, C, 1, 1)`: `log(1 + e^z) - y z`.
pub fn presence_loss(logits: Tensor<4>, targets: &PresenceTargets) -> Tensor<1> {
    let [images, classes, ..] = logits.dims();
    let logits = logits.reshape([images, classes]);
    // log(1 + e^z) as z+ + log(1 + e^-|z|), which does not overflow.
    let entropy =
        relu(logits.clone()).add(softplus(logits.clone().abs().neg(), 1.0)).sub(logits.mul(targets.shown.clone()));
    entropy.mul(targets.known.clone()).sum().div_scalar(targets.count)
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
    fn is_the_mean_binary_cross_entropy_of_what_is_known() {
        let device = Device::default().autodiff();
        let loss: Loss = "presence".parse().unwrap();
        let targets = Targets::from_labels(&[0, 4], [1, 1, 2], &sets(), &[], &[], &device);
        let logits = Tensor::<4>::from_floats([[[[1.0]], [[50.0]], [[-50.0]], [[-100.0]]]], &device).require_grad();
        let pixels = Tensor::<4>::zeros([1, 4, 1, 2], &device);
        let prediction = Prediction { logits: pixels.clone(), presence: Some(logits.clone()) };
        let value = loss.values(prediction, &targets).remove(0);
        let expected = (1.0 + (-1.0_f64).exp()).ln() / 2.0;
        assert!((f64::from(value.clone().into_scalar::<f32>()) - expected).abs() < 1e-6);
        let gradient: Vec<f32> = logits.grad(&value.backward()).unwrap().into_data().iter::<f32>().collect();
        let sigmoid = 1.0 / (1.0 + (-1.0_f32).exp());
        assert!(
            (gradient[0] - (sigmoid - 1.0) / 2.0).abs() < 1e-6 && gradient[1..].iter().all(|value| value.abs() < 1e-6)
        );
        // Without a head there is nothing to learn from.
        let none: f32 = loss.values(Prediction::from(pixels), &targets).remove(0).into_scalar();
        assert_eq!(none, 0.0);
    }
}
