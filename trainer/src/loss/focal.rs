//! Focal loss, and its self-balanced form.

use burn::tensor::Tensor;

use super::{Sums, Targets};

/// `-alpha sum(w (1 - p)^gamma log p) / pixels`, `p` the softmax of a pixel's true class, over the pixels that count in
/// the whole batch, as a `(1)` tensor: Lin, Goyal, Girshick, He and Dollar, "Focal Loss for Dense Object Detection", 2017,
/// equation 5, with one `alpha` for all classes. 0 where every pixel is ignored.
pub fn focal_loss(sums: &Sums, targets: &Targets, alpha: f64) -> Tensor<1> {
    sums.focal.clone().sum().mul_scalar(alpha / targets.pixels.max(1) as f64)
}

/// Class weights `(N, C)`, image by image, that make a focal loss self-balanced: `balance ^ s`, `s` the class's share of the
/// pixels that count in that image. After the open-source trainer on which the study's experiments were built, which
/// calls this the self-balanced focal loss; it has no paper of its own.
pub fn self_balanced_weights(counts: &[f32], classes: usize, balance: f64) -> Vec<f32> {
    let of_image = |counts: &[f32]| -> Vec<f32> {
        let total: f32 = counts.iter().sum();
        counts.iter().map(|count| balance.powf(f64::from(count / total.max(1.0))) as f32).collect()
    };
    counts.chunks(classes.max(1)).flat_map(of_image).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Loss, Targets};
    use super::*;
    use crate::config::FocalConfig;
    use burn::tensor::Device;

    /// Pixel 0 has p = 0.75 for class 0, pixel 1 has 0.5 for each.
    fn value(text: &str, focal: FocalConfig, labels: &[u8]) -> f32 {
        let device = Device::default();
        let loss = Loss { focal, ..text.parse::<Loss>().unwrap() };
        let targets = Targets::from_indices(labels, [1, 1, 2], 2, &[], &device);
        let logits = Tensor::<4>::from_floats([[[[3.0_f32.ln(), 0.5]], [[0.0, 0.5]]]], &device);
        loss.values(logits, &targets)[0].clone().into_scalar()
    }

    #[test]
    fn is_cross_entropy_with_less_weight_on_what_is_right() {
        let focal = FocalConfig { alpha: 0.25, gamma: 2.0, balance: 3.0 };
        let expected = 0.25 * (0.0625 * -(0.75_f32.ln()) + 0.25 * -(0.5_f32.ln())) / 2.0;
        assert!((value("focal", focal, &[0, 1]) - expected).abs() < 1e-7);
        let plain = FocalConfig { alpha: 1.0, gamma: 0.0, ..focal };
        assert!((value("focal", plain, &[0, 1]) - value("ce", plain, &[0, 1])).abs() < 1e-7);
    }

    #[test]
    fn self_balance_weighs_by_a_classs_share() {
        assert_eq!(self_balanced_weights(&[3.0, 1.0, 0.0, 0.0], 2, 16.0), [8.0, 2.0, 1.0, 1.0]);
        let focal = FocalConfig { alpha: 1.0, gamma: 1.0, balance: 4.0 };
        // Half of the pixels each: the weight is 2.
        let expected = 2.0 * (0.25 * -(0.75_f32.ln()) + 0.5 * -(0.5_f32.ln())) / 2.0;
        assert!((value("sbf", focal, &[0, 1]) - expected).abs() < 1e-6);
        // One class alone: the weight is 4; the ignored pixel counts nowhere.
        let expected = 4.0 * 0.25 * -(0.75_f32.ln());
        assert!((value("sbf", focal, &[0, 255]) - expected).abs() < 1e-6);
    }
}
