//! TIFF: which page is the photo, kinds that the crate `image` does not read as they are, and the names of those that are not read.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageFormat, RgbImage, RgbaImage};

use super::Limits;
use super::deadline::Deadline;
use super::full::{self, Raw};
use crate::error::{Error, Result};
use crate::files::tiff::Tiff;

mod tag {
    pub(super) const IMAGE_WIDTH: u16 = 256;
    pub(super) const IMAGE_HEIGHT: u16 = 257;
    pub(super) const BITS_PER_SAMPLE: u16 = 258;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const PHOTOMETRIC: u16 = 262;
    pub(super) const STRIP_OFFSETS: u16 = 273;
    pub(super) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(super) const ROWS_PER_STRIP: u16 = 278;
    pub(super) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(super) const PLANAR_CONFIGURATION: u16 = 284;
    pub(super) const PREDICTOR: u16 = 317;
    pub(super) const TILE_WIDTH: u16 = 322;
    pub(super) const TILE_HEIGHT: u16 = 323;
    pub(super) const TILE_OFFSETS: u16 = 324;
    pub(super) const TILE_BYTE_COUNTS: u16 = 325;
    pub(super) const EXTRA_SAMPLES: u16 = 338;
    pub(super) const SAMPLE_FORMAT: u16 = 339;
    pub(super) const ICC_PROFILE: u16 = 34_675;
}

const NO_COMPRESSION: u64 = 1;
const WHITE_IS_ZERO: u64 = 0;
const BLACK_IS_ZERO: u64 = 1;
const RGB: u64 = 2;
const CMYK: u64 = 5;
const DIFFERENCES: u64 = 2;
/// Compressions of bytes, whatever they mean: none, LZW, Deflate under both numbers, and PackBits.
const BYTE_COMPRESSIONS: [u64; 5] = [NO_COMPRESSION, 5, 8, 32_946, 32_773];

/// Decodes the photo of a file.
pub(super) fn read(bytes: &[u8], limits: &Limits, deadline: &Deadline) -> Result<Raw> {
    let decode = || match Tiff::of_photo(bytes) {
        Some(page) if is_apart(&page) || is_grey_with_alpha(&page) => match GreyPlanes::of(&page) {
            Some(apart) => apart.read(bytes, &page, limits, deadline),
            None => Err(unread(bytes)),
        },
        Some(page) => full::read(&starting_at(bytes, &page), ImageFormat::Tiff, limits, deadline),
        None => full::read(bytes, ImageFormat::Tiff, limits, deadline),
    };
    // A decoder that breaks down costs a photo, not the program.
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(unread(bytes)))
}

/// The ICC profile. The crate `image` leaves out those that are large beside their pixels.
pub(super) fn icc(bytes: &[u8]) -> Option<Vec<u8>> {
    Tiff::new(bytes)?.content(tag::ICC_PROFILE).map(<[u8]>::to_vec)
}

/// Width and height as stored, and which way up they are.
pub(super) fn size(bytes: &[u8]) -> Option<((u32, u32), Orientation)> {
    let page = Tiff::of_photo(bytes)?;
    let size = size_of(&page)?;
    Some((size, page.orientation().unwrap_or(Orientation::NoTransforms)))
}

fn size_of(page: &Tiff<'_>) -> Option<(u32, u32)> {
    let side = |tag| page.value(tag).and_then(|side| u32::try_from(side).ok()).filter(|side| *side > 0);
    side(tag::IMAGE_WIDTH).zip(side(tag::IMAGE_HEIGHT))
}

/// The file with this page as its first.
fn starting_at<'a>(bytes: &'a [u8], page: &Tiff<'_>) -> Cow<'a, [u8]> {
    if Tiff::new(bytes).is_some_and(|first| first.at() == page.at()) {
        return Cow::Borrowed(bytes);
    }
    let mut bytes = bytes.to_vec();
    set_start(&mut bytes, page, page.at());
    Cow::Owned(bytes)
}

/// Says where the first page is.
fn set_start(bytes: &mut [u8], page: &Tiff<'_>, at: u64) {
    let (place, size) = if page.is_wide() { (8, 8) } else { (4, 4) };
    if let Some(start) = bytes.get_mut(place..place + size) {
        start.copy_from_slice(&page.bytes_of(at, size));
    }
}

fn samples(page: &Tiff<'_>) -> u64 {
    page.value(tag::SAMPLES_PER_PIXEL).unwrap_or(1)
}

