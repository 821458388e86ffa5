//! Sources put together, checked, and loaded one example at a time.

use std::path::PathBuf;

use clothseg::decode::{Limits, Photo};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{LabelImage, Listing, Mapping, Pair, Sample, Target, ccp, folder, image_dimensions};
use crate::error::{Error, Result};

/// How many damaged examples a message names.
const NAMED: usize = 20;

/// How a source lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// See [`super::folder`].
    Folder,
    /// See [`super::ccp`].
    Ccp,
}

/// What to do with damaged examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDamage {
    /// Stop and name them.
    #[default]
    Refuse,
    /// Warn, name them and go on without.
    Skip,
}

/// One source of examples, with its paths resolved.
#[derive(Clone, Debug)]
pub struct Source {
    /// How it lies on disk.
    pub layout: Layout,
    /// Its root folder.
    pub root: PathBuf,
    /// `train`, `valid`, `test` ...
    pub split: String,
    /// The mapping file; without one the classes' names must be the taxonomy's.
    pub mapping: Option<PathBuf>,
    /// How often an epoch shows each example, on average: 0.5 is every other one.
    pub repeat: f64,
    /// Width over height that the photos had before they were squashed to another shape.
    pub aspect: Option<f64>,
}

#[derive(Clone, Debug)]
struct Entry {
    pair: Pair,
    source: usize,
}

/// The examples of one or more sources, in target classes.
#[derive(Clone, Debug)]
pub struct Dataset {
    entries: Vec<Entry>,
    mappings: Vec<Mapping>,
    sources: Vec<Source>,
    skipped: usize,
}

impl Dataset {
    /// Lists the sources and looks into every label: pairs, sizes, indices.
    pub fn open(sources: &[Source], target: &Target, on_damage: OnDamage) -> Result<Self> {
        let mut entries = Vec::new();
        let mut mappings = Vec::new();
        let mut damage = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let Listing { classes, pairs, incomplete } = list(source)?;
            let mapping = match &source.mapping {
                Some(path) => Mapping::open(path, &classes, target)?,
                None => Mapping::by_name(&classes, target).map_err(|cause| Error::file(&source.root, cause))?,
            };
            damage.extend(incomplete);
            let checked: Vec<Option<String>> = pairs.par_iter().map(|pair| check(pair, mapping.len())).collect();
            for (pair, cause) in pairs.into_iter().zip(checked) {
                match cause {
                    None => entries.push(Entry { pair, source: index }),
                    Some(cause) => damage.push(cause),
                }
            }
            mappings.push(mapping);
        }
        let skipped = damage.len();
        report(damage, on_damage)?;
        if entries.is_empty() {
            let root = sources.first().map(|source| source.root.clone()).unwrap_or_default();
            return Err(Error::file(root, "holds no usable example"));
        }
        Ok(Self { entries, mappings, sources: sources.to_vec(), skipped })
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of examples that were skipped because of damage.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// The files of an example.
    pub fn pair(&self, index: usize) -> &Pair {
        &self.entries[index].pair
    }

    /// The source of an example.
    pub fn source(&self, index: usize) -> &Source {
        &self.sources[self.entries[index].source]
    }

    /// Decodes an example and maps its label.
    pub fn load(&self, index: usize) -> Result<Sample> {
        let entry = &self.entries[index];
        let photo = Photo::open(&entry.pair.photo, &Limits::default())?.rgb().clone();
        let labels = LabelImage::open(&entry.pair.label)?;
        if photo.dimensions() != (labels.width, labels.height) {
            return Err(Error::file(
                &entry.pair.label,
                format!("is {} x {}, its photo {:?} upright", labels.width, labels.height, photo.dimensions()),
            ));
        }
        Ok(Sample { photo, labels: self.mappings[entry.source].apply(labels) })
    }
}

fn list(source: &Source) -> Result<Listing> {
    if !source.root.is_dir() {
        return Err(Error::file(
            &source.root,
            "there is no such folder; set the environment variable CLOTHSEG_DATA to the folder that the data lies in, \
             or write an absolute path into the config",
        ));
    }
    match source.layout {
        Layout::Folder => folder::list(&source.root, &source.split),
        Layout::Ccp => ccp::list(&source.root, &source.split),
    }
}

/// What is wrong with a pair, if anything.
fn check(pair: &Pair, classes: usize) -> Option<String> {
    let (photo, label) = match (image_dimensions(&pair.photo), LabelImage::open(&pair.label)) {
        (Ok(photo), Ok(label)) => (photo, label),
        (Err(error), _) | (_, Err(error)) => return Some(error.to_string()),
    };
    if photo != (label.width, label.height) {
        return Some(format!(
            "{}: {} x {}, its photo {} x {}",
            pair.label.display(),
            label.width,
            label.height,
            photo.0,
            photo.1
        ));
    }
    let largest = label.data.iter().copied().filter(|index| *index != super::IGNORE).max().unwrap_or(0);
    if usize::from(largest) >= classes {
        return Some(format!("{}: class {largest}, and the dataset has {classes}", pair.label.display()));
    }
    None
}

fn report(damage: Vec<String>, on_damage: OnDamage) -> Result<()> {
    if damage.is_empty() {
        return Ok(());
    }
    let total = damage.len();
    let found: Vec<String> = damage.into_iter().take(NAMED).collect();
    if on_damage == OnDamage::Refuse {
        return Err(Error::Damage { found, total });
    }
    for line in &found {
        tracing::warn!("skipped: {line}");
    }
    if total > found.len() {
        tracing::warn!("skipped: {} more", total - found.len());
    }
    Ok(())
}
