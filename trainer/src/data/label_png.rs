//! Label PNGs of all kinds to class indices.
//!
//! The depths 1, 2, 4, 8 and 16 bits and all colour types are read; alpha does not matter. What a pixel means is plain in most
//! files and never guessed in the others: see [`LabelReading`].

mod whole;

use std::io::Cursor;
use std::path::Path;

use clothseg::Limits;
use clothseg::internals::files::kind::{HEAD_BYTES, Kind};

use super::{IGNORE, LabelImage, LabelReading};
use crate::classes::colors::ClassColors;
use crate::counted::counted;
use crate::error::{Error, Result};

/// What a source says of its label PNGs.
#[derive(Clone, Debug)]
pub struct PngMeaning {
    /// How they are read.
    pub reading: LabelReading,
    /// Number of classes of the source.
    pub classes: usize,
    /// Colours of the classes, where the class table has them.
    pub colors: Option<ClassColors>,
}

impl PngMeaning {
    /// Refuses a reading that the class table at `path` does not go with.
    pub(super) fn check(&self, path: &Path) -> Result<()> {
        let cause = match self.reading {
            LabelReading::Binary if self.classes != 2 => format!(
                "names {}, and reading = \"binary\" is for two: background, and what the masks show",
                counted(self.classes, "class", "classes")
            ),
            LabelReading::Color if self.colors.is_none() => {
                "has no columns r, g and b, which reading = \"color\" needs".to_owned()
            }
            _ => return Ok(()),
        };
        Err(Error::file(path, cause))
    }
}

/// A decoded file.
struct Pixels {
    width: u32,
    /// Samples of a pixel, without alpha: 1 or 3.
    channels: usize,
    samples: Vec<u8>,
    palette: Option<Vec<u8>>,
}

/// Reads a label PNG.
pub(super) fn read(path: &Path, meaning: &PngMeaning) -> Result<LabelImage> {
    let pixels = decode(path)?;
    let width = pixels.width;
    let data = indices(pixels, meaning).map_err(|cause| Error::file(path, cause))?;
    let height = (data.len() / width as usize) as u32; // at most the file's u32
    Ok(LabelImage { width, height, data })
}

fn decode(path: &Path) -> Result<Pixels> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let fail = |cause: String| Error::file(path, cause);
    if let Kind::Photo(format) = Kind::of(bytes.get(..HEAD_BYTES).unwrap_or(&bytes))
        && format.extension() != "png"
    {
        let kind = format.extension().to_uppercase();
        return Err(fail(format!(
            "is no PNG but {kind}, whatever its name says; save labels as PNG (JPEG changes classes)"
        )));
    }
    let completed = whole::completed(&bytes);
    let is_cut = completed.is_some();
    let mut decoder = png::Decoder::new(Cursor::new(completed.as_deref().unwrap_or(&bytes)));
    decoder.set_transformations(png::Transformations::IDENTITY);
    // The checksum of what is completed is not there.
    decoder.ignore_checksums(is_cut);
    let damage = |what: &str, error: png::DecodingError| match is_cut {
        true => fail("is cut off; copy or save it again".to_owned()),
        false => fail(format!("{what}: {error}")),
    };
    let mut reader = decoder.read_info().map_err(|error| damage("is no readable PNG", error))?;
    let info = reader.info();
    let (width, height, color, depth) = (info.width, info.height, info.color_type, info.bit_depth);
    let palette = info.palette.as_ref().map(|palette| palette.to_vec());
    let pixels = u64::from(width) * u64::from(height);
    let size = reader.output_buffer_size().filter(|_| pixels <= Limits::default().max_pixels);
    let Some(size) = size else {
        return Err(fail(format!("is too large: {width} x {height}")));
    };
    let mut data = vec![0; size];
    let frame = reader.next_frame(&mut data).map_err(|error| damage("is damaged", error))?;
    data.truncate(frame.buffer_size());
    let stored = color.samples();
    let samples = match depth {
        png::BitDepth::Eight => data,
        png::BitDepth::Sixteen => from_16_bits(&data, stored, width).map_err(fail)?,
        low => unpack(&data, frame.line_size, width as usize * stored, low as u32),
    };
    let channels = if stored < 3 { 1 } else { 3 };
    let samples = match stored == channels {
        true => samples,
        false => samples.chunks_exact(stored).flat_map(|pixel| &pixel[..channels]).copied().collect(),
    };
    Ok(Pixels { width, channels, samples, palette: palette.filter(|_| color == png::ColorType::Indexed) })
}

