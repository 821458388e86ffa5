//! Clean-up: whole garments of one class each.
//!
//! Where the network is unsure between two classes, a coat falls apart into regions of coat, jacket and sweater. Here such
//! regions are merged: two connected regions (4 neighbours) become one where calling both by one class loses little probability, summed over
//! their cells, compared with the border between them that goes away. It is a greedy descent on
//!
//! ```text
//! sum over cells of (1 - p(label)) + border * (cell edges between labels) + merge * (cells of the smaller region of a pair)
//! ```
//!
//! which begins with the pair that gains most. The first two terms are a Potts model (Boykov, Veksler and Zabih, "Fast
//! Approximate Energy Minimization via Graph Cuts", 2001), merged region by region as in Koepfler, Lopez and Morel, "A
//! Multiscale Algorithm for Image Segmentation by Variational Method", 1994; the third one lets garments be whole where the
//! network is of two minds over large areas. In the end garments under a share of the photo go to their neighbours.

mod small_regions;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use ndarray::{Array3, Axis};

use crate::regions::{self, beside, longest_border};
use crate::spec::{Cleanup, OutputKind};

pub(super) use small_regions::merge_small_regions;

/// A connected region of cells of one class, and what has been merged into it.
struct Region {
    class: usize,
    /// Row-major indices into the content.
    cells: Vec<usize>,
    /// The probability of each class, summed over the cells; of the background's regions, which are only merged into, nothing.
    sums: Vec<f32>,
    /// Cell edges between it and each of its neighbours, by their index.
    borders: BTreeMap<usize, u32>,
    /// How often it has changed; [`Region::GONE`] where it is a part of another now.
    version: u32,
}

impl Region {
    const GONE: u32 = u32::MAX;
}

/// A pair of regions and what their merger gains, at the versions that they had then.
struct Merger {
    gain: f32,
    regions: [usize; 2],
    versions: [u32; 2],
    class: usize,
}

impl PartialEq for Merger {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Merger {}

impl PartialOrd for Merger {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Merger {
    /// The largest gain first, of equal ones the first pair.
    fn cmp(&self, other: &Self) -> Ordering {
        self.gain.total_cmp(&other.gain).then_with(|| other.regions.cmp(&self.regions))
    }
}

/// Merges the regions of `values`, classes x rows x columns, of which the first `content` rows and columns show the photo. In the
/// cells that change their class the values of the two classes change places, so that whatever is made of them agrees.
pub(super) fn merge_regions(
    values: &mut Array3<f32>,
    content: [usize; 2],
    kind: OutputKind,
    is_garment: &[bool],
    cleanup: Cleanup,
) {
    let before = argmax(values, content);
    let mut regions = Mergers::new(values, &before, content, kind, is_garment, cleanup);
    if regions.all.len() < 2 {
        return;
    }
    regions.merge();
    regions.drop_small(before.len());
    let columns = content[1];
    for region in regions.all.iter().filter(|region| region.version != Region::GONE) {
        for cell in region.cells.iter().filter(|cell| before[**cell] != region.class) {
            let [row, column] = [cell / columns, cell % columns];
            values.swap([before[*cell], row, column], [region.class, row, column]);
        }
    }
}

struct Mergers<'a> {
    all: Vec<Region>,
    is_garment: &'a [bool],
    cleanup: Cleanup,
    queue: BinaryHeap<Merger>,
}

impl<'a> Mergers<'a> {
    fn new(
        values: &Array3<f32>,
        labels: &[usize],
        [_, columns]: [usize; 2],
        kind: OutputKind,
        is_garment: &'a [bool],
        cleanup: Cleanup,
    ) -> Self {
        let found = regions::connected(labels, columns);
        let mut region_of = vec![0; labels.len()];
        for (index, region) in found.iter().enumerate() {
            region.cells.iter().for_each(|cell| region_of[*cell] = index);
        }
        let all = found.into_iter().enumerate().map(|(index, area)| {
            let sums = match area.class {
                0 => Vec::new(),
                _ => sums(values, &area.cells, columns, kind),
            };
            let mut borders = BTreeMap::new();
            for cell in &area.cells {
                for next in beside(*cell, labels.len(), columns).filter(|next| region_of[*next] != index) {
                    *borders.entry(region_of[next]).or_default() += 1;
                }
            }
            Region { class: area.class, cells: area.cells, sums, borders, version: 0 }
        });
        Self { all: all.collect(), is_garment, cleanup, queue: BinaryHeap::new() }
    }

    fn is_garment(&self, region: &Region) -> bool {
        self.is_garment.get(region.class).copied().unwrap_or(false)
    }

