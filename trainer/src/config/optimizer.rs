//! Choices of `[train]`: optimisers and schedules.

use serde::{Deserialize, Serialize};

/// The optimisers there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015; weight decay is added to the gradient.
    #[default]
    Adam,
    /// Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019: the decay, times the learning rate, is taken
    /// off the weights themselves.
    AdamW,
    /// Stochastic gradient descent with momentum; weight decay is added to the gradient.
    Sgd,
}

/// An optimiser's constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerConfig {
    /// Which one.
    pub kind: OptimizerKind,
    /// Decay of Adam's first and second moment, 0 to 1.
    pub betas: [f64; 2],
    /// Share of the velocity that SGD keeps, 0 to 1.
    pub momentum: f64,
    /// Whether SGD looks ahead (Nesterov's momentum).
    pub nesterov: bool,
    /// Weight decay, 0 or more.
    pub weight_decay: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self { kind: OptimizerKind::Adam, betas: [0.9, 0.999], momentum: 0.9, nesterov: false, weight_decay: 0.0 }
    }
}

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// Half a cosine, down to a share of the highest (Loshchilov and Hutter, "SGDR", 2017, without restarts).
    #[default]
    Cosine,
    /// A power of what is left of the run, down to the same share (Chen et al., "DeepLab", 2017: power 0.9).
    Polynomial,
    /// By a factor every few epochs.
    Step,
}
