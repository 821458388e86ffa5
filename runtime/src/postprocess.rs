//! Logits to a label map at the photo's own size.

use ndarray::{Array3, ArrayView3, Axis, s};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::preprocess::Geometry;
use crate::spec::{OutputKind, OutputSpec};

/// The class of every pixel of a photo: row-major, one byte a pixel, 0 = background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMap {
    width: u32,
    height: u32,
    labels: Vec<u8>,
}

/// A rectangle of whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PixelBox {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Number of columns.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

/// How much of a label map one class covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Class index.
    pub class: u8,
    /// Number of pixels.
    pub area_px: u64,
    /// The smallest rectangle that holds them all.
    pub bounds: PixelBox,
}

impl LabelMap {
    /// Takes class indices in row-major order.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless there is exactly one index a pixel.
    pub fn new(width: u32, height: u32, labels: Vec<u8>) -> Result<Self> {
        if labels.len() as u64 != u64::from(width) * u64::from(height) {
            return Err(Error::Invalid(format!("{} labels for {width} x {height} pixels", labels.len())));
        }
        Ok(Self { width, height, labels })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Class indices in row-major order.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The classes present, in index order, with area and bounding box.
    pub fn extents(&self) -> Vec<Extent> {
        let width = self.width.max(1) as usize;
        let mut area_px = [0_u64; 256];
        let mut corners = [[u32::MAX, u32::MAX, 0, 0]; 256];
        for (row, y) in self.labels.chunks_exact(width).zip(0_u32..) {
            let mut x = 0;
            // Labels come in runs: one update a run instead of one a pixel.
            for run in row.chunk_by(|a, b| a == b) {
                let class = usize::from(run[0]);
                let end = x + run.len() as u32;
                area_px[class] += run.len() as u64;
                let [left, top, right, bottom] = &mut corners[class];
                (*left, *right) = ((*left).min(x), (*right).max(end));
                (*top, *bottom) = ((*top).min(y), y + 1);
                x = end;
            }
        }
        let extent = |class: u8| {
            let [left, top, right, bottom] = corners[usize::from(class)];
            let bounds = PixelBox { x: left, y: top, width: right - left, height: bottom - top };
            Extent { class, area_px: area_px[usize::from(class)], bounds }
        };
        (0..=u8::MAX).filter(|class| area_px[usize::from(*class)] > 0).map(extent).collect()
    }

    /// A copy in which every class that is not in `classes` is background.
    pub fn keep(&self, classes: &[usize]) -> Self {
        let table: [u8; 256] = std::array::from_fn(|class| if classes.contains(&class) { class as u8 } else { 0 });
        let labels = self.labels.iter().map(|label| table[usize::from(*label)]).collect();
        Self { labels, ..*self }
    }
}

/// The network's output for one photo, and how it lies on it.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkOutput {
    values: Array3<f32>,
    spec: OutputSpec,
    geometry: Geometry,
}

impl NetworkOutput {
    /// `values` are classes x H/stride x W/stride.
    pub fn new(values: Array3<f32>, spec: OutputSpec, geometry: Geometry) -> Self {
        Self { values, spec, geometry }
    }

    /// The numbers, classes x H/stride x W/stride.
    pub fn values(&self) -> ArrayView3<'_, f32> {
        self.values.view()
    }

    /// What the numbers are.
    pub fn spec(&self) -> &OutputSpec {
        &self.spec
    }

    /// Where the photo lies in the network's input.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The class of every pixel of a photo of `width` x `height`: see [`label_map`].
    ///
    /// # Errors
    /// As [`label_map`].
    pub fn label_map(&self, width: u32, height: u32) -> Result<LabelMap> {
        label_map(self.values.view(), &self.spec, &self.geometry, width, height)
    }
}

