use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use image::{GrayImage, RgbImage};
use serde::Serialize;

use super::background::{Background, composed, decontaminated};
use super::format::{Exporter, Needs};
use super::options::{CutoutAlpha, CutoutFile, OutputOptions};
use super::pictures;
use super::png::{Header, Pixels, encode};
use super::view::{ClassView, PhotoView};
use crate::decode::Photo;
use crate::error::{Error, Result};
use crate::postprocess::PixelBox;

/// How much of the photo stays round a garment that is cropped to its box.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CropMargin {
    /// Pixels on each side.
    Pixels(u32),
    /// Per cent of the box's longer side, on each side.
    Percent(f64),
}

impl Default for CropMargin {
    /// 2 %: the soft rim lies outside the box of the mask.
    fn default() -> Self {
        Self::Percent(2.0)
    }
}

impl fmt::Display for CropMargin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pixels(pixels) => write!(f, "{pixels}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for CropMargin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = text.trim_end_matches('%').trim_end();
        let value = if text.ends_with('%') {
            let percent: Option<f64> = number.parse().ok();
            percent.filter(|value| value.is_finite() && *value >= 0.0).map(Self::Percent)
        } else {
            number.parse().ok().map(Self::Pixels)
        };
        value.ok_or_else(|| Error::Invalid(format!("'{text}' is no margin: write pixels (12) or per cent (5%)")))
    }
}

impl CropMargin {
    /// The box with the margin on each side, as far as the photo reaches.
    pub fn around(self, inner: PixelBox, width: u32, height: u32) -> PixelBox {
        let margin = match self {
            Self::Pixels(pixels) => pixels,
            // A conversion from a float ends at the largest number.
            Self::Percent(percent) => (f64::from(inner.width.max(inner.height)) * percent / 100.0).ceil() as u32,
        };
        let (x, width) = widened(inner.x, inner.width, margin, width);
        let (y, height) = widened(inner.y, inner.height, margin, height);
        PixelBox { x, y, width, height }
    }
}

/// A stretch of an axis with the margin on both sides, cut off at the end of the axis: first pixel and length. A stretch that
/// lies beyond the axis has no length.
fn widened(first: u32, length: u32, margin: u32, whole: u32) -> (u32, u32) {
    let end = first.saturating_add(length).saturating_add(margin).min(whole);
    let first = first.saturating_sub(margin).min(end);
    (first, end - first)
}

/// `NAME.CLASS.cutout.png`: each garment with alpha, at the photo's size.
pub(super) struct Cutout;

impl Exporter for Cutout {
    fn name(&self) -> &'static str {
        "cutout"
    }

    fn about(&self) -> &'static str {
        "one RGBA image per class, of the photo's size; alpha is the mask with smooth edges (the default), the \
         soft mask, or the mask itself"
    }

    fn needs(&self) -> Needs {
        Needs { pixels: true, ..Needs::default() }
    }

    fn class_suffix(&self) -> Option<&'static str> {
        Some(".cutout.png")
    }

    fn class_suffix_of(&self, options: &OutputOptions) -> Option<&'static str> {
        Some(match options.cutout_file {
            CutoutFile::Png => ".cutout.png",
            CutoutFile::Jpeg => ".cutout.jpg",
            CutoutFile::Webp => ".cutout.webp",
        })
    }

    fn class_file(&self, photo: &PhotoView<'_>, class: &ClassView<'_>) -> Result<Vec<u8>> {
        let (width, height) = photo.size();
        image_file(photo, &*alpha(photo.options, class)?, PixelBox { x: 0, y: 0, width, height })
    }
}

/// `NAME.CLASS.crop.png`: the same, trimmed to its box.
pub(super) struct Crop;

impl Exporter for Crop {
    fn name(&self) -> &'static str {
        "crop"
    }

    fn about(&self) -> &'static str {
        "the same, cropped to the bounding box of the mask and a margin (2% of the longer side by default)"
    }

    fn needs(&self) -> Needs {
        Needs { pixels: true, ..Needs::default() }
    }

    fn class_suffix(&self) -> Option<&'static str> {
        Some(".crop.png")
    }

    fn class_suffix_of(&self, options: &OutputOptions) -> Option<&'static str> {
        Some(match options.cutout_file {
            CutoutFile::Png => ".crop.png",
            CutoutFile::Jpeg => ".crop.jpg",
            CutoutFile::Webp => ".crop.webp",
        })
    }

    fn class_file(&self, photo: &PhotoView<'_>, class: &ClassView<'_>) -> Result<Vec<u8>> {
        let (width, height) = photo.size();
        let crop = photo.options.crop_margin.around(class.region().bounds, width, height);
        image_file(photo, &*alpha(photo.options, class)?, crop)
    }
}

