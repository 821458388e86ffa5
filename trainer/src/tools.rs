//! What is done to models and photos beside training: calibrate, average, quantize, label photos, draw labels.

pub mod average;
pub mod calibrate;
mod cells;
pub mod label_sheet;
pub mod pseudo_label;
pub mod quantize;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// An error where `output` is one of the files that are read, which writing it would replace.
fn refuse_input_as_output(inputs: &[PathBuf], output: &Path) -> Result<()> {
    // What does not exist yet has no real path, and is none of the inputs.
    let Ok(real_output) = output.canonicalize() else { return Ok(()) };
    match inputs.iter().find(|input| input.canonicalize().is_ok_and(|input| input == real_output)) {
        Some(input) => {
            let cause = format!("it would replace the model {}; choose another file with -o", input.display());
            Err(Error::Export { path: output.to_path_buf(), cause })
        }
        None => Ok(()),
    }
}
