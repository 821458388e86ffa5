//! Gradient of a dense convolution's weights.
//!
//! `dW[o, c, tap] = sum over images and cells of dY[o, cell] * X[c, cell + tap]`: dot products along the cells. A register
//! block holds [`OUTPUTS`] output channels by three pairs of input channel and tap, or half of them where there are 16 registers,
//! and runs over all vectors of a tile.
//! The sums of a given number of threads are always added in the same order, so that a step repeats to the bit.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::cells::{CellVector, WIDEST, cell_vectors, lanes};
use super::dense::OUTPUTS;
use super::taps::{ConvGeometry, TapPattern};
use super::tile::{TileLayout, with_scratch};

/// Half the output channels: what 16 registers hold by three columns, with the columns' vectors and the gradient's. All of them by
/// one column would load 9 times for 8 multiplications, these 7 times for 12.
const HALF: usize = OUTPUTS / 2;
/// Floats of input that a unit holds at once.
const SOURCE_FLOATS: usize = 96 * 1024;
/// Vectors of one row of cells that a unit takes at once where the input is read in place.
const VECTORS_IN_PLACE: usize = 128;

/// `(channels_out, channels_in, KH, KW)` from the input `(N, channels_in, H, W)` and the loss's gradient for the output
/// `(N, channels_out, H', W')`.
pub fn weight_gradient(geometry: &ConvGeometry, input: &[f32], gradient: &[f32]) -> Vec<f32> {
    assert_eq!(input.len(), geometry.batch * geometry.channels_in * geometry.input_plane());
    assert_eq!(gradient.len(), geometry.batch * geometry.channels_out * geometry.output_plane());
    let pattern = geometry.forward_pattern();
    let columns = geometry.channels_in * pattern.taps.len();
    let blocks = geometry.channels_out.div_ceil(OUTPUTS);
    let in_place = geometry.is_pointwise() && geometry.input_plane().is_multiple_of(WIDEST);
    let job = Job { geometry, pattern: &pattern, input, gradient, columns, in_place };

    let wanted = 2 * rayon::current_num_threads();
    let block_parts = blocks.min(wanted).max(1);
    let image_parts = wanted.div_ceil(block_parts).min(geometry.batch).max(1);
    let part = |index: usize, parts: usize, all: usize| all * index / parts..all * (index + 1) / parts;
    let sums: Vec<Vec<f32>> = (0..block_parts * image_parts)
        .into_par_iter()
        .map(|unit| {
            let blocks = part(unit % block_parts, block_parts, blocks);
            let images = part(unit / block_parts, image_parts, geometry.batch);
            job.run(blocks, images)
        })
        .collect();

    let elements = geometry.kernel_elements();
    let mut weights = vec![0.0; geometry.channels_out * geometry.channels_in * elements];
    for (unit, sums) in sums.iter().enumerate() {
        let first = part(unit % block_parts, block_parts, blocks).start * OUTPUTS;
        let rows = sums.chunks_exact(columns.max(1));
        for (row, output) in rows.zip(weights.chunks_exact_mut(geometry.channels_in * elements).skip(first)) {
            for (sums, to) in row.chunks_exact(pattern.taps.len().max(1)).zip(output.chunks_exact_mut(elements)) {
                for (sum, tap) in sums.iter().zip(&pattern.taps) {
                    to[tap.element] += sum;
                }
            }
        }
    }
    weights
}

struct Job<'a> {
    geometry: &'a ConvGeometry,
    pattern: &'a TapPattern,
    input: &'a [f32],
    gradient: &'a [f32],
    /// Pairs of input channel and tap.
    columns: usize,
    in_place: bool,
}

