//! 3 x 3 convolution of step 1 with a quarter of the multiplications.
//!
//! Winograd's F(4 x 4, 3 x 3), after Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015: the output
//! falls into tiles of 4 x 4, each of which reads 6 x 6 cells `d` of the input, and
//! `Y = A^T [(G g G^T) * (B^T d B)] A`, where `*` is by element: 36 products instead of 144. For each of the 36 points the
//! products of all channels and tiles are one matrix product. Its rounding errors are some ten times those of the direct
//! sum, a few 1e-6 of the largest value.

// Rows and columns of small matrices: an index says more than an iterator.
#![allow(clippy::needless_range_loop)]

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::cells::{CellVector, WIDEST, cell_vectors, lanes};
use super::dense::OUTPUTS;
use super::output::{Parts, Row};
use super::taps::{ConvGeometry, Tap, TapPattern};
use super::tile::{TileLayout, with_scratch};

/// Side of an output tile.
pub const TILE: usize = 4;
/// Side of an input patch.
pub const PATCH: usize = 6;
/// Points of a transformed patch.
pub const POINTS: usize = PATCH * PATCH;
/// Vectors of tiles that a unit transforms at once.
const VECTORS: usize = 3;
/// Channels below which the transforms cost more than they save.
const LEAST_CHANNELS: usize = 24;
/// Height and width below which too many lanes of a vector are no tiles.
const LEAST_SIDE: usize = 16;

/// Whether [`forward`] and [`input_gradient`] take this convolution.
pub fn suits(geometry: &ConvGeometry) -> bool {
    geometry.kernel == [3, 3]
        && geometry.stride == 1
        && geometry.dilation == 1
        && geometry.padding == [1, 1]
        && geometry.output == geometry.input
        && geometry.channels_in >= LEAST_CHANNELS
        && geometry.channels_out >= LEAST_CHANNELS
        && geometry.input.iter().all(|side| *side >= LEAST_SIDE)
}

/// As [`super::dense::forward`].
pub fn forward(geometry: &ConvGeometry, input: &[f32], weights: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let channels_in = geometry.channels_in;
    let weights = TransformedWeights::new(geometry.channels_out, channels_in, |out, channel, element| {
        weights[(out * channels_in + channel) * 9 + element]
    });
    convolve(geometry.batch, geometry.input, channels_in, &weights, bias, input)
}

/// As [`super::dense::input_gradient`]: the convolution of the gradient with the kernels turned by half a turn.
pub fn input_gradient(geometry: &ConvGeometry, gradient: &[f32], weights: &[f32]) -> Vec<f32> {
    let channels_in = geometry.channels_in;
    let weights = TransformedWeights::new(channels_in, geometry.channels_out, |out, channel, element| {
        weights[(channel * channels_in + out) * 9 + 8 - element]
    });
    convolve(geometry.batch, geometry.input, geometry.channels_out, &weights, None, gradient)
}

/// `G g G^T` of every kernel, in the order in which the products read them: block of output channels, point, input
/// channel, output channel.
struct TransformedWeights {
    values: Vec<f32>,
    outputs: usize,
    block: usize,
}

impl TransformedWeights {
    fn new(outputs: usize, channels: usize, weight: impl Fn(usize, usize, usize) -> f32 + Sync) -> Self {
        let block = POINTS * channels * OUTPUTS;
        let mut values = vec![0.0; outputs.div_ceil(OUTPUTS) * block];
        values.par_chunks_exact_mut(block).enumerate().for_each(|(at, block)| {
            let first = at * OUTPUTS;
            let count = OUTPUTS.min(outputs - first);
            for channel in 0..channels {
                let mut kernels = [[0.0; OUTPUTS]; 9];
                for (element, kernels) in kernels.iter_mut().enumerate() {
                    for (offset, kernel) in kernels[..count].iter_mut().enumerate() {
                        *kernel = weight(first + offset, channel, element);
                    }
                }
                transform_kernels(&kernels, channel, channels, block);
            }
        });
        Self { values, outputs, block }
    }
}

/// The same element of eight kernels.
type Eight = [f32; OUTPUTS];

/// One column of `G`.
#[inline(always)]
fn kernel_column([a, b, c]: [Eight; 3]) -> [Eight; PATCH] {
    let mut columns = [[0.0; OUTPUTS]; PATCH];
    for lane in 0..OUTPUTS {
        let (a, b, c) = (a[lane], b[lane], c[lane]);
        let (even, odd) = ((a + c) * (1.0 / 6.0), b * (1.0 / 6.0));
        let (near, far) = (a * (1.0 / 24.0) + c * (1.0 / 6.0), b * (1.0 / 12.0));
        columns[0][lane] = a * 0.25;
        columns[1][lane] = -even - odd;
        columns[2][lane] = -even + odd;
        columns[3][lane] = near + far;
        columns[4][lane] = near - far;
        columns[5][lane] = c;
    }
    columns
}

