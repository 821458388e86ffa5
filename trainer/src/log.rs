//! What a run writes down: `log.csv`, a row every few steps and one after each epoch's validation.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Columns of the log.
const COLUMNS: [&str; 16] = [
    "wall_s",
    "kind",
    "epoch",
    "step",
    "learning_rate",
    "loss",
    "loss_terms",
    "images_per_s",
    "wait_share",
    "valid_loss",
    "mean_iou",
    "mean_garment_iou",
    "any_garment_iou",
    "pixel_accuracy",
    "study_mean_iou",
    "gradient_norm",
];

/// One row. What does not apply is left empty.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Seconds since the run began, without pauses.
    pub wall_s: f64,
    /// `train` or `valid`.
    pub kind: &'static str,
    /// Epoch, from 1.
    pub epoch: usize,
    /// Steps done.
    pub step: usize,
    /// Learning rate of the last step.
    pub learning_rate: Option<f64>,
    /// Mean weighted loss since the last row.
    pub loss: Option<f64>,
    /// Mean of each term, unweighted: `ce=1.2 miou=0.8`.
    pub loss_terms: String,
    /// Examples a second since the last row.
    pub images_per_s: Option<f64>,
    /// Share of the time that the step waited for data.
    pub wait_share: Option<f64>,
    /// Mean cross entropy on the validation data.
    pub valid_loss: Option<f64>,
    /// See [`crate::metrics`].
    pub scores: Scores,
    /// Mean norm of the gradients since the last row, before it was limited.
    pub gradient_norm: Option<f64>,
}

/// The scores of a validation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    /// Mean IoU over the classes of the truth, background included.
    pub mean_iou: Option<f64>,
    /// The same without background.
    pub mean_garment_iou: Option<f64>,
    /// Any garment against background.
    pub any_garment_iou: Option<f64>,
    /// Share of right pixels.
    pub pixel_accuracy: Option<f64>,
    /// The study's mean of per-image IoUs.
    pub study_mean_iou: Option<f64>,
}

/// An open `log.csv`.
pub struct CsvLog {
    writer: csv::Writer<File>,
    path: PathBuf,
}

impl CsvLog {
    /// Opens the log for appending; writes the head of a new one.
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(Error::io("write", path))?;
        let fresh = file.metadata().map_err(Error::io("read", path))?.len() == 0;
        let mut log =
            Self { writer: csv::WriterBuilder::new().has_headers(false).from_writer(file), path: path.to_path_buf() };
        if fresh {
            log.record(&COLUMNS.map(str::to_owned))?;
        }
        Ok(log)
    }

    /// Appends a row.
    pub fn write(&mut self, row: &Row) -> Result<()> {
        let number = |value: Option<f64>| value.map(|value| format!("{value:.6}")).unwrap_or_default();
        self.record(&[
            format!("{:.1}", row.wall_s),
            row.kind.to_owned(),
            row.epoch.to_string(),
            row.step.to_string(),
            row.learning_rate.map(|rate| format!("{rate:.3e}")).unwrap_or_default(),
            number(row.loss),
            row.loss_terms.clone(),
            number(row.images_per_s),
            number(row.wait_share),
            number(row.valid_loss),
            number(row.scores.mean_iou),
            number(row.scores.mean_garment_iou),
            number(row.scores.any_garment_iou),
            number(row.scores.pixel_accuracy),
            number(row.scores.study_mean_iou),
            number(row.gradient_norm),
        ])
    }

    fn record(&mut self, fields: &[String]) -> Result<()> {
        let written = self.writer.write_record(fields).map_err(std::io::Error::other);
        written.and_then(|()| self.writer.flush()).map_err(Error::io("write", &self.path))
    }
}
