//! All pixels of a photo of any format.

use std::borrow::Cow;
use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};

use super::deadline::{Deadline, TimedReader};
use super::reduced::effect;
use super::refusal::{ends_early, refusal};
use super::{Limits, jpeg, png, profile, salvage, tiff, webp};
use crate::error::{Error, Result};
use crate::files::tiff::Tiff;

/// What a decoder may always allocate, however low the limit on pixels is.
const MIN_DECODER_BYTES: u64 = 16 << 20;

/// Upright pixels and their profile.
pub(super) struct Pixels {
    pub(super) rgb: RgbImage,
    pub(super) icc: Option<Vec<u8>>,
    /// Whether pixels are missing.
    pub(super) is_cut_off: bool,
}

/// A photo as its file has it.
pub(super) struct Raw {
    pub(super) image: DynamicImage,
    pub(super) orientation: Orientation,
    pub(super) icc: Option<Vec<u8>>,
    pub(super) is_cut_off: bool,
}

/// Decodes a JPEG of which the metadata are known.
pub(super) fn decode_jpeg(
    bytes: &[u8],
    metadata: jpeg::Metadata,
    limits: &Limits,
    deadline: &Deadline,
) -> Result<Pixels> {
    // Looking at the blocks of a progressive JPEG takes memory for each.
    if let Some(size) = metadata.size {
        limits.check_pixels(size)?;
    }
    let (bytes, is_cut_off) = jpeg_to_its_end(bytes, limits, deadline)?;
    let orientation = orientation(metadata.exif.as_deref());
    let raw = match read(&bytes, ImageFormat::Jpeg, limits, deadline) {
        // Too little is there to be shown.
        Err(Error::Decode { .. }) if is_cut_off => return Err(Error::CutOff { percent: None }),
        raw => raw?,
    };
    Ok(finish(Raw { orientation, icc: metadata.icc, is_cut_off, ..raw }))
}

/// The JPEG with an end marker where all blocks are there, and whether some are not. The full decoder fills what is missing with
/// grey and reports success, which would pass for a photo.
fn jpeg_to_its_end<'a>(bytes: &'a [u8], limits: &Limits, deadline: &Deadline) -> Result<(Cow<'a, [u8]>, bool)> {
    let cut_off = |percent, end| match limits.allow_truncated {
        true => Ok((Cow::Borrowed(bytes.get(..end).unwrap_or(bytes)), true)),
        false => Err(Error::CutOff { percent }),
    };
    match jpeg::extent(bytes, deadline) {
        jpeg::Extent::Whole { end: None } => Ok((Cow::Borrowed(bytes), false)),
        jpeg::Extent::Whole { end: Some(end) } => {
            Ok((Cow::Owned([bytes.get(..end).unwrap_or(bytes), &[0xff, 0xd9]].concat()), false))
        }
        jpeg::Extent::Cut { share, end } => cut_off(Some(percent_of(share)), end),
        jpeg::Extent::Unknown => match jpeg::ending(bytes) {
            jpeg::Ending::CutOff => cut_off(None, bytes.len()),
            jpeg::Ending::Whole { scans } if scans > jpeg::MAX_SCANS => Err(Error::Decode {
                reason: format!("the JPEG has {scans} scans, and at most {} are read", jpeg::MAX_SCANS),
                source: None,
            }),
            jpeg::Ending::Whole { .. } | jpeg::Ending::NoScan => Ok((Cow::Borrowed(bytes), false)),
        },
    }
}

/// A share in per cent; never all of what is not whole.
pub(super) fn percent_of(share: f64) -> u8 {
    (share * 100.0).clamp(0.0, 99.0) as u8
}

/// Decodes any other format.
pub(super) fn decode(bytes: &[u8], format: ImageFormat, limits: &Limits, deadline: &Deadline) -> Result<Pixels> {
    let raw = match format {
        ImageFormat::Tiff => tiff::read(bytes, limits, deadline)?,
        ImageFormat::WebP => read_webp(bytes, limits, deadline)?,
        _ => read(bytes, format, limits, deadline)?,
    };
    Ok(finish(raw))
}

fn read_webp(bytes: &[u8], limits: &Limits, deadline: &Deadline) -> Result<Raw> {
    let raw = match read(bytes, ImageFormat::WebP, limits, deadline) {
        // Metadata that are promised and missing say nothing about the pixels.
        Err(error @ (Error::Decode { .. } | Error::CutOff { .. })) => {
            let bytes = webp::without_metadata(bytes).ok_or(error)?;
            read(&bytes, ImageFormat::WebP, limits, deadline)?
        }
        raw => raw?,
    };
    match webp::share_before_zeros(bytes) {
        _ if deadline.has_passed() => Err(limits.timed_out()),
        // What was made of the zeros is a flat colour.
        Some(_) if limits.allow_truncated => Ok(Raw { is_cut_off: true, ..raw }),
        Some(share) => Err(Error::CutOff { percent: Some(percent_of(share)) }),
        None => Ok(raw),
    }
}

