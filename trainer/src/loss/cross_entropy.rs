//! Cross entropy.

use burn::tensor::Tensor;

use super::Targets;

/// `-sum(y log p) / count`, over the pixels that count in the whole batch: `(N, C, H, W)` log-probabilities to `(1)`.
/// 0 where every pixel is ignored.
pub fn cross_entropy(log_probabilities: Tensor<4>, targets: &Targets) -> Tensor<1> {
    let count = targets.valid.clone().sum().clamp_min(1.0);
    log_probabilities.mul(targets.one_hot.clone()).sum().neg().div(count)
}