/// A feather makes hard and smooth alpha the feathered mask.
fn alpha<'a>(options: &OutputOptions, class: &'a ClassView<'_>) -> Result<Cow<'a, GrayImage>> {
    let masks = &options.masks;
    Ok(match options.cutout_alpha {
        CutoutAlpha::Soft if masks.invert => Cow::Owned(masks.inverted(class.soft_mask()?.clone())),
        CutoutAlpha::Soft => Cow::Borrowed(class.soft_mask()?),
        CutoutAlpha::Smooth if !masks.feathers() => Cow::Owned(masks.inverted(smooth_edges(&class.mask()))),
        CutoutAlpha::Smooth | CutoutAlpha::Hard => Cow::Owned(masks.levels(class.mask())),
    })
}

/// The part of a cut-out within `crop`, with or without a background, in the kind of file that is asked for.
fn image_file(photo: &PhotoView<'_>, alpha: &GrayImage, crop: PixelBox) -> Result<Vec<u8>> {
    let options = photo.options;
    if options.background.is_none() && !options.decontaminate && options.cutout_file == CutoutFile::Png {
        return crop_png(photo.photo, alpha, crop);
    }
    photo.photo.full_rgb()?;
    let background = match (&options.background, options.cutout_file) {
        (None, CutoutFile::Jpeg) => Some(Background::color([255; 3])),
        (background, _) => background.clone(),
    };
    let cut = |rgb: &RgbImage| image::imageops::crop_imm(rgb, crop.x, crop.y, crop.width, crop.height).to_image();
    let (width, height) = photo.size();
    if let Some(background) = background {
        let behind = background.of_size(width, height)?;
        let colors = photo.photo.srgb();
        let mixed = cut(&composed(&decontaminated(&colors, alpha), alpha, &behind));
        return pictures::rgb_file(options.cutout_file, &mixed, None);
    }
    let colors = photo.photo.full_rgb()?;
    let colors = if options.decontaminate { Cow::Owned(decontaminated(colors, alpha)) } else { Cow::Borrowed(colors) };
    let pixels = (crop.y..crop.y + crop.height).flat_map(|y| (crop.x..crop.x + crop.width).map(move |x| (x, y)));
    let mut rgba = Vec::with_capacity(4 * crop.width as usize * crop.height as usize);
    for (x, y) in pixels {
        let (color, alpha) = (colors.get_pixel(x, y).0, alpha.get_pixel(x, y).0[0]);
        let shown = if alpha == 0 { 0 } else { u8::MAX };
        rgba.extend([color[0] & shown, color[1] & shown, color[2] & shown, alpha]);
    }
    pictures::rgba_file(options.cutout_file, (crop.width, crop.height), &rgba, photo.photo.icc())
}

/// A mask with the stairs of its edge smoothed: each pixel is the mean of its 3 x 3 neighbours with the weights 1 2 1 in both
/// directions, so that alpha changes within a pixel of the edge and is whole elsewhere. Beyond the frame the mask goes on as
/// it ends there.
///
/// The certainty of the network is no opacity: where it wavers between a shirt and a top, either would be half transparent.
#[doc(hidden)]
pub fn smooth_edges(mask: &GrayImage) -> GrayImage {
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let rows: Vec<&[u8]> = mask.as_raw().chunks_exact(width.max(1)).collect();
    let mut column_sums = vec![0_u16; width];
    let mut levels = Vec::with_capacity(width * height);
    for (y, row) in rows.iter().enumerate() {
        let (above, below) = (rows[y.saturating_sub(1)], rows[(y + 1).min(height - 1)]);
        for (sum, ((a, b), c)) in column_sums.iter_mut().zip(above.iter().zip(*row).zip(below)) {
            *sum = u16::from(*a) + 2 * u16::from(*b) + u16::from(*c);
        }
        let sum_at = |x: usize| column_sums[x.min(width - 1)];
        levels
            .extend((0..width).map(|x| ((sum_at(x.saturating_sub(1)) + 2 * sum_at(x) + sum_at(x + 1) + 8) / 16) as u8));
    }
    #[expect(clippy::expect_used, reason = "there is a level for each pixel")]
    GrayImage::from_raw(mask.width(), mask.height(), levels).expect("there is a level for each pixel")
}

