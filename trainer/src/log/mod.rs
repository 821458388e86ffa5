//! What a run writes down: `log.csv`, TensorBoard event files, the terminal, charts and pictures.

mod csv;
pub mod tensorboard;

pub use self::csv::{CsvLog, Row, Scores, keep_through, read};
