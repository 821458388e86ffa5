//! What formats are made from.

use std::cell::OnceCell;

use image::GrayImage;

use super::coco::CocoPhoto;
use super::options::OutputOptions;
use super::outline::{ClassOutline, outlines};
use crate::decode::Photo;
use crate::error::Result;
use crate::segmenter::{ClassRegion, Segmentation, Segmenter};
use crate::taxonomy::Taxonomy;

/// A photo, what was found in it, and how files are to be made of it.
#[derive(Clone)]
#[non_exhaustive]
pub struct PhotoView<'a> {
    /// What segmented it.
    pub segmenter: &'a Segmenter,
    /// The photo.
    pub photo: &'a Photo,
    /// What was found.
    pub segmentation: &'a Segmentation,
    /// Class indices wanted.
    pub classes: &'a [usize],
    /// How files are made.
    pub options: &'a OutputOptions,
    /// The outlines of the classes wanted; empty where no format of the options [needs](super::Needs::outlines) them.
    pub outlines: Vec<ClassOutline<'a>>,
    /// The photo as its results name it: its path below the folder of photos.
    pub name: &'a str,
    /// The path from the files to the photo, with `/` between its parts.
    pub path: &'a str,
    /// Milliseconds that decoding took; 0 where they are not known.
    pub decode_ms: f64,
}

impl<'a> PhotoView<'a> {
    /// A photo without name and path.
    pub fn new(
        segmenter: &'a Segmenter,
        photo: &'a Photo,
        segmentation: &'a Segmentation,
        classes: &'a [usize],
        options: &'a OutputOptions,
    ) -> Self {
        let outlined = options.formats.iter().any(|format| format.exporter().needs().outlines);
        let outlines = if outlined { outlines(segmentation, classes, &options.polygons) } else { Vec::new() };
        Self { segmenter, photo, segmentation, classes, options, outlines, name: "", path: "", decode_ms: 0.0 }
    }

    /// The same with the photo's name and the path to it.
    #[must_use]
    pub fn with_name(mut self, name: &'a str, path: &'a str) -> Self {
        (self.name, self.path) = (name, path);
        self
    }

    /// The same with the time that decoding took, in milliseconds.
    #[must_use]
    pub fn with_decode_ms(mut self, decode_ms: f64) -> Self {
        self.decode_ms = decode_ms;
        self
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        let map = self.segmentation.label_map();
        (map.width(), map.height())
    }

    /// The classes of the segmentation: the model's, unless some were merged.
    pub fn taxonomy(&self) -> &'a Taxonomy {
        self.segmentation.taxonomy()
    }
}

/// A class that is present.
pub struct ClassView<'a> {
    segmentation: &'a Segmentation,
    region: &'a ClassRegion,
    soft: OnceCell<GrayImage>,
}

impl<'a> ClassView<'a> {
    /// One of the [regions](Segmentation::regions) of the segmentation.
    pub fn new(segmentation: &'a Segmentation, region: &'a ClassRegion) -> Self {
        Self { segmentation, region, soft: OnceCell::new() }
    }

    /// Where it is.
    pub fn region(&self) -> &'a ClassRegion {
        self.region
    }

    /// Its mask.
    pub fn mask(&self) -> GrayImage {
        self.segmentation.mask_of(&[self.region.class])
    }

    /// Its soft mask, made once for all formats.
    ///
    /// # Errors
    /// [`Error::Output`](crate::Error::Output).
    pub fn soft_mask(&self) -> Result<&GrayImage> {
        if let Some(mask) = self.soft.get() {
            return Ok(mask);
        }
        let mask = self.segmentation.soft_mask_of(&[self.region.class])?;
        Ok(self.soft.get_or_init(|| mask))
    }
}

/// All photos of a run, for the files that a run has once.
#[non_exhaustive]
pub struct RunView<'a> {
    /// The classes of the model, merged where some were.
    pub taxonomy: &'a Taxonomy,
    /// Class indices wanted.
    pub classes: &'a [usize],
    /// Name of the model.
    pub model: &'a str,
    /// Gives the parts of all photos, in their order, as often as it is asked.
    pub parts: &'a Parts<'a>,
}

/// What gives the parts of all photos.
pub type Parts<'a> = dyn Fn() -> Result<Box<dyn Iterator<Item = Result<CocoPhoto>> + 'a>> + 'a;

impl<'a> RunView<'a> {
    /// A run of a model.
    pub fn new(taxonomy: &'a Taxonomy, classes: &'a [usize], model: &'a str, parts: &'a Parts<'a>) -> Self {
        Self { taxonomy, classes, model, parts }
    }
}
