//! Results to bytes: one file a format, no paths.

mod json;
mod masks;
mod overlay;

pub use json::{Document, document};
pub use masks::{labels_png, mask_png};
pub use overlay::overlay_png;

use image::ExtendedColorType;
use image::ImageEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};

use crate::error::{Error, Result};

/// Encodes 8-bit pixels as PNG.
fn png(
    what: &'static str,
    pixels: &[u8],
    width: u32,
    height: u32,
    color: ExtendedColorType,
    filter: FilterType,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, filter)
        .write_image(pixels, width, height, color)
        .map_err(|error| Error::Encode { what, reason: error.to_string() })?;
    Ok(bytes)
}
