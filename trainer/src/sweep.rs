//! Many runs, one comparison: a base config, and what each run changes in it.
//!
//! Each run is an ordinary training in a folder of its own. Its scores on the test data go into `OUTPUT/results/NAME.json` and
//! its log into `OUTPUT/logs/NAME.csv`. A run whose result is there is not repeated, and one that was cut off goes on from its
//! last checkpoint. The tables and charts are written anew after each run, from the results that are there.

mod config;
mod earlier;
mod pictures;
mod result;
mod tables;

use std::path::PathBuf;

use clothseg::Segmenter;
use clothseg::engine::EngineOptions;
use clothseg_batch::write_atomically;

pub use config::{Axis, Choice, Columns, PlannedRun, SweepConfig, TestEntry};
pub use result::{RunResult, TestScores};
pub use tables::{csv_table, markdown_tables};

use crate::data::{Dataset, resolve};
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::evaluate::{evaluate, matching_classes};
use crate::onnx::{Weights, export_run};
use crate::run::RunFolder;
use crate::run::log::curves::compare_charts;
use crate::train::{Start, train};

/// What to do of a sweep.
#[derive(Clone, Debug, Default)]
pub struct SweepOptions {
    /// Only the runs with one of these names; all where it is empty.
    pub only: Vec<String>,
    /// Train nothing; write the tables and pictures of what there is.
    pub tables_only: bool,
    /// What trains.
    pub device: DeviceChoice,
    /// What runs the models on the test data.
    pub engine: EngineOptions,
}

/// Does the runs that are missing and writes the tables, charts and pictures. Returns the folder that they are in.
///
/// # Errors
/// [`Error::File`] for a run that there is not, for results of other settings, and, once the others are done, for runs that
/// failed.
pub fn run_sweep(sweep: &SweepConfig, options: &SweepOptions) -> Result<PathBuf> {
    let runs = sweep.runs()?;
    if let Some(unknown) = options.only.iter().find(|name| runs.iter().all(|run| run.name != **name)) {
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        return Err(Error::file(&sweep.output, format!("there is no run `{unknown}`; runs: {}", names.join(", "))));
    }
    let mut failed = Vec::new();
    let is_wanted = |run: &PlannedRun| options.only.is_empty() || options.only.contains(&run.name);
    for (index, run) in runs.iter().enumerate() {
        if options.tables_only || !is_wanted(run) || is_done(sweep, run)? {
            continue;
        }
        tracing::info!("{}: run {} of {}: {}", sweep.name, index + 1, runs.len(), run.name);
        if let Err(error) = carry_out(sweep, run, options) {
            // Such as a learning rate at which the loss is no number any more: the others can still be compared.
            tracing::error!("{}: {}", run.name, error.chain());
            failed.push(format!("{}: {}", run.name, error.chain()));
            continue;
        }
        write_tables(sweep, &runs)?;
    }
    write_tables(sweep, &runs)?;
    pictures::write(sweep, &runs, &options.engine)?;
    match failed.is_empty() {
        true => Ok(sweep.output.clone()),
        false => Err(Error::file(&sweep.output, format!("runs that failed:\n  {}", failed.join("\n  ")))),
    }
}

/// The runs, a line each, with a score of those that are done.
pub fn list(sweep: &SweepConfig) -> Result<String> {
    let line = |run: &PlannedRun| -> Result<String> {
        let path = sweep.result_path(&run.name);
        let state = match path.is_file() {
            true => {
                let result = RunResult::read(&path)?;
                let score = result.scores.first().and_then(|scores| sweep.columns.score(scores));
                let score = score.map_or("-".to_owned(), |score| format!("{score:.4}"));
                if result.is_of(sweep, run)? { format!("done: {score}") } else { format!("other settings: {score}") }
            }
            false if RunFolder::at(&run.config.run).last().is_file() => "started".to_owned(),
            false => "to do".to_owned(),
        };
        Ok(format!("{}: {state}\n", run.name))
    };
    sweep.runs()?.iter().map(line).collect()
}

/// Whether a run's result is there, made with the settings that the sweep has now.
fn is_done(sweep: &SweepConfig, run: &PlannedRun) -> Result<bool> {
    let path = sweep.result_path(&run.name);
    if !path.is_file() {
        return Ok(false);
    }
    if !RunResult::read(&path)?.is_of(sweep, run)? {
        let cause = "was made with other settings, mapping files or test data than the sweep has now; remove it (and, where \
                     the training changes, the run's folder) to repeat the run, or give the run another key or the sweep \
                     another `output`";
        return Err(Error::file(path, cause));
    }
    Ok(true)
}

/// Trains, or goes on where the run's folder holds a checkpoint; exports; scores the model on every test; writes log and
/// result.
fn carry_out(sweep: &SweepConfig, run: &PlannedRun, options: &SweepOptions) -> Result<()> {
    let target = run.config.target()?;
    // Before hours of training, so that a mistake shows at once.
    let open = |test: &TestEntry| Dataset::open(&resolve(&test.sources), &target, run.config.data.on_damage);
    let tests = sweep.tests.iter().map(open).collect::<Result<Vec<_>>>()?;
    let folder = RunFolder::at(&run.config.run);
    let start = Start { resume: folder.last().is_file(), device: options.device, ..Start::default() };
    let state = train(&run.config, start)?;
    let model = run.model_path();
    export_run(&run.config.run, sweep.checkpoint, Some(&model), Weights::F32, &options.engine)?;
    let segmenter = Segmenter::open_with(&model, &options.engine)?;
    let classes = matching_classes(segmenter.spec(), &target)?;
    let evaluations = tests.iter().map(|test| evaluate(&segmenter, test, classes.clone()));
    let evaluations = evaluations.collect::<Result<Vec<_>>>()?;
    let log = std::fs::read(folder.log()).map_err(Error::io("read", folder.log()))?;
    write_atomically(&sweep.log_path(&run.name), &log)?;
    RunResult::new(sweep, run, &state, &evaluations)?.write(&sweep.result_path(&run.name))
}

/// The tables, and the charts of all runs, from the results that are there.
fn write_tables(sweep: &SweepConfig, runs: &[PlannedRun]) -> Result<()> {
    let mut results = Vec::new();
    for run in runs {
        let path = sweep.result_path(&run.name);
        if !path.is_file() {
            continue;
        }
        let result = RunResult::read(&path)?;
        match result.is_of(sweep, run)? {
            true => results.push(result),
            false => tracing::warn!("left out, made with other settings: {}", path.display()),
        }
    }
    if results.is_empty() {
        return Ok(());
    }
    write_atomically(&sweep.output.join("tables.md"), markdown_tables(sweep, &results).as_bytes())?;
    write_atomically(&sweep.output.join("results.csv"), csv_table(sweep, &results).as_bytes())?;
    let logs = results.iter().map(|result| (result.run.clone(), sweep.log_path(&result.run)));
    // Sweeps of earlier versions kept no logs beside some of their results.
    let logs: Vec<(String, PathBuf)> = logs.filter(|(_, path)| path.is_file()).collect();
    compare_charts(&logs, &sweep.output)?;
    Ok(())
}
