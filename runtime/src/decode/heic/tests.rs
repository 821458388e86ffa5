//! With Debian's libheif; where there is none, that a photo is refused with what to install.

use std::time::Duration;

use image::RgbImage;

use super::*;
use crate::Photo;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

/// Whether libheif is there. A machine that tests everything says so by CLOTHSEG_TEST_LIBHEIF.
fn has_library() -> bool {
    let refused = Library::get().err();
    if let Some(cause) = refused {
        assert!(std::env::var_os("CLOTHSEG_TEST_LIBHEIF").is_none(), "{cause}");
        let error = Photo::from_bytes(&fixture("420.heic"), &Limits::default()).unwrap_err().to_string();
        assert!(error.contains("libheif") && error.contains("install"), "{error}");
    }
    refused.is_none()
}

fn open(bytes: &[u8]) -> Photo {
    Photo::from_bytes(bytes, &Limits::default()).unwrap_or_else(|error| panic!("{}", error.chain()))
}

/// The picture that the fixtures show.
fn picture(width: u32, height: u32) -> RgbImage {
    let photo = open(&fixture("444.jpg"));
    image::imageops::resize(photo.rgb(), width, height, image::imageops::FilterType::CatmullRom)
}

/// Mean difference of two pictures of one size, in levels.
fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: u64 = a.iter().zip(b.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.len() as f64
}

/// The file, turned: its last property, which the decoder does not need, becomes a rotation.
fn turned() -> Vec<u8> {
    let mut bytes = fixture("420.heic");
    let last = bytes.windows(4).rposition(|kind| kind == b"pixi").unwrap();
    bytes[last..last + 5].copy_from_slice(b"irot\x01");
    bytes
}

#[test]
fn photos_of_every_sampling_and_depth_are_read() {
    if !has_library() {
        return;
    }
    for name in ["420.heic", "odd.heic", "10bit.heic"] {
        let photo = open(&fixture(name));
        let levels = difference(photo.rgb(), &picture(photo.width(), photo.height()));
        assert!(levels < 9.0, "{name}: {levels:.1} levels");
    }
    assert!(open(&fixture("420.heic")).icc().is_some());
    assert!(open(&fixture("odd.heic")).icc().is_none());
    // Transparent above, opaque below.
    let photo = open(&fixture("alpha.heic"));
    assert!(photo.rgb().get_pixel(16, 0).0.iter().all(|level| *level > 230));
    assert!(difference(photo.rgb(), &picture(33, 21)) > 20.0);
}

#[test]
fn photos_are_turned_as_they_say() {
    if !has_library() {
        return;
    }
    let photo = open(&turned());
    assert_eq!((photo.width(), photo.height()), (48, 64));
    let upright = open(&fixture("420.heic"));
    assert!(difference(&image::imageops::rotate90(photo.rgb()), upright.rgb()) < 1.0, "it is turned anticlockwise");
    assert_eq!([size(&turned()), size(&fixture("odd.heic"))], [Some((48, 64)), Some((33, 21))]);
}

#[test]
fn limits_hold_and_what_is_damaged_is_refused() {
    if !has_library() {
        return;
    }
    let whole = fixture("420.heic");
    let refused = |limits: Limits| Photo::from_bytes(&whole, &limits).unwrap_err();
    let pixels = refused(Limits::default().with_max_pixels(64 * 48 - 1));
    assert!(matches!(pixels, Error::TooLarge { found: 3072, .. }), "{pixels}");
    let time = refused(Limits::default().with_max_decode_time(Duration::ZERO));
    assert!(matches!(time, Error::DecodeTimeout { .. }), "{time}");
    let mut state = 1_u32;
    for length in (32..whole.len()).step_by(31) {
        let cut = Photo::from_bytes(&whole[..length], &Limits::default());
        assert!(matches!(cut, Err(Error::CutOff { .. } | Error::Decode { .. })), "{length}");
        // A byte changed anywhere is no panic, whatever comes of it.
        let mut odd = whole.clone();
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        odd[length] ^= (state >> 24) as u8;
        let _ = Photo::from_bytes(&odd, &Limits::default());
    }
}
