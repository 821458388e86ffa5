//! Labelled photos: where they lie, what their labels mean, and how they become batches.
//!
//! A reader ([`folder`], [`ccp`], [`imaterialist`], [`coco`]) finds [`Pair`]s of a photo and its [`Label`], and the names
//! of the label's indices. A [`Mapping`] turns the indices into classes of a [`clothseg::Taxonomy`]. A [`Dataset`] checks
//! all of it once and then loads [`Sample`]s; [`augment`] cuts crops from them and [`batch`] stacks these, beside the
//! training step. [`mod@prepare`] writes any of the layouts as the folder layout.

pub mod augment;
pub mod batch;
pub mod ccp;
pub mod coco;
pub mod colors;
pub mod dataset;
mod dimensions;
pub mod folder;
pub mod imaterialist;
pub mod label;
pub mod mapping;
mod parts;
pub mod polygon;
pub mod prepare;
pub mod regions;
pub mod run_length;
pub mod runs;
pub mod source;

use std::path::{Path, PathBuf};

use image::RgbImage;

use crate::error::{Error, Result};

use dimensions::image_dimensions;

pub use augment::{Augmentation, Crop, Frame};
pub use batch::{Batch, Plan, Prefetch};
pub use dataset::Dataset;
pub use label::{Label, LabelImage};
pub use mapping::{Mapping, Target};
pub use prepare::{OutputSize, PrepareOptions, Prepared, Splits, prepare};
pub use source::{Layout, OnDamage, Source, SourceFiles};

/// The label of a pixel that counts nowhere: not in a loss, not in a metric.
pub const IGNORE: u8 = 255;

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
#[derive(Clone, Debug)]
pub struct Listing {
    /// Names of the label's indices, from 0.
    pub classes: Vec<String>,
    /// The complete pairs, sorted by stem.
    pub pairs: Vec<Pair>,
    /// What cannot be used: photos without a label, labels without a photo, damaged regions. One line each.
    pub incomplete: Vec<String>,
}

/// A photo with its label in classes of the target taxonomy.
#[derive(Clone, Debug)]
pub struct Sample {
    /// RGB, upright.
    pub photo: RgbImage,
    /// Same size; target class or [`IGNORE`].
    pub labels: LabelImage,
}

/// Files of `folder` with one of the `extensions`, by stem.
pub(crate) fn files_by_stem(folder: &Path, extensions: &[&str]) -> Result<std::collections::BTreeMap<String, PathBuf>> {
    let mut files = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        let extension = path.extension().and_then(|text| text.to_str()).map(str::to_lowercase);
        let stem = path.file_stem().and_then(|text| text.to_str()).map(str::to_owned);
        if let (Some(extension), Some(stem)) = (extension, stem)
            && extensions.contains(&extension.as_str())
        {
            files.insert(stem, path);
        }
    }
    Ok(files)
}

/// Extensions of photos.
pub(crate) const PHOTO_EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "webp", "bmp"];
