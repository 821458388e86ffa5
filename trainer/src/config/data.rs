//! Table `[data]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::source::{LabelReading, Layout, OnDamage, SourceFiles, is_default};
use super::{Checked, ensure};

/// The environment variable that names the folder of the data.
pub const DATA_VARIABLE: &str = "CLOTHSEG_DATA";

/// Table `[data]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// `refuse` or `skip` damaged examples.
    #[serde(default)]
    pub on_damage: OnDamage,
    /// Trained on.
    pub train: Vec<SourceConfig>,
    /// Scored after each epoch.
    pub valid: Vec<SourceConfig>,
    /// Scored by `eval --test`: data that the run neither trains on nor chooses its best checkpoint by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<SourceConfig>,
}

/// Tables `[[data.train]]`, `[[data.valid]]` and `[[data.test]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// `folder`, `ccp`, `imaterialist`, `coco`, `labelme`, `yolo`, `label-studio` or `tags`.
    pub layout: Layout,
    /// Root folder, relative to the data folder; `./...`, to the working folder.
    pub root: PathBuf,
    /// Split.
    pub split: String,
    /// Layout `folder`: the folder of the labels in the split, instead of `labels`; `yolo`: that of the labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// The annotation file, or for `yolo` that of the names, relative to the root, instead of the layout's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<PathBuf>,
    /// The folder of the photos, relative to the root, instead of the layout's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<PathBuf>,
    /// CSV file of what the photos show, relative to the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<PathBuf>,
    /// Layouts `folder` and `ccp`: what the pixels of the label PNGs mean.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reading: LabelReading,
    /// Whether ignored pixels hide no class (see [`SourceFiles`]).
    #[serde(default, skip_serializing_if = "is_default")]
    pub ignored_hides_nothing: bool,
    /// Mapping file, relative to the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<PathBuf>,
    /// How often an epoch shows each example.
    #[serde(default = "one_time")]
    pub repeat: f64,
    /// Width over height of the photos before they were squashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aspect: Option<f64>,
}

fn one_time() -> f64 {
    1.0
}

impl DataConfig {
    /// The first key whose value cannot be used, and why.
    pub(super) fn check(&self) -> Checked {
        let DataConfig { train, valid, test, .. } = self;
        for (key, sources) in [("data.train", train), ("data.valid", valid), ("data.test", test)] {
            ensure(key == "data.test" || !sources.is_empty(), key, "has no source")?;
            ensure(
                sources.iter().all(|source| source.repeat > 0.0 && source.repeat <= 1000.0),
                key,
                "repeat must be above 0",
            )?;
            let real = |aspect: f64| aspect > 0.01 && aspect < 100.0;
            ensure(
                sources.iter().filter_map(|source| source.aspect).all(real),
                key,
                "aspect must be width / height, such as 0.7",
            )?;
            if let Some(cause) = sources.iter().find_map(|source| source.files().misplaced(source.layout)) {
                return Err((key, cause.to_owned()));
            }
        }
        Ok(())
    }

    /// The class tables of what is trained and validated on; nothing where one source has none, or has a mapping file, which says
    /// what its classes are.
    pub(super) fn class_tables(&self) -> Option<Vec<PathBuf>> {
        let sources = self.train.iter().chain(&self.valid);
        let table = |source: &SourceConfig| {
            let table = source.folder().join("class_dict.csv");
            (source.layout == Layout::Folder && source.mapping.is_none() && table.is_file()).then_some(table)
        };
        sources.map(table).collect()
    }

    /// All sources: those to train on, to validate on, to test on.
    pub(crate) fn sources_mut(&mut self) -> impl Iterator<Item = &mut SourceConfig> {
        self.train.iter_mut().chain(&mut self.valid).chain(&mut self.test)
    }
}

impl SourceConfig {
    /// The names and the reading that differ from the layout's own. They are fields of their own here because serde's `flatten` does
    /// not go with `deny_unknown_fields`.
    pub(crate) fn files(&self) -> SourceFiles {
        SourceFiles {
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            images: self.images.clone(),
            tags: self.tags.clone(),
            reading: self.reading,
            ignored_hides_nothing: self.ignored_hides_nothing,
        }
    }

    /// Its root, under [`data_folder`]; one that begins with `./` is under the working folder.
    pub fn folder(&self) -> PathBuf {
        if self.root.starts_with(".") { self.root.clone() } else { data_folder().join(&self.root) }
    }
}

/// Where data with relative paths lies: the folder that `CLOTHSEG_DATA` names, else `data` in the working folder.
pub fn data_folder() -> PathBuf {
    std::env::var_os(DATA_VARIABLE).map_or_else(|| PathBuf::from("data"), PathBuf::from)
}

/// What descriptions call sources: `ccp/train`.
pub(crate) fn names(sources: &[SourceConfig]) -> Vec<String> {
    sources.iter().map(|source| format!("{}/{}", source.root.display(), source.split)).collect()
}