/// Writes the points of eight kernels to point, channel, kernel.
#[pulp::with_simd(transform_kernels = Arch::new())]
#[inline(always)]
fn transform_kernels_with_simd<'a, S: Simd>(
    _simd: S,
    kernels: &'a [Eight; 9],
    channel: usize,
    channels: usize,
    to: &'a mut [f32],
) {
    let mut half = [[[0.0; OUTPUTS]; 3]; PATCH];
    for column in 0..3 {
        let values = kernel_column([kernels[column], kernels[3 + column], kernels[6 + column]]);
        for row in 0..PATCH {
            half[row][column] = values[row];
        }
    }
    for (row, half) in half.into_iter().enumerate() {
        for (column, values) in kernel_column(half).into_iter().enumerate() {
            to[((row * PATCH + column) * channels + channel) * OUTPUTS..][..OUTPUTS].copy_from_slice(&values);
        }
    }
}

/// How the tiles of an image read it: cell `(i, j)` of the pattern is a tile, and its source has `4 x 4` phases.
fn pattern([height, width]: [usize; 2]) -> TapPattern {
    let tap = |point: usize| {
        // Element (r, s) of a patch is cell (4 i + r - 1, 4 j + s - 1) of the image.
        let [row, column] = [point / PATCH, point % PATCH].map(|at| at + TILE - 1);
        Tap { element: point, phase: [row % TILE, column % TILE], offset: [row / TILE, column / TILE] }
    };
    TapPattern {
        taps: (0..POINTS).map(tap).collect(),
        origin: [-1, -1],
        span: [2, 2],
        stride: TILE,
        source: [height, width],
        cells: [height.div_ceil(TILE), width.div_ceil(TILE)],
    }
}

fn convolve(
    batch: usize,
    size @ [height, width]: [usize; 2],
    channels: usize,
    weights: &TransformedWeights,
    bias: Option<&[f32]>,
    source: &[f32],
) -> Vec<f32> {
    let plane = height * width;
    assert_eq!(source.len(), batch * channels * plane);
    let pattern = pattern(size);
    let tiles_wanted = (2 * rayon::current_num_threads()).div_ceil(batch.max(1));
    let layout = TileLayout::fitting(&pattern, 1, pattern.cells[0].div_ceil(tiles_wanted));
    let offsets = layout.tap_offsets(&pattern);
    let lanes = lanes();
    // A part is a band of every channel: the rows of some rows of tiles.
    let parts = Parts::every(batch, weights.outputs, plane, layout.output_rows * TILE * width);
    parts.filled(|image, index, output| {
        let first_row = index * layout.output_rows;
        let rows = layout.output_rows.min(pattern.cells[0] - first_row);
        let band = Band {
            pattern: &pattern,
            layout,
            offsets: &offsets,
            vectors: cell_vectors(&layout, rows, pattern.cells[1], lanes),
            image: &source[image * channels * plane..][..channels * plane],
            channels,
            first_row,
            rows,
            weights,
            bias,
        };
        band.run(lanes, output);
    })
}

/// Some rows of tiles of one image.
struct Band<'a> {
    pattern: &'a TapPattern,
    layout: TileLayout,
    offsets: &'a [usize],
    vectors: Vec<CellVector>,
    image: &'a [f32],
    channels: usize,
    first_row: usize,
    rows: usize,
    weights: &'a TransformedWeights,
    bias: Option<&'a [f32]>,
}

impl Band<'_> {
    fn run(&self, lanes: usize, output: &mut [Row]) {
        let group = VECTORS * lanes;
        let groups = self.vectors.len().div_ceil(VECTORS);
        let patches = groups * POINTS * self.channels * group;
        with_scratch([self.layout.floats(1), patches, POINTS * OUTPUTS * group], |[tile, patches, products]| {
            for (channel, plane) in self.image.chunks_exact(self.image.len() / self.channels).enumerate() {
                self.layout.fill(self.pattern, plane, self.first_row, tile);
                Arch::new().dispatch(Transform { band: self, tile, channel, patches: &mut *patches });
            }
            for (index, vectors) in self.vectors.chunks(VECTORS).enumerate() {
                let patches = &patches[index * POINTS * self.channels * group..][..POINTS * self.channels * group];
                let (products, output) = (&mut *products, &mut *output);
                Arch::new().dispatch(Multiply { band: self, vectors, patches, products, output });
            }
        });
    }
}

