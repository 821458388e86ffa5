//! Which photo pixels lie between which cells of the network's output, and how near to each.

use std::ops::Range;

/// Pixels that are worked out side by side: 32-bit numbers in an AVX register.
pub(super) const LANES: usize = 8;

/// Pixels of one span at most: bands of rows stay many enough to keep all cores busy.
const MAX_SPAN_PX: usize = 64;

/// A run of photo pixels along one axis that lie between the same two cells.
#[derive(Debug)]
pub(super) struct Span {
    /// The two cells; the same one beyond the outermost centres.
    pub(super) cells: [usize; 2],
    /// The pixels.
    pub(super) pixels: Range<usize>,
}

/// The photo pixels along one axis.
#[derive(Debug)]
pub(super) struct Axis {
    spans: Vec<Span>,
    /// For each pixel the weight of the second cell of its span, 0..1; then zeros, so that a block of [`LANES`] may be
    /// read from any pixel on.
    weights: Vec<f32>,
}

impl Axis {
    /// Splits `pixels` photo pixels into runs between cells (half-pixel centres). `content` is their extent in the
    /// network's input; cells that hold only padding are never used.
    pub(super) fn new(pixels: u32, content: u32, stride: u32, cells: usize) -> Self {
        let last = content_cells(content, stride, cells) - 1;
        let scale = f64::from(content) / f64::from(pixels) / f64::from(stride);
        let mut spans: Vec<Span> = Vec::new();
        let mut weights = Vec::with_capacity(pixels as usize + LANES);
        for pixel in 0..pixels {
            let position = ((f64::from(pixel) + 0.5) * scale - 0.5).clamp(0.0, last as f64);
            let first = position.floor() as usize;
            let cells = [first, (first + 1).min(last)];
            weights.push((position - first as f64) as f32);
            let end = weights.len();
            match spans.last_mut() {
                Some(span) if span.cells == cells && span.pixels.len() < MAX_SPAN_PX => span.pixels.end = end,
                _ => spans.push(Span { cells, pixels: end - 1..end }),
            }
        }
        weights.resize(pixels as usize + LANES, 0.0);
        Self { spans, weights }
    }

    /// The runs, in order.
    pub(super) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The weights of the second cell for some pixels.
    pub(super) fn weights(&self, pixels: Range<usize>) -> &[f32] {
        &self.weights[pixels]
    }

    /// The weights of [`LANES`] pixels from `first` on; what lies beyond the last pixel is 0.
    #[inline(always)]
    pub(super) fn block(&self, first: usize) -> [f32; LANES] {
        let mut block = [0.0; LANES];
        block.copy_from_slice(&self.weights[first..first + LANES]);
        block
    }

    /// Cuts a row-major image with one byte a pixel into the rows of each span of this axis.
    pub(super) fn bands<'a>(&'a self, image: &'a mut [u8], width: usize) -> Vec<(&'a Span, &'a mut [u8])> {
        let mut bands = Vec::with_capacity(self.spans.len());
        let mut rest = image;
        for span in &self.spans {
            let (band, after) = rest.split_at_mut(span.pixels.len() * width);
            bands.push((span, band));
            rest = after;
        }
        bands
    }
}

/// Cells along one axis that the photo reaches.
pub(super) fn content_cells(content: u32, stride: u32, cells: usize) -> usize {
    (content.div_ceil(stride.max(1)) as usize).clamp(1, cells.max(1))
}

/// Columns that get one value each in all rows of a band: neighbours with one value are filled together.
#[derive(Default)]
pub(super) struct Fill {
    columns: Range<usize>,
    value: u8,
}

impl Fill {
    /// Adds columns that follow the last ones.
    #[inline(always)]
    pub(super) fn add(&mut self, columns: Range<usize>, value: u8, band: &mut [u8], width: usize) {
        if self.columns.end == columns.start && self.value == value {
            self.columns.end = columns.end;
        } else {
            self.flush(band, width);
            *self = Self { columns, value };
        }
    }

    /// Writes what was added.
    #[inline(always)]
    pub(super) fn flush(&mut self, band: &mut [u8], width: usize) {
        if !self.columns.is_empty() {
            for line in band.chunks_exact_mut(width) {
                line[self.columns.clone()].fill(self.value);
            }
        }
        self.columns.start = self.columns.end;
    }
}

/// The network's output as one plane a class.
#[derive(Clone, Copy)]
pub(super) struct Planes<'a> {
    values: &'a [f32],
    /// Number of classes.
    pub(super) classes: usize,
    /// Number of rows of cells.
    pub(super) height: usize,
    /// Number of columns of cells.
    pub(super) width: usize,
}

/// Where four cells lie in a plane: top left, top right, bottom left, bottom right.
pub(super) type Corners = [usize; 4];

impl<'a> Planes<'a> {
    /// `values` are classes x height x width, row-major.
    pub(super) fn new(values: &'a [f32], (classes, height, width): (usize, usize, usize)) -> Self {
        Self { values, classes, height, width }
    }

    /// One row of one class.
    #[inline(always)]
    pub(super) fn row(&self, class: usize, y: usize) -> &'a [f32] {
        &self.values[(class * self.height + y) * self.width..][..self.width]
    }

    /// The cells where a row and a column of spans meet.
    #[inline(always)]
    pub(super) fn corners(&self, [top, bottom]: [usize; 2], [left, right]: [usize; 2]) -> Corners {
        [top * self.width + left, top * self.width + right, bottom * self.width + left, bottom * self.width + right]
    }

    /// The values of one class at four cells.
    #[inline(always)]
    pub(super) fn at(&self, class: usize, corners: Corners) -> [f32; 4] {
        let plane = &self.values[class * self.height * self.width..][..self.height * self.width];
        corners.map(|cell| plane[cell])
    }
}

/// The larger of two numbers that are not NaN, in one instruction.
#[inline(always)]
pub(super) fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The smaller of two numbers that are not NaN, in one instruction.
#[inline(always)]
pub(super) fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// One class along a row of pixels between four cells: `left + difference * weight` of the second column.
#[derive(Clone, Copy)]
pub(super) struct Side {
    pub(super) left: f32,
    pub(super) difference: f32,
}

impl Side {
    /// `down` is the weight of the bottom cells.
    #[inline(always)]
    pub(super) fn new([top_left, top_right, bottom_left, bottom_right]: [f32; 4], down: f32) -> Self {
        let left = top_left + (bottom_left - top_left) * down;
        let right = top_right + (bottom_right - top_right) * down;
        Self { left, difference: right - left }
    }

    /// The values of a block of pixels.
    #[inline(always)]
    pub(super) fn block(self, across: &[f32; LANES]) -> [f32; LANES] {
        across.map(|weight| self.left + self.difference * weight)
    }
}
