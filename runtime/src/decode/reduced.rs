//! JPEGs at a part of their size: how far they may be reduced, what that takes, and how the pixels lie on their photo.

use std::sync::Arc;

use image::DynamicImage;
use image::metadata::Orientation;

use super::deadline::Deadline;
use super::{Detail, Limits, Photo, full, jpeg, profile};
use crate::error::Result;
use crate::geometry::geometry;

/// How reduced pixels lie on their photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reduction {
    /// Side of the square of the photo that a pixel stands for.
    pub(super) divisor: u32,
    /// Whether the pixels that lie partly beyond the photo are on the left, and not on the right.
    pub(super) ends_left: bool,
    /// Whether they are at the top, and not at the bottom.
    pub(super) ends_top: bool,
}

/// How a photo will be decoded, told by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// In full, or refused.
    Whole,
    /// At a reduced size.
    Reduced(ReducedPlan),
}

/// What decoding at a reduced size comes to, unless something is wrong with the file behind its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReducedPlan {
    /// Of the photo, upright.
    pub width: u32,
    /// Of the photo, upright.
    pub height: u32,
    /// Held at the most while it is decoded, the file not counted.
    pub decoding_bytes: u64,
    /// Held by the photo afterwards.
    pub decoded_bytes: u64,
}

/// A colour profile is read, put together, kept and looked at: so many times its size, at the most.
const PROFILE_COPIES: u64 = 8;

impl Plan {
    /// Looks at the header only.
    pub fn of(bytes: &[u8], limits: &Limits, detail: Detail) -> Self {
        Self::reduced(bytes, limits, detail).map_or(Self::Whole, Self::Reduced)
    }

    fn reduced(bytes: &[u8], limits: &Limits, detail: Detail) -> Option<ReducedPlan> {
        let metadata = jpeg::metadata(bytes);
        let choice = Choice::of(&metadata, limits, detail).ok()??;
        let decoder_bytes = jpeg::held_bytes(bytes, choice.divisor, choice.enough)?;
        let Choice { width, height, divisor, .. } = choice;
        let rgb_bytes = 3 * u64::from(width.div_ceil(divisor)) * u64::from(height.div_ceil(divisor));
        // A picture that is turned on its side is copied.
        let turning_bytes = if choice.turned { 2 * rgb_bytes } else { rgb_bytes };
        let size = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, |part| part.len() as u64);
        let (exif_bytes, icc_bytes) = (size(&metadata.exif), size(&metadata.icc));
        Some(ReducedPlan {
            width,
            height,
            decoding_bytes: decoder_bytes.max(turning_bytes) + exif_bytes + PROFILE_COPIES * icc_bytes,
            decoded_bytes: rgb_bytes + icc_bytes,
        })
    }
}

/// How far a JPEG is reduced, and which way up it is.
struct Choice {
    /// Of the photo, upright.
    width: u32,
    height: u32,
    divisor: u32,
    /// Pixels across and down, as the file has them, that are enough.
    enough: [u32; 2],
    orientation: Orientation,
    turned: bool,
    ends_left: bool,
    ends_top: bool,
}

impl Choice {
    /// Nothing where it should be decoded in full; fails where it should not be decoded at all.
    fn of(metadata: &jpeg::Metadata, limits: &Limits, detail: Detail) -> Result<Option<Self>> {
        let (Detail::EnoughFor(fit), Some(size)) = (detail, metadata.size) else { return Ok(None) };
        limits.check_pixels(size)?;
        let orientation = full::orientation(metadata.exif.as_deref());
        let (turned, ends_left, ends_top) = effect(orientation);
        let (width, height) = if turned { (size.1, size.0) } else { size };
        let at = geometry(&fit, width, height);
        let divisor = divisor(width, height, at.content_width, at.content_height);
        let content = [at.content_width, at.content_height];
        let enough = if turned { [content[1], content[0]] } else { content };
        Ok(divisor.map(|divisor| Self { width, height, divisor, enough, orientation, turned, ends_left, ends_top }))
    }
}

/// Decodes a JPEG at a reduced size where that is enough; nothing where it should be decoded in full, and for any other
/// format.
pub(super) fn decode(bytes: &[u8], limits: &Limits, detail: Detail, deadline: &Deadline) -> Result<Option<Photo>> {
    let metadata = jpeg::metadata(bytes);
    let Some(choice) = Choice::of(&metadata, limits, detail)? else { return Ok(None) };
    let Choice { width, height, divisor, ends_left, ends_top, .. } = choice;
    let decoded = jpeg::decode_reduced(bytes, divisor, choice.enough, deadline);
    if deadline.has_passed() {
        return Err(limits.timed_out());
    }
    let Some(rgb) = decoded else { return Ok(None) };
    let mut image = DynamicImage::from(rgb);
    image.apply_orientation(choice.orientation);
    let mut rgb = image.into_rgb8();
    let grey = metadata.components == 1;
    let icc = metadata.icc.and_then(|icc| profile::adopt(icc, grey, &mut rgb)).map(Arc::from);
    let reduction = Some(Reduction { divisor, ends_left, ends_top });
    Ok(Some(Photo { width, height, rgb, reduction, icc, is_truncated: false }))
}

/// How many decoded pixels there must be for each pixel of the network's, a side. With 2, label maps of the default
/// model agree with those of the full decode on 99.59 to 99.93 % of the pixels of street photos (tests/default_model.rs
/// prints it); with 1 it was 97.9 to 99.6 % for an earlier one.
const OVERSAMPLING: u64 = 2;

/// Photos below this do not gain from half their size: the full decoder is as quick there. Fuzz targets halve small ones.
const MIN_HALVED_PX: u64 = if cfg!(fuzzing) { 0 } else { 8_000_000 };

/// The largest divisor, of those that a JPEG can be decoded at, that leaves enough for the content on both sides.
pub(super) fn divisor(width: u32, height: u32, content_width: u32, content_height: u32) -> Option<u32> {
    let sides =
        [(width, content_width), (height, content_height)].map(|(own, content)| (u64::from(own), u64::from(content)));
    let leaves_enough = |divisor: u64| sides.iter().all(|(own, content)| *own >= content * OVERSAMPLING * divisor);
    let pays = |divisor: u64| divisor > 2 || sides[0].0 * sides[1].0 >= MIN_HALVED_PX;
    [8, 4, 2].into_iter().find(|divisor| leaves_enough(*divisor) && pays(*divisor)).map(|divisor| divisor as u32)
}

/// What an orientation does to a stored picture: whether width and height change places, and whether what was its right
/// or lower edge comes to lie on the left, and at the top.
pub(super) fn effect(orientation: Orientation) -> (bool, bool, bool) {
    match orientation {
        Orientation::NoTransforms => (false, false, false),
        Orientation::FlipHorizontal => (false, true, false),
        Orientation::Rotate180 => (false, true, true),
        Orientation::FlipVertical => (false, false, true),
        Orientation::Rotate90FlipH => (true, false, false),
        Orientation::Rotate90 => (true, true, false),
        Orientation::Rotate270FlipH => (true, true, true),
        Orientation::Rotate270 => (true, false, true),
    }
}
