mod endings;

use std::io::Cursor;

use super::*;
use crate::preprocess::prepare;
use crate::spec::InputSpec;
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, Rgba, RgbaImage};

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn gradient(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 5) as u8, (y * 5) as u8, 128])).into()
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

fn open(bytes: &[u8]) -> Photo {
    Photo::from_bytes(bytes, &Limits::default()).unwrap()
}

/// An EXIF block of this orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    tiff.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    tiff
}

fn encode_jpeg(rgb: &RgbImage, exif: Option<Vec<u8>>, icc: Option<Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95);
    if let Some(exif) = exif {
        encoder.set_exif_metadata(exif).unwrap();
    }
    if let Some(icc) = icc {
        encoder.set_icc_profile(icc).unwrap();
    }
    encoder.write_image(rgb.as_raw(), rgb.width(), rgb.height(), ExtendedColorType::Rgb8).unwrap();
    bytes
}

/// A JPEG of a wide image that is dark on the left, with an EXIF block of this orientation.
fn jpeg_with_orientation(orientation: u8) -> Vec<u8> {
    let wide = RgbImage::from_fn(40, 20, |x, _| image::Rgb(if x < 20 { [10; 3] } else { [240; 3] }));
    encode_jpeg(&wide, Some(exif(orientation)), None)
}

/// Mean difference of two pictures of one size, in levels.
fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: f64 = a.iter().zip(b.iter()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    sum / a.as_raw().len() as f64
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
            assert!(matches!(error, Error::CutOff { .. }), "{format:?} {part}: {error}");
        }
    }
    // The end marker of a thumbnail in the EXIF block does not count as the photo's own.
    let mut with_thumbnail = jpeg_with_orientation(1);
    let end = with_thumbnail.len() - 40;
    with_thumbnail.truncate(end);
    with_thumbnail.splice(2..2, [0xff, 0xe1, 0, 4, 0xff, 0xd9]);
    assert!(Photo::from_bytes(&with_thumbnail, &Limits::default()).is_err());
}