/// What `alpha` leaves of a photo, as an RGBA PNG of the photo's size (alpha is not multiplied in). Where alpha is 0 the
/// colour is black, so that nothing of the background is in the file.
/// Colours are the photo's own, and so is their profile, if it has one.
///
/// # Errors
/// [`Error::ReducedPhoto`]; [`Error::Invalid`] when alpha is of another size than the photo; [`Error::Encode`].
#[cfg(test)]
fn cutout_png(photo: &Photo, alpha: &GrayImage) -> Result<Vec<u8>> {
    let (width, height) = alpha.dimensions();
    crop_png(photo, alpha, PixelBox { x: 0, y: 0, width, height })
}

/// The part within `crop` of what `alpha` leaves of a photo, as an RGBA PNG (alpha is not multiplied in). Where alpha is 0 the
/// colour is black, so that nothing of the background is in the file. Colours are the photo's own, and so is their profile, if
/// it has one.
///
/// # Errors
/// [`Error::ReducedPhoto`]; [`Error::Invalid`] when alpha is of another size than the photo, and for a box that is empty or leaves
/// the photo; [`Error::Encode`].
fn crop_png(photo: &Photo, alpha: &GrayImage, crop: PixelBox) -> Result<Vec<u8>> {
    let rgb = photo.full_rgb()?;
    if rgb.dimensions() != alpha.dimensions() {
        let ((width, height), (w, h)) = (alpha.dimensions(), rgb.dimensions());
        return Err(Error::Invalid(format!("a mask of {width} x {height} does not belong to pixels of {w} x {h}")));
    }
    let inside = |first: u32, length: u32, whole: u32| length > 0 && first < whole && length <= whole - first;
    if !inside(crop.x, crop.width, rgb.width()) || !inside(crop.y, crop.height, rgb.height()) {
        let (width, height) = rgb.dimensions();
        return Err(Error::Invalid(format!("the box {crop:?} is empty or leaves the photo of {width} x {height}")));
    }
    let header =
        Header { what: "cut-out", width: crop.width, height: crop.height, pixels: Pixels::Rgba, icc: photo.icc() };
    let (stride, length) = (rgb.width() as usize, crop.width as usize);
    encode(&header, |y, row| {
        let start = (crop.y as usize + y) * stride + crop.x as usize;
        let colors = rgb.as_raw()[3 * start..][..3 * length].chunks_exact(3);
        let alphas = &alpha.as_raw()[start..][..length];
        for ((pixel, color), &alpha) in row.chunks_exact_mut(4).zip(colors).zip(alphas) {
            let shown = if alpha == 0 { 0 } else { u8::MAX };
            pixel.copy_from_slice(&[color[0] & shown, color[1] & shown, color[2] & shown, alpha]);
        }
    })
}

#[cfg(test)]
mod tests {
    use image::{ImageEncoder as _, Luma, Rgb};
    use proptest::prelude::*;

    use super::*;

    fn inner() -> PixelBox {
        PixelBox { x: 10, y: 20, width: 30, height: 50 }
    }

