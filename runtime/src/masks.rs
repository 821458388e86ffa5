//! Masks as their users want them: merged, with holes filled, without small pieces, grown, feathered, inverted.
//!
//! The steps are taken in this order, each on what the one before has left. Those up to growing change the label map, so that
//! all formats agree; feathering and inverting change masks and the alpha of cut-outs, which have more than yes and no. All take
//! time linear in the pixels, whatever the distance.

mod areas;
mod distance;
mod feather;
mod grow;
mod holes;
mod length;
mod nearest;

use std::borrow::Cow;

use image::GrayImage;

pub use length::Length;
pub(crate) use nearest::nearest;

use crate::error::{Error, Result};
use crate::merge::Merge;
pub use crate::merge::MergedClass;
use crate::postprocess::LabelMap;
use crate::segmenter::Segmentation;
use crate::taxonomy::Taxonomy;

/// What becomes of masks: [`MaskOptions::default`] with what differs.
///
/// A pixel belongs to a class, to another chosen one, or to none, which is background and every class that is not chosen. No
/// step takes a pixel from another chosen class, so that a label map still has one class a pixel.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct MaskOptions {
    /// Classes that become one. Its scores are the log of the sum of their exponentials (of probabilities, the sum), and then
    /// the largest of all wins: where a shirt and a coat are both more likely than not, together, and neither by itself, the
    /// merged class is there.
    pub merge: Vec<MergedClass>,
    /// Whether holes are filled. A hole of a class is an area of pixels without it that are neighbours by an edge, and that
    /// does not reach the edge of the photo. Its pixels of no class become the class; where holes of several classes lie
    /// within each other, of the smallest one.
    pub fill_holes: bool,
    /// Whether of each class only the largest piece stays: pixels that are neighbours by an edge or a corner. Of several of one
    /// size the one with the first pixel stays, row by row.
    pub largest: bool,
    /// Smallest share of the photo, 0..1, that a class must have; classes with less become background.
    pub min_share: f64,
    /// How far masks grow: pixels of no class whose centre is at most so far from the centre of one of a class join the
    /// nearest one (of several the topmost, then the leftmost). Less than 0 shrinks: pixels at most so far from one that is
    /// not of their class become background. The edge of the photo takes nothing off.
    pub grow: Length,
    /// Half the width of the soft edge of masks and cut-outs, 0 for none. With d the distance of a pixel from the outline, less
    /// than 0 outside, the level is 255 (1/2 + d / (2 feather)), at least 0 and at most 255. The outline lies half a pixel from
    /// the centres on both sides of it.
    pub feather: Length,
    /// Whether masks and the alpha of cut-outs are inverted: 255 becomes 0.
    pub invert: bool,
}

/// Smallest share of a photo that a class has unless another one is asked for: see docs/formats.md for what was measured.
pub const DEFAULT_MIN_SHARE: f64 = 0.000_5;

impl Default for MaskOptions {
    /// Masks as the network sees them, without classes of a few pixels.
    fn default() -> Self {
        Self {
            merge: Vec::new(),
            fill_holes: false,
            largest: false,
            min_share: DEFAULT_MIN_SHARE,
            grow: Length::default(),
            feather: Length::default(),
            invert: false,
        }
    }
}

impl MaskOptions {
    /// The same with these classes merged.
    #[must_use]
    pub fn with_merge(mut self, merge: Vec<MergedClass>) -> Self {
        self.merge = merge;
        self
    }

    /// The same with holes filled, or not.
    #[must_use]
    pub fn with_fill_holes(mut self, fill_holes: bool) -> Self {
        self.fill_holes = fill_holes;
        self
    }

    /// The same with the largest piece of each class only, or with all.
    #[must_use]
    pub fn with_largest(mut self, largest: bool) -> Self {
        self.largest = largest;
        self
    }

    /// The same with this smallest share of the photo, 0..1.
    #[must_use]
    pub fn with_min_share(mut self, min_share: f64) -> Self {
        self.min_share = min_share;
        self
    }

    /// The same with masks that grow so far, or shrink.
    #[must_use]
    pub fn with_grow(mut self, grow: Length) -> Self {
        self.grow = grow;
        self
    }

    /// The same with this soft edge.
    #[must_use]
    pub fn with_feather(mut self, feather: Length) -> Self {
        self.feather = feather;
        self
    }

    /// The same with masks inverted, or not.
    #[must_use]
    pub fn with_invert(mut self, invert: bool) -> Self {
        self.invert = invert;
        self
    }

