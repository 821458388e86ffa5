#![allow(clippy::unwrap_used)]

use super::*;
use image::{GrayAlphaImage, GrayImage, ImageBuffer, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage};

fn colors(table: &[[u8; 3]]) -> Option<ClassColors> {
    Some(ClassColors::new(Path::new("class_dict.csv"), table))
}

/// Black, dark red, green.
const TABLE: [[u8; 3]; 3] = [[0, 0, 0], [128, 0, 0], [0, 128, 0]];

fn meaning(reading: LabelReading, classes: usize, table: &[[u8; 3]]) -> PngMeaning {
    PngMeaning { reading, classes, colors: if table.is_empty() { None } else { colors(table) } }
}

/// Reads a picture that `write` saves.
fn open(meaning: &PngMeaning, write: impl FnOnce(&Path)) -> std::result::Result<Vec<u8>, String> {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("label.png");
    write(&path);
    read(&path, meaning).map(|label| label.data).map_err(|error| error.to_string())
}

/// A PNG of `bits` a sample from samples of a byte each, `width` a row.
fn write_png(path: &Path, width: u32, samples: &[u8], bits: u8, palette: Option<&[u8]>) {
    let height = samples.len() as u32 / width;
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), width, height);
    encoder.set_depth(png::BitDepth::from_u8(bits).unwrap());
    encoder.set_color(if palette.is_some() { png::ColorType::Indexed } else { png::ColorType::Grayscale });
    if let Some(palette) = palette {
        encoder.set_palette(palette);
    }
    let mut data = Vec::new();
    for row in samples.chunks(width as usize) {
        for byte in row.chunks(8 / usize::from(bits)) {
            let mut packed = 0;
            byte.iter().enumerate().for_each(|(at, sample)| packed |= sample << (8 - usize::from(bits) * (at + 1)));
            data.push(packed);
        }
    }
    encoder.write_header().unwrap().write_image_data(&data).unwrap();
}

#[test]
fn every_depth_stores_the_index() {
    for bits in [1, 2, 4, 8] {
        // Rows of 5 pixels end within a byte.
        let most = 2_u8.pow(u32::from(bits.min(4))) - 1;
        let samples: Vec<u8> = (0..10).map(|at| (3 * at) % (most + 1)).collect();
        let palette: Vec<u8> = (0..=most).flat_map(|index| [index, 9, 7]).collect();
        for palette in [None, Some(&palette[..])] {
            let read =
                open(&meaning(LabelReading::Auto, 16, &TABLE), |path| write_png(path, 5, &samples, bits, palette));
            assert_eq!(read.unwrap(), samples, "{bits} bits");
        }
    }
}

#[test]
fn numbers_of_16_bits_are_those_of_8() {
    let image = |values: [u16; 3]| ImageBuffer::<Luma<u16>, _>::from_vec(3, 1, values.to_vec()).unwrap();
    let read = |values| open(&meaning(LabelReading::Auto, 3, &[]), |path| image(values).save(path).unwrap());
    assert_eq!(read([0, 2, 1]).unwrap(), [0, 2, 1]);
    assert_eq!(read([2, 65535, 1]).unwrap(), [2, IGNORE, 1]);
    assert_eq!(read([0, 257, 514]).unwrap(), [0, 1, 2]);
    assert!(read([0, 300, 1]).unwrap_err().contains("value 300 at pixel (1, 0)"));
}

#[test]
fn alpha_does_not_matter_and_equal_channels_are_an_index() {
    let auto = meaning(LabelReading::Auto, 3, &[]);
    let grey = GrayAlphaImage::from_fn(3, 1, |x, _| LumaA([x as u8, 7 * x as u8]));
    assert_eq!(open(&auto, |path| grey.save(path).unwrap()).unwrap(), [0, 1, 2]);
    let equal = RgbImage::from_fn(4, 1, |x, _| Rgb([[0, 1, 2, 255][x as usize]; 3]));
    for table in [&[][..], &TABLE] {
        assert_eq!(
            open(&meaning(LabelReading::Auto, 3, table), |path| equal.save(path).unwrap()).unwrap(),
            [0, 1, 2, 255]
        );
    }
    let other = RgbImage::from_fn(2, 1, |x, _| Rgb([0, 0, x as u8]));
    let error = open(&auto, |path| other.save(path).unwrap()).unwrap_err();
    assert!(error.contains("(0, 0, 1) at pixel (1, 0)") && error.contains("columns r, g and b"), "{error}");
}

