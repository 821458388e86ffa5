//! Table `[input]`: what the network gets in training.

use clothseg::spec::Fit;
use serde::{Deserialize, Serialize};

use super::{Checked, ensure};

/// Table `[input]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// Longest side of a photo at inference, in pixels; the aspect ratio is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_side: Option<u32>,
    /// With it: both sides of the tensor are padded to multiples of this. As little as the network takes where it is left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiple: Option<u32>,
    /// Instead of both: width and height to which every photo is stretched, as in the study.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stretch: Option<[u32; 2]>,
    /// Width and height of the crops in training.
    pub crop: [u32; 2],
}

impl InputConfig {
    /// The first key whose value cannot be used, and why. A side must be a multiple of `step`, for the network of this name.
    pub(super) fn check(&self, step: u32, network: &str) -> Checked {
        let InputConfig { longest_side, multiple, stretch, crop } = *self;
        let cause = "must be above 0 (or set `stretch = [width, height]` instead of it and of `multiple`)";
        ensure(longest_side.is_some_and(|side| side > 0) != stretch.is_some(), "input.longest_side", cause)?;
        ensure(
            stretch.is_none() || longest_side.or(multiple).is_none(),
            "input.stretch",
            "cannot be combined with longest_side or multiple",
        )?;
        let whole = |side: u32| side > 0 && side.is_multiple_of(step);
        let cause = format!("must be a multiple of {step}, for {network}");
        ensure(multiple.is_none_or(whole), "input.multiple", &cause)?;
        ensure(stretch.iter().flatten().all(|side| whole(*side)), "input.stretch", &cause)?;
        ensure(crop.iter().all(|side| whole(*side)), "input.crop", &cause)
    }

    /// How photos are brought to the network's size, which takes sides that are multiples of `step`.
    #[expect(clippy::expect_used, reason = "a config is checked when it is read, and has one of the two")]
    pub(crate) fn fit(&self, step: u32) -> Fit {
        if let Some([width, height]) = self.stretch {
            return Fit::Stretch { width, height };
        }
        let size = self.longest_side.expect("a checked config has a longest side where it has no stretch");
        Fit::LongestSide { size, multiple: self.multiple.unwrap_or(step) }
    }
}
