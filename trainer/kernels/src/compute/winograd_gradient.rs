//! Gradient of the weights of a 3 x 3 convolution of step 1, by Winograd's F(4 x 4, 3 x 3).
//!
//! What [`super::winograd`] computes is linear in the transformed kernels, so their gradient is, at each of the 36 points,
//! the sum over all tiles of `(A dY A^T) * (B^T d B)`, output channels by input channels; and `dg = G^T dU G`. Here the
//! channels lie side by side in memory, because the sums run over the tiles.

// Rows and columns of small matrices: an index says more than an iterator.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::cells::WIDEST;
use super::dense::OUTPUTS;
use super::taps::ConvGeometry;
use super::tile::with_scratch;
use super::winograd::{self, PATCH, POINTS, TILE, patch_column};

/// Floats of transformed tiles that stay in a core's second-level cache.
const TILE_FLOATS: usize = 192 * 1024;
/// Tiles over which a sum runs before it goes to memory.
const TILES: std::ops::RangeInclusive<usize> = 16..=96;

/// Tiles in a batch below which turning the sums back costs more than they save.
const LEAST_TILES: usize = 192;

/// Whether [`weight_gradient`] takes this convolution.
pub fn suits(geometry: &ConvGeometry) -> bool {
    let tiles = geometry.batch * geometry.input[0].div_ceil(TILE) * geometry.input[1].div_ceil(TILE);
    winograd::suits(geometry) && tiles >= LEAST_TILES
}

/// As [`super::weight_gradient::weight_gradient`], for convolutions that [`suits`] it.
pub fn weight_gradient(geometry: &ConvGeometry, input: &[f32], gradient: &[f32]) -> Vec<f32> {
    assert_eq!(input.len(), geometry.batch * geometry.channels_in * geometry.input_plane());
    assert_eq!(gradient.len(), geometry.batch * geometry.channels_out * geometry.input_plane());
    let [height, width] = geometry.input;
    let tiles = [height.div_ceil(TILE), width.div_ceil(TILE)];
    let padded = [geometry.channels_in, geometry.channels_out].map(|channels| channels.next_multiple_of(WIDEST));
    let job = Job { geometry, input, gradient, tiles, padded };
    let rows = geometry.batch * tiles[0];
    let units = rayon::current_num_threads().min(rows);
    let sums: Vec<Vec<f32>> =
        (0..units).into_par_iter().map(|unit| job.run(rows * unit / units..rows * (unit + 1) / units)).collect();

    let (channels_in, of_point) = (geometry.channels_in, padded[0] * padded[1]);
    let mut weights = vec![0.0; geometry.channels_out * channels_in * 9];
    weights.par_chunks_exact_mut(channels_in * 9).enumerate().for_each(|(output, weights)| {
        finish(weights, &sums, of_point, output * padded[0]);
    });
    weights
}

struct Job<'a> {
    geometry: &'a ConvGeometry,
    input: &'a [f32],
    gradient: &'a [f32],
    /// Tiles of an image, down and across.
    tiles: [usize; 2],
    /// Channels in and out, rounded up to whole vectors.
    padded: [usize; 2],
}

