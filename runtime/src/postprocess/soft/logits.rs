//! Alphas from logits.
//!
//! **What is filled.** With chosen classes C, others N and logits v_c(x), each bilinear between four cells, alpha < 0.5 / 255
//! where `log sum over C of e^v_c - log sum over N of e^v_n < -L`, L = ln(254.5 / 0.5). The first term is convex in the
//! logits, so between cells it is at most the same mean of its values A_i at the cells. The second is at least v_n, for
//! any one n of N, which is that mean of its values at the cells. So if A_i - v_n,i < -L at all four cells i for one n, every
//! pixel between them is 0. With C and N exchanged it is 255.
//!
//! **What is computed.** In `f32` with a quick exponential, whose error is bounded for the cells at hand; a pixel nearer
//! than that to the border of two levels is computed anew in `f64` by the definition. So the result is the
//! definition's everywhere.

use pulp::{Arch, Simd};
use rayon::prelude::*;

use super::probabilities::{interpolate, level};
use super::{Alphas, ROUNDS_TO_ZERO};
use crate::postprocess::cells::{Axis, Corners, LANES, Planes, Side, larger, smaller};
use crate::postprocess::exponential::{EXP_ERROR, exp};

/// Unit roundoff of `f32`.
const ROUNDOFF: f32 = 1.0 / (1 << 24) as f32;

/// A class this far below another at all four cells is left out of sums between them: its share is below e^-15, or
/// 7.9e-5 of a level.
const NEGLIGIBLE: f32 = 15.0;
/// What leaving it out can change, in levels.
const NEGLIGIBLE_LEVELS: f32 = 7.9e-5;

/// The logits, and for each cell what the bounds need.
pub(super) struct Logits<'a> {
    planes: Planes<'a>,
    is_chosen: &'a [bool],
    cells: Vec<Cell>,
    /// `-L` of the module's text, with a reserve for the error of the sums.
    certain_below: f64,
}

/// One side of the bounds.
#[derive(Clone, Copy, Default)]
struct Group {
    /// Log of the sum of e^v over its classes.
    log_sum: f64,
    /// Its largest logit, and whose that is.
    largest: f32,
    class: u8,
}

#[derive(Clone, Copy, Default)]
struct Cell {
    chosen: Group,
    others: Group,
}

/// What one thread keeps while it works between four cells.
#[derive(Default)]
pub(super) struct Between {
    corners: Corners,
    /// Logits of the classes that matter, less the largest logit of each cell; the chosen ones first.
    classes: Vec<[f32; 4]>,
    /// How many are chosen.
    chosen: usize,
    /// By how many levels a pixel may be off, at most.
    error: f32,
    sides: Vec<Side>,
    values: Vec<[f32; LANES]>,
}

impl<'a> Logits<'a> {
    /// `is_chosen` has at least one class of each kind.
    pub(super) fn new(planes: Planes<'a>, is_chosen: &'a [bool]) -> Self {
        let mut cells = vec![Cell::default(); planes.height * planes.width];
        cells.par_chunks_exact_mut(planes.width).enumerate().for_each(|(y, row)| {
            let [others, chosen] = [false, true].map(|kind| groups(planes, y, is_chosen, kind));
            for ((cell, chosen), others) in row.iter_mut().zip(chosen).zip(others) {
                *cell = Cell { chosen, others };
            }
        });
        let certain_below = (ROUNDS_TO_ZERO / (1.0 - ROUNDS_TO_ZERO)).ln() - 1e-4;
        Self { planes, is_chosen, cells, certain_below }
    }

    /// The level of one pixel by the definition.
    #[cold]
    fn exact(&self, corners: Corners, down: f32, across: f32) -> u8 {
        let value = |class: usize| {
            interpolate(self.planes.at(class, corners).map(f64::from), f64::from(down), f64::from(across))
        };
        let largest = (0..self.planes.classes).map(value).fold(f64::NEG_INFINITY, f64::max);
        let mut sums = [0.0; 2];
        for (class, is_chosen) in self.is_chosen.iter().enumerate() {
            sums[usize::from(*is_chosen)] += (value(class) - largest).exp();
        }
        level(sums[1] / (sums[0] + sums[1]))
    }
}

/// The group of the classes whose `is_chosen` is `kind`, for each cell of a row.
#[pulp::with_simd(groups = Arch::new())]
#[inline(always)]
fn groups_with_simd<'a, S: Simd>(
    _simd: S,
    planes: Planes<'a>,
    y: usize,
    is_chosen: &'a [bool],
    kind: bool,
) -> Vec<Group> {
    let members = || (0..planes.classes).filter(|class| is_chosen[*class] == kind);
    let mut largest = vec![f32::NEG_INFINITY; planes.width];
    let mut winner = vec![0_u32; planes.width];
    for class in members() {
        for ((largest, winner), &value) in largest.iter_mut().zip(&mut winner).zip(planes.row(class, y)) {
            *winner = if value > *largest { class as u32 } else { *winner };
            *largest = larger(*largest, value);
        }
    }
    let mut sums = vec![0.0_f32; planes.width];
    for class in members() {
        for ((sum, largest), value) in sums.iter_mut().zip(&largest).zip(planes.row(class, y)) {
            *sum += exp(value - largest);
        }
    }
    let group = |((sum, largest), class): ((f32, f32), u32)| Group {
        log_sum: f64::from(largest) + f64::from(sum).ln(),
        largest,
        class: class as u8,
    };
    sums.into_iter().zip(largest).zip(winner).map(group).collect()
}

