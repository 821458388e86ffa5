use super::*;
use crate::decode::{Photo, upright_size};

const HEADERS: [&[u8]; 3] = [b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"MM\0*\0\0\0\x08\0\0\0\0\0\0", &WIDE];
/// An empty directory in a BigTIFF.
const WIDE: [u8; 32] = *b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// A file with a directory of these entries, and these pieces of pixels, in strips or tiles.
fn file(header: &[u8], mut entries: Vec<(u16, Vec<u64>)>, pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = header.to_vec();
    let page = Tiff::new(header).unwrap();
    let offsets = pieces.iter().map(|piece| {
        bytes.extend(piece);
        (bytes.len() - piece.len()) as u64
    });
    let offsets = offsets.collect();
    let counts = pieces.iter().map(|piece| piece.len() as u64).collect();
    let is_tiled = entries.iter().any(|(tag, _)| *tag == tag::TILE_WIDTH);
    let (offsets_tag, counts_tag) = match is_tiled {
        true => (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS),
        false => (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS),
    };
    entries.extend([(offsets_tag, offsets), (counts_tag, counts)]);
    entries.sort_by_key(|(tag, _)| *tag);
    append_directory(&mut bytes, &page, &entries);
    bytes
}

/// Usual entries.
fn usual(width: u64, height: u64, bits: &[u64], photometric: u64) -> Vec<(u16, Vec<u64>)> {
    vec![
        (tag::IMAGE_WIDTH, vec![width]),
        (tag::IMAGE_HEIGHT, vec![height]),
        (tag::BITS_PER_SAMPLE, bits.to_vec()),
        (tag::COMPRESSION, vec![NO_COMPRESSION]),
        (tag::PHOTOMETRIC, vec![photometric]),
        (tag::SAMPLES_PER_PIXEL, vec![bits.len() as u64]),
    ]
}

fn with(mut entries: Vec<(u16, Vec<u64>)>, more: &[(u16, u64)]) -> Vec<(u16, Vec<u64>)> {
    entries.extend(more.iter().map(|(tag, value)| (*tag, vec![*value])));
    entries
}

fn open(bytes: &[u8]) -> RgbImage {
    let photo = Photo::from_bytes(bytes, &Limits::default()).unwrap_or_else(|error| panic!("{}", error.chain()));
    photo.rgb().clone()
}

fn refusal(bytes: &[u8]) -> String {
    Photo::from_bytes(bytes, &Limits::default()).unwrap_err().chain()
}

/// Tiles of this size of a picture of so many samples a pixel.
fn tiles(
    [width, height]: [u32; 2],
    [across, down]: [u32; 2],
    samples: u32,
    value: impl Fn(u32, u32, u32) -> u8,
) -> Vec<Vec<u8>> {
    let places =
        (0..height.div_ceil(down)).flat_map(|y| (0..width.div_ceil(across)).map(move |x| (x * across, y * down)));
    let tile = |(left, top): (u32, u32)| {
        let pixels = (0..down).flat_map(|y| (0..across).map(move |x| (left + x, top + y)));
        pixels
            .flat_map(|(x, y)| (0..samples).map(move |sample| (x, y, sample)))
            .map(|(x, y, s)| value(x, y, s))
            .collect()
    };
    places.map(tile).collect()
}

fn colour(x: u32, y: u32, sample: u32) -> u8 {
    (x * 20 + y * 3 + sample * 50) as u8
}

#[test]
fn colours_in_planes_of_tiles_that_reach_below_the_photo_are_read() {
    let expected = RgbImage::from_fn(10, 7, |x, y| image::Rgb([0, 1, 2].map(|sample| colour(x, y, sample))));
    let tags = [(tag::PLANAR_CONFIGURATION, 2), (tag::TILE_WIDTH, 4), (tag::TILE_HEIGHT, 4)];
    for header in HEADERS {
        let planes = |count: u32| -> Vec<Vec<u8>> {
            let plane =
                |sample| tiles([10, 7], [4, 4], 1, move |x, y, _| if sample == 3 { 255 } else { colour(x, y, sample) });
            (0..count).flat_map(plane).collect()
        };
        assert!(open(&file(header, with(usual(10, 7, &[8; 3], RGB), &tags), &planes(3))) == expected);
        let with_alpha = with(with(usual(10, 7, &[8; 4], RGB), &tags), &[(tag::EXTRA_SAMPLES, 2)]);
        assert!(open(&file(header, with_alpha, &planes(4))) == expected);
    }
    let cmyk = file(HEADERS[0], with(usual(10, 7, &[8; 4], CMYK), &tags), &tiles([10, 28], [4, 4], 1, colour));
    let said = refusal(&cmyk);
    assert!(said.ends_with("(CMYK colours in separate planes); save it as an ordinary TIFF, PNG or JPEG"), "{said}");
}

