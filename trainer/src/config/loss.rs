//! Table `[loss]`.

use serde::{Deserialize, Serialize};

use super::{Checked, Terms, ensure};

/// What a region's sums go over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// Each image has ratios of its own, as in the study.
    #[default]
    Image,
    /// One ratio a class for the whole batch.
    Batch,
}

/// What the mean over classes does with the classes that an image (or batch) does not show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AbsentClasses {
    /// They are left out: the mean is over the classes that the image shows. A wrong pixel still costs, because it is
    /// missing from (and adds to the union of) a class that is there. With 21 classes of which an image shows six,
    /// counting the others mostly adds a constant that shrinks the gradient of those six.
    #[default]
    Skip,
    /// They count, as in the study: `s / (P + s)`, which is 1 only where nothing is predicted.
    Count,
}

/// Constants of the focal losses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FocalConfig {
    /// Factor on the whole, 0.25 in the study.
    pub alpha: f64,
    /// Exponent that takes weight from pixels which are right already: 2 and 5 in the study.
    pub gamma: f64,
    /// Base of the self-balanced form's class weights.
    pub balance: f64,
}

impl Default for FocalConfig {
    fn default() -> Self {
        Self { alpha: 0.25, gamma: 2.0, balance: 3.0 }
    }
}

/// Table `[loss]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// Terms and weights, `ce:1,miou:1`; terms: ce, focal, sbf, dice, miou, wmiou, tversky, lovasz,
    /// presence.
    pub terms: String,
    /// Added to both parts of the region terms' ratios, in pixels.
    pub smooth: f64,
    /// `image` or `batch`: what the region terms' sums go over.
    pub over: Over,
    /// `skip` or `count` the classes that an image does not show in its region terms.
    pub absent: AbsentClasses,
    /// Weight of the background in `wmiou`.
    pub background_weight: f64,
    /// Alpha and beta of `tversky`: weights of false alarms and of misses.
    pub tversky: [f64; 2],
    /// Constants of `focal` and `sbf`.
    pub focal: FocalConfig,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self {
            terms: "ce:1,miou:1".to_owned(),
            smooth: 1.0,
            over: Over::default(),
            absent: AbsentClasses::default(),
            background_weight: 0.1,
            tversky: [0.3, 0.7],
            focal: FocalConfig::default(),
        }
    }
}

impl LossConfig {
    /// The first key whose value cannot be used, and why, in a run that splits a batch into `shards` parts.
    pub(super) fn check(&self, shards: usize) -> Checked {
        self.terms.parse::<Terms>().map_err(|error| ("loss.terms", error.to_string()))?;
        let positive = |value: f64| value > 0.0 && value.is_finite();
        ensure(positive(self.smooth), "loss.smooth", "must be above 0")?;
        // A shard knows its own part of the batch only.
        let split = self.over == Over::Batch && shards > 1;
        ensure(!split, "loss.over", "cannot be `batch` where train.shards is above 1")?;
        ensure(positive(self.background_weight), "loss.background_weight", "must be above 0")?;
        ensure(self.tversky.iter().all(|weight| positive(*weight)), "loss.tversky", "must be two numbers above 0")?;
        ensure(positive(self.focal.alpha), "loss.focal.alpha", "must be above 0")?;
        ensure((0.0..=20.0).contains(&self.focal.gamma), "loss.focal.gamma", "must be 0 to 20")?;
        ensure(positive(self.focal.balance), "loss.focal.balance", "must be above 0")
    }
}
