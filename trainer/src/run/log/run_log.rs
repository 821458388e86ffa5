//! All that a run writes down, in one place: the training loop calls nothing else.

use std::path::{Path, PathBuf};

use super::csv::{CsvLog, Row, keep_through};
use super::curves::run_charts;
use super::progress::{Progress, in_words};
use super::tensorboard::EventWriter;
use crate::error::Result;

/// The logs of a run: `log.csv`, a TensorBoard event file, the terminal and, from the first validation on, charts.
pub struct RunLog {
    folder: PathBuf,
    csv: CsvLog,
    events: EventWriter,
    /// From [`RunLog::start`] on.
    progress: Option<Progress>,
    total_steps: usize,
    epochs: usize,
}

impl RunLog {
    /// Opens the logs in a run's folder, for appending where there are some.
    pub fn open(folder: &Path) -> Result<Self> {
        Ok(Self {
            csv: CsvLog::open(&folder.join("log.csv"))?,
            events: EventWriter::create(folder)?,
            folder: folder.to_path_buf(),
            progress: None,
            total_steps: 0,
            epochs: 0,
        })
    }

    /// Goes on from a checkpoint that was taken after `step`, with `epochs` epochs done: what was logged after it is
    /// dropped.
    pub fn resume(&mut self, epochs: usize, step: usize) -> Result<()> {
        let path = self.folder.join("log.csv");
        keep_through(&path, epochs, step)?;
        // The file was replaced by another one.
        self.csv = CsvLog::open(&path)?;
        self.events.restart(step + 1)
    }

    /// Shows the progress from `step` on.
    pub fn start(&mut self, step: usize, total_steps: usize, epochs: usize) {
        self.progress = Some(Progress::new(step, total_steps));
        (self.total_steps, self.epochs) = (total_steps, epochs);
    }

    /// A step ended.
    pub fn step(&mut self, step: usize, loss: f64, images: usize) {
        if let Some(progress) = &mut self.progress {
            progress.step(step, loss, images);
        }
    }

    /// Writes a row of training.
    pub fn train(&mut self, row: &Row) -> Result<()> {
        // The bar says it all.
        if !self.progress.as_ref().is_some_and(Progress::is_visible) {
            let left = self.progress.as_ref().and_then(|progress| progress.time_left(row.step));
            let left = left.map(|left| format!(", {} left", in_words(left)));
            tracing::info!(
                "epoch {}/{}, step {}/{}: loss {:.4} ({}), gradient {:.2}, {:.1} images/s, waited {:.0} % for data, {:.0} min{}",
                row.epoch,
                self.epochs,
                row.step,
                self.total_steps,
                row.loss.unwrap_or(f64::NAN),
                row.loss_terms,
                row.gradient_norm.unwrap_or(f64::NAN),
                row.images_per_s.unwrap_or(f64::NAN),
                100.0 * row.wait_share.unwrap_or(f64::NAN),
                row.wall_s / 60.0,
                left.unwrap_or_default()
            );
        }
        self.write(row)
    }

    /// Writes the row of a validation and draws the charts anew.
    pub fn valid(&mut self, row: &Row) -> Result<()> {
        self.progress.iter_mut().for_each(Progress::pause);
        let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.1} %", 100.0 * value));
        tracing::info!(
            "epoch {}: mean IoU {} ({} without background), any garment {}, pixels {}, per-image mean {}",
            row.epoch,
            percent(row.scores.mean_iou),
            percent(row.scores.mean_garment_iou),
            percent(row.scores.any_garment_iou),
            percent(row.scores.pixel_accuracy),
            percent(row.scores.study_mean_iou)
        );
        self.write(row)?;
        self.charts();
        Ok(())
    }

    /// Takes the progress from the terminal and draws the charts a last time.
    pub fn finish(&self) {
        self.progress.iter().for_each(Progress::finish);
        self.charts();
    }

    fn write(&mut self, row: &Row) -> Result<()> {
        self.csv.write(row)?;
        self.events.row(row)
    }

    /// A training of hours does not end for a chart.
    fn charts(&self) {
        if let Err(error) = run_charts(&self.folder) {
            tracing::warn!("cannot draw the charts: {}", error.chain());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::csv::{Scores, read};
    use super::*;

    fn train(step: usize) -> Row {
        Row { kind: "train", epoch: step.div_ceil(10), step, loss: Some(2.0 / step as f64), ..Row::default() }
    }

    fn valid(epoch: usize) -> Row {
        let scores = Scores { mean_iou: Some(0.1 * epoch as f64), ..Scores::default() };
        Row { kind: "valid", epoch, step: epoch * 10, scores, ..Row::default() }
    }

    #[test]
    fn a_run_that_breaks_off_and_goes_on_has_each_step_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = RunLog::open(folder.path()).unwrap();
        log.start(0, 20, 2);
        for step in 1..=13 {
            log.step(step, 1.0, 4);
            log.train(&train(step)).unwrap();
            if step == 10 {
                log.valid(&valid(1)).unwrap();
            }
        }
        drop(log);
        let mut log = RunLog::open(folder.path()).unwrap();
        log.resume(1, 12).unwrap();
        log.start(12, 20, 2);
        (13..=20).for_each(|step| log.train(&train(step)).unwrap());
        log.valid(&valid(2)).unwrap();
        log.finish();

        let rows = read(&folder.path().join("log.csv")).unwrap();
        let steps: Vec<usize> = rows.iter().filter(|row| row.kind == "train").map(|row| row.step).collect();
        assert_eq!(steps, (1..=20).collect::<Vec<_>>());
        assert_eq!(rows.iter().filter(|row| row.kind == "valid").count(), 2);
        let names: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names.iter().filter(|name| name.starts_with("events.out.tfevents.")).count(), 2);
        assert!(names.contains(&"loss.png".to_owned()) && names.contains(&"scores.png".to_owned()), "{names:?}");
    }
}
