//! `train.class_weights`.

use serde::{Deserialize, Serialize};

/// `train.class_weights`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "must be \"none\", \"inverse-frequency\", \"median-frequency\", \"effective-number\", \
                 \"root-frequency\", or a list of one number a class"
)]
pub enum ClassWeights {
    /// From the data.
    Rule(ClassWeightRule),
    /// One number a class of the taxonomy, background first.
    List(Vec<f32>),
}

impl Default for ClassWeights {
    fn default() -> Self {
        ClassWeights::Rule(ClassWeightRule::None)
    }
}

/// How weights come from counts: see [`weights`](crate::train::class_weights::weights).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassWeightRule {
    /// All 1.
    #[default]
    None,
    /// One over the class's share of all pixels.
    InverseFrequency,
    /// One over the class's share of the pixels of the images that show it (Eigen and Fergus, "Predicting Depth, Surface
    /// Normals and Semantic Labels", 2015).
    MedianFrequency,
    /// One over the effective number of images that show it (Cui et al., "Class-Balanced Loss Based on Effective Number of
    /// Samples", 2019). Images are the samples, for the pixels of one garment are near copies of each other.
    EffectiveNumber,
    /// The root of one over the class's share of all pixels: half way, in orders of magnitude, between no weights, by which
    /// a class of thin or rare things may never begin, and [`ClassWeightRule::InverseFrequency`], by which everything
    /// looks like one.
    RootFrequency,
}