impl Job<'_> {
    /// Sums over some rows of tiles (numbered through all images): point, output channel, input channel.
    fn run(&self, rows: Range<usize>) -> Vec<f32> {
        let [channels_in, channels_out] = self.padded;
        let mut sums = vec![0.0; POINTS * channels_in * channels_out];
        let most = (TILE_FLOATS / (POINTS * (channels_in + channels_out))).clamp(*TILES.start(), *TILES.end());
        let columns = self.tiles[1] * TILE;
        let sizes = [
            PATCH * (columns + 2) * channels_in,
            TILE * columns * channels_out,
            POINTS * most * channels_in,
            POINTS * most * channels_out,
        ];
        with_scratch(sizes, |[input_rows, gradient_rows, patches, products]| {
            let mut filled = 0;
            for row in rows {
                self.fill_rows(row, input_rows, gradient_rows);
                for tile in 0..self.tiles[1] {
                    let input = &input_rows[tile * TILE * channels_in..];
                    let source = Pixels { values: input, channels: channels_in, pitch: columns + 2 };
                    Arch::new().dispatch(TransformPatch { source, most, tile: filled, to: &mut *patches });
                    let gradient = &gradient_rows[tile * TILE * channels_out..];
                    let source = Pixels { values: gradient, channels: channels_out, pitch: columns };
                    Arch::new().dispatch(TransformGradient { source, most, tile: filled, to: &mut *products });
                    filled += 1;
                    if filled == most {
                        self.add(patches, products, most, filled, &mut sums);
                        filled = 0;
                    }
                }
            }
            self.add(patches, products, most, filled, &mut sums);
        });
        sums
    }

    fn add(&self, patches: &[f32], products: &[f32], most: usize, filled: usize, sums: &mut [f32]) {
        let padded = self.padded;
        Arch::new().dispatch(AddTiles { patches, products, most, filled, padded, sums });
    }

    /// Copies what one row of tiles reads, the channels of a pixel side by side, with zeros round the image.
    fn fill_rows(&self, row: usize, input_rows: &mut [f32], gradient_rows: &mut [f32]) {
        let [height, width] = self.geometry.input;
        let plane = height * width;
        let (image, top) = (row / self.tiles[0], row % self.tiles[0] * TILE);
        let columns = self.tiles[1] * TILE;
        for (index, to) in input_rows.chunks_exact_mut((columns + 2) * self.padded[0]).enumerate() {
            let channels = self.geometry.channels_in;
            let y = (top + index).checked_sub(1).filter(|y| *y < height);
            let from = &self.input[image * channels * plane..][..channels * plane];
            turn_row(to, y.map(|y| &from[y * width..]), plane, [channels, self.padded[0]], 1, width);
        }
        for (index, to) in gradient_rows.chunks_exact_mut(columns * self.padded[1]).enumerate() {
            let channels = self.geometry.channels_out;
            let y = Some(top + index).filter(|y| *y < height);
            let from = &self.gradient[image * channels * plane..][..channels * plane];
            turn_row(to, y.map(|y| &from[y * width..]), plane, [channels, self.padded[1]], 0, width);
        }
    }
}

/// Writes a row of `width` pixels, behind `left` pixels of zeros: `to[left + x][channel] = from[channel * plane + x]`.
fn turn_row(
    to: &mut [f32],
    from: Option<&[f32]>,
    plane: usize,
    [channels, padded]: [usize; 2],
    left: usize,
    width: usize,
) {
    let Some(from) = from else { return to.fill(0.0) };
    to[..left * padded].fill(0.0);
    to[(left + width) * padded..].fill(0.0);
    let to = &mut to[left * padded..(left + width) * padded];
    for first in (0..padded).step_by(4) {
        if first + 4 <= channels {
            let rows: [&[f32]; 4] = std::array::from_fn(|offset| &from[(first + offset) * plane..][..width]);
            let quads = rows.map(|row| row.as_chunks::<4>().0);
            for at in 0..width / 4 {
                let [a, b, c, d] = quads.map(|quads| quads[at]);
                for (x, values) in (0..4).map(|x| (x, [a[x], b[x], c[x], d[x]])) {
                    to[(4 * at + x) * padded + first..][..4].copy_from_slice(&values);
                }
            }
            for x in width / 4 * 4..width {
                to[x * padded + first..][..4].copy_from_slice(&rows.map(|row| row[x]));
            }
        } else {
            for (x, to) in to.chunks_exact_mut(padded).enumerate() {
                for (offset, to) in to[first..first + 4].iter_mut().enumerate() {
                    *to = if first + offset < channels { from[(first + offset) * plane + x] } else { 0.0 };
                }
            }
        }
    }
}

/// Rows of pixels, channels side by side, from a tile's first pixel on.
#[derive(Clone, Copy)]
struct Pixels<'a> {
    values: &'a [f32],
    channels: usize,
    /// Pixels from row to row.
    pitch: usize,
}

impl Pixels<'_> {
    /// Checks that [`Pixels::load`] may read the whole of a square of `side` pixels, in vectors of `lanes` floats.
    #[inline(always)]
    fn check(&self, side: usize, lanes: usize) {
        assert!(self.channels.is_multiple_of(lanes), "channels are no whole vectors");
        assert!(((side - 1) * (self.pitch + 1) + 1) * self.channels <= self.values.len(), "a row is too short");
    }

    /// # Safety
    /// [`Pixels::check`] has passed for `S::F32_LANES` and a `side` above `row` and `column`, and `channel` is a multiple of
    /// `S::F32_LANES` under `self.channels`.
    #[inline(always)]
    unsafe fn load<S: Simd>(&self, row: usize, column: usize, channel: usize) -> S::f32s {
        let at = (row * self.pitch + column) * self.channels + channel;
        // SAFETY: `row` and `column` are at most `side - 1`, so that the pixel's channels end by the length that `check`
        // compares with `self.values.len()`; and the vector ends by the last channel, as both are multiples of the lanes.
        unsafe { self.values.as_ptr().add(at).cast::<S::f32s>().read_unaligned() }
    }
}

