use std::fmt;
use std::str::FromStr;

use image::GrayImage;

use super::format::{Exporter, Needs};
use super::options::OutputOptions;
use super::png::{Header, Pixels, encode};
use super::view::{ClassView, PhotoView};
use crate::error::{Error, Result};
use crate::postprocess::{LabelMap, write_mask};
use crate::taxonomy::Taxonomy;

/// Bits a pixel of a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MaskDepth {
    /// 8 bits: 255 = class. Every program reads it.
    #[default]
    Eight,
    /// 1 bit: 1 = class. A third of the bytes.
    One,
}

impl fmt::Display for MaskDepth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eight => "8",
            Self::One => "1",
        })
    }
}

impl FromStr for MaskDepth {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "8" => Ok(Self::Eight),
            "1" => Ok(Self::One),
            _ => Err(Error::Invalid(format!("'{text}' bits a pixel: masks have 8 or 1"))),
        }
    }
}

/// `NAME.CLASS.png`: the mask of each class.
pub(super) struct Masks;

impl Exporter for Masks {
    fn name(&self) -> &'static str {
        "masks"
    }

    fn about(&self) -> &'static str {
        "one mask per class found: 8 bits, 255 = class; with `--mask-depth 1` 1 bit"
    }

    fn class_suffix(&self) -> Option<&'static str> {
        Some(".png")
    }

    fn class_file(&self, photo: &PhotoView<'_>, class: &ClassView<'_>) -> Result<Vec<u8>> {
        let options = photo.options;
        if options.masks.feathers() || options.masks.invert {
            return levels_png(&options.masks.levels(class.mask()), options);
        }
        mask_png(photo.segmentation.label_map(), &[class.region().class], options.mask_depth)
    }
}

/// `NAME.CLASS.soft.png`: the soft mask of each class.
pub(super) struct Soft;

impl Exporter for Soft {
    fn name(&self) -> &'static str {
        "soft"
    }

    fn about(&self) -> &'static str {
        "probability of the class at each pixel: 8 bits, softmax of the interpolated logits"
    }

    fn needs(&self) -> Needs {
        Needs { soft_masks: true, ..Needs::default() }
    }

    fn class_suffix(&self) -> Option<&'static str> {
        Some(".soft.png")
    }

    fn class_file(&self, photo: &PhotoView<'_>, class: &ClassView<'_>) -> Result<Vec<u8>> {
        if photo.options.masks.invert {
            return soft_png(&photo.options.masks.inverted(class.soft_mask()?.clone()));
        }
        soft_png(class.soft_mask()?)
    }
}

/// `NAME.labels.png`: class indices.
pub(super) struct Labels;

impl Exporter for Labels {
    fn name(&self) -> &'static str {
        "labels"
    }

    fn about(&self) -> &'static str {
        "palette PNG of 8 bits: pixel value = class index, palette = class colours; classes that were not asked for are 0. Read it \
         with Pillow: OpenCV applies the palette"
    }

    fn photo_suffixes(&self) -> &'static [&'static str] {
        &[".labels.png"]
    }

    fn photo_files(&self, photo: &PhotoView<'_>) -> Result<Vec<Vec<u8>>> {
        Ok(vec![labels_png(&photo.segmentation.label_map().keep(photo.classes), photo.taxonomy())?])
    }
}

/// The mask of some classes as a grey PNG of the label map's size: white = one of the classes, black = not.
///
/// # Errors
/// [`Error::Encode`].
fn mask_png(map: &LabelMap, classes: &[usize], depth: MaskDepth) -> Result<Vec<u8>> {
    let width = map.width() as usize;
    let rows = map.labels();
    let pixels = match depth {
        MaskDepth::Eight => Pixels::Grey,
        MaskDepth::One => Pixels::Bits,
    };
    let header = Header { what: "mask", width: map.width(), height: map.height(), pixels, icc: None };
    let mut mask = vec![0; width.next_multiple_of(8)];
    encode(&header, |y, row| {
        let labels = &rows[y * width..][..width];
        match depth {
            MaskDepth::Eight => write_mask(labels, classes, row),
            MaskDepth::One => {
                write_mask(labels, classes, &mut mask[..width]);
                pack(&mask, row);
            }
        }
    })
}

/// A mask with levels; in 1 bit where it has none between 0 and 255 and that is asked for.
fn levels_png(mask: &GrayImage, options: &OutputOptions) -> Result<Vec<u8>> {
    if options.mask_depth == MaskDepth::Eight || options.masks.feathers() {
        return soft_png(mask);
    }
    let width = mask.width() as usize;
    let header = Header { what: "mask", width: mask.width(), height: mask.height(), pixels: Pixels::Bits, icc: None };
    let mut line = vec![0; width.next_multiple_of(8)];
    encode(&header, |y, row| {
        line[..width].copy_from_slice(&mask.as_raw()[y * width..][..width]);
        pack(&line, row);
    })
}

/// Eight bytes of 0 or 255 to a byte each, the first in the highest bit.
pub(super) fn pack(mask: &[u8], bits: &mut [u8]) {
    for (bits, mask) in bits.iter_mut().zip(mask.chunks_exact(8)) {
        *bits = mask.iter().fold(0, |bits, value| bits << 1 | (value & 1));
    }
}

/// A soft mask as an 8-bit grey PNG: 255 = surely the class.
///
/// # Errors
/// [`Error::Encode`].
fn soft_png(mask: &GrayImage) -> Result<Vec<u8>> {
    let header =
        Header { what: "soft mask", width: mask.width(), height: mask.height(), pixels: Pixels::Grey, icc: None };
    let width = mask.width() as usize;
    encode(&header, |y, row| row.copy_from_slice(&mask.as_raw()[y * width..][..width]))
}

/// A label map as an 8-bit PNG with a palette: the stored index is the class index, its colour the class's. Every index
/// that occurs has a colour; what the taxonomy does not know is black.
///
/// # Errors
/// [`Error::Encode`].
fn labels_png(map: &LabelMap, taxonomy: &Taxonomy) -> Result<Vec<u8>> {
    let width = map.width() as usize;
    let largest = map.labels().iter().copied().max().unwrap_or(0);
    let mut colors: Vec<u8> = taxonomy.classes.iter().take(256).flat_map(|class| class.color).collect();
    colors.resize(colors.len().max(3 * (usize::from(largest) + 1)), 0);
    let header = Header {
        what: "label map",
        width: map.width(),
        height: map.height(),
        pixels: Pixels::Palette(colors),
        icc: None,
    };
    encode(&header, |y, row| row.copy_from_slice(&map.labels()[y * width..][..width]))
}

#[cfg(test)]
mod tests;
