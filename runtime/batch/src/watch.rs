//! A folder that photos arrive in: each is done when it is whole, until somebody says stop.

mod arrivals;
mod mounts;
mod root;
mod source;
mod watcher;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use clothseg::{Error, Result, Segmenter};

use self::watcher::Watch;
use super::cancel::Cancel;
use super::options::BatchOptions;
use super::outcome::Outcome;
use super::summary::Summary;

/// How a folder is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchOptions {
    /// How long a photo must be left unchanged to count as whole. Where the system tells that a writer has it open, or the file
    /// is empty, it is 15 times as long.
    pub settle: Duration,
    /// How long it must be left unchanged where the system tells that its writer has closed it; at most `settle`.
    pub settle_after_closing: Duration,
    /// Look for changes this often, instead of being told of them by the system.
    pub poll: Option<Duration>,
}

impl Default for WatchOptions {
    /// Two seconds, a fifth of a second after closing, and told by the system where it can.
    fn default() -> Self {
        Self { settle: Duration::from_secs(2), settle_after_closing: Duration::from_millis(200), poll: None }
    }
}

impl WatchOptions {
    /// The same with another settle time.
    #[must_use]
    pub fn with_settle(mut self, settle: Duration) -> Self {
        self.settle = settle;
        self
    }

    /// The same with another settle time after closing.
    #[must_use]
    pub fn with_settle_after_closing(mut self, settle: Duration) -> Self {
        self.settle_after_closing = settle;
        self
    }

    /// The same, looking this often.
    #[must_use]
    pub fn with_poll(mut self, poll: Option<Duration>) -> Self {
        self.poll = poll;
        self
    }
}

/// How changes are heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// The system tells of them.
    System,
    /// By looking this often, and why.
    Looking {
        /// Time from one look to the next; longer where a look takes long.
        every: Duration,
        /// Why the system is not asked; nothing where the caller wants it so.
        reason: Option<String>,
    },
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("the system tells of changes"),
            Self::Looking { every, reason } => {
                write!(f, "looking for changes every {} s", every.as_secs_f64())?;
                reason.as_ref().map_or(Ok(()), |reason| write!(f, ", because {reason}"))
            }
        }
    }
}

/// What happens in a watch.
#[derive(Debug)]
#[non_exhaustive]
pub enum WatchEvent {
    /// From now on changes are heard of in this way.
    Listening(Way),
    /// So many photos are whole, and begun.
    Begun(usize),
    /// One of them ended.
    Photo(Outcome),
    /// All of them ended.
    Ended(Round),
    /// The folder, or one below it, cannot be looked at, or a file is of a kind with pictures that is not read; the watch goes on.
    Unreadable {
        /// The file or folder as its user names it.
        name: String,
        /// What is wrong.
        error: Error,
    },
    /// The watched folder is there again.
    Back,
}

/// Photos that were whole at one time, and were done together.
#[derive(Debug)]
#[non_exhaustive]
pub struct Round {
    /// How they ended.
    pub summary: Summary,
    /// Photos that were deleted before they were read; they are not among those that failed.
    pub vanished: usize,
}

/// How a watch ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchSummary {
    /// Photos done; one that was replaced counts each time.
    pub done: usize,
    /// Photos whose last try failed.
    pub failed: usize,
    /// Photos that were whole, and were not begun.
    pub not_begun: usize,
}

/// Does the photos of a folder as a run with [`BatchOptions::resume`] does, then those that arrive in it, until it is
/// cancelled. Photos in flight are finished then.
///
/// A photo is begun when it is whole, see [`WatchOptions::settle`], and again when it has changed, also after it failed.
/// Files of the run that gather parts of all photos, such as `coco.json`, are not written: a run with
/// [`BatchOptions::resume`] over the folder writes them. A photo that arrives keeps its extension in the names of its results
/// where another photo has the name without it.
///
/// # Errors
/// [`Error::Read`] when the folder cannot be read at the start; [`Error::Invalid`] when it lies in a folder for results;
/// [`Error::Write`] and others of [`run`](crate::run) when what is done cannot be recorded any more.
pub fn watch(
    segmenter: &Segmenter,
    folder: &Path,
    options: &BatchOptions,
    how: &WatchOptions,
    cancel: &Cancel,
    report: &mut (dyn FnMut(WatchEvent) + Send),
) -> Result<WatchSummary> {
    let options = options.clone().with_resume(true);
    let mut watch = Watch::open(segmenter, folder, &options, how, report)?;
    while !cancel.is_cancelled() {
        watch.step(cancel)?;
    }
    Ok(watch.summary())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_is_told_with_its_reason() {
        let way = Way::Looking { every: Duration::from_millis(500), reason: Some("it is a share".into()) };
        assert_eq!(way.to_string(), "looking for changes every 0.5 s, because it is a share");
    }
}
