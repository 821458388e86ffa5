//! One TOML file a run. Every key is checked, and a complaint names it.

mod augment;
mod class_weights;
mod data;
mod export;
mod input;
mod loss;
mod model;
mod network;
mod optimizer;
mod renamed;
mod source;
mod taxonomy;
mod term;
mod train;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use augment::{AugmentConfig, CloseUpConfig, SMALLEST_ERASED_SHARE};
pub use class_weights::{ClassWeightRule, ClassWeights};
pub(crate) use data::names;
pub use data::{DATA_VARIABLE, DataConfig, SourceConfig, data_folder};
pub use export::ExportConfig;
pub use input::InputConfig;
pub use loss::{AbsentClasses, FocalConfig, LossConfig, Over};
pub use model::ModelConfig;
pub use network::{Architecture, Context, DecoderConfig, Initialization, LiteVariant, MOST_STAGES, Upsampling};
pub use optimizer::{OptimizerConfig, OptimizerKind, Schedule};
pub(crate) use renamed::renew;
pub use source::{LabelReading, Layout, OnDamage, SourceFiles};
pub use taxonomy::TaxonomyConfig;
pub use term::{ParseLossError, Term, Terms};
pub use train::{BestBy, TrainConfig};

use crate::classes::Target;
use crate::error::{Error, Result};
use crate::text::read_text;

/// The first key whose value cannot be used, and why.
type Checked = std::result::Result<(), (&'static str, String)>;

fn ensure(holds: bool, key: &'static str, cause: &str) -> Checked {
    if holds { Ok(()) } else { Err((key, cause.to_owned())) }
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the model.
    pub name: String,
    /// Classes that the network learns: `garments`, `imaterialist`, a file of classes, or classes.
    pub taxonomy: TaxonomyConfig,
    /// Folder that the run writes to, relative to the working folder.
    pub run: PathBuf,
    /// Seed of everything random.
    #[serde(default)]
    pub seed: u64,
    /// Free facts for the model's description, such as the licence.
    #[serde(default)]
    pub about: serde_json::Map<String, serde_json::Value>,
    /// What the network gets.
    pub input: InputConfig,
    /// The network.
    pub model: ModelConfig,
    /// What the exported model asks for beside what it was trained with.
    #[serde(default, skip_serializing_if = "ExportConfig::is_default")]
    pub export: ExportConfig,
    /// The loss.
    #[serde(default)]
    pub loss: LossConfig,
    /// Random variations.
    #[serde(default)]
    pub augment: AugmentConfig,
    /// The optimisation.
    pub train: TrainConfig,
    /// The data.
    pub data: DataConfig,
}

impl Config {
    /// Reads and checks a config. Mapping paths come back relative to the working folder.
    pub fn open(path: &Path) -> Result<Self> {
        Self::recorded(path)?.with_classes_of_data(path)
    }

    /// As [`Config::open`] of a run's copy, whose classes are those that were trained, whatever the data hold today.
    pub(crate) fn recorded(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        Self::checked(Self::parse(&text).map_err(|cause| Error::file(path, cause))?, path)
    }

    /// As [`Config::open`] of a file at `path` that holds `table`.
    pub fn from_table(mut table: toml::Table, path: &Path) -> Result<Self> {
        renew(&mut table).map_err(|cause| Error::file(path, cause))?;
        let config = table.try_into().map_err(|error: toml::de::Error| Error::file(path, error.to_string()))?;
        Self::checked(config, path)?.with_classes_of_data(path)
    }

    /// Reads the text of a config, also one with the keys of earlier versions, without checking its values.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut table: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
        match renew(&mut table)? {
            // From the text, so that an error names the line.
            false => toml::from_str(text).map_err(|error| error.to_string()),
            true => table.try_into().map_err(|error| error.to_string()),
        }
    }

    fn checked(mut config: Self, path: &Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new(""));
        for source in config.data.sources_mut() {
            if let Some(mapping) = &mut source.mapping {
                *mapping = folder.join(&*mapping);
            }
        }
        let refuse = |key: &str, cause| Error::Config { path: path.to_path_buf(), key: key.to_owned(), cause };
        config.taxonomy = config.taxonomy.resolved(folder).map_err(|cause| refuse("taxonomy", cause))?;
        config.check().map_err(|(key, cause)| refuse(key, cause))?;
        Ok(config)
    }

    /// See [`TaxonomyConfig::or_of_data`].
    fn with_classes_of_data(self, path: &Path) -> Result<Self> {
        let Some(tables) = self.data.class_tables() else { return Ok(self) };
        let taxonomy = self.taxonomy.clone().or_of_data(&tables);
        if taxonomy == self.taxonomy {
            return Ok(self);
        }
        let config = Self { taxonomy, ..self };
        config.check().map_err(|(key, cause)| Error::Config {
            path: path.to_path_buf(),
            key: key.to_owned(),
            cause,
        })?;
        Ok(config)
    }

    /// The first key whose value cannot be used, and why.
    pub fn check(&self) -> Checked {
        let network = self.model.network;
        let step = network.input_multiple().max(self.model.output_stride);
        ensure(!self.name.is_empty(), "name", "is empty")?;
        ensure(!self.run.as_os_str().is_empty(), "run", "is empty; name the folder that the run writes to")?;
        let target = self.taxonomy.target().map_err(|cause| ("taxonomy", cause))?;
        self.input.check(step, network.name())?;
        let whole = |side: u32| side > 0 && side.is_multiple_of(step);
        self.export.check(self.input.longest_side, self.input.stretch, whole)?;
        self.model.check()?;
        self.loss.check(self.train.shards)?;
        let has_term =
            self.loss.terms.parse::<Terms>().is_ok_and(|terms| terms.0.iter().any(|(term, _)| *term == Term::Presence));
        let cause = "has the term `presence` without its head; set presence = true in [model]";
        ensure(self.model.presence || !has_term, "loss.terms", cause)?;
        let cause = "must have the term `presence`, which alone trains the head of presence = true in [model]";
        ensure(has_term || !self.model.presence, "loss.terms", cause)?;
        self.augment.check(&target.taxonomy)?;
        let persons = target.persons_at_end();
        self.train.check(target.classes(), persons)?;
        self.data.check()
    }

    /// The classes that the network learns.
    pub fn target(&self) -> Result<Target> {
        self.taxonomy.target().map_err(|cause| Error::Config {
            path: self.run.clone(),
            key: "taxonomy".to_owned(),
            cause,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