impl Job<'_> {
    /// Sums over some images for some blocks of output channels: `OUTPUTS` rows a block, one column a channel and tap.
    fn run(&self, blocks: Range<usize>, images: Range<usize>) -> Vec<f32> {
        let mut sums = vec![0.0; blocks.len() * OUTPUTS * self.columns];
        let lanes = lanes();
        if self.in_place {
            self.run_in_place(blocks, images, lanes, &mut sums);
        } else if !self.pattern.taps.is_empty() {
            self.run_tiled(blocks, images, lanes, &mut sums);
        }
        sums
    }

    fn run_in_place(&self, blocks: Range<usize>, images: Range<usize>, lanes: usize, sums: &mut [f32]) {
        let plane = self.geometry.input_plane();
        let vectors: Vec<CellVector> = (0..plane / lanes)
            .map(|index| index * lanes)
            .map(|column| CellVector { row: 0, column, source: column, pitch: plane })
            .collect();
        let source_image = self.geometry.channels_in * plane;
        let offsets: Vec<usize> = (0..self.columns).map(|channel| channel * plane).collect();
        // A plane of few vectors takes several images at once, so that a register block has enough to do.
        let together = (VECTORS_IN_PLACE / vectors.len()).clamp(1, images.len().max(1));
        let of_block = vectors.len().min(VECTORS_IN_PLACE) * OUTPUTS * lanes;
        with_scratch([0, together * blocks.len() * of_block], |[_, gradient]| {
            for first in images.clone().step_by(together) {
                let images = first..(first + together).min(images.end);
                for vectors in vectors.chunks(VECTORS_IN_PLACE) {
                    self.interleave(blocks.clone(), images.clone(), vectors, lanes, [1, plane], 0, gradient);
                    Arch::new().dispatch(Products {
                        source: &self.input[images.start * source_image..images.end * source_image],
                        source_image,
                        offsets: &offsets,
                        vectors,
                        gradient,
                        images: images.len(),
                        blocks: blocks.len(),
                        columns: self.columns,
                        first_column: 0,
                        sums,
                    });
                }
            }
        });
    }

    /// Takes as many input channels at once as fit in the cache with all their rows, down to eight, then fewer rows.
    fn run_tiled(&self, blocks: Range<usize>, images: Range<usize>, lanes: usize, sums: &mut [f32]) {
        let pattern = self.pattern;
        let all_channels = self.geometry.channels_in;
        let of_channel = TileLayout::with_rows(pattern, pattern.cells[0]).channel;
        let at_once = (SOURCE_FLOATS / of_channel).clamp(8, all_channels.max(8)).min(all_channels);
        let layout = TileLayout::fitting(pattern, at_once, pattern.cells[0]);
        let taps = layout.tap_offsets(pattern);
        let offsets: Vec<usize> =
            (0..at_once).flat_map(|channel| taps.iter().map(move |tap| channel * layout.channel + tap)).collect();
        let whole = layout.output_rows >= pattern.cells[0];
        let fit = SOURCE_FLOATS / (at_once * layout.channel);
        let together = if whole { fit.clamp(1, images.len().max(1)) } else { 1 };
        let most_vectors = cell_vectors(&layout, layout.output_rows, pattern.cells[1], lanes).len();
        let gradient_floats = together * blocks.len() * most_vectors * OUTPUTS * lanes;
        with_scratch([layout.floats(at_once * together), gradient_floats], |[tile, gradient]| {
            for first in images.clone().step_by(together) {
                let images = first..(first + together).min(images.end);
                for first_row in (0..pattern.cells[0]).step_by(layout.output_rows) {
                    let rows = layout.output_rows.min(pattern.cells[0] - first_row);
                    let vectors = cell_vectors(&layout, rows, pattern.cells[1], lanes);
                    let grid = [rows, pattern.cells[1]];
                    self.interleave(blocks.clone(), images.clone(), &vectors, lanes, grid, first_row, gradient);
                    for first_channel in (0..all_channels).step_by(at_once) {
                        let channels = first_channel..(first_channel + at_once).min(all_channels);
                        self.fill(&layout, images.clone(), channels.clone(), first_row, tile);
                        Arch::new().dispatch(Products {
                            source: tile,
                            source_image: channels.len() * layout.channel,
                            offsets: &offsets[..channels.len() * taps.len()],
                            vectors: &vectors,
                            gradient,
                            images: images.len(),
                            blocks: blocks.len(),
                            columns: self.columns,
                            first_column: first_channel * taps.len(),
                            sums,
                        });
                    }
                }
            }
        });
    }

    fn fill(
        &self,
        layout: &TileLayout,
        images: Range<usize>,
        channels: Range<usize>,
        first_row: usize,
        tile: &mut [f32],
    ) {
        let mut tile = tile.chunks_exact_mut(layout.channel);
        let plane = self.geometry.input_plane();
        for image in images {
            let first = image * self.geometry.channels_in + channels.start;
            let planes = self.input[first * plane..][..channels.len() * plane].chunks_exact(plane);
            for (plane, to) in planes.zip(&mut tile) {
                layout.fill(self.pattern, plane, first_row, to);
            }
        }
    }

    /// Copies the gradient in the order in which the register block reads it: image, block, vector, output channel, lane;
    /// 0 where a lane is no cell.
    #[allow(clippy::too_many_arguments)]
    fn interleave(
        &self,
        blocks: Range<usize>,
        images: Range<usize>,
        vectors: &[CellVector],
        lanes: usize,
        [rows, width]: [usize; 2],
        first_row: usize,
        to: &mut [f32],
    ) {
        let plane = self.geometry.output_plane();
        let of_block = vectors.len() * OUTPUTS * lanes;
        for (index, image) in images.enumerate() {
            for (position, block) in blocks.clone().enumerate() {
                let to = &mut to[(index * blocks.len() + position) * of_block..][..of_block];
                // Plane by plane, so that the reads run on in memory.
                for output in 0..OUTPUTS {
                    let chunks = to.chunks_exact_mut(lanes).skip(output).step_by(OUTPUTS);
                    let channel = block * OUTPUTS + output;
                    if channel >= self.geometry.channels_out {
                        chunks.for_each(|to| to.fill(0.0));
                        continue;
                    }
                    let from = &self.gradient[(image * self.geometry.channels_out + channel) * plane..][..plane];
                    for (vector, to) in vectors.iter().zip(chunks) {
                        vector.gather(&from[first_row * width..], [rows, width], to);
                    }
                }
            }
        }
    }
}

