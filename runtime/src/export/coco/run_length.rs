//! COCO's run lengths: pixels off, on, off ... down the columns, from left to right.

use crate::postprocess::LabelMap;

/// Labels that are compared at once.
const BLOCK: usize = 32;

/// The run lengths of a class, the first one of pixels that are off.
///
/// A label map lies in rows. What is gathered from them is where each column changes, which is as much as the outline is
/// long; the photo is never turned.
pub(crate) fn counts(map: &LabelMap, class: usize) -> Vec<u32> {
    let changes = changes(map, class);
    let height = u64::from(map.height());
    let mut counts = Vec::with_capacity(changes.iter().map(Vec::len).sum::<usize>() + 1);
    let (mut is_on, mut since) = (false, 0);
    let mut change = |is_on: &mut bool, at: u64| {
        counts.push((at - since) as u32);
        (*is_on, since) = (!*is_on, at);
    };
    for (rows, x) in changes.iter().zip(0_u64..) {
        let starts_on = rows.first() == Some(&0);
        if is_on != starts_on {
            change(&mut is_on, x * height);
        }
        for y in &rows[usize::from(starts_on)..] {
            change(&mut is_on, x * height + u64::from(*y));
        }
    }
    counts.push((u64::from(map.width()) * height - since) as u32);
    counts
}

/// For each column the rows where a class begins or ends; above the first row it is off.
fn changes(map: &LabelMap, class: usize) -> Vec<Vec<u32>> {
    let width = map.width().max(1) as usize;
    let mut changes = vec![Vec::new(); map.width() as usize];
    let Ok(class) = u8::try_from(class) else { return changes };
    let above_first = vec![class.wrapping_add(1); width];
    let mut above = above_first.as_slice();
    for (row, y) in map.labels().chunks_exact(width).zip(0..) {
        for ((columns, row), above) in changes.chunks_mut(BLOCK).zip(row.chunks(BLOCK)).zip(above.chunks(BLOCK)) {
            let differs = |(label, above): (&u8, &u8)| (*label == class) != (*above == class);
            // Most blocks hold no change: they are passed over without a branch a pixel.
            if row.iter().zip(above).fold(false, |any, pair| any | differs(pair)) {
                let pairs = columns.iter_mut().zip(row.iter().zip(above));
                pairs.filter(|(_, pair)| differs(*pair)).for_each(|(rows, _)| rows.push(y));
            }
        }
        above = row;
    }
    changes
}

/// The compressed form of pycocotools: each number, from the fourth on less the one two before, in groups of 5 bits from
/// the lowest, a sixth bit where more follow, as characters from `0` on.
pub fn compress(counts: &[u32]) -> String {
    let mut text = String::with_capacity(2 * counts.len());
    for (index, count) in counts.iter().enumerate() {
        let before = if index > 2 { i64::from(counts[index - 2]) } else { 0 };
        let mut rest = i64::from(*count) - before;
        loop {
            let group = (rest & 0x1f) as u8;
            rest >>= 5;
            // The last group's highest bit is the sign.
            let ends = if group & 0x10 == 0 { rest == 0 } else { rest == -1 };
            text.push(char::from(48 + group + if ends { 0 } else { 0x20 }));
            if ends {
                break;
            }
        }
    }
    text
}

/// The numbers of the compressed form, which [`compress`] writes.
///
/// # Errors
/// What is wrong, as `has ...` or `ends ...`.
pub fn decompress(text: &str) -> Result<Vec<u32>, String> {
    let mut counts: Vec<u32> = Vec::new();
    let mut bytes = text.bytes();
    while let Some(first) = bytes.next() {
        let (mut value, mut shift, mut byte) = (0_i64, 0, first);
        loop {
            let group = byte.checked_sub(48).filter(|group| *group < 64);
            let Some(group) = group.filter(|_| shift <= 30) else {
                return Err(format!("has a damaged compressed count, number {}", counts.len() + 1));
            };
            value |= i64::from(group & 0x1f) << shift;
            shift += 5;
            if group & 0x20 == 0 {
                if group & 0x10 != 0 {
                    value |= -1 << shift;
                }
                break;
            }
            byte = bytes.next().ok_or("ends within a compressed count")?;
        }
        if counts.len() > 2 {
            value += i64::from(counts[counts.len() - 2]);
        }
        counts.push(u32::try_from(value).map_err(|_| format!("has the compressed count {value}"))?);
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Column by column, pixel by pixel.
    fn by_pixel(map: &LabelMap, class: u8) -> Vec<u32> {
        let (width, height) = (map.width() as usize, map.height() as usize);
        let pixels = (0..width).flat_map(|x| (0..height).map(move |y| map.labels()[y * width + x] == class));
        let mut counts = vec![0];
        let mut is_on = false;
        for on in pixels {
            if on != is_on {
                counts.push(0);
                is_on = on;
            }
            *counts.last_mut().unwrap() += 1;
        }
        counts
    }

    proptest! {
        #[test]
        fn the_counts_are_those_of_the_pixels(
            (width, height) in (1_u32..80, 1_u32..9),
            labels in prop::collection::vec(0_u8..3, 80 * 9),
            class in 0_usize..3,
        ) {
            let labels = labels[..(width * height) as usize].to_vec();
            let map = LabelMap::new(width, height, labels).unwrap();
            prop_assert_eq!(counts(&map, class), by_pixel(&map, class as u8));
        }
    }

    proptest! {
        #[test]
        fn compressed_counts_of_any_size_are_read_back(counts in prop::collection::vec(any::<u32>(), 0..20)) {
            prop_assert_eq!(decompress(&compress(&counts)).unwrap(), counts);
        }

        #[test]
        fn no_text_breaks_the_reader(text in "[0-9a-zA-Z `\\-]{0,40}") {
            let _ = decompress(&text);
        }
    }

    #[test]
    fn damaged_compressed_counts_are_refused() {
        for (text, cause) in [("P", "ends within"), ("PPPPPPPPPPPP0", "number 1"), ("1 1", "number 2"), ("O", "-1")] {
            assert!(decompress(text).unwrap_err().contains(cause), "{text}");
        }
    }

    #[test]
    fn a_full_and_an_empty_mask_have_the_counts_that_pycocotools_gives() {
        let map = LabelMap::new(4, 3, vec![255; 12]).unwrap();
        assert_eq!(counts(&map, 255), [0, 12]);
        assert_eq!(counts(&map, 0), [12]);
        assert_eq!(counts(&map, 300), [12]);
    }

    #[test]
    fn the_compressed_form_is_that_of_pycocotools() {
        // pycocotools.mask.frPyObjects({"size": ..., "counts": ...}, h, w)["counts"], version 2.0.11.
        for (counts, text) in [(&[12][..], "<"), (&[0, 12], "0<"), (&[6, 1, 40, 4, 37, 3000, 1], "61X13Mdm2lN")] {
            assert_eq!(compress(counts), text);
            assert_eq!(decompress(text).unwrap(), counts);
        }
    }
}
