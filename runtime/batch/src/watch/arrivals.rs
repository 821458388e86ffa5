//! Which photos are whole: pure bookkeeping of what was seen of each file, and when.

use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How many times the settle time a file is waited for that is empty, or that somebody is known to hold open.
const PATIENCE: u32 = 15;

/// What tells one version of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    bytes: u64,
    modified: Option<SystemTime>,
    /// When anything about it changed, which no copying program can set back; 0 where there is no such time.
    changed_ns: i128,
}

impl Facts {
    /// Those of a file at this moment; nothing where there is none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        metadata.is_file().then(|| Self {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
            changed_ns: changed_ns(&metadata),
        })
    }
}

#[cfg(unix)]
fn changed_ns(metadata: &Metadata) -> i128 {
    use std::os::unix::fs::MetadataExt;
    i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn changed_ns(_: &Metadata) -> i128 {
    0
}

/// What is heard of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// It is there.
    Seen,
    /// Somebody writes to it, and its being closed will be heard of.
    Written,
    /// Its writer has closed it, or it was moved here.
    Closed,
}

/// A file that may not be whole yet.
#[derive(Debug)]
struct Waiting {
    facts: Facts,
    /// When something of it was last seen to change.
    since: Instant,
    last: News,
}

/// Files on their way in, and what was last done of each.
#[derive(Debug)]
pub(super) struct Arrivals {
    settle: Duration,
    /// The same for a file that its writer has closed: some close it and open it again.
    settle_after_closing: Duration,
    waiting: HashMap<PathBuf, Waiting>,
    /// The version of each file that was handed out: a file is handed out again when it has changed.
    taken: HashMap<PathBuf, Facts>,
}

impl Arrivals {
    /// A file counts as whole after it was left unchanged for this long, and for this long after its writer has closed it.
    pub(super) fn new(settle: Duration, settle_after_closing: Duration) -> Self {
        Self { settle, settle_after_closing, waiting: HashMap::new(), taken: HashMap::new() }
    }

    /// From now on a file must be left unchanged for this long, if not longer.
    pub(super) fn settle_at_least(&mut self, settle: Duration) {
        self.settle = self.settle.max(settle);
    }

    /// Something is heard of a file.
    pub(super) fn notice(&mut self, path: &Path, facts: Facts, news: News, now: Instant) {
        if !self.waiting.contains_key(path) {
            if self.taken.get(path) == Some(&facts) {
                return;
            }
            self.waiting.insert(path.to_owned(), Waiting { facts, since: now, last: news });
            return;
        }
        let Some(waiting) = self.waiting.get_mut(path) else { return };
        let changed = waiting.facts != facts;
        if changed || news != News::Seen {
            waiting.since = now;
        }
        // What is seen of a file says nothing new of its writer, unless the file was closed and has changed since.
        if news != News::Seen || (changed && waiting.last == News::Closed) {
            waiting.last = news;
        }
        waiting.facts = facts;
    }

    /// A file is not there any more.
    pub(super) fn gone(&mut self, path: &Path) {
        self.waiting.remove(path);
        self.taken.remove(path);
    }

    /// Forgets what was handed out and is not among these files any more.
    pub(super) fn keep_only(&mut self, files: &HashSet<PathBuf>) {
        self.taken.retain(|path, _| files.contains(path));
    }

