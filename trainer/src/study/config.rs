//! The TOML file of a study.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::derived;
use crate::config::{Config, LossConfig, ModelConfig, SourceConfig};
use crate::error::{Error, Result};

/// Networks x losses x seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyConfig {
    /// Name of the study.
    pub name: String,
    /// A training config, relative to this file: everything that the runs have in common. Its `run` is the folder that the
    /// runs' folders lie in; its name, model, loss and seed are replaced.
    pub base: PathBuf,
    /// Folder of results, tables and charts, relative to the working folder.
    pub output: PathBuf,
    /// Seeds of every run whose loss names none.
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
    /// What the models are scored on.
    pub test: Vec<SourceConfig>,
    /// Test photos in the picture grid, which goes to the runs' folder.
    #[serde(default)]
    pub pictures: usize,
    /// Photos without truth in a picture grid that goes to the output, relative to the working folder.
    #[serde(default)]
    pub photos: Vec<PathBuf>,
    /// The networks.
    pub networks: Vec<NetworkEntry>,
    /// The losses.
    pub losses: Vec<LossEntry>,
    /// The base config, read.
    #[serde(skip)]
    base_config: Option<Config>,
}

/// Table `[[networks]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkEntry {
    /// Short name, the beginning of the runs' names.
    pub key: String,
    /// What the tables call it.
    pub title: String,
    /// The network.
    pub model: ModelConfig,
}

/// Table `[[losses]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossEntry {
    /// Short name, in the runs' names.
    pub key: String,
    /// What the tables call it.
    pub title: String,
    /// The loss.
    pub loss: LossConfig,
    /// Only the networks with these keys; all where it is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Its seeds, where they are not the study's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seeds: Vec<u64>,
    /// The published mean IoU of 2, 17 and 47 classes, by network key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub published: BTreeMap<String, [f64; 3]>,
}

/// One training of a study.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRun {
    /// `NETWORK-LOSS`, with `-seedN` where a loss has several seeds.
    pub name: String,
    /// Key of the network.
    pub network: String,
    /// Key of the loss.
    pub loss: String,
    /// The training.
    pub config: Config,
}

fn one_seed() -> Vec<u64> {
    vec![1]
}

impl StudyConfig {
    /// Reads and checks a study, its base config and every run's.
    pub fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let mut study: Self = toml::from_str(&text).map_err(|error| Error::file(path, error.to_string()))?;
        let fail = |key: &str, cause: String| Error::Config { path: path.to_path_buf(), key: key.to_owned(), cause };
        let folder = path.parent().unwrap_or(Path::new(""));
        for source in &mut study.test {
            if let Some(mapping) = &mut source.mapping {
                *mapping = folder.join(&*mapping);
            }
        }
        study.base_config = Some(Config::open(&folder.join(&study.base))?);
        study.check().map_err(|(key, cause)| fail(key, cause))?;
        let mut names = HashSet::new();
        for run in study.runs()? {
            if !names.insert(run.name.clone()) {
                return Err(fail("losses", format!("two runs are called {}; change a key or a seed", run.name)));
            }
            run.config.check().map_err(|(key, cause)| fail(key, format!("run {}: {cause}", run.name)))?;
        }
        Ok(study)
    }

    fn check(&self) -> std::result::Result<(), (&'static str, String)> {
        let keys = |keys: Vec<&String>| {
            let plain = |key: &&String| {
                !key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.+".contains(letter))
            };
            let mut unique = keys.clone();
            unique.sort();
            unique.dedup();
            match (keys.is_empty(), keys.iter().find(|key| !plain(key)), unique.len() == keys.len()) {
                (true, _, _) => Err("names none".to_owned()),
                (_, Some(key), _) => Err(format!("key `{key}`: write letters, digits, - _ . +")),
                (_, _, false) => Err("two have the same key".to_owned()),
                _ => Ok(()),
            }
        };
        keys(self.networks.iter().map(|network| &network.key).collect()).map_err(|cause| ("networks", cause))?;
        keys(self.losses.iter().map(|loss| &loss.key).collect()).map_err(|cause| ("losses", cause))?;
        if self.seeds.is_empty() {
            return Err(("seeds", "names none".to_owned()));
        }
        if self.test.is_empty() {
            return Err(("test", "names no source".to_owned()));
        }
        let known = |key: &&String| !self.networks.iter().any(|network| network.key == **key);
        let named = self.losses.iter().flat_map(|loss| loss.networks.iter().chain(loss.published.keys()));
        match named.into_iter().find(known) {
            Some(key) => Err(("losses", format!("there is no network `{key}`"))),
            None => Ok(()),
        }
    }

    /// The runs, loss by loss, in the order in which they are done: first every pair's first seed.
    pub fn runs(&self) -> Result<Vec<PlannedRun>> {
        let base = self.base_config.as_ref();
        let base = base.ok_or_else(|| Error::file(&self.base, "was not read; use StudyConfig::open"))?;
        let mut runs = Vec::new();
        for loss in &self.losses {
            let seeds = if loss.seeds.is_empty() { &self.seeds } else { &loss.seeds };
            let networks =
                self.networks.iter().filter(|network| loss.networks.is_empty() || loss.networks.contains(&network.key));
            for network in networks {
                for (turn, seed) in seeds.iter().enumerate() {
                    let tail = if seeds.len() > 1 { format!("-seed{seed}") } else { String::new() };
                    let name = format!("{}-{}{tail}", network.key, loss.key);
                    let config = Config {
                        run: base.run.join(&name),
                        seed: *seed,
                        model: network.model.clone(),
                        loss: loss.loss.clone(),
                        ..derived(base, &name)
                    };
                    let (network, loss) = (network.key.clone(), loss.key.clone());
                    runs.push((turn, PlannedRun { name, network, loss, config }));
                }
            }
        }
        runs.sort_by_key(|(turn, _)| *turn);
        Ok(runs.into_iter().map(|(_, run)| run).collect())
    }

    /// Where a run's result lies.
    pub fn result_path(&self, name: &str) -> PathBuf {
        self.output.join("results").join(format!("{name}.json"))
    }

    /// Where the copy of a run's log lies.
    pub fn log_path(&self, name: &str) -> PathBuf {
        self.output.join("logs").join(format!("{name}.csv"))
    }

    /// The folder that the runs' folders lie in.
    pub fn runs_folder(&self) -> PathBuf {
        self.base_config.as_ref().map(|base| base.run.clone()).unwrap_or_default()
    }
}
