//! What was found in a photo.

use std::sync::{Arc, Mutex, PoisonError};

use image::GrayImage;

use crate::error::{Error, Result};
use crate::merge::Merge;
use crate::polygon::{self, Partition, Polygon, PolygonOptions};
use crate::postprocess::{self, LabelMap, NetworkOutput, PixelBox};
use crate::taxonomy::Taxonomy;

/// Where the time of one photo went, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Timings {
    /// Resizing and normalising.
    pub preprocess_ms: f64,
    /// The network; of a batch the photo's share.
    pub inference_ms: f64,
    /// Interpolation, argmax, confidence.
    pub postprocess_ms: f64,
}

/// One class in a photo.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClassRegion {
    /// Class index.
    pub class: usize,
    /// Class name.
    pub name: String,
    /// Number of pixels.
    pub area_px: u64,
    /// Share of the photo, 0..1.
    pub area_share: f64,
    /// The smallest rectangle that holds them all.
    pub bounds: PixelBox,
    /// Mean probability of the class where it wins, 0..1.
    pub confidence: f32,
}

/// What is where in a photo.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmentation {
    taxonomy: Arc<Taxonomy>,
    label_map: LabelMap,
    /// The label map that follows from `output`, where `label_map` is another one.
    found: Option<Arc<LabelMap>>,
    output: NetworkOutput,
    regions: Vec<ClassRegion>,
    timings: Timings,
    partition: LastPartition,
}

/// The partition that was last asked for, so that outlining class after class cuts the photo once. It follows from the
/// rest of a segmentation, and so does not count where two are compared.
#[derive(Debug, Default)]
struct LastPartition(Mutex<Option<(PolygonOptions, Arc<Partition>)>>);

impl LastPartition {
    fn get(&self) -> Option<(PolygonOptions, Arc<Partition>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, options: PolygonOptions, partition: &Arc<Partition>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((options, Arc::clone(partition)));
    }
}

impl Clone for LastPartition {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.get()))
    }
}

impl PartialEq for LastPartition {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Segmentation {
    pub(super) fn new(
        taxonomy: Arc<Taxonomy>,
        label_map: LabelMap,
        output: NetworkOutput,
        confidence: &[f32],
        timings: Timings,
    ) -> Result<Self> {
        let total_px = f64::from(label_map.width()) * f64::from(label_map.height());
        let mut regions = Vec::new();
        for extent in label_map.extents() {
            let class = usize::from(extent.class);
            let known = taxonomy.classes.get(class);
            let name = known.ok_or_else(|| Error::Output { reason: format!("class {class} is unknown") })?.name.clone();
            regions.push(ClassRegion {
                class,
                name,
                area_px: extent.area_px,
                area_share: extent.area_px as f64 / total_px,
                bounds: extent.bounds,
                confidence: confidence
                    .get(class)
                    .copied()
                    .ok_or_else(|| Error::Output { reason: format!("class {class} has no confidence") })?,
            });
        }
        let partition = LastPartition::default();
        Ok(Self { taxonomy, label_map, found: None, output, regions, timings, partition })
    }

    /// The same with classes merged in the network's output.
    pub(crate) fn merged(&self, merge: &Merge) -> Result<Self> {
        let taxonomy = Arc::new(merge.taxonomy(&self.taxonomy));
        let values = merge.values(self.output.values(), self.output.spec().kind);
        let output = NetworkOutput::new(values, self.output.spec().clone(), *self.output.geometry());
        let label_map = output.label_map(self.label_map.width(), self.label_map.height())?;
        let confidence = postprocess::mean_confidence(output.values(), output.spec(), output.geometry());
        Self::new(taxonomy, label_map, output, &confidence, self.timings)
    }

    /// The same with another label map, of the same size and classes.
    pub(crate) fn with_label_map(&self, label_map: LabelMap) -> Result<Self> {
        let mut confidence = vec![0.0; self.taxonomy.len()];
        // A photo that is all garment has no background to be sure of.
        if let Some(background) = confidence.first_mut() {
            *background = 1.0;
        }
        for region in &self.regions {
            confidence[region.class] = region.confidence;
        }
        let found = self.found.clone().unwrap_or_else(|| Arc::new(self.label_map.clone()));
        let output = self.output.clone();
        let new = Self::new(Arc::clone(&self.taxonomy), label_map, output, &confidence, self.timings)?;
        Ok(Self { found: Some(found), ..new })
    }

