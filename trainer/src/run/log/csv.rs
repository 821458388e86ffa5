//! `log.csv`: a row every few steps and one after each epoch's validation.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use clothseg_batch::write_atomically;

use crate::error::{Error, Result};

/// Largest log that is read. A row has about 150 bytes: ten thousand hours of training.
const MAX_BYTES: u64 = 256 << 20;

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
#[derive(Clone, Debug, Default, PartialEq)]
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
        self.record(&row.fields())
    }

    fn record(&mut self, fields: &[String]) -> Result<()> {
        let written = self.writer.write_record(fields).map_err(std::io::Error::other);
        written.and_then(|()| self.writer.flush()).map_err(Error::io("write", &self.path))
    }
}

impl Row {
    /// The terms of [`Row::loss_terms`], name and value. What cannot be read is left out.
    pub fn terms(&self) -> impl Iterator<Item = (&str, f64)> {
        let pairs = self.loss_terms.split_whitespace().filter_map(|term| term.split_once('='));
        pairs.filter_map(|(name, value)| Some((name, value.parse().ok()?)))
    }

    /// In the order of [`COLUMNS`].
    fn fields(&self) -> [String; COLUMNS.len()] {
        let number = |value: Option<f64>| value.map(|value| format!("{value:.6}")).unwrap_or_default();
        [
            format!("{:.1}", self.wall_s),
            self.kind.to_owned(),
            self.epoch.to_string(),
            self.step.to_string(),
            self.learning_rate.map(|rate| format!("{rate:.3e}")).unwrap_or_default(),
            number(self.loss),
            self.loss_terms.clone(),
            number(self.images_per_s),
            number(self.wait_share),
            number(self.valid_loss),
            number(self.scores.mean_iou),
            number(self.scores.mean_garment_iou),
            number(self.scores.any_garment_iou),
            number(self.scores.pixel_accuracy),
            number(self.scores.study_mean_iou),
            number(self.gradient_norm),
        ]
    }
}

/// The rows of a log, in its order. A last line that a stopped process left unfinished is left out; columns that the log
/// does not have are empty, others are ignored.
pub fn read(path: &Path) -> Result<Vec<Row>> {
    let bytes = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    if bytes > MAX_BYTES {
        return Err(Error::file(path, format!("has {bytes} bytes; a log has at most {MAX_BYTES}")));
    }
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(whole.as_bytes());
    let bad =
        |line: usize, cause: String| Error::file(path, format!("line {line}: {cause}; is this the log.csv of a run?"));
    let head = reader.headers().map_err(|error| bad(1, error.to_string()))?.clone();
    let place = COLUMNS.map(|name| head.iter().position(|column| column == name));
    if let Some(missing) = place[..4].iter().position(Option::is_none) {
        return Err(bad(1, format!("there is no column `{}`", COLUMNS[missing])));
    }
    let mut rows = Vec::new();
    for (record, line) in reader.records().zip(2..) {
        let record = record.map_err(|error| bad(line, error.to_string()))?;
        let fields = place.map(|place| place.and_then(|place| record.get(place)).unwrap_or_default());
        rows.push(parse(&fields).map_err(|cause| bad(line, cause))?);
    }
    Ok(rows)
}

/// A row from its fields in the order of [`COLUMNS`]; what is wrong where there is none.
fn parse(fields: &[&str; COLUMNS.len()]) -> Result<Row, String> {
    let wrong = |column: usize| format!("`{}` in column `{}`", fields[column], COLUMNS[column]);
    let number = |column: usize| match fields[column] {
        "" => Ok(None),
        text => text.parse::<f64>().map(Some).map_err(|_| wrong(column)),
    };
    let count = |column: usize| fields[column].parse::<usize>().map_err(|_| wrong(column));
    Ok(Row {
        wall_s: number(0)?.unwrap_or_default(),
        kind: match fields[1] {
            "train" => "train",
            "valid" => "valid",
            _ => return Err(wrong(1)),
        },
        epoch: count(2)?,
        step: count(3)?,
        learning_rate: number(4)?,
        loss: number(5)?,
        loss_terms: fields[6].to_owned(),
        images_per_s: number(7)?,
        wait_share: number(8)?,
        valid_loss: number(9)?,
        scores: Scores {
            mean_iou: number(10)?,
            mean_garment_iou: number(11)?,
            any_garment_iou: number(12)?,
            pixel_accuracy: number(13)?,
            study_mean_iou: number(14)?,
        },
        gradient_norm: number(15)?,
    })
}

