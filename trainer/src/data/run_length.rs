//! The written forms of [`Runs`]: iMaterialist's pairs, COCO's counts and COCO's compressed counts.

use clothseg::internals::run_length::decompress;

use super::runs::{Runs, Size};

/// Reads `start length start length ...`: positions count from 1 down the columns. Pairs may come in any order and
/// overlap.
pub fn parse_pairs(text: &str, size: Size) -> Result<Runs, String> {
    let mut ranges = Vec::new();
    let mut words = text.split_ascii_whitespace();
    while let Some(word) = words.next() {
        let start = number(word)?;
        let Some(length) = words.next() else {
            return Err(format!("has an odd number of numbers; `{word}` has no length"));
        };
        let length = number(length)?;
        let end = (start - 1).checked_add(length).filter(|end| *end <= u64::from(size.pixels()));
        let Some(end) = end else {
            return Err(format!(
                "has the run `{start} {length}`, which leaves the picture of {} pixels",
                size.pixels()
            ));
        };
        // Both are at most the number of pixels.
        ranges.push((start - 1) as u32..end as u32);
    }
    if ranges.is_empty() { Err("has no run".to_owned()) } else { Ok(Runs::union(ranges)) }
}

fn number(word: &str) -> Result<u64, String> {
    match word.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("has `{word}` where a number from 1 should stand")),
    }
}

/// The pairs that [`parse_pairs`] reads.
#[cfg(test)]
pub fn write_pairs(runs: &Runs) -> String {
    let pairs = runs.ranges().iter().map(|run| format!("{} {}", run.start + 1, run.end - run.start));
    pairs.collect::<Vec<_>>().join(" ")
}

/// Reads COCO's counts: lengths of runs outside, inside, outside ... the region, down the columns. Together they are the
/// whole picture.
pub fn from_counts(counts: &[u64], size: Size) -> Result<Runs, String> {
    let mut ranges = Vec::with_capacity(counts.len() / 2);
    let mut position = 0_u64;
    for (index, count) in counts.iter().enumerate() {
        let start = position;
        position = position.saturating_add(*count);
        if position > u64::from(size.pixels()) {
            return Err(format!("has counts beyond the picture of {} pixels", size.pixels()));
        }
        if index % 2 == 1 {
            ranges.push(start as u32..position as u32);
        }
    }
    if position != u64::from(size.pixels()) {
        return Err(format!("has counts of {position} pixels together, and the picture {}", size.pixels()));
    }
    Ok(Runs::union(ranges))
}

/// The counts that [`from_counts`] reads.
#[cfg(test)]
pub fn to_counts(runs: &Runs, size: Size) -> Vec<u64> {
    let mut counts = Vec::with_capacity(runs.ranges().len() * 2 + 1);
    let mut position = 0;
    for run in runs.ranges() {
        counts.extend([u64::from(run.start - position), u64::from(run.end - run.start)]);
        position = run.end;
    }
    if position < size.pixels() || counts.is_empty() {
        counts.push(u64::from(size.pixels() - position));
    }
    counts
}

/// Reads COCO's compressed counts.
pub fn parse_compressed(text: &str) -> Result<Vec<u64>, String> {
    Ok(decompress(text)?.into_iter().map(u64::from).collect())
}

/// The text that [`parse_compressed`] reads; counts are at most [`u32::MAX`].
#[cfg(test)]
pub fn write_compressed(counts: &[u64]) -> String {
    clothseg::internals::run_length::compress(&counts.iter().map(|count| *count as u32).collect::<Vec<_>>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]
mod tests {
    use super::*;
    use crate::data::LabelImage;
    use proptest::prelude::*;

    fn size(width: u64, height: u64) -> Size {
        Size::new(width, height).unwrap()
    }

    #[test]
    fn pairs_count_from_one_down_the_columns() {
        // 3 wide, 2 high: 1 3 5
        //                 2 4 6
        let runs = parse_pairs(" 2 2 6 1 ", size(3, 2)).unwrap();
        let mut label = LabelImage { width: 3, height: 2, data: vec![0; 6] };
        runs.paint(1, &mut label);
        assert_eq!(label.data, [0, 1, 0, 1, 0, 1]);
        assert_eq!(write_pairs(&runs), "2 2 6 1");
    }

    #[test]
    fn damaged_pairs_are_refused_with_their_numbers() {
        for (text, expected) in [
            ("", "no run"),
            ("1 2 3", "`3` has no length"),
            ("0 2", "`0`"),
            ("1 0", "`0`"),
            ("-4 2", "`-4`"),
            ("1 2.5", "`2.5`"),
            ("6 2", "`6 2`"),
            ("7 1", "`7 1`"),
            ("1 18446744073709551615", "leaves the picture"),
            ("99999999999999999999 1", "`99999999999999999999`"),
        ] {
            let error = parse_pairs(text, size(3, 2)).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    /// From pycocotools 2.0.11: `encode` of the rows 0110, 0110, 0001, and of 50 x 40 pixels with the columns 5 to 29 of
    /// the rows 10 to 34 set.
    #[test]
    fn compressed_counts_are_those_of_pycocotools() {
        let small = [3, 2, 1, 2, 3, 1];
        assert_eq!(parse_compressed("32102O").unwrap(), small);
        assert_eq!(write_compressed(&small), "32102O");
        let mut label = LabelImage { width: 50, height: 40, data: vec![0; 2000] };
        let set = |index: usize| (5..30).contains(&(index % 50)) && (10..35).contains(&(index / 50));
        label.data.iter_mut().enumerate().for_each(|(index, pixel)| *pixel = u8::from(set(index)));
        let counts = to_counts(&Runs::of_class(&label, 1), size(50, 40));
        let text = "b6i0?00000000000000000000000000000000000000000000000fh0";
        assert_eq!(write_compressed(&counts), text);
        assert_eq!(parse_compressed(text).unwrap(), counts);
    }

    #[test]
    fn damaged_counts_are_refused() {
        assert!(from_counts(&[3, 2], size(3, 2)).unwrap_err().contains("5 pixels together"));
        assert!(from_counts(&[3, 9], size(3, 2)).unwrap_err().contains("beyond"));
        assert!(from_counts(&[u64::MAX, u64::MAX], size(3, 2)).unwrap_err().contains("beyond"));
    }

    proptest! {
        #[test]
        fn every_form_is_read_back(width in 1..20_usize, bits in prop::collection::vec(0..2_u8, 1..400)) {
            let height = bits.len().div_ceil(width);
            let mut data = bits;
            data.resize(width * height, 0);
            let size = size(width as u64, height as u64);
            let label = LabelImage { width: size.width(), height: size.height(), data };
            let runs = Runs::of_class(&label, 1);
            let mut painted = LabelImage { data: vec![0; label.data.len()], ..label };
            runs.paint(1, &mut painted);
            prop_assert_eq!(&painted.data, &label.data);
            if runs.area_px() > 0 {
                prop_assert_eq!(&parse_pairs(&write_pairs(&runs), size).unwrap(), &runs);
            }
            let counts = to_counts(&runs, size);
            prop_assert_eq!(&from_counts(&counts, size).unwrap(), &runs);
            prop_assert_eq!(&parse_compressed(&write_compressed(&counts)).unwrap(), &counts);
        }

        #[test]
        fn no_text_breaks_the_readers(text in "[0-9a-zA-Z `\\-]{0,40}") {
            let size = size(5, 4);
            let _ = parse_pairs(&text, size);
            let _ = parse_compressed(&text).and_then(|counts| from_counts(&counts, size));
        }
    }
}