/// `B^T d B` of one tile, to point, tile, channel.
struct TransformPatch<'a> {
    source: Pixels<'a>,
    most: usize,
    tile: usize,
    to: &'a mut [f32],
}

impl WithSimd for TransformPatch<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, most, tile, to } = self;
        source.check(PATCH, S::F32_LANES);
        for channel in (0..source.channels).step_by(S::F32_LANES) {
            let mut half = [[simd.splat_f32s(0.0); PATCH]; PATCH];
            for column in 0..PATCH {
                // SAFETY: checked above; `row` and `column` are under the side, `channel` goes by the lanes.
                let values = std::array::from_fn(|row| unsafe { source.load::<S>(row, column, channel) });
                let values = patch_column(simd, values);
                for row in 0..PATCH {
                    half[row][column] = values[row];
                }
            }
            for (row, half) in half.into_iter().enumerate() {
                let points = patch_column(simd, half);
                store::<S>(to, row, points, [most, tile], [source.channels, channel]);
            }
        }
    }
}

/// `A dY A^T` of one tile, to point, tile, channel.
struct TransformGradient<'a> {
    source: Pixels<'a>,
    most: usize,
    tile: usize,
    to: &'a mut [f32],
}

impl WithSimd for TransformGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, most, tile, to } = self;
        source.check(TILE, S::F32_LANES);
        for channel in (0..source.channels).step_by(S::F32_LANES) {
            let mut half = [[simd.splat_f32s(0.0); TILE]; PATCH];
            for column in 0..TILE {
                // SAFETY: checked above; `row` and `column` are under the side, `channel` goes by the lanes.
                let values = std::array::from_fn(|row| unsafe { source.load::<S>(row, column, channel) });
                let values = gradient_column(simd, values);
                for row in 0..PATCH {
                    half[row][column] = values[row];
                }
            }
            for (row, half) in half.into_iter().enumerate() {
                let points = gradient_column(simd, half);
                store::<S>(to, row, points, [most, tile], [source.channels, channel]);
            }
        }
    }
}

/// One column of `A`.
#[inline(always)]
fn gradient_column<S: Simd>(simd: S, y: [S::f32s; TILE]) -> [S::f32s; PATCH] {
    let times = |factor: f32, a: S::f32s, b: S::f32s| simd.mul_add_e_f32s(simd.splat_f32s(factor), a, b);
    let (even, odd) = (simd.add_f32s(y[0], y[2]), simd.add_f32s(y[1], y[3]));
    let far_even = times(4.0, y[2], y[0]);
    let far_odd = times(4.0, y[3], y[1]);
    [
        y[0],
        simd.add_f32s(even, odd),
        simd.sub_f32s(even, odd),
        times(2.0, far_odd, far_even),
        times(-2.0, far_odd, far_even),
        y[3],
    ]
}

/// Stores row `row` of a tile's points.
#[inline(always)]
fn store<S: Simd>(
    to: &mut [f32],
    row: usize,
    points: [S::f32s; PATCH],
    [most, tile]: [usize; 2],
    [channels, channel]: [usize; 2],
) {
    for (column, value) in points.into_iter().enumerate() {
        let at = ((row * PATCH + column) * most + tile) * channels + channel;
        let values: &[f32] = pulp::bytemuck::cast_slice(std::slice::from_ref(&value));
        to[at..at + S::F32_LANES].copy_from_slice(&values[..S::F32_LANES]);
    }
}

/// Adds the products of the tiles filled so far.
struct AddTiles<'a> {
    /// Point, tile, input channel.
    patches: &'a [f32],
    /// Point, tile, output channel.
    products: &'a [f32],
    most: usize,
    filled: usize,
    padded: [usize; 2],
    sums: &'a mut [f32],
}

