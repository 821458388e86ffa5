//! Embedded ICC profiles: which are kept, and pixels to sRGB.

use std::sync::{Arc, Mutex, PoisonError};

use image::RgbImage;
use moxcms::{CmsError, ColorProfile, DataColorSpace, Layout, Transform8BitExecutor, TransformOptions};
use rayon::prelude::*;

/// Takes the profile that a file has for its pixels and gives back the one that fits them as RGB.
///
/// A profile for grey is applied at once, and nothing is left of it: no file can say that RGB pixels follow it. One that
/// is broken, or for colours that the decoder does not hand out (CMYK), is left out.
pub(super) fn adopt(icc: Vec<u8>, grey_pixels: bool, rgb: &mut RgbImage) -> Option<Vec<u8>> {
    let profile = match ColorProfile::new_from_slice(&icc) {
        Ok(profile) => profile,
        Err(error) => {
            tracing::warn!(%error, "the photo's colour profile is broken and ignored: its colours are taken as sRGB");
            return None;
        }
    };
    match profile.color_space {
        DataColorSpace::Rgb => Some(icc),
        DataColorSpace::Gray if grey_pixels => {
            match grey_levels(&profile) {
                Some(levels) => rgb.iter_mut().for_each(|value| *value = levels[usize::from(*value)]),
                None => tracing::warn!("the photo's grey profile cannot be used and is ignored"),
            }
            None
        }
        other => {
            tracing::debug!(profile = ?other, "the photo's colour profile is not for the pixels decoded and is ignored");
            None
        }
    }
}

/// Pixels of a profile to sRGB; as they are where the profile cannot be used.
pub(crate) fn to_srgb(rgb: RgbImage, icc: &[u8]) -> RgbImage {
    let transform = match transform_of(icc) {
        Ok(transform) => transform,
        Err(error) => {
            tracing::warn!(%error, "the photo's colour profile cannot be used: its colours are taken as sRGB");
            return rgb;
        }
    };
    let mut converted = vec![0; rgb.as_raw().len()];
    let stretches = converted.par_chunks_mut(STRETCH_BYTES).zip(rgb.as_raw().par_chunks(STRETCH_BYTES));
    let done = stretches.map(|(to, from)| transform.transform(from, to)).collect::<Result<(), CmsError>>();
    if let Err(error) = done {
        tracing::warn!(%error, "the photo's colour profile cannot be applied: its colours are taken as sRGB");
        return rgb;
    }
    #[expect(clippy::expect_used, reason = "there are as many bytes as in the photo")]
    RgbImage::from_raw(rgb.width(), rgb.height(), converted).expect("there are as many bytes as in the photo")
}

/// Bytes of pixels, three a pixel, that a thread converts at once.
const STRETCH_BYTES: usize = 3 << 16;

type Transform = Arc<Transform8BitExecutor>;

/// The profile used last, and what it does: photos of one source share theirs, and to work it out costs more than to
/// convert a network's input.
static LAST: Mutex<Option<(Vec<u8>, Transform)>> = Mutex::new(None);

/// The transform from a profile to sRGB.
fn transform_of(icc: &[u8]) -> Result<Transform, CmsError> {
    if let Some((last, transform)) = &*LAST.lock().unwrap_or_else(PoisonError::into_inner)
        && last == icc
    {
        return Ok(Arc::clone(transform));
    }
    let (profile, srgb) = (ColorProfile::new_from_slice(icc)?, ColorProfile::new_srgb());
    let transform = profile.create_transform_8bit(Layout::Rgb, &srgb, Layout::Rgb, TransformOptions::default())?;
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some((icc.to_vec(), Arc::clone(&transform)));
    Ok(transform)
}

/// The sRGB value of each grey level.
fn grey_levels(profile: &ColorProfile) -> Option<[u8; 256]> {
    let levels: [u8; 256] = std::array::from_fn(|level| level as u8);
    let mut rgb = [0; 3 * 256];
    let srgb = ColorProfile::new_srgb();
    let transform =
        profile.create_transform_8bit(Layout::Gray, &srgb, Layout::Rgb, TransformOptions::default()).ok()?;
    transform.transform(&levels, &mut rgb).ok()?;
    Some(std::array::from_fn(|level| rgb[3 * level]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use moxcms::ToneReprCurve;
    use proptest::prelude::*;

    fn one_pixel(value: [u8; 3]) -> RgbImage {
        RgbImage::from_pixel(1, 1, image::Rgb(value))
    }

    #[test]
    fn colours_are_converted_and_srgb_stays() {
        let p3 = ColorProfile::new_display_p3().encode().unwrap();
        // Display P3 has sRGB's curve; linear red is 1.2249 r - 0.2247 g, green 1.0420 g - 0.0420 r, blue 1.0979 b -
        // 0.0786 g - 0.0197 r, with 100 -> 0.1274 and 200 -> 0.5776.
        let pixel = to_srgb(one_pixel([100, 200, 100]), &p3).get_pixel(0, 0).0;
        for (value, expected) in pixel.into_iter().zip([45_u8, 203, 86]) {
            assert!(value.abs_diff(expected) <= 1, "{pixel:?}");
        }
        let srgb = ColorProfile::new_srgb().encode().unwrap();
        for value in [[0, 0, 0], [12, 130, 250], [255, 255, 255]] {
            let same = to_srgb(one_pixel(value), &srgb).get_pixel(0, 0).0;
            assert!(same.into_iter().zip(value).all(|(a, b)| a.abs_diff(b) <= 1), "{value:?} {same:?}");
        }
    }

    #[test]
    fn profiles_are_kept_applied_or_left_out() {
        let mut rgb = one_pixel([128; 3]);
        let p3 = ColorProfile::new_display_p3().encode().unwrap();
        assert_eq!(adopt(p3.clone(), false, &mut rgb), Some(p3));
        assert_eq!(adopt(b"no profile".to_vec(), false, &mut rgb), None);
        assert_eq!(rgb.get_pixel(0, 0).0, [128; 3]);
        let mut linear = ColorProfile::new_gray_with_gamma(1.0);
        linear.gray_trc = Some(ToneReprCurve::Lut(Vec::new()));
        let linear = linear.encode().unwrap();
        assert_eq!(adopt(linear.clone(), false, &mut rgb), None);
        assert_eq!(rgb.get_pixel(0, 0).0, [128; 3], "a grey profile says nothing about colours");
        assert_eq!(adopt(linear, true, &mut rgb), None);
        assert!(rgb.get_pixel(0, 0).0.iter().all(|value| value.abs_diff(188) <= 2), "half the light: {rgb:?}");
    }

    proptest! {
        #[test]
        fn no_profile_breaks_anything(changes in prop::collection::vec((0_usize..600, any::<u8>()), 1..8)) {
            let mut icc = ColorProfile::new_display_p3().encode().unwrap();
            for (at, value) in changes {
                let at = at % icc.len();
                icc[at] = value;
            }
            let mut rgb = one_pixel([128; 3]);
            adopt(icc.clone(), true, &mut rgb);
            to_srgb(rgb, &icc);
        }
    }
}
