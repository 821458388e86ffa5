//! Mean IoU as a loss: the soft Jaccard index of Rahman and Wang, "Optimizing Intersection-Over-Union in Deep Neural
//! Networks for Image Segmentation", 2016, taken per image and class as in the study.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Sums, Targets};

/// What the mean over classes does with the classes that an image does not show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AbsentClasses {
    /// They are left out: the mean is over the classes that the image shows. A wrong pixel still costs, because it is
    /// missing from (and adds to the union of) a class that is there. With 21 classes of which an image shows six,
    /// counting the others mostly adds a constant that shrinks the gradient of those six.
    #[default]
    Skip,
    /// They count, as in the study: `smooth / (sum(p) + smooth)`, which is 1 only where nothing is predicted.
    Count,
}

/// `1 - mean over images and classes of (sum(p y) + smooth) / (sum(p + y - p y) + smooth)`, sums over the pixels that
/// count of one image, as a `(1)` tensor, in 0 to 1. 0 where there is no class to count.
pub fn mean_iou_loss(sums: &Sums, targets: &Targets, smooth: f64, absent: AbsentClasses) -> Tensor<1> {
    let intersection = sums.overlap.clone();
    let union = sums.predicted.clone().add(targets.counts.clone()).sub(intersection.clone());
    let miss = union.clone().sub(intersection).div(union.add_scalar(smooth)); // 1 - IoU
    match absent {
        AbsentClasses::Count => miss.mean(),
        AbsentClasses::Skip => {
            let present = targets.counts.clone().greater_elem(0.0).float();
            let number = present.clone().sum().clamp_min(1.0);
            miss.mul(present).sum().div(number)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::IGNORE;
    use burn::tensor::Device;

    /// Class 0 has probabilities 0.8 and 0.4, class 1 the rest, class 2 none.
    fn value(labels: &[u8], absent: AbsentClasses, smooth: f64) -> f32 {
        let device = Device::default();
        let targets = Targets::from_indices(labels, [1, 1, 2], 3, &device);
        let probabilities = Tensor::<4>::from_floats([[[[0.8, 0.4]], [[0.2, 0.6]], [[1e-20, 1e-20]]]], &device);
        let sums = Sums::new(probabilities.log(), &targets, None);
        mean_iou_loss(&sums, &targets, smooth, absent).into_scalar()
    }

    #[test]
    fn is_the_soft_jaccard_of_each_class() {
        // Class 0: 0.8 / (1.2 + 1 - 0.8); class 1: 0.6 / (0.8 + 1 - 0.6).
        let expected = 1.0 - (0.8 / 1.4 + 0.6 / 1.2) / 2.0;
        assert!((value(&[0, 1], AbsentClasses::Skip, 1e-9) - expected).abs() < 1e-6);
        let smooth = 1.0 - (1.8 / 2.4 + 1.6 / 2.2) / 2.0;
        assert!((value(&[0, 1], AbsentClasses::Skip, 1.0) - smooth).abs() < 1e-6);
    }

    #[test]
    fn absent_classes_are_left_out_or_counted() {
        // Both pixels are class 0; class 1 is predicted with 0.8 in all and absent, class 2 is right to be empty.
        let present = 1.0 - (1.2 + 1.0) / (2.0 + 1.0);
        assert!((value(&[0, 0], AbsentClasses::Skip, 1.0) - present).abs() < 1e-6);
        let counted = (present + (1.0 - 1.0 / 1.8) + 0.0) / 3.0;
        assert!((value(&[0, 0], AbsentClasses::Count, 1.0) - counted).abs() < 1e-6);
    }

    #[test]
    fn ignored_pixels_count_neither_as_truth_nor_as_prediction() {
        let expected = 1.0 - 0.8 / 1.0;
        assert!((value(&[0, IGNORE], AbsentClasses::Skip, 1e-9) - expected).abs() < 1e-6);
        assert_eq!(value(&[IGNORE, IGNORE], AbsentClasses::Skip, 1.0), 0.0);
    }
}
