//! Pictures in the kinds of files that shops take.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use super::options::CutoutFile;
use super::png::{Header, Pixels, encode};
use crate::error::{Error, Result};

/// Quality of JPEGs, of 100: differences are not to be seen, at a tenth of the bytes of a PNG.
const JPEG_QUALITY: u8 = 92;

/// Colours without alpha; sRGB where there is no profile.
///
/// # Errors
/// [`Error::Encode`].
pub(super) fn rgb_file(kind: CutoutFile, rgb: &RgbImage, icc: Option<&[u8]>) -> Result<Vec<u8>> {
    let (width, height) = rgb.dimensions();
    match kind {
        CutoutFile::Png => png((width, height), Pixels::Rgb, rgb.as_raw(), icc),
        _ => encoded(kind, (width, height), rgb.as_raw(), ExtendedColorType::Rgb8, icc),
    }
}

/// Colours with alpha, four bytes a pixel; [`CutoutFile::Jpeg`] has none and is refused.
///
/// # Errors
/// [`Error::Encode`].
pub(super) fn rgba_file(kind: CutoutFile, size: (u32, u32), rgba: &[u8], icc: Option<&[u8]>) -> Result<Vec<u8>> {
    match kind {
        CutoutFile::Png => png(size, Pixels::Rgba, rgba, icc),
        _ => encoded(kind, size, rgba, ExtendedColorType::Rgba8, icc),
    }
}

fn png((width, height): (u32, u32), pixels: Pixels, bytes: &[u8], icc: Option<&[u8]>) -> Result<Vec<u8>> {
    let length = bytes.len() / (height.max(1) as usize);
    let header = Header { what: "cut-out", width, height, pixels, icc };
    encode(&header, |y, row| row.copy_from_slice(&bytes[y * length..][..length]))
}

fn encoded(
    kind: CutoutFile,
    (width, height): (u32, u32),
    bytes: &[u8],
    color: ExtendedColorType,
    icc: Option<&[u8]>,
) -> Result<Vec<u8>> {
    let failed = |reason: String| Error::Encode { what: "cut-out", reason };
    let most = if kind == CutoutFile::Webp { 16_383 } else { 65_535 };
    if width.max(height) > most {
        return Err(failed(format!("{width} x {height} pixels, and {kind} has at most {most} a side; take png")));
    }
    let mut file = Vec::new();
    let written = match kind {
        CutoutFile::Webp => write(WebPEncoder::new_lossless(&mut file), (width, height), bytes, color, icc),
        CutoutFile::Jpeg | CutoutFile::Png => {
            write(JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY), (width, height), bytes, color, icc)
        }
    };
    written.map_err(|error| failed(error.to_string()))?;
    Ok(file)
}

fn write<E: ImageEncoder>(
    mut encoder: E,
    (width, height): (u32, u32),
    bytes: &[u8],
    color: ExtendedColorType,
    icc: Option<&[u8]>,
) -> image::ImageResult<()> {
    if let Some(icc) = icc {
        // A kind that holds no profile is sRGB to its readers; there is none among these.
        let _ = encoder.set_icc_profile(icc.to_vec());
    }
    encoder.write_image(bytes, width, height, color)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_back_as_it_was() {
        let rgba: Vec<u8> = (0..4 * 20 * 10).map(|value| (value * 7 % 256) as u8).collect();
        for kind in [CutoutFile::Png, CutoutFile::Webp] {
            let file = rgba_file(kind, (20, 10), &rgba, None).unwrap();
            assert_eq!(image::load_from_memory(&file).unwrap().into_rgba8().into_raw(), rgba, "{kind}");
        }
        let rgb = RgbImage::from_fn(32, 16, |x, _| image::Rgb([(x * 8) as u8, 100, 50]));
        for kind in CutoutFile::ALL {
            let read = image::load_from_memory(&rgb_file(kind, &rgb, None).unwrap()).unwrap().into_rgb8();
            let most = read.iter().zip(rgb.iter()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(most <= Some(if kind == CutoutFile::Jpeg { 12 } else { 0 }), "{kind}: {most:?}");
        }
        assert!(rgba_file(CutoutFile::Jpeg, (20, 10), &rgba, None).is_err());
        let wide = RgbImage::new(16_384, 1);
        assert!(rgb_file(CutoutFile::Webp, &wide, None).unwrap_err().to_string().contains("at most 16383"));
    }
}
