//! Dense convolution: forward, and the gradient of the input, which is a convolution of the output's gradient.
//!
//! Both are sums over taps ([`TapPattern`]). A register block holds [`OUTPUTS`] output channels by up to three vectors of
//! neighbouring output cells; for each input channel and tap it loads the cells' vectors once and multiplies them with
//! one weight an output channel. Nothing is unfolded: the only copy is a zero-padded tile of a few rows.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::cells::{CellVector, WIDEST, cell_vectors};
use super::output::{Parts, Row};
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
    let sizes = Sizes {
        batch: geometry.batch,
        channels: channels_in,
        outputs: geometry.channels_out,
        source: geometry.input,
        plane: geometry.output,
        stride: 1,
    };
    run(sizes, &[TapSum { pattern, weights, phase: [0, 0] }], bias, input)
}

/// The loss's gradient for the input, `(N, channels_in, H, W)`, from that for the output, `(N, channels_out, H', W')`.
pub fn input_gradient(geometry: &ConvGeometry, gradient: &[f32], weights: &[f32]) -> Vec<f32> {
    let (channels_in, elements, stride) = (geometry.channels_in, geometry.kernel_elements(), geometry.stride);
    let sizes = Sizes {
        batch: geometry.batch,
        channels: geometry.channels_out,
        outputs: channels_in,
        source: geometry.output,
        plane: geometry.input,
        stride,
    };
    let sum = |phase: [usize; 2]| {
        let pattern = geometry.input_gradient_pattern(phase);
        let weights = PackedWeights::new(channels_in, geometry.channels_out, &pattern, |out, channel, element| {
            weights[(channel * channels_in + out) * elements + element]
        });
        TapSum { pattern, weights, phase }
    };
    // A phase without taps gets no gradient.
    let phases = (0..stride * stride).map(|phase| [phase / stride, phase % stride]);
    let sums: Vec<TapSum> = phases.map(sum).filter(|sum| !sum.pattern.taps.is_empty()).collect();
    run(sizes, &sums, None, gradient)
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

/// Sizes of a whole convolution or of the gradient of its input.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    /// Channels of the source.
    channels: usize,
    /// Channels of the output.
    outputs: usize,
    /// Height and width of the source.
    source: [usize; 2],
    /// Height and width of the output.
    plane: [usize; 2],
    /// Phases of the output both ways.
    stride: usize,
}

/// A sum over taps and source channels, for one phase of the output: the pattern's cell `(i, j)` stands at
/// `(i * stride + phase[0], j * stride + phase[1])` of the output's plane.
struct TapSum {
    pattern: TapPattern,
    weights: PackedWeights,
    phase: [usize; 2],
}

fn run(sizes: Sizes, sums: &[TapSum], bias: Option<&[f32]>, source: &[f32]) -> Vec<f32> {
    assert_eq!(source.len(), sizes.batch * sizes.channels * sizes.source[0] * sizes.source[1]);
    match sums {
        [sum] if reads_in_place(sizes, &sum.pattern) => run_in_place(sizes, sum, bias, source),
        _ => run_tiled(sizes, sums, bias, source),
    }
}

/// Whether each output cell reads the source's cell at its place, and no other.
fn reads_in_place(sizes: Sizes, pattern: &TapPattern) -> bool {
    pattern.taps.len() == 1
        && pattern.stride == 1
        && sizes.stride == 1
        && pattern.origin == [0, 0]
        && pattern.cells == pattern.source
        && pattern.cells[0] * pattern.cells[1] >= WIDEST
}

/// Reads the source as it lies, in runs of cells. A part of the output is such a run of every channel.
fn run_in_place(sizes: Sizes, sum: &TapSum, bias: Option<&[f32]>, source: &[f32]) -> Vec<f32> {
    let Sizes { batch, channels, outputs, plane: [height, width], .. } = sizes;
    let plane = height * width;
    let fit = (RUN_FLOATS / channels.max(1)).clamp(3 * WIDEST, plane.max(3 * WIDEST));
    let runs = plane.div_ceil(fit).max((2 * rayon::current_num_threads()).div_ceil(batch)).min(plane / WIDEST);
    let bound = |run: usize| if run == runs { plane } else { plane * run / runs / WIDEST * WIDEST };
    let layout = TileLayout { output_rows: 1, rows: 1, pitch: plane, phase: plane, channel: plane };
    Parts::new(batch, outputs, (1..=runs).map(bound).collect()).filled(|image, run, output| {
        let start = bound(run);
        let tile = TileSum {
            weights: &sum.weights,
            bias,
            channels,
            layout,
            offsets: &[0],
            source: &source[image * channels * plane..][..channels * plane],
            rows: 1,
            width: plane,
            columns: Some([start, bound(run + 1)]),
            place: Place { stride: 1, phase: [0, 0], width: plane, first_row: 0, start },
        };
        Arch::new().dispatch(FillTile { tile, output });
    })
}