/// Interpolates the network's output bilinearly to `width` x `height` photo pixels (half-pixel centres) and takes the
/// class with the largest value; of equal ones the first.
///
/// `output` is classes x H/stride x W/stride. Class indices are never interpolated. The full-size output is never held
/// either: a bilinear interpolation is a convex combination of its four corners, so where they agree on the class, all
/// pixels between them have it, and elsewhere only classes whose largest corner reaches every other class's smallest
/// corner can win.
///
/// # Errors
/// [`Error::Output`] when the numbers are not finite or the shape does not fit `geometry`.
pub fn label_map(
    output: ArrayView3<'_, f32>,
    spec: &OutputSpec,
    geometry: &Geometry,
    width: u32,
    height: u32,
) -> Result<LabelMap> {
    check(output, spec, geometry)?;
    if width == 0 || height == 0 {
        return Err(Error::Invalid(format!("a photo of {width} x {height} pixels has no labels")));
    }
    let grid = Grid::new(output);
    let columns = cell_spans(width, geometry.content_width, spec.stride, grid.width);
    let rows = cell_spans(height, geometry.content_height, spec.stride, grid.height);
    let mut labels = vec![0_u8; width as usize * height as usize];
    let mut bands = Vec::with_capacity(rows.len());
    let mut rest = labels.as_mut_slice();
    for row in &rows {
        let (band, after) = rest.split_at_mut(row.weights.len() * width as usize);
        bands.push((row, band));
        rest = after;
    }
    bands.into_par_iter().for_each(|(row, band)| fill_band(&grid, row, &columns, band, width as usize));
    LabelMap::new(width, height, labels)
}

/// How sure the network is of each class, 0..1: the mean, over the output cells that the class wins, of its probability
/// (softmax of the logits, with the maximum subtracted so that it cannot overflow). A class that wins no cell, but may
/// win pixels between cells, has its largest probability. Cells of pure padding do not count.
pub fn mean_confidence(output: ArrayView3<'_, f32>, spec: &OutputSpec, geometry: &Geometry) -> Vec<f32> {
    let (classes, height, width) = output.dim();
    let rows = content_cells(geometry.content_height, spec.stride, height);
    let columns = content_cells(geometry.content_width, spec.stride, width);
    let mut won = vec![(0.0_f64, 0_u32); classes];
    let mut largest = vec![0.0_f32; classes];
    for cell in output.slice(s![.., ..rows, ..columns]).lanes(Axis(0)) {
        let (best, maximum) = argmax(cell.iter().copied());
        let sum: f32 = cell.iter().map(|value| (value - maximum).exp()).sum();
        let probability = |value: f32| match spec.kind {
            OutputKind::Probabilities => value,
            OutputKind::Logits => (value - maximum).exp() / sum,
        };
        for (largest, value) in largest.iter_mut().zip(cell) {
            *largest = largest.max(probability(*value));
        }
        won[best].0 += f64::from(probability(maximum));
        won[best].1 += 1;
    }
    let mean = |((sum, cells), largest): ((f64, u32), f32)| {
        if cells == 0 { largest } else { (sum / f64::from(cells)) as f32 }
    };
    won.into_iter().zip(largest).map(mean).collect()
}

/// Cells along one axis that the photo reaches.
fn content_cells(content: u32, stride: u32, cells: usize) -> usize {
    (content.div_ceil(stride.max(1)) as usize).clamp(1, cells.max(1))
}

fn check(output: ArrayView3<'_, f32>, spec: &OutputSpec, geometry: &Geometry) -> Result<()> {
    let (classes, height, width) = output.dim();
    if !(1..=256).contains(&classes) || spec.stride == 0 || height == 0 || width == 0 {
        return Err(Error::Output {
            reason: format!("{classes} classes, {width} x {height} cells, stride {}", spec.stride),
        });
    }
    let expected = |side: u32| (side as usize).div_ceil(spec.stride as usize);
    if (height, width) != (expected(geometry.tensor_height), expected(geometry.tensor_width)) {
        return Err(Error::Output {
            reason: format!(
                "{width} x {height} cells for an input of {} x {} at stride {}",
                geometry.tensor_width, geometry.tensor_height, spec.stride
            ),
        });
    }
    if output.iter().all(|value| value.is_finite()) {
        Ok(())
    } else {
        Err(Error::Output { reason: "it holds numbers that are not finite".into() })
    }
}

/// The output with the classes of a cell side by side, and the winner of each cell.
struct Grid {
    width: usize,
    height: usize,
    classes: usize,
    values: Vec<f32>,
    winners: Vec<u8>,
}

impl Grid {
    fn new(output: ArrayView3<'_, f32>) -> Self {
        let (classes, height, width) = output.dim();
        let values: Vec<f32> = output.lanes(Axis(0)).into_iter().flat_map(|cell| cell.into_iter().copied()).collect();
        let winners = values.chunks_exact(classes).map(|cell| argmax(cell.iter().copied()).0 as u8).collect();
        Self { width, height, classes, values, winners }
    }