/// `B^T d B` of one channel's patches, written to group, point, channel, tile.
struct Transform<'a> {
    band: &'a Band<'a>,
    tile: &'a [f32],
    channel: usize,
    patches: &'a mut [f32],
}

impl WithSimd for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { band, tile, channel, patches } = self;
        let reach = band.offsets.iter().max().copied().unwrap_or(0);
        let group = VECTORS * S::F32_LANES;
        for (index, vector) in band.vectors.iter().enumerate() {
            assert!(vector.source + reach + S::F32_LANES <= tile.len(), "a tile is too small for its vectors");
            let start = index / VECTORS * POINTS * band.channels * group + index % VECTORS * S::F32_LANES;
            assert!(start + ((POINTS - 1) * band.channels + channel) * group + S::F32_LANES <= patches.len());
            let load = |point: usize| {
                // SAFETY: the first assertion is about the largest of the offsets, and indexing checks that there is one.
                unsafe { tile.as_ptr().add(vector.source + band.offsets[point]).cast::<S::f32s>().read_unaligned() }
            };
            let mut half = [[simd.splat_f32s(0.0); PATCH]; PATCH];
            for column in 0..PATCH {
                let values = patch_column(simd, std::array::from_fn(|row| load(row * PATCH + column)));
                for row in 0..PATCH {
                    half[row][column] = values[row];
                }
            }
            for (row, half) in half.into_iter().enumerate() {
                for (column, value) in patch_column(simd, half).into_iter().enumerate() {
                    let at = start + ((row * PATCH + column) * band.channels + channel) * group;
                    // SAFETY: the second assertion is about the last point; `row * PATCH + column` is a point.
                    unsafe { patches.as_mut_ptr().add(at).cast::<S::f32s>().write_unaligned(value) };
                }
            }
        }
    }
}

/// One column of `B^T`.
#[inline(always)]
pub fn patch_column<S: Simd>(simd: S, d: [S::f32s; PATCH]) -> [S::f32s; PATCH] {
    let constant = |value: f32| simd.splat_f32s(value);
    let times = |factor: f32, a: S::f32s, b: S::f32s| simd.mul_add_e_f32s(constant(factor), a, b);
    let even = times(-4.0, d[2], d[4]);
    let odd = times(-4.0, d[1], d[3]);
    let far_even = simd.sub_f32s(d[4], d[2]);
    let far_odd = simd.sub_f32s(d[3], d[1]);
    [
        times(4.0, d[0], times(-5.0, d[2], d[4])),
        simd.add_f32s(even, odd),
        simd.sub_f32s(even, odd),
        times(2.0, far_odd, far_even),
        times(-2.0, far_odd, far_even),
        times(4.0, d[1], times(-5.0, d[3], d[5])),
    ]
}

/// One column of `A^T`.
#[inline(always)]
fn output_column<S: Simd>(simd: S, m: [S::f32s; PATCH]) -> [S::f32s; TILE] {
    let times = |factor: f32, a: S::f32s, b: S::f32s| simd.mul_add_e_f32s(simd.splat_f32s(factor), a, b);
    let (near_sum, near_difference) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let (far_sum, far_difference) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
    [
        simd.add_f32s(m[0], simd.add_f32s(near_sum, far_sum)),
        times(2.0, far_difference, near_difference),
        times(4.0, far_sum, near_sum),
        simd.add_f32s(m[5], times(8.0, far_difference, near_difference)),
    ]
}

/// The products of one group of tiles with all output channels, and `A^T m A` of each.
struct Multiply<'a, 'o> {
    band: &'a Band<'a>,
    vectors: &'a [CellVector],
    /// Point, channel, tile.
    patches: &'a [f32],
    /// Point, output channel, tile.
    products: &'a mut [f32],
    /// The band's rows, one for each output channel.
    output: &'a mut [Row<'o>],
}

impl WithSimd for Multiply<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let weights = self.band.weights;
        for (block, packed) in weights.values.chunks_exact(weights.block).enumerate() {
            match (S::REGISTER_COUNT >= 32, self.vectors.len()) {
                (true, 3) => self.products::<S, 3>(simd, packed, 0),
                (true, 2) => self.products::<S, 2>(simd, packed, 0),
                _ => (0..self.vectors.len()).for_each(|vector| self.products::<S, 1>(simd, packed, vector)),
            }
            let first = block * OUTPUTS;
            for output in first..(first + OUTPUTS).min(weights.outputs) {
                for vector in 0..self.vectors.len() {
                    self.finish(simd, output, vector);
                }
            }
        }
    }
}