/// Copies a padded tile of the source for each phase. A part of the output is a band of rows of every channel: as many cells
/// of each phase as a tile serves.
fn run_tiled(sizes: Sizes, sums: &[TapSum], bias: Option<&[f32]>, source: &[f32]) -> Vec<f32> {
    let Sizes { batch, channels, outputs, source: [height, width], plane: [plane_height, plane_width], stride } = sizes;
    let bands_wanted = (2 * rayon::current_num_threads()).div_ceil(batch.max(1));
    let rows_of = |sum: &TapSum| {
        let most_rows = sum.pattern.cells[0].div_ceil(bands_wanted);
        TileLayout::fitting(&sum.pattern, channels, most_rows).output_rows
    };
    let band_rows = sums.iter().map(rows_of).min().unwrap_or(plane_height.div_ceil(stride));
    let layouts: Vec<(TileLayout, Vec<usize>)> = sums
        .iter()
        .map(|sum| TileLayout::with_rows(&sum.pattern, band_rows))
        .zip(sums)
        .map(|(layout, sum)| (layout, layout.tap_offsets(&sum.pattern)))
        .collect();
    let source_plane = height * width;
    let band = band_rows * stride * plane_width;
    Parts::every(batch, outputs, plane_height * plane_width, band).filled(|image, index, output| {
        let first_row = index * band_rows;
        let planes = source[image * channels * source_plane..][..channels * source_plane].chunks_exact(source_plane);
        for (sum, (layout, offsets)) in sums.iter().zip(&layouts) {
            let rows = band_rows.min(sum.pattern.cells[0].saturating_sub(first_row));
            if rows == 0 {
                continue;
            }
            with_scratch([layout.floats(channels)], |[tile]| {
                for (plane, to) in planes.clone().zip(tile.chunks_exact_mut(layout.channel)) {
                    layout.fill(&sum.pattern, plane, first_row, to);
                }
                let place = Place { stride, phase: sum.phase, width: plane_width, first_row, start: index * band };
                let tile = TileSum {
                    weights: &sum.weights,
                    bias,
                    channels,
                    layout: *layout,
                    offsets,
                    source: tile,
                    rows,
                    width: sum.pattern.cells[1],
                    columns: None,
                    place,
                };
                Arch::new().dispatch(FillTile { tile, output: &mut *output });
            });
        }
    })
}

/// Where cells stand in a part of the output.
#[derive(Clone, Copy)]
struct Place {
    stride: usize,
    phase: [usize; 2],
    /// Width of the output's plane.
    width: usize,
    /// Row of the pattern's grid that the tile begins with.
    first_row: usize,
    /// Index in the output's plane of the part's first element.
    start: usize,
}

impl Place {
    /// Index in the part of the tile's cell `(row, column)`.
    #[inline(always)]
    fn index(&self, row: usize, column: usize) -> usize {
        ((self.first_row + row) * self.stride + self.phase[0]) * self.width + column * self.stride + self.phase[1]
            - self.start
    }
}

/// The part of a [`TapSum`] that one tile holds.
#[derive(Clone, Copy)]
struct TileSum<'a> {
    weights: &'a PackedWeights,
    bias: Option<&'a [f32]>,
    channels: usize,
    layout: TileLayout,
    offsets: &'a [usize],
    source: &'a [f32],
    /// Rows and columns of the tile's cells.
    rows: usize,
    width: usize,
    /// Columns to compute of the only row, where the source is read in place.
    columns: Option<[usize; 2]>,
    place: Place,
}

/// Fills a part of the output, one row for each output channel, with the sums of a tile.
struct FillTile<'a, 'o> {
    tile: TileSum<'a>,
    output: &'a mut [Row<'o>],
}

