//! Cells of an output grid, in the vectors in which kernels work on them.

use pulp::{Arch, Simd, WithSimd};

use super::tile::TileLayout;

/// Floats of the widest vector that is used.
pub const WIDEST: usize = 16;

/// Floats in a vector of this processor.
pub fn lanes() -> usize {
    Arch::new().dispatch(Lanes)
}

struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// Neighbouring cells, by their first.
#[derive(Clone, Copy, Debug)]
pub struct CellVector {
    /// Row of the first.
    pub row: usize,
    /// Column of the first.
    pub column: usize,
    /// Distance in the source of what the tap with offset 0 reads.
    pub source: usize,
    /// Lanes from a row's first cell to the next row's; so many that no vector gets there if each keeps to its row.
    pub pitch: usize,
}

impl CellVector {
    /// Copies these cells of `from`, `rows` rows of `width`; 0 where a lane is no cell.
    #[inline(always)]
    pub fn gather(&self, from: &[f32], [rows, width]: [usize; 2], to: &mut [f32]) {
        if self.column + to.len() <= width {
            let here = self.row * width + self.column;
            to.copy_from_slice(&from[here..here + to.len()]);
            return;
        }
        to.fill(0.0);
        let (mut row, mut column, mut rest) = (self.row, self.column, to);
        while !rest.is_empty() && row < rows {
            let valid = width.saturating_sub(column).min(rest.len());
            rest[..valid].copy_from_slice(&from[row * width + column..][..valid]);
            let to_next_row = (self.pitch - column).min(rest.len());
            rest = &mut rest[to_next_row..];
            (row, column) = (row + 1, 0);
        }
    }

    /// Calls `write(row, column, values)` for each piece of `values`, one a lane, that lies in one row.
    #[inline(always)]
    pub fn scatter(&self, [rows, width]: [usize; 2], values: &[f32], mut write: impl FnMut(usize, usize, &[f32])) {
        if self.column + values.len() <= width {
            return write(self.row, self.column, values);
        }
        let (mut row, mut column, mut rest) = (self.row, self.column, values);
        while !rest.is_empty() && row < rows {
            let valid = width.saturating_sub(column).min(rest.len());
            write(row, column, &rest[..valid]);
            let to_next_row = (self.pitch - column).min(rest.len());
            rest = &rest[to_next_row..];
            (row, column) = (row + 1, 0);
        }
    }
}

/// Vectors that cover all cells of a tile once: row by row, or across the padding between rows where that takes fewer.
pub fn cell_vectors(layout: &TileLayout, rows: usize, width: usize, lanes: usize) -> Vec<CellVector> {
    let pitch = layout.pitch;
    let flat = ((rows - 1) * pitch + width).div_ceil(lanes);
    if flat < rows * width.div_ceil(lanes) {
        let vector = |start| CellVector { row: start / pitch, column: start % pitch, source: start, pitch };
        return (0..flat).map(|index| vector(index * lanes)).collect();
    }
    (0..rows)
        .flat_map(|row| {
            let vector = move |column| CellVector { row, column, source: row * pitch + column, pitch: usize::MAX };
            (0..width).step_by(lanes).map(vector)
        })
        .collect()
}