fn is_planar(page: &Tiff<'_>) -> bool {
    page.value(tag::PLANAR_CONFIGURATION) == Some(2) && samples(page) > 1
}

/// Whether colours are stored apart from each other, in tiles that reach below the photo, at which the decoder breaks down.
fn is_apart(page: &Tiff<'_>) -> bool {
    let rows = page.value(tag::TILE_HEIGHT).zip(page.value(tag::IMAGE_HEIGHT));
    is_planar(page) && rows.is_some_and(|(tile, photo)| photo.checked_rem(tile) != Some(0))
}

/// Whether a photo is grey with something beside it, which the decoder takes for bands of unknown meaning.
fn is_grey_with_alpha(page: &Tiff<'_>) -> bool {
    samples(page) == 2 && matches!(page.value(tag::PHOTOMETRIC), Some(WHITE_IS_ZERO | BLACK_IS_ZERO))
}

/// What the last sample of a pixel is.
fn has_alpha(page: &Tiff<'_>) -> bool {
    matches!(page.value(tag::EXTRA_SAMPLES), Some(1 | 2))
}

/// A photo that is read as grey pictures: one of each colour, or one of twice the width in which grey and alpha take turns.
struct GreyPlanes {
    width: u32,
    height: u32,
    bits: u64,
    compression: u64,
    /// Planes that are read.
    planes: usize,
    all_planes: usize,
    /// Samples of a plane beside each other.
    interleaved: u32,
    /// Whether samples are differences, and the decoder would add those that do not belong together.
    is_predicted: bool,
    tile: Option<[u64; 2]>,
    rows_per_strip: u64,
    offsets: Vec<u64>,
    byte_counts: Vec<u64>,
}

impl GreyPlanes {
    /// Nothing where it is of another kind.
    fn of(page: &Tiff<'_>) -> Option<Self> {
        let (width, height) = size_of(page)?;
        let compression = page.value(tag::COMPRESSION).unwrap_or(NO_COMPRESSION);
        let predictor = page.value(tag::PREDICTOR).unwrap_or(1);
        let bits = page.values(tag::BITS_PER_SAMPLE)?;
        let is_usual = bits.iter().all(|own| *own == bits[0])
            && matches!(bits[0], 8 | 16)
            && matches!(predictor, 1 | DIFFERENCES)
            && BYTE_COMPRESSIONS.contains(&compression)
            && page.values(tag::SAMPLE_FORMAT).is_none_or(|formats| formats.iter().all(|format| *format == 1));
        let colours = match page.value(tag::PHOTOMETRIC)? {
            RGB => 3,
            WHITE_IS_ZERO | BLACK_IS_ZERO => 1,
            _ => return None,
        };
        let all_planes = usize::try_from(samples(page)).ok()?;
        if !is_usual || all_planes < colours {
            return None;
        }
        let is_planar = is_planar(page);
        let tile = page.value(tag::TILE_WIDTH).zip(page.value(tag::TILE_HEIGHT)).map(<[u64; 2]>::from);
        let (offsets, byte_counts) = match tile {
            Some(_) => (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS),
            None => (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS),
        };
        Some(Self {
            width,
            height,
            bits: bits[0],
            compression,
            planes: if is_planar { colours + usize::from(has_alpha(page)) } else { 1 }.min(all_planes),
            all_planes: if is_planar { all_planes } else { 1 },
            interleaved: if is_planar { 1 } else { 2 },
            is_predicted: predictor == DIFFERENCES,
            tile,
            rows_per_strip: page.value(tag::ROWS_PER_STRIP).unwrap_or(u64::from(height)),
            offsets: page.values(offsets)?,
            byte_counts: page.values(byte_counts)?,
        })
    }

    fn read(&self, bytes: &[u8], page: &Tiff<'_>, limits: &Limits, deadline: &Deadline) -> Result<Raw> {
        limits.check_pixels((self.width, self.height))?;
        // Those of twice the width are no more pixels than the photo has.
        let limits = limits.clone().with_max_pixels(limits.max_pixels.saturating_mul(u64::from(self.interleaved)));
        let mut file = bytes.to_vec();
        let mut planes = Vec::new();
        for plane in 0..self.planes {
            file.truncate(bytes.len());
            self.add_directory(&mut file, page, plane);
            let mut raw = full::read(&file, ImageFormat::Tiff, &limits, deadline)?;
            if self.is_predicted && self.interleaved == 2 {
                self.add_up(&mut raw.image);
            }
            planes.push(raw.image.into_luma8().into_raw());
        }
        let image = self.put_together(planes, page).ok_or_else(|| unread(bytes))?;
        let orientation = page.orientation().unwrap_or(Orientation::NoTransforms);
        let icc = page.content(tag::ICC_PROFILE).map(<[u8]>::to_vec);
        Ok(Raw { image, orientation, icc, is_cut_off: false })
    }

