//! A source of examples: what lies where, and what to do with its damage.

use std::path::{Path, PathBuf};

use super::drawn::KnownLabels;
use super::{
    Layout, Listing, OnDamage, SourceFiles, Target, ccp, coco, folder, imaterialist, label_studio, labelme, tagged,
    yolo,
};
use crate::config::SourceConfig;
use crate::error::{Error, Result};

/// How many damaged examples a message names.
const NAMED: usize = 20;

/// One source of examples, with its paths resolved.
#[derive(Clone, Debug)]
pub struct Source {
    /// How it lies on disk.
    pub layout: Layout,
    /// Its root folder.
    pub root: PathBuf,
    /// `train`, `valid`, `test` ...
    pub split: String,
    /// Names that differ from the layout's own.
    pub files: SourceFiles,
    /// The mapping file; without one the classes' names must be the taxonomy's.
    pub mapping: Option<PathBuf>,
    /// How often an epoch shows each example, on average: 0.5 is every other one.
    pub repeat: f64,
    /// Width over height that the photos had before they were squashed to another shape.
    pub aspect: Option<f64>,
}

impl From<&SourceConfig> for Source {
    fn from(config: &SourceConfig) -> Self {
        Self {
            layout: config.layout,
            root: config.folder(),
            split: config.split.clone(),
            files: config.files(),
            mapping: config.mapping.clone(),
            repeat: config.repeat,
            aspect: config.aspect,
        }
    }
}

/// All sources, with their roots as [`SourceConfig::folder`] says.
pub fn resolve(sources: &[SourceConfig]) -> Vec<Source> {
    sources.iter().map(Source::from).collect()
}

impl Source {
    /// Finds the pairs, with the source's own classes. Labels in annotation files are checked; for others see
    /// [`Dataset`](super::Dataset).
    pub fn list(&self) -> Result<Listing> {
        self.list_for(None)
    }

    /// As [`Source::list`] for the classes that a network is to learn: where a layout has names in place of a list of classes,
    /// a region of another name is damage.
    pub fn list_for(&self, target: Option<&Target>) -> Result<Listing> {
        let Source { layout, root, split, files, mapping, .. } = self;
        if !root.is_dir() {
            return Err(Error::file(
                root,
                "there is no such folder; set the environment variable CLOTHSEG_DATA to the folder that the data lies in, \
                 or write an absolute path into the config",
            ));
        }
        if let Some(cause) = files.misplaced(*layout) {
            return Err(Error::file(root, cause));
        }
        let annotations = |default: String| root.join(files.annotations.clone().unwrap_or(default.into()));
        let images = root.join(files.images.clone().unwrap_or(split.into()));
        let known = KnownLabels { mapping: mapping.as_deref(), target };
        match layout {
            Layout::Folder => folder::list(root, split, files.labels.as_deref().unwrap_or("labels"), files.reading),
            Layout::Ccp => ccp::list(root, split, files.reading),
            Layout::Imaterialist => imaterialist::list(&annotations(format!("{split}.csv")), &images),
            Layout::Coco => coco::list(&annotations(format!("annotations/instances_{split}.json")), &images),
            Layout::Tags => tagged::list(root, split, &self.tags_path(), mapping.as_deref()),
            Layout::Labelme => labelme::list(root, split, files.images.as_deref(), known),
            Layout::Yolo => yolo::list(root, split, files),
            Layout::LabelStudio => label_studio::list(&annotations(format!("{split}.json")), &images, known),
        }
    }

    /// The tag file, where there is one.
    pub fn tag_file(&self) -> Option<PathBuf> {
        let is_there = self.files.tags.is_some() || self.layout == Layout::Tags;
        is_there.then(|| self.tags_path())
    }

    fn tags_path(&self) -> PathBuf {
        self.root.join(self.files.tags.as_deref().unwrap_or(Path::new("tags.csv")))
    }
}

/// Names the damage: as an error, or as warnings.
pub(super) fn report_damage(damage: Vec<String>, on_damage: OnDamage) -> Result<()> {
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
