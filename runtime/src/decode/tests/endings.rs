//! Photos of which the end is missing, or damaged: what counts is whether the pixels are there.

use super::*;

/// Bytes that look like anything.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut bytes: Vec<u8> = (0..count).map(step).collect();
    bytes.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0xff, 0xd9]);
    bytes
}

fn cut_off(bytes: &[u8]) -> Option<u8> {
    match Photo::from_bytes(bytes, &Limits::default()) {
        Err(Error::CutOff { percent }) => percent,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is read"),
    }
}

fn part(bytes: &[u8]) -> Photo {
    Photo::from_bytes(bytes, &Limits::default().with_allow_truncated(true)).unwrap()
}

const JPEGS: [&str; 9] = [
    "444.jpg",
    "422.jpg",
    "420.jpg",
    "grey.jpg",
    "rgb.jpg",
    "cmyk.jpg",
    "restart.jpg",
    "progressive.jpg",
    "progressive444.jpg",
];

/// A fixture without its end marker.
fn jpeg_without_end(name: &str) -> Vec<u8> {
    let mut bytes = fixture(name);
    let end = bytes.windows(2).rposition(|pair| pair == [0xff, 0xd9]).unwrap();
    bytes.truncate(end);
    bytes
}

#[test]
fn a_jpeg_without_end_marker_is_whole_whatever_follows() {
    for name in JPEGS {
        let whole = open(&fixture(name));
        let bytes = jpeg_without_end(name);
        assert!(open(&bytes) == whole, "{name}");
        assert!(open(&[&bytes[..], &[0, 0], &noise(9000)].concat()) == whole, "{name} before other bytes");
        let stray = [&bytes[..], &[0x12, 0x34], &[0xff, 0xd9]].concat();
        assert!(open(&stray) == whole, "{name} with stray bytes");
        assert!(!whole.is_truncated());
    }
}

#[test]
fn a_jpeg_of_which_blocks_are_missing_is_cut_off_with_an_end_marker_too() {
    for name in JPEGS {
        let bytes = jpeg_without_end(name);
        let scan = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap() + 20;
        for share in [0.2, 0.6, 0.95] {
            let length = scan + ((bytes.len() - scan) as f64 * share) as usize;
            let with_end = [&bytes[..length], &[0xff, 0xd9]].concat();
            for cut in [&bytes[..length], &with_end] {
                let percent = cut_off(cut).unwrap();
                assert!(percent < 100, "{name}: {percent} %");
                let photo = part(cut);
                assert!(photo.is_truncated(), "{name}");
                assert_eq!((photo.width(), photo.height()), (147, 93), "{name}");
            }
            if !name.starts_with("progressive") {
                let (whole, part) = (open(&fixture(name)), part(&with_end));
                assert_eq!(part.rgb().get_pixel(3, 3), whole.rgb().get_pixel(3, 3), "{name}: what is there stays");
                let percent = f64::from(cut_off(&with_end).unwrap());
                assert!((percent - share * 100.0).abs() < 25.0, "{name}: {percent} % of {share}");
            }
        }
        assert!(cut_off(&bytes[..bytes.len() - 30]).is_some(), "{name}");
    }
    assert_eq!(cut_off(&fixture("420.jpg")[..30]), None, "nothing is known of what ends before its scan");
}

#[test]
fn a_jpeg_of_which_zeros_took_the_place_of_data_is_cut_off() {
    for name in JPEGS {
        let bytes = jpeg_without_end(name);
        let scan = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap() + 20;
        let there = &bytes[..scan + (bytes.len() - scan) / 2];
        let filled = [there, &vec![0; 300_000]].concat();
        assert!(cut_off(&filled).is_some_and(|percent| percent < 90), "{name}");
        assert!(part(&filled).rgb() == part(there).rgb(), "{name}: zeros are no picture");
        let whole = open(&fixture(name));
        assert!(open(&[&bytes[..], &vec![0; 9000]].concat()) == whole, "{name} before zeros");
        assert!(open(&[&fixture(name)[..], &vec![0; 9000]].concat()) == whole, "{name} with its end, before zeros");
    }
}

#[test]
fn a_lossy_webp_of_which_zeros_are_left_over_is_cut_off() {
    let whole = fixture("lossy.webp");
    let start = whole.windows(4).position(|kind| kind == b"VP8 ").unwrap();
    let size = u32::from_le_bytes(*whole[start + 4..].first_chunk().unwrap());
    let end = start + 8 + size as usize;
    let filled = |zeros: u32| {
        let mut bytes = [&whole[..end], &vec![0; (zeros + (size + zeros) % 2) as usize]].concat();
        bytes[start + 4..start + 8].copy_from_slice(&(size + zeros).to_le_bytes());
        let riff_size = bytes.len() as u32 - 8;
        bytes[4..8].copy_from_slice(&riff_size.to_le_bytes());
        bytes
    };
    open(&filled(1000));
    assert!(cut_off(&filled(9000)).is_some());
    assert!(open(&[&whole[..], &vec![0; 9000]].concat()) == open(&whole), "zeros behind the file");
}

