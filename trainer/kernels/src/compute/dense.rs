//! Dense convolution: forward, and the gradient of the input, which is a convolution of the output's gradient.
//!
//! Both are sums over taps ([`TapPattern`]). A register block holds [`OUTPUTS`] output channels by up to three vectors of
//! neighbouring output cells; for each input channel and tap it loads the cells' vectors once and multiplies them with
//! one weight an output channel. Nothing is unfolded: the only copy is a zero-padded tile of a few rows.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::cells::{CellVector, WIDEST, cell_vectors};
use super::memory::{SharedOutput, filled_by};
use super::taps::{ConvGeometry, TapPattern};
use super::tile::{TileLayout, with_scratch};

/// Output channels of a register block.
pub const OUTPUTS: usize = 8;

/// Floats of a run of cells that leave room in a core's second-level cache.
const RUN_FLOATS: usize = 64 * 1024;

/// `(N, channels_out, H', W')` from `(N, channels_in, H, W)`, weights `(channels_out, channels_in, KH, KW)` and an
/// optional bias `(channels_out)`.
pub fn forward(geometry: &ConvGeometry, input: &[f32], weights: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let (channels_in, elements) = (geometry.channels_in, geometry.kernel_elements());
    let pattern = geometry.forward_pattern();
    let weights = PackedWeights::new(geometry.channels_out, channels_in, &pattern, |out, channel, element| {
        weights[(out * channels_in + channel) * elements + element]
    });
    let sum = TapSum {
        pattern: &pattern,
        channels: channels_in,
        outputs: geometry.channels_out,
        weights: &weights,
        bias,
        placement: Placement { stride: 1, phase: [0, 0], plane: geometry.output },
    };
    filled_by(geometry.batch * geometry.channels_out * geometry.output_plane(), |output| {
        sum.run(geometry.batch, input, output);
    })
}

/// The loss's gradient for the input, `(N, channels_in, H, W)`, from that for the output, `(N, channels_out, H', W')`.
pub fn input_gradient(geometry: &ConvGeometry, gradient: &[f32], weights: &[f32]) -> Vec<f32> {
    let (channels_in, elements, stride) = (geometry.channels_in, geometry.kernel_elements(), geometry.stride);
    filled_by(geometry.batch * channels_in * geometry.input_plane(), |output| {
        for phase in (0..stride * stride).map(|phase| [phase / stride, phase % stride]) {
            let pattern = geometry.input_gradient_pattern(phase);
            if pattern.cells.contains(&0) {
                continue;
            }
            let weights = PackedWeights::new(channels_in, geometry.channels_out, &pattern, |out, channel, element| {
                weights[(channel * channels_in + out) * elements + element]
            });
            let sum = TapSum {
                pattern: &pattern,
                channels: geometry.channels_out,
                outputs: channels_in,
                weights: &weights,
                bias: None,
                placement: Placement { stride, phase, plane: geometry.input },
            };
            sum.run(geometry.batch, gradient, output);
        }
    })
}

/// Weights in the order in which the register block reads them: block of output channels, input channel, tap, output
/// channel; channels that do not exist have zeros.
struct PackedWeights {
    values: Vec<f32>,
    block: usize,
}

impl PackedWeights {
    fn new(
        outputs: usize,
        channels: usize,
        pattern: &TapPattern,
        weight: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        let taps = pattern.taps.len();
        let block = channels * taps * OUTPUTS;
        let mut values = vec![0.0; outputs.div_ceil(OUTPUTS) * block];
        if block > 0 {
            values.par_chunks_exact_mut(block).with_min_len(1 + 16_384 / block).enumerate().for_each(|(at, block)| {
                let first = at * OUTPUTS;
                let count = OUTPUTS.min(outputs - first);
                for channel in 0..channels {
                    for (index, tap) in pattern.taps.iter().enumerate() {
                        let to = &mut block[(channel * taps + index) * OUTPUTS..][..count];
                        for (offset, to) in to.iter_mut().enumerate() {
                            *to = weight(first + offset, channel, tap.element);
                        }
                    }
                }
            });
        }
        Self { values, block }
    }

    fn block(&self, index: usize) -> &[f32] {
        &self.values[index * self.block..][..self.block]
    }
}

/// Where a pattern's cell `(i, j)` stands in the output's plane: `(i * stride + phase[0], j * stride + phase[1])`.
#[derive(Clone, Copy)]
struct Placement {
    stride: usize,
    phase: [usize; 2],
    /// Height and width of the output.
    plane: [usize; 2],
}

