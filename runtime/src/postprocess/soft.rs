//! Soft masks: how much of each pixel is one of some classes, at the photo's size.
//!
//! As with the label map, the full-size output is never held, and between most cells nothing is computed: where a bound
//! on all pixels between four cells says that they round to 0, or to 255, they are filled.

mod logits;
mod probabilities;

use image::GrayImage;
use ndarray::ArrayView3;
use pulp::{Arch, Simd};
use rayon::prelude::*;

use super::cells::{Axis, Corners, Fill, Planes, Span};
use super::check;
use crate::error::{Error, Result};
use crate::geometry::Geometry;
use crate::spec::{OutputKind, OutputSpec};

/// An alpha below this rounds to 0, and one above `1 - ROUNDS_TO_ZERO` to 255.
const ROUNDS_TO_ZERO: f64 = 0.5 / 255.0;

/// How alphas come from the network's output.
trait Alphas: Sync {
    /// What one thread keeps while it works between four cells.
    type Between: Default;

    /// The level of all pixels between four cells, where it is certain to be 0 or 255.
    fn certain(&self, corners: Corners) -> Option<u8>;

    /// Gets ready for the pixels between four cells.
    fn enter(&self, between: &mut Self::Between, corners: Corners);

    /// Writes the levels of a row of pixels between the cells entered. `down` is the weight of the bottom cells; the
    /// weights of the right ones are those of `columns` from pixel `first` on.
    fn fill_line(&self, between: &mut Self::Between, down: f32, columns: &Axis, first: usize, line: &mut [u8]);
}

/// Where the pixels of a photo lie between the cells.
struct Frame<'a> {
    planes: Planes<'a>,
    rows: &'a Axis,
    columns: &'a Axis,
    width: usize,
}

/// How likely each pixel of a photo of `width` x `height` is one of `classes`, as 8-bit alpha.
///
/// The definition: interpolate the output bilinearly (half-pixel centres), take the softmax (of `logits`) or divide by
/// the sum (of `probabilities`, in which what is below 0 counts as 0), add up the chosen classes, and round 255 times
/// that, halves up. The result is that of the definition in `f64`, to the level. Classes that the output does not have
/// add nothing.
///
/// `output` is classes x H/stride x W/stride.
///
/// # Errors
/// [`Error::Output`] when the numbers are not finite or the shape does not fit `geometry`; [`Error::Invalid`] for a photo
/// without pixels.
pub fn soft_mask(
    output: ArrayView3<'_, f32>,
    spec: &OutputSpec,
    geometry: &Geometry,
    (width, height): (u32, u32),
    classes: &[usize],
) -> Result<GrayImage> {
    check(output, spec, geometry, (width, height))?;
    let standard = output.as_standard_layout();
    let values = standard.as_slice().ok_or_else(|| Error::Output { reason: "its layout is unknown".into() })?;
    let planes = Planes::new(values, output.dim());
    let columns = Axis::new(width, geometry.content_width, spec.stride, planes.width);
    let rows = Axis::new(height, geometry.content_height, spec.stride, planes.height);
    let frame = Frame { planes, rows: &rows, columns: &columns, width: width as usize };
    let chosen: Vec<bool> = (0..planes.classes).map(|class| classes.contains(&class)).collect();
    let mut levels = vec![0_u8; width as usize * height as usize];
    match spec.kind {
        _ if !chosen.contains(&true) => {}
        OutputKind::Logits if !chosen.contains(&false) => levels.fill(255),
        OutputKind::Logits => fill(&frame, &logits::Logits::new(planes, &chosen), &mut levels),
        OutputKind::Probabilities | OutputKind::ClassMap => {
            fill(&frame, &probabilities::Probabilities::new(planes, &chosen), &mut levels);
        }
    }
    let size = || Error::Invalid(format!("{width} x {height} pixels are too many"));
    GrayImage::from_raw(width, height, levels).ok_or_else(size)
}

fn fill<A: Alphas>(frame: &Frame<'_>, alphas: &A, levels: &mut [u8]) {
    let bands = frame.rows.bands(levels, frame.width);
    bands.into_par_iter().for_each(|(span, band)| fill_band(frame, alphas, span, band));
}

/// Fills the rows of a band, all between the same two rows of cells.
#[pulp::with_simd(fill_band = Arch::new())]
#[inline(always)]
fn fill_band_with_simd<'a, S: Simd, A: Alphas>(
    _simd: S,
    frame: &'a Frame<'a>,
    alphas: &'a A,
    row: &'a Span,
    band: &'a mut [u8],
) {
    let width = frame.width;
    let mut between = A::Between::default();
    let mut fill = Fill::default();
    for column in frame.columns.spans() {
        let corners = frame.planes.corners(row.cells, column.cells);
        if let Some(level) = alphas.certain(corners) {
            fill.add(column.pixels.clone(), level, band, width);
            continue;
        }
        alphas.enter(&mut between, corners);
        let downs = frame.rows.weights(row.pixels.clone());
        for (line, &down) in band.chunks_exact_mut(width).zip(downs) {
            let line = &mut line[column.pixels.clone()];
            alphas.fill_line(&mut between, down, frame.columns, column.pixels.start, line);
        }
    }
    fill.flush(band, width);
}
