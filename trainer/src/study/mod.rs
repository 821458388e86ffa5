//! Many runs, one comparison: networks x losses x seeds, as in the study.
//!
//! Each run is an ordinary training in a folder of its own; its scores on the test data go into `OUTPUT/results/NAME.json`
//! and its log into `OUTPUT/logs/NAME.csv`. A run whose result is there is not repeated, one that was cut off goes on from
//! its last checkpoint; the tables are written anew after each run, from whatever results there are.

mod config;
mod pictures;
mod result;
mod tables;

use std::path::PathBuf;

use clothseg::engine::EngineOptions;
use clothseg_batch::write_atomically;

pub use config::{LossEntry, NetworkEntry, PlannedRun, StudyConfig};
pub use result::RunResult;
pub use tables::{csv_table, markdown_tables};

use crate::config::{Config, resolve};
use crate::data::Dataset;
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::evaluate::{evaluate, matching_classes};
use crate::export::Chosen;
use crate::log::curves::compare_charts;
use crate::train::RunFolder;
use crate::trained::trained_segmenter;

/// What to do of a study.
#[derive(Clone, Debug, Default)]
pub struct StudyOptions {
    /// Only the runs with one of these names; all where it is empty.
    pub only: Vec<String>,
    /// Train nothing; write the tables and pictures of what there is.
    pub tables_only: bool,
    /// What trains.
    pub device: DeviceChoice,
    /// What runs the models on the test data.
    pub engine: EngineOptions,
}

/// Does the runs that are missing and writes the tables, charts and pictures. Returns the folder that they lie in.
pub fn study(config: &StudyConfig, options: &StudyOptions) -> Result<PathBuf> {
    let runs = config.runs()?;
    let known = |name: &String| runs.iter().any(|run| run.name == *name);
    if let Some(unknown) = options.only.iter().find(|name| !known(name)) {
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        return Err(Error::file(&config.output, format!("there is no run `{unknown}`; runs: {}", names.join(", "))));
    }
    let mut failed = Vec::new();
    let wanted = |run: &PlannedRun| options.only.is_empty() || options.only.contains(&run.name);
    for (index, run) in runs.iter().enumerate() {
        if options.tables_only || !wanted(run) || is_done(config, run)? {
            continue;
        }
        tracing::info!("study {}: run {} of {}: {}", config.name, index + 1, runs.len(), run.name);
        if let Err(error) = carry_out(config, run, options) {
            // Such as a loss that is no number any more: the others can still be compared.
            tracing::error!("{}: {}", run.name, error.chain());
            failed.push(format!("{}: {}", run.name, error.chain()));
            continue;
        }
        write_tables(config, &runs)?;
    }
    write_tables(config, &runs)?;
    pictures::write(config, &runs, &options.engine)?;
    match failed.is_empty() {
        true => Ok(config.output.clone()),
        false => Err(Error::file(&config.output, format!("runs that failed:\n  {}", failed.join("\n  ")))),
    }
}

/// The runs, a line each, with the scores of those that are done.
pub fn list(config: &StudyConfig) -> Result<String> {
    let line = |run: &PlannedRun| -> Result<String> {
        let path = config.result_path(&run.name);
        let state = match path.is_file() {
            true => {
                let result = RunResult::read(&path)?;
                let score = result.study.all.map_or("-".to_owned(), |score| format!("{score:.4}"));
                if result.is_of(config, run) { format!("done: {score}") } else { format!("other settings: {score}") }
            }
            false if RunFolder::at(&run.config.run).last().is_file() => "begun".to_owned(),
            false => "to do".to_owned(),
        };
        Ok(format!("{}: {state}\n", run.name))
    };
    config.runs()?.iter().map(line).collect()
}

/// Whether a run's result is there, made by the very settings that the config now has.
fn is_done(config: &StudyConfig, run: &PlannedRun) -> Result<bool> {
    let path = config.result_path(&run.name);
    if !path.is_file() {
        return Ok(false);
    }
    if !RunResult::read(&path)?.is_of(config, run) {
        return Err(Error::file(
            path,
            "was made by other settings than the config now has; remove it (and the run's folder) to repeat the run, or \
             give the study another `output`",
        ));
    }
    Ok(true)
}

/// Trains, exports, scores, and writes log and result down.
fn carry_out(config: &StudyConfig, run: &PlannedRun, options: &StudyOptions) -> Result<()> {
    let folder = RunFolder::at(&run.config.run);
    let (state, segmenter) =
        trained_segmenter(&run.config, Chosen::Last, &run.model_path(), options.device, &options.engine)?;
    let target = run.config.target()?;
    let classes = matching_classes(segmenter.spec(), &target)?;
    let test = Dataset::open(&resolve(&config.test), &target, run.config.data.on_damage)?;
    let evaluation = evaluate(&segmenter, &test, classes)?;
    let log = std::fs::read(folder.log()).map_err(Error::io("read", folder.log()))?;
    write_atomically(&config.log_path(&run.name), &log)?;
    RunResult::new(config, run, &state, &evaluation)?.write(&config.result_path(&run.name))
}

/// The tables, and the charts of all runs, from the results that are there.
fn write_tables(config: &StudyConfig, runs: &[PlannedRun]) -> Result<()> {
    let mut results = Vec::new();
    for run in runs {
        let path = config.result_path(&run.name);
        if !path.is_file() {
            continue;
        }
        let result = RunResult::read(&path)?;
        match result.is_of(config, run) {
            true => results.push(result),
            false => tracing::warn!("left out, made by other settings: {}", path.display()),
        }
    }
    if results.is_empty() {
        return Ok(());
    }
    write_atomically(&config.output.join("tables.md"), markdown_tables(config, &results).as_bytes())?;
    write_atomically(&config.output.join("results.csv"), csv_table(config, &results).as_bytes())?;
    let logs: Vec<(String, PathBuf)> =
        results.iter().map(|result| (result.run.clone(), config.log_path(&result.run))).collect();
    compare_charts(&logs, &config.output)?;
    Ok(())
}

/// The config of a run.
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

/// The base config with what a run changes.
fn derived(base: &Config, name: &str) -> Config {
    Config { name: name.to_owned(), ..base.clone() }
}