/// Samples of less than 8 bits, the highest bits of a byte first; rows begin at whole bytes.
fn unpack(data: &[u8], line_bytes: usize, row_samples: usize, bits: u32) -> Vec<u8> {
    let in_byte = 8 / bits as usize;
    let mask = u8::MAX >> (8 - bits);
    let sample = |row: &[u8], at: usize| row[at / in_byte] >> (8 - bits as usize * (at % in_byte + 1)) & mask;
    data.chunks_exact(line_bytes).flat_map(|row| (0..row_samples).map(move |at| sample(row, at))).collect()
}

/// 16-bit samples that are numbers of 8 bits (the high byte 0), or such numbers spread over 16 bits (both bytes equal); 65535
/// is 255 in both.
fn from_16_bits(data: &[u8], samples: usize, width: u32) -> std::result::Result<Vec<u8>, String> {
    let (pairs, _) = data.as_chunks::<2>();
    if pairs.iter().all(|pair| pair[0] == 0 || *pair == [255; 2]) {
        return Ok(pairs.iter().map(|pair| pair[1]).collect());
    }
    match pairs.iter().position(|[high, low]| high != low) {
        None => Ok(pairs.iter().map(|pair| pair[0]).collect()),
        Some(at) => {
            let ([x, y], value) = (place(at / samples, width), u16::from_be_bytes(pairs[at]));
            Err(format!(
                "is a 16-bit PNG with the value {value} at pixel ({x}, {y}); indices are 0 to 254, and 255 is ignored"
            ))
        }
    }
}

fn place(at: usize, width: u32) -> [usize; 2] {
    [at % width as usize, at / width as usize]
}

fn indices(pixels: Pixels, meaning: &PngMeaning) -> std::result::Result<Vec<u8>, String> {
    let PngMeaning { reading, classes, colors } = meaning;
    let need_colors = || colors.as_ref().ok_or("needs the classes' colours: columns r, g and b in the class table");
    match (reading, pixels.channels) {
        (LabelReading::Binary, _) => Ok(binary(&pixels)),
        (LabelReading::Index, 1) => Ok(pixels.samples),
        (LabelReading::Index, _) => equal_channels(&pixels, usize::from(IGNORE), None),
        (LabelReading::Color, 1) => {
            let colors = need_colors()?;
            let map = Values::of(&pixels).classes(&pixels, colors)?;
            Ok(pixels.samples.iter().map(|value| map[usize::from(*value)]).collect())
        }
        (LabelReading::Color, channels) => need_colors()?.indices(&pixels.samples, channels, pixels.width),
        (LabelReading::Auto, 1) => one_channel(pixels, *classes, colors.as_ref()),
        (LabelReading::Auto, channels) => match colors {
            None => equal_channels(&pixels, *classes, None).map_err(|cause| {
                format!("{cause}; a label in colours needs a class table with the columns r, g and b")
            }),
            Some(colors) => colors
                .indices(&pixels.samples, channels, pixels.width)
                .or_else(|cause| equal_channels(&pixels, *classes, Some(colors)).map_err(|_| cause)),
        },
    }
}

