//! The TOML file of a series of experiments.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::config::{Config, SourceConfig};
use crate::error::{Error, Result};

/// One training config, and what each experiment changes in it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentsConfig {
    /// Name of the series.
    pub name: String,
    /// A training config, relative to this file. Its `run` is the folder that the experiments' folders lie in.
    pub base: PathBuf,
    /// Folder of results and tables, relative to the working folder.
    pub output: PathBuf,
    /// What the models are scored on.
    #[serde(rename = "test")]
    pub tests: Vec<TestEntry>,
    /// The experiments.
    #[serde(rename = "experiment")]
    pub entries: Vec<ExperimentEntry>,
    /// The base config as it was read.
    #[serde(skip)]
    base_table: Table,
    /// Where the base config lies.
    #[serde(skip)]
    base_path: PathBuf,
    /// Where the series lies.
    #[serde(skip)]
    path: PathBuf,
}

/// Table `[[test]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestEntry {
    /// What the tables call it.
    pub title: String,
    /// Its photos.
    pub sources: Vec<SourceConfig>,
}

/// Table `[[experiment]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentEntry {
    /// Short name: of its model, its folder and its result.
    pub key: String,
    /// What the tables call it.
    pub title: String,
    /// Keys of the base config with other values. A table changes the keys that it names; everything else, a list of
    /// sources too, is replaced, and nothing can be taken away. Mapping files are relative to the base config.
    #[serde(default)]
    pub set: Table,
}

/// One training of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// Its key.
    pub key: String,
    /// What the tables call it.
    pub title: String,
    /// The training.
    pub config: Config,
}

impl ExperimentsConfig {
    /// Reads and checks a series, its base config and every experiment's.
    pub fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let mut series: Self = toml::from_str(&text).map_err(|error| Error::file(path, error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for source in series.tests.iter_mut().flat_map(|test| &mut test.sources) {
            if let Some(mapping) = &mut source.mapping {
                *mapping = folder.join(&*mapping);
            }
        }
        series.base_path = folder.join(&series.base);
        let base = std::fs::read_to_string(&series.base_path).map_err(Error::io("read", &series.base_path))?;
        series.base_table = toml::from_str(&base).map_err(|error| Error::file(&series.base_path, error.to_string()))?;
        let fail = |key: &str, cause: String| Error::Config { path: path.to_path_buf(), key: key.to_owned(), cause };
        series.check().map_err(|(key, cause)| fail(key, cause))?;
        Config::from_table(series.base_table.clone(), &series.base_path)?;
        series.path = path.to_path_buf();
        series.experiments()?;
        Ok(series)
    }

    fn check(&self) -> std::result::Result<(), (&'static str, String)> {
        let mut keys = HashSet::new();
        let plain = |key: &str| {
            !key.is_empty()
                && !key.starts_with('.')
                && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.+".contains(letter))
        };
        for ExperimentEntry { key, .. } in &self.entries {
            if !plain(key) {
                return Err(("experiment.key", format!("`{key}`: write letters, digits, - _ . +")));
            }
            if !keys.insert(key) {
                return Err(("experiment.key", format!("two are called `{key}`")));
            }
        }
        if self.entries.is_empty() {
            return Err(("experiment", "names none".to_owned()));
        }
        if self.tests.is_empty() || self.tests.iter().any(|test| test.sources.is_empty()) {
            return Err(("test", "names no source".to_owned()));
        }
        Ok(())
    }

    /// The experiments in the file's order.
    pub fn experiments(&self) -> Result<Vec<Experiment>> {
        self.entries.iter().map(|entry| self.experiment(entry)).collect()
    }

    fn experiment(&self, entry: &ExperimentEntry) -> Result<Experiment> {
        let mut table = self.base_table.clone();
        merge(&mut table, &entry.set);
        // The base alone is sound: what is wrong comes from the changes.
        let named = |cause: String| {
            let (key, base) = (&entry.key, self.base_path.display());
            Error::file(&self.path, format!("experiment {key}, over {base}: {cause}"))
        };
        let config = Config::from_table(table, &self.base_path);
        let mut config = config.map_err(|error| match error {
            Error::Config { key, cause, .. } => named(format!("`{key}` {cause}")),
            Error::File { cause, .. } => named(cause),
            error => error,
        })?;
        config.run = config.run.join(&entry.key);
        config.name = entry.key.clone();
        Ok(Experiment { key: entry.key.clone(), title: entry.title.clone(), config })
    }

    /// Where an experiment's result lies.
    pub fn result_path(&self, key: &str) -> PathBuf {
        self.output.join("results").join(format!("{key}.json"))
    }
}

/// Puts the values of `changes` into `table`, table by table.
fn merge(table: &mut Table, changes: &Table) {
    for (key, change) in changes {
        match (table.get_mut(key), change) {
            (Some(Value::Table(inner)), Value::Table(changes)) => merge(inner, changes),
            _ => {
                table.insert(key.clone(), change.clone());
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reaches_into_tables_and_replaces_lists() {
        let mut table: Table = toml::from_str("a = 1\nlist = [1, 2]\n[t]\nb = 2\nc = 3").unwrap();
        merge(&mut table, &toml::from_str("list = [4]\nnew = 5\n[t]\nb = 6").unwrap());
        assert_eq!(table, toml::from_str::<Table>("a = 1\nlist = [4]\nnew = 5\n[t]\nb = 6\nc = 3").unwrap());
    }
}
