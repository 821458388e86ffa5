use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A distance in a photo, or how far something grows (above 0) or shrinks (below): `12`, `-3`, `0.5%`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Length {
    /// Pixels.
    Pixels(f64),
    /// Per cent of the photo's longer side.
    Percent(f64),
}

impl Length {
    /// Largest distance, in pixels: as far as no photo reaches.
    const MOST_PX: f64 = 30_000.0;

    /// In pixels of a photo of this size.
    pub fn pixels(self, width: u32, height: u32) -> f64 {
        let pixels = match self {
            Self::Pixels(pixels) => pixels,
            Self::Percent(percent) => f64::from(width.max(height)) * percent / 100.0,
        };
        pixels.clamp(-Self::MOST_PX, Self::MOST_PX)
    }

    /// Whether it is more than nothing.
    pub(super) fn is_some(self) -> bool {
        let (Self::Pixels(value) | Self::Percent(value)) = self;
        value != 0.0
    }

    pub(super) fn is_negative(self) -> bool {
        let (Self::Pixels(value) | Self::Percent(value)) = self;
        value < 0.0
    }
}

impl Default for Length {
    /// None.
    fn default() -> Self {
        Self::Pixels(0.0)
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pixels(pixels) => write!(f, "{pixels}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for Length {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let (number, make): (&str, fn(f64) -> Self) = match text.strip_suffix('%') {
            Some(number) => (number.trim_end(), Self::Percent),
            None => (text.strip_suffix("px").unwrap_or(text).trim_end(), Self::Pixels),
        };
        match number.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(make(value)),
            _ => Err(Error::Invalid(format!(
                "'{text}' is no length: write pixels (12) or per cent of the longer side (0.5%)"
            ))),
        }
    }
}