#[test]
fn an_interlaced_gif_that_is_cut_off_repeats_its_rows() {
    let mut bytes = encode(&gradient(64, 64), ImageFormat::Gif);
    let frame = bytes.windows(9).position(|bytes| bytes == [0x2c, 0, 0, 0, 0, 64, 0, 64, 0]).unwrap();
    bytes[frame + 9] |= 0x40;
    let whole = open(&bytes);
    let photo = part(&bytes[..bytes.len() * 2 / 3]);
    assert!(photo.is_truncated());
    assert_eq!(photo.rgb().get_pixel(9, 8), whole.rgb().get_pixel(9, 8), "rows of the first pass are there");
    assert!((0..56).all(|y| (0..64).all(|x| photo.rgb().get_pixel(x, y).0 != [128; 3])), "none is grey");
}

/// A chunk of a PNG.
fn chunk(kind: &[u8; 4], body: &[u8], crc: u32) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[..], kind, body, &crc.to_be_bytes()].concat()
}

#[test]
fn a_png_is_whole_when_its_rows_are() {
    let deep = image::ImageBuffer::from_fn(40, 30, |x, y| image::Rgb([(x * 1500) as u16, (y * 2000) as u16, 9]));
    for image in [gradient(40, 30), deep.into()] {
        let bytes = encode(&image, ImageFormat::Png);
        let whole = open(&bytes);
        let pixels = bytes.len() - 12;
        for missing in 1..=16 {
            assert!(open(&bytes[..bytes.len() - missing]) == whole, "{missing} bytes");
        }
        let odd = chunk(b"tEXt", b"Comment\0broken", 1);
        assert!(open(&[&bytes[..pixels], &odd, &bytes[pixels..]].concat()) == whole);
        assert!(open(&[&bytes[..pixels], &odd[..9]].concat()) == whole);
        assert!(open(&[&bytes[..pixels], &noise(100)].concat()) == whole);
    }
}

#[test]
fn a_png_of_which_rows_are_missing_is_cut_off() {
    let rgb = RgbImage::from_fn(60, 60, |x, y| image::Rgb([(x * 37 + y * 91) as u8, (x * y) as u8, (x ^ y) as u8]));
    let bytes = encode(&rgb.clone().into(), ImageFormat::Png);
    let half = &bytes[..bytes.len() / 2];
    let percent = cut_off(half).unwrap();
    assert!((20..80).contains(&percent), "{percent}");
    let photo = part(half);
    assert!(photo.is_truncated());
    let last = u32::from(percent) * 60 / 100;
    for y in 0..60 {
        let is_there = y < last;
        let is_as_it_was = (0..60).all(|x| photo.rgb().get_pixel(x, y) == rgb.get_pixel(x, y));
        let is_grey = (0..60).all(|x| photo.rgb().get_pixel(x, y).0 == [128; 3]);
        assert!(if is_there { is_as_it_was } else { is_grey || y == last }, "row {y} of {last}");
    }
}

#[test]
fn the_other_formats_are_whole_when_their_pixels_are() {
    let image = gradient(33, 21);
    let gif = encode(&image, ImageFormat::Gif);
    assert!(open(&gif[..gif.len() - 1]) == open(&gif), "without the trailer");
    let webp = encode(&image, ImageFormat::WebP);
    let size = (webp.len() as u32 + 10).to_le_bytes();
    // Promises EXIF and XMP that never come.
    let extended = [b"VP8X\x0a\0\0\0", &[0b1100, 0, 0, 0, 32, 0, 0, 20, 0, 0][..]].concat();
    let promising = [b"RIFF", &size[..], b"WEBP", &extended, &webp[12..]].concat();
    assert!(open(&promising) == open(&webp));
    for format in [ImageFormat::WebP, ImageFormat::Tiff, ImageFormat::Bmp, ImageFormat::Gif] {
        let bytes = encode(&image, format);
        cut_off(&bytes[..bytes.len() * 2 / 3]);
    }
    let bmp = encode(&image, ImageFormat::Bmp);
    let photo = part(&bmp[..bmp.len() * 2 / 3]);
    assert!(photo.is_truncated());
    assert_eq!(photo.rgb().get_pixel(5, 20), image.to_rgb8().get_pixel(5, 20), "rows come from below");
}

