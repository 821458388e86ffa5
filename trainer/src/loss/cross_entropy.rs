//! Cross entropy.

use burn::tensor::Tensor;

use super::{Sums, Targets};

/// `-sum(w log p) / sum(w)`, `p` the softmax of a pixel's true class and `w` that class's weight, over the pixels that
/// count in the whole batch, as a `(1)` tensor. 0 where every pixel is ignored. Without weights its gradient on a logit is
/// `(p - y) / pixels`.
pub fn cross_entropy(sums: &Sums, targets: &Targets) -> Tensor<1> {
    sums.entropy.clone().sum().div_scalar(targets.weighted_pixels)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Loss, Targets};
    use crate::data::IGNORE;
    use burn::tensor::{Device, Tensor};

    fn value(logits: [[[[f32; 2]; 1]; 2]; 1], labels: &[u8], class_weights: &[f32]) -> f32 {
        let device = Device::default();
        let loss = Loss { class_weights: class_weights.to_vec(), .."ce".parse::<Loss>().unwrap() };
        let targets = Targets::from_indices(labels, [1, 1, 2], 2, &loss.class_weights, &device);
        loss.values(Tensor::<4>::from_floats(logits, &device), &targets)[0].clone().into_scalar()
    }

    #[test]
    fn is_the_mean_of_minus_log_p() {
        // Pixel 0 has odds 3 : 1 for class 0, pixel 1 has 1 : 1.
        let logits = [[[[3.0_f32.ln(), 0.5]], [[0.0, 0.5]]]];
        let expected = (-(0.75_f32.ln()) - 0.5_f32.ln()) / 2.0;
        assert!((value(logits, &[0, 1], &[]) - expected).abs() < 1e-6);
        let weighted = (-2.0 * 0.75_f32.ln() - 0.5 * 0.5_f32.ln()) / 2.5;
        assert!((value(logits, &[0, 1], &[2.0, 0.5]) - weighted).abs() < 1e-6);
    }

    #[test]
    fn leaves_ignored_pixels_out() {
        let logits = [[[[3.0_f32.ln(), 9.0]], [[0.0, -9.0]]]];
        assert!((value(logits, &[1, IGNORE], &[]) + 0.25_f32.ln()).abs() < 1e-6);
        assert_eq!(value(logits, &[IGNORE, IGNORE], &[]), 0.0);
    }

    #[test]
    fn stays_finite_for_huge_logits() {
        let logits = [[[[1e4, -1e4]], [[-1e4, 1e4]]]];
        assert_eq!(value(logits, &[0, 1], &[]), 0.0);
        assert!((value(logits, &[1, 1], &[]) - 1e4).abs() < 1.0);
    }
}
