//! The class of every pixel, at the price of a look at every cell and of arithmetic along the borders.
//!
//! A bilinear interpolation is a convex combination of its four corners. So where they agree on the class, all pixels
//! between them have it; and elsewhere only classes whose largest corner reaches every other class's smallest corner can
//! win. Both hold for exact arithmetic. The definition is in `f32`, and the results are to be the same to the pixel, so
//! both keep a distance (`slack`) that its rounding cannot bridge.

use pulp::{Arch, Simd};
use rayon::prelude::*;

use super::cells::{Axis, Corners, Fill, LANES, Planes, Side, Span, larger, smaller};

/// By how much rounding can change the difference of two interpolated values: with numbers of up to `scale` and a unit
/// roundoff u of 2^-24, `a + (b - a) * t` is off by at most (2 + 2 + 1) u scale, two of them one after the other by
/// 10 u scale (and terms in u^2), the difference of two classes by 20 u scale. The rest is reserve.
#[inline(always)]
fn slack(scale: f32) -> f32 {
    const RATIO: f32 = 24.0 / (1 << 24) as f32;
    scale * RATIO + f32::MIN_POSITIVE
}

/// The winner of a cell.
#[derive(Clone, Copy)]
struct Winner {
    class: u8,
    /// How far it is ahead of the second.
    lead: f32,
    /// The largest magnitude of any class.
    scale: f32,
}

/// What the rows are filled from.
struct Frame<'a> {
    planes: Planes<'a>,
    winners: Vec<Winner>,
    columns: &'a Axis,
    rows: &'a Axis,
    width: usize,
}

/// Writes the class of every pixel into `labels`, row-major, `width` pixels a row.
pub(super) fn fill(planes: Planes<'_>, rows: &Axis, columns: &Axis, labels: &mut [u8], width: usize) {
    let none = Winner { class: 0, lead: 0.0, scale: 0.0 };
    let mut winners = vec![none; planes.height * planes.width];
    winners.par_chunks_exact_mut(planes.width).enumerate().for_each(|(y, row)| find_winners(planes, y, row));
    let frame = Frame { planes, winners, columns, rows, width };
    rows.bands(labels, width).into_par_iter().for_each(|(span, band)| fill_band(&frame, span, band));
}

#[pulp::with_simd(find_winners = Arch::new())]
#[inline(always)]
fn find_winners_with_simd<'a, S: Simd>(_simd: S, planes: Planes<'a>, y: usize, row: &'a mut [Winner]) {
    let mut best = vec![f32::NEG_INFINITY; row.len()];
    let mut second = vec![f32::NEG_INFINITY; row.len()];
    let mut scale = vec![0.0_f32; row.len()];
    let mut class = vec![0_u32; row.len()];
    for index in 0..planes.classes {
        let state = best.iter_mut().zip(&mut second).zip(&mut scale).zip(&mut class);
        for ((((best, second), scale), class), &value) in state.zip(planes.row(index, y)) {
            *scale = larger(*scale, value.abs());
            *second = larger(*second, smaller(*best, value));
            *class = if value > *best { index as u32 } else { *class };
            *best = larger(*best, value);
        }
    }
    for (x, winner) in row.iter_mut().enumerate() {
        *winner = Winner { class: class[x] as u8, lead: best[x] - second[x], scale: scale[x] };
    }
}

/// A class that may win between four cells, and its values there.
struct Candidate {
    class: u32,
    values: [f32; 4],
}

/// Labels the rows of a band, all between the same two rows of cells.
#[pulp::with_simd(fill_band = Arch::new())]
#[inline(always)]
fn fill_band_with_simd<'a, S: Simd>(_simd: S, frame: &'a Frame<'a>, row: &'a Span, band: &'a mut [u8]) {
    let width = frame.width;
    let mut candidates = Vec::with_capacity(frame.planes.classes);
    let mut sides = Vec::with_capacity(frame.planes.classes);
    let mut fill = Fill::default();
    for column in frame.columns.spans() {
        let corners = frame.planes.corners(row.cells, column.cells);
        let winners = corners.map(|cell| frame.winners[cell]);
        let slack = slack(winners.iter().fold(0.0, |scale, winner| larger(scale, winner.scale)));
        let class = winners[0].class;
        if winners.iter().all(|winner| winner.class == class && winner.lead > slack) {
            fill.add(column.pixels.clone(), class, band, width);
            continue;
        }
        collect_candidates(&frame.planes, corners, slack, &mut candidates);
        let downs = frame.rows.weights(row.pixels.clone());
        for (line, &down) in band.chunks_exact_mut(width).zip(downs) {
            sides.clear();
            sides.extend(candidates.iter().map(|it: &Candidate| (it.class, Side::new(it.values, down))));
            fill_line(&sides, frame.columns, column.pixels.start, &mut line[column.pixels.clone()]);
        }
    }
    fill.flush(band, width);
}

#[inline(always)]
fn collect_candidates(planes: &Planes<'_>, corners: Corners, slack: f32, candidates: &mut Vec<Candidate>) {
    let smallest = |values: [f32; 4]| values.into_iter().fold(f32::INFINITY, smaller);
    let largest = |values: [f32; 4]| values.into_iter().fold(f32::NEG_INFINITY, larger);
    let each = || (0..planes.classes).map(|class| planes.at(class, corners));
    let reached_by_someone = each().map(smallest).fold(f32::NEG_INFINITY, larger);
    candidates.clear();
    let may_win = each().zip(0..).filter(|(values, _)| largest(*values) + slack >= reached_by_someone);
    candidates.extend(may_win.map(|(values, class)| Candidate { class, values }));
}

#[inline(always)]
fn fill_line(sides: &[(u32, Side)], columns: &Axis, first: usize, line: &mut [u8]) {
    for (block, at) in line.chunks_mut(LANES).zip((first..).step_by(LANES)) {
        let across = columns.block(at);
        let mut best = [f32::NEG_INFINITY; LANES];
        let mut class = [0_u32; LANES];
        for &(index, side) in sides {
            let values = side.block(&across);
            for lane in 0..LANES {
                class[lane] = if values[lane] > best[lane] { index } else { class[lane] };
                best[lane] = larger(best[lane], values[lane]);
            }
        }
        // An array first: a copy of a known length is quicker than a loop over what may be shorter.
        let labels = class.map(|class| class as u8);
        if let Ok(whole) = <&mut [u8; LANES]>::try_from(&mut *block) {
            *whole = labels;
        } else {
            block.copy_from_slice(&labels[..block.len()]);
        }
    }
}
