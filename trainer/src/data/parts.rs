//! Parts go to the garment that they belong to.
//!
//! In some datasets a sleeve is cut out of its shirt. Each connected region (4 neighbours) of one part class goes to the
//! garment with which it shares the longest border, in pixel edges. Parts touch parts (a zipper in a pocket), so this
//! repeats: in each round the regions that touch a garment are assigned to it, and count as that garment in the next. What
//! touches no garment in the end is ignored.

use std::collections::BTreeMap;

use clothseg::internals::regions::{NONE, beside, label, longest_border};

use super::mapping::{MappedTo, Mapping};
use super::{IGNORE, LabelImage};

/// The label in target classes, with parts merged.
pub(super) fn merge(source: &LabelImage, mapping: &Mapping) -> LabelImage {
    let mut target: Vec<u8> = source
        .data
        .iter()
        .map(|index| match mapping.target(*index) {
            Some(MappedTo::Label(label)) => label,
            _ => IGNORE,
        })
        .collect();
    let is_part = |class| mapping.target(class) == Some(MappedTo::Merge);
    let mut borders: Vec<Borders> = Vec::new();
    let region_of = label(&source.data, source.width as usize, is_part, |region, _| {
        borders.resize_with(borders.len().max(region as usize + 1), Borders::default);
    });
    if !borders.is_empty() {
        measure(&mut borders, &target, &region_of, source.width as usize, mapping);
        let classes = assign(borders);
        for (pixel, region) in target.iter_mut().zip(&region_of).filter(|(_, region)| **region != NONE) {
            *pixel = classes[*region as usize];
        }
    }
    LabelImage { width: source.width, height: source.height, data: target }
}

/// What a region of part pixels touches, in pixel edges.
#[derive(Default)]
struct Borders {
    /// By class of garment.
    garments: BTreeMap<u8, usize>,
    /// By other region of parts.
    parts: BTreeMap<usize, usize>,
}

fn measure(borders: &mut [Borders], target: &[u8], region_of: &[u32], width: usize, mapping: &Mapping) {
    for (pixel, region) in region_of.iter().enumerate().filter(|(_, region)| **region != NONE) {
        let borders = &mut borders[*region as usize];
        for next in beside(pixel, region_of.len(), width).filter(|next| region_of[*next] != *region) {
            if region_of[next] != NONE {
                *borders.parts.entry(region_of[next] as usize).or_default() += 1;
            } else if mapping.takes_parts(target[next]) {
                *borders.garments.entry(target[next]).or_default() += 1;
            }
        }
    }
}

/// The class of each region.
fn assign(mut borders: Vec<Borders>) -> Vec<u8> {
    let mut classes = vec![IGNORE; borders.len()];
    loop {
        let longest =
            |region: usize| longest_border(borders[region].garments.iter().map(|(class, edges)| (*class, *edges)));
        let open = (0..borders.len()).filter(|region| classes[*region] == IGNORE);
        let round: Vec<(usize, u8)> = open.filter_map(|region| Some((region, longest(region)?))).collect();
        if round.is_empty() {
            return classes;
        }
        for (region, class) in &round {
            classes[*region] = *class;
        }
        for (region, class) in round {
            for (other, edges) in borders[region].parts.clone() {
                *borders[other].garments.entry(class).or_default() += edges;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::{LabelSets, Target};

    /// Source classes 0 background, 1 shirt, 2 pants, 3 sleeve, 4 zipper (parts), 5 ignored.
    fn merged(rows: &[&str]) -> Vec<String> {
        let target = Target::builtin("garments").unwrap();
        let names = ["null", "shirt", "pants", "sleeve", "zipper", "suit"].map(str::to_owned);
        let text = r#"
            target = "garments"
            [classes]
            null = "background"
            shirt = "shirt"
            pants = "pants"
            sleeve = "merge"
            zipper = "merge"
            suit = "ignore""#;
        let mapping = Mapping::parse(text, &names, &target, &mut LabelSets::from(target.classes())).unwrap();
        let data = rows.iter().flat_map(|row| row.bytes().map(|digit| digit - b'0')).collect();
        let label = LabelImage { width: rows[0].len() as u32, height: rows.len() as u32, data };
        let shirt = target.taxonomy.index_of("shirt").unwrap() as u8;
        let pants = target.taxonomy.index_of("pants").unwrap() as u8;
        let show = |class: &u8| match *class {
            0 => '.',
            IGNORE => '?',
            class if class == shirt => 's',
            class if class == pants => 'p',
            _ => '!',
        };
        merge(&label, &mapping).data.chunks(rows[0].len()).map(|row| row.iter().map(show).collect()).collect()
    }

    #[test]
    fn a_part_goes_to_the_garment_with_the_longest_border() {
        assert_eq!(merged(&["01110", "03330", "02200"]), [".sss.", ".sss.", ".pp.."]);
        assert_eq!(merged(&["01100", "03330", "02220"]), [".ss..", ".ppp.", ".ppp."]);
    }

    #[test]
    fn parts_reach_a_garment_through_parts() {
        assert_eq!(merged(&["0000000", "1343400"]), [".......", "sssss.."]);
    }

    #[test]
    fn regions_of_one_class_are_assigned_apart_and_lonely_ones_ignored() {
        assert_eq!(merged(&["13032", "00000", "03000", "05300"]), ["ss.pp", ".....", ".?...", ".??.."]);
    }
}
