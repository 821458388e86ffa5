use super::*;
use crate::taxonomy::Class;

fn map() -> LabelMap {
    LabelMap::new(11, 3, (0..33).map(|pixel| if pixel % 5 < 2 { 2 } else { pixel as u8 % 2 }).collect()).unwrap()
}

fn decode(bytes: &[u8]) -> (::png::OutputInfo, Vec<u8>, Option<Vec<u8>>) {
    let mut reader = ::png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let palette = reader.info().palette.as_ref().map(|colors| colors.to_vec());
    (info, pixels, palette)
}

#[test]
fn masks_of_both_depths_are_the_same_mask() {
    let map = map();
    for classes in [&[2][..], &[0, 2], &[7]] {
        let expected = map.mask(classes);
        for depth in [MaskDepth::Eight, MaskDepth::One] {
            let bytes = mask_png(&map, classes, depth).unwrap();
            assert_eq!(image::load_from_memory(&bytes).unwrap().into_luma8(), expected, "{depth} bits, {classes:?}");
            assert_eq!(decode(&bytes).0.bit_depth as u8, depth.to_string().parse::<u8>().unwrap());
        }
    }
    assert!("2".parse::<MaskDepth>().is_err());
}

#[test]
fn labels_keep_their_indices_and_have_the_colours_of_the_classes() {
    let classes = [[0; 3], [1, 2, 3], [200, 100, 0]].map(|color| Class::new(format!("{color:?}"), color)).to_vec();
    let taxonomy = Taxonomy { classes, groups: Default::default() };
    let (info, pixels, palette) = decode(&labels_png(&map(), &taxonomy).unwrap());
    assert_eq!(info.color_type, ::png::ColorType::Indexed);
    assert_eq!(pixels, map().labels());
    assert_eq!(palette.unwrap(), [0, 0, 0, 1, 2, 3, 200, 100, 0]);
    // An index without a class has a colour all the same: without one the file would be damaged.
    let beyond = LabelMap::new(2, 1, vec![0, 255]).unwrap();
    let (_, pixels, palette) = decode(&labels_png(&beyond, &taxonomy).unwrap());
    assert_eq!((pixels.as_slice(), palette.unwrap().len()), (&[0, 255][..], 768));
}

#[test]
fn a_soft_mask_keeps_its_levels() {
    let mask = GrayImage::from_fn(300, 2, |x, y| image::Luma([(x + y) as u8]));
    assert_eq!(image::load_from_memory(&soft_png(&mask).unwrap()).unwrap().into_luma8(), mask);
}

/// Time and size of a mask and a label map of 12 megapixels, made of a real label map. Its numbers mean something in a release
/// build: `cargo test --release -p clothseg --lib -- --ignored --nocapture time_of_masks`.
#[test]
#[ignore = "prints times"]
fn time_of_masks() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/astronaut.labels.png");
    let golden = image::open(golden).unwrap().into_luma8();
    for (width, height) in [(3000, 4000), (550, 825)] {
        let large = image::imageops::resize(&golden, width, height, image::imageops::FilterType::Nearest);
        let map = LabelMap::new(width, height, large.into_raw()).unwrap();
        let class = map.extents().iter().filter(|extent| extent.class > 0).max_by_key(|e| e.area_px).unwrap().class;
        let taxonomy = Taxonomy::builtin("garments").unwrap();
        let encoders: [(&str, &dyn Fn() -> Vec<u8>); 3] = [
            ("mask, 8 bits", &|| mask_png(&map, &[usize::from(class)], MaskDepth::Eight).unwrap()),
            ("mask, 1 bit", &|| mask_png(&map, &[usize::from(class)], MaskDepth::One).unwrap()),
            ("labels", &|| labels_png(&map, &taxonomy).unwrap()),
        ];
        for (what, encode) in encoders {
            let started = std::time::Instant::now();
            let bytes = (0..9).map(|_| encode().len()).max().unwrap();
            println!("{width} x {height}, {what}: {:.2?}, {bytes} bytes", started.elapsed() / 9);
        }
    }
}