impl Multiply<'_, '_> {
    #[inline(always)]
    fn products<S: Simd, const V: usize>(&mut self, simd: S, weights: &[f32], first_vector: usize) {
        let channels = self.band.channels;
        let group = VECTORS * S::F32_LANES;
        assert_eq!(self.patches.len(), POINTS * channels * group);
        assert_eq!((weights.len(), self.products.len()), (POINTS * channels * OUTPUTS, POINTS * OUTPUTS * group));
        assert!(first_vector + V <= VECTORS);
        for point in 0..POINTS {
            let mut sums = [[simd.splat_f32s(0.0); V]; OUTPUTS];
            // SAFETY: by the assertions `weights` has OUTPUTS floats and `patches` has `group` floats a point and channel, and
            // `products` has `group` floats a point and output channel. V vectors from `first_vector` on lie in a group of
            // VECTORS.
            unsafe {
                let mut weight = weights.as_ptr().add(point * channels * OUTPUTS);
                let mut patch = self.patches.as_ptr().add(point * channels * group + first_vector * S::F32_LANES);
                for _ in 0..channels {
                    let values: [S::f32s; V] = std::array::from_fn(|vector| {
                        patch.add(vector * S::F32_LANES).cast::<S::f32s>().read_unaligned()
                    });
                    for (output, sums) in sums.iter_mut().enumerate() {
                        let weight = simd.splat_f32s(*weight.add(output));
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = simd.mul_add_e_f32s(weight, value, *sum);
                        }
                    }
                    weight = weight.add(OUTPUTS);
                    patch = patch.add(group);
                }
                let to = self.products.as_mut_ptr().add(point * OUTPUTS * group + first_vector * S::F32_LANES);
                for (output, sums) in sums.into_iter().enumerate() {
                    for (vector, sum) in sums.into_iter().enumerate() {
                        to.add(output * group + vector * S::F32_LANES).cast::<S::f32s>().write_unaligned(sum);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn finish<S: Simd>(&mut self, simd: S, output: usize, vector: usize) {
        let group = VECTORS * S::F32_LANES;
        let start = output % OUTPUTS * group + vector * S::F32_LANES;
        assert!(vector < VECTORS && self.products.len() == POINTS * OUTPUTS * group);
        let load = |point: usize| {
            // SAFETY: every `point` below is under POINTS, so that OUTPUTS * group floats begin at its products; and
            // `start + S::F32_LANES` is at most OUTPUTS * group, as `vector` is under VECTORS.
            unsafe { self.products.as_ptr().add(point * OUTPUTS * group + start).cast::<S::f32s>().read_unaligned() }
        };
        let mut half = [[simd.splat_f32s(0.0); PATCH]; TILE];
        for column in 0..PATCH {
            let values = output_column(simd, std::array::from_fn(|row| load(row * PATCH + column)));
            for row in 0..TILE {
                half[row][column] = values[row];
            }
        }
        let band = self.band;
        let bias = simd.splat_f32s(band.bias.map_or(0.0, |bias| bias[output]));
        for (row, half) in half.into_iter().enumerate() {
            let columns = output_column(simd, half).map(|value| simd.add_f32s(value, bias));
            let mut cells = [[0.0_f32; TILE]; WIDEST];
            for (column, values) in columns.iter().enumerate() {
                let values: &[f32] = pulp::bytemuck::cast_slice(std::slice::from_ref(values));
                for (cell, value) in cells.iter_mut().zip(values) {
                    cell[column] = *value;
                }
            }
            let cells = &cells.as_flattened()[..TILE * S::F32_LANES];
            self.store(output, vector, row, cells);
        }
    }

    /// Writes row `row` of each of a vector's tiles: `cells` holds [`TILE`] values a tile.
    #[inline(always)]
    fn store(&mut self, output: usize, vector: usize, row: usize, cells: &[f32]) {
        let band = self.band;
        let [height, width] = band.pattern.source;
        let to = &mut self.output[output];
        let CellVector { row: mut tile_row, column: mut tile_column, pitch, .. } = self.vectors[vector];
        let mut rest = cells;
        while !rest.is_empty() && tile_row < band.rows {
            let y = tile_row * TILE + row;
            let valid = width.saturating_sub(tile_column * TILE).min(rest.len());
            if band.first_row * TILE + y < height && valid > 0 {
                to.write(y * width + tile_column * TILE, &rest[..valid]);
            }
            let to_next_row = ((pitch - tile_column).saturating_mul(TILE)).min(rest.len());
            rest = &rest[to_next_row..];
            (tile_row, tile_column) = (tile_row + 1, 0);
        }
    }
}
