//! Whether a description makes sense.

use serde_json::Value;

use super::{Fit, InputSpec, ModelSpec, SPEC_VERSION};
use crate::error::{Error, Result};

/// Largest input side that a description may ask for.
const MAX_SIDE_PX: u32 = 8192;

impl ModelSpec {
    /// Checks that the values make sense.
    ///
    /// # Errors
    /// [`Error::BadSpec`] names the first fault.
    pub fn validate(&self) -> Result<()> {
        self.taxonomy.validate()?;
        let bad = |reason: String| Err(Error::BadSpec { reason });
        let sides = match self.input.fit {
            Fit::Stretch { width, height } => [width, height],
            Fit::LongestSide { size, multiple } => [size, multiple],
        };
        if let Some(side) = sides.into_iter().find(|side| !(1..=MAX_SIDE_PX).contains(side)) {
            return bad(format!("an input side of {side} pixels; 1 to {MAX_SIDE_PX} are possible"));
        }
        match (self.input.fit, self.input.tta_long_side) {
            (_, None) => {}
            (Fit::LongestSide { size, .. }, Some(side)) if (size + 1..=MAX_SIDE_PX).contains(&side) => {}
            (Fit::LongestSide { size, .. }, Some(side)) => {
                return bad(format!("input.tta_long_side {side} must be above {size} and at most {MAX_SIDE_PX}"));
            }
            (Fit::Stretch { .. }, Some(_)) => {
                return bad("input.tta_long_side is for a fit by the longest side, not for a stretch".into());
            }
        }
        if let Some(fault) = normalization_fault(&self.input) {
            return bad(fault);
        }
        if self.output.stride > 64 {
            return bad(format!("output.stride {} must be 1 to 64, or 0 to find it", self.output.stride));
        }
        if let Some(threshold) = self.output.threshold.filter(|at| !(*at > 0.0 && *at < 1.0)) {
            return bad(format!("output.threshold {threshold} must be above 0 and below 1"));
        }
        if let Some(fault) = self.output.small_regions.and_then(|small_regions| small_regions.fault()) {
            return bad(format!("output.small_regions.{fault}"));
        }
        if let Some(fault) = self.output.cleanup.and_then(|cleanup| cleanup.fault()) {
            return bad(format!("output.cleanup.{fault}"));
        }
        Ok(())
    }
}

/// What is wrong with mean and deviation, with the numbers that are likely to be meant.
fn normalization_fault(input: &InputSpec) -> Option<String> {
    let InputSpec { mean, std, .. } = input;
    if !mean.iter().chain(std).all(|value| value.is_finite()) {
        return Some(format!("input.mean {mean:?} and input.std {std:?} must be finite"));
    }
    if !std.iter().all(|std| *std > 0.0) {
        return Some(format!("input.std {std:?} must be above 0"));
    }
    if mean.iter().any(|mean| *mean < 0.0) {
        return Some(format!("input.mean {mean:?} must not be below 0: it is that of pixels of 0..1"));
    }
    // Half a level of 255: less is no deviation of a photo's values, nor the 1/255 of a network that takes whole levels.
    const LEAST_STD: f32 = 0.5 / 255.0;
    let largest = |values: &[f32; 3]| values.iter().copied().fold(0.0_f32, |most, value| most.max(value.abs()));
    let share = |values: &[f32; 3]| values.map(|value| (value / 255.0 * 1e4).round() / 1e4);
    if largest(mean) > 1.0 || largest(std) > 2.0 {
        return Some(format!(
            "input.mean {mean:?} and input.std {std:?} are of pixels of 0..255, and those of 0..1 are needed: divide them by 255 \
             (mean {:?}, std {:?})",
            share(mean),
            share(std)
        ));
    }
    if std.iter().any(|std| *std < LEAST_STD) {
        return Some(format!(
            "input.std {std:?} is too small: it is that of pixels of 0..1, or 1/255 (0.00392157) for a network that takes 0..255"
        ));
    }
    None
}

/// The colour that is 0 for the network, or the nearest there is.
pub(super) fn mean_color(input: &InputSpec) -> [u8; 3] {
    let mut color = [0; 3];
    for (mean, channel) in input.mean.iter().zip(input.color.channels()) {
        color[channel] = (mean * 255.0).round().clamp(0.0, 255.0) as u8;
    }
    color
}

/// Checks that a description is an object of the version that is read here.
pub(super) fn check_version(description: &Value) -> Result<()> {
    let reason = match description.get("version") {
        _ if !description.is_object() => "no object with version, name, classes, input and output".to_owned(),
        None => "no field 'version'".to_owned(),
        Some(version) => match version.as_u64() {
            Some(version) if version == u64::from(SPEC_VERSION) => return Ok(()),
            Some(version) => format!("version {version}, and this program reads {SPEC_VERSION}; update clothseg"),
            None => format!("version {version}, and the number {SPEC_VERSION} is needed"),
        },
    };
    Err(Error::BadSpec { reason })
}

/// Refuses fields that are one slip of the pen from a known one. Other unknown fields are kept: later versions may know them.
pub(super) fn check_unknown_fields(spec: &ModelSpec) -> Result<()> {
    const INPUT: [&str; 8] = ["name", "layout", "color", "mean", "std", "fit", "tta_long_side", "pad"];
    const OUTPUT: [&str; 7] = ["name", "kind", "layout", "threshold", "stride", "cleanup", "small_regions"];
    for (part, unknown, known) in [
        ("", &spec.extra, &["groups", "training"][..]),
        ("input.", &spec.input.extra, &INPUT),
        ("output.", &spec.output.extra, &OUTPUT),
    ] {
        let is_slip = |one: &str, other: &str| one != other && strsim::damerau_levenshtein(one, other) == 1;
        let slip = |field: &String| Some((field.clone(), *known.iter().find(|name| is_slip(field, name))?));
        if let Some((field, meant)) = unknown.keys().find_map(slip) {
            return Err(Error::BadSpec {
                reason: format!("no field '{part}{field}' is known; '{part}{meant}' may be meant"),
            });
        }
    }
    Ok(())
}

/// Says of classes that are no objects what they should be: what the reader of JSON says of them has no place.
pub(super) fn check_classes(description: &Value) -> Result<()> {
    let Some(classes) = description.get("classes") else {
        return Err(Error::BadSpec { reason: "no field 'classes'".into() });
    };
    let classes = classes.as_array().ok_or_else(|| Error::BadSpec { reason: "'classes' is no list".into() })?;
    for (index, class) in classes.iter().enumerate() {
        if class.get("name").and_then(Value::as_str).is_none() || class.get("color").is_none() {
            let reason = format!(
                "classes[{index}] is {class}, and an object with name and color is needed, such as \
                 {{\"name\": \"shirt\", \"color\": [230, 60, 60]}}"
            );
            return Err(Error::BadSpec { reason });
        }
    }
    Ok(())
}
