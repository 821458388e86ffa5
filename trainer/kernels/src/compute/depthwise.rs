//! Depthwise convolution: each channel has a kernel of its own. Forward and both gradients, straight along the rows.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::cells::{CellVector, cell_vectors, lanes};
use super::output::{Row, filled_planes};
use super::taps::{ConvGeometry, TapPattern};
use super::tile::{SLACK, TileLayout, with_scratch};

/// Vectors of a register block: as many sums as hide the latency of an addition.
const VECTORS: usize = 6;

/// `(N, C, H', W')` from `(N, C, H, W)` and weights `(C, 1, KH, KW)`.
pub fn forward(geometry: &ConvGeometry, input: &[f32], weights: &[f32]) -> Vec<f32> {
    let pattern = geometry.forward_pattern();
    convolve(geometry, &[(pattern, [0, 0])], 1, geometry.output, input, weights)
}

/// The loss's gradient for the input from that for the output.
pub fn input_gradient(geometry: &ConvGeometry, gradient: &[f32], weights: &[f32]) -> Vec<f32> {
    let stride = geometry.stride;
    let phases: Vec<(TapPattern, [usize; 2])> = (0..stride * stride)
        .map(|phase| [phase / stride, phase % stride])
        .map(|phase| (geometry.input_gradient_pattern(phase), phase))
        .filter(|(pattern, _)| !pattern.cells.contains(&0))
        .collect();
    convolve(geometry, &phases, stride, geometry.input, gradient, weights)
}

/// Sums over the taps of each phase of the output, plane by plane.
fn convolve(
    geometry: &ConvGeometry,
    phases: &[(TapPattern, [usize; 2])],
    stride: usize,
    output: [usize; 2],
    source: &[f32],
    weights: &[f32],
) -> Vec<f32> {
    let (channels, elements) = (geometry.channels_in, geometry.kernel_elements());
    let planes = geometry.batch * channels;
    let source_plane = phases.first().map_or(0, |(pattern, _)| pattern.source[0] * pattern.source[1]);
    assert_eq!((source.len(), weights.len()), (planes * source_plane, channels * elements));
    let plans: Vec<Plan> = phases.iter().map(|(pattern, phase)| Plan::new(pattern, *phase)).collect();
    let floats = plans.iter().map(|plan| plan.layout.floats(1)).max().unwrap_or(0);
    filled_planes(planes, output[0] * output[1], |plane, to| {
        let kernel = &weights[plane % channels * elements..][..elements];
        let from = &source[plane * source_plane..][..source_plane];
        with_scratch([floats], |[tile]| {
            for plan in &plans {
                plan.layout.fill(plan.pattern, from, 0, tile);
                let taps = plan.taps(kernel);
                Arch::new().dispatch(PlaneSum { plan, taps: &taps, tile, stride, width: output[1], to: &mut *to });
            }
        });
    })
}

/// What all planes of one phase have in common.
struct Plan<'a> {
    pattern: &'a TapPattern,
    phase: [usize; 2],
    layout: TileLayout,
    offsets: Vec<usize>,
    vectors: Vec<CellVector>,
}

impl<'a> Plan<'a> {
    fn new(pattern: &'a TapPattern, phase: [usize; 2]) -> Self {
        let layout = TileLayout::with_rows(pattern, pattern.cells[0]);
        let vectors = cell_vectors(&layout, pattern.cells[0], pattern.cells[1], lanes());
        Self { pattern, phase, layout, offsets: layout.tap_offsets(pattern), vectors }
    }

    fn taps(&self, kernel: &[f32]) -> Vec<(usize, f32)> {
        self.pattern.taps.iter().zip(&self.offsets).map(|(tap, offset)| (*offset, kernel[tap.element])).collect()
    }
}

struct PlaneSum<'a, 'o> {
    plan: &'a Plan<'a>,
    taps: &'a [(usize, f32)],
    tile: &'a [f32],
    stride: usize,
    width: usize,
    to: &'a mut Row<'o>,
}

impl WithSimd for PlaneSum<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let reach = self.taps.iter().map(|(offset, _)| *offset).max().unwrap_or(0);
        let last = self.plan.vectors.iter().map(|vector| vector.source).max().unwrap_or(0);
        assert!(last + reach + S::F32_LANES <= self.tile.len(), "a tile is too small for its vectors");
        let (blocks, rest) = self.plan.vectors.as_chunks::<VECTORS>();
        for block in blocks {
            // SAFETY: the assertion is about the largest `source` and the largest offset, so it holds for all.
            unsafe { self.block(simd, block) };
        }
        for one in rest {
            // SAFETY: as above.
            unsafe { self.block(simd, &[*one]) };
        }
    }
}

