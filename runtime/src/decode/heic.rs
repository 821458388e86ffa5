//! HEIC: HEVC stills in ISO's boxes (ISO/IEC 23008-12), as phones write them, decoded by the system's libheif.
//!
//! The library is opened with the first such photo, so that a program needs none to be built or to start.

mod library;

use image::{DynamicImage, RgbImage, RgbaImage};

use super::Limits;
use super::deadline::Deadline;
use super::full::{Pixels, flatten_on_white};
use super::profile;
use crate::error::{Error, Result};
use library::{Context, Failure, Image, Library, Picture};

/// Width and height as shown; nothing where the library is missing or cannot tell.
pub(super) fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let context = Context::read(Library::get().ok()?, bytes).ok()?;
    context.primary().ok()?.size()
}

/// Decodes the picture that a file is for.
pub(super) fn decode(bytes: &[u8], limits: &Limits, deadline: &Deadline) -> Result<Pixels> {
    let library = Library::get().map_err(|cause| Error::Decode {
        reason: format!("it is a HEIC photo, and libheif, which reads those, cannot be opened ({cause}); {INSTALL}"),
        source: None,
    })?;
    let context = Context::read(library, bytes).map_err(broken)?;
    let picture = context.primary().map_err(broken)?;
    limits.check_pixels(picture.size().ok_or_else(|| damaged("its size makes no sense"))?)?;
    if deadline.has_passed() {
        return Err(limits.timed_out());
    }
    let image = pixels(&picture, limits)?;
    if deadline.has_passed() {
        return Err(limits.timed_out());
    }
    let mut rgb = flatten_on_white(image);
    let icc = picture.icc().and_then(|icc| profile::adopt(icc, false, &mut rgb));
    Ok(Pixels { rgb, icc, is_cut_off: false })
}

/// The pixels, upright: libheif turns, mirrors and crops them as the file says.
fn pixels(picture: &Picture<'_>, limits: &Limits) -> Result<DynamicImage> {
    let image = picture.decode().map_err(broken)?;
    let (width, height) = image.size().ok_or_else(|| damaged("it has no pixels"))?;
    // What the pixels are and what the boxes say may be two sizes.
    limits.check_pixels((width, height))?;
    let rows = rows(&image, width, height).ok_or_else(|| damaged("it has no pixels"))?;
    let whole = if image.has_alpha() {
        RgbaImage::from_raw(width, height, rows).map(DynamicImage::from)
    } else {
        RgbImage::from_raw(width, height, rows).map(DynamicImage::from)
    };
    whole.ok_or_else(|| damaged("it has too few pixels"))
}

/// The rows without what may lie between them.
fn rows(image: &Image<'_>, width: u32, height: u32) -> Option<Vec<u8>> {
    let row_bytes = width as usize * if image.has_alpha() { 4 } else { 3 };
    let mut rows = Vec::with_capacity(row_bytes * height as usize);
    for y in 0..height {
        rows.extend_from_slice(image.row(y, row_bytes)?);
    }
    Some(rows)
}

/// How to get the library.
const INSTALL: &str = if cfg!(target_os = "macos") {
    "install it with: brew install libheif; or convert the photo to JPEG first"
} else if cfg!(windows) {
    "install libheif and put its folder into PATH, or convert the photo to JPEG first"
} else {
    "install it with: apt-get install libheif1; or convert the photo to JPEG first"
};

fn broken(failure: Failure) -> Error {
    match failure {
        Failure::EndOfData => Error::CutOff { percent: None },
        Failure::Other(said) => damaged(&said),
    }
}

fn damaged(reason: &str) -> Error {
    Error::Decode { reason: format!("damaged HEIC: {}", reason.trim()), source: None }
}

#[cfg(test)]
mod tests;