#[test]
fn what_is_not_read_is_called_by_its_name() {
    let reason = |bytes: &[u8]| Photo::from_bytes(bytes, &Limits::default()).unwrap_err().to_string();
    let heic = reason(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    if cfg!(feature = "heic") {
        assert!(heic.contains("HEIC"), "{heic}");
    } else {
        assert!(heic.contains("HEIC photo (HEIF), which is not read; convert it"), "{heic}");
    }
    assert!(reason(b"8BPS\0\x01").contains("Photoshop"));
    assert!(reason(b"<!DOCTYPE html><html>").contains("web page"));
    assert!(reason(b"hello").contains("it is text; JPEG, PNG, WebP"));
    let mut bmp = encode(&gradient(8, 8), ImageFormat::Bmp);
    bmp[30] = 4;
    let said = reason(&bmp);
    assert!(said.contains("this kind of BMP is not read (JPEG inside); save it as an ordinary PNG or JPEG"), "{said}");
}

#[test]
fn a_png_whose_head_is_damaged_or_of_another_kind_is_called_so() {
    let chain = |bytes: &[u8]| Photo::from_bytes(bytes, &Limits::default()).unwrap_err().chain();
    let whole = encode(&gradient(8, 8), ImageFormat::Png);
    let mut odd = whole.clone();
    odd[8 + 8 + 13] ^= 1;
    let said = chain(&odd);
    assert!(said.ends_with("damaged: the checksum of its chunk IHDR is wrong; copy or download it again"), "{said}");
    let apple = chunk(b"CgBI", &[0x50, 0, 0x20, 2], crc32(&[&b"CgBI"[..], &[0x50, 0, 0x20, 2]].concat()));
    let said = chain(&[&whole[..8], &apple, &whole[8..]].concat());
    assert!(said.contains("Apple's CgBI") && said.ends_with("save it as an ordinary PNG or JPEG"), "{said}");
}

#[test]
fn orientation_is_read_in_every_spelling_and_format() {
    let image = RgbImage::from_fn(24, 16, |x, _| image::Rgb(if x < 12 { [10; 3] } else { [240; 3] }));
    // Turned clockwise: as LONG, big-endian.
    let block = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0\x06\0\0\0\0".to_vec();
    let is_turned = |bytes: &[u8], what: &str| {
        let photo = open(bytes);
        assert_eq!((photo.width(), photo.height()), (16, 24), "{what}");
        assert!(photo.rgb().get_pixel(8, 2).0[0] < 100, "{what}");
    };
    is_turned(&encode_jpeg(&image, Some(block.clone()), None), "JPEG");
    let png = encode(&image.clone().into(), ImageFormat::Png);
    let exif = chunk(b"eXIf", &block, 0);
    for (at, what) in [(33, "PNG"), (png.len() - 12, "PNG, behind the pixels")] {
        // The check sum of a chunk that nobody needs.
        let crc = crc32(&exif[4..exif.len() - 4]);
        let exif = chunk(b"eXIf", &block, crc);
        is_turned(&[&png[..at], &exif, &png[at..]].concat(), what);
    }
    let mut tiff = encode(&image.into(), ImageFormat::Tiff);
    // A directory with one entry more, of the kind BYTE, at the end.
    let at = u32::from_le_bytes(tiff[4..8].try_into().unwrap()) as usize;
    let count = u16::from_le_bytes(tiff[at..at + 2].try_into().unwrap());
    let entries = tiff[at + 2..at + 2 + usize::from(count) * 12].to_vec();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for entry in entries.chunks(12) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        if tag < 274 { before.extend(entry) } else { after.extend(entry) }
    }
    let place = (tiff.len() as u32).to_le_bytes();
    tiff[4..8].copy_from_slice(&place);
    tiff.extend((count + 1).to_le_bytes());
    tiff.extend([before, vec![0x12, 1, 1, 0, 1, 0, 0, 0, 6, 0, 0, 0], after, vec![0; 4]].concat());
    is_turned(&tiff, "TIFF");
}

/// The check sum of a chunk of a PNG.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[test]
fn a_png_whose_pixels_are_damaged_is_no_photo() {
    let mut bytes = Vec::new();
    let image = RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8 * 3, y as u8 * 3, (x * y) as u8]));
    image.write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Png).unwrap();
    let data = bytes.windows(4).position(|kind| kind == b"IDAT").unwrap() + 4;
    let length = u32::from_be_bytes(*bytes[data - 8..].first_chunk().unwrap()) as usize;
    for at in [length / 3, length / 2, length - 6] {
        let mut odd = bytes.clone();
        odd[data + at] ^= 1;
        for limits in [Limits::default(), Limits::default().with_allow_truncated(true)] {
            let refused = Photo::from_bytes(&odd, &limits).unwrap_err();
            assert!(matches!(refused, Error::Decode { .. }), "{at}: {refused}");
        }
    }
    // What follows them may be damaged, or missing.
    let mut odd = bytes.clone();
    *odd.last_mut().unwrap() ^= 1;
    assert_eq!(open(&odd).rgb(), &image);
    assert_eq!(open(&bytes[..bytes.len() - 14]).rgb(), &image);
}

#[test]
fn a_jpeg_of_too_many_pixels_is_refused_before_its_blocks_are_looked_at() {
    let mut bytes = fixture("progressive.jpg");
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc2]).unwrap();
    bytes[frame + 5..frame + 9].fill(0xff);
    for bytes in [&bytes[..], &bytes[..bytes.len() / 2]] {
        let refused = Photo::whole_from_bytes(bytes, &Limits::default(), Duration::ZERO).unwrap_err();
        assert!(matches!(refused, Error::TooLarge { unit: "pixels", .. }), "{refused}");
    }
}
