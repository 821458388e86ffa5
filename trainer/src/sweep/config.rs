//! The TOML file of a sweep.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{TestScores, earlier};
use crate::config::{Config, SourceConfig, renew};
use crate::error::{Error, Result};
use crate::onnx::CheckpointChoice;
use crate::text::read_text;

/// A training config, and what the runs change in it: each run takes one choice of every axis, and one seed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepConfig {
    /// Name of the sweep.
    pub name: String,
    /// A training config, relative to this file. Its `run` is the folder that the runs' folders are in.
    pub base: PathBuf,
    /// Folder of results, tables and charts, relative to the working folder.
    pub output: PathBuf,
    /// Seeds of every run whose choices name none; the base's where there are none here.
    #[serde(default)]
    pub seeds: Vec<u64>,
    /// Which checkpoint of each run is scored: `best` or `last`.
    #[serde(default)]
    pub checkpoint: CheckpointChoice,
    /// Columns of the tables: `garments` or `study`.
    #[serde(default)]
    pub columns: Columns,
    /// Photos of the first test in a picture grid, which goes to the folder of the runs.
    #[serde(default)]
    pub pictures: usize,
    /// Photos without labels, or folders of them, in a picture grid that goes to the output; relative to the working folder.
    #[serde(default)]
    pub photos: Vec<PathBuf>,
    /// What the models are scored on.
    #[serde(rename = "test")]
    pub tests: Vec<TestEntry>,
    /// What differs between the runs.
    #[serde(rename = "axis")]
    pub axes: Vec<Axis>,
    /// The base config as it was read.
    #[serde(skip)]
    base_table: Table,
    /// Where the base config is.
    #[serde(skip)]
    base_path: PathBuf,
    /// Where the sweep is.
    #[serde(skip)]
    path: PathBuf,
    /// The folder that the runs' folders are in.
    #[serde(skip)]
    runs_folder: PathBuf,
}

/// Columns of the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Columns {
    /// Mean garment IoU and any-garment IoU of every test, and the IoU of each class.
    #[default]
    Garments,
    /// The study's mean IoU over 2, 17 and 47 classes on the first test, beside the published one.
    Study,
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

/// Table `[[axis]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// What the choices are of: `network`, `loss`. Heads a column of the tables.
    pub name: String,
    /// What there is to choose from.
    #[serde(rename = "choice")]
    pub choices: Vec<Choice>,
}

/// Table `[[axis.choice]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Short name, in the names of runs.
    pub key: String,
    /// What the tables call it.
    pub title: String,
    /// Keys of the base config whose values, tables included, are replaced as a whole. Mapping files are relative to the base
    /// config, here and in `set`.
    #[serde(default)]
    pub replace: Table,
    /// Keys of the base config with other values. A table changes the keys that it names; everything else, lists included, is
    /// replaced.
    #[serde(default)]
    pub set: Table,
    /// Only with choices of other axes that have these keys; with all where it is left out.
    #[serde(default)]
    pub only_with: Vec<String>,
    /// Seeds of its runs, where they are not the sweep's.
    #[serde(default)]
    pub seeds: Vec<u64>,
    /// The published mean IoU over 2, 17 and 47 classes, by the key of another axis's choice.
    #[serde(default)]
    pub published: BTreeMap<String, [f64; 3]>,
}

/// One training of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRun {
    /// The keys of its choices, joined by `-`, with `-seedN` where there are several seeds.
    pub name: String,
    /// The keys of its choices, axis by axis.
    pub keys: Vec<String>,
    /// The training.
    pub config: Config,
}

impl Columns {
    /// The score that stands for a test where there is room for one number.
    pub fn score(self, scores: &TestScores) -> Option<f64> {
        match self {
            Columns::Garments => scores.mean_garment_iou,
            Columns::Study => scores.study.all,
        }
    }
}

impl SweepConfig {
    /// Reads and checks a sweep, its base config and every run's. The formats of the earlier subcommands `study` and
    /// `experiments` are read, too.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::File`] or [`Error::Config`] that name what is wrong.
    pub fn open(path: &Path) -> Result<Self> {
        let mut sweep = Self::parse(path)?;
        let fail = |key: &str, cause: String| Error::Config { path: path.to_path_buf(), key: key.to_owned(), cause };
        let folder = path.parent().unwrap_or(Path::new(""));
        for source in sweep.tests.iter_mut().flat_map(|test| &mut test.sources) {
            if let Some(mapping) = &mut source.mapping {
                *mapping = folder.join(&*mapping);
            }
        }
        sweep.path = path.to_path_buf();
        sweep.base_path = folder.join(&sweep.base);
        let base = read_text(&sweep.base_path)?;
        let failed = |cause: String| Error::file(&sweep.base_path, cause);
        sweep.base_table = toml::from_str(&base).map_err(|error| failed(error.to_string()))?;
        renew(&mut sweep.base_table).map_err(failed)?;
        for choice in sweep.axes.iter_mut().flat_map(|axis| &mut axis.choices) {
            for table in [&mut choice.set, &mut choice.replace] {
                renew(table).map_err(|cause| fail(&choice.key, cause))?;
            }
        }
        sweep.check().map_err(|(key, cause)| fail(key, cause))?;
        sweep.runs_folder = Config::from_table(sweep.base_table.clone(), &sweep.base_path)?.run;
        let mut names = HashSet::new();
        for run in sweep.runs()? {
            if !names.insert(run.name.clone()) {
                return Err(fail("axis", format!("two runs are called {}; change a key or a seed", run.name)));
            }
        }
        Ok(sweep)
    }