impl WithSimd for AddTiles<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let [channels_in, channels_out] = self.padded;
        assert!(WIDEST.is_multiple_of(S::F32_LANES) && WIDEST.is_multiple_of(OUTPUTS));
        assert!(self.filled <= self.most && channels_in.is_multiple_of(WIDEST) && channels_out.is_multiple_of(WIDEST));
        assert_eq!(self.patches.len(), POINTS * self.most * channels_in);
        assert_eq!(self.products.len(), POINTS * self.most * channels_out);
        assert_eq!(self.sums.len(), POINTS * channels_in * channels_out);
        for point in 0..POINTS {
            for output in (0..channels_out).step_by(OUTPUTS) {
                let mut channel = 0;
                while channel < channels_in {
                    // SAFETY: the assertions are what `block` asks of the buffers. `point` and `output` are in their ranges,
                    // and the channels, a multiple of the lanes, have room for V vectors: for one, as `channel` is under
                    // them and a multiple of the lanes, too.
                    unsafe {
                        if S::REGISTER_COUNT >= 32 && channel + 3 * S::F32_LANES <= channels_in {
                            self.block::<S, 3>(simd, point, output, channel);
                            channel += 3 * S::F32_LANES;
                        } else if S::REGISTER_COUNT >= 32 && channel + 2 * S::F32_LANES <= channels_in {
                            self.block::<S, 2>(simd, point, output, channel);
                            channel += 2 * S::F32_LANES;
                        } else {
                            self.block::<S, 1>(simd, point, output, channel);
                            channel += S::F32_LANES;
                        }
                    }
                }
            }
        }
    }
}

impl AddTiles<'_> {
    /// # Safety
    /// `point < POINTS`, `output + OUTPUTS <= channels_out` and `channel + V * S::F32_LANES <= channels_in`, which are
    /// `self.padded`; `self.filled <= self.most`; and the buffers have POINTS times `self.most * channels_in` (patches),
    /// `self.most * channels_out` (products) and `channels_out * channels_in` floats (sums).
    #[inline(always)]
    unsafe fn block<S: Simd, const V: usize>(&mut self, simd: S, point: usize, output: usize, channel: usize) {
        let [channels_in, channels_out] = self.padded;
        let mut sums = [[simd.splat_f32s(0.0); V]; OUTPUTS];
        // SAFETY: `patch` and `product` advance by a tile at a time, `self.filled` times, within the `self.most` tiles of the
        // point; `to` is at the point's sums of this output channel. The caller vouches for the channels behind them.
        unsafe {
            let mut patch = self.patches.as_ptr().add(point * self.most * channels_in + channel);
            let mut product = self.products.as_ptr().add(point * self.most * channels_out + output);
            for _ in 0..self.filled {
                let values: [S::f32s; V] =
                    std::array::from_fn(|vector| patch.add(vector * S::F32_LANES).cast::<S::f32s>().read_unaligned());
                for (output, sums) in sums.iter_mut().enumerate() {
                    let factor = simd.splat_f32s(*product.add(output));
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = simd.mul_add_e_f32s(factor, value, *sum);
                    }
                }
                patch = patch.add(channels_in);
                product = product.add(channels_out);
            }
            let to = self.sums.as_mut_ptr().add((point * channels_out + output) * channels_in + channel);
            for (output, sums) in sums.into_iter().enumerate() {
                for (vector, sum) in sums.into_iter().enumerate() {
                    let to = to.add(output * channels_in + vector * S::F32_LANES).cast::<S::f32s>();
                    to.write_unaligned(simd.add_f32s(to.read_unaligned(), sum));
                }
            }
        }
    }
}

/// `G^T dU G` of one output channel: `start` is where its input channels begin in a point's sums.
fn finish(weights: &mut [f32], sums: &[Vec<f32>], of_point: usize, start: usize) {
    for (channel, kernel) in weights.as_chunks_mut::<9>().0.iter_mut().enumerate() {
        let mut points = [0.0_f32; POINTS];
        for sums in sums {
            for (point, value) in points.iter_mut().enumerate() {
                *value += sums[point * of_point + start + channel];
            }
        }
        let mut half = [[0.0; PATCH]; 3];
        for column in 0..PATCH {
            let values = kernel_gradient(std::array::from_fn(|row| points[row * PATCH + column]));
            for row in 0..3 {
                half[row][column] = values[row];
            }
        }
        for (row, half) in half.into_iter().enumerate() {
            kernel[3 * row..3 * row + 3].copy_from_slice(&kernel_gradient(half));
        }
    }
}

/// One column of `G^T`.
#[inline(always)]
fn kernel_gradient(u: [f32; PATCH]) -> [f32; 3] {
    let (near, far) = ((u[1] + u[2]) * (1.0 / 6.0), u[3] + u[4]);
    [
        u[0] * 0.25 - near + far * (1.0 / 24.0),
        (u[2] - u[1]) * (1.0 / 6.0) + (u[3] - u[4]) * (1.0 / 12.0),
        far * (1.0 / 6.0) - near + u[5],
    ]
}
