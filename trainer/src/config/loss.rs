//! Table `[loss]`.

use serde::{Deserialize, Serialize};

use super::{Checked, demand};
use crate::loss::{AbsentClasses, FocalConfig, Loss, Over, ParseLossError};

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
    /// Prices of false alarms and of misses in `tversky`.
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
        self.loss().map_err(|error| ("loss.terms", error.to_string()))?;
        let positive = |value: f64| value > 0.0 && value.is_finite();
        demand(positive(self.smooth), "loss.smooth", "must be above 0")?;
        // A shard knows its own part of the batch only.
        let split = self.over == Over::Batch && shards > 1;
        demand(!split, "loss.over", "cannot be `batch` where train.shards is above 1")?;
        demand(positive(self.background_weight), "loss.background_weight", "must be above 0")?;
        demand(self.tversky.iter().all(|price| positive(*price)), "loss.tversky", "must be two prices above 0")?;
        demand(positive(self.focal.alpha), "loss.focal.alpha", "must be above 0")?;
        demand((0.0..=20.0).contains(&self.focal.gamma), "loss.focal.gamma", "must be 0 to 20")?;
        demand(positive(self.focal.balance), "loss.focal.balance", "must be above 0")
    }

    /// The loss, without class weights.
    pub(super) fn loss(&self) -> Result<Loss, ParseLossError> {
        let Self { smooth, over, absent, background_weight, tversky, focal, .. } = *self;
        Ok(Loss { smooth, over, absent, background_weight, tversky, focal, ..self.terms.parse()? })
    }
}
