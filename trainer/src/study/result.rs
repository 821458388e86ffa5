//! What a run of a study came to, as JSON.

use std::path::Path;

use clothseg_batch::write_atomically;
use serde::{Deserialize, Serialize};

use super::{PlannedRun, StudyConfig};
use crate::checkpoint::State;
use crate::config::{Config, SourceConfig};
use crate::device::cpu;
use crate::error::{Error, Result};
use crate::evaluate::{ClassScore, Evaluation, rounded};
use crate::metrics::StudyScores;
use crate::train::same_training;

/// Scores of one run on the test data, and what it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Name of the run.
    pub run: String,
    /// Key of its network.
    pub network: String,
    /// Key of its loss.
    pub loss: String,
    /// Its seed.
    pub seed: u64,
    /// Weights that training changes.
    pub parameters: usize,
    /// Steps of the optimiser.
    pub steps: usize,
    /// Minutes of training, validation included.
    pub training_minutes: f64,
    /// Photos scored.
    pub test_photos: usize,
    /// What ran the model on them.
    pub engine: String,
    /// The study's mean IoU.
    pub study: StudyScores,
    /// Mean IoU over the classes, all pixels of all photos taken together.
    pub mean_iou: Option<f64>,
    /// Mean Dice, likewise.
    pub mean_dice: Option<f64>,
    /// IoU of any garment against background, likewise.
    pub any_garment_iou: Option<f64>,
    /// Share of right pixels.
    pub pixel_accuracy: Option<f64>,
    /// Class by class.
    pub classes: Vec<ClassScore>,
    /// What it was scored on.
    pub test: Vec<SourceConfig>,
    /// The run's settings, as TOML.
    pub config: String,
}

impl RunResult {
    /// Of a run that has ended and been scored.
    pub fn new(study: &StudyConfig, run: &PlannedRun, state: &State, evaluation: &Evaluation) -> Result<Self> {
        // With autodiff, which knows what is trained.
        let network = run.config.network(evaluation.classes.len()).init(&cpu().autodiff(), run.config.seed);
        let confusion = &evaluation.confusion;
        let StudyScores { two, seventeen, all } = evaluation.study.scores();
        Ok(Self {
            run: run.name.clone(),
            network: run.network.clone(),
            loss: run.loss.clone(),
            seed: run.config.seed,
            parameters: network.trainable_parameters(),
            steps: state.step,
            training_minutes: (state.wall_s / 6.0).round() / 10.0,
            test_photos: evaluation.photos,
            engine: evaluation.engine.clone(),
            study: StudyScores { two: rounded(two), seventeen: rounded(seventeen), all: rounded(all) },
            mean_iou: rounded(confusion.mean_iou()),
            mean_dice: rounded(confusion.mean_dice()),
            any_garment_iou: rounded(confusion.any_garment_iou()),
            pixel_accuracy: rounded(confusion.pixel_accuracy()),
            classes: evaluation.class_scores(),
            test: study.test.clone(),
            config: run.config_text()?,
        })
    }

    /// Whether this is what `run` comes to by the settings that the study now has: a key that came later has its default in
    /// both, and what does not change the training does not count.
    pub fn is_of(&self, study: &StudyConfig, run: &PlannedRun) -> bool {
        let earlier: Option<Config> = toml::from_str(&self.config).ok();
        self.test == study.test && earlier.is_some_and(|earlier| same_training(&earlier, &run.config))
    }

    /// Reads a result.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        serde_json::from_str(&text).map_err(|error| Error::file(path, format!("is no result of a run: {error}")))
    }

    /// Writes the result.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|error| Error::file(path, error.to_string()))?;
        Ok(write_atomically(path, format!("{text}\n").as_bytes())?)
    }
}
