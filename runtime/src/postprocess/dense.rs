//! The class of every pixel where there are about as many cells as pixels, or more: there is nothing between cells to skip, so
//! each row of pixels is worked out by the definition, which goes down first and then across.

use pulp::{Arch, Simd};
use rayon::prelude::*;

use super::cells::{Axis, Planes, larger};

/// Whether looking at what lies between cells costs more than it saves: fewer than two pixels for each square of cells.
pub(super) fn is_dense(rows: &Axis, columns: &Axis, pixels: usize) -> bool {
    rows.spans().len().saturating_mul(columns.spans().len()).saturating_mul(2) > pixels
}

/// What the rows are filled from.
struct Frame<'a> {
    planes: Planes<'a>,
    /// For each pixel of a row its two cells, and the weight of the second.
    places: Vec<([u32; 2], f32)>,
}

/// One row: a class's cells between two rows of cells, and the best class of each pixel so far.
#[derive(Clone)]
struct Row {
    cells: Vec<f32>,
    best: Vec<f32>,
    class: Vec<u32>,
}

/// Writes the class of every pixel into `labels`, row-major, `width` pixels a row.
pub(super) fn fill(planes: Planes<'_>, rows: &Axis, columns: &Axis, labels: &mut [u8], width: usize) {
    let cells = columns.spans().iter().flat_map(|span| span.pixels.clone().map(|_| span.cells.map(|cell| cell as u32)));
    let frame = Frame { planes, places: cells.zip(columns.weights(0..width).iter().copied()).collect() };
    let row = Row { cells: vec![0.0; planes.width], best: vec![0.0; width], class: vec![0; width] };
    rows.bands(labels, width).into_par_iter().for_each_with(row, |row, (span, band)| {
        for (line, &down) in band.chunks_exact_mut(width).zip(rows.weights(span.pixels.clone())) {
            fill_line(&frame, row, span.cells, down, line);
        }
    });
}

#[pulp::with_simd(fill_line = Arch::new())]
#[inline(always)]
fn fill_line_with_simd<'a, S: Simd>(
    _simd: S,
    frame: &'a Frame<'a>,
    Row { cells, best, class }: &'a mut Row,
    [top, bottom]: [usize; 2],
    down: f32,
    line: &'a mut [u8],
) {
    best.fill(f32::NEG_INFINITY);
    for index in 0..frame.planes.classes {
        let (above, below) = (frame.planes.row(index, top), frame.planes.row(index, bottom));
        for ((cell, above), below) in cells.iter_mut().zip(above).zip(below) {
            *cell = above + (below - above) * down;
        }
        for ((best, class), ([left, right], across)) in best.iter_mut().zip(class.iter_mut()).zip(&frame.places) {
            let (left, right) = (cells[*left as usize], cells[*right as usize]);
            let value = left + (right - left) * across;
            *class = if value > *best { index as u32 } else { *class };
            *best = larger(*best, value);
        }
    }
    for (label, class) in line.iter_mut().zip(class) {
        *label = *class as u8;
    }
}