    fn cell(&self, x: usize, y: usize) -> &[f32] {
        let start = (y * self.width + x) * self.classes;
        &self.values[start..start + self.classes]
    }

    fn winner(&self, x: usize, y: usize) -> u8 {
        self.winners[y * self.width + x]
    }
}

/// A run of photo pixels along one axis that lie between the same two cells.
struct Span {
    /// The two cells; the same one beyond the outermost centres.
    cells: [usize; 2],
    /// For each pixel the weight of the second cell, 0..1.
    weights: Vec<f32>,
}

/// Splits `pixels` photo pixels into runs between cells. Cells that hold only padding are never used.
fn cell_spans(pixels: u32, content: u32, stride: u32, cells: usize) -> Vec<Span> {
    let last = content_cells(content, stride, cells) - 1;
    let scale = f64::from(content) / f64::from(pixels) / f64::from(stride);
    let mut spans: Vec<Span> = Vec::new();
    for pixel in 0..pixels {
        let position = ((f64::from(pixel) + 0.5) * scale - 0.5).clamp(0.0, last as f64);
        let first = position.floor() as usize;
        let cells = [first, (first + 1).min(last)];
        let weight = (position - first as f64) as f32;
        match spans.last_mut() {
            Some(span) if span.cells == cells => span.weights.push(weight),
            _ => spans.push(Span { cells, weights: vec![weight] }),
        }
    }
    spans
}

/// Labels the rows between two rows of cells.
fn fill_band(grid: &Grid, row: &Span, columns: &[Span], band: &mut [u8], width: usize) {
    let [top, bottom] = row.cells;
    let mut candidates = Vec::with_capacity(grid.classes);
    let mut start = 0;
    for column in columns {
        let [left, right] = column.cells;
        let pixels = start..start + column.weights.len();
        start = pixels.end;
        let winner = grid.winner(left, top);
        if [(right, top), (left, bottom), (right, bottom)].iter().all(|&(x, y)| grid.winner(x, y) == winner) {
            for line in band.chunks_exact_mut(width) {
                line[pixels.clone()].fill(winner);
            }
            continue;
        }
        let corners = [(left, top), (right, top), (left, bottom), (right, bottom)].map(|(x, y)| grid.cell(x, y));
        collect_candidates(corners, &mut candidates);
        for (line, &down) in band.chunks_exact_mut(width).zip(&row.weights) {
            fill_line(&candidates, down, &column.weights, &mut line[pixels.clone()]);
        }
    }
}

/// A class that may win between four cells, and its values there: top left, top right, bottom left, bottom right.
type Candidate = (u8, [f32; 4]);

fn collect_candidates(corners: [&[f32]; 4], candidates: &mut Vec<Candidate>) {
    let values = |class: usize| corners.map(|cell| cell[class]);
    let smallest = |values: [f32; 4]| values.into_iter().fold(f32::INFINITY, f32::min);
    let largest = |values: [f32; 4]| values.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let classes = corners[0].len();
    let reached_by_someone = (0..classes).map(|class| smallest(values(class))).fold(f32::NEG_INFINITY, f32::max);
    candidates.clear();
    let may_win = (0..classes).filter(|&class| largest(values(class)) >= reached_by_someone);
    candidates.extend(may_win.map(|class| (class as u8, values(class))));
}

fn fill_line(candidates: &[Candidate], down: f32, across: &[f32], line: &mut [u8]) {
    for (label, &right) in line.iter_mut().zip(across) {
        let mut best = (0, f32::NEG_INFINITY);
        for &(class, [top_left, top_right, bottom_left, bottom_right]) in candidates {
            let left_side = top_left + (bottom_left - top_left) * down;
            let right_side = top_right + (bottom_right - top_right) * down;
            let value = left_side + (right_side - left_side) * right;
            if value > best.1 {
                best = (class, value);
            }
        }
        *label = best.0;
    }
}

/// Index and value of the largest number; of equal ones the first.
fn argmax(values: impl Iterator<Item = f32>) -> (usize, f32) {
    values.enumerate().fold((0, f32::NEG_INFINITY), |best, item| if item.1 > best.1 { item } else { best })
}

#[cfg(test)]
mod tests;
