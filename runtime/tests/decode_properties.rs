//! No bytes break the decoder: small files of every format, with bytes changed, cut and put in.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use clothseg::preprocess::prepare;
use clothseg::spec::{Fit, InputSpec};
use clothseg::{Detail, Limits, Photo};
use proptest::prelude::*;

/// Networks for which the fixtures are decoded at 1/8 and at 1/4 of their size.
const FITS: [Fit; 2] = [Fit::LongestSide { size: 8, multiple: 1 }, Fit::LongestSide { size: 16, multiple: 1 }];

/// Every photo among the fixtures, and one of each format that the `image` crate writes.
fn files() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension != "py"));
    paths.sort();
    let mut files: Vec<_> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let drawn = image::RgbImage::from_fn(37, 23, |x, y| image::Rgb([(x * 7) as u8, (y * 11) as u8, (x * y) as u8]));
    for format in [image::ImageFormat::Bmp, image::ImageFormat::Tiff, image::ImageFormat::WebP] {
        let mut bytes = std::io::Cursor::new(Vec::new());
        drawn.write_to(&mut bytes, format).unwrap();
        files.push(bytes.into_inner());
    }
    files.extend([tiff_of_planes(), tiff_of_grey_and_alpha()]);
    files
}

/// A TIFF of one directory behind 48 bytes of pixels: pairs of tag and value, those of many values standing in front of it.
fn tiff(pixels: &[u8; 48], entries: &[(u16, u32, u32)], front: &[u32]) -> Vec<u8> {
    let mut bytes = [b"II*\0", &(56 + 4 * front.len() as u32).to_le_bytes()[..], pixels].concat();
    bytes.extend(front.iter().flat_map(|value| value.to_le_bytes()));
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, count, value) in entries {
        bytes.extend([tag.to_le_bytes(), 4_u16.to_le_bytes()].concat());
        bytes.extend([*count, *value].map(u32::to_le_bytes).concat());
    }
    [&bytes[..], &[0; 4]].concat()
}

/// Three planes of tiles of 4 x 2 pixels, of which the last reach below the photo.
fn tiff_of_planes() -> Vec<u8> {
    let pixels = std::array::from_fn(|at| (at * 5) as u8);
    let front = [8, 16, 24, 32, 40, 48, 8, 8, 8, 8, 8, 8];
    let entries = [
        (256, 1, 4),
        (257, 1, 3),
        (258, 1, 8),
        (262, 1, 2),
        (277, 1, 3),
        (284, 1, 2),
        (322, 1, 4),
        (323, 1, 2),
        (324, 6, 56),
        (325, 6, 80),
    ];
    tiff(&pixels, &entries, &front)
}

/// Of 4 x 6 pixels in one strip.
fn tiff_of_grey_and_alpha() -> Vec<u8> {
    let pixels = std::array::from_fn(|at| (at * 5) as u8);
    let entries =
        [(256, 1, 4), (257, 1, 6), (258, 1, 8), (262, 1, 1), (273, 1, 8), (277, 1, 2), (279, 1, 48), (338, 1, 2)];
    tiff(&pixels, &entries, &[])
}

#[test]
fn the_files_to_be_changed_are_read_as_they_are() {
    for bytes in [tiff_of_planes(), tiff_of_grey_and_alpha()] {
        Photo::from_bytes(&bytes, &Limits::default()).unwrap();
    }
}

/// What a fuzz target does with its bytes, too (and at 1/2).
fn decode(bytes: &[u8]) -> Result<(), TestCaseError> {
    let limits = Limits::default().with_max_pixels(1_000_000);
    let details =
        [(Detail::Full, FITS[0]), (Detail::EnoughFor(FITS[0]), FITS[0]), (Detail::EnoughFor(FITS[1]), FITS[1])];
    for (detail, fit) in details {
        let Ok(photo) = Photo::from_bytes_with(bytes, &limits, detail) else { continue };
        prop_assert!(u64::from(photo.width()) * u64::from(photo.height()) <= limits.max_pixels);
        prop_assert!(photo.is_reduced() || photo.rgb().dimensions() == (photo.width(), photo.height()));
        let (tensor, at) = prepare(&photo, &InputSpec::imagenet(fit)).unwrap();
        prop_assert_eq!(tensor.dim(), (1, 3, at.tensor_height as usize, at.tensor_width as usize));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_files_are_read_or_refused(
        file in prop::sample::select(files()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        head_only in any::<bool>(),
    ) {
        let mut bytes = file;
        // Heads are where the structure is.
        let within = if head_only { bytes.len().min(700) } else { bytes.len() };
        for (at, value) in changes {
            let at = at.index(within);
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        decode(&bytes)?;
    }

    #[test]
    fn bytes_behind_a_signature_are_read_or_refused(
        signature in prop::sample::select(vec![
            &b"\xff\xd8\xff"[..], b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"RIFF\0\0\0\0WEBP",
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        decode(&[signature, &rest].concat())?;
    }
}
