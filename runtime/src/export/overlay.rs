use std::borrow::Cow;

use image::RgbImage;
use rayon::prelude::*;

use super::format::{Exporter, Needs};
use super::png::{Header, Pixels, encode};
use super::view::PhotoView;
use crate::Taxonomy;
use crate::decode::Photo;
use crate::error::{Error, Result};
use crate::postprocess::LabelMap;

/// Share of the class colour inside a garment, of 256.
const TINT: u32 = 140;

/// `NAME.overlay.png`: the photo with tinted garments.
pub(super) struct Overlay;

impl Exporter for Overlay {
    fn name(&self) -> &'static str {
        "overlay"
    }

    fn about(&self) -> &'static str {
        "the photo with the garments tinted"
    }

    fn needs(&self) -> Needs {
        Needs { pixels: true, ..Needs::default() }
    }

    fn photo_suffixes(&self) -> &'static [&'static str] {
        &[".overlay.png"]
    }

    fn photo_files(&self, photo: &PhotoView<'_>) -> Result<Vec<Vec<u8>>> {
        let map = photo.segmentation.label_map().keep(photo.classes);
        Ok(vec![overlay_png(photo.photo, &map, photo.taxonomy())?])
    }
}

/// The photo with each garment tinted in its class colour and its outline drawn in that colour, as RGB PNG in sRGB.
///
/// # Errors
/// [`Error::ReducedPhoto`]; [`Error::Invalid`] when the label map is of another photo; [`Error::Encode`].
pub fn overlay_png(photo: &Photo, map: &LabelMap, taxonomy: &Taxonomy) -> Result<Vec<u8>> {
    let tint = Tint::new(photo, map, taxonomy)?;
    let header = Header { what: "overlay", width: map.width(), height: map.height(), pixels: Pixels::Rgb, icc: None };
    encode(&header, |y, row| tint.write_row(y, row))
}

/// The same as pixels.
///
/// # Errors
/// As [`overlay_png`].
#[doc(hidden)]
pub fn overlay_rgb(photo: &Photo, map: &LabelMap, taxonomy: &Taxonomy) -> Result<RgbImage> {
    let tint = Tint::new(photo, map, taxonomy)?;
    let mut overlay = RgbImage::new(map.width(), map.height());
    let row_bytes = 3 * map.width().max(1) as usize;
    overlay.par_chunks_exact_mut(row_bytes).enumerate().for_each(|(y, row)| tint.write_row(y, row));
    Ok(overlay)
}

/// A photo, and the colours that lie on it.
struct Tint<'a> {
    rgb: Cow<'a, RgbImage>,
    map: &'a LabelMap,
    colors: [[u8; 3]; 256],
}

impl<'a> Tint<'a> {
    fn new(photo: &'a Photo, map: &'a LabelMap, taxonomy: &Taxonomy) -> Result<Self> {
        photo.full_rgb()?;
        let (width, height) = (map.width(), map.height());
        let rgb = photo.srgb();
        if (width, height) != rgb.dimensions() {
            let (w, h) = rgb.dimensions();
            return Err(Error::Invalid(format!(
                "a label map of {width} x {height} does not belong to pixels of {w} x {h}"
            )));
        }
        let colors = std::array::from_fn(|class| taxonomy.classes.get(class).map_or([255; 3], |class| class.color));
        Ok(Self { rgb, map, colors })
    }

    fn write_row(&self, y: usize, row: &mut [u8]) {
        let (labels, length) = (self.map.labels(), self.map.width() as usize);
        row.copy_from_slice(&self.rgb.as_raw()[3 * y * length..][..3 * length]);
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let at = y * length + x;
            let label = labels[at];
            if label == 0 {
                continue;
            }
            let weight = if is_outline(labels, length, x, at) { 256 } else { TINT };
            for (value, color) in pixel.iter_mut().zip(self.colors[usize::from(label)]) {
                *value = ((u32::from(color) * weight + u32::from(*value) * (256 - weight)) >> 8) as u8;
            }
        }
    }
}

/// Whether a pixel has a neighbour of another class on its right or below, or above or on its left.
fn is_outline(labels: &[u8], length: usize, x: usize, at: usize) -> bool {
    let label = labels[at];
    let differs = |neighbour: Option<usize>| neighbour.is_some_and(|at| labels.get(at).is_some_and(|&l| l != label));
    differs((x + 1 < length).then_some(at + 1))
        || differs(x.checked_sub(1).map(|_| at - 1))
        || differs(Some(at + length))
        || differs(at.checked_sub(length))
}
