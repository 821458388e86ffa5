//! Mean IoU as a loss: the soft Jaccard index of Rahman and Wang, "Optimizing Intersection-Over-Union in Deep Neural
//! Networks for Image Segmentation", 2016, taken per image and class as in the study.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::Targets;

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
/// count of one image: `(N, C, H, W)` probabilities to `(1)`, in 0 to 1. 0 where there is no class to count.
pub fn mean_iou_loss(probabilities: Tensor<4>, targets: &Targets, smooth: f64, absent: AbsentClasses) -> Tensor<1> {
    let [count, classes, height, width] = probabilities.dims();
    let per_class = |x: Tensor<4>| x.reshape([count, classes, height * width]).sum_dim(2); // (N, C, 1)
    let truth = per_class(targets.one_hot.clone());
    let intersection = per_class(probabilities.clone().mul(targets.one_hot.clone()));
    let predicted = per_class(probabilities.mul(targets.valid.clone()));
    let union = predicted.add(truth.clone()).sub(intersection.clone());
    let miss = union.clone().sub(intersection).div(union.add_scalar(smooth)); // 1 - IoU
    match absent {
        AbsentClasses::Count => miss.mean(),
        AbsentClasses::Skip => {
            let present = truth.greater_elem(0.0).float();
            let number = present.clone().sum().clamp_min(1.0);
            miss.mul(present).sum().div(number)
        }
    }
}