#[test]
fn what_is_no_photo_is_refused() {
    for bytes in [&b"this is a text file"[..], b"P6 1 1 255 abc", &[], &[0xff, 0xd8], &[0xff, 0xd8, 0xff, 0xe0, 0, 16]]
    {
        let error = Photo::from_bytes(bytes, &Limits::default()).unwrap_err();
        assert!(matches!(error, Error::Decode { .. } | Error::CutOff { .. }), "{bytes:?}: {error}");
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

#[test]
fn every_kind_of_jpeg_is_read() {
    let reference = open(&fixture("444.jpg"));
    // Chroma and CMYK cost some; the grey of each is near for all.
    for name in ["422.jpg", "420.jpg", "rgb.jpg", "progressive.jpg", "progressive444.jpg", "restart.jpg", "cmyk.jpg"] {
        let levels = difference(open(&fixture(name)).rgb(), reference.rgb());
        assert!(levels < 6.0, "{name}: {levels:.1} levels");
    }
    let grey = open(&fixture("grey.jpg"));
    assert!(grey.rgb().pixels().all(|pixel| pixel.0[0] == pixel.0[1] && pixel.0[1] == pixel.0[2]));
    // The same numbers, said to be YCCK: another picture, and read.
    let mut ycck = fixture("cmyk.jpg");
    let adobe = ycck.windows(5).position(|name| name == b"Adobe").unwrap();
    assert_eq!(std::mem::replace(&mut ycck[adobe + 11], 2), 0);
    assert_eq!(open(&ycck).rgb().dimensions(), (147, 93));
}

#[test]
fn every_depth_and_kind_of_the_other_formats_is_read() {
    let reference = image::imageops::thumbnail(open(&fixture("444.jpg")).rgb(), 33, 21);
    for name in ["palette.png", "lossy.webp", "animated.webp", "animated.gif", "turned.png", "tiled-lzw.tif"] {
        let mut rgb = open(&fixture(name)).rgb().clone();
        if rgb.dimensions() == (21, 33) {
            rgb = image::imageops::rotate270(&rgb); // its EXIF block had turned it
        }
        let levels = difference(&rgb, &reference);
        assert!(levels < 14.0, "{name}: {levels:.1} levels");
    }
    let upright: Vec<_> = ["lossy.webp", "turned.png", "tiled-lzw.tif"].map(|name| open(&fixture(name)).width()).into();
    assert_eq!(upright, [21; 3], "orientation is in WebP, PNG and TIFF, too");
    // Opaque at the bottom, white at the top.
    for name in ["lossy-alpha.webp", "grey-alpha.png"] {
        let photo = open(&fixture(name));
        assert!(photo.rgb().get_pixel(16, 0).0[0] >= 250, "{name}");
        assert!(photo.rgb().get_pixel(1, 20).0[0] < 200, "{name}");
    }
    let grey = image::imageops::grayscale(&reference);
    let deep = open(&fixture("grey16.tif"));
    assert!(difference(deep.rgb(), &DynamicImage::from(grey).into_rgb8()) < 14.0);
}

#[test]
fn deep_pixels_become_eight_bit() {
    let deep = image::ImageBuffer::from_fn(3, 1, |x, _| image::Rgb([[0_u16, 32_768, 65_535][x as usize]; 3]));
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let photo = open(&encode(&DynamicImage::ImageRgb16(deep.clone()), format));
        let values: Vec<u8> = photo.rgb().pixels().map(|pixel| pixel.0[0]).collect();
        assert_eq!(values, [0, 128, 255], "{format:?}");
    }
}

#[test]
fn a_prefix_before_the_exif_block_does_no_harm() {
    let plain = exif(6);
    let prefixed = [&b"Exif\0\0"[..], &plain].concat();
    assert_eq!(full::orientation(Some(&plain)), Orientation::Rotate90);
    assert_eq!(full::orientation(Some(&prefixed)), Orientation::Rotate90);
    assert_eq!(full::orientation(Some(b"Exif")), Orientation::NoTransforms);
}

const FIT: Fit = Fit::LongestSide { size: 12, multiple: 1 };

/// 203 x 157 pixels: neither side is a multiple of 8; colours rise along both.
fn slope(orientation: u8) -> Vec<u8> {
    let rgb = RgbImage::from_fn(203, 157, |x, y| image::Rgb([x as u8, y as u8, ((x + y) / 2) as u8]));
    encode_jpeg(&rgb, Some(exif(orientation)), None)
}

#[test]
fn a_reduced_photo_lies_where_the_full_one_does_in_every_orientation() {
    let input = InputSpec { mean: [0.0; 3], std: [1.0 / 255.0; 3], ..InputSpec::imagenet(FIT) };
    for orientation in 1..=8 {
        let bytes = slope(orientation);
        let full = open(&bytes);
        let reduced = Photo::from_bytes_with(&bytes, &Limits::default(), Detail::EnoughFor(FIT)).unwrap();
        assert_eq!((reduced.width(), reduced.height()), (full.width(), full.height()));
        assert!(reduced.is_reduced() && !full.is_reduced());
        assert_eq!(reduced.rgb().width(), full.width().div_ceil(8));
        let (expected, found) = (prepare(&full, &input).unwrap(), prepare(&reduced, &input).unwrap());
        assert_eq!(expected.1, found.1);
        // A pixel of the input is seventeen levels from the next: a shift by a fraction of it would show.
        let (mut worst, mut sum) = (0.0_f32, 0.0);
        for (a, b) in expected.0.iter().zip(&found.0) {
            worst = worst.max((a - b).abs());
            sum += (a - b).abs();
        }
        let mean = sum / found.0.len() as f32;
        assert!(worst < 4.0 && mean < 0.8, "orientation {orientation}: {worst} levels at most, {mean} on average");
    }
}

#[test]
fn a_photo_is_reduced_to_no_less_than_twice_what_the_network_sees() {
    use super::reduced::divisor;
    assert_eq!(divisor(203, 157, 12, 9), Some(8));
    assert_eq!(divisor(203, 157, 13, 9), Some(4));
    assert_eq!(divisor(203, 157, 12, 10), Some(4));
    assert_eq!(divisor(203, 157, 25, 20), None, "half of so few pixels is no gain");
    assert_eq!(divisor(4000, 3000, 1000, 750), Some(2));
    assert_eq!(divisor(4000, 3000, 1001, 750), None);
    assert_eq!(divisor(u32::MAX, u32::MAX, u32::MAX, 1), None);
    let bytes = slope(1);
    let size = |fit| {
        let photo = Photo::from_bytes_with(&bytes, &Limits::default(), Detail::EnoughFor(fit)).unwrap();
        (photo.rgb().width(), photo.rgb().height())
    };
    assert_eq!(size(Fit::Stretch { width: 12, height: 9 }), (26, 20));
    assert_eq!(size(Fit::Stretch { width: 12, height: 19 }), (51, 40));
    assert_eq!(size(Fit::Stretch { width: 12, height: 100 }), (203, 157));
}

#[test]
fn a_reduced_photo_has_no_pixels_to_give() {
    let reduced = Photo::from_bytes_with(&slope(1), &Limits::default(), Detail::EnoughFor(FIT)).unwrap();
    assert!(matches!(reduced.full_rgb(), Err(Error::ReducedPhoto { divisor: 8 })));
    assert_eq!(reduced.region(), Region { left: 0.0, top: 0.0, width: 203.0 / 8.0, height: 157.0 / 8.0 });
    let full = open(&slope(1));
    assert_eq!(full.full_rgb().unwrap(), full.rgb());
    let map = crate::LabelMap::new(203, 157, vec![0; 203 * 157]).unwrap();
    let taxonomy = crate::Taxonomy::builtin("garments").unwrap();
    let error = crate::export::overlay_png(&reduced, &map, &taxonomy).unwrap_err();
    assert!(error.to_string().contains("Detail::Full"), "{error}");
    assert!(crate::export::overlay_png(&full, &map, &taxonomy).is_ok());
}

#[test]
fn damage_and_cuts_are_for_the_full_decoder_to_judge() {
    let whole = slope(1);
    let both = |bytes: &[u8]| {
        [Detail::Full, Detail::EnoughFor(FIT)].map(|detail| Photo::from_bytes_with(bytes, &Limits::default(), detail))
    };
    for length in (0..whole.len()).step_by(whole.len() / 20) {
        assert!(both(&whole[..length]).iter().all(Result::is_err), "{length} bytes");
    }
    let scan = whole.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let mut garbage = whole.clone();
    let middle = scan + (whole.len() - scan) / 2;
    garbage[middle..middle + 40].fill(0xff);
    match both(&garbage) {
        [Ok(full), Ok(reduced)] => assert_eq!(full, reduced),
        [full, reduced] => assert!(full.is_err() && reduced.is_err()),
    }
}

#[test]
fn time_is_limited_in_every_format() {
    let limits = Limits { max_decode_time: Duration::ZERO, ..Limits::default() };
    for name in ["420.jpg", "palette.png", "lossy.webp", "animated.gif", "tiled-lzw.tif"] {
        for detail in [Detail::Full, Detail::EnoughFor(Fit::Stretch { width: 8, height: 8 })] {
            let result = Photo::from_bytes_with(&fixture(name), &limits, detail);
            assert!(matches!(result, Err(Error::DecodeTimeout { .. })), "{name}: {result:?}");
        }
    }
    // A few kilobytes that unpack to many megabytes are given up on the way.
    let black = encode(&RgbImage::new(6000, 6000).into(), ImageFormat::Png);
    let limits = Limits { max_decode_time: Duration::from_millis(2), ..Limits::default() };
    let started = std::time::Instant::now();
    assert!(matches!(Photo::from_bytes(&black, &limits), Err(Error::DecodeTimeout { .. })));
    let given_up = started.elapsed();
    let started = std::time::Instant::now();
    open(&black);
    assert!(given_up < started.elapsed() / 2, "{given_up:?} of {:?}", started.elapsed());
}

#[test]
fn too_many_scans_are_refused() {
    let bytes = fixture("progressive.jpg");
    let starts: Vec<usize> = (0..bytes.len() - 1).filter(|at| bytes[*at..*at + 2] == [0xff, 0xda]).collect();
    let many = [&bytes[..starts[0]], &bytes[starts[0]..starts[1]].repeat(201), &bytes[starts[1]..]].concat();
    let error = Photo::from_bytes(&many, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("210 scans"), "{error}");
    // Behind the last bit of the picture they are nothing.
    let last = *starts.last().unwrap();
    let more = [&bytes[..bytes.len() - 2], &bytes[last..bytes.len() - 2].repeat(200), &[0xff, 0xd9]].concat();
    assert!(open(&more) == open(&bytes));
}

#[test]
fn the_profile_is_kept_and_the_network_sees_srgb() {
    let p3 = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let rgb = RgbImage::from_pixel(160, 120, image::Rgb([100, 200, 100]));
    let tagged = encode_jpeg(&rgb, None, Some(p3.clone()));
    let input = InputSpec { mean: [0.0; 3], std: [1.0 / 255.0; 3], ..InputSpec::imagenet(FIT) };
    for detail in [Detail::Full, Detail::EnoughFor(Fit::Stretch { width: 8, height: 8 })] {
        let photo = Photo::from_bytes_with(&tagged, &Limits::default(), detail).unwrap();
        assert_eq!(photo.icc(), Some(p3.as_slice()));
        assert!(photo.rgb().get_pixel(0, 0).0[0].abs_diff(100) <= 3, "the file's own values");
        assert!(photo.srgb().get_pixel(0, 0).0[0].abs_diff(45) <= 5, "{:?}", photo.srgb().get_pixel(0, 0));
        let (tensor, _) = prepare(&photo, &input).unwrap();
        assert!((tensor[[0, 0, 3, 3]] - 45.0).abs() < 5.0, "{}", tensor[[0, 0, 3, 3]]);
    }
    let broken = open(&encode_jpeg(&rgb, None, Some(b"not a profile".to_vec())));
    assert_eq!(broken.icc(), None);
    assert!(broken.srgb().get_pixel(0, 0).0[0].abs_diff(100) <= 3);
    let mut png = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut png);
    encoder.set_icc_profile(p3.clone()).unwrap();
    encoder.write_image(rgb.as_raw(), 160, 120, ExtendedColorType::Rgb8).unwrap();
    assert_eq!(open(&png).icc(), Some(p3.as_slice()));
}