impl WithSimd for FillTile<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tile, output } = self;
        let cells = tile.vectors(S::F32_LANES);
        let reach = tile.offsets.iter().max().copied().unwrap_or(0);
        let last = tile.channels.saturating_sub(1) * tile.layout.channel;
        for vector in &cells {
            assert!(
                last + vector.source + reach + S::F32_LANES <= tile.source.len(),
                "a tile is too small for its vectors"
            );
        }
        for (block, rows) in output.chunks_mut(OUTPUTS).enumerate() {
            let mut rows = rows.iter_mut();
            // Behind the last output channel: empty.
            let to = &mut [(); OUTPUTS].map(|()| rows.next().map(Row::zeroed).unwrap_or_default());
            let mut rest = &cells[..];
            if S::REGISTER_COUNT >= 32 {
                while let Some((three, tail)) = rest.split_first_chunk::<3>() {
                    // SAFETY: the assertion above holds for each of `cells`, with the last channel and the largest offset.
                    unsafe { tile.block(simd, block, *three, to) };
                    rest = tail;
                }
                if let Some((two, tail)) = rest.split_first_chunk::<2>() {
                    // SAFETY: as above.
                    unsafe { tile.block(simd, block, *two, to) };
                    rest = tail;
                }
            }
            for one in rest {
                // SAFETY: as above.
                unsafe { tile.block(simd, block, [*one], to) };
            }
        }
    }
}

impl TileSum<'_> {
    /// Vectors that cover all cells. Where the source is read in place the last one may overlap another, and computes the
    /// same again: there may be nothing behind the source to read.
    fn vectors(&self, lanes: usize) -> Vec<CellVector> {
        let Some([from, to]) = self.columns else {
            return cell_vectors(&self.layout, self.rows, self.width, lanes);
        };
        let pitch = self.layout.pitch;
        (from..to)
            .step_by(lanes)
            .map(|column| if column + lanes > to && to >= from + lanes { to - lanes } else { column })
            .map(|column| CellVector { row: 0, column, source: column, pitch })
            .collect()
    }

    /// The sums of a block of output channels at `cells`, to the rows of those that exist.
    ///
    /// # Safety
    /// `channel * self.layout.channel + cells.source + offset + S::F32_LANES <= self.source.len()` for each channel of the
    /// source, each of `cells` and each of `self.offsets`.
    #[inline(always)]
    unsafe fn block<S: Simd, const V: usize>(
        &self,
        simd: S,
        block: usize,
        cells: [CellVector; V],
        to: &mut [&mut [f32]; OUTPUTS],
    ) {
        let weights = self.weights.block(block);
        assert_eq!(weights.len(), self.channels * self.offsets.len() * OUTPUTS);
        let mut sums = [[simd.splat_f32s(0.0); V]; OUTPUTS];
        if let Some(bias) = self.bias {
            for (offset, sum) in sums.iter_mut().enumerate() {
                *sum = [simd.splat_f32s(bias.get(block * OUTPUTS + offset).copied().unwrap_or(0.0)); V];
            }
        }
        let mut weight = weights.as_ptr();
        let mut sources = cells.map(|cells| self.source.as_ptr().wrapping_add(cells.source));
        for _ in 0..self.channels {
            for offset in self.offsets {
                // SAFETY: each of `sources` is at `channel * self.layout.channel + cells.source`: the caller vouches for the
                // reads. `weight` advances by OUTPUTS a channel and offset, and the assertion says that there are as many.
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
        // All loops over `sums` have constant bounds: that is what keeps it in registers.
        for (sums, to) in sums.into_iter().zip(to) {
            if !to.is_empty() {
                for (cells, sum) in cells.into_iter().zip(sums) {
                    self.store::<S>(to, cells, sum);
                }
            }
        }
    }

    #[inline(always)]
    fn store<S: Simd>(&self, to: &mut [f32], cells: CellVector, sum: S::f32s) {
        let sums: &[f32] = pulp::bytemuck::cast_slice(std::slice::from_ref(&sum));
        cells.scatter([self.rows, self.width], sums, |row, column, sums| {
            let start = self.place.index(row, column);
            if self.place.stride == 1 {
                return to[start..start + sums.len()].copy_from_slice(sums);
            }
            let to = to[start..].iter_mut().step_by(self.place.stride);
            to.zip(sums).for_each(|(to, sum)| *to = *sum);
        });
    }
}
