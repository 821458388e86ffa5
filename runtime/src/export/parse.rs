//! Label maps in the indices that try-on pipelines and human parsers use.
//!
//! A class of the model is told by its name or an alias. Where a parser tells left from right and the model does not (shoes,
//! legs, arms), the class is split at the middle of its box, as for a person who faces the camera: what lies on the right of
//! the photo is the left one. A class that a parser does not know is background there, and so is skin: parsers tell faces, arms
//! and legs apart.

use super::format::Exporter;
use super::png::{Header, Pixels, encode};
use super::view::PhotoView;
use crate::error::Result;
use crate::postprocess::LabelMap;
use crate::segmenter::ClassRegion;
use crate::taxonomy::Taxonomy;

/// What a class becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// One index.
    One(u8),
    /// The wearer's left one and right one.
    Sides { left: u8, right: u8 },
}

use Part::{One, Sides};

/// No index of the parser: background.
const NONE: Part = One(0);

/// Names of classes, and their parts in the 18 labels of ATR and in the 20 labels of LIP. The first row that fits a class
/// counts.
///
/// ATR: background, hat, hair, sunglasses, upper-clothes, skirt, pants, dress, belt, left shoe, right shoe, face, left leg, right
/// leg, left arm, right arm, bag, scarf. LIP: background, hat, hair, glove, sunglasses, upper-clothes, dress, coat, socks, pants,
/// jumpsuits, scarf, skirt, face, left arm, right arm, left leg, right leg, left shoe, right shoe.
#[rustfmt::skip]
const ROWS: [(&[&str], Part, Part); 24] = [
    (&["left shoe"], One(9), One(18)),
    (&["right shoe"], One(10), One(19)),
    (&["shoe"], Sides { left: 9, right: 10 }, Sides { left: 18, right: 19 }),
    (&["left leg"], One(12), One(16)),
    (&["right leg"], One(13), One(17)),
    (&["leg"], Sides { left: 12, right: 13 }, Sides { left: 16, right: 17 }),
    (&["left arm"], One(14), One(14)),
    (&["right arm"], One(15), One(15)),
    (&["arm"], Sides { left: 14, right: 15 }, Sides { left: 14, right: 15 }),
    (&["hat", "headband"], One(1), One(1)),
    (&["hair"], One(2), One(2)),
    (&["face"], One(11), One(13)),
    (&["glasses", "sunglasses"], One(3), One(4)),
    (&["glove"], NONE, One(3)),
    (&["coat", "jacket", "cape"], One(4), One(7)),
    (&["shirt", "top", "sweater", "cardigan", "vest", "upper clothes", "upper body", "tie"], One(4), One(5)),
    (&["dress", "full body"], One(7), One(6)),
    (&["jumpsuit"], One(7), One(10)),
    (&["skirt"], One(5), One(12)),
    (&["pants", "shorts", "lower body"], One(6), One(9)),
    (&["tights", "sock", "leg warmer"], NONE, One(8)),
    (&["belt"], One(8), NONE),
    (&["bag"], One(16), NONE),
    (&["scarf"], One(17), One(11)),
];

/// `NAME.atr.png` and `NAME.lip.png`.
pub(super) struct Parse;

impl Exporter for Parse {
    fn name(&self) -> &'static str {
        "parse"
    }

    fn about(&self) -> &'static str {
        "for try-on tools: palette PNGs of 8 bits, pixel value = label of ATR (18 classes) or LIP (20 classes), in their palettes"
    }

    fn photo_suffixes(&self) -> &'static [&'static str] {
        &[".atr.png", ".lip.png"]
    }

    fn photo_files(&self, photo: &PhotoView<'_>) -> Result<Vec<Vec<u8>>> {
        let map = photo.segmentation.label_map().keep(photo.classes);
        let parts = parts(photo.taxonomy());
        let regions = photo.segmentation.regions();
        let atr: Vec<Part> = parts.iter().map(|(atr, _)| *atr).collect();
        let lip: Vec<Part> = parts.iter().map(|(_, lip)| *lip).collect();
        Ok(vec![png(&map, regions, &atr, 18)?, png(&map, regions, &lip, 20)?])
    }
}

/// The parts of each class in ATR and LIP.
fn parts(taxonomy: &Taxonomy) -> Vec<(Part, Part)> {
    let mut parts = vec![None; taxonomy.len()];
    for (names, atr, lip) in ROWS {
        for class in names.iter().filter_map(|name| taxonomy.index_of(name)) {
            parts[class].get_or_insert((atr, lip));
        }
    }
    parts.into_iter().map(|part| part.unwrap_or((NONE, NONE))).collect()
}