/// Which way up a photo is. A damaged EXIF block says nothing about the pixels: such a photo is taken as it lies.
pub(super) fn orientation(exif: Option<&[u8]>) -> Orientation {
    // Some writers of WebP and PNG leave JPEG's prefix before the block.
    let block = exif.map(|exif| exif.strip_prefix(b"Exif\0\0").unwrap_or(exif));
    block.and_then(|block| Tiff::new(block)?.orientation()).unwrap_or(Orientation::NoTransforms)
}

/// Decodes what the crate `image` reads as it is.
pub(super) fn read(bytes: &[u8], format: ImageFormat, limits: &Limits, deadline: &Deadline) -> Result<Raw> {
    let broken = |source: ImageError| {
        if deadline.has_passed() { limits.timed_out() } else { refusal(bytes, format, source) }
    };
    let open = || {
        // JPEG's decoder takes all bytes before it starts: a reader that watches the time changes nothing.
        let mut reader = ImageReader::with_format(TimedReader::new(bytes, *deadline), format);
        // The pixel limit below is ours; this one keeps a decoder's own buffers in bounds (16 bytes: RGBA in 32 bit).
        let mut decoder_limits = image::Limits::default();
        decoder_limits.max_alloc = Some(limits.max_pixels.saturating_mul(16).max(MIN_DECODER_BYTES));
        reader.limits(decoder_limits);
        reader.into_decoder()
    };
    let mut decoder = open().map_err(broken)?;
    limits.check_pixels(decoder.dimensions())?;
    let (mut upright, mut icc) = (Orientation::NoTransforms, None);
    if format != ImageFormat::Jpeg {
        icc = match format {
            ImageFormat::Tiff => tiff::icc(bytes),
            _ => decoder.icc_profile().ok().flatten(),
        };
        upright = orientation_of(bytes, format, &mut decoder);
    }
    let (image, is_cut_off) = match DynamicImage::from_decoder(decoder) {
        Ok(image) => (image, false),
        Err(error) if deadline.has_passed() => return Err(broken(error)),
        Err(_) if format == ImageFormat::Png && !png::pixels_are_sound(bytes) => {
            let reason = "damaged: the checksums of its pixels are wrong; copy it again";
            return Err(Error::Decode { reason: reason.into(), source: None });
        }
        // What is damaged otherwise than at its end may look like a photo.
        Err(error) if !may_be_whole(bytes, format, &error) => return Err(broken(error)),
        Err(error) => match salvage::salvage(open, format, limits.allow_truncated) {
            _ if deadline.has_passed() => return Err(limits.timed_out()),
            salvaged => salvaged?.ok_or_else(|| broken(error))?,
        },
    };
    if deadline.has_passed() {
        return Err(limits.timed_out());
    }
    Ok(Raw { image, orientation: upright, icc, is_cut_off })
}

/// Which way up a photo of another format than JPEG is.
fn orientation_of(bytes: &[u8], format: ImageFormat, decoder: &mut impl ImageDecoder) -> Orientation {
    match format {
        // Its own tags are such a block.
        ImageFormat::Tiff => orientation(Some(bytes)),
        ImageFormat::Png => orientation(png::exif(bytes)),
        _ => orientation(decoder.exif_metadata().ok().flatten().as_deref()),
    }
}

/// Width and height by the header, upright.
pub(super) fn upright_size(bytes: &[u8], format: ImageFormat) -> Option<(u32, u32)> {
    let ((width, height), orientation) = if format == ImageFormat::Jpeg {
        let metadata = jpeg::metadata(bytes);
        (metadata.size?, orientation(metadata.exif.as_deref()))
    } else if format == ImageFormat::Tiff {
        tiff::size(bytes)?
    } else {
        let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder().ok()?;
        (decoder.dimensions(), orientation_of(bytes, format, &mut decoder))
    };
    let (is_turned, ..) = effect(orientation);
    Some(if is_turned { (height, width) } else { (width, height) })
}

/// The last byte of a GIF.
const GIF_TRAILER: u8 = 0x3b;

/// Whether nothing but the end of a photo may be wrong: it is missing, or what follows the pixels of a PNG, which are sound, is damaged.
fn may_be_whole(bytes: &[u8], format: ImageFormat, error: &ImageError) -> bool {
    match format {
        ImageFormat::Png => true,
        ImageFormat::Gif => bytes.last() != Some(&GIF_TRAILER),
        _ => ends_early(error) || webp::is_cut_off(bytes),
    }
}

fn finish(Raw { mut image, orientation, icc, is_cut_off }: Raw) -> Pixels {
    image.apply_orientation(orientation);
    let grey = !image.color().has_color();
    let mut rgb = flatten_on_white(image);
    let icc = icc.and_then(|icc| profile::adopt(icc, grey, &mut rgb));
    Pixels { rgb, icc, is_cut_off }
}

/// Cut-out product photos carry anything under their transparent pixels; white is what their makers see.
pub(super) fn flatten_on_white(image: DynamicImage) -> RgbImage {
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
