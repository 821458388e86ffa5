use image::ExtendedColorType;
use image::codecs::png::FilterType;

use super::png;
use crate::Taxonomy;
use crate::decode::Photo;
use crate::error::{Error, Result};
use crate::postprocess::LabelMap;

/// Share of the class colour inside a garment, of 256.
const TINT: u32 = 140;

/// The photo with each garment tinted in its class colour and its outline drawn in that colour, as RGB PNG.
///
/// # Errors
/// [`Error::Invalid`] when the label map is of another photo; [`Error::Encode`].
pub fn overlay_png(photo: &Photo, map: &LabelMap, taxonomy: &Taxonomy) -> Result<Vec<u8>> {
    let (width, height) = (map.width(), map.height());
    if (width, height) != (photo.width(), photo.height()) {
        return Err(Error::Invalid(format!(
            "a label map of {width} x {height} does not belong to a photo of {} x {}",
            photo.width(),
            photo.height()
        )));
    }
    let colors: [[u8; 3]; 256] =
        std::array::from_fn(|class| taxonomy.classes.get(class).map_or([255; 3], |class| class.color));
    let labels = map.labels();
    let row = width as usize;
    let mut pixels = photo.rgb().as_raw().clone();
    for (at, pixel) in pixels.chunks_exact_mut(3).enumerate() {
        let label = labels[at];
        if label == 0 {
            continue;
        }
        // An outline pixel has a neighbour of another class on its right or below, or above or on its left.
        let differs =
            |neighbour: Option<usize>| neighbour.is_some_and(|at| labels.get(at).is_some_and(|&l| l != label));
        let x = at % row;
        let outline = differs((x + 1 < row).then_some(at + 1))
            || differs(x.checked_sub(1).map(|_| at - 1))
            || differs(Some(at + row))
            || differs(at.checked_sub(row));
        let weight = if outline { 256 } else { TINT };
        for (value, color) in pixel.iter_mut().zip(colors[usize::from(label)]) {
            *value = ((u32::from(color) * weight + u32::from(*value) * (256 - weight)) >> 8) as u8;
        }
    }
    png("overlay", &pixels, width, height, ExtendedColorType::Rgb8, FilterType::Sub)
}