    #[test]
    fn a_margin_is_pixels_or_per_cent_of_the_longer_side_and_ends_at_the_frame() {
        let around = |text: &str| text.parse::<CropMargin>().unwrap().around(inner(), 100, 75);
        assert_eq!(around("0"), inner());
        assert_eq!(around("4"), PixelBox { x: 6, y: 16, width: 38, height: 58 }, "the frame is at 75");
        assert_eq!(around("10%"), PixelBox { x: 5, y: 15, width: 40, height: 60 });
        assert_eq!(around("4000000000"), PixelBox { x: 0, y: 0, width: 100, height: 75 });
        for bad in ["", "-1", "x", "-5%", "1.5", "NaN%", "%"] {
            assert!(bad.parse::<CropMargin>().is_err(), "{bad}");
        }
        for text in ["12", "2.5%"] {
            assert_eq!(text.parse::<CropMargin>().unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn a_margin_keeps_any_box_within_the_photo(
            [x, y, width, height] in any::<[u32; 4]>(),
            [across, down] in any::<[u32; 2]>(),
            pixels in any::<u32>(),
            percent in 0.0_f64..1e12,
        ) {
            let inner = PixelBox { x, y, width, height };
            for margin in [CropMargin::Pixels(pixels), CropMargin::Percent(percent)] {
                let outer = margin.around(inner, across, down);
                prop_assert!(u64::from(outer.x) + u64::from(outer.width) <= u64::from(across));
                prop_assert!(u64::from(outer.y) + u64::from(outer.height) <= u64::from(down));
                // What of the box lies in the photo stays.
                let right = (u64::from(x) + u64::from(width)).min(u64::from(across));
                prop_assert!(x >= across || (outer.x <= x && u64::from(outer.x) + u64::from(outer.width) >= right));
            }
        }
    }

    #[test]
    fn a_cut_out_keeps_colours_under_alpha_and_nothing_elsewhere() {
        let rgb = RgbImage::from_fn(4, 2, |x, y| Rgb([x as u8 + 1, y as u8 + 1, 9]));
        let photo = Photo::from_rgb(rgb).unwrap();
        let alpha = GrayImage::from_fn(4, 2, |x, _| Luma([[0, 1, 128, 255][x as usize]]));
        let read = |bytes: Vec<u8>| image::load_from_memory(&bytes).unwrap().into_rgba8();
        let whole = read(cutout_png(&photo, &alpha).unwrap());
        assert_eq!(whole.dimensions(), (4, 2));
        let row: Vec<_> = (0..4).map(|x| whole.get_pixel(x, 1).0).collect();
        assert_eq!(row, [[0, 0, 0, 0], [2, 2, 9, 1], [3, 2, 9, 128], [4, 2, 9, 255]]);
        let part = PixelBox { x: 1, y: 1, width: 2, height: 1 };
        let part = read(crop_png(&photo, &alpha, part).unwrap());
        assert_eq!(part.as_raw()[..], [2, 2, 9, 1, 3, 2, 9, 128]);
    }

    #[test]
    fn edges_are_smoothed_within_a_pixel_and_go_on_at_the_frame() {
        let mask = GrayImage::from_fn(6, 3, |x, _| Luma([if x < 3 { 255 } else { 0 }]));
        let smooth = smooth_edges(&mask);
        for row in smooth.as_raw().chunks_exact(6) {
            assert_eq!(row, [255, 255, 191, 64, 0, 0]);
        }
        let dot = smooth_edges(&GrayImage::from_fn(3, 3, |x, y| Luma([if (x, y) == (1, 1) { 255 } else { 0 }])));
        assert_eq!(dot.as_raw()[..], [16, 32, 16, 32, 64, 32, 16, 32, 16]);
        assert_eq!(smooth_edges(&GrayImage::new(0, 0)).dimensions(), (0, 0));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let photo = Photo::from_rgb(RgbImage::new(4, 2)).unwrap();
        assert!(cutout_png(&photo, &GrayImage::new(2, 4)).is_err());
        for (x, width) in [(0, 0), (4, 1), (1, 4), (u32::MAX, 1)] {
            let crop = PixelBox { x, y: 0, width, height: 1 };
            assert!(crop_png(&photo, &GrayImage::new(4, 2), crop).is_err(), "{crop:?}");
        }
    }

    #[test]
    fn the_photos_profile_stands_in_the_file() {
        let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
        let mut jpeg = Vec::new();
        let mut encoder = image::codecs::jpeg::JpegEncoder::new(&mut jpeg);
        encoder.set_icc_profile(profile.clone()).unwrap();
        encoder.encode_image(&RgbImage::new(4, 2)).unwrap();
        let photo = Photo::from_bytes(&jpeg, &crate::decode::Limits::default()).unwrap();
        let bytes = cutout_png(&photo, &GrayImage::new(4, 2)).unwrap();
        let reader = ::png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        assert_eq!(reader.info().icc_profile.as_deref(), Some(profile.as_slice()));
    }
}
