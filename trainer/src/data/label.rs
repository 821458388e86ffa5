//! The label of a photo: a PNG, regions in an annotation file, or none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::IGNORE;
use super::LabelReading;
use super::dimensions::image_dimensions;
use super::label_png::{self, PngMeaning};
use super::regions::RegionLabel;
use crate::error::Result;

/// Where a label comes from.
#[derive(Clone, Debug)]
pub enum Label {
    /// A PNG of indices, or of the colours of a class table.
    Png {
        /// The file.
        path: PathBuf,
        /// What its pixels mean.
        meaning: Arc<PngMeaning>,
    },
    /// Regions in an annotation file.
    Regions(RegionLabel),
    /// There is none: nothing is known of any pixel.
    Unlabelled {
        /// The photo.
        photo: PathBuf,
    },
}

impl Label {
    /// The file that holds it, or of what has none.
    pub fn path(&self) -> &Path {
        match self {
            Label::Png { path, .. } => path,
            Label::Regions(regions) => regions.path(),
            Label::Unlabelled { photo } => photo,
        }
    }

    /// Reads the label in the source's classes.
    pub fn load(&self) -> Result<LabelImage> {
        match self {
            Label::Png { path, meaning } => label_png::read(path, meaning),
            Label::Regions(regions) => regions.load(),
            Label::Unlabelled { photo } => {
                let (width, height) = image_dimensions(photo)?;
                Ok(LabelImage { width, height, data: vec![IGNORE; width as usize * height as usize] })
            }
        }
    }
}

/// One index a pixel, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelImage {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width * height` indices.
    pub data: Vec<u8>,
}

impl LabelImage {
    /// Reads a label PNG of indices, such as those that `prepare` writes; [`LabelReading`](super::LabelReading) has others.
    pub fn open(path: &Path) -> Result<Self> {
        let meaning = PngMeaning { reading: LabelReading::Index, classes: usize::from(IGNORE), colors: None };
        label_png::read(path, &meaning)
    }

    /// The label at another size: each pixel takes the index under its centre. Indices are never mixed.
    pub fn resized(&self, width: u32, height: u32) -> Self {
        let columns: Vec<usize> = (0..width).map(|x| nearest(x, width, self.width) as usize).collect();
        let rows = (0..height).map(|y| nearest(y, height, self.height) as usize * self.width as usize);
        let data = rows.flat_map(|row| columns.iter().map(move |column| self.data[row + column])).collect();
        Self { width, height, data }
    }
}

/// The pixel of `from` whose cell holds the centre of pixel `at` of `to`: (at + 0.5) * from / to, rounded down.
pub(crate) fn nearest(at: u32, to: u32, from: u32) -> u32 {
    ((2 * u64::from(at) + 1) * u64::from(from) / (2 * u64::from(to).max(1))) as u32
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn resizing_takes_the_pixel_under_the_centre() {
        let label = LabelImage { width: 5, height: 2, data: vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10] };
        // Centres of 2 columns of 5: 1.25 and 3.75; of 1 row of 2: 1.0.
        assert_eq!(label.resized(2, 1).data, [7, 9]);
        assert_eq!(label.resized(5, 4).data[..10], [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]);
    }

    proptest! {
        #[test]
        fn resizing_up_and_back_by_odd_factors_is_exact(factor in 0..4_u32, data in prop::collection::vec(0..9_u8, 12)) {
            let label = LabelImage { width: 4, height: 3, data };
            let factor = 2 * factor + 1;
            prop_assert_eq!(label.resized(4 * factor, 3 * factor).resized(4, 3), label);
        }

        #[test]
        fn the_nearest_pixel_exists_and_rises(to in 2..500_u32, from in 1..500_u32) {
            let all: Vec<u32> = (0..to).map(|at| nearest(at, to, from)).collect();
            prop_assert!(all.is_sorted() && all[to as usize - 1] < from);
            prop_assert_eq!(u64::from(all[0]), u64::from(from) / (2 * u64::from(to)));
        }
    }
}
