//! Logits to a label map and to soft masks at the photo's own size.

mod argmax;
mod cells;
mod cleanup;
mod confidence;
mod dense;
mod exponential;
mod label_map;
mod soft;

pub use confidence::mean_confidence;
pub use label_map::{Extent, LabelMap, PixelBox};
pub(crate) use label_map::{runs, write_mask};
pub use soft::soft_mask;

use image::GrayImage;
use ndarray::{Array3, ArrayView3};

use crate::error::{Error, Result};
use crate::geometry::Geometry;
use crate::spec::OutputSpec;
use crate::taxonomy::Taxonomy;

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

    /// Cleans up small and doubtful areas, where the description says how ([`OutputSpec::cleanup`], else
    /// [`OutputSpec::small_regions`]): in the cells of an area that becomes a part of its neighbour the numbers of the two classes
    /// change places.
    pub fn clean_up(&mut self, taxonomy: &Taxonomy) {
        let (_, rows, columns) = self.values.dim();
        let Geometry { content_width, content_height, .. } = self.geometry;
        let content = [(content_height, rows), (content_width, columns)]
            .map(|(content, cells)| cells::content_cells(content, self.spec.stride, cells).min(cells));
        match (self.spec.cleanup, self.spec.small_regions) {
            (Some(cleanup), _) => {
                let is_garment: Vec<bool> = (0..taxonomy.len()).map(|class| taxonomy.is_garment(class)).collect();
                cleanup::merge_regions(&mut self.values, content, self.spec.kind, &is_garment, cleanup);
            }
            (None, Some(limits)) => cleanup::merge_small_regions(&mut self.values, content, &self.spec, limits),
            (None, None) => {}
        }
    }

    /// The class of every pixel of a photo of `width` x `height`: see [`label_map`].
    ///
    /// # Errors
    /// As [`label_map`].
    pub fn label_map(&self, width: u32, height: u32) -> Result<LabelMap> {
        label_map(self.values.view(), &self.spec, &self.geometry, width, height)
    }

    /// How likely each pixel of a photo of `width` x `height` is one of `classes`: see [`soft_mask`].
    ///
    /// # Errors
    /// As [`soft_mask`].
    pub fn soft_mask(&self, width: u32, height: u32, classes: &[usize]) -> Result<GrayImage> {
        soft_mask(self.values.view(), &self.spec, &self.geometry, (width, height), classes)
    }
}

/// Interpolates the network's output bilinearly to `width` x `height` photo pixels (half-pixel centres) and takes the
/// class with the largest value; of equal ones the first.
///
/// `output` is classes x H/stride x W/stride. Class indices are never interpolated. The full-size output is never held
/// either: besides the label map, there are a few numbers a cell and a thread. The result is the same, to the
/// pixel, as interpolating everything in `f32` (down, then across, each as `a + (b - a) * t`) and taking the largest.
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
    check(output, spec, geometry, (width, height))?;
    let standard = output.as_standard_layout();
    let values = standard.as_slice().ok_or_else(|| Error::Output { reason: "its layout is unknown".into() })?;
    let planes = cells::Planes::new(values, output.dim());
    let columns = cells::Axis::new(width, geometry.content_width, spec.stride, planes.width);
    let rows = cells::Axis::new(height, geometry.content_height, spec.stride, planes.height);
    let mut labels = vec![0_u8; width as usize * height as usize];
    if dense::is_dense(&rows, &columns, labels.len()) {
        dense::fill(planes, &rows, &columns, &mut labels, width as usize);
    } else {
        argmax::fill(planes, &rows, &columns, &mut labels, width as usize);
    }
    LabelMap::new(width, height, labels)
}

fn check(
    output: ArrayView3<'_, f32>,
    spec: &OutputSpec,
    geometry: &Geometry,
    (photo_width, photo_height): (u32, u32),
) -> Result<()> {
    if photo_width == 0 || photo_height == 0 {
        return Err(Error::Invalid(format!("a photo of {photo_width} x {photo_height} pixels has no masks")));
    }
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

#[cfg(test)]
mod tests;