/// The products of one tile.
struct Products<'a> {
    source: &'a [f32],
    /// Floats of an image in the source.
    source_image: usize,
    /// Where each column starts in an image.
    offsets: &'a [usize],
    vectors: &'a [CellVector],
    gradient: &'a [f32],
    images: usize,
    blocks: usize,
    /// Columns of all channels, and the first of these.
    columns: usize,
    first_column: usize,
    sums: &'a mut [f32],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, source_image, offsets, vectors, gradient, images, blocks, columns, first_column, sums } =
            self;
        let reach = offsets.iter().max().copied().unwrap_or(0);
        let last = vectors.iter().map(|vector| vector.source).max().unwrap_or(0);
        assert!((images - 1) * source_image + reach + last + S::F32_LANES <= source.len(), "a tile is too small");
        assert!(gradient.len() >= images * blocks * vectors.len() * OUTPUTS * S::F32_LANES);
        for (block, sums) in sums.chunks_exact_mut(OUTPUTS * columns).enumerate().take(blocks) {
            let tile = Tile { source, source_image, vectors, gradient, images, blocks, block };
            let mut column = 0;
            while column < offsets.len() {
                // SAFETY: the first assertion is about the last image, the largest offset and the largest `source`, so it holds
                // for all; the second is what `add` asks of `gradient`. `block` is under `blocks`, and two halves are OUTPUTS.
                unsafe {
                    let to = first_column + column;
                    match offsets[column..] {
                        [a, b, c, ..] if S::REGISTER_COUNT >= 32 => {
                            tile.add::<S, 3, OUTPUTS>(simd, 0, [a, b, c], to, sums);
                            column += 3;
                        }
                        // Not three of four: the last one alone would have too few sums to hide how long one takes.
                        [a, b, c, ..] if offsets.len() - column != 4 => {
                            tile.add::<S, 3, HALF>(simd, 0, [a, b, c], to, sums);
                            tile.add::<S, 3, HALF>(simd, HALF, [a, b, c], to, sums);
                            column += 3;
                        }
                        [a, b, ..] if S::REGISTER_COUNT < 32 => {
                            tile.add::<S, 2, HALF>(simd, 0, [a, b], to, sums);
                            tile.add::<S, 2, HALF>(simd, HALF, [a, b], to, sums);
                            column += 2;
                        }
                        _ => {
                            tile.add::<S, 1, OUTPUTS>(simd, 0, [offsets[column]], to, sums);
                            column += 1;
                        }
                    }
                }
            }
        }
    }
}

struct Tile<'a> {
    source: &'a [f32],
    source_image: usize,
    vectors: &'a [CellVector],
    gradient: &'a [f32],
    images: usize,
    blocks: usize,
    block: usize,
}

impl Tile<'_> {
    /// Adds the products of `O` of the block's output channels, from `first` on, with columns `column..column + V` to their sums.
    ///
    /// # Safety
    /// `first + O <= OUTPUTS`.
    /// For each image, each of `offsets` and each of `self.vectors`, `image * self.source_image + offset + vector.source +
    /// S::F32_LANES <= self.source.len()`. `self.block < self.blocks`, and `self.gradient` has `OUTPUTS * S::F32_LANES` floats
    /// for each image, block and vector.
    #[inline(always)]
    unsafe fn add<S: Simd, const V: usize, const O: usize>(
        &self,
        simd: S,
        first: usize,
        offsets: [usize; V],
        column: usize,
        sums: &mut [f32],
    ) {
        let mut products = [[simd.splat_f32s(0.0); V]; O];
        let of_block = self.vectors.len() * OUTPUTS * S::F32_LANES;
        for image in 0..self.images {
            // SAFETY: each of `sources` is at its offset of the image, and `gradient`, which advances by a vector at a time, in
            // the image's block; the caller vouches for what is read of both.
            unsafe {
                let mut gradient = self.gradient.as_ptr().add((image * self.blocks + self.block) * of_block);
                let sources = offsets.map(|offset| self.source.as_ptr().add(image * self.source_image + offset));
                for vector in self.vectors {
                    let values = sources.map(|source| source.add(vector.source).cast::<S::f32s>().read_unaligned());
                    for (output, products) in products.iter_mut().enumerate() {
                        let gradient = gradient.add((first + output) * S::F32_LANES).cast::<S::f32s>().read_unaligned();
                        for (product, value) in products.iter_mut().zip(values) {
                            *product = simd.mul_add_e_f32s(gradient, value, *product);
                        }
                    }
                    gradient = gradient.add(OUTPUTS * S::F32_LANES);
                }
            }
        }
        let columns = sums.len() / OUTPUTS;
        for (output, products) in products.into_iter().enumerate() {
            for (index, product) in products.into_iter().enumerate() {
                sums[(first + output) * columns + column + index] += simd.reduce_sum_f32s(product);
            }
        }
    }
}
