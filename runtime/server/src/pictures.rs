//! Masks and cut-outs of any classes together, as PNG.

use clothseg::export::pixels::smooth_edges;
use clothseg::{Photo, Segmentation};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, GrayImage, ImageEncoder};

use crate::problem::Problem;
use crate::work::File;

/// The mask of some classes: 255 = one of them.
pub fn mask(segmentation: &Segmentation, classes: &[usize]) -> Result<File, Problem> {
    let mask = segmentation.mask_of(classes);
    let mut content = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut content, CompressionType::Fast, FilterType::Up);
    written(encoder.write_image(mask.as_raw(), mask.width(), mask.height(), ExtendedColorType::L8))?;
    Ok(File { media_type: "image/png", content })
}

/// The photo with alpha, of its size: the mask of some classes with smooth edges. Where alpha is 0 the colour is black, so that nothing
/// of the background is left.
pub fn cutout(photo: &Photo, segmentation: &Segmentation, classes: &[usize]) -> Result<File, Problem> {
    let alpha = smooth_edges(&segmentation.mask_of(classes));
    let pixels = rgba(photo.full_rgb()?.as_raw(), &alpha);
    let mut content = Vec::new();
    let mut encoder = PngEncoder::new_with_quality(&mut content, CompressionType::Fast, FilterType::Paeth);
    if let Some(icc) = photo.icc() {
        let kept = encoder.set_icc_profile(icc.to_vec());
        kept.map_err(|error| Problem::internal("the cut-out", &error.to_string()))?;
    }
    written(encoder.write_image(&pixels, alpha.width(), alpha.height(), ExtendedColorType::Rgba8))?;
    Ok(File { media_type: "image/png", content })
}

fn rgba(rgb: &[u8], alpha: &GrayImage) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(4 * alpha.as_raw().len());
    for (color, &alpha) in rgb.chunks_exact(3).zip(alpha.as_raw()) {
        let shown = if alpha == 0 { 0 } else { u8::MAX };
        pixels.extend_from_slice(&[color[0] & shown, color[1] & shown, color[2] & shown, alpha]);
    }
    pixels
}

fn written(result: image::ImageResult<()>) -> Result<(), Problem> {
    result.map_err(|error| Problem::internal("the PNG", &error.to_string()))
}
