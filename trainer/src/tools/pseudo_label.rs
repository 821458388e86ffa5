//! Labels photos with a model: to train on what it is sure of (self-training: Lee, "Pseudo-Label: The Simple and Efficient
//! Semi-Supervised Learning Method for Deep Neural Networks", 2013; Xie et al., "Self-training with Noisy Student improves
//! ImageNet classification", 2020), or as a start for labelling by hand.
//!
//! Written is the layout `folder`: `OUTPUT/train/{images,labels}` and `OUTPUT/class_dict.csv` with the model's classes. What the
//! model is not sure of counts nowhere ([`IGNORE`]).
//!
//! [`WeakLabels`] constrain the labels. With tags, a pixel is of a class that the photo's tags allow. With boxes, a class that
//! boxes are drawn for lies in a box of it, and each box has its class. What the file says is then also written as
//! `OUTPUT/tags.csv`, in the model's classes, so that a training on the output learns what the photos show.

mod labels;
mod weak;

use std::fmt;
use std::path::{Path, PathBuf};

use clothseg::{Limits, Photo, Segmenter};
use clothseg_batch::write_atomically;

use self::labels::labels;
use self::weak::{Constraints, Place};
use crate::data::prepare::{agree, is_written, start_output, write_example};
use crate::data::tag_file::write_tags;
use crate::data::{IGNORE, LabelImage, photos_of};
use crate::error::{Error, Result};

pub use self::weak::WeakLabels;

/// The split that is written.
const SPLIT: &str = "train";

/// What to label, and how.
#[derive(Clone, Debug)]
pub struct PseudoLabelOptions {
    /// Folder of the photos.
    pub photos: PathBuf,
    /// Root of the folder layout.
    pub output: PathBuf,
    /// What is known of the photos.
    pub weak: WeakLabels,
    /// How likely the class of a pixel must be to count, among those that it may be, 0 to 1.
    pub least_probability: f64,
    /// Quality of the JPEG files, 1 to 100.
    pub jpeg_quality: u8,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PseudoLabelled {
    /// Photos that lie there with a label now.
    pub photos: usize,
    /// How many of them an earlier call had written.
    pub kept: usize,
    /// Photos without a label; a line is logged for each.
    pub left_out: LeftOut,
    /// Share of the pixels written by this call that are sure.
    pub sure: f64,
}

/// Photos that got no label, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// They could not be read.
    pub unreadable: usize,
    /// The tag file or box file does not name them.
    pub unnamed: usize,
    /// A box has no pixel that looks like its class.
    pub without_boxed_class: usize,
    /// No garment is sure.
    pub without_garment: usize,
}

/// What became of a photo.
enum Outcome {
    Written { sure: usize, pixels: usize },
    Unreadable(String),
    Unnamed,
    WithoutBoxedClass(Place),
    WithoutGarment,
}

/// Labels the photos of a folder, one at a time. A call that was stopped goes on.
pub fn pseudo_label(segmenter: &Segmenter, options: &PseudoLabelOptions) -> Result<PseudoLabelled> {
    let files = photos_of(&options.photos)?;
    if files.is_empty() {
        return Err(Error::file(&options.photos, "has no photo"));
    }
    let taxonomy = &segmenter.spec().taxonomy;
    let classes: Vec<String> = taxonomy.classes.iter().map(|class| class.name.clone()).collect();
    let constraints = Constraints::open(&options.weak, taxonomy)?;
    start_output(&options.output, [SPLIT].into_iter(), &classes, &manifest(segmenter, options)?)?;
    start_tags(&options.output, &constraints, &classes)?;
    let split = options.output.join(SPLIT);
    let (mut done, mut sure, mut pixels) = (PseudoLabelled::default(), 0, 0);
    for (stem, path) in files {
        if is_written(&split, &stem) {
            (done.photos, done.kept) = (done.photos + 1, done.kept + 1);
            continue;
        }
        match label(segmenter, options, &constraints, &split, (&stem, &path))? {
            Outcome::Written { sure: certain, pixels: all } => {
                done.photos += 1;
                (sure, pixels) = (sure + certain, pixels + all);
            }
            outcome => done.left_out.count(&path, &outcome),
        }
    }
    done.sure = sure as f64 / pixels.max(1) as f64;
    Ok(done)
}