    /// When the next file may be whole.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| self.due(waiting)).min()
    }

    /// Hands out the files that are whole, in the order of names. `look` gives a file's facts at this moment.
    pub(super) fn take_whole(&mut self, now: Instant, look: impl Fn(&Path) -> Option<Facts>) -> Vec<PathBuf> {
        let due = self.waiting.iter().filter(|(_, waiting)| self.due(waiting) <= now);
        let mut whole: Vec<PathBuf> = due.map(|(path, _)| path.clone()).collect();
        whole.retain(|path| match (look(path), self.waiting.get_mut(path)) {
            (Some(facts), Some(waiting)) if facts == waiting.facts => {
                self.waiting.remove(path);
                self.taken.insert(path.clone(), facts);
                true
            }
            (Some(facts), Some(waiting)) => {
                waiting.facts = facts;
                waiting.since = now;
                false
            }
            _ => {
                self.gone(path);
                false
            }
        });
        whole.sort_unstable();
        whole
    }

    fn due(&self, waiting: &Waiting) -> Instant {
        let patience = self.settle * PATIENCE;
        waiting.since
            + match waiting.last {
                News::Written => patience,
                _ if waiting.facts.bytes == 0 => patience,
                News::Closed => self.settle_after_closing.min(self.settle),
                News::Seen => self.settle,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const AFTER_CLOSING: Duration = Duration::from_millis(200);

    fn facts(bytes: u64) -> Facts {
        Facts { bytes, modified: None, changed_ns: 0 }
    }

    /// Arrivals with a settle time of two seconds, a beginning, and a path.
    fn empty() -> (Arrivals, Instant, &'static Path) {
        (Arrivals::new(2 * SECOND, AFTER_CLOSING), Instant::now(), Path::new("a.jpg"))
    }

    fn taken(arrivals: &mut Arrivals, now: Instant, bytes: u64) -> usize {
        arrivals.take_whole(now, |_| Some(facts(bytes))).len()
    }

    #[test]
    fn a_file_is_whole_when_it_was_left_alone_for_the_settle_time() {
        let (mut arrivals, start, path) = empty();
        arrivals.notice(path, facts(1), News::Seen, start);
        assert_eq!(taken(&mut arrivals, start + SECOND, 1), 0);
        arrivals.notice(path, facts(2), News::Seen, start + SECOND);
        assert_eq!(arrivals.next_due(), Some(start + 3 * SECOND));
        assert_eq!(taken(&mut arrivals, start + 2 * SECOND, 2), 0, "it grew a second ago");
        assert_eq!(taken(&mut arrivals, start + 3 * SECOND, 2), 1);
        assert_eq!(taken(&mut arrivals, start + 9 * SECOND, 2), 0, "once");
    }

    #[test]
    fn a_file_that_changes_at_the_last_moment_waits_on() {
        let (mut arrivals, start, path) = empty();
        arrivals.notice(path, facts(1), News::Seen, start);
        assert_eq!(taken(&mut arrivals, start + 2 * SECOND, 7), 0);
        assert_eq!(taken(&mut arrivals, start + 3 * SECOND, 7), 0);
        assert_eq!(taken(&mut arrivals, start + 4 * SECOND, 7), 1);
    }

    #[test]
    fn closing_makes_it_short_and_a_writer_makes_it_long() {
        let (mut arrivals, start, path) = empty();
        arrivals.notice(path, facts(1), News::Seen, start);
        arrivals.notice(path, facts(1), News::Written, start);
        assert_eq!(taken(&mut arrivals, start + 9 * SECOND, 1), 0, "somebody holds it open");
        arrivals.notice(path, facts(2), News::Closed, start + 9 * SECOND);
        assert_eq!(taken(&mut arrivals, start + 9 * SECOND, 2), 0, "it may be opened again");
        assert_eq!(taken(&mut arrivals, start + 9 * SECOND + AFTER_CLOSING, 2), 1);
        // A writer that never closes its file is not waited for for ever.
        arrivals.notice(path, facts(3), News::Written, start);
        assert_eq!(taken(&mut arrivals, start + 2 * SECOND * PATIENCE, 3), 1);
    }

    #[test]
    fn an_empty_file_is_waited_for_although_it_was_closed() {
        let (mut arrivals, start, path) = empty();
        arrivals.notice(path, facts(0), News::Closed, start);
        assert_eq!(taken(&mut arrivals, start + 9 * SECOND, 0), 0);
        arrivals.notice(path, facts(4), News::Seen, start + 9 * SECOND);
        assert_eq!(
            taken(&mut arrivals, start + 10 * SECOND, 4),
            0,
            "that it was closed says nothing of what came after"
        );
        assert_eq!(taken(&mut arrivals, start + 11 * SECOND, 4), 1);
    }

    #[test]
    fn a_file_is_handed_out_again_when_it_changes_or_comes_back() {
        let (mut arrivals, start, path) = empty();
        let round = |arrivals: &mut Arrivals, bytes, seconds: u32| {
            arrivals.notice(path, facts(bytes), News::Closed, start + seconds * SECOND);
            taken(arrivals, start + (seconds + 1) * SECOND, bytes)
        };
        assert_eq!(round(&mut arrivals, 1, 0), 1);
        assert_eq!(round(&mut arrivals, 1, 2), 0, "only looked at");
        assert_eq!(round(&mut arrivals, 2, 4), 1, "replaced");
        arrivals.gone(path);
        assert_eq!(round(&mut arrivals, 2, 6), 1, "deleted, and there again");
        arrivals.keep_only(&HashSet::new());
        assert_eq!(round(&mut arrivals, 2, 8), 1);
        arrivals.keep_only(&HashSet::from([path.to_owned()]));
        assert_eq!(round(&mut arrivals, 2, 10), 0);
    }

    #[test]
    fn a_file_that_goes_before_it_is_whole_is_forgotten() {
        let (mut arrivals, start, path) = empty();
        arrivals.notice(path, facts(1), News::Seen, start);
        assert!(arrivals.take_whole(start + 2 * SECOND, |_| None).is_empty());
        assert_eq!(arrivals.next_due(), None);
    }
}