    /// Adds a directory for a plane as a grey picture, and makes it the file's first.
    fn add_directory(&self, file: &mut Vec<u8>, page: &Tiff<'_>, plane: usize) {
        let per_plane = self.offsets.len().min(self.byte_counts.len()) / self.all_planes;
        let part = |values: &[u64]| values.iter().skip(plane * per_plane).take(per_plane).copied().collect();
        let times = u64::from(self.interleaved);
        let predictor = if self.is_predicted && self.interleaved == 1 { DIFFERENCES } else { 1 };
        let mut entries = vec![
            (tag::IMAGE_WIDTH, vec![u64::from(self.width) * times]),
            (tag::IMAGE_HEIGHT, vec![u64::from(self.height)]),
            (tag::BITS_PER_SAMPLE, vec![self.bits]),
            (tag::COMPRESSION, vec![self.compression]),
            (tag::PHOTOMETRIC, vec![BLACK_IS_ZERO]),
            (tag::SAMPLES_PER_PIXEL, vec![1]),
            (tag::PREDICTOR, vec![predictor]),
        ];
        match self.tile {
            Some([width, height]) => entries.extend([
                (tag::TILE_WIDTH, vec![width.saturating_mul(times)]),
                (tag::TILE_HEIGHT, vec![height]),
                (tag::TILE_OFFSETS, part(&self.offsets)),
                (tag::TILE_BYTE_COUNTS, part(&self.byte_counts)),
            ]),
            None => entries.extend([
                (tag::STRIP_OFFSETS, part(&self.offsets)),
                (tag::ROWS_PER_STRIP, vec![self.rows_per_strip]),
                (tag::STRIP_BYTE_COUNTS, part(&self.byte_counts)),
            ]),
        }
        entries.sort_by_key(|(tag, _)| *tag);
        append_directory(file, page, &entries);
    }

    /// Adds up the differences of samples that take turns, in each row of each tile.
    fn add_up(&self, image: &mut DynamicImage) {
        let row = self.width as usize * 2;
        let tile = self.tile.and_then(|[width, _]| usize::try_from(width).ok()?.checked_mul(2)).unwrap_or(row).max(2);
        match image {
            DynamicImage::ImageLuma8(image) => {
                image.chunks_exact_mut(row).for_each(|row| add_up_row(row, tile, u8::wrapping_add));
            }
            DynamicImage::ImageLuma16(image) => {
                image.chunks_exact_mut(row).for_each(|row| add_up_row(row, tile, u16::wrapping_add));
            }
            _ => {}
        }
    }

    /// The photo of its planes.
    fn put_together(&self, mut planes: Vec<Vec<u8>>, page: &Tiff<'_>) -> Option<DynamicImage> {
        let mut samples: Vec<u8> = if planes.len() == 1 {
            planes.pop()?
        } else {
            let pixels = 0..planes.first()?.len();
            pixels.flat_map(|at| planes.iter().map(move |plane| plane.get(at).copied())).collect::<Option<_>>()?
        };
        let per_pixel = self.planes * self.interleaved as usize;
        let is_inverted = page.value(tag::PHOTOMETRIC) == Some(WHITE_IS_ZERO);
        let has_alpha = has_alpha(page);
        for pixel in samples.chunks_exact_mut(per_pixel) {
            if is_inverted {
                pixel[0] = u8::MAX - pixel[0];
            }
            // What stands beside grey without being its alpha.
            if per_pixel == 2 && !has_alpha {
                pixel[1] = u8::MAX;
            }
        }
        let (width, height) = (self.width, self.height);
        match per_pixel {
            1 => GrayImage::from_raw(width, height, samples).map(DynamicImage::from),
            2 => GrayAlphaImage::from_raw(width, height, samples).map(DynamicImage::from),
            3 => RgbImage::from_raw(width, height, samples).map(DynamicImage::from),
            _ => RgbaImage::from_raw(width, height, samples).map(DynamicImage::from),
        }
    }
}