impl Alphas for Logits<'_> {
    type Between = Between;

    #[inline(always)]
    fn certain(&self, corners: Corners) -> Option<u8> {
        let cells = corners.map(|cell| &self.cells[cell]);
        // Whether some class of `against`, the winner of one of the cells, is far above all of `of` at each.
        let drowned = |of: fn(&Cell) -> Group, against: fn(&Cell) -> Group| {
            let mut tried = None;
            cells.iter().any(|cell| {
                let class = against(cell).class;
                if tried.replace(class) == Some(class) {
                    return false;
                }
                let values = self.planes.at(usize::from(class), corners);
                let below = |(cell, value): (&&Cell, f32)| of(cell).log_sum - f64::from(value) < self.certain_below;
                cells.iter().zip(values).all(below)
            })
        };
        if drowned(|cell| cell.chosen, |cell| cell.others) {
            Some(0)
        } else if drowned(|cell| cell.others, |cell| cell.chosen) {
            Some(255)
        } else {
            None
        }
    }

    #[inline(always)]
    fn enter(&self, between: &mut Between, corners: Corners) {
        let tops = corners.map(|cell| larger(self.cells[cell].chosen.largest, self.cells[cell].others.largest));
        // The softmax does not change when each cell's logits are moved by a number of its own.
        let relative = |class: usize| {
            let values = self.planes.at(class, corners);
            std::array::from_fn::<f32, 4, _>(|cell| values[cell] - tops[cell])
        };
        let smallest = |values: [f32; 4]| values.into_iter().fold(f32::INFINITY, smaller);
        let mut reference = [f32::NEG_INFINITY; 4];
        for class in 0..self.planes.classes {
            let values = relative(class);
            if smallest(values) > smallest(reference) {
                reference = values;
            }
        }
        let matters = |values: &[f32; 4]| values.iter().zip(reference).any(|(value, other)| other - value < NEGLIGIBLE);
        between.corners = corners;
        between.classes.clear();
        for kind in [true, false] {
            let members = (0..self.planes.classes).filter(|class| self.is_chosen[*class] == kind);
            between.classes.extend(members.map(relative).filter(matters));
            if kind {
                between.chosen = between.classes.len();
            }
        }
        let scale = between.classes.iter().flatten().fold(0.0, |scale, value| larger(scale, value.abs()));
        between.error = error_levels(scale, between.classes.len(), self.planes.classes);
    }

    #[inline(always)]
    fn fill_line(&self, between: &mut Between, down: f32, columns: &Axis, first: usize, line: &mut [u8]) {
        between.sides.clear();
        between.sides.extend(between.classes.iter().map(|values| Side::new(*values, down)));
        between.values.resize(between.sides.len(), [0.0; LANES]);
        for (block, at) in line.chunks_mut(LANES).zip((first..).step_by(LANES)) {
            let across = columns.block(at);
            let estimates = levels(&between.sides, between.chosen, &across, &mut between.values);
            let mut nearest = [0_u8; LANES];
            let mut unsure = false;
            for lane in 0..LANES {
                let rounded = (estimates[lane] + 0.5).floor();
                nearest[lane] = rounded as u8;
                // Half a level away from the whole number is where the next level begins.
                unsure |= (estimates[lane] - rounded).abs() > 0.5 - between.error;
            }
            block.copy_from_slice(&nearest[..block.len()]);
            if unsure {
                for (lane, pixel) in block.iter_mut().enumerate() {
                    let level = estimates[lane];
                    if (level - (level + 0.5).floor()).abs() > 0.5 - between.error {
                        *pixel = self.exact(between.corners, down, across[lane]);
                    }
                }
            }
        }
    }
}

/// How far, in levels, [`levels`] may be from the definition, for relative logits of up to `scale` and `kept` of `classes`
/// classes in the sums.
///
/// With u the unit roundoff: moving the logits costs u scale, interpolating them 10 u scale (as in the label map), taking
/// the largest off u scale, so each term of the sums is off by a factor of 1 + 12 u scale, its exponential by
/// [`EXP_ERROR`], and a sum of n terms by n u more. Terms off by a factor of up to 1 + r in either direction move the
/// logarithm of the odds by 2 r, and alpha, whose slope over it is at most 1/4, by r / 2. The division and the scaling to
/// levels are good for 4 u of 255. The reserve covers terms in u^2 and terms below e^-87.
#[inline(always)]
fn error_levels(scale: f32, kept: usize, classes: usize) -> f32 {
    const RESERVE: f32 = 1.1;
    let term = 12.0 * ROUNDOFF * scale + EXP_ERROR + ROUNDOFF * kept as f32;
    let left_out = NEGLIGIBLE_LEVELS * (classes - kept) as f32;
    RESERVE * (255.0 * (term / 2.0 + 4.0 * ROUNDOFF) + left_out)
}

/// 255 times the share of the first `chosen` classes, for a block of pixels. `values` has room for all classes.
#[inline(always)]
fn levels(sides: &[Side], chosen: usize, across: &[f32; LANES], values: &mut [[f32; LANES]]) -> [f32; LANES] {
    let mut largest = [f32::NEG_INFINITY; LANES];
    for (values, side) in values.iter_mut().zip(sides) {
        *values = side.block(across);
        for lane in 0..LANES {
            largest[lane] = larger(largest[lane], values[lane]);
        }
    }
    let sum = |values: &[[f32; LANES]]| {
        let mut sum = [0.0; LANES];
        for values in values {
            for lane in 0..LANES {
                sum[lane] += exp(values[lane] - largest[lane]);
            }
        }
        sum
    };
    let (chosen, others) = (sum(&values[..chosen]), sum(&values[chosen..]));
    std::array::from_fn(|lane| 255.0 * (chosen[lane] / (chosen[lane] + others[lane])))
}