impl Placement {
    fn index(&self, row: usize, column: usize) -> usize {
        (row * self.stride + self.phase[0]) * self.plane[1] + column * self.stride + self.phase[1]
    }
}

/// A whole sum over taps and source channels.
struct TapSum<'a> {
    pattern: &'a TapPattern,
    channels: usize,
    outputs: usize,
    weights: &'a PackedWeights,
    bias: Option<&'a [f32]>,
    placement: Placement,
}

impl TapSum<'_> {
    fn run(&self, batch: usize, source: &[f32], output: &SharedOutput) {
        let [height, width] = self.pattern.source;
        assert_eq!(source.len(), batch * self.channels * height * width);
        let cells = self.pattern.cells[0] * self.pattern.cells[1];
        let in_place = self.pattern.taps.len() == 1
            && self.pattern.stride == 1
            && self.placement.stride == 1
            && self.pattern.origin == [0, 0]
            && self.pattern.cells == self.pattern.source
            && cells >= WIDEST;
        if in_place { self.run_in_place(batch, source, output) } else { self.run_tiled(batch, source, output) }
    }

    /// Each output cell reads the source's cell at its place: the source is read as it lies.
    fn run_in_place(&self, batch: usize, source: &[f32], output: &SharedOutput) {
        let plane = self.pattern.cells[0] * self.pattern.cells[1];
        let fit = (RUN_FLOATS / self.channels.max(1)).clamp(3 * WIDEST, plane.max(3 * WIDEST));
        let parts = plane.div_ceil(fit).max((2 * rayon::current_num_threads()).div_ceil(batch)).min(plane / WIDEST);
        let bound = |part: usize| if part == parts { plane } else { plane * part / parts / WIDEST * WIDEST };
        let layout = TileLayout { output_rows: 1, rows: 1, pitch: plane, phase: plane, channel: plane };
        (0..batch * parts).into_par_iter().for_each(|unit| {
            let (image, part) = (unit / parts, unit % parts);
            Arch::new().dispatch(TileSum {
                sum: self,
                layout,
                offsets: &[0],
                source: &source[image * self.channels * plane..][..self.channels * plane],
                first_row: 0,
                output_rows: 1,
                width: plane,
                plane_width: plane,
                columns: Some([bound(part), bound(part + 1)]),
                output,
                output_start: image * self.outputs * plane,
            });
        });
    }

    fn run_tiled(&self, batch: usize, source: &[f32], output: &SharedOutput) {
        let [height, width] = self.pattern.source;
        let tiles_wanted = (2 * rayon::current_num_threads()).div_ceil(batch.max(1));
        let most_rows = self.pattern.cells[0].div_ceil(tiles_wanted);
        let layout = TileLayout::fitting(self.pattern, self.channels, most_rows);
        let offsets = layout.tap_offsets(self.pattern);
        let tiles = self.pattern.cells[0].div_ceil(layout.output_rows);
        let plane = height * width;
        (0..batch * tiles).into_par_iter().for_each(|unit| {
            let (image, first_row) = (unit / tiles, unit % tiles * layout.output_rows);
            let output_rows = layout.output_rows.min(self.pattern.cells[0] - first_row);
            with_scratch([layout.floats(self.channels)], |[tile]| {
                let planes = source[image * self.channels * plane..][..self.channels * plane].chunks_exact(plane);
                for (plane, to) in planes.zip(tile.chunks_exact_mut(layout.channel)) {
                    layout.fill(self.pattern, plane, first_row, to);
                }
                Arch::new().dispatch(TileSum {
                    sum: self,
                    layout,
                    offsets: &offsets,
                    source: tile,
                    first_row,
                    output_rows,
                    width: self.pattern.cells[1],
                    plane_width: self.placement.plane[1],
                    columns: None,
                    output,
                    output_start: image * self.outputs * self.placement.plane[0] * self.placement.plane[1],
                });
            });
        });
    }
}

/// The part of a [`TapSum`] that one tile holds.
struct TileSum<'a> {
    sum: &'a TapSum<'a>,
    layout: TileLayout,
    offsets: &'a [usize],
    source: &'a [f32],
    first_row: usize,
    output_rows: usize,
    /// Columns of the output grid.
    width: usize,
    plane_width: usize,
    /// Columns to compute of the only row, where the source is read in place.
    columns: Option<[usize; 2]>,
    output: &'a SharedOutput<'a>,
    output_start: usize,
}

