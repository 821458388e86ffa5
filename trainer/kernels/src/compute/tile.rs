//! Zero-padded, phase-split copies of a few rows of a tensor, small enough to stay in a core's cache.

use std::cell::RefCell;

use super::taps::TapPattern;

/// Floats of a tile that leave room in a core's second-level cache.
const TILE_FLOATS: usize = 96 * 1024;
/// Floats behind every tile that kernels may read and ignore: a vector that starts at the last cell.
pub const SLACK: usize = 32;

/// Layout of a tile: for each channel, for each phase, `rows` rows of `pitch` cells.
#[derive(Clone, Copy, Debug)]
pub struct TileLayout {
    /// Output rows that the tile serves.
    pub output_rows: usize,
    /// Rows of a phase.
    pub rows: usize,
    /// Cells of a row of a phase.
    pub pitch: usize,
    /// Distance between phases.
    pub phase: usize,
    /// Distance between channels.
    pub channel: usize,
}

impl TileLayout {
    /// For as many output rows as fit in the cache with `channels` channels, at least one and at most `most_rows`.
    pub fn fitting(pattern: &TapPattern, channels: usize, most_rows: usize) -> Self {
        let pitch = pattern.cells[1] + pattern.span[1];
        let phases = pattern.stride * pattern.stride;
        let row = channels.max(1) * phases * pitch;
        // At least as many rows as are read twice: copying those costs more than a tile that leaves the cache.
        let fit = (TILE_FLOATS / row.max(1)).saturating_sub(pattern.span[0]).max(2 * pattern.span[0]).max(1);
        let parts = pattern.cells[0].div_ceil(fit).max(1);
        Self::with_rows(pattern, pattern.cells[0].div_ceil(parts).min(most_rows).max(1))
    }

    /// For `output_rows` output rows.
    pub fn with_rows(pattern: &TapPattern, output_rows: usize) -> Self {
        let rows = output_rows + pattern.span[0];
        let pitch = pattern.cells[1] + pattern.span[1];
        let phase = rows * pitch;
        Self { output_rows, rows, pitch, phase, channel: phase * pattern.stride * pattern.stride }
    }

    /// Floats that `channels` channels take, with the slack.
    pub fn floats(&self, channels: usize) -> usize {
        channels * self.channel + SLACK
    }

    /// Distance of each tap's first read from the channel's start.
    pub fn tap_offsets(&self, pattern: &TapPattern) -> Vec<usize> {
        (pattern.taps.iter())
            .map(|tap| {
                let phase = tap.phase[0] * pattern.stride + tap.phase[1];
                phase * self.phase + tap.offset[0] * self.pitch + tap.offset[1]
            })
            .collect()
    }

    /// Copies what output rows from `first_row` on read of one channel. `to` holds [`TileLayout::channel`] floats.
    pub fn fill(&self, pattern: &TapPattern, plane: &[f32], first_row: usize, to: &mut [f32]) {
        // Not for wider vectors: what the compiler makes of the loops below for AVX-512 is half as fast.
        match pattern.stride {
            1 => self.fill_phases::<1>(pattern, plane, first_row, to),
            2 => self.fill_phases::<2>(pattern, plane, first_row, to),
            4 => self.fill_phases::<4>(pattern, plane, first_row, to),
            stride => unreachable!("no network has a convolution of step {stride}"),
        }
    }

    fn fill_phases<const S: usize>(&self, pattern: &TapPattern, plane: &[f32], first_row: usize, to: &mut [f32]) {
        let [height, width] = pattern.source.map(|cells| cells as i64);
        for (phase_y, to) in to[..S * S * self.phase].chunks_exact_mut(S * self.phase).enumerate() {
            for row in 0..self.rows {
                let y = (first_row as i64 + pattern.origin[0] + row as i64) * S as i64 + phase_y as i64;
                let mut phases = to.chunks_exact_mut(self.phase);
                let mut phases: [&mut [f32]; S] = std::array::from_fn(|_| match phases.next() {
                    Some(phase) => &mut phase[row * self.pitch..][..self.pitch],
                    None => unreachable!("there are S phases"),
                });
                if y < 0 || y >= height {
                    phases.iter_mut().for_each(|phase| phase.fill(0.0));
                } else {
                    fill_row(&mut phases, &plane[(y * width) as usize..][..width as usize], pattern.origin[1]);
                }
            }
        }
    }
}

/// `phases[p][q] = from[(origin + q) * S + p]`, 0 outside.
#[inline(always)]
fn fill_row<const S: usize>(phases: &mut [&mut [f32]; S], from: &[f32], origin: i64) {
    let pitch = phases[0].len();
    let left = ((-origin).max(0) as usize).min(pitch);
    let from = from.get(origin.max(0) as usize * S..).unwrap_or_default();
    let (whole, rest) = from.as_chunks::<S>();
    let inside = whole.len().min(pitch - left);
    for phase in phases.iter_mut() {
        phase[..left].fill(0.0);
        phase[left + inside..].fill(0.0);
    }
    if let [phase] = &mut phases[..] {
        phase[left..left + inside].copy_from_slice(&from[..inside]);
        return;
    }
    let mut inner: [&mut [f32]; S] = phases.each_mut().map(|phase| &mut phase[left..left + inside]);
    for (at, cells) in whole[..inside].iter().enumerate() {
        for (phase, cell) in inner.iter_mut().zip(cells) {
            phase[at] = *cell;
        }
    }
    if left + inside < pitch && inside == whole.len() {
        for (phase, cell) in phases.iter_mut().zip(rest) {
            phase[left + inside] = *cell;
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Lends `work` this thread's buffers of at least these sizes; what they hold is anything. They are kept for the next
/// call, so that a step allocates none.
pub fn with_scratch<const N: usize, R>(floats: [usize; N], work: impl FnOnce([&mut [f32]; N]) -> R) -> R {
    let mut buffers = SCRATCH.with(|kept| std::mem::take(&mut *kept.borrow_mut()));
    if buffers.len() < N {
        buffers.resize_with(N, Vec::new);
    }
    for (buffer, floats) in buffers.iter_mut().zip(floats) {
        if buffer.len() < floats {
            buffer.resize(floats, 0.0);
        }
    }
    let mut lent = buffers.iter_mut();
    let result = work(floats.map(|floats| match lent.next() {
        Some(buffer) => &mut buffer[..floats],
        None => unreachable!("there are at least N buffers"),
    }));
    SCRATCH.with(|kept| *kept.borrow_mut() = buffers);
    result
}
