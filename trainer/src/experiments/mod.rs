//! A recipe by experiment: one training config, what each experiment changes in it, and a table of what that gave.
//!
//! Each experiment is an ordinary training in a folder of its own; its scores on all test data go into
//! `OUTPUT/results/KEY.json`, and `OUTPUT/tables.md` is written anew after each from the results that are there. An
//! experiment whose result is there is not repeated, one that was cut off goes on from its last checkpoint.

mod config;
mod result;
mod tables;

use std::path::PathBuf;

use clothseg::engine::EngineOptions;
use clothseg_batch::write_atomically;

pub use config::{Experiment, ExperimentEntry, ExperimentsConfig, TestEntry};
pub use result::{ExperimentResult, TestScores};
pub use tables::markdown_tables;

use crate::config::resolve;
use crate::data::Dataset;
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::evaluate::{evaluate, matching_classes};
use crate::export::Chosen;
use crate::trained::trained_segmenter;

/// What to do of a series.
#[derive(Clone, Debug, Default)]
pub struct ExperimentsOptions {
    /// Only the experiments with one of these keys; all where it is empty.
    pub only: Vec<String>,
    /// Train nothing; write the tables of what there is.
    pub tables_only: bool,
    /// What trains.
    pub device: DeviceChoice,
    /// What runs the models on the test data.
    pub engine: EngineOptions,
}

/// Does the experiments that are missing and writes the tables. Returns the folder that they lie in.
pub fn run_experiments(series: &ExperimentsConfig, options: &ExperimentsOptions) -> Result<PathBuf> {
    let experiments = series.experiments()?;
    if let Some(unknown) = options.only.iter().find(|key| experiments.iter().all(|experiment| experiment.key != **key))
    {
        let keys: Vec<&str> = experiments.iter().map(|experiment| experiment.key.as_str()).collect();
        let cause = format!("there is no experiment `{unknown}`; experiments: {}", keys.join(", "));
        return Err(Error::file(&series.output, cause));
    }
    let mut failed = Vec::new();
    let wanted = |key: &String| options.only.is_empty() || options.only.contains(key);
    for (index, experiment) in experiments.iter().enumerate() {
        if options.tables_only || !wanted(&experiment.key) || is_done(series, experiment)? {
            continue;
        }
        tracing::info!("{}: experiment {} of {}: {}", series.name, index + 1, experiments.len(), experiment.key);
        if let Err(error) = carry_out(series, experiment, options) {
            // Such as a rate at which the loss is no number any more: the others can still be compared.
            tracing::error!("{}: {}", experiment.key, error.chain());
            failed.push(format!("{}: {}", experiment.key, error.chain()));
            continue;
        }
        write_tables(series, &experiments)?;
    }
    write_tables(series, &experiments)?;
    match failed.is_empty() {
        true => Ok(series.output.clone()),
        false => Err(Error::file(&series.output, format!("experiments that failed:\n  {}", failed.join("\n  ")))),
    }
}

/// Whether an experiment's result is there, made by the very settings that the series now has.
fn is_done(series: &ExperimentsConfig, experiment: &Experiment) -> Result<bool> {
    let path = series.result_path(&experiment.key);
    if !path.is_file() {
        return Ok(false);
    }
    if !ExperimentResult::read(&path)?.is_of(series, experiment)? {
        let cause = "was made by other settings, mapping files or test data than the series now has; remove it (and, where the \
                     training changes, the run's folder) to repeat the experiment, or give it another key";
        return Err(Error::file(path, cause));
    }
    Ok(true)
}

/// Trains, exports the best checkpoint, scores it on every test, and writes the result down.
fn carry_out(series: &ExperimentsConfig, experiment: &Experiment, options: &ExperimentsOptions) -> Result<()> {
    let Experiment { key, config, .. } = experiment;
    let target = config.target()?;
    // Before hours of training, so that a mistake shows at once.
    let open = |test: &TestEntry| Dataset::open(&resolve(&test.sources), &target, config.data.on_damage);
    let tests = series.tests.iter().map(open).collect::<Result<Vec<_>>>()?;
    let model = config.run.join(format!("{key}.onnx"));
    let (state, segmenter) = trained_segmenter(config, Chosen::Best, &model, options.device, &options.engine)?;
    let classes = matching_classes(segmenter.spec(), &target)?;
    let score = |data: &Dataset| Ok(TestScores::new(&evaluate(&segmenter, data, classes.clone())?));
    let scores = tests.iter().map(score).collect::<Result<Vec<_>>>()?;
    ExperimentResult::new(series, experiment, &state, scores)?.write(&series.result_path(key))
}

/// The tables, from the results that are there.
fn write_tables(series: &ExperimentsConfig, experiments: &[Experiment]) -> Result<()> {
    let mut results = Vec::new();
    for experiment in experiments {
        let path = series.result_path(&experiment.key);
        if !path.is_file() {
            continue;
        }
        let result = ExperimentResult::read(&path)?;
        match result.is_of(series, experiment)? {
            true => results.push((experiment.title.clone(), result)),
            false => tracing::warn!("left out, made by other settings: {}", path.display()),
        }
    }
    if results.is_empty() {
        return Ok(());
    }
    Ok(write_atomically(&series.output.join("tables.md"), markdown_tables(series, &results).as_bytes())?)
}
