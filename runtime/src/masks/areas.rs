//! Connected areas of a label map, told by its runs: stretches of a row with one label.

use rayon::prelude::*;

use crate::postprocess::runs;
use crate::regions::forest::root;

/// A stretch of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) row: u32,
    /// First column.
    pub(super) start: u32,
    /// Column after the last.
    pub(super) end: u32,
    /// What makes runs parts of one area, beside being neighbours.
    pub(super) key: u8,
}

/// Runs in the order of their rows and columns, and the areas that they form.
pub(super) struct Areas {
    pub(super) runs: Vec<Run>,
    /// For each run the first run of its area.
    pub(super) first: Vec<u32>,
    /// For the first run of each area its pixels; 0 for all others.
    pub(super) pixels: Vec<u64>,
}

impl Areas {
    /// Joins runs of one key that are neighbours: by an edge, or by a corner too. `runs` are in order, without gaps between
    /// rows that would hide neighbours.
    pub(super) fn new(runs: Vec<Run>, by_corners: bool) -> Self {
        let mut parents: Vec<u32> = (0..runs.len() as u32).collect();
        let reach = u32::from(by_corners);
        // The runs of the row above.
        let (mut above, mut above_end) = (0, 0);
        let mut row_start = 0;
        for index in 0..runs.len() {
            let run = runs[index];
            if runs[row_start].row != run.row {
                let is_next = runs[row_start].row + 1 == run.row;
                (above, above_end) = if is_next { (row_start, index) } else { (index, index) };
                row_start = index;
            }
            while above < above_end && runs[above].end + reach <= run.start {
                above += 1;
            }
            let mut other = above;
            while other < above_end && runs[other].start < run.end + reach {
                if runs[other].key == run.key {
                    join(&mut parents, other as u32, index as u32);
                }
                other += 1;
            }
        }
        let mut pixels = vec![0; runs.len()];
        for (index, run) in runs.iter().enumerate() {
            let root = root(&mut parents, index as u32);
            pixels[root as usize] += u64::from(run.end - run.start);
        }
        Self { runs, first: parents, pixels }
    }
}

/// The smallest run of an area stands for it.
fn join(parents: &mut [u32], one: u32, other: u32) {
    let (one, other) = (root(parents, one), root(parents, other));
    parents[one.max(other) as usize] = one.min(other);
}

/// How many pixels each label has.
pub(super) fn counts(labels: &[u8]) -> [u64; 256] {
    const PART: usize = 1 << 18;
    let count = |part: &[u8]| {
        let mut counts = [0_u64; 256];
        for (start, end, label) in runs(part) {
            counts[usize::from(label)] += u64::from(end - start);
        }
        counts
    };
    let add = |one: [u64; 256], other: [u64; 256]| std::array::from_fn(|label| one[label] + other[label]);
    labels.par_chunks(PART).map(count).reduce(|| [0; 256], add)
}

/// Makes all pieces of the chosen classes background but the largest of each.
pub(super) fn keep_largest(labels: &mut [u8], width: usize, is_chosen: &[bool; 256]) {
    let of_row = |(row, line): (usize, &[u8])| {
        let chosen = runs(line).filter(|(.., key)| is_chosen[usize::from(*key)]);
        chosen.map(|(start, end, key)| Run { row: row as u32, start, end, key }).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<Run>> = labels.par_chunks_exact(width).enumerate().map(of_row).collect();
    let areas = Areas::new(rows.concat(), true);
    let mut largest = [None; 256];
    for (index, (run, &pixels)) in areas.runs.iter().zip(&areas.pixels).enumerate() {
        let best = &mut largest[usize::from(run.key)];
        if pixels > best.map_or(0, |(most, _)| most) {
            *best = Some((pixels, index as u32));
        }
    }
    for (run, first) in areas.runs.iter().zip(&areas.first) {
        if largest[usize::from(run.key)].is_none_or(|(_, kept)| kept != *first) {
            let row = run.row as usize * width;
            labels[row + run.start as usize..row + run.end as usize].fill(0);
        }
    }
}
