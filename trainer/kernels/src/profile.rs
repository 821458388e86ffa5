//! Where the time of a step goes, kernel by kernel.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

static ON: AtomicBool = AtomicBool::new(false);
static TIMES: Mutex<BTreeMap<String, (usize, Duration)>> = Mutex::new(BTreeMap::new());

/// Takes the time of every kernel from now on, in the whole process.
pub fn start_profile() {
    TIMES.lock().unwrap_or_else(PoisonError::into_inner).clear();
    ON.store(true, Ordering::Relaxed);
}

/// What was measured since [`start_profile`], the longest first: name, calls, time.
pub fn profile() -> Vec<(String, usize, Duration)> {
    let times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut rows: Vec<_> = times.iter().map(|(name, (calls, time))| (name.clone(), *calls, *time)).collect();
    rows.sort_by_key(|(_, _, time)| std::cmp::Reverse(*time));
    rows
}

/// Runs `work`, and takes its time under `name` if that is wanted.
pub(super) fn timed<R>(name: impl Fn() -> String, work: impl FnOnce() -> R) -> R {
    if !ON.load(Ordering::Relaxed) {
        return work();
    }
    let start = Instant::now();
    let result = work();
    let time = start.elapsed();
    let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = times.entry(name()).or_default();
    *entry = (entry.0 + 1, entry.1 + time);
    result
}
