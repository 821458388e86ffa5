//! From a config to a model at work, for everything that compares trainings.

use std::path::Path;

use clothseg::Segmenter;
use clothseg::engine::EngineOptions;

use crate::checkpoint::State;
use crate::config::Config;
use crate::device::DeviceChoice;
use crate::error::Result;
use crate::export::{Chosen, Weights, export_run};
use crate::train::{RunFolder, Start, train};

/// Trains, or goes on where the run's folder holds a checkpoint; exports a checkpoint to `model` and opens that.
pub(crate) fn trained_segmenter(
    config: &Config,
    chosen: Chosen,
    model: &Path,
    device: DeviceChoice,
    engine: &EngineOptions,
) -> Result<(State, Segmenter)> {
    let resume = RunFolder::at(&config.run).last().is_file();
    let state = train(config, Start { resume, device, last_step: None })?;
    export_run(&config.run, chosen, Some(model), Weights::Full, engine)?;
    Ok((state, Segmenter::open_with(model, engine)?))
}