impl WithSimd for TileSum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let cells = self.vectors(S::F32_LANES);
        let reach = self.offsets.iter().max().copied().unwrap_or(0);
        let last = self.sum.channels.saturating_sub(1) * self.layout.channel;
        for vector in &cells {
            assert!(
                last + vector.source + reach + S::F32_LANES <= self.source.len(),
                "a tile is too small for its vectors"
            );
        }
        for block in 0..self.sum.outputs.div_ceil(OUTPUTS) {
            let mut rest = &cells[..];
            if S::REGISTER_COUNT >= 32 {
                while let Some((three, tail)) = rest.split_first_chunk::<3>() {
                    // SAFETY: the assertion above covers every read of these vectors.
                    unsafe { self.block(simd, block, *three) };
                    rest = tail;
                }
                if let Some((two, tail)) = rest.split_first_chunk::<2>() {
                    // SAFETY: as above.
                    unsafe { self.block(simd, block, *two) };
                    rest = tail;
                }
            }
            for one in rest {
                // SAFETY: as above.
                unsafe { self.block(simd, block, [*one]) };
            }
        }
    }
}

impl TileSum<'_> {
    /// Vectors that cover all cells. Where the source is read in place the last one may overlap another, and computes the
    /// same again: there may be nothing behind the source to read.
    fn vectors(&self, lanes: usize) -> Vec<CellVector> {
        let Some([from, to]) = self.columns else {
            return cell_vectors(&self.layout, self.output_rows, self.width, lanes);
        };
        let pitch = self.layout.pitch;
        (from..to)
            .step_by(lanes)
            .map(|column| if column + lanes > to && to >= from + lanes { to - lanes } else { column })
            .map(|column| CellVector { row: 0, column, source: column, pitch })
            .collect()
    }

    /// # Safety
    /// Every read `channel * layout.channel + cells.source + offset ..+ lanes` lies in the source.
    #[inline(always)]
    unsafe fn block<S: Simd, const V: usize>(&self, simd: S, block: usize, cells: [CellVector; V]) {
        let first = block * OUTPUTS;
        let count = OUTPUTS.min(self.sum.outputs - first);
        let weights = self.sum.weights.block(block);
        assert_eq!(weights.len(), self.sum.channels * self.offsets.len() * OUTPUTS);
        let mut sums = [[simd.splat_f32s(0.0); V]; OUTPUTS];
        if let Some(bias) = self.sum.bias {
            for (offset, sum) in sums.iter_mut().enumerate() {
                *sum = [simd.splat_f32s(if offset < count { bias[first + offset] } else { 0.0 }); V];
            }
        }
        let mut weight = weights.as_ptr();
        let mut sources = cells.map(|cells| self.source.as_ptr().wrapping_add(cells.source));
        for _ in 0..self.sum.channels {
            for offset in self.offsets {
                // SAFETY: the caller vouches for the reads, and `weights` holds OUTPUTS floats a channel and tap.
                unsafe {
                    let values = sources.map(|source| source.add(*offset).cast::<S::f32s>().read_unaligned());
                    for (output, sum) in sums.iter_mut().enumerate() {
                        let weight = simd.splat_f32s(*weight.add(output));
                        for (sum, value) in sum.iter_mut().zip(values) {
                            *sum = simd.mul_add_e_f32s(weight, value, *sum);
                        }
                    }
                    weight = weight.add(OUTPUTS);
                }
            }
            sources = sources.map(|source| source.wrapping_add(self.layout.channel));
        }
        let plane = self.sum.placement.plane[0] * self.sum.placement.plane[1];
        // All loops over `sums` have constant bounds: that is what keeps it in registers.
        for (offset, sums) in sums.into_iter().enumerate() {
            if offset < count {
                let start = self.output_start + (first + offset) * plane;
                for (cells, sum) in cells.into_iter().zip(sums) {
                    self.store::<S>(start, cells, sum);
                }
            }
        }
    }

    #[inline(always)]
    fn store<S: Simd>(&self, start: usize, cells: CellVector, sum: S::f32s) {
        let sums: &[f32] = pulp::bytemuck::cast_slice(std::slice::from_ref(&sum));
        let placement = &self.sum.placement;
        cells.scatter([self.output_rows, self.width], sums, |row, column, sums| {
            if placement.stride == 1 {
                self.output.write(start + (self.first_row + row) * self.plane_width + column, sums);
                return;
            }
            for (index, value) in sums.iter().enumerate() {
                self.output.write(start + placement.index(self.first_row + row, column + index), &[*value]);
            }
        });
    }
}