#[test]
fn grey_with_alpha_is_laid_over_white() {
    let alpha = |x: u32| [0, 128, 255][x as usize % 3];
    let expected = RgbImage::from_fn(9, 5, |x, y| {
        let (grey, alpha) = (u32::from(colour(x, y, 0)), u32::from(alpha(x)));
        image::Rgb([((grey * alpha + 255 * (255 - alpha) + 127) / 255) as u8; 3])
    });
    let value = |x, y, sample| if sample == 1 { alpha(x) } else { colour(x, y, 0) };
    let entries = with(usual(9, 5, &[8; 2], BLACK_IS_ZERO), &[(tag::EXTRA_SAMPLES, 2)]);
    let rows = [tiles([9, 5], [9, 5], 2, value), tiles([9, 5], [4, 2], 2, value)];
    let by_tiles = [(tag::TILE_WIDTH, 4), (tag::TILE_HEIGHT, 2)];
    let difference = |x: u32, y, sample| {
        if x.is_multiple_of(4) {
            value(x, y, sample)
        } else {
            value(x, y, sample).wrapping_sub(value(x - 1, y, sample))
        }
    };
    for header in HEADERS {
        assert!(open(&file(header, entries.clone(), &rows[0])) == expected, "a strip");
        assert!(open(&file(header, with(entries.clone(), &by_tiles), &rows[1])) == expected, "tiles");
        let predicted = with(with(entries.clone(), &by_tiles), &[(tag::PREDICTOR, DIFFERENCES)]);
        assert!(open(&file(header, predicted, &tiles([9, 5], [4, 2], 2, difference))) == expected, "differences");
        let planes: Vec<_> =
            [0, 1].into_iter().flat_map(|plane| tiles([9, 5], [9, 5], 1, move |x, y, _| value(x, y, plane))).collect();
        assert!(
            open(&file(header, with(entries.clone(), &[(tag::PLANAR_CONFIGURATION, 2)]), &planes)) == expected,
            "planes"
        );
    }
    let inverse = |x, y, sample| if sample == 1 { alpha(x) } else { 255 - colour(x, y, 0) };
    let white_is_zero = with(usual(9, 5, &[8; 2], WHITE_IS_ZERO), &[(tag::EXTRA_SAMPLES, 2)]);
    assert!(open(&file(HEADERS[0], white_is_zero, &tiles([9, 5], [9, 5], 2, inverse))) == expected);
    let without_alpha = with(usual(9, 5, &[8; 2], BLACK_IS_ZERO), &[(tag::EXTRA_SAMPLES, 0)]);
    assert_eq!(open(&file(HEADERS[0], without_alpha, &rows[0])).get_pixel(3, 2).0, [colour(3, 2, 0); 3]);
}

#[test]
fn deep_grey_with_alpha_is_read_in_either_order() {
    let entries = with(usual(3, 1, &[16; 2], BLACK_IS_ZERO), &[(tag::EXTRA_SAMPLES, 2), (tag::PREDICTOR, DIFFERENCES)]);
    let samples = [0_u16, 65_535, 32_896_u16, 0, 32_639, 0];
    let bytes = |to_bytes: fn(u16) -> [u8; 2]| samples.into_iter().flat_map(to_bytes).collect();
    for (header, piece) in [(HEADERS[0], bytes(u16::to_le_bytes)), (HEADERS[1], bytes(u16::to_be_bytes))] {
        let values: Vec<u8> = open(&file(header, entries.clone(), &[piece])).pixels().map(|pixel| pixel.0[0]).collect();
        assert_eq!(values, [0, 128, 255]);
    }
}

