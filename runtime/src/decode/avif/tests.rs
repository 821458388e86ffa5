use std::time::Duration;

use image::RgbImage;

use super::*;
use crate::decode::Photo;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

fn open(name: &str) -> Photo {
    Photo::from_bytes(&fixture(name), &Limits::default()).unwrap_or_else(|error| panic!("{name}: {}", error.chain()))
}

/// The picture that the small fixtures show.
fn small() -> RgbImage {
    let photo = Photo::from_bytes(&fixture("444.jpg"), &Limits::default()).unwrap();
    image::imageops::resize(photo.rgb(), 33, 21, image::imageops::FilterType::CatmullRom)
}

/// Mean difference of two pictures of one size, in levels.
fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: f64 = a.iter().zip(b.iter()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    sum / a.as_raw().len() as f64
}

#[test]
fn every_depth_sampling_matrix_and_range_is_read() {
    let small = small();
    for name in ["444.avif", "420.avif", "limited10.avif", "identity.avif"] {
        let levels = difference(open(name).rgb(), &small);
        assert!(levels < 9.0, "{name}: {levels:.1} levels");
    }
    let grey = open("grey.avif");
    assert!(grey.rgb().pixels().all(|pixel| pixel.0[0] == pixel.0[1] && pixel.0[1] == pixel.0[2]));
    let levels = difference(grey.rgb(), &image::DynamicImage::from(small.clone()).to_luma8().expand());
    assert!(levels < 9.0, "{levels:.1} levels");
    let [fine, coarse] = ["444.avif", "420.avif"].map(open);
    assert!(difference(fine.rgb(), coarse.rgb()) < 6.0, "the same picture, whatever its sampling");
}

trait Expand {
    fn expand(&self) -> RgbImage;
}

impl Expand for image::GrayImage {
    fn expand(&self) -> RgbImage {
        image::DynamicImage::from(self.clone()).into_rgb8()
    }
}

#[test]
fn transparency_is_laid_over_white() {
    let (photo, whole) = (open("alpha.avif"), open("444.avif"));
    // Opaque at the bottom, transparent at the top.
    assert!(photo.rgb().get_pixel(16, 0).0.iter().all(|value| *value >= 240));
    let last = |photo: &Photo| photo.rgb().get_pixel(1, 20).0[0];
    assert!(last(&photo).abs_diff(last(&whole)) < 30, "{} {}", last(&photo), last(&whole));
}

#[test]
fn rotation_mirror_and_crop_are_those_of_the_file() {
    let turned = open("turned.avif");
    assert_eq!((turned.width(), turned.height()), (21, 33));
    let upright = image::imageops::rotate270(turned.rgb());
    assert!(difference(&upright, &small()) < 9.0);
    // avifenc: 20 x 10 from (2, 4), then a quarter turn against the clock, then left and right change places.
    let expected = image::imageops::crop_imm(&small(), 2, 4, 20, 10).to_image();
    let expected = image::imageops::flip_horizontal(&image::imageops::rotate270(&expected));
    let levels = difference(open("cropped.avif").rgb(), &expected);
    assert!(levels < 9.0, "{levels:.1} levels");
}

#[test]
fn tiles_are_put_together() {
    let photo = open("grid.avif");
    assert_eq!((photo.width(), photo.height()), (128, 128));
    let jpeg = Photo::from_bytes(&fixture("444.jpg"), &Limits::default()).unwrap();
    let expected = image::imageops::resize(jpeg.rgb(), 128, 128, image::imageops::FilterType::CatmullRom);
    let levels = difference(photo.rgb(), &expected);
    assert!(levels < 9.0, "{levels:.1} levels");
}

#[test]
fn limits_hold_and_sizes_are_known_before() {
    assert_eq!(size(&fixture("420.avif")), Some((33, 21)));
    assert_eq!(size(&fixture("grid.avif")), Some((128, 128)));
    assert_eq!([size(&fixture("turned.avif")), size(&fixture("cropped.avif"))], [Some((21, 33)), Some((10, 20))]);
    let refused = |limits: Limits| Photo::from_bytes(&fixture("420.avif"), &limits).unwrap_err();
    let pixels = refused(Limits::default().with_max_pixels(33 * 21 - 1));
    assert!(matches!(pixels, Error::TooLarge { found: 693, .. }), "{pixels}");
    let time = refused(Limits::default().with_max_decode_time(Duration::ZERO));
    assert!(matches!(time, Error::DecodeTimeout { .. }), "{time}");
}

#[test]
fn what_is_cut_off_or_damaged_is_refused() {
    for name in ["420.avif", "alpha.avif", "grid.avif", "cropped.avif"] {
        let whole = fixture(name);
        for length in (32..whole.len()).step_by(29) {
            let result = Photo::from_bytes(&whole[..length], &Limits::default());
            assert!(matches!(result, Err(Error::CutOff { .. } | Error::Decode { .. })), "{name} {length}");
        }
        let last = Photo::from_bytes(&whole[..whole.len() - 1], &Limits::default());
        assert!(matches!(last, Err(Error::CutOff { .. })), "{name}");
        // Whatever a byte says, there is an answer, and no panic comes out.
        for at in (12..whole.len()).step_by(if name == "grid.avif" { 97 } else { 3 }) {
            let mut odd = whole.clone();
            odd[at] ^= 1 << (at % 8);
            let _ = Photo::from_bytes(&odd, &Limits::default().with_max_pixels(20_000));
        }
    }
}

/// A box.
fn make_box(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
}

#[test]
fn a_small_file_cannot_ask_for_much_work() {
    // Places of no bytes, as many as fit into two bytes, for each of many items.
    let items = 4000_u16;
    let mut locations = [&[0, 0, 0, 0, 0, 0][..], &items.to_be_bytes()].concat();
    for id in 0..items {
        locations.extend([&id.to_be_bytes()[..], &[0, 0], &u16::MAX.to_be_bytes()].concat());
    }
    let boxes = [[0; 4].to_vec(), make_box(b"iloc", &locations), make_box(b"iprp", &[])].concat();
    let meta = make_box(b"meta", &boxes);
    let file = [make_box(b"ftyp", b"avif\0\0\0\0avif"), meta].concat();
    let refused = Photo::from_bytes(&file, &Limits::default()).unwrap_err();
    assert!(refused.chain().contains("its boxes make no sense"), "{}", refused.chain());

    // One rotation more than there may be, in a file that is sound otherwise.
    let mut turned = fixture("turned.avif");
    let find = |bytes: &[u8], kind: &[u8; 4]| bytes.windows(4).position(|four| four == kind).unwrap();
    let (ipma, iprp, meta) = (find(&turned, b"ipma"), find(&turned, b"iprp"), find(&turned, b"meta"));
    let size = |bytes: &[u8], at: usize| u32::from_be_bytes(*bytes[at - 4..].first_chunk().unwrap());
    // Version, flags, count of items, the item, and the count of its properties.
    let count = ipma + 4 + 4 + 4 + 2;
    let end = ipma - 4 + size(&turned, ipma) as usize;
    let properties = turned[count];
    let rotation = turned[count + 1..end].to_vec();
    let more: Vec<u8> = rotation.iter().copied().cycle().take(usize::from(255 - properties)).collect();
    turned[count] = 255;
    for at in [ipma, iprp, meta] {
        let larger = size(&turned, at) + more.len() as u32;
        turned[at - 4..at].copy_from_slice(&larger.to_be_bytes());
    }
    turned.splice(end..end, more);
    let refused = Photo::from_bytes(&turned, &Limits::default()).unwrap_err();
    assert!(refused.chain().contains("its boxes make no sense"), "{}", refused.chain());
}