    fn parse(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let failed = |error: toml::de::Error| Error::file(path, error.to_string());
        let table = toml::from_str(&text).map_err(failed)?;
        match earlier::renewed(table) {
            Some(table) => table.try_into().map_err(failed),
            // From the text, so that an error names the line.
            None => toml::from_str(&text).map_err(failed),
        }
    }

    fn check(&self) -> std::result::Result<(), (&'static str, String)> {
        let choices = || self.axes.iter().flat_map(|axis| &axis.choices);
        if self.axes.is_empty() || self.axes.iter().any(|axis| axis.choices.is_empty()) {
            return Err(("axis", "there is none, or one without a choice".to_owned()));
        }
        let mut keys = HashSet::new();
        for Choice { key, .. } in choices() {
            let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.+".contains(letter);
            if key.is_empty() || !key.chars().all(is_plain) || key.chars().all(|letter| letter == '.') {
                return Err(("axis.choice.key", format!("`{key}`: use letters, digits, - _ . +")));
            }
            if !keys.insert(key.as_str()) {
                return Err(("axis.choice.key", format!("two choices have the same key `{key}`")));
            }
        }
        let named = choices().flat_map(|choice| choice.only_with.iter().chain(choice.published.keys()));
        if let Some(key) = named.into_iter().find(|key| !keys.contains(key.as_str())) {
            return Err(("axis.choice.only_with", format!("there is no choice with the key `{key}`")));
        }
        if self.tests.is_empty() || self.tests.iter().any(|test| test.sources.is_empty()) {
            return Err(("test", "has no source".to_owned()));
        }
        Ok(())
    }

    /// The runs in the order in which they are done: first every combination's first seed. The first axis changes fastest.
    ///
    /// # Errors
    /// [`Error::File`] that names the run whose settings cannot be used.
    pub fn runs(&self) -> Result<Vec<PlannedRun>> {
        let mut runs = Vec::new();
        for choices in self.combinations() {
            let own = choices.iter().rev().map(|choice| &choice.seeds).find(|seeds| !seeds.is_empty());
            let seeds = own.unwrap_or(&self.seeds);
            if seeds.is_empty() {
                runs.push((0, self.run(&choices, None, "")?));
            }
            for (turn, seed) in seeds.iter().enumerate() {
                let suffix = if seeds.len() > 1 { format!("-seed{seed}") } else { String::new() };
                runs.push((turn, self.run(&choices, Some(*seed), &suffix)?));
            }
        }
        runs.sort_by_key(|(turn, _)| *turn);
        Ok(runs.into_iter().map(|(_, run)| run).collect())
    }

    /// One choice of every axis, in every way that `only_with` allows.
    pub(super) fn combinations(&self) -> Vec<Vec<&Choice>> {
        let mut all: Vec<Vec<&Choice>> = vec![Vec::new()];
        for axis in &self.axes {
            let with = |choice| all.iter().map(move |others: &Vec<&Choice>| [&others[..], &[choice]].concat());
            all = axis.choices.iter().flat_map(with).collect();
        }
        all.retain(|choices| choices.iter().all(|choice| self.allows(choice, choices)));
        all
    }

    /// Whether `choice` may stand with the others: on each other axis with one of `only_with`, theirs is one of these.
    fn allows(&self, choice: &Choice, choices: &[&Choice]) -> bool {
        let is_named = |other: &Choice| choice.only_with.contains(&other.key);
        let others = self.axes.iter().zip(choices).filter(|(axis, _)| axis.choices.iter().any(is_named));
        others.into_iter().all(|(_, theirs)| is_named(theirs))
    }

    fn run(&self, choices: &[&Choice], seed: Option<u64>, suffix: &str) -> Result<PlannedRun> {
        let keys: Vec<String> = choices.iter().map(|choice| choice.key.clone()).collect();
        let name = format!("{}{suffix}", keys.join("-"));
        let mut table = self.base_table.clone();
        for choice in choices {
            table.extend(choice.replace.clone());
            merge(&mut table, &choice.set);
        }
        // The base alone is sound: what is wrong comes from the choices.
        let named =
            |cause: String| Error::file(&self.path, format!("run {name}, over {}: {cause}", self.base_path.display()));
        let config = Config::from_table(table, &self.base_path).map_err(|error| match error {
            Error::Config { key, cause, .. } => named(format!("`{key}` {cause}")),
            Error::File { cause, .. } => named(cause),
            error => error,
        })?;
        let seed = seed.unwrap_or(config.seed);
        let config = Config { run: config.run.join(&name), name: name.clone(), seed, ..config };
        Ok(PlannedRun { name, keys, config })
    }

    /// Where a run's result is.
    pub fn result_path(&self, name: &str) -> PathBuf {
        self.output.join("results").join(format!("{name}.json"))
    }

    /// Where the copy of a run's log is.
    pub fn log_path(&self, name: &str) -> PathBuf {
        self.output.join("logs").join(format!("{name}.csv"))
    }

    /// The folder that the runs' folders are in.
    pub fn runs_folder(&self) -> &Path {
        &self.runs_folder
    }
}

impl PlannedRun {
    /// Where its model goes.
    pub fn model_path(&self) -> PathBuf {
        self.config.run.join(format!("{}.onnx", self.name))
    }

    /// Its settings as TOML.
    pub fn config_text(&self) -> Result<String> {
        toml::to_string(&self.config).map_err(|error| Error::file(&self.config.run, error.to_string()))
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