#[test]
fn colours_of_the_table_are_indices_and_others_damage() {
    let auto = meaning(LabelReading::Auto, 3, &TABLE);
    let mut picture = RgbImage::new(3, 2);
    picture.put_pixel(1, 0, Rgb([0, 128, 0]));
    picture.put_pixel(2, 1, Rgb([128, 0, 0]));
    assert_eq!(open(&auto, |path| picture.save(path).unwrap()).unwrap(), [0, 2, 0, 0, 0, 1]);
    let indices = meaning(LabelReading::Index, 3, &TABLE);
    assert!(open(&indices, |path| picture.save(path).unwrap()).unwrap_err().contains("which is no index"));
    picture.put_pixel(1, 1, Rgb([127, 0, 0]));
    let error = open(&auto, |path| picture.save(path).unwrap()).unwrap_err();
    assert!(error.contains("(127, 0, 0) at pixel (1, 1)") && error.contains("label.png"), "{error}");
    let translucent = RgbaImage::from_pixel(1, 1, Rgba([0, 128, 0, 9]));
    assert_eq!(open(&auto, |path| translucent.save(path).unwrap()).unwrap(), [2]);
    // A soft edge between black and white is no row of indices.
    let soft = RgbImage::from_fn(3, 1, |x, _| Rgb([[0, 127, 255][x as usize]; 3]));
    let white = meaning(LabelReading::Auto, 2, &[[0; 3], [255; 3]]);
    assert!(open(&white, |path| soft.save(path).unwrap()).unwrap_err().contains("(127, 127, 127)"));
}

/// Tools that make PNGs smaller turn a picture in few colours into one with a palette, and one in greys into grey.
#[test]
fn what_could_be_an_index_or_a_colour_is_decided_by_the_source() {
    let swapped = [0, 0, 0, 0, 128, 0, 128, 0, 0];
    let palette = |path: &Path| write_png(path, 3, &[0, 1, 2], 8, Some(&swapped));
    let read = |reading| open(&meaning(reading, 3, &TABLE), palette);
    assert!(read(LabelReading::Auto).unwrap_err().contains("reading = \"index\""));
    assert_eq!(read(LabelReading::Index).unwrap(), [0, 1, 2]);
    assert_eq!(read(LabelReading::Color).unwrap(), [0, 2, 1]);
    // The indices are none: the colours are meant.
    let many = [[9; 9].as_slice(), &swapped].concat();
    let read = |reading| open(&meaning(reading, 3, &TABLE), |path| write_png(path, 3, &[3, 4, 5], 8, Some(&many)));
    assert_eq!(read(LabelReading::Auto).unwrap(), [0, 2, 1]);

    let mask = |path: &Path| write_png(path, 2, &[0, 255], 8, None);
    let white = |reading| meaning(reading, 2, &[[0; 3], [255; 3]]);
    assert!(open(&white(LabelReading::Auto), mask).unwrap_err().contains("stores 255"));
    assert_eq!(open(&white(LabelReading::Color), mask).unwrap(), [0, 1]);
    assert_eq!(open(&white(LabelReading::Index), mask).unwrap(), [0, IGNORE]);
    assert_eq!(open(&meaning(LabelReading::Auto, 2, &TABLE[..2]), mask).unwrap(), [0, IGNORE]);
}

#[test]
fn a_mask_of_one_class_is_what_is_bright() {
    let binary = meaning(LabelReading::Binary, 2, &[]);
    let grey = |levels: [u8; 4]| GrayImage::from_vec(4, 1, levels.to_vec()).unwrap();
    for (levels, expected) in [([0, 255, 127, 128], [0, 1, 0, 1]), ([0, 1, 0, 1], [0, 1, 0, 1]), ([0; 4], [0; 4])] {
        assert_eq!(open(&binary, |path| grey(levels).save(path).unwrap()).unwrap(), expected);
    }
    let red = RgbImage::from_fn(2, 1, |x, _| Rgb([255 * x as u8, 0, 0]));
    assert_eq!(open(&binary, |path| red.save(path).unwrap()).unwrap(), [0, 1]);
    // A palette that begins with white.
    let palette = |path: &Path| write_png(path, 2, &[0, 1], 1, Some(&[255, 255, 255, 0, 0, 0]));
    assert_eq!(open(&binary, palette).unwrap(), [1, 0]);
}

#[test]
fn a_file_without_its_end_is_read_where_its_rows_are_there_and_otherwise_cut_off() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("label.png");
    let samples: Vec<u8> = (0..64 * 64_u32).map(|at| (at * at / 7 % 3) as u8).collect();
    write_png(&path, 64, &samples, 8, None);
    let whole = std::fs::read(&path).unwrap();
    let read_without = |bytes: usize| {
        open(&meaning(LabelReading::Index, 3, &[]), |path| std::fs::write(path, &whole[..whole.len() - bytes]).unwrap())
    };
    // The end is 12 bytes; before it stands the checksum of the pixels, 4 bytes.
    for missing in [0, 1, 5, 12, 14, 16] {
        assert_eq!(read_without(missing).unwrap(), samples, "{missing}");
    }
    for missing in [100, whole.len() / 2, whole.len() - 20, whole.len() - 40] {
        let error = read_without(missing).unwrap_err();
        assert!(error.contains("label.png: is cut off"), "{missing}: {error}");
    }
    // A whole file is still held to its checksums.
    let mut damaged = whole.clone();
    let at = whole.len() - 14;
    damaged[at] ^= 1;
    let error =
        open(&meaning(LabelReading::Index, 3, &[]), |path| std::fs::write(path, &damaged).unwrap()).unwrap_err();
    assert!(error.contains("is damaged"), "{error}");
}