    /// The classes that indices stand for: the model's, unless some were merged.
    pub fn taxonomy(&self) -> &Taxonomy {
        &self.taxonomy
    }

    /// The class of every pixel.
    pub fn label_map(&self) -> &LabelMap {
        &self.label_map
    }

    #[doc(hidden)]
    /// What the network gave, at its own size: softer and finer things than the label map can be made from it.
    pub fn network_output(&self) -> &NetworkOutput {
        &self.output
    }

    /// The classes present, background included, in index order.
    pub fn regions(&self) -> &[ClassRegion] {
        &self.regions
    }

    /// Where the time went.
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// The mask of a class, an alias or a group, at the photo's size: 255 = yes, 0 = no.
    ///
    /// # Errors
    /// [`Error::UnknownClass`].
    pub fn mask(&self, name: &str) -> Result<GrayImage> {
        let classes = self.taxonomy.resolve(name)?;
        Ok(self.mask_of(&classes))
    }

    /// How likely each pixel is a class, an alias or a group, at the photo's size: 255 = surely. See
    /// [`postprocess::soft_mask`](crate::postprocess::soft_mask).
    ///
    /// # Errors
    /// [`Error::UnknownClass`].
    pub fn soft_mask(&self, name: &str) -> Result<GrayImage> {
        let classes = self.taxonomy.resolve(name)?;
        self.soft_mask_of(&classes)
    }

    /// The soft mask of several classes by index, as [`Segmentation::soft_mask`]. Where the mask was changed afterwards
    /// ([`Segmentation::with_masks`]) it is 255 for pixels that joined the classes, and 0 for those that left them.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn soft_mask_of(&self, classes: &[usize]) -> Result<GrayImage> {
        let mut levels = self.output.soft_mask(self.label_map.width(), self.label_map.height(), classes)?;
        if let Some(found) = &self.found {
            let is_one: [bool; 256] = std::array::from_fn(|class| classes.contains(&class));
            let labels = found.labels().iter().zip(self.label_map.labels());
            for (level, (before, now)) in levels.iter_mut().zip(labels) {
                match (is_one[usize::from(*before)], is_one[usize::from(*now)]) {
                    (false, true) => *level = 255,
                    (true, false) => *level = 0,
                    _ => {}
                }
            }
        }
        Ok(levels)
    }

    /// The mask of several classes by index, as [`Segmentation::mask`].
    pub fn mask_of(&self, classes: &[usize]) -> GrayImage {
        self.label_map.mask(classes)
    }

    #[doc(hidden)]
    /// The photo cut into polygons of all classes, background included, that share their borders. The last one is kept:
    /// asking again with the same options costs nothing.
    pub fn partition(&self, options: &PolygonOptions) -> Arc<Partition> {
        if let Some((_, partition)) = self.partition.get().filter(|(last, _)| last == options) {
            return partition;
        }
        let partition = Arc::new(polygon::partition_of(&self.label_map, &self.output, options));
        self.partition.set(*options, &partition);
        partition
    }

    /// The outlines of a class, an alias or a group, in photo pixels; each class of a group for itself. They are a part
    /// of [`Segmentation::partition`]: neighbouring classes share their borders.
    ///
    /// # Errors
    /// [`Error::UnknownClass`].
    pub fn polygons(&self, name: &str, options: &PolygonOptions) -> Result<Vec<Polygon>> {
        let classes = self.taxonomy.resolve(name)?;
        let present = self.regions.iter().filter(|region| classes.contains(&region.class));
        Ok(present.flat_map(|region| self.polygons_of(region, options)).collect())
    }

    /// The outlines of one class that is present, as [`Segmentation::polygons`].
    pub fn polygons_of(&self, region: &ClassRegion, options: &PolygonOptions) -> Vec<Polygon> {
        self.partition(options).polygons(region.class)
    }
}
