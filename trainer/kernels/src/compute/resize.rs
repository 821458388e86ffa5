//! Enlarging feature maps, with gradients. Half-pixel centres: `align_corners = false`, ONNX `half_pixel`.

use pulp::{Arch, Simd};

use super::output::{Row, filled_planes};
use super::tile::with_scratch;

/// Sizes: planes (images times channels), and height and width before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    /// Images times channels.
    pub planes: usize,
    /// Height and width that come in.
    pub from: [usize; 2],
    /// Height and width that go out.
    pub to: [usize; 2],
}

impl Resize {
    fn cells(&self) -> [usize; 2] {
        [self.from[0] * self.from[1], self.to[0] * self.to[1]]
    }
}

/// For each output cell of one axis: the two input cells it lies between, and the share of the second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Blend {
    first: usize,
    second: usize,
    share: f32,
}

fn blends(from: usize, to: usize) -> Vec<Blend> {
    (0..to)
        .map(|cell| {
            let at = ((cell as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
            let first = at as usize;
            Blend { first, second: (first + 1).min(from - 1), share: (at - first as f64) as f32 }
        })
        .collect()
}

/// The interpolation along one axis as a row-major matrix `to x from`.
pub fn matrix(from: usize, to: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; from * to];
    for (row, blend) in matrix.chunks_exact_mut(from).zip(blends(from, to)) {
        row[blend.first] += 1.0 - blend.share;
        row[blend.second] += blend.share;
    }
    matrix
}

/// Bilinear interpolation of each plane.
pub fn bilinear(sizes: &Resize, input: &[f32]) -> Vec<f32> {
    let [source, target] = sizes.cells();
    assert_eq!(input.len(), sizes.planes * source);
    let (rows, columns) = (blends(sizes.from[0], sizes.to[0]), blends(sizes.from[1], sizes.to[1]));
    let width = sizes.to[1];
    filled_planes(sizes.planes, target, |plane, to| {
        let from = &input[plane * source..][..source];
        with_scratch([sizes.from[0] * width], |[wide]| {
            for (to, from) in wide.chunks_exact_mut(width).zip(from.chunks_exact(sizes.from[1])) {
                for (to, blend) in to.iter_mut().zip(&columns) {
                    *to = from[blend.first] + blend.share * (from[blend.second] - from[blend.first]);
                }
            }
            blend_rows(to, wide, width, &rows);
        });
    })
}

/// The gradient of [`bilinear`]'s input.
pub fn bilinear_gradient(sizes: &Resize, gradient: &[f32]) -> Vec<f32> {
    let [source, target] = sizes.cells();
    assert_eq!(gradient.len(), sizes.planes * target);
    let (rows, columns) = (blends(sizes.from[0], sizes.to[0]), blends(sizes.from[1], sizes.to[1]));
    let width = sizes.to[1];
    filled_planes(sizes.planes, source, |plane, to| {
        let from = &gradient[plane * target..][..target];
        with_scratch([sizes.from[0] * width], |[wide]| {
            wide.fill(0.0);
            spread_rows(wide, from, width, &rows);
            for (to, from) in to.zeroed().chunks_exact_mut(sizes.from[1]).zip(wide.chunks_exact(width)) {
                for (from, blend) in from.iter().zip(&columns) {
                    to[blend.second] += blend.share * from;
                    to[blend.first] += (1.0 - blend.share) * from;
                }
            }
        });
    })
}

/// Each row of `to` from two rows of `from`.
#[pulp::with_simd(blend_rows = Arch::new())]
#[inline(always)]
fn blend_rows_with_simd<'a, 'o, S: Simd>(
    _simd: S,
    to: &'a mut Row<'o>,
    from: &'a [f32],
    width: usize,
    rows: &'a [Blend],
) {
    for blend in rows {
        let [first, second] = [blend.first, blend.second].map(|row| &from[row * width..][..width]);
        to.extend(first.iter().zip(second).map(|(first, second)| first + blend.share * (second - first)));
    }
}

/// Each row of `from` to two rows of `to`.
#[pulp::with_simd(spread_rows = Arch::new())]
#[inline(always)]
fn spread_rows_with_simd<'a, S: Simd>(_simd: S, to: &'a mut [f32], from: &'a [f32], width: usize, rows: &'a [Blend]) {
    for (from, blend) in from.chunks_exact(width).zip(rows) {
        for (at, share) in [(blend.first, 1.0 - blend.share), (blend.second, blend.share)] {
            let to = &mut to[at * width..][..width];
            to.iter_mut().zip(from).for_each(|(to, from)| *to += share * from);
        }
    }
}

