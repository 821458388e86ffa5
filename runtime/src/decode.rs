//! File or bytes to an upright RGB photo, within limits.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

use crate::error::{Error, Result};

const FORMATS: [ImageFormat; 6] =
    [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Tiff];

/// What a decoder may always allocate, however low the limit on pixels is.
const MIN_DECODER_BYTES: u64 = 16 << 20;

/// What a photo may cost before it is refused. Photos come from anywhere; a few hundred bytes can claim gigapixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest file, in bytes.
    pub max_bytes: u64,
    /// Largest photo, width x height.
    pub max_pixels: u64,
}

impl Default for Limits {
    /// 256 MiB and 128 megapixels: more than any camera in use gives.
    fn default() -> Self {
        Self { max_bytes: 256 << 20, max_pixels: 128_000_000 }
    }
}

/// A decoded photo: 8-bit RGB, upright (the EXIF orientation is applied), no transparency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    rgb: RgbImage,
}

impl Photo {
    /// Decodes a file. The format is told by the content, not by the name: JPEG, PNG, WebP, BMP, GIF (first frame) and
    /// TIFF. Transparent pixels are laid over white.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::TooLarge`], and [`Error::Decode`] for what is no photo, or a damaged or cut-off one.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self> {
        let read_error = |source| Error::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read_error)?;
        let mut bytes = Vec::new();
        // One byte over the limit tells "too large" apart without a second look at the file.
        file.take(limits.max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(read_error)?;
        Self::from_bytes(&bytes, limits)
    }

    /// Decodes bytes: see [`Photo::open`].
    ///
    /// # Errors
    /// [`Error::TooLarge`] and [`Error::Decode`].
    pub fn from_bytes(bytes: &[u8], limits: &Limits) -> Result<Self> {
        if bytes.len() as u64 > limits.max_bytes {
            return Err(Error::TooLarge { found: bytes.len() as u64, limit: limits.max_bytes, unit: "bytes" });
        }
        if bytes.is_empty() {
            return Err(Error::Decode { reason: "the file is empty".into(), source: None });
        }
        let broken = |source: image::ImageError| Error::Decode { reason: "damaged".into(), source: Some(source) };
        let format = image::guess_format(bytes).ok().filter(|format| FORMATS.contains(format)).ok_or_else(|| {
            Error::Decode { reason: "its content is none of JPEG, PNG, WebP, BMP, GIF, TIFF".into(), source: None }
        })?;
        if format == ImageFormat::Jpeg && !jpeg_is_whole(bytes) {
            return Err(Error::Decode { reason: "the JPEG is cut off before its end".into(), source: None });
        }
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        // The pixel limit below is ours; this one keeps a decoder's own buffers in bounds (16 bytes: RGBA in 32 bit).
        let mut decoder_limits = image::Limits::default();
        decoder_limits.max_alloc = Some(limits.max_pixels.saturating_mul(16).max(MIN_DECODER_BYTES));
        reader.limits(decoder_limits);
        let mut decoder = reader.into_decoder().map_err(broken)?;
        let (width, height) = decoder.dimensions();
        let pixels = u64::from(width) * u64::from(height);
        if pixels > limits.max_pixels {
            return Err(Error::TooLarge { found: pixels, limit: limits.max_pixels, unit: "pixels" });
        }
        // A damaged EXIF block says nothing about the pixels: such a photo is taken as it lies.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut image = DynamicImage::from_decoder(decoder).map_err(broken)?;
        image.apply_orientation(orientation);
        Self::from_rgb(flatten_on_white(image))
    }

    /// Takes pixels that are decoded already.
    ///
    /// # Errors
    /// [`Error::Decode`] when there are none.
    pub fn from_rgb(rgb: RgbImage) -> Result<Self> {
        if rgb.width() == 0 || rgb.height() == 0 {
            return Err(Error::Decode { reason: "it has no pixels".into(), source: None });
        }
        Ok(Self { rgb })
    }

    /// The pixels.
    pub fn rgb(&self) -> &RgbImage {
        &self.rgb
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.rgb.width()
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.rgb.height()
    }
}

