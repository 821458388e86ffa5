use image::ExtendedColorType;
use image::codecs::png::FilterType;

use super::png;
use crate::error::Result;
use crate::postprocess::LabelMap;
use crate::segmenter::Segmentation;

/// The mask of some classes as an 8-bit grey PNG at the photo's size: 255 = class, 0 = not.
///
/// # Errors
/// [`Error::Encode`](crate::Error::Encode).
pub fn mask_png(segmentation: &Segmentation, classes: &[usize]) -> Result<Vec<u8>> {
    let mask = segmentation.mask_of(classes);
    png("mask", mask.as_raw(), mask.width(), mask.height(), ExtendedColorType::L8, FilterType::Up)
}

/// A label map as an 8-bit grey PNG: pixel = class index.
///
/// # Errors
/// [`Error::Encode`](crate::Error::Encode).
pub fn labels_png(map: &LabelMap) -> Result<Vec<u8>> {
    png("label map", map.labels(), map.width(), map.height(), ExtendedColorType::L8, FilterType::Up)
}
