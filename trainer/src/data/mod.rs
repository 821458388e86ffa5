//! Labelled photos: where they lie, what their labels mean, and how they become batches.
//!
//! A reader ([`folder`], [`ccp`], [`imaterialist`], [`coco`], [`labelme`], [`yolo`], [`label_studio`], [`tagged`]) finds [`Pair`]s of a photo and its [`Label`], and the
//! names of the label's indices. A [`TagFile`] tells what photos show beside their labels, a [`BoxFile`] roughly where. A [`Mapping`] turns the indices into classes of a [`clothseg::Taxonomy`]. A [`Dataset`] checks
//! all of it once and then loads [`Sample`]s; [`augment`] cuts crops from them and [`batch`] stacks these, beside the
//! training step. [`mod@prepare`] writes any of the layouts as the folder layout.

pub mod augment;
pub mod batch;
pub mod boxes;
pub mod ccp;
pub mod coco;
pub mod colors;
pub mod contents;
pub mod dataset;
mod dimensions;
mod drawn;
pub mod files;
pub mod folder;
pub mod imaterialist;
pub mod label;
pub mod label_png;
pub mod label_studio;
pub mod labelme;
pub mod mapping;
mod parts;
pub mod polygon;
pub mod prepare;
pub mod regions;
pub mod run_length;
pub mod runs;
mod sets;
pub mod source;
mod table;
pub mod tag_file;
pub mod tagged;
pub mod tags;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod testing;
pub(crate) mod text;
pub(crate) mod yaml;
pub mod yolo;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) use clothseg::internals::files::{PHOTO_EXTENSIONS, is_of_system};
use image::RgbImage;

use crate::error::{Error, Result};

use dimensions::image_dimensions;
use source::report_damage;

pub use augment::{Augmentation, Crop, Frame};
pub use batch::{Batch, Plan, Prefetch};
pub use boxes::{BoxFile, ClassBox};
pub use contents::Contents;
pub use dataset::Dataset;
pub use files::DataFiles;
pub use label::{Label, LabelImage};
pub use label_png::LabelReading;
pub use mapping::{Mapping, Target};
pub use prepare::{OutputSize, PrepareOptions, Prepared, Splits, prepare};
pub use sets::LabelSets;
pub use source::{Layout, OnDamage, Source, SourceFiles};
pub use tag_file::{TagFile, Vocabulary};
pub use tags::{Shown, Tags};

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

/// [`list_by_stem`] where nothing is checked: what is left out is a warning.
pub(crate) fn files_by_stem(folder: &Path, extensions: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    let mut incomplete = Vec::new();
    let files = list_by_stem(folder, extensions, &mut incomplete)?;
    report_damage(incomplete, OnDamage::Skip)?;
    Ok(files)
}

/// Files of `folder` with one of the `extensions`, by stem. Of files of one stem the one whose name comes first stays,
/// and the others are named in `incomplete`: nothing tells which of them a label belongs to.
fn list_by_stem(folder: &Path, extensions: &[&str], incomplete: &mut Vec<String>) -> Result<BTreeMap<String, PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io("list", folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<std::io::Result<_>>().map_err(Error::io("list", folder))?;
    paths.sort_unstable();
    let mut files = BTreeMap::new();
    for path in paths {
        let extension = path.extension().and_then(|text| text.to_str()).map(str::to_lowercase);
        let stem = path.file_stem().and_then(|text| text.to_str()).map(str::to_owned);
        if path.file_name().and_then(|name| name.to_str()).is_some_and(is_of_system) {
            continue;
        }
        if let (Some(extension), Some(stem)) = (extension, stem)
            && extensions.contains(&extension.as_str())
        {
            match files.entry(stem) {
                Entry::Vacant(place) => _ = place.insert(path),
                Entry::Occupied(first) => {
                    let first = first.get().file_name().unwrap_or_default().display();
                    incomplete
                        .push(format!("{}: has the name of {first}; rename or remove one of them", path.display()));
                }
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn of_two_files_of_one_name_the_first_stays_and_the_other_is_damage() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("train/images");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::create_dir_all(root.path().join("train/labels")).unwrap();
        std::fs::write(root.path().join("class_dict.csv"), "name,r,g,b\nbackground,0,0,0\nshirt,1,1,1\n").unwrap();
        for name in ["7.png", "7.jpg", "7.bmp", "8.jpg", "8.txt", "._8.jpg", ".DS_Store", "Thumbs.db"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        for name in ["7.png", "8.png"] {
            std::fs::write(root.path().join("train/labels").join(name), "").unwrap();
        }
        let Listing { pairs, incomplete, .. } =
            folder::list(root.path(), "train", "labels", LabelReading::Auto).unwrap();
        let photos: Vec<_> = pairs.iter().map(|pair| pair.photo.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(photos, ["7.bmp", "8.jpg"]);
        assert_eq!(incomplete.len(), 2);
        assert!(incomplete[0].contains("7.jpg: has the name of 7.bmp"), "{incomplete:?}");
        assert!(incomplete[1].contains("7.png: has the name of 7.bmp"), "{incomplete:?}");
        assert_eq!(files_by_stem(&folder, PHOTO_EXTENSIONS).unwrap().len(), 2);
    }
}
