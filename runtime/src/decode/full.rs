//! All pixels of a photo of any format.

use std::io::{BufRead, Cursor, Seek};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};

use super::deadline::{Deadline, TimedReader};
use super::{Limits, jpeg, profile};
use crate::error::{Error, Result};

/// What a decoder may always allocate, however low the limit on pixels is.
const MIN_DECODER_BYTES: u64 = 16 << 20;

/// Upright pixels and their profile.
pub(super) struct Pixels {
    pub(super) rgb: RgbImage,
    pub(super) icc: Option<Vec<u8>>,
}

/// A photo as its file has it.
struct Raw {
    image: DynamicImage,
    orientation: Orientation,
    icc: Option<Vec<u8>>,
}

/// Decodes a JPEG of which the metadata are known.
pub(super) fn decode_jpeg(
    bytes: &[u8],
    metadata: jpeg::Metadata,
    limits: &Limits,
    deadline: &Deadline,
) -> Result<Pixels> {
    let refused = |reason: String| Error::Decode { reason, source: None };
    match jpeg::ending(bytes) {
        jpeg::Ending::CutOff => return Err(refused("the JPEG is cut off before its end".into())),
        jpeg::Ending::Whole { scans } if scans > jpeg::MAX_SCANS => {
            return Err(refused(format!("the JPEG has {scans} scans, and at most {} are read", jpeg::MAX_SCANS)));
        }
        jpeg::Ending::Whole { .. } | jpeg::Ending::NoScan => {}
    }
    let orientation = orientation(metadata.exif.as_deref());
    // The decoder takes all bytes before it starts: a reader that watches the time would change nothing.
    let raw = Raw { orientation, icc: metadata.icc, ..read(Cursor::new(bytes), ImageFormat::Jpeg, limits, deadline)? };
    Ok(finish(raw))
}

/// Decodes any other format.
pub(super) fn decode(bytes: &[u8], format: ImageFormat, limits: &Limits, deadline: &Deadline) -> Result<Pixels> {
    read(TimedReader::new(bytes, *deadline), format, limits, deadline).map(finish)
}

/// Which way up a photo is. A damaged EXIF block says nothing about the pixels: such a photo is taken as it lies.
pub(super) fn orientation(exif: Option<&[u8]>) -> Orientation {
    // Some writers of WebP and PNG leave JPEG's prefix before the block.
    let block = exif.map(|exif| exif.strip_prefix(b"Exif\0\0").unwrap_or(exif));
    block.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}

fn read(reader: impl BufRead + Seek, format: ImageFormat, limits: &Limits, deadline: &Deadline) -> Result<Raw> {
    let broken = |source: ImageError| {
        if deadline.has_passed() {
            limits.timed_out()
        } else {
            Error::Decode { reason: "damaged".into(), source: Some(source.into()) }
        }
    };
    let mut reader = ImageReader::with_format(reader, format);
    // The pixel limit below is ours; this one keeps a decoder's own buffers in bounds (16 bytes: RGBA in 32 bit).
    let mut decoder_limits = image::Limits::default();
    decoder_limits.max_alloc = Some(limits.max_pixels.saturating_mul(16).max(MIN_DECODER_BYTES));
    reader.limits(decoder_limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    limits.check_pixels(decoder.dimensions())?;
    let (mut upright, mut icc) = (Orientation::NoTransforms, None);
    if format != ImageFormat::Jpeg {
        icc = decoder.icc_profile().ok().flatten();
        upright = match decoder.exif_metadata() {
            Ok(Some(exif)) => orientation(Some(&exif)),
            // TIFF has a tag of its own.
            _ => decoder.orientation().unwrap_or(Orientation::NoTransforms),
        };
    }
    let image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    if deadline.has_passed() {
        return Err(limits.timed_out());
    }
    Ok(Raw { image, orientation: upright, icc })
}

fn finish(Raw { mut image, orientation, icc }: Raw) -> Pixels {
    image.apply_orientation(orientation);
    let grey = !image.color().has_color();
    let mut rgb = flatten_on_white(image);
    let icc = icc.and_then(|icc| profile::adopt(icc, grey, &mut rgb));
    Pixels { rgb, icc }
}

/// Cut-out product photos carry anything under their transparent pixels; white is what their makers see.
fn flatten_on_white(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let rgba = image.into_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [r, g, b, alpha] = rgba.get_pixel(x, y).0;
        let alpha = u32::from(alpha);
        let over_white = |value: u8| ((u32::from(value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        image::Rgb([over_white(r), over_white(g), over_white(b)])
    })
}
