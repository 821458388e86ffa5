//! Labelled photos: where they lie, what their labels mean, and how they become batches.
//!
//! A reader, one for each [`Layout`], finds [`Pair`]s of a photo and its [`Label`], and the names of the label's indices. A
//! [`TagFile`] tells what photos show beside their labels, a [`BoxFile`] roughly where. A [`Mapping`] turns the indices into
//! classes of a [`clothseg::Taxonomy`]. A [`Dataset`] checks all of it once and then loads [`Sample`]s; [`augment`] cuts crops
//! from them and [`Prefetch`] stacks these to [`Batch`]es, beside the training step. [`prepare()`] writes any of the layouts as
//! the folder layout.

pub mod augment;
mod batch;
mod boxes;
mod ccp;
mod coco;
mod contents;
mod dataset;
mod dimensions;
mod drawn;
mod files;
mod folder;
mod imaterialist;
pub(crate) mod label;
mod label_png;
mod label_studio;
mod labelme;
pub(crate) mod mapping;
mod parts;
mod photos;
mod polygon;
pub(crate) mod prepare;
mod regions;
mod run_length;
mod runs;
mod sets;
mod source;
pub(crate) mod tag_file;
mod tagged;
mod tags;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod testing;
mod yolo;

use std::collections::BTreeSet;
use std::path::PathBuf;

pub(crate) use clothseg::internals::files::{PHOTO_EXTENSIONS, is_of_system};
use image::RgbImage;

use dimensions::image_dimensions;
pub(crate) use photos::photos_of;

pub use augment::{Augmentation, Crop, Frame};
pub use batch::{Batch, Plan, Prefetch};
pub use boxes::{BoxFile, ClassBox};
pub use contents::{ClassCount, Contents};
pub use dataset::Dataset;
pub use drawn::KnownLabels;
pub use files::DataFiles;
pub use label::{Label, LabelImage};
pub use mapping::Mapping;
pub use prepare::{OutputSize, PrepareOptions, Prepared, Splits, prepare};
pub use sets::LabelSets;
pub use source::{Source, resolve};
pub use tag_file::{TagFile, Vocabulary};
pub use tags::{Shown, Tags};

pub use crate::classes::{IGNORE, Target};
pub use crate::config::{LabelReading, Layout, OnDamage, SourceFiles};

/// A photo and its label on disk.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The photo's name in its source.
    pub stem: String,
    /// The photo.
    pub photo: PathBuf,
    /// The label, in indices into [`Listing::classes`].
    pub label: Label,
}

/// What a reader finds.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Names of the label's indices, from 0.
    pub classes: Vec<String>,
    /// Of these, the indices that no label has, as far as the reader knows: they need no mapping.
    pub unused: BTreeSet<u8>,
    /// The complete pairs, sorted by stem.
    pub pairs: Vec<Pair>,
    /// Examples that cannot be used: photos without a label, labels without a photo, damaged ones. One line each, causes before
    /// what follows from them.
    pub incomplete: Vec<String>,
    /// Damaged pieces of labels whose other pieces can be used. One line a photo.
    pub bad_pieces: Vec<String>,
    /// What was left out and costs nothing. One line each.
    pub notes: Vec<String>,
    /// Files beside those of the pairs that the labels depend on: class tables, annotation files.
    pub tables: Vec<PathBuf>,
}

/// A photo with its label in classes of the target taxonomy.
#[derive(Clone, Debug)]
pub struct Sample {
    /// RGB, upright.
    pub photo: RgbImage,
    /// Same size; target class, label of a set of classes ([`LabelSets`]), or [`IGNORE`].
    pub labels: LabelImage,
    /// What it shows, where that is known beside the label.
    pub tags: Option<Tags>,
}
