//! Parts go to the garment that they belong to.
//!
//! In some datasets a sleeve is cut out of its shirt. Each connected area (4 neighbours) of one part class goes to the
//! garment with which it shares the longest border, in pixel edges. Parts touch parts (a zipper in a pocket), so this
//! repeats: in each round the areas that touch a garment are settled, and count as that garment in the next. What
//! touches no garment in the end is ignored.

use std::collections::BTreeMap;

use super::mapping::{MappedTo, Mapping};
use super::{IGNORE, LabelImage};

/// No area: the pixel is no part.
const NONE: u32 = u32::MAX;

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
    let (area_of, count) = areas(source, mapping);
    if count > 0 {
        let settled = settle(source, &target, mapping, &area_of, count);
        for (pixel, area) in target.iter_mut().zip(&area_of) {
            if *area != NONE {
                *pixel = settled[*area as usize];
            }
        }
    }
    LabelImage { width: source.width, height: source.height, data: target }
}

/// For each pixel the area of part pixels that it lies in, or [`NONE`], and the number of areas.
fn areas(source: &LabelImage, mapping: &Mapping) -> (Vec<u32>, usize) {
    let (width, height) = (source.width as usize, source.height as usize);
    let mut area_of = vec![NONE; source.data.len()];
    let mut count = 0;
    let mut stack = Vec::new();
    for start in 0..source.data.len() {
        let class = source.data[start];
        if area_of[start] != NONE || mapping.target(class) != Some(MappedTo::Merge) {
            continue;
        }
        area_of[start] = count;
        stack.push(start);
        while let Some(pixel) = stack.pop() {
            let (x, y) = (pixel % width, pixel / width);
            let mut visit = |next: usize| {
                if area_of[next] == NONE && source.data[next] == class {
                    area_of[next] = count;
                    stack.push(next);
                }
            };
            if x > 0 {
                visit(pixel - 1);
            }
            if x + 1 < width {
                visit(pixel + 1);
            }
            if y > 0 {
                visit(pixel - width);
            }
            if y + 1 < height {
                visit(pixel + width);
            }
        }
        count += 1;
    }
    (area_of, count as usize)
}

/// The class of each area.
fn settle(source: &LabelImage, target: &[u8], mapping: &Mapping, area_of: &[u32], count: usize) -> Vec<u8> {
    let mut to_garment: Vec<BTreeMap<u8, usize>> = vec![BTreeMap::new(); count];
    let mut to_area: Vec<BTreeMap<usize, usize>> = vec![BTreeMap::new(); count];
    let mut edge = |one: usize, other: usize| {
        let (area, beside) = (area_of[one], area_of[other]);
        if area == NONE || area == beside {
            return;
        }
        if beside != NONE {
            *to_area[area as usize].entry(beside as usize).or_default() += 1;
        } else if mapping.takes_parts(target[other]) {
            *to_garment[area as usize].entry(target[other]).or_default() += 1;
        }
    };
    let (width, height) = (source.width as usize, source.height as usize);
    for pixel in 0..source.data.len() {
        if pixel % width + 1 < width {
            edge(pixel, pixel + 1);
            edge(pixel + 1, pixel);
        }
        if pixel / width + 1 < height {
            edge(pixel, pixel + width);
            edge(pixel + width, pixel);
        }
    }
    let mut settled = vec![IGNORE; count];
    loop {
        let round: Vec<(usize, u8)> = (0..count)
            .filter(|area| settled[*area] == IGNORE)
            .filter_map(|area| longest(&to_garment[area]).map(|class| (area, class)))
            .collect();
        if round.is_empty() {
            return settled;
        }
        for (area, class) in &round {
            settled[*area] = *class;
        }
        for (area, class) in round {
            for (beside, edges) in to_area[area].clone() {
                *to_garment[beside].entry(class).or_default() += edges;
            }
        }
    }
}

/// The class with the most edges; the first of equals.
fn longest(edges: &BTreeMap<u8, usize>) -> Option<u8> {
    edges.iter().max_by_key(|(class, edges)| (**edges, std::cmp::Reverse(**class))).map(|(class, _)| *class)
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
    fn areas_of_one_class_are_settled_apart_and_lonely_ones_ignored() {
        assert_eq!(merged(&["13032", "00000", "03000", "05300"]), ["ss.pp", ".....", ".?...", ".??.."]);
    }
}
