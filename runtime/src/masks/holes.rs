//! Holes of masks.

use super::areas::{Areas, Run};
use crate::postprocess::{Extent, PixelBox};

/// Fills the holes of the chosen classes with them: see [`MaskOptions::fill_holes`](super::MaskOptions::fill_holes).
/// `extents` are those of `labels`.
pub(super) fn fill(labels: &mut [u8], width: usize, extents: &[Extent], is_chosen: &[bool; 256]) {
    let mut holes = Vec::new();
    for extent in extents.iter().filter(|extent| is_chosen[usize::from(extent.class)]) {
        holes.extend(holes_of(labels, width, extent));
    }
    // The smallest is painted last; of two of one size that of the first class.
    holes.sort_by_key(|hole| std::cmp::Reverse((hole.pixels, hole.class)));
    let mut filled: Vec<(usize, u8)> = Vec::new();
    for hole in holes {
        for run in hole.runs {
            let row = run.row as usize * width;
            let pixels = row + run.start as usize..row + run.end as usize;
            filled.extend(pixels.filter(|at| !is_chosen[usize::from(labels[*at])]).map(|at| (at, hole.class)));
        }
    }
    // Painted at the end, so that what is filled does not keep a smaller hole from being seen as one.
    for (at, class) in filled {
        labels[at] = class;
    }
}

struct Hole {
    class: u8,
    pixels: u64,
    runs: Vec<Run>,
}

/// The areas without a class that do not reach out of its box: what does, reaches the edge of the photo.
fn holes_of(labels: &[u8], width: usize, extent: &Extent) -> Vec<Hole> {
    let PixelBox { x, y, width: across, height: down } = extent.bounds;
    let mut runs = Vec::new();
    for row in y..y + down {
        let line = &labels[row as usize * width + x as usize..][..across as usize];
        let mut start = 0;
        // Within a row, what is between two stretches of the class.
        while start < line.len() {
            let is_class = line[start] == extent.class;
            let length = line[start..].iter().take_while(|label| (**label == extent.class) == is_class).count();
            if !is_class {
                runs.push(Run { row, start: x + start as u32, end: x + (start + length) as u32, key: 0 });
            }
            start += length;
        }
    }
    let areas = Areas::new(runs, false);
    let mut is_open = vec![false; areas.runs.len()];
    for (run, first) in areas.runs.iter().zip(&areas.first) {
        if run.start == x || run.end == x + across || run.row == y || run.row == y + down - 1 {
            is_open[*first as usize] = true;
        }
    }
    let mut place = vec![usize::MAX; areas.runs.len()];
    let mut holes: Vec<Hole> = Vec::new();
    for (run, first) in areas.runs.iter().zip(&areas.first) {
        let first = *first as usize;
        if is_open[first] {
            continue;
        }
        if place[first] == usize::MAX {
            place[first] = holes.len();
            holes.push(Hole { class: extent.class, pixels: areas.pixels[first], runs: Vec::new() });
        }
        holes[place[first]].runs.push(*run);
    }
    holes
}
