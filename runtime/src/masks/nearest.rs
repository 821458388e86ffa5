//! For pixels the nearest one of a kind.

use rayon::prelude::*;

use super::distance::{Envelope, FAR, by_columns};

/// No pixel.
const NONE: u32 = u32::MAX;

/// What finds for a pixel, by its place row by row, the nearest one whose value is `wanted`, of several the topmost, then the
/// leftmost.
pub(crate) fn nearest(values: &[u8], width: usize, wanted: impl Fn(u8) -> bool + Sync) -> Nearest {
    let height = values.len() / width.max(1);
    let mut across = vec![FAR; values.len()];
    let mut columns = vec![NONE; values.len()];
    let rows = across.par_chunks_exact_mut(width.max(1)).zip(columns.par_chunks_exact_mut(width.max(1)));
    rows.zip(values.par_chunks_exact(width.max(1))).for_each(|((distances, columns), values)| {
        of_row(values, &wanted, distances, columns);
    });
    let places: Vec<u32> = by_columns(width, height, |envelope: &mut Envelope, x, line: &mut [u32]| {
        envelope.clear();
        for y in 0..height {
            let distance = across[y * width + x];
            if distance < FAR {
                envelope.push(y as i64, distance);
            }
        }
        line.fill(NONE);
        envelope.read(0, height as i64, |y, place, _| line[y as usize] = place as u32);
    });
    Nearest { width, rows: places, columns }
}

/// Where the nearest pixels are.
pub(crate) struct Nearest {
    width: usize,
    /// For each pixel the row of the nearest one.
    rows: Vec<u32>,
    /// For each pixel the column of the nearest one in its row.
    columns: Vec<u32>,
}

impl Nearest {
    /// The place of the one nearest to the pixel at `at`.
    pub(crate) fn of(&self, at: usize) -> Option<usize> {
        let row = Some(self.rows[at]).filter(|row| *row != NONE)? as usize;
        let column = Some(self.columns[row * self.width + at % self.width]).filter(|column| *column != NONE)?;
        Some(row * self.width + column as usize)
    }
}

fn of_row(values: &[u8], wanted: impl Fn(u8) -> bool, distances: &mut [u16], columns: &mut [u32]) {
    let mut last = None;
    for (x, value) in values.iter().enumerate() {
        if wanted(*value) {
            last = Some(x);
        }
        if let Some(column) = last {
            distances[x] = u16::try_from(x - column).unwrap_or(FAR);
            columns[x] = column as u32;
        }
    }
    last = None;
    for (x, value) in values.iter().enumerate().rev() {
        if wanted(*value) {
            last = Some(x);
        }
        if let Some(column) = last.filter(|column| column - x < usize::from(distances[x])) {
            distances[x] = u16::try_from(column - x).unwrap_or(FAR);
            columns[x] = column as u32;
        }
    }
}