    /// Checks that the values make sense.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the first fault.
    pub fn validate(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.min_share) {
            return Err(Error::Invalid(format!("a smallest share of {}: 0 to 1 is possible", self.min_share)));
        }
        if self.feather.is_negative() {
            return Err(Error::Invalid(format!("a feather of {}: 0 or more is possible", self.feather)));
        }
        Ok(())
    }

    /// The classes that there are when those of a model are merged, and the indices of those wanted among them.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a class is to be merged twice, or background is.
    pub fn classes(&self, taxonomy: &Taxonomy, wanted: &[usize]) -> Result<(Taxonomy, Vec<usize>)> {
        let merge = Merge::new(taxonomy, &self.merge)?;
        Ok((merge.taxonomy(taxonomy), merge.indices(wanted)))
    }

    /// Whether masks have other levels than 0 and 255.
    pub(crate) fn feathers(&self) -> bool {
        self.feather.is_some()
    }

    /// The levels of a mask after feathering and inverting.
    pub(crate) fn levels(&self, mask: GrayImage) -> GrayImage {
        let feathered = if self.feather.is_some() { feather::feather(mask, self.feather) } else { mask };
        self.inverted(feathered)
    }

    /// The levels after inverting alone.
    pub(crate) fn inverted(&self, mut mask: GrayImage) -> GrayImage {
        if self.invert {
            mask.iter_mut().for_each(|level| *level = 255 - *level);
        }
        mask
    }

    /// A label map after the steps from filling holes to growing; nothing where none of them changes a pixel.
    fn labels(&self, map: &LabelMap, classes: &[usize]) -> Result<Option<LabelMap>> {
        let (width, height) = (map.width() as usize, map.height() as usize);
        let is_chosen: [bool; 256] = std::array::from_fn(|class| class > 0 && classes.contains(&class));
        let mut labels = Cow::Borrowed(map.labels());
        if width == 0 || height == 0 {
            return Ok(None);
        }
        if self.fill_holes {
            holes::fill(labels.to_mut(), width, &map.extents(), &is_chosen);
        }
        if self.largest {
            areas::keep_largest(labels.to_mut(), width, &is_chosen);
        }
        if self.min_share > 0.0 {
            drop_small(&mut labels, self.min_share, &is_chosen);
        }
        let reach_px = self.grow.pixels(map.width(), map.height());
        if reach_px > 0.0 {
            labels = Cow::Owned(grow::grow(&labels, width, reach_px, &is_chosen));
        } else if reach_px < 0.0 {
            labels = Cow::Owned(grow::shrink(&labels, width, -reach_px, &is_chosen));
        }
        match labels {
            Cow::Owned(labels) if labels != map.labels() => LabelMap::new(map.width(), map.height(), labels).map(Some),
            _ => Ok(None),
        }
    }
}

/// Makes chosen classes of fewer pixels than a share of all background.
fn drop_small(labels: &mut Cow<'_, [u8]>, min_share: f64, is_chosen: &[bool; 256]) {
    let counts = areas::counts(labels);
    let least = min_share * labels.len() as f64;
    let is_small: [bool; 256] =
        std::array::from_fn(|class| is_chosen[class] && counts[class] > 0 && (counts[class] as f64) < least);
    if is_small.contains(&true) {
        let table: [u8; 256] = std::array::from_fn(|class| if is_small[class] { 0 } else { class as u8 });
        labels.to_mut().iter_mut().for_each(|label| *label = table[usize::from(*label)]);
    }
}

/// A segmentation after the steps that change its label map.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Masked<'a> {
    /// What is where. Its classes are those of [`Segmentation::taxonomy`]: others than the model's where some were merged.
    pub segmentation: Cow<'a, Segmentation>,
    /// The indices of the classes wanted.
    pub classes: Vec<usize>,
}

impl Segmentation {
    /// The same with the masks of `classes` (indices) merged, filled, cleared of small pieces and grown. Feathering and
    /// inverting are left to the formats that have levels: see [`OutputOptions::masks`](crate::export::OutputOptions::masks)
    /// and [`Segmentation::mask_levels`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for options that make no sense.
    pub fn with_masks(&self, classes: &[usize], options: &MaskOptions) -> Result<Masked<'_>> {
        options.validate()?;
        let mut segmentation = Cow::Borrowed(self);
        let mut classes = classes.to_vec();
        if !options.merge.is_empty() {
            let merge = Merge::new(self.taxonomy(), &options.merge)?;
            classes = merge.indices(&classes);
            segmentation = Cow::Owned(self.merged(&merge)?);
        }
        if let Some(labels) = options.labels(segmentation.label_map(), &classes)? {
            segmentation = Cow::Owned(segmentation.with_label_map(labels)?);
        }
        Ok(Masked { segmentation, classes })
    }

    /// The mask of several classes by index, feathered and inverted as the options say.
    pub fn mask_levels(&self, classes: &[usize], options: &MaskOptions) -> GrayImage {
        options.levels(self.mask_of(classes))
    }
}

#[cfg(test)]
mod tests;
