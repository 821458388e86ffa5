//! Native work on behalf of Python: without the interpreter's lock, in the right process, and never ending in a panic.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use clothseg::{Error, Segmenter};
use pyo3::prelude::*;

use crate::errors::{self, EngineError};

/// The process whose threads do the work; 0 before there are any.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// Runs a part of the work while other threads of Python go on.
///
/// # Errors
/// What it reports as the Python exception for it; `EngineError` after a fork, and for a panic, which is a bug of ours.
pub fn run<T: Send>(py: Python<'_>, stage: &str, part: impl FnOnce() -> clothseg::Result<T> + Send) -> PyResult<T> {
    check_process()?;
    let broken =
        || Err(Error::Invalid(format!("{stage} broke down; this is a bug, please report it with what it was given")));
    let result = py.detach(|| catch_unwind(AssertUnwindSafe(part)).unwrap_or_else(|_| broken()));
    result.map_err(|error| errors::to_python(&error))
}

/// An open model, shared. In a child that a fork made it is left as it is: ending it would wait for threads that are not there.
pub struct Shared(ManuallyDrop<Arc<Segmenter>>);

impl Shared {
    pub fn new(segmenter: Segmenter) -> Self {
        Self(ManuallyDrop::new(Arc::new(segmenter)))
    }
}

impl Clone for Shared {
    fn clone(&self) -> Self {
        Self(ManuallyDrop::new(Arc::clone(&self.0)))
    }
}

impl Deref for Shared {
    type Target = Segmenter;

    fn deref(&self) -> &Segmenter {
        &self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if OWNER.load(Ordering::Relaxed) == std::process::id() {
            // SAFETY: this is the end of the value, and nothing else drops what is in it.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}

/// The threads of the work are those of one process. A child that a fork makes has none of them, and would wait for them for ever.
fn check_process() -> PyResult<()> {
    let process = std::process::id();
    match OWNER.compare_exchange(0, process, Ordering::Relaxed, Ordering::Relaxed) {
        Err(owner) if owner != process => Err(EngineError::new_err(
            "clothseg was used in the parent process before the fork, and its threads are not in this child; start workers with \
             'spawn': multiprocessing.get_context(\"spawn\"), or use clothseg in the children only",
        )),
        _ => Ok(()),
    }
}
