//! Regions of a picture as runs of pixels down the columns, as iMaterialist's CSV and COCO's codes count them.

use std::ops::Range;

use clothseg::Limits;

use super::LabelImage;

/// Width and height of a picture, both above 0, within the runtime's [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    width: u32,
    height: u32,
}

impl std::fmt::Display for Size {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} x {}", self.width, self.height)
    }
}

impl Size {
    /// The smallest size.
    pub const PIXEL: Size = Size { width: 1, height: 1 };

    /// Refuses an empty or an enormous picture, with the cause.
    pub fn new(width: u64, height: u64) -> Result<Self, String> {
        let limit = Limits::default().max_pixels.min(u64::from(u32::MAX));
        match width.checked_mul(height) {
            None | Some(0) => Err(format!("a picture of {width} x {height} is none")),
            Some(pixels) if pixels > limit => {
                Err(format!("a picture of {width} x {height} has more than {limit} pixels"))
            }
            // Both are at most their product, which is at most u32::MAX.
            Some(_) => Ok(Self { width: width as u32, height: height as u32 }),
        }
    }

    /// Pixels in a row.
    pub fn width(self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(self) -> u32 {
        self.height
    }

    /// Width times height.
    pub fn pixels(self) -> u32 {
        self.width * self.height
    }
}

/// A region: sorted ranges of positions `x * height + y` (column-major, from 0) that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs(Vec<Range<u32>>);

impl Runs {
    /// The union of ranges in any order; empty ones hold nothing.
    pub fn union(mut ranges: Vec<Range<u32>>) -> Self {
        ranges.retain(|range| range.start < range.end);
        ranges.sort_unstable_by_key(|range| range.start);
        let mut runs: Vec<Range<u32>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match runs.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => runs.push(range),
            }
        }
        Self(runs)
    }

    /// The pixels of `label` that are of `class`.
    pub fn of_class(label: &LabelImage, class: u8) -> Self {
        let (width, height) = (label.width as usize, label.height as usize);
        let inside = (0..width * height)
            .filter(|position| label.data[position % height * width + position / height] == class)
            .map(|position| position as u32..position as u32 + 1);
        Self::union(inside.collect())
    }

    /// The ranges, in order.
    #[cfg(test)]
    pub fn ranges(&self) -> &[Range<u32>] {
        &self.0
    }

    /// Number of pixels.
    pub fn area_px(&self) -> u64 {
        self.0.iter().map(|run| u64::from(run.end - run.start)).sum()
    }

    /// Gives the region's pixels the class. What lies beyond the label is left out.
    pub fn paint(&self, class: u8, label: &mut LabelImage) {
        let (width, height) = (label.width as usize, label.height as usize);
        for run in &self.0 {
            let end = (run.end as usize).min(width * height);
            let mut position = run.start as usize;
            while position < end {
                let column = position / height;
                let column_end = end.min((column + 1) * height);
                let first = position % height * width + column;
                let rows = column_end - position;
                label.data[first..].iter_mut().step_by(width).take(rows).for_each(|pixel| *pixel = class);
                position = column_end;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]
mod tests {
    use super::*;

    #[test]
    fn a_union_is_sorted_and_has_no_seams() {
        let runs = Runs::union(vec![7..9, 0..2, 1..4, 4..5, 6..6]);
        assert_eq!(runs.ranges(), [0..5, 7..9]);
        assert_eq!(runs.area_px(), 7);
    }

    #[test]
    fn painting_goes_down_the_columns_and_round_their_ends() {
        let mut label = LabelImage { width: 3, height: 2, data: vec![0; 6] };
        Runs::union(vec![1..4, 5..99]).paint(7, &mut label);
        // Positions 0 2 4
        //           1 3 5
        assert_eq!(label.data, [0, 7, 0, 7, 7, 7]);
        assert_eq!(Runs::of_class(&label, 7).ranges(), [1..4, 5..6]);
    }

    #[test]
    fn sizes_have_limits() {
        assert!(Size::new(0, 5).unwrap_err().contains("0 x 5"));
        assert!(Size::new(1 << 40, 1 << 40).is_err() && Size::new(100_000, 100_000).is_err());
        assert_eq!(Size::new(4, 3).unwrap().pixels(), 12);
    }
}