/// Labels one photo, by stem and path.
fn label(
    segmenter: &Segmenter,
    options: &PseudoLabelOptions,
    constraints: &Constraints,
    split: &Path,
    (stem, path): (&str, &Path),
) -> Result<Outcome> {
    let photo = match Photo::open(path, &Limits::default()) {
        Ok(photo) => Photo::from_rgb(photo.srgb().into_owned())?,
        Err(error) => return Ok(Outcome::Unreadable(error.chain())),
    };
    let size = (photo.width(), photo.height());
    let Some(allowed) = constraints.of(stem, size.0, size.1)? else { return Ok(Outcome::Unnamed) };
    let segmentation = segmenter.segment(&photo)?;
    let labels: LabelImage = match labels(segmentation.network_output(), size, &allowed, options.least_probability) {
        Ok(labels) => labels,
        Err(place) => return Ok(Outcome::WithoutBoxedClass(place.clone())),
    };
    let is_garment = |class: &u8| *class != IGNORE && segmenter.spec().taxonomy.is_garment(usize::from(*class));
    if !labels.data.iter().any(is_garment) {
        return Ok(Outcome::WithoutGarment);
    }
    write_example(photo.rgb(), &labels, split, stem, options.jpeg_quality)?;
    let sure = labels.data.iter().filter(|class| **class != IGNORE).count();
    Ok(Outcome::Written { sure, pixels: labels.data.len() })
}

/// Writes what is known of the photos, where anything is.
fn start_tags(output: &Path, constraints: &Constraints, classes: &[String]) -> Result<()> {
    let tags = constraints.tags()?;
    if tags.is_empty() {
        return Ok(());
    }
    let path = output.join("tags.csv");
    let tags = tags.iter().map(|(photo, tags)| (*photo, tags));
    let text = write_tags(tags, classes).map_err(|error| Error::file(&path, error.to_string()))?;
    agree(&path, &text, "was written from other tags or boxes")?;
    Ok(write_atomically(&path, &text)?)
}

impl LeftOut {
    /// All of them.
    pub fn total(self) -> usize {
        self.unreadable + self.unnamed + self.without_boxed_class + self.without_garment
    }

    /// Counts a photo and names it in the log.
    fn count(&mut self, path: &Path, outcome: &Outcome) {
        let path = path.display();
        match outcome {
            Outcome::Written { .. } => {}
            Outcome::Unreadable(cause) => {
                self.unreadable += 1;
                tracing::warn!("skipped {path}: {cause}");
            }
            Outcome::Unnamed => {
                self.unnamed += 1;
                tracing::warn!("skipped {path}: the file of tags or boxes does not name it");
            }
            Outcome::WithoutBoxedClass(Place { name, edges: [left, top, right, bottom], .. }) => {
                self.without_boxed_class += 1;
                tracing::warn!(
                    "left out: {path}: nothing in the box {left},{top},{right},{bottom} looks like `{name}` to the model"
                );
            }
            Outcome::WithoutGarment => {
                self.without_garment += 1;
                tracing::warn!("skipped {path}: no garment is sure");
            }
        }
    }
}

impl fmt::Display for LeftOut {
    /// `3 left out (1 unreadable, 2 without a sure garment)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = [
            (self.unreadable, "unreadable"),
            (self.unnamed, "not named by the tags or boxes"),
            (self.without_boxed_class, "with a box that looks like nothing of its class"),
            (self.without_garment, "without a sure garment"),
        ];
        let reasons = reasons.iter().filter(|(count, _)| *count > 0);
        let reasons: Vec<String> = reasons.map(|(count, reason)| format!("{count} {reason}")).collect();
        write!(formatter, "{} left out", self.total())?;
        if reasons.is_empty() { Ok(()) } else { write!(formatter, " ({})", reasons.join(", ")) }
    }
}

/// All that the files depend on.
fn manifest(segmenter: &Segmenter, options: &PseudoLabelOptions) -> Result<Vec<u8>> {
    let mut facts = serde_json::json!({
        "photos": options.photos.to_string_lossy(),
        "model": segmenter.spec().name,
        "model_hash": segmenter.model_hash(),
        "quality": segmenter.quality().name(),
        "cleans_up": segmenter.cleans_up(),
        "least_probability": options.least_probability,
        "jpeg_quality": options.jpeg_quality,
    });
    let (kind, file, mapping) = match &options.weak {
        WeakLabels::None => return Ok(format!("{facts:#}\n").into_bytes()),
        WeakLabels::Tags { file, mapping } => ("tags", file, mapping),
        WeakLabels::Boxes { file, mapping } => ("boxes", file, mapping),
    };
    for (key, path) in [(kind, file), ("mapping", mapping)] {
        let text = std::fs::read(path).map_err(Error::io("read", path))?;
        facts[key] =
            serde_json::json!({ "file": path.to_string_lossy(), "blake3": blake3::hash(&text).to_hex().as_str() });
    }
    Ok(format!("{facts:#}\n").into_bytes())
}

#[cfg(test)]
mod tests;
