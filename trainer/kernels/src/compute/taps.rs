//! A convolution as a sum over taps.
//!
//! Forward, input gradient and weight gradient of every kernel size, stride, padding and dilation reduce to one form: an
//! output grid whose cell `(i, j)` reads cell `((i + ey) * s + a, (j + ex) * s + b)` of a source grid for each tap
//! `(ey, ex, a, b)`. With the source split into its `s * s` phases, all reads of a tap lie at one distance from the cell.

/// Sizes of a convolution over `(N, C, H, W)`. Height comes before width in every pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvGeometry {
    /// Images.
    pub batch: usize,
    /// Channels that come in.
    pub channels_in: usize,
    /// Channels that go out.
    pub channels_out: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of the output.
    pub output: [usize; 2],
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Step between outputs, the same both ways.
    pub stride: usize,
    /// Zeros above and left of the input.
    pub padding: [usize; 2],
    /// Distance between the kernel's elements.
    pub dilation: usize,
}

impl ConvGeometry {
    /// Cells of an input channel.
    pub fn input_plane(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Cells of an output channel.
    pub fn output_plane(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Elements of the kernel between one input channel and one output channel.
    pub fn kernel_elements(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Whether each output cell reads the one input cell at its own place.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == 1 && self.padding == [0, 0] && self.input == self.output
    }

    /// How each output cell reads the input.
    pub fn forward_pattern(&self) -> TapPattern {
        let axis = |axis: usize| -> Vec<(usize, i64, usize)> {
            (0..self.kernel[axis])
                .filter_map(|element| {
                    let at = (element * self.dilation) as i64 - self.padding[axis] as i64;
                    let (shift, phase) = split(at, self.stride);
                    let lives = (0..self.output[axis] as i64).any(|cell| {
                        let place = (cell + shift) * self.stride as i64 + phase as i64;
                        (0..self.input[axis] as i64).contains(&place)
                    });
                    lives.then_some((element, shift, phase))
                })
                .collect()
        };
        TapPattern::new(&axis(0), &axis(1), self.kernel[1], self.stride, self.input, self.output)
    }

    /// How each cell of one phase of the input's gradient reads the output's gradient. The phase holds the cells
    /// `(u * stride + phase[0], v * stride + phase[1])`.
    pub fn input_gradient_pattern(&self, phase: [usize; 2]) -> TapPattern {
        let cells = |axis: usize| (self.input[axis] + self.stride - 1 - phase[axis]) / self.stride;
        let axis = |axis: usize| -> Vec<(usize, i64, usize)> {
            (0..self.kernel[axis])
                .filter_map(|element| {
                    let at = (phase[axis] + self.padding[axis]) as i64 - (element * self.dilation) as i64;
                    let (shift, rest) = split(at, self.stride);
                    let lives = rest == 0
                        && (0..cells(axis) as i64).any(|cell| (0..self.output[axis] as i64).contains(&(cell + shift)));
                    lives.then_some((element, shift, 0))
                })
                .collect()
        };
        TapPattern::new(&axis(0), &axis(1), self.kernel[1], 1, self.output, [cells(0), cells(1)])
    }
}

/// `at = shift * stride + phase` with `0 <= phase < stride`.
fn split(at: i64, stride: usize) -> (i64, usize) {
    (at.div_euclid(stride as i64), at.rem_euclid(stride as i64) as usize)
}

/// One element of the kernel, seen from the output's grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// Row-major index of the kernel's element.
    pub element: usize,
    /// Phase of the source that it reads.
    pub phase: [usize; 2],
    /// Cells down and right of [`TapPattern::origin`].
    pub offset: [usize; 2],
}

/// All taps that read anything, and what they span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapPattern {
    /// The taps, by kernel element. Those that would read nothing but padding are left out.
    pub taps: Vec<Tap>,
    /// Cells from the output's cell to the topmost and leftmost read, in the phase's grid; often negative.
    pub origin: [i64; 2],
    /// Largest offsets.
    pub span: [usize; 2],
    /// Phases both ways.
    pub stride: usize,
    /// Height and width of the source.
    pub source: [usize; 2],
    /// Height and width of the output grid.
    pub cells: [usize; 2],
}

impl TapPattern {
    fn new(
        rows: &[(usize, i64, usize)],
        columns: &[(usize, i64, usize)],
        kernel_width: usize,
        stride: usize,
        source: [usize; 2],
        cells: [usize; 2],
    ) -> Self {
        let least = |axis: &[(usize, i64, usize)]| axis.iter().map(|(_, shift, _)| *shift).min().unwrap_or(0);
        let most = |axis: &[(usize, i64, usize)]| axis.iter().map(|(_, shift, _)| *shift).max().unwrap_or(0);
        let origin = [least(rows), least(columns)];
        let taps = rows
            .iter()
            .flat_map(|(row, down, phase_y)| {
                columns.iter().map(move |(column, right, phase_x)| Tap {
                    element: row * kernel_width + column,
                    phase: [*phase_y, *phase_x],
                    offset: [(down - origin[0]) as usize, (right - origin[1]) as usize],
                })
            })
            .collect();
        let span = [(most(rows) - origin[0]) as usize, (most(columns) - origin[1]) as usize];
        Self { taps, origin, span, stride, source, cells }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(stride: usize, dilation: usize, side: usize) -> ConvGeometry {
        let padding = dilation;
        let output = (side + 2 * padding - 2 * dilation - 1) / stride + 1;
        ConvGeometry {
            batch: 1,
            channels_in: 1,
            channels_out: 1,
            input: [side, side],
            output: [output, output],
            kernel: [3, 3],
            stride,
            padding: [padding, padding],
            dilation,
        }
    }

    #[test]
    fn a_3x3_reads_its_neighbours() {
        let pattern = geometry(1, 1, 8).forward_pattern();
        assert_eq!((pattern.origin, pattern.span, pattern.taps.len()), ([-1, -1], [2, 2], 9));
        assert_eq!(pattern.taps[5], Tap { element: 5, phase: [0, 0], offset: [1, 2] });
    }

    #[test]
    fn stride_two_reads_four_phases() {
        let pattern = geometry(2, 1, 8).forward_pattern();
        assert_eq!((pattern.origin, pattern.span, pattern.stride), ([-1, -1], [1, 1], 2));
        assert_eq!(pattern.taps[0], Tap { element: 0, phase: [1, 1], offset: [0, 0] });
        assert_eq!(pattern.taps[4], Tap { element: 4, phase: [0, 0], offset: [1, 1] });
    }

    #[test]
    fn the_input_gradient_of_stride_two_splits_the_kernel_over_the_phases() {
        let geometry = geometry(2, 1, 8);
        let count = |a, b| geometry.input_gradient_pattern([a, b]).taps.len();
        assert_eq!((count(0, 0), count(0, 1), count(1, 0), count(1, 1)), (1, 2, 2, 4));
    }

    #[test]
    fn taps_that_read_only_padding_are_left_out() {
        let pattern = geometry(1, 18, 16).forward_pattern();
        assert_eq!(pattern.taps.len(), 1);
        assert_eq!((pattern.taps[0].element, pattern.origin, pattern.span), (4, [0, 0], [0, 0]));
    }
}
