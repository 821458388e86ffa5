//! PNG, row by row, so that only the compressed image is held.
//!
//! Masks repeat from row to row: with the `Up` filter fdeflate takes 2 ms for one of 12 megapixels and gives 72 kB, zlib's
//! level 6 takes 25 ms for 27 kB (label map of a street photo, one core; the ignored test `time_of_masks` prints the
//! first). For photos `Paeth` is as fast as the simpler filters and gives 20 % less.

use std::borrow::Cow;
use std::io::Write;

use crate::error::{Error, Result};

/// Compressed bytes are passed on in chunks of this size.
const CHUNK_BYTES: usize = 1 << 16;

/// What the pixels are.
#[derive(Debug, Clone)]
pub(super) enum Pixels {
    /// 1 bit, 8 pixels a byte, the first in the highest bit: 1 = white.
    Bits,
    /// 8-bit grey.
    Grey,
    /// 8-bit index into these colours, 3 bytes each.
    Palette(Vec<u8>),
    /// Red, green, blue.
    Rgb,
    /// Red, green, blue, alpha (not multiplied in).
    Rgba,
}

/// An image to encode.
#[derive(Debug)]
pub(super) struct Header<'a> {
    /// What it is, for errors.
    pub(super) what: &'static str,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) pixels: Pixels,
    /// The ICC profile of the colours; sRGB where there is none.
    pub(super) icc: Option<&'a [u8]>,
}

/// Encodes an image; `fill_row` writes row y, whole, into the bytes it is given.
pub(super) fn encode(header: &Header<'_>, mut fill_row: impl FnMut(usize, &mut [u8])) -> Result<Vec<u8>> {
    let failed = |reason: String| Error::Encode { what: header.what, reason };
    let mut info = ::png::Info::with_size(header.width, header.height);
    info.icc_profile = header.icc.map(Cow::Borrowed);
    let (color, depth, filter) = layout(&header.pixels);
    if let Pixels::Palette(colors) = &header.pixels {
        info.palette = Some(Cow::Borrowed(colors));
    }
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::with_info(&mut bytes, info).map_err(|error| failed(error.to_string()))?;
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.set_compression(::png::Compression::Fast);
    encoder.set_filter(filter);
    let mut writer = encoder.write_header().map_err(|error| failed(error.to_string()))?;
    let row_bytes = (header.width as usize * color.samples() * depth as usize).div_ceil(8);
    let mut row = vec![0; row_bytes];
    let mut rows = writer.stream_writer_with_size(CHUNK_BYTES).map_err(|error| failed(error.to_string()))?;
    for y in 0..header.height as usize {
        fill_row(y, &mut row);
        rows.write_all(&row).map_err(|error| failed(error.to_string()))?;
    }
    rows.finish().map_err(|error| failed(error.to_string()))?;
    writer.finish().map_err(|error| failed(error.to_string()))?;
    Ok(bytes)
}

fn layout(pixels: &Pixels) -> (::png::ColorType, ::png::BitDepth, ::png::Filter) {
    use ::png::{BitDepth, ColorType, Filter};
    match pixels {
        Pixels::Bits => (ColorType::Grayscale, BitDepth::One, Filter::Up),
        Pixels::Grey => (ColorType::Grayscale, BitDepth::Eight, Filter::Up),
        Pixels::Palette(_) => (ColorType::Indexed, BitDepth::Eight, Filter::Up),
        Pixels::Rgb => (ColorType::Rgb, BitDepth::Eight, Filter::Paeth),
        Pixels::Rgba => (ColorType::Rgba, BitDepth::Eight, Filter::Paeth),
    }
}
