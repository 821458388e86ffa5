//! What a decoder had written before it gave up: all of a photo whose last bytes are missing, or a part of it.

use image::{ColorType, DynamicImage, ImageBuffer, ImageDecoder, ImageFormat, ImageResult};

use super::full::percent_of;
use crate::error::{Error, Result};

/// The level of pixels that are missing.
const MISSING: u8 = 128;

/// Rows from one to the next in the first pass of an interlaced GIF.
const FIRST_PASS_ROWS: usize = 8;

/// Decodes again a photo of which decoding has failed, and gives it with whether pixels are missing; nothing where there are none, or
/// the decoder keeps them to itself.
///
/// Decoders write rows as they come. Two runs over buffers of other contents agree in what was written, and there only: that
/// tells a picture of which nothing but the end is damaged from one that is cut off.
///
/// # Errors
/// [`Error::CutOff`] where pixels are missing and a part is not enough.
pub(super) fn salvage<D: ImageDecoder>(
    open: impl Fn() -> ImageResult<D>,
    format: ImageFormat,
    takes_part: bool,
) -> Result<Option<(DynamicImage, bool)>> {
    let run = |fill: u8| {
        let decoder = open().ok()?;
        let (color, size) = (decoder.color_type(), decoder.dimensions());
        let mut buffer = vec![fill; usize::try_from(decoder.total_bytes()).ok()?];
        decoder.read_image(&mut buffer).err()?;
        Some((color, size, buffer))
    };
    let (Some((color, size, mut pixels)), Some((.., other))) = (run(0), run(u8::MAX)) else { return Ok(None) };
    let missing = pixels.iter().zip(&other).filter(|(a, b)| a != b).count();
    if missing == pixels.len() {
        return Ok(None);
    }
    let is_cut_off = missing > 0;
    if is_cut_off && !takes_part {
        return Err(Error::CutOff { percent: Some(percent_of(1.0 - missing as f64 / pixels.len() as f64)) });
    }
    let row_bytes = usize::from(color.bytes_per_pixel()) * size.0 as usize;
    fill_missing(&mut pixels, &other, row_bytes, format == ImageFormat::Gif);
    if format == ImageFormat::Png
        && matches!(color, ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16)
    {
        // Their order is turned to the machine's when all are there.
        pixels.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| *pair = u16::from_be_bytes(*pair).to_ne_bytes());
    }
    Ok(image_of(color, size, pixels).map(|image| (image, is_cut_off)))
}

/// Makes what is missing grey. In a GIF whose rows came in passes, it is as the nearest row above that is there.
fn fill_missing(pixels: &mut [u8], other: &[u8], row_bytes: usize, may_be_interlaced: bool) {
    let is_there = |(value, other): (&u8, &u8)| value == other;
    let first_missing = pixels.iter().zip(other).position(|pair| !is_there(pair));
    let last_there = pixels.iter().zip(other).rposition(is_there);
    let repeats = may_be_interlaced && first_missing < last_there;
    // For each byte of a row, the rows since the last in which it is there.
    let mut since = vec![FIRST_PASS_ROWS; row_bytes];
    for place in 0..pixels.len().min(other.len()) {
        let since = &mut since[place % row_bytes];
        if pixels[place] == other[place] {
            *since = 0;
            continue;
        }
        *since += 1;
        pixels[place] = if repeats && *since < FIRST_PASS_ROWS { pixels[place - row_bytes] } else { MISSING };
    }
}

fn image_of(color: ColorType, (width, height): (u32, u32), bytes: Vec<u8>) -> Option<DynamicImage> {
    let wide = |bytes: &[u8]| bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_ne_bytes(*pair)).collect();
    match color {
        ColorType::L8 => ImageBuffer::from_raw(width, height, bytes).map(DynamicImage::ImageLuma8),
        ColorType::La8 => ImageBuffer::from_raw(width, height, bytes).map(DynamicImage::ImageLumaA8),
        ColorType::Rgb8 => ImageBuffer::from_raw(width, height, bytes).map(DynamicImage::ImageRgb8),
        ColorType::Rgba8 => ImageBuffer::from_raw(width, height, bytes).map(DynamicImage::ImageRgba8),
        ColorType::L16 => ImageBuffer::from_raw(width, height, wide(&bytes)).map(DynamicImage::ImageLuma16),
        ColorType::La16 => ImageBuffer::from_raw(width, height, wide(&bytes)).map(DynamicImage::ImageLumaA16),
        ColorType::Rgb16 => ImageBuffer::from_raw(width, height, wide(&bytes)).map(DynamicImage::ImageRgb16),
        ColorType::Rgba16 => ImageBuffer::from_raw(width, height, wide(&bytes)).map(DynamicImage::ImageRgba16),
        _ => None,
    }
}