#[test]
fn a_profile_that_is_larger_than_its_pixels_is_applied() {
    let mut linear = moxcms::ColorProfile::new_gray_with_gamma(1.0);
    linear.gray_trc = Some(moxcms::ToneReprCurve::Lut(Vec::new()));
    let mut profile = linear.encode().unwrap();
    profile.resize(profile.len().next_multiple_of(4), 0);
    let entries = usual(4, 4, &[8], BLACK_IS_ZERO);
    let plain = file(HEADERS[0], entries.clone(), &[vec![128; 16]]);
    assert_eq!(open(&plain).get_pixel(0, 0).0, [128; 3]);
    // Written as LONG, and then said to be bytes.
    let words = profile.as_chunks::<4>().0.iter().map(|word| u64::from(u32::from_le_bytes(*word))).collect();
    let mut tagged = file(HEADERS[0], [entries, vec![(tag::ICC_PROFILE, words)]].concat(), &[vec![128; 16]]);
    let entry = tagged.windows(4).rposition(|bytes| bytes == [0x73, 0x87, 4, 0]).unwrap();
    tagged[entry + 2] = 7;
    tagged[entry + 4..entry + 8].copy_from_slice(&(profile.len() as u32).to_le_bytes());
    assert!(open(&tagged).get_pixel(0, 0).0.iter().all(|value| value.abs_diff(188) <= 2), "half the light");
}

#[test]
fn a_preview_before_the_photo_is_passed_over() {
    let mut bytes = file(HEADERS[0], usual(6, 4, &[8], BLACK_IS_ZERO), &[vec![200; 24]]);
    let photo = Tiff::new(&bytes).unwrap().at() as u32;
    let header = bytes.clone();
    let preview = with(usual(3, 2, &[8], BLACK_IS_ZERO), &[(254, 1)]);
    bytes = file(&header, preview, &[vec![9; 6]]);
    let start = Tiff::new(&bytes).unwrap().at() as usize;
    let next = start + 2 + 12 * usize::from(bytes[start]);
    bytes[next..next + 4].copy_from_slice(&photo.to_le_bytes());
    let rgb = open(&bytes);
    assert_eq!((rgb.dimensions(), rgb.get_pixel(0, 0).0), ((6, 4), [200; 3]));
    assert_eq!(upright_size(&bytes), Some((6, 4)));
    bytes[next..next + 4].fill(0);
    assert_eq!(open(&bytes).dimensions(), (3, 2), "where there is no other, it is the photo");
}

#[test]
fn kinds_that_are_not_read_are_named_with_what_to_do() {
    let grey = |more: &[(u16, u64)], bits: u64, photometric| {
        let mut entries = usual(4, 4, &[bits], photometric);
        entries.retain(|(tag, _)| more.iter().all(|(other, _)| tag != other));
        refusal(&file(HEADERS[0], with(entries, more), &[vec![1; 256]]))
    };
    let colours = |photometric| refusal(&file(HEADERS[0], usual(4, 4, &[8; 3], photometric), &[vec![1; 48]]));
    for (said, cause) in [
        (grey(&[(tag::COMPRESSION, 50_000)], 8, BLACK_IS_ZERO), "compression ZSTD"),
        (grey(&[(tag::COMPRESSION, 34_925)], 8, BLACK_IS_ZERO), "compression LZMA"),
        (grey(&[(tag::COMPRESSION, 3)], 1, BLACK_IS_ZERO), "compression CCITT Group 3"),
        (grey(&[(tag::COMPRESSION, 777)], 8, BLACK_IS_ZERO), "compression number 777"),
        (grey(&[(tag::SAMPLE_FORMAT, 3)], 16, BLACK_IS_ZERO), "pixels of 16-bit floating-point numbers"),
        (grey(&[(tag::SAMPLE_FORMAT, 3)], 64, BLACK_IS_ZERO), "pixels of 64-bit floating-point numbers"),
        (grey(&[(tag::SAMPLE_FORMAT, 2)], 8, BLACK_IS_ZERO), "pixels of 8-bit signed whole numbers"),
        (grey(&[], 8, 3), "colours from a palette"),
        (colours(8), "Lab colours"),
        (colours(6), "YCbCr colours"),
    ] {
        let expected = format!(
            "not a readable photo: this kind of TIFF is not read ({cause}); save it as an ordinary TIFF, PNG or JPEG"
        );
        assert_eq!(said, expected);
    }
}
