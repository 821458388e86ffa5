//! What a run came to, as JSON.

use std::path::Path;

use clothseg_batch::write_atomically;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{PlannedRun, SweepConfig, TestEntry};
use crate::config::{Config, SourceConfig};
use crate::device::cpu;
use crate::error::{Error, Result};
use crate::evaluate::{ClassScore, Evaluation, rounded};
use crate::metrics::StudyScores;
use crate::run::{State, same_settings, same_training};

/// Scores of one run on the test data, and what it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Name of the run.
    pub run: String,
    /// The keys of its choices, axis by axis.
    pub keys: Vec<String>,
    /// Its seed.
    pub seed: u64,
    /// Weights that training changes; unknown of runs of the earlier `experiments`.
    pub parameters: Option<usize>,
    /// Steps of the optimiser.
    pub steps: usize,
    /// Minutes of training, validation included.
    pub training_minutes: f64,
    /// What ran the model on the test data; unknown of runs of the earlier `experiments`.
    pub engine: Option<String>,
    /// Scores, test by test.
    pub scores: Vec<TestScores>,
    /// What it was scored on.
    pub tests: Vec<TestEntry>,
    /// The run's settings, as TOML.
    pub config: String,
    /// CRC-32C of the mapping files of training, validation and tests, in order: labels are what these make of them. Unknown of
    /// runs of the earlier `study`.
    pub mappings: Option<String>,
}

/// Scores on the photos of one test. All but the study's are over all pixels of all photos together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestScores {
    /// Photos scored.
    pub photos: usize,
    /// The study's mean IoU.
    #[serde(default)]
    pub study: StudyScores,
    /// Mean IoU over the classes that the truth shows.
    #[serde(default)]
    pub mean_iou: Option<f64>,
    /// The same without background.
    #[serde(default)]
    pub mean_garment_iou: Option<f64>,
    /// Mean Dice over the classes that the truth shows.
    #[serde(default)]
    pub mean_dice: Option<f64>,
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
        let StudyScores { two, seventeen, all } = evaluation.study.scores();
        Self {
            photos: evaluation.photos,
            study: StudyScores { two: rounded(two), seventeen: rounded(seventeen), all: rounded(all) },
            mean_iou: rounded(confusion.mean_iou()),
            mean_garment_iou: rounded(confusion.mean_garment_iou()),
            mean_dice: rounded(confusion.mean_dice()),
            any_garment_iou: rounded(confusion.any_garment_iou()),
            pixel_accuracy: rounded(confusion.pixel_accuracy()),
            classes: evaluation.class_scores(),
        }
    }
}

impl RunResult {
    /// Of a run that has ended and been scored.
    pub fn new(sweep: &SweepConfig, run: &PlannedRun, state: &State, evaluations: &[Evaluation]) -> Result<Self> {
        // With autodiff, which knows what is trained.
        let network = run.config.network(run.config.target()?.classes()).init(&cpu().autodiff(), run.config.seed);
        Ok(Self {
            run: run.name.clone(),
            keys: run.keys.clone(),
            seed: run.config.seed,
            parameters: Some(network.trainable_parameters()),
            steps: state.step,
            training_minutes: (state.wall_s / 6.0).round() / 10.0,
            engine: evaluations.first().map(|evaluation| evaluation.engine.clone()),
            scores: evaluations.iter().map(TestScores::new).collect(),
            tests: sweep.tests.clone(),
            config: run.config_text()?,
            mappings: Some(mappings(sweep, run)?),
        })
    }

    /// Whether this is what `run` comes to with the settings that the sweep has now. A key that came later has its default in
    /// both. Titles and what does not change the training do not count, and mapping files count by their contents.
    pub fn is_of(&self, sweep: &SweepConfig, run: &PlannedRun) -> Result<bool> {
        let Ok(earlier) = Config::parse(&self.config) else { return Ok(false) };
        let same_tests = self.tests.iter().map(without_mappings).eq(sweep.tests.iter().map(without_mappings));
        if !same_tests || !same_settings(&earlier, &run.config) {
            return Ok(false);
        }
        Ok(match &self.mappings {
            Some(earlier) => *earlier == mappings(sweep, run)?,
            None => {
                let mut tests = self.tests.iter().zip(&sweep.tests);
                tests.all(|(earlier, now)| earlier.sources == now.sources) && same_training(&earlier, &run.config)
            }
        })
    }