    /// What becomes of a pair, and what that gains; nothing of two regions of the background, which never touch.
    fn merger(&self, one: usize, other: usize) -> Option<Merger> {
        let [a, b] = [&self.all[one], &self.all[other]];
        let border = *a.borders.get(&other)? as f32 * self.cleanup.border_percent as f32 / 100.0;
        let (class, loss) = match (a.class, b.class) {
            (0, 0) => return None,
            // Into the background, never the other way round.
            (_, 0) => (0, a.sums[a.class] - a.sums[0]),
            (0, _) => (0, b.sums[b.class] - b.sums[0]),
            _ => {
                let together = |class: usize| a.sums[class] + b.sums[class];
                // One of the two; a third one that both find likely would be the choice of neither.
                let class = if together(a.class) >= together(b.class) { a.class } else { b.class };
                (class, a.sums[a.class] + b.sums[b.class] - together(class))
            }
        };
        let whole = match self.is_garment(a) && self.is_garment(b) {
            true => a.cells.len().min(b.cells.len()) as f32 * self.cleanup.merge_percent as f32 / 100.0,
            false => 0.0,
        };
        let regions = [one.min(other), one.max(other)];
        let versions = regions.map(|index| self.all[index].version);
        Some(Merger { gain: border + whole - loss, regions, versions, class })
    }

    fn merge(&mut self) {
        for one in 0..self.all.len() {
            for other in self.all[one].borders.keys().copied().filter(|other| *other > one).collect::<Vec<_>>() {
                self.consider(one, other);
            }
        }
        while let Some(Merger { regions: [one, other], versions, class, .. }) = self.queue.pop() {
            let is_current =
                [one, other].into_iter().zip(versions).all(|(index, version)| self.all[index].version == version);
            if is_current {
                let kept = self.join(one, other, class);
                for neighbour in self.all[kept].borders.keys().copied().collect::<Vec<_>>() {
                    self.consider(kept, neighbour);
                }
            }
        }
    }

    fn consider(&mut self, one: usize, other: usize) {
        let merger = self.merger(one, other).filter(|merger| merger.gain > 0.0);
        self.queue.extend(merger);
    }

    /// Makes one region of two, the larger one, and returns which it is.
    fn join(&mut self, one: usize, other: usize, class: usize) -> usize {
        let [kept, gone] = match self.all[one].cells.len() >= self.all[other].cells.len() {
            true => [one, other],
            false => [other, one],
        };
        let Region { cells, sums, borders, .. } = std::mem::replace(
            &mut self.all[gone],
            Region { class, cells: Vec::new(), sums: Vec::new(), borders: BTreeMap::new(), version: Region::GONE },
        );
        for (neighbour, edges) in borders.into_iter().filter(|(neighbour, _)| *neighbour != kept) {
            *self.all[kept].borders.entry(neighbour).or_default() += edges;
            let back = &mut self.all[neighbour].borders;
            back.remove(&gone);
            *back.entry(kept).or_default() += edges;
        }
        let region = &mut self.all[kept];
        region.borders.remove(&gone);
        region.cells.extend(cells);
        region.sums = match class {
            0 => Vec::new(),
            _ => region.sums.iter().zip(&sums).map(|(one, other)| one + other).collect(),
        };
        region.class = class;
        region.version += 1;
        kept
    }

