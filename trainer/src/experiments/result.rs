//! What an experiment came to, as JSON.

use std::path::Path;

use clothseg::batch::write_atomically;
use serde::{Deserialize, Serialize};

use super::{Experiment, ExperimentsConfig, TestEntry};
use crate::checkpoint::State;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::evaluate::{ClassScore, Evaluation, rounded};
use crate::train::same_training;

/// Scores of one experiment on all test data, and what it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExperimentResult {
    /// Its key.
    pub key: String,
    /// Steps of the optimiser.
    pub steps: usize,
    /// Minutes of training, validation included.
    pub training_minutes: f64,
    /// Scores, test by test.
    pub scores: Vec<TestScores>,
    /// What it was scored on.
    pub tests: Vec<TestEntry>,
    /// Its settings, as TOML.
    pub config: String,
}

/// Scores on one test's photos, all pixels of all photos taken together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestScores {
    /// Photos scored.
    pub photos: usize,
    /// Mean IoU over the classes that the truth shows, without background.
    pub mean_garment_iou: Option<f64>,
    /// IoU of any garment against background.
    pub any_garment_iou: Option<f64>,
    /// Share of right pixels.
    pub pixel_accuracy: Option<f64>,
    /// Class by class.
    pub classes: Vec<ClassScore>,
}

impl TestScores {
    /// Of an evaluation.
    pub fn new(evaluation: &Evaluation) -> Self {
        let confusion = &evaluation.confusion;
        Self {
            photos: evaluation.photos,
            mean_garment_iou: rounded(confusion.mean_garment_iou()),
            any_garment_iou: rounded(confusion.any_garment_iou()),
            pixel_accuracy: rounded(confusion.pixel_accuracy()),
            classes: evaluation.class_scores(),
        }
    }
}

impl ExperimentResult {
    /// Of a training that has ended and been scored.
    pub fn new(
        series: &ExperimentsConfig,
        experiment: &Experiment,
        state: &State,
        scores: Vec<TestScores>,
    ) -> Result<Self> {
        let config = toml::to_string(&experiment.config);
        Ok(Self {
            key: experiment.key.clone(),
            steps: state.step,
            training_minutes: (state.wall_s / 6.0).round() / 10.0,
            scores,
            tests: series.tests.clone(),
            config: config.map_err(|error| Error::file(&experiment.config.run, error.to_string()))?,
        })
    }

    /// Whether this is what `experiment` comes to by the settings that the series now has.
    pub fn is_of(&self, series: &ExperimentsConfig, experiment: &Experiment) -> bool {
        let earlier: Option<Config> = toml::from_str(&self.config).ok();
        self.tests == series.tests && earlier.is_some_and(|earlier| same_training(&earlier, &experiment.config))
    }

    /// Reads a result.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        serde_json::from_str(&text)
            .map_err(|error| Error::file(path, format!("is no result of an experiment: {error}")))
    }

    /// Writes the result.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|error| Error::file(path, error.to_string()))?;
        Ok(write_atomically(path, format!("{text}\n").as_bytes())?)
    }
}