/// Indices from a file that stores one number a pixel.
fn one_channel(pixels: Pixels, classes: usize, colors: Option<&ClassColors>) -> std::result::Result<Vec<u8>, String> {
    let values = Values::of(&pixels);
    let is_index = values.all(|value| usize::from(value) < classes || value == IGNORE);
    let map = colors.and_then(|colors| values.classes(&pixels, colors).ok());
    match (is_index, map) {
        (true, Some(map)) => {
            let other = |value: &u8| map[usize::from(*value)] != *value;
            // Of greys only white is in doubt: all others may be the colours of classes by accident.
            let doubt = values.used().find(|value| other(value) && (pixels.palette.is_some() || *value == IGNORE));
            match doubt {
                None => Ok(pixels.samples),
                Some(value) => Err(format!(
                    "stores {value} where the colour is that of class {}; say reading = \"index\" or reading = \"color\" in the \
                     source",
                    map[usize::from(value)]
                )),
            }
        }
        (false, Some(map)) => Ok(pixels.samples.iter().map(|value| map[usize::from(*value)]).collect()),
        (_, None) => Ok(pixels.samples),
    }
}

/// Indices from three equal channels. A grey that is the colour of another class is no index.
fn equal_channels(
    pixels: &Pixels,
    classes: usize,
    colors: Option<&ClassColors>,
) -> std::result::Result<Vec<u8>, String> {
    let index = |(at, pixel): (usize, &[u8])| {
        let value = pixel[0];
        let is_index = usize::from(value) < classes || value == IGNORE;
        let is_other = |colors: &ClassColors| colors.class([value; 3]).is_some_and(|class| class != value);
        if pixel == [value; 3] && is_index && !colors.is_some_and(is_other) {
            return Ok(value);
        }
        let [x, y] = place(at, pixels.width);
        Err(format!("has the colour ({}, {}, {}) at pixel ({x}, {y}), which is no index", pixel[0], pixel[1], pixel[2]))
    };
    pixels.samples.chunks_exact(3).enumerate().map(index).collect()
}

fn binary(pixels: &Pixels) -> Vec<u8> {
    let brightest = |color: &[u8]| color.iter().copied().max().unwrap_or(0);
    let levels: Vec<u8> = match &pixels.palette {
        Some(palette) => {
            let level = |index: &u8| palette.chunks_exact(3).nth(usize::from(*index)).map_or(0, brightest);
            pixels.samples.iter().map(level).collect()
        }
        None => pixels.samples.chunks_exact(pixels.channels).map(brightest).collect(),
    };
    let half = brightest(&levels).div_ceil(2).max(1);
    levels.into_iter().map(|level| u8::from(level >= half)).collect()
}

/// Which numbers a file stores.
struct Values([bool; 256]);

impl Values {
    fn of(pixels: &Pixels) -> Self {
        let mut used = [false; 256];
        pixels.samples.iter().for_each(|value| used[usize::from(*value)] = true);
        Self(used)
    }

    fn used(&self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(|value| self.0[usize::from(*value)])
    }

    fn all(&self, holds: impl Fn(u8) -> bool) -> bool {
        self.used().all(holds)
    }

    /// The class of each number by its colour.
    #[expect(clippy::expect_used, reason = "these are the numbers that the file has")]
    fn classes(&self, pixels: &Pixels, colors: &ClassColors) -> std::result::Result<[u8; 256], String> {
        let mut map = [IGNORE; 256];
        for value in self.used() {
            let color = match &pixels.palette {
                None => Some([value; 3]),
                Some(palette) => palette.as_chunks::<3>().0.get(usize::from(value)).copied(),
            };
            let class = color.and_then(|color| colors.class(color)).ok_or_else(|| {
                let at =
                    pixels.samples.iter().position(|sample| *sample == value).expect("used numbers are in the file");
                match color {
                    Some(color) => colors.unknown(color, at, pixels.width as usize),
                    None => format!("stores {value}, for which its palette has no colour"),
                }
            })?;
            map[usize::from(value)] = class;
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests;
