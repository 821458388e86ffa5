//! Photo and model description to the input tensor.

use fast_image_resize::images::ImageRef;
use fast_image_resize::{Filter, FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use ndarray::Array4;

use crate::decode::{Photo, profile};
use crate::error::{Error, Result};
pub use crate::geometry::{Geometry, Region, geometry};
use crate::spec::{ColorOrder, InputSpec};

/// Resizes a photo, or a region of it, to `width` x `height`: triangle filter, widened when shrinking so that nothing
/// is skipped, half-pixel centres. At the edges of a region the filter sees the pixels beyond them.
///
/// # Errors
/// [`Error::Invalid`] for an empty size and a region that is empty or leaves the photo.
pub fn resize_region(rgb: &RgbImage, region: Option<Region>, width: u32, height: u32) -> Result<RgbImage> {
    resize_with(FilterType::Bilinear, rgb, region, width, height)
}

fn resize_with(
    filter: FilterType,
    rgb: &RgbImage,
    region: Option<Region>,
    width: u32,
    height: u32,
) -> Result<RgbImage> {
    let failed =
        |error: &dyn std::fmt::Display| Error::Invalid(format!("cannot resize to {width} x {height}: {error}"));
    if width == 0 || height == 0 {
        return Err(failed(&"the size is empty"));
    }
    let source = ImageRef::new(rgb.width(), rgb.height(), rgb.as_raw(), PixelType::U8x3).map_err(|e| failed(&e))?;
    let mut resized = fast_image_resize::images::Image::new(width, height, PixelType::U8x3);
    let mut options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    if let Some(Region { left, top, width, height }) = region {
        options = options.crop(left, top, width, height);
    }
    Resizer::new().resize(&source, &mut resized, &options).map_err(|e| failed(&e))?;
    RgbImage::from_raw(width, height, resized.into_vec()).ok_or_else(|| failed(&"the resizer gave another size"))
}

/// Writes `(value / 255 - mean) / std` for each channel, planes one after another (C x H x W).
///
/// `planes` holds exactly 3 x height x width numbers; what it has beyond the photo's pixels is left as it is.
pub fn write_normalized(rgb: &RgbImage, mean: &[f32; 3], std: &[f32; 3], planes: &mut [f32]) {
    write_planes(rgb, ColorOrder::Rgb, mean, std, planes);
}

/// As [`write_normalized`], with the planes, `mean` and `std` in the order of `color`.
fn write_planes(rgb: &RgbImage, color: ColorOrder, mean: &[f32; 3], std: &[f32; 3], planes: &mut [f32]) {
    let area_px = (rgb.width() * rgb.height()) as usize;
    let channels = color.channels();
    for (index, plane) in planes.chunks_exact_mut(area_px.max(1)).take(3).enumerate() {
        let table = normalization_table(mean[index], std[index]);
        for (value, pixel) in plane.iter_mut().zip(rgb.as_raw().chunks_exact(3)) {
            *value = table[usize::from(pixel[channels[index]])];
        }
    }
}

/// The input tensor of one photo, 1 x 3 x H x W, and where the photo lies in it. A reduced photo gives nearly the same
/// as the full one; colours are converted to sRGB, after resizing, where the photo has a profile.
///
/// # Errors
/// As [`resize_region`].
pub fn prepare(photo: &Photo, input: &InputSpec) -> Result<(Array4<f32>, Geometry)> {
    let at = geometry(&input.fit, photo.width(), photo.height());
    let resized = if photo.is_reduced() {
        let region = photo.region();
        let each = region.width / f64::from(at.content_width) * region.height / f64::from(at.content_height);
        let filter = filter_for_means(each.sqrt());
        resize_with(filter, photo.rgb(), Some(region), at.content_width, at.content_height)?
    } else {
        resize_region(photo.rgb(), None, at.content_width, at.content_height)?
    };
    let resized = match photo.icc() {
        Some(icc) => profile::to_srgb(resized, icc),
        None => resized,
    };
    let padded = if (at.content_width, at.content_height) == (at.tensor_width, at.tensor_height) {
        resized
    } else {
        let mut padded = RgbImage::from_pixel(at.tensor_width, at.tensor_height, image::Rgb(input.pad));
        image::imageops::replace(&mut padded, &resized, 0, 0);
        padded
    };
    let mut planes = vec![0.0; 3 * padded.width() as usize * padded.height() as usize];
    write_planes(&padded, input.color, &input.mean, &input.std, &mut planes);
    let shape = (1, 3, at.tensor_height as usize, at.tensor_width as usize);
    let tensor = Array4::from_shape_vec(shape, planes).map_err(|error| Error::Invalid(error.to_string()))?;
    Ok((tensor, at))
}

/// The triangle filter for pixels that are means of squares already, so many of them for each pixel made, a side.
///
/// Squares blur, and the filter blurs what they give. Variances add up: a triangle of radius s has s^2 / 6, a square of
/// side 1 / r has 1 / (12 r^2). Both together are as wide as the triangle of radius 1 that a full photo is resized with
/// when s^2 = 1 - 1 / (2 r^2).
fn filter_for_means(pixels_each: f64) -> FilterType {
    let radius = (1.0 - 0.5 / (pixels_each * pixels_each).max(1.0)).sqrt();
    let custom = match (radius * 100.0).round() as u32 {
        ..89 => Filter::new("triangle 0.87", triangle::<87>, 0.87),
        89..92 => Filter::new("triangle 0.90", triangle::<90>, 0.90),
        92..95 => Filter::new("triangle 0.93", triangle::<93>, 0.93),
        95..98 => Filter::new("triangle 0.96", triangle::<96>, 0.96),
        _ => return FilterType::Bilinear,
    };
    custom.map_or(FilterType::Bilinear, FilterType::Custom)
}

fn triangle<const PERCENT: u32>(distance: f64) -> f64 {
    (1.0 - distance.abs() * 100.0 / f64::from(PERCENT)).max(0.0)
}

/// The normalised value of each of the 256 levels: one division a level instead of one a pixel.
fn normalization_table(mean: f32, std: f32) -> [f32; 256] {
    std::array::from_fn(|level| (level as f32 / 255.0 - mean) / std)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Fit;

    #[test]
    fn normalisation_follows_the_formula_in_chw_order() {
        let rgb = RgbImage::from_fn(2, 1, |x, _| image::Rgb([(x * 255) as u8, 51, 102]));
        let mut planes = [0.0; 6];
        write_normalized(&rgb, &[0.5, 0.0, 0.4], &[0.5, 1.0, 0.2], &mut planes);
        for (value, expected) in planes.iter().zip([-1.0, 1.0, 0.2, 0.2, 0.0, 0.0]) {
            assert!((value - expected).abs() < 1e-6, "{planes:?}");
        }
    }

    #[test]
    fn a_bgr_network_gets_blue_first_with_its_own_mean_and_deviation() {
        let photo = Photo::from_rgb(RgbImage::from_pixel(1, 1, image::Rgb([51, 102, 255]))).unwrap();
        let fit = Fit::Stretch { width: 1, height: 1 };
        let input = InputSpec {
            color: ColorOrder::Bgr,
            mean: [0.5, 0.2, 0.1],
            std: [0.5, 1.0, 2.0],
            ..InputSpec::imagenet(fit)
        };
        let (tensor, _) = prepare(&photo, &input).unwrap();
        for (value, expected) in tensor.iter().zip([1.0, 0.2, 0.05]) {
            assert!((value - expected).abs() < 1e-6, "{tensor}");
        }
    }

    #[test]
    fn prepare_puts_the_photo_top_left_and_pads_with_the_pad_colour() {
        let photo = Photo::from_rgb(RgbImage::from_pixel(30, 60, image::Rgb([255, 0, 0]))).unwrap();
        let input = InputSpec {
            mean: [0.0; 3],
            std: [1.0; 3],
            pad: [0, 255, 0],
            ..InputSpec::imagenet(Fit::LongestSide { size: 64, multiple: 48 })
        };
        let (tensor, at) = prepare(&photo, &input).unwrap();
        assert_eq!(tensor.dim(), (1, 3, 96, 48));
        assert_eq!((at.content_width, at.content_height), (32, 64));
        let color = |x: usize, y: usize| [0, 1, 2].map(|channel| tensor[[0, channel, y, x]]);
        assert_eq!(color(31, 63), [1.0, 0.0, 0.0]);
        assert_eq!(color(32, 63), [0.0, 1.0, 0.0]);
        assert_eq!(color(31, 64), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn resizing_has_half_pixel_centres() {
        // 2 pixels to 4: centres at 0.25 and 0.75 of a source pixel on either side of the middle.
        let rgb = RgbImage::from_fn(2, 1, |x, _| image::Rgb([if x == 0 { 0 } else { 200 }; 3]));
        let wide = resize_region(&rgb, None, 4, 1).unwrap();
        let values: Vec<u8> = wide.pixels().map(|pixel| pixel.0[0]).collect();
        assert_eq!(values, [0, 50, 150, 200]);
    }

    #[test]
    fn a_region_is_cut_before_resizing_and_a_bad_one_is_refused() {
        let rgb = RgbImage::from_fn(10, 10, |x, _| image::Rgb([if x < 5 { 0 } else { 255 }; 3]));
        let region = |left, width| Some(Region { left, top: 0.0, width, height: 10.0 });
        let right = resize_region(&rgb, region(6.0, 4.0), 3, 3).unwrap();
        assert!(right.pixels().all(|pixel| pixel.0 == [255; 3]));
        assert!(resize_region(&rgb, region(8.0, 5.0), 3, 3).is_err());
        assert!(resize_region(&rgb, None, 0, 3).is_err());
    }
}