/// The label map with the indices of a parser, in the palette of PASCAL VOC that they share.
fn png(map: &LabelMap, regions: &[ClassRegion], parts: &[Part], labels: u8) -> Result<Vec<u8>> {
    // Which index a class has on the left of a column and from it on.
    let mut sides = [[0_u8; 2]; 256];
    let mut middles = [0_u32; 256];
    for region in regions {
        let Some(part) = parts.get(region.class) else { continue };
        let side = match *part {
            One(index) => [index; 2],
            Sides { left, right } => [right, left],
        };
        middles[region.class.min(255)] = region.bounds.x + region.bounds.width / 2;
        sides[region.class.min(255)] = side;
    }
    let width = map.width() as usize;
    let colors = (0..labels).flat_map(voc_color).collect();
    let header = Header {
        what: "label map",
        width: map.width(),
        height: map.height(),
        pixels: Pixels::Palette(colors),
        icc: None,
    };
    encode(&header, |y, row| {
        let labels = &map.labels()[y * width..][..width];
        for ((x, target), label) in (0_u32..).zip(row).zip(labels) {
            let class = usize::from(*label);
            *target = sides[class][usize::from(x >= middles[class])];
        }
    })
}

/// PASCAL VOC's colour of an index: its bits, three at a time, are the bits of red, green and blue from the highest on.
fn voc_color(index: u8) -> [u8; 3] {
    let bit = |place: u8| -> u8 {
        (0..3)
            .map(|digit: u8| {
                index.checked_shr(u32::from(3 * digit + place)).map_or(0, |bits| (bits & 1) << (7 - digit))
            })
            .sum()
    };
    [bit(0), bit(1), bit(2)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postprocess::PixelBox;
    use crate::taxonomy::Class;

    #[test]
    fn every_garment_has_a_part_and_no_index_is_out_of_range() {
        let taxonomy = Taxonomy::builtin("garments").unwrap();
        let parts = parts(&taxonomy);
        let part = |name: &str| parts[taxonomy.index_of(name).unwrap()];
        assert_eq!(part("background"), (NONE, NONE));
        assert_eq!(part("sweater"), (One(4), One(5)));
        assert_eq!(part("coat"), (One(4), One(7)));
        assert_eq!(part("bag"), (One(16), NONE), "LIP has no bags");
        assert_eq!(part("shoe"), (Sides { left: 9, right: 10 }, Sides { left: 18, right: 19 }));
        for class in taxonomy.garments() {
            assert_ne!(parts[class], (NONE, NONE), "{}", taxonomy.classes[class].name);
        }
        for (names, atr, lip) in ROWS {
            let largest = |part| match part {
                One(index) => index,
                Sides { left, right } => left.max(right),
            };
            assert!(largest(atr) < 18 && largest(lip) < 20, "{names:?}");
        }
    }

    #[test]
    fn a_models_own_sides_stay_and_one_class_of_shoes_is_split() {
        let names = ["background", "Left-shoe", "Shoes"].map(|name| Class::new(name, [0; 3]));
        let taxonomy = Taxonomy { classes: names.into(), groups: Default::default() };
        let parts: Vec<Part> = parts(&taxonomy).into_iter().map(|(atr, _)| atr).collect();
        assert_eq!(parts, [NONE, One(9), Sides { left: 9, right: 10 }]);
        let map = LabelMap::new(6, 1, vec![0, 2, 2, 2, 2, 1]).unwrap();
        let region = |class, x, width| ClassRegion {
            class,
            name: String::new(),
            area_px: u64::from(width),
            area_share: 0.1,
            bounds: PixelBox { x, y: 0, width, height: 1 },
            confidence: 1.0,
        };
        let bytes = png(&map, &[region(0, 0, 1), region(1, 5, 1), region(2, 1, 4)], &parts, 18).unwrap();
        let mut reader = ::png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels[..6], [0, 10, 10, 9, 9, 9]);
    }

    #[test]
    fn the_palette_is_that_of_pascal_voc() {
        // From the development kit's list of colours.
        for (index, color) in [
            (0, [0, 0, 0]),
            (1, [128, 0, 0]),
            (4, [0, 0, 128]),
            (9, [192, 0, 0]),
            (17, [128, 64, 0]),
            (19, [128, 192, 0]),
        ] {
            assert_eq!(voc_color(index), color, "{index}");
        }
    }
}
