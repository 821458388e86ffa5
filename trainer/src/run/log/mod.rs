//! What a run writes down: `log.csv`, TensorBoard event files, the terminal, charts and pictures.

mod canvas;
pub mod chart;
pub mod confusion;
mod csv;
pub mod curves;
pub mod grid;
pub mod progress;
mod run_log;
pub mod tensorboard;

use std::io::Cursor;
use std::path::Path;

use clothseg_batch::write_atomically;
use image::{ImageFormat, RgbImage};

pub use self::csv::{CsvLog, Row, Scores, keep_through, read};
pub use run_log::RunLog;

use crate::error::{Error, Result};

/// Writes a picture as PNG, whole or not at all.
pub fn write_png(path: &Path, picture: &RgbImage) -> Result<()> {
    let mut bytes = Cursor::new(Vec::new());
    let encoded = picture.write_to(&mut bytes, ImageFormat::Png);
    encoded.map_err(|error| Error::picture(path.display().to_string(), error.to_string()))?;
    Ok(write_atomically(path, bytes.get_ref())?)
}
