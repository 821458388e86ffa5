//! Table `[augment]`.

use clothseg::Taxonomy;
use serde::{Deserialize, Serialize};

/// The smallest share of a crop that `erase` hides, as in the paper.
pub const SMALLEST_ERASED_SHARE: f64 = 0.02;

/// Table `[augment]`. All but the first three are off by default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Smallest and largest factor on the scale of inference.
    pub scale: [f64; 2],
    /// Largest factor between horizontal and vertical scale, minus 1.
    pub aspect_jitter: f64,
    /// Probability of a mirrored crop.
    pub flip: f64,
    /// Largest turn either way, in degrees.
    pub rotation_degrees: f64,
    /// Spread of a factor on all levels.
    pub brightness: f64,
    /// Spread of a factor on the distance from the mean brightness.
    pub contrast: f64,
    /// Spread of a factor on the distance from grey.
    pub saturation: f64,
    /// Largest turn of the hues either way, in degrees.
    pub hue_degrees: f64,
    /// Spread of a factor on each of red, green and blue.
    pub channel_gain: f64,
    /// Probability of a picture in greys.
    pub greyscale: f64,
    /// Probability of a blurred picture.
    pub blur: f64,
    /// Probability of a sharpened picture, which is not blurred.
    pub sharpen: f64,
    /// Smallest and largest standard deviation of the blur, and of that which sharpening takes away, in pixels of the network's
    /// input.
    pub focus_px: [f64; 2],
    /// Probability of a rectangle of noise.
    pub erase: f64,
    /// Largest share of the crop that it hides.
    pub erase_share: f64,
    /// Probability that an example shows four photos.
    pub mosaic: f64,
    /// Examples that look closely at some classes: `[[augment.close_up]]`, as many as wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub close_up: Vec<CloseUpConfig>,
}

/// A table `[[augment.close_up]]`: crops round a pixel of some classes, at a scale of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseUpConfig {
    /// Probability that an example is one.
    pub share: f64,
    /// Names of classes or groups.
    pub classes: Vec<String>,
    /// Smallest and largest factor on the scale of inference.
    pub scale: [f64; 2],
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            scale: [0.75, 1.5],
            aspect_jitter: 0.1,
            flip: 0.5,
            rotation_degrees: 0.0,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            hue_degrees: 0.0,
            channel_gain: 0.0,
            greyscale: 0.0,
            blur: 0.0,
            sharpen: 0.0,
            focus_px: [0.5, 2.0],
            erase: 0.0,
            erase_share: 0.2,
            mosaic: 0.0,
            close_up: Vec::new(),
        }
    }
}

impl AugmentConfig {
    /// The first key whose value cannot be used, and why.
    pub(super) fn check(&self, taxonomy: &Taxonomy) -> Result<(), (&'static str, String)> {
        if !is_scale(self.scale) {
            return Err(("augment.scale", SCALE_RULE.to_owned()));
        }
        self.check_close_ups(taxonomy).map_err(|cause| ("augment.close_up", cause))?;
        for (key, value, high) in [
            ("augment.aspect_jitter", self.aspect_jitter, 1.0),
            ("augment.flip", self.flip, 1.0),
            ("augment.rotation_degrees", self.rotation_degrees, 180.0),
            ("augment.brightness", self.brightness, 1.0),
            ("augment.contrast", self.contrast, 1.0),
            ("augment.saturation", self.saturation, 1.0),
            ("augment.hue_degrees", self.hue_degrees, 180.0),
            ("augment.channel_gain", self.channel_gain, 1.0),
            ("augment.greyscale", self.greyscale, 1.0),
            ("augment.blur", self.blur, 1.0),
            ("augment.sharpen", self.sharpen, 1.0 - self.blur),
            ("augment.erase", self.erase, 1.0),
            ("augment.mosaic", self.mosaic, 1.0),
        ] {
            if !(0.0..=high).contains(&value) {
                return Err((key, format!("must be 0 to {high}")));
            }
        }
        let [low, high] = self.focus_px;
        if !(0.1 <= low && low <= high && high <= 16.0) {
            return Err(("augment.focus_px", "must be [smallest, largest], 0.1 to 16".to_owned()));
        }
        match (SMALLEST_ERASED_SHARE..=1.0).contains(&self.erase_share) {
            true => Ok(()),
            false => Err(("augment.erase_share", format!("must be {SMALLEST_ERASED_SHARE} to 1"))),
        }
    }

    fn check_close_ups(&self, taxonomy: &Taxonomy) -> Result<(), String> {
        for close_up in &self.close_up {
            if !is_scale(close_up.scale) {
                return Err(format!("scale {SCALE_RULE}"));
            }
            if close_up.classes.is_empty() {
                return Err("names no classes".to_owned());
            }
            taxonomy.resolve_all(&close_up.classes).map_err(|error| error.to_string())?;
        }
        let shares = || self.close_up.iter().map(|close_up| close_up.share);
        match shares().all(|share| (0.0..=1.0).contains(&share)) && shares().sum::<f64>() <= 1.0 {
            true => Ok(()),
            false => Err("shares must be 0 to 1, and all of them together at most 1".to_owned()),
        }
    }
}

const SCALE_RULE: &str = "must be [smallest, largest], above 0 and at most 16";

fn is_scale([low, high]: [f64; 2]) -> bool {
    0.0 < low && low <= high && high <= 16.0
}