fn add_up_row<T: Copy>(row: &mut [T], tile: usize, add: impl Fn(T, T) -> T) {
    for part in row.chunks_mut(tile) {
        for at in 2..part.len() {
            part[at] = add(part[at], part[at - 2]);
        }
    }
}

/// Adds a directory with these entries, by their tags, to a file, and makes it the first.
fn append_directory(file: &mut Vec<u8>, page: &Tiff<'_>, entries: &[(u16, Vec<u64>)]) {
    /// LONG and LONG8.
    const KINDS: [u64; 2] = [4, 16];
    let wide = page.is_wide();
    let (size, kind, count_bytes) = if wide { (8, KINDS[1], 8) } else { (4, KINDS[0], 2) };
    file.resize(file.len().next_multiple_of(8), 0);
    let start = file.len();
    let mut beyond = start + count_bytes + entries.len() * (4 + 2 * size) + size;
    let mut elsewhere = Vec::new();
    file.extend(page.bytes_of(entries.len() as u64, count_bytes));
    for (tag, values) in entries {
        file.extend(page.bytes_of(u64::from(*tag), 2));
        file.extend(page.bytes_of(kind, 2));
        file.extend(page.bytes_of(values.len() as u64, size));
        if let [value] = values.as_slice() {
            file.extend(page.bytes_of(*value, size));
            continue;
        }
        file.extend(page.bytes_of(beyond as u64, size));
        elsewhere.extend(values.iter().flat_map(|value| page.bytes_of(*value, size)));
        beyond += values.len() * size;
    }
    file.extend(vec![0; size]);
    file.extend(elsewhere);
    set_start(file, page, start as u64);
}

fn unread(bytes: &[u8]) -> Error {
    let cause = unread_cause(bytes);
    Error::Decode { reason: not_read(cause.as_deref().unwrap_or("an unusual layout of its pixels")), source: None }
}

/// What is said of a kind that is not read, for this cause.
pub(super) fn not_read(cause: &str) -> String {
    format!("this kind of TIFF is not read ({cause}); save it as an ordinary TIFF, PNG or JPEG")
}

/// What about a file makes it one of those that are not read; nothing where its tags are the usual ones.
pub(super) fn unread_cause(bytes: &[u8]) -> Option<String> {
    let page = Tiff::of_photo(bytes)?;
    compression_cause(&page).or_else(|| colour_cause(&page)).or_else(|| sample_cause(&page))
}

fn compression_cause(page: &Tiff<'_>) -> Option<String> {
    let name = match page.value(tag::COMPRESSION).unwrap_or(NO_COMPRESSION) {
        1 | 4 | 5 | 7 | 8 | 32_773 | 32_946 => return None,
        2 => "CCITT Huffman",
        3 => "CCITT Group 3",
        6 => "JPEG of the old kind",
        9 | 10 | 34_661 => "JBIG",
        33_003 | 33_005 | 34_712 => "JPEG 2000",
        34_676 | 34_677 => "SGI Log",
        34_887 => "LERC",
        34_925 => "LZMA",
        50_000 => "ZSTD",
        50_001 => "WebP",
        50_002 | 52_546 => "JPEG XL",
        other => return Some(format!("compression number {other}")),
    };
    Some(format!("compression {name}"))
}

fn colour_cause(page: &Tiff<'_>) -> Option<String> {
    let cause = match page.value(tag::PHOTOMETRIC)? {
        WHITE_IS_ZERO | BLACK_IS_ZERO | RGB => return None,
        CMYK if is_planar(page) => "CMYK colours in separate planes",
        CMYK => return None,
        3 => "colours from a palette",
        4 => "a mask",
        6 => "YCbCr colours",
        8..=10 => "Lab colours",
        32_803 | 34_892 => "the raw pixels of a camera",
        32_844 | 32_845 => "LogLuv colours",
        other => return Some(format!("colours of kind number {other}")),
    };
    Some(cause.into())
}

fn sample_cause(page: &Tiff<'_>) -> Option<String> {
    let bits = page.value(tag::BITS_PER_SAMPLE).unwrap_or(1);
    let numbers = match page.value(tag::SAMPLE_FORMAT).unwrap_or(1) {
        2 => "signed whole numbers",
        3 => "floating-point numbers",
        5 | 6 => "complex numbers",
        _ if !matches!(bits, 1 | 8 | 16) => "numbers",
        _ => return (samples(page) > 4).then(|| format!("{} values per pixel", samples(page))),
    };
    Some(format!("pixels of {bits}-bit {numbers}"))
}

#[cfg(test)]
mod tests;
