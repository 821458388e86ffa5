//! The label map: a photo's classes, and what can be read off them.

use image::GrayImage;
use rayon::prelude::*;

use crate::error::{Error, Result};

/// Rows that one thread takes at a time.
const BAND_ROWS: usize = 64;

/// The class of every pixel of a photo: row-major, one byte a pixel, 0 = background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMap {
    width: u32,
    height: u32,
    labels: Vec<u8>,
}

/// A rectangle of whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PixelBox {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Number of columns.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

/// How much of a label map one class covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Class index.
    pub class: u8,
    /// Number of pixels.
    pub area_px: u64,
    /// The smallest rectangle that holds them all.
    pub bounds: PixelBox,
}

impl LabelMap {
    /// Takes class indices in row-major order.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless there is exactly one index a pixel.
    pub fn new(width: u32, height: u32, labels: Vec<u8>) -> Result<Self> {
        if labels.len() as u64 != u64::from(width) * u64::from(height) {
            return Err(Error::Invalid(format!("{} labels for {width} x {height} pixels", labels.len())));
        }
        Ok(Self { width, height, labels })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Class indices in row-major order.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The classes present, in index order, with area and bounding box.
    pub fn extents(&self) -> Vec<Extent> {
        let width = self.width.max(1) as usize;
        let bands = self.labels.par_chunks(width * BAND_ROWS).enumerate();
        let tally = bands.fold(Tally::new, |mut tally, (band, labels)| {
            for (row, y) in labels.chunks_exact(width).zip((band * BAND_ROWS) as u32..) {
                tally.add_row(row, y);
            }
            tally
        });
        tally.reduce(Tally::new, Tally::join).extents()
    }

    /// The mask of some classes: 255 = one of them, 0 = not.
    pub fn mask(&self, classes: &[usize]) -> GrayImage {
        let mut mask = vec![0; self.labels.len()];
        write_mask(&self.labels, classes, &mut mask);
        #[expect(clippy::expect_used, reason = "a label map is made with a label for each pixel only")]
        GrayImage::from_raw(self.width, self.height, mask).expect("there is a label for each pixel")
    }

    /// A copy in which every class that is not in `classes` is background.
    pub fn keep(&self, classes: &[usize]) -> Self {
        let table: [u8; 256] = std::array::from_fn(|class| if classes.contains(&class) { class as u8 } else { 0 });
        let labels = self.labels.iter().map(|label| table[usize::from(*label)]).collect();
        Self { labels, ..*self }
    }
}

/// Writes 255 for each label that is one of `classes`, and 0 for the others.
pub(crate) fn write_mask(labels: &[u8], classes: &[usize], mask: &mut [u8]) {
    // One class is the usual case, and a comparison is an order of magnitude quicker than a table.
    if let [class] = classes {
        let class = u8::try_from(*class).ok();
        mask.iter_mut().zip(labels).for_each(|(mask, label)| *mask = if class == Some(*label) { 255 } else { 0 });
    } else {
        let table: [u8; 256] = std::array::from_fn(|class| if classes.contains(&class) { 255 } else { 0 });
        mask.iter_mut().zip(labels).for_each(|(mask, label)| *mask = table[usize::from(*label)]);
    }
}

/// The runs of equal labels of a row: first column, column after the last, label.
pub(crate) fn runs(row: &[u8]) -> impl Iterator<Item = (u32, u32, u8)> + '_ {
    let mut start = 0;
    std::iter::from_fn(move || {
        let label = *row.get(start)?;
        let end = run_end(row, start, label);
        let run = (start as u32, end as u32, label);
        start = end;
        Some(run)
    })
}

/// Where the run that holds `start` ends. Whole blocks are compared at once: most runs are long.
fn run_end(row: &[u8], start: usize, label: u8) -> usize {
    const BLOCK: usize = 32;
    let rest = &row[start..];
    let same = |block: &&[u8]| block.iter().fold(0, |different, other| different | (other ^ label)) == 0;
    let whole = rest.chunks_exact(BLOCK).take_while(same).count() * BLOCK;
    let tail = &rest[whole..];
    start + whole + tail.iter().position(|other| *other != label).unwrap_or(tail.len())
}

/// Areas and boxes while rows are read.
struct Tally {
    area_px: [u64; 256],
    /// Left, top, right, bottom.
    corners: [[u32; 4]; 256],
}

impl Tally {
    fn new() -> Self {
        Self { area_px: [0; 256], corners: [[u32::MAX, u32::MAX, 0, 0]; 256] }
    }

    fn add_row(&mut self, row: &[u8], y: u32) {
        for (start, end, label) in runs(row) {
            let class = usize::from(label);
            self.area_px[class] += u64::from(end - start);
            let [left, top, right, bottom] = &mut self.corners[class];
            (*left, *right) = ((*left).min(start), (*right).max(end));
            (*top, *bottom) = ((*top).min(y), (*bottom).max(y + 1));
        }
    }

    fn join(mut self, other: Self) -> Self {
        for class in 0..256 {
            self.area_px[class] += other.area_px[class];
            let ([left, top, right, bottom], [l, t, r, b]) = (self.corners[class], other.corners[class]);
            self.corners[class] = [left.min(l), top.min(t), right.max(r), bottom.max(b)];
        }
        self
    }

    fn extents(&self) -> Vec<Extent> {
        let extent = |class: u8| {
            let [left, top, right, bottom] = self.corners[usize::from(class)];
            let bounds = PixelBox { x: left, y: top, width: right - left, height: bottom - top };
            Extent { class, area_px: self.area_px[usize::from(class)], bounds }
        };
        (0..=u8::MAX).filter(|class| self.area_px[usize::from(*class)] > 0).map(extent).collect()
    }
}