/// Drops the rows of what came after a checkpoint, so that a run that goes on from it does not log the same steps
/// twice: training rows after `step`, and validations but those of the first `epochs` epochs.
pub fn keep_through(path: &Path, epochs: usize, step: usize) -> Result<()> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    let mut record = |fields: &[String]| writer.write_record(fields).map_err(std::io::Error::other);
    let mut written = record(&COLUMNS.map(str::to_owned));
    for row in read(path)? {
        if row.step <= step && (row.kind == "train" || row.epoch <= epochs) {
            written = written.and_then(|()| record(&row.fields()));
        }
    }
    let bytes = written.and_then(|()| writer.into_inner().map_err(std::io::Error::other));
    Ok(write_atomically(path, &bytes.map_err(Error::io("write", path))?)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn train(step: usize) -> Row {
        Row {
            wall_s: step as f64 * 2.5,
            kind: "train",
            epoch: step / 10 + 1,
            step,
            learning_rate: Some(1e-3),
            loss: Some(1.25),
            loss_terms: "ce=0.7500 miou=0.5000".into(),
            images_per_s: Some(11.5),
            wait_share: Some(0.015625),
            gradient_norm: Some(2.5),
            ..Row::default()
        }
    }

    fn valid(epoch: usize, step: usize) -> Row {
        let scores = Scores { mean_iou: Some(0.25), pixel_accuracy: Some(0.875), ..Scores::default() };
        Row { kind: "valid", epoch, step, valid_loss: Some(0.5), scores, ..Row::default() }
    }

    fn log(rows: &[Row]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        let mut log = CsvLog::open(&path).unwrap();
        rows.iter().for_each(|row| log.write(row).unwrap());
        (folder, path)
    }

    #[test]
    fn what_was_written_is_read_back() {
        let rows = [train(4), train(10), valid(1, 10), train(14)];
        let (_folder, path) = log(&rows);
        assert_eq!(read(&path).unwrap(), rows);
        assert_eq!(rows[0].terms().collect::<Vec<_>>(), [("ce", 0.75), ("miou", 0.5)]);
    }

    #[test]
    fn an_unfinished_last_line_is_left_out() {
        let (_folder, path) = log(&[train(4), train(8)]);
        let text = std::fs::read(&path).unwrap();
        let head = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let first = head + text[head..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for cut in 0..text.len() {
            std::fs::write(&path, &text[..cut]).unwrap();
            match read(&path) {
                Ok(rows) => assert_eq!(rows, if cut < first { vec![] } else { vec![train(4)] }, "{cut}"),
                Err(_) => assert!(cut < head, "{cut}"),
            }
        }
    }

    #[test]
    fn a_resumed_run_keeps_the_rows_up_to_its_checkpoint() {
        let (_folder, path) = log(&[train(4), train(10), valid(1, 10), train(14), train(20), valid(2, 20)]);
        // A line that was cut off must not run into the next row.
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}55.0,train,3")).unwrap();
        keep_through(&path, 2, 20).unwrap();
        assert_eq!(read(&path).unwrap().len(), 6);
        // A checkpoint at the last step of an epoch, before its validation.
        keep_through(&path, 1, 20).unwrap();
        assert_eq!(read(&path).unwrap(), [train(4), train(10), valid(1, 10), train(14), train(20)]);
        keep_through(&path, 1, 12).unwrap();
        CsvLog::open(&path).unwrap().write(&train(16)).unwrap();
        assert_eq!(read(&path).unwrap(), [train(4), train(10), valid(1, 10), train(16)]);
    }

    #[test]
    fn what_is_no_log_is_refused_with_its_line() {
        let (_folder, path) = log(&[train(4)]);
        let fails = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&path).unwrap_err().to_string()
        };
        assert!(fails("a,b\n1,2\n").contains("line 1: there is no column `wall_s`"));
        assert!(fails("wall_s,kind,epoch,step\n1,train,1,2\n1,train,one,2\n").contains("line 3: `one`"));
        assert!(fails("wall_s,kind,epoch,step\n1,test,1,2\n").contains("`test` in column `kind`"));
    }
}
