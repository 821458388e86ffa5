//! The native part of the Python package `clothseg`: thin, with typed Python code around it (`python/clothseg`).
//!
//! Everything that takes time gives the interpreter free meanwhile, so threads of Python work beside each other.

mod errors;
mod found;
mod kinds;
mod network;
mod photo;
mod work;

use std::ffi::OsString;
use std::path::PathBuf;

use pyo3::prelude::*;

use found::Found;
use network::Network;
use photo::Photo;

/// Runs clothseg-run with these arguments, its own name first, and returns its exit status.
#[pyfunction]
fn run_program(py: Python<'_>, arguments: Vec<OsString>) -> PyResult<u8> {
    work::run(py, "clothseg-run", move || Ok(clothseg_cli::run(arguments)))
}

/// Processors that this process may use.
#[pyfunction]
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Writes a file whole or not at all.
#[pyfunction]
fn write_file(py: Python<'_>, path: PathBuf, content: &[u8]) -> PyResult<()> {
    work::run(py, "writing", || clothseg_batch::write_atomically(&path, content))
}

/// The native part of clothseg.
#[pymodule]
fn _clothseg(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("HEAD_BYTES", kinds::HEAD_BYTES)?;
    module.add("PHOTO", kinds::PHOTO)?;
    module.add_class::<Network>()?;
    module.add_class::<Photo>()?;
    module.add_class::<Found>()?;
    module.add_function(wrap_pyfunction!(run_program, module)?)?;
    module.add_function(wrap_pyfunction!(processors, module)?)?;
    module.add_function(wrap_pyfunction!(kinds::kind_of, module)?)?;
    module.add_function(wrap_pyfunction!(kinds::has_photo_suffix, module)?)?;
    module.add_function(wrap_pyfunction!(kinds::is_of_system, module)?)?;
    module.add_function(wrap_pyfunction!(write_file, module)?)
}