impl PlaneSum<'_, '_> {
    /// # Safety
    /// `vector.source + offset + S::F32_LANES <= self.tile.len()` for each of `vectors` and each offset of `self.taps`.
    #[inline(always)]
    unsafe fn block<S: Simd, const V: usize>(&mut self, simd: S, vectors: &[CellVector; V]) {
        let mut sums = [simd.splat_f32s(0.0); V];
        let sources = vectors.map(|vector| self.tile.as_ptr().wrapping_add(vector.source));
        for (offset, weight) in self.taps {
            let weight = simd.splat_f32s(*weight);
            for (sum, source) in sums.iter_mut().zip(sources) {
                // SAFETY: `source` is at `vector.source` of the tile; the caller vouches for this vector of it.
                let values = unsafe { source.add(*offset).cast::<S::f32s>().read_unaligned() };
                *sum = simd.mul_add_e_f32s(weight, values, *sum);
            }
        }
        let (cells, phase, stride, width) = (self.plan.pattern.cells, self.plan.phase, self.stride, self.width);
        for (vector, sum) in vectors.iter().zip(sums) {
            let sum: &[f32] = pulp::bytemuck::cast_slice(std::slice::from_ref(&sum));
            vector.scatter(cells, sum, |row, column, values| {
                let start = (row * stride + phase[0]) * width + column * stride + phase[1];
                if stride == 1 {
                    self.to.write(start, values);
                } else {
                    let to = self.to.zeroed()[start..].iter_mut().step_by(stride);
                    to.zip(values).for_each(|(to, value)| *to = *value);
                }
            });
        }
    }
}

/// `(C, 1, KH, KW)` from the input and the loss's gradient for the output.
pub fn weight_gradient(geometry: &ConvGeometry, input: &[f32], gradient: &[f32]) -> Vec<f32> {
    let (channels, elements) = (geometry.channels_in, geometry.kernel_elements());
    let (input_plane, output_plane) = (geometry.input_plane(), geometry.output_plane());
    assert_eq!(input.len(), geometry.batch * channels * input_plane);
    assert_eq!(gradient.len(), geometry.batch * channels * output_plane);
    let pattern = geometry.forward_pattern();
    let plan = Plan::new(&pattern, [0, 0]);
    let lanes = lanes();
    let mut weights = vec![0.0; channels * elements];
    weights.par_chunks_exact_mut(elements).enumerate().for_each(|(channel, kernel)| {
        let gathered = plan.vectors.len() * lanes;
        with_scratch([plan.layout.floats(1), gathered], |[tile, cells]| {
            let mut sums = vec![0.0; plan.offsets.len()];
            for image in 0..geometry.batch {
                let plane = image * channels + channel;
                plan.layout.fill(&pattern, &input[plane * input_plane..][..input_plane], 0, tile);
                let from = &gradient[plane * output_plane..][..output_plane];
                for (vector, to) in plan.vectors.iter().zip(cells.chunks_exact_mut(lanes)) {
                    vector.gather(from, pattern.cells, to);
                }
                Arch::new().dispatch(PlaneProducts {
                    offsets: &plan.offsets,
                    vectors: &plan.vectors,
                    tile,
                    cells,
                    sums: &mut sums,
                });
            }
            for (tap, sum) in pattern.taps.iter().zip(sums) {
                kernel[tap.element] = sum;
            }
        });
    });
    weights
}

/// The products of one plane with all taps.
struct PlaneProducts<'a> {
    offsets: &'a [usize],
    vectors: &'a [CellVector],
    tile: &'a [f32],
    cells: &'a [f32],
    sums: &'a mut [f32],
}

impl WithSimd for PlaneProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { offsets, vectors, tile, cells, sums } = self;
        let reach = offsets.iter().max().copied().unwrap_or(0);
        let last = vectors.iter().map(|vector| vector.source).max().unwrap_or(0);
        assert!(last + reach + S::F32_LANES <= tile.len(), "a tile is too small for its vectors");
        assert_eq!(cells.len(), vectors.len() * S::F32_LANES);
        let mut at = 0;
        while at < offsets.len() {
            // SAFETY: the first assertion is about the largest `source` and the largest offset, so it holds for all; the
            // second is what `products` asks of `cells`.
            unsafe {
                if let Some(nine) = offsets[at..].first_chunk::<9>() {
                    products(simd, nine, vectors, tile, cells, &mut sums[at..]);
                    at += 9;
                } else if let Some(five) = offsets[at..].first_chunk::<5>() {
                    products(simd, five, vectors, tile, cells, &mut sums[at..]);
                    at += 5;
                } else {
                    products(simd, &[offsets[at]], vectors, tile, cells, &mut sums[at..]);
                    at += 1;
                }
            }
        }
    }
}

/// # Safety
/// `vector.source + offset + S::F32_LANES <= tile.len()` for each of `vectors` and `offsets`, and `cells` has
/// `S::F32_LANES` floats for each of `vectors`.
#[inline(always)]
unsafe fn products<S: Simd, const T: usize>(
    simd: S,
    offsets: &[usize; T],
    vectors: &[CellVector],
    tile: &[f32],
    cells: &[f32],
    sums: &mut [f32],
) {
    let mut products = [simd.splat_f32s(0.0); T];
    let sources = offsets.map(|offset| tile.as_ptr().wrapping_add(offset));
    let mut gradient = cells.as_ptr();
    for vector in vectors {
        // SAFETY: `gradient` is at this vector's floats of `cells` and each `source` at its offset of the tile; the caller
        // vouches for a vector behind both.
        unsafe {
            let cells = gradient.cast::<S::f32s>().read_unaligned();
            for (product, source) in products.iter_mut().zip(sources) {
                let values = source.add(vector.source).cast::<S::f32s>().read_unaligned();
                *product = simd.mul_add_e_f32s(cells, values, *product);
            }
            gradient = gradient.add(S::F32_LANES);
        }
    }
    for (sum, product) in sums.iter_mut().zip(products) {
        *sum += simd.reduce_sum_f32s(product);
    }
}
const _: () = assert!(SLACK >= super::cells::WIDEST);
