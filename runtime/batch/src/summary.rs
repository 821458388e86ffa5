use super::outcome::{Ended, Outcome};
use super::timings::StageTimings;

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Photos done in this run.
    pub done: usize,
    /// Photos that an earlier run had done, with `resume`.
    pub skipped: usize,
    /// Photos that failed.
    pub failed: usize,
    /// Photos that somebody should look at, of those done and those skipped.
    pub to_review: usize,
    /// Photos that had changed since an earlier run did them, with `resume`; they are done again.
    pub changed: Vec<String>,
    /// Photos whose results were changed after the run that made them, such as masks corrected by hand, with `resume`; they stay.
    pub edited: Vec<String>,
    /// Photos that an earlier run did into the same folder and that are not among those of this one, with `resume` and without
    /// shards. Their results stay.
    pub missing: Vec<String>,
    /// Files of earlier runs that were removed, as they do not fit the new results of their photo.
    pub removed_files: usize,
    /// Photos that were not begun.
    pub not_begun: usize,
    /// Why they were not.
    pub stopped: Option<Stop>,
    /// Where the time of the photos done went, added up over all threads.
    pub timings: StageTimings,
    /// Seconds from the first photo to the last.
    pub wall_s: f64,
}

/// Why a run stopped before its last photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// It was cancelled.
    Cancelled,
    /// A photo failed, with `fail_fast`.
    Failure,
}

impl Summary {
    pub(super) fn count(&mut self, outcome: &Outcome) {
        match &outcome.result {
            Ok(Ended::Done(done)) => {
                self.done += 1;
                self.to_review += usize::from(!done.review.is_empty());
                self.timings += done.timings;
            }
            Ok(Ended::Skipped { review }) => {
                self.skipped += 1;
                self.to_review += usize::from(!review.is_empty());
            }
            Err(_) => self.failed += 1,
        }
    }

    /// Photos that have ended.
    pub fn ended(&self) -> usize {
        self.done + self.skipped + self.failed
    }
}