/// Sizes of a join: images, and channels of the low map and of the skip map. The low map has half the height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    /// Images.
    pub batch: usize,
    /// Channels of the map that is enlarged.
    pub low: usize,
    /// Channels of the map that is put behind it, 0 for none.
    pub skip: usize,
    /// Height and width of the low map.
    pub from: [usize; 2],
}

impl Join {
    fn low_cells(&self) -> usize {
        self.from[0] * self.from[1]
    }
}

/// Repeats each cell of `low` 2 x 2 and puts `skip` behind it: `(N, low + skip, 2H, 2W)`.
pub fn join(sizes: &Join, low: &[f32], skip: &[f32]) -> Vec<f32> {
    let (channels, cells) = (sizes.low + sizes.skip, 4 * sizes.low_cells());
    assert_eq!(low.len(), sizes.batch * sizes.low * sizes.low_cells());
    assert_eq!(skip.len(), sizes.batch * sizes.skip * cells);
    let width = sizes.from[1];
    filled_planes(sizes.batch * channels, cells, |plane, to| {
        let (image, channel) = (plane / channels, plane % channels);
        if channel >= sizes.low {
            to.write(0, &skip[(image * sizes.skip + channel - sizes.low) * cells..][..cells]);
            return;
        }
        let from = &low[(image * sizes.low + channel) * sizes.low_cells()..][..sizes.low_cells()];
        repeat_cells(to, from, width);
    })
}

/// The gradients of [`join`]'s inputs, low and skip.
pub fn join_gradient(sizes: &Join, gradient: &[f32]) -> [Vec<f32>; 2] {
    let (channels, low_cells) = (sizes.low + sizes.skip, sizes.low_cells());
    let cells = 4 * low_cells;
    assert_eq!(gradient.len(), sizes.batch * channels * cells);
    let width = sizes.from[1];
    let plane = |image: usize, channel: usize| &gradient[(image * channels + channel) * cells..][..cells];
    let low = filled_planes(sizes.batch * sizes.low, low_cells, |unit, to| {
        add_cells(to, plane(unit / sizes.low, unit % sizes.low), width);
    });
    let skip = filled_planes(sizes.batch * sizes.skip, cells, |unit, to| {
        to.write(0, plane(unit / sizes.skip, sizes.low + unit % sizes.skip));
    });
    [low, skip]
}

/// Each of `from`'s cells to 2 x 2 cells.
fn repeat_cells(to: &mut Row, from: &[f32], width: usize) {
    with_scratch([2 * width], |[wide]| {
        for (row, from) in from.chunks_exact(width).enumerate() {
            for (to, from) in wide.as_chunks_mut::<2>().0.iter_mut().zip(from) {
                *to = [*from; 2];
            }
            to.write(4 * row * width, wide);
            to.write((4 * row + 2) * width, wide);
        }
    });
}

/// Each cell from the sum of 2 x 2 of `from`'s.
fn add_cells(to: &mut Row, from: &[f32], width: usize) {
    for from in from.chunks_exact(4 * width) {
        let (upper, lower) = from.split_at(2 * width);
        let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
        to.extend(pairs.map(|(upper, lower)| (upper[0] + upper[1]) + (lower[0] + lower[1])));
    }
}
