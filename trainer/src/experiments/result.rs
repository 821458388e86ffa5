//! What an experiment came to, as JSON.

use std::path::Path;

use clothseg_batch::write_atomically;
use serde::{Deserialize, Serialize};

use super::{Experiment, ExperimentsConfig, TestEntry};
use crate::checkpoint::State;
use crate::config::{Config, SourceConfig};
use crate::error::{Error, Result};
use crate::evaluate::{ClassScore, Evaluation, rounded};
use crate::train::same_settings;

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
    /// CRC-32C of the mapping files of training, validation and tests, in order: labels are what these make of them.
    pub mappings: String,
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

/// A test's sources without the paths of their mapping files.
fn scored(test: &TestEntry) -> Vec<SourceConfig> {
    test.sources.iter().map(|source| SourceConfig { mapping: None, ..source.clone() }).collect()
}

fn mappings(series: &ExperimentsConfig, experiment: &Experiment) -> Result<String> {
    let tests = series.tests.iter().flat_map(|test| &test.sources);
    let data = &experiment.config.data;
    let mut sum = 0;
    for source in data.train.iter().chain(&data.valid).chain(tests) {
        let text =
            source.mapping.as_ref().map(|path| std::fs::read(path).map_err(Error::io("read", path))).transpose()?;
        sum = crc32c::crc32c_append(sum, &text.unwrap_or_default());
        sum = crc32c::crc32c_append(sum, &[0]);
    }
    Ok(format!("{sum:08x}"))
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
            mappings: mappings(series, experiment)?,
        })
    }

    /// Whether this is what `experiment` comes to by the settings that the series now has. Titles do not count, and mapping
    /// files count by their contents.
    pub fn is_of(&self, series: &ExperimentsConfig, experiment: &Experiment) -> Result<bool> {
        let earlier: Option<Config> = toml::from_str(&self.config).ok();
        let same_tests = self.tests.iter().map(scored).eq(series.tests.iter().map(scored));
        let same_config = earlier.is_some_and(|earlier| same_settings(&earlier, &experiment.config));
        Ok(same_tests && same_config && self.mappings == mappings(series, experiment)?)
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
