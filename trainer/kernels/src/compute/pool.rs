//! Max pooling, with its gradient. Where several cells of a window are largest, the first in row order counts;
//! what is no number counts as larger than all.

use super::output::filled_planes;

/// Sizes of a pooling over planes (images times channels).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// Images times channels.
    pub planes: usize,
    /// Height and width that come in.
    pub input: [usize; 2],
    /// Height and width that go out.
    pub output: [usize; 2],
    /// Side of the window.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Cells outside of the input, above and left, that a window may cover; they never win.
    pub padding: usize,
}

impl MaxPool {
    fn cells(&self) -> [usize; 2] {
        [self.input[0] * self.input[1], self.output[0] * self.output[1]]
    }

    /// First and last input cell of a window along an axis.
    fn window(&self, axis: usize, cell: usize) -> std::ops::Range<usize> {
        let start = cell * self.stride;
        start.saturating_sub(self.padding)..(start + self.kernel - self.padding).min(self.input[axis])
    }

    /// Index of the largest value in each window of a plane.
    #[inline(always)]
    fn each_largest(&self, from: &[f32], mut found: impl FnMut(usize, usize)) {
        let width = self.input[1];
        for row in 0..self.output[0] {
            let rows = self.window(0, row);
            for column in 0..self.output[1] {
                let columns = self.window(1, column);
                let (mut best, mut value) = (rows.start * width + columns.start, f32::NEG_INFINITY);
                for y in rows.clone() {
                    for x in columns.clone() {
                        let here = from[y * width + x];
                        if here > value || here.is_nan() {
                            (best, value) = (y * width + x, here);
                        }
                    }
                }
                found(row * self.output[1] + column, best);
            }
        }
    }
}

/// The largest value of each window.
pub fn forward(sizes: &MaxPool, input: &[f32]) -> Vec<f32> {
    let [source, target] = sizes.cells();
    assert_eq!(input.len(), sizes.planes * source);
    filled_planes(sizes.planes, target, |plane, to| {
        let from = &input[plane * source..][..source];
        sizes.each_largest(from, |cell, best| to.write(cell, &from[best..=best]));
    })
}

/// The gradient of the input: each window's goes to its largest cell.
pub fn input_gradient(sizes: &MaxPool, input: &[f32], gradient: &[f32]) -> Vec<f32> {
    let [source, target] = sizes.cells();
    assert_eq!((input.len(), gradient.len()), (sizes.planes * source, sizes.planes * target));
    filled_planes(sizes.planes, source, |plane, to| {
        let from = &input[plane * source..][..source];
        let (gradient, to) = (&gradient[plane * target..][..target], to.zeroed());
        sizes.each_largest(from, |cell, best| to[best] += gradient[cell]);
    })
}
