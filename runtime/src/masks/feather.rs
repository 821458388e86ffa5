//! Masks with soft edges.

use image::GrayImage;

use super::Length;
use super::distance::to_others;

/// A mask of 0 and 255 with a soft edge: see [`MaskOptions::feather`](super::MaskOptions::feather).
pub(super) fn feather(mask: GrayImage, feather: Length) -> GrayImage {
    let (width, height) = mask.dimensions();
    let reach_px = feather.pixels(width, height);
    if reach_px <= 0.0 || width == 0 || height == 0 {
        return mask;
    }
    let level = |label: u8, square: Option<i64>| {
        let Some(square) = square else { return label };
        let from_outline = (square as f64).sqrt() - 0.5;
        let signed = if label == 0 { -from_outline } else { from_outline };
        (255.0 * (0.5 + signed / (2.0 * reach_px)).clamp(0.0, 1.0)).round() as u8
    };
    // Half a pixel more: the outline is so much nearer than the next centre.
    let levels = to_others(mask.as_raw(), width as usize, reach_px + 0.5, level);
    #[expect(clippy::expect_used, reason = "there is a level for each pixel")]
    GrayImage::from_raw(width, height, levels).expect("there is a level for each pixel")
}