#[test]
fn a_plan_is_what_the_decoder_does_and_holds() {
    let limits = Limits::default();
    let p3 = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let large = RgbImage::from_fn(1203, 905, |x, y| image::Rgb([x as u8, y as u8, (x ^ y) as u8]));
    let mut files: Vec<_> = (1..=8).map(|way| encode_jpeg(&large, Some(exif(way)), Some(p3.clone()))).collect();
    for name in ["444", "422", "420", "grey", "rgb", "cmyk", "progressive", "progressive444", "restart"] {
        files.push(fixture(&format!("{name}.jpg")));
    }
    files.extend([fixture("palette.png"), encode(&large.into(), ImageFormat::Png), b"\xff\xd8\xff\xda".to_vec()]);
    let mut reduced = 0;
    for (file, bytes) in files.iter().enumerate() {
        for size in [8, 18, 37, 75, 150, 301] {
            let detail = Detail::EnoughFor(Fit::LongestSide { size, multiple: 1 });
            let plan = Plan::of(bytes, &limits, detail);
            let (photo, held) = counting::most_held(|| Photo::reduced_from_bytes(bytes, &limits, detail).unwrap());
            let context = format!("file {file} for {size}: {plan:?}, {held} bytes held");
            match (plan, photo) {
                (Plan::Whole, None) => {}
                (Plan::Reduced(plan), Some(photo)) => {
                    reduced += 1;
                    assert_eq!((plan.width, plan.height), (photo.width(), photo.height()), "{context}");
                    let kept = photo.rgb().as_raw().capacity() + photo.icc().map_or(0, <[u8]>::len);
                    assert_eq!(plan.decoded_bytes, kept as u64, "{context}");
                    assert!(held <= plan.decoding_bytes, "{context}");
                }
                _ => panic!("{context}"),
            }
        }
    }
    assert!(reduced > 30, "{reduced} were reduced");
    let too_large = Limits { max_pixels: 1000, ..limits };
    assert_eq!(Plan::of(&files[0], &too_large, Detail::EnoughFor(FIT)), Plan::Whole);
    assert_eq!(Plan::of(&files[0], &Limits::default(), Detail::Full), Plan::Whole);
}