    /// Reads a result, also one of the earlier subcommands `study` and `experiments`.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Self::parse(&text).map_err(|error| Error::file(path, format!("is not the result of a run: {error}")))
    }

    fn parse(text: &str) -> serde_json::Result<Self> {
        let value: Value = serde_json::from_str(text)?;
        if value.get("network").is_some() {
            serde_json::from_value::<StudyResult>(value).map(Self::from)
        } else if value.get("key").is_some() {
            serde_json::from_value::<ExperimentResult>(value)?.try_into().map_err(serde_json::Error::custom)
        } else {
            serde_json::from_value(value)
        }
    }

    /// Writes the result.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|error| Error::file(path, error.to_string()))?;
        Ok(write_atomically(path, format!("{text}\n").as_bytes())?)
    }
}

/// A result of the earlier subcommand `study`.
#[derive(Deserialize)]
struct StudyResult {
    run: String,
    network: String,
    loss: String,
    seed: u64,
    parameters: usize,
    steps: usize,
    training_minutes: f64,
    test_photos: usize,
    engine: String,
    study: StudyScores,
    mean_iou: Option<f64>,
    mean_dice: Option<f64>,
    any_garment_iou: Option<f64>,
    pixel_accuracy: Option<f64>,
    classes: Vec<ClassScore>,
    test: Vec<SourceConfig>,
    config: String,
}

impl From<StudyResult> for RunResult {
    fn from(earlier: StudyResult) -> Self {
        let scores = TestScores {
            photos: earlier.test_photos,
            study: earlier.study,
            mean_iou: earlier.mean_iou,
            mean_garment_iou: None,
            mean_dice: earlier.mean_dice,
            any_garment_iou: earlier.any_garment_iou,
            pixel_accuracy: earlier.pixel_accuracy,
            classes: earlier.classes,
        };
        Self {
            run: earlier.run,
            keys: vec![earlier.network, earlier.loss],
            seed: earlier.seed,
            parameters: Some(earlier.parameters),
            steps: earlier.steps,
            training_minutes: earlier.training_minutes,
            engine: Some(earlier.engine),
            scores: vec![scores],
            tests: vec![TestEntry { title: "test".to_owned(), sources: earlier.test }],
            config: earlier.config,
            mappings: None,
        }
    }
}

/// A result of the earlier subcommand `experiments`.
#[derive(Deserialize)]
struct ExperimentResult {
    key: String,
    steps: usize,
    training_minutes: f64,
    scores: Vec<TestScores>,
    tests: Vec<TestEntry>,
    config: String,
    mappings: String,
}

impl TryFrom<ExperimentResult> for RunResult {
    type Error = toml::de::Error;

    fn try_from(earlier: ExperimentResult) -> std::result::Result<Self, Self::Error> {
        // That result had no seed of its own.
        #[derive(Deserialize)]
        struct Settings {
            seed: u64,
        }
        let Settings { seed } = toml::from_str(&earlier.config)?;
        Ok(Self {
            run: earlier.key.clone(),
            keys: vec![earlier.key],
            seed,
            parameters: None,
            steps: earlier.steps,
            training_minutes: earlier.training_minutes,
            engine: None,
            scores: earlier.scores,
            tests: earlier.tests,
            config: earlier.config,
            mappings: Some(earlier.mappings),
        })
    }
}

/// A test's sources without the paths of their mapping files.
fn without_mappings(test: &TestEntry) -> Vec<SourceConfig> {
    test.sources.iter().map(|source| SourceConfig { mapping: None, ..source.clone() }).collect()
}

fn mappings(sweep: &SweepConfig, run: &PlannedRun) -> Result<String> {
    let tests = sweep.tests.iter().flat_map(|test| &test.sources);
    let data = &run.config.data;
    let mut sum = 0;
    for source in data.train.iter().chain(&data.valid).chain(tests) {
        if let Some(path) = &source.mapping {
            sum = crc32c::crc32c_append(sum, &std::fs::read(path).map_err(Error::io("read", path))?);
        }
        sum = crc32c::crc32c_append(sum, &[0]);
    }
    Ok(format!("{sum:08x}"))
}