/// Cut-out product photos carry anything under their transparent pixels; white is what their makers see.
fn flatten_on_white(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let rgba = image.into_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [r, g, b, alpha] = rgba.get_pixel(x, y).0;
        let alpha = u32::from(alpha);
        let over_white = |value: u8| ((u32::from(value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        image::Rgb([over_white(r), over_white(g), over_white(b)])
    })
}

/// Whether the end marker follows the first scan. The decoder fills the missing part of a cut-off JPEG with grey and
/// reports success, which would pass for a photo.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
    // Walk the segments to the scan: an EXIF thumbnail before it has an end marker of its own.
    let mut at = 2;
    while let Some(&[marker_start, marker, high, low]) = bytes.get(at..at + 4).and_then(|head| head.first_chunk::<4>())
    {
        if marker_start != 0xff {
            return true; // no segment here: whatever is wrong, the decoder names it better
        }
        if marker == 0xff {
            at += 1; // fill byte
        } else if marker == START_OF_SCAN {
            return bytes[at..].windows(2).any(|pair| pair == END_OF_IMAGE);
        } else {
            at += 2 + usize::from(u16::from_be_bytes([high, low]));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ExtendedColorType, ImageEncoder, Rgba, RgbaImage};

    fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn gradient(width: u32, height: u32) -> DynamicImage {
        RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 5) as u8, (y * 5) as u8, 128])).into()
    }

    /// A JPEG of a wide image that is dark on the left, with an EXIF block of this orientation.
    fn jpeg_with_orientation(orientation: u8) -> Vec<u8> {
        let wide = RgbImage::from_fn(40, 20, |x, _| image::Rgb(if x < 20 { [10; 3] } else { [240; 3] }));
        let mut tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        tiff.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95);
        encoder.set_exif_metadata(tiff).unwrap();
        encoder.write_image(wide.as_raw(), 40, 20, ExtendedColorType::Rgb8).unwrap();
        bytes
    }

    #[test]
    fn every_format_is_told_by_its_content() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Tiff] {
            let photo = Photo::from_bytes(&encode(&gradient(33, 17), format), &Limits::default()).unwrap();
            assert_eq!((photo.width(), photo.height()), (33, 17), "{format:?}");
        }
    }

    #[test]
    fn exif_orientation_turns_the_photo_upright() {
        let upright = |orientation| Photo::from_bytes(&jpeg_with_orientation(orientation), &Limits::default()).unwrap();
        let dark = |photo: &Photo, x, y| photo.rgb().get_pixel(x, y).0[0] < 100;
        let plain = upright(1);
        assert_eq!((plain.width(), plain.height()), (40, 20));
        assert!(dark(&plain, 2, 10) && !dark(&plain, 37, 10));
        let turned = upright(6); // to be turned 90 degrees clockwise: left becomes top
        assert_eq!((turned.width(), turned.height()), (20, 40));
        assert!(dark(&turned, 10, 2) && !dark(&turned, 10, 37));
        let mirrored = upright(2);
        assert!(!dark(&mirrored, 2, 10) && dark(&mirrored, 37, 10));
    }

    #[test]
    fn a_cut_off_photo_is_refused_in_every_format() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let whole = encode(&gradient(120, 90), format);
            for part in [whole.len() / 2, whole.len() * 9 / 10] {
                let error = Photo::from_bytes(&whole[..part], &Limits::default()).unwrap_err();
                assert!(matches!(error, Error::Decode { .. }), "{format:?} {part}: {error}");
            }
        }
        // The end marker of a thumbnail in the EXIF block does not count as the photo's own.
        let mut with_thumbnail = jpeg_with_orientation(1);
        let end = with_thumbnail.len() - 2;
        with_thumbnail.truncate(end);
        with_thumbnail.splice(2..2, [0xff, 0xe1, 0, 4, 0xff, 0xd9]);
        assert!(Photo::from_bytes(&with_thumbnail, &Limits::default()).is_err());
    }

    #[test]
    fn what_is_no_photo_is_refused() {
        for bytes in
            [&b"this is a text file"[..], b"P6 1 1 255 abc", &[], &[0xff, 0xd8], &[0xff, 0xd8, 0xff, 0xe0, 0, 16]]
        {
            let error = Photo::from_bytes(bytes, &Limits::default()).unwrap_err();
            assert!(matches!(error, Error::Decode { .. }), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn limits_on_bytes_and_pixels_hold() {
        let bytes = encode(&gradient(100, 100), ImageFormat::Png);
        let refused = |limits| matches!(Photo::from_bytes(&bytes, &limits), Err(Error::TooLarge { .. }));
        assert!(refused(Limits { max_pixels: 9_999, ..Limits::default() }));
        assert!(!refused(Limits { max_pixels: 10_000, ..Limits::default() }));
        assert!(refused(Limits { max_bytes: 50, ..Limits::default() }));
    }

    #[test]
    fn transparent_pixels_are_white_and_half_transparent_ones_in_between() {
        let mut rgba = RgbaImage::from_pixel(2, 1, Rgba([0, 0, 0, 0]));
        rgba.put_pixel(1, 0, Rgba([0, 100, 200, 128]));
        let photo = Photo::from_bytes(&encode(&rgba.into(), ImageFormat::Png), &Limits::default()).unwrap();
        assert_eq!(photo.rgb().get_pixel(0, 0).0, [255; 3]);
        assert_eq!(photo.rgb().get_pixel(1, 0).0, [127, 177, 227]);
    }
}
