//! Alphas from probabilities: the sum of the chosen ones over the sum of all. Sums of interpolated numbers are
//! interpolated sums, so two planes are all there is to interpolate, and `f64` costs nothing.

use super::{Alphas, ROUNDS_TO_ZERO};
use crate::postprocess::cells::{Axis, Corners, Planes};

/// Keeps the bounds clear of the rounding of `f64`.
const RESERVE: f64 = 1e-9;

/// For each cell the sums of the chosen and of all probabilities.
pub(super) struct Probabilities {
    chosen: Vec<f64>,
    all: Vec<f64>,
}

/// The two sums at four cells.
#[derive(Default)]
pub(super) struct Sums {
    chosen: [f64; 4],
    all: [f64; 4],
}

impl Probabilities {
    pub(super) fn new(planes: Planes<'_>, is_chosen: &[bool]) -> Self {
        let cells = planes.height * planes.width;
        let (mut chosen, mut all) = (vec![0.0; cells], vec![0.0; cells]);
        for (class, is_chosen) in is_chosen.iter().enumerate() {
            for y in 0..planes.height {
                let row = y * planes.width..(y + 1) * planes.width;
                let add = |sums: &mut [f64]| {
                    for (sum, value) in sums.iter_mut().zip(planes.row(class, y)) {
                        *sum += f64::from(value.max(0.0));
                    }
                };
                if *is_chosen {
                    add(&mut chosen[row.clone()]);
                }
                add(&mut all[row]);
            }
        }
        Self { chosen, all }
    }
}

/// Bilinear interpolation.
#[inline(always)]
pub(super) fn interpolate([top_left, top_right, bottom_left, bottom_right]: [f64; 4], down: f64, across: f64) -> f64 {
    let left = top_left + (bottom_left - top_left) * down;
    let right = top_right + (bottom_right - top_right) * down;
    left + (right - left) * across
}

/// The level of an alpha of 0..1.
#[inline(always)]
pub(super) fn level(alpha: f64) -> u8 {
    (255.0 * alpha + 0.5) as u8
}

impl Alphas for Probabilities {
    type Between = Sums;

    /// (sum of w_i p_i) / (sum of w_i s_i) lies between the smallest and the largest p_i / s_i.
    #[inline(always)]
    fn certain(&self, corners: Corners) -> Option<u8> {
        let sums = corners.map(|cell| (self.chosen[cell], self.all[cell]));
        if sums.iter().all(|(chosen, all)| *chosen <= (ROUNDS_TO_ZERO - RESERVE) * all) {
            Some(0)
        } else if sums.iter().all(|(chosen, all)| *chosen > (1.0 - ROUNDS_TO_ZERO + RESERVE) * all) {
            Some(255)
        } else {
            None
        }
    }

    #[inline(always)]
    fn enter(&self, between: &mut Sums, corners: Corners) {
        *between = Sums { chosen: corners.map(|cell| self.chosen[cell]), all: corners.map(|cell| self.all[cell]) };
    }

    #[inline(always)]
    fn fill_line(&self, between: &mut Sums, down: f32, columns: &Axis, first: usize, line: &mut [u8]) {
        let down = f64::from(down);
        let weights = columns.weights(first..first + line.len());
        for (pixel, &across) in line.iter_mut().zip(weights) {
            let across = f64::from(across);
            let all = interpolate(between.all, down, across);
            let chosen = interpolate(between.chosen, down, across);
            // Where nothing at all is likely, nothing is chosen.
            *pixel = if all > 0.0 { level(chosen / all) } else { 0 };
        }
    }
}
