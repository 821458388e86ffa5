//! Engines that threads borrow for one run each.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::engine::Engine;

/// Engines of one model.
pub(super) struct Pool {
    idle: Mutex<Vec<Box<dyn Engine>>>,
    returned: Condvar,
    size: usize,
}

impl Pool {
    pub(super) fn new(engines: Vec<Box<dyn Engine>>) -> Self {
        Self { size: engines.len(), idle: Mutex::new(engines), returned: Condvar::new() }
    }

    /// Engines, lent or idle.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Lends an engine to `work`; waits where all of them are lent.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut dyn Engine) -> T) -> T {
        let mut engine = self.take();
        // An engine that was lost in a panic would be missed by those who wait for it.
        let result = catch_unwind(AssertUnwindSafe(|| work(engine.as_mut())));
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(engine);
        self.returned.notify_one();
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// The engine that came back last: its memory is most likely still in the caches.
    fn take(&self) -> Box<dyn Engine> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match idle.pop() {
                Some(engine) => return engine,
                None => idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}
