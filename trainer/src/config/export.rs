//! Table `[export]`: what is said of the exported model alone.

use clothseg::spec::{Cleanup, SmallRegions};
use serde::{Deserialize, Serialize};

use super::{Checked, ensure};

/// Table `[export]`. None of it changes the training: a run can be resumed, and a sweep's results stay valid, whatever stands
/// here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportConfig {
    /// Longest side that the exported model asks for instead of `input.longest_side`, where photos larger than in training are
    /// found to be better: random enlargement in training makes garments look larger than they are at inference (Touvron et
    /// al., "Fixing the train-test resolution discrepancy", 2019).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_side: Option<u32>,
    /// Width and height that the exported model asks for instead of `input.stretch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stretch: Option<[u32; 2]>,
    /// Longest side of the second size in test-time augmentation
    /// ([`tta_long_side`](clothseg::spec::InputSpec::tta_long_side)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tta_long_side: Option<u32>,
    /// The clean-up that the exported model asks for: see [`Cleanup`]. None where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<Cleanup>,
    /// The older clean-up: see [`SmallRegions`]. None where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small_regions: Option<SmallRegions>,
}

impl ExportConfig {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The first key whose value cannot be used, and why. `longest_side` and `stretch` are those of training; `whole` tells
    /// whether the network takes a side.
    pub(super) fn check(
        &self,
        longest_side: Option<u32>,
        stretch: Option<[u32; 2]>,
        whole: impl Fn(u32) -> bool,
    ) -> Checked {
        let cause = "must be above 0, and needs input.longest_side";
        let fits = self.longest_side.is_none_or(|side| side > 0 && longest_side.is_some());
        ensure(fits, "export.longest_side", cause)?;
        let asked = self.longest_side.or(longest_side);
        let cause = "must be above the longest side of the model's input, and needs input.longest_side";
        let is_larger = |side: u32| stretch.is_none() && asked.is_some_and(|asked| side > asked);
        ensure(self.tta_long_side.is_none_or(is_larger), "export.tta_long_side", cause)?;
        ensure(self.stretch.is_none() || stretch.is_some(), "export.stretch", "needs input.stretch")?;
        let cause = "must be multiples of the same number as input.stretch";
        ensure(self.stretch.iter().flatten().all(|side| whole(*side)), "export.stretch", cause)?;
        if let Some(fault) = self.cleanup.and_then(|cleanup| cleanup.fault()) {
            return Err(("export.cleanup", fault));
        }
        match self.small_regions.and_then(|small_regions| small_regions.fault()) {
            Some(fault) => Err(("export.small_regions", fault)),
            None => Ok(()),
        }
    }
}