    /// Gives the regions of garments that cover less than their share of `cells` to the neighbours with the longest borders.
    fn drop_small(&mut self, cells: usize) {
        let least = cells as f64 * f64::from(self.cleanup.least_ppm) / 1e6;
        let mut covered = vec![0_usize; self.is_garment.len()];
        for region in self.all.iter().filter(|region| region.version != Region::GONE) {
            if let Some(covered) = covered.get_mut(region.class) {
                *covered += region.cells.len();
            }
        }
        let small: Vec<usize> = (0..self.all.len())
            .filter(|index| {
                let region = &self.all[*index];
                region.version != Region::GONE && self.is_garment(region) && (covered[region.class] as f64) < least
            })
            .collect();
        for index in small {
            let region = &self.all[index];
            if region.version == Region::GONE {
                continue; // the neighbour that was small, too, has taken it
            }
            if let Some(neighbour) = longest_border(region.borders.iter().map(|(index, edges)| (*index, *edges))) {
                let class = self.all[neighbour].class;
                self.join(index, neighbour, class);
            }
        }
    }
}

/// The class with the largest value of each content cell, row-major; of equal ones the first.
pub(super) fn argmax(values: &Array3<f32>, [rows, columns]: [usize; 2]) -> Vec<usize> {
    let mut labels = vec![0; rows * columns];
    let mut largest = vec![f32::NEG_INFINITY; rows * columns];
    for (class, plane) in values.axis_iter(Axis(0)).enumerate() {
        for (row, line) in plane.outer_iter().take(rows).enumerate() {
            let cells = row * columns..(row + 1) * columns;
            let known = largest[cells.clone()].iter_mut().zip(&mut labels[cells]);
            for ((largest, label), value) in known.zip(line) {
                if *value > *largest {
                    (*largest, *label) = (*value, class);
                }
            }
        }
    }
    labels
}

/// The probability of each class, summed over some cells.
fn sums(values: &Array3<f32>, cells: &[usize], columns: usize, kind: OutputKind) -> Vec<f32> {
    let classes = values.dim().0;
    let mut sums = vec![0.0_f32; classes];
    let mut of_cell = vec![0.0_f32; classes];
    for cell in cells {
        let column = values.slice(ndarray::s![.., cell / columns, cell % columns]);
        of_cell.iter_mut().zip(column).for_each(|(to, value)| *to = *value);
        if kind == OutputKind::Logits {
            let largest = of_cell.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            of_cell.iter_mut().for_each(|value| *value = (*value - largest).exp());
            let total: f32 = of_cell.iter().sum();
            of_cell.iter_mut().for_each(|value| *value /= total);
        }
        sums.iter_mut().zip(&of_cell).for_each(|(sum, value)| *sum += value);
    }
    debug_assert_eq!(values.len_of(Axis(0)), sums.len());
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    const GARMENTS: [bool; 4] = [false, true, true, false];

    /// One digit for each cell, whose class has the probability 0.9; of a letter it is 0.5 for class `letter - a` and 0.45 for the
    /// garment that it is not.
    fn cleaned(rows: &[&str], cleanup: Cleanup) -> Vec<String> {
        let columns = rows[0].len();
        let mut values = Array3::from_elem((4, rows.len(), columns), 0.02);
        for (row, line) in rows.iter().enumerate() {
            for (column, letter) in line.bytes().enumerate() {
                let wavers = letter.is_ascii_lowercase();
                let class = usize::from(if wavers { letter - b'a' } else { letter - b'0' });
                if wavers {
                    values[[3 - class, row, column]] = 0.45;
                }
                values[[class, row, column]] = if wavers { 0.5 } else { 0.9 };
            }
        }
        let before: f32 = values.sum();
        let content = [rows.len(), columns];
        merge_regions(&mut values, content, OutputKind::Probabilities, &GARMENTS, cleanup);
        assert!((values.sum() - before).abs() < 1e-3, "values change places only");
        argmax(&values, content).chunks(columns).map(|row| row.iter().map(usize::to_string).collect()).collect()
    }

    const NONE: Cleanup = Cleanup { border_percent: 0, merge_percent: 0, least_ppm: 0 };

    #[test]
    fn patches_in_doubt_take_the_class_that_has_more_probability() {
        let coat = ["0bbbcc0", "0bbbcc0", "0bbbcc0"];
        let merge = Cleanup { merge_percent: 10, ..NONE };
        assert_eq!(cleaned(&coat, merge), ["0111110"; 3]);
        assert_eq!(cleaned(&coat, NONE), ["0111220"; 3]);
        // The smaller one may win where it is sure.
        assert_eq!(cleaned(&["0bbb220"; 3], merge), ["0222220"; 3]);
        // Two that are sure of themselves stay.
        assert_eq!(cleaned(&["0111220"; 3], merge), ["0111220"; 3]);
    }

    #[test]
    fn a_long_border_costs_what_a_sure_speck_is_worth() {
        // A cell of class 2 within class 1 loses 0.88 of probability and has four edges.
        let speck = ["11111", "11211", "11111"];
        assert_eq!(cleaned(&speck, Cleanup { border_percent: 23, ..NONE }), ["11111"; 3]);
        assert_eq!(cleaned(&speck, Cleanup { border_percent: 21, ..NONE }), ["11111", "11211", "11111"]);
        // Into the background as well, and a person's, but nothing grows into it.
        assert_eq!(cleaned(&["00000", "00300", "00000"], Cleanup { border_percent: 23, ..NONE }), ["00000"; 3]);
        assert_eq!(cleaned(&["11111", "11011", "11111"], Cleanup { border_percent: 99, ..NONE })[1], "11011");
    }

    #[test]
    fn garments_that_are_too_small_go_to_their_neighbours() {
        let rows = ["0000000000", "0111110020", "0111110000", "0333330000"];
        let least = Cleanup { least_ppm: 50_000, ..NONE };
        assert_eq!(cleaned(&rows, least), ["0000000000", "0111110000", "0111110000", "0333330000"]);
        // Small areas of a class that is large in all stay.
        assert_eq!(cleaned(&["0000000000", "0111110010"], least)[1], "0111110010");
    }

    #[test]
    fn one_area_alone_and_no_content_are_left() {
        assert_eq!(cleaned(&["22"], Cleanup { border_percent: 99, merge_percent: 99, least_ppm: 1_000_000 }), ["22"]);
        let mut empty = Array3::zeros((2, 0, 0));
        merge_regions(&mut empty, [0, 0], OutputKind::Logits, &[false, true], NONE);
    }
}
