//! The system's news of a folder, kept small until somebody asks for them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{Config, ErrorKind, Event, RecommendedWatcher, RecursiveMode, Watcher};

use super::arrivals::News;

/// What was heard since somebody last asked: one entry a path, however often a file was written to meanwhile.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// What was heard last of a file or folder; nothing where it went.
    pub(super) at: HashMap<PathBuf, Option<News>>,
    /// Some changes were not heard of.
    pub(super) missed_some: bool,
    /// The system can tell of no more changes, with its reason.
    pub(super) deaf: Option<String>,
}

/// Changes that come from a thread of the system's news.
#[derive(Default)]
struct Inbox {
    changes: Mutex<Changes>,
    came: Condvar,
}

/// The system's news of a folder and all below it.
pub(super) struct SystemNews {
    inbox: Arc<Inbox>,
    /// News end when it is dropped.
    _watcher: RecommendedWatcher,
}

impl SystemNews {
    /// Listens. `folder` is a real path; those of the news begin with it. What is below the folders `without` is not heard. The
    /// error is the system's reason.
    pub(super) fn of(folder: &Path, without: &[PathBuf]) -> Result<Self, String> {
        let inbox = Arc::new(Inbox::default());
        let (theirs, without) = (Arc::clone(&inbox), without.to_vec());
        let hear = move |event: notify::Result<Event>| {
            theirs.lock().add(event, &without);
            theirs.came.notify_all();
        };
        let watcher = RecommendedWatcher::new(hear, Config::default());
        let mut watcher = watcher.map_err(|error| reason(&error))?;
        watcher.watch(folder, RecursiveMode::Recursive).map_err(|error| reason(&error))?;
        Ok(Self { inbox, _watcher: watcher })
    }

    /// The changes that are heard of within this time: all that have come when the first has.
    pub(super) fn wait(&self, time: Duration) -> Changes {
        let changes = self.inbox.lock();
        let waited = self.inbox.came.wait_timeout_while(changes, time, |changes| changes.is_empty());
        let (mut changes, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut changes)
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.at.is_empty() && !self.missed_some && self.deaf.is_none()
    }

    fn add(&mut self, event: notify::Result<Event>, without: &[PathBuf]) {
        match event {
            Ok(event) if event.need_rescan() => self.missed_some = true,
            Ok(event) => {
                let Some(news) = news(event.kind) else { return };
                let heard =
                    event.paths.into_iter().filter(|path| !without.iter().any(|folder| path.starts_with(folder)));
                for path in heard {
                    let last = self.at.entry(path).or_insert(news);
                    // That a file was looked at takes nothing back of what its writer did.
                    if news != Some(News::Seen) || last.is_none() {
                        *last = news;
                    }
                }
            }
            Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => self.deaf = Some(reason(&error)),
            Err(_) => self.missed_some = true,
        }
    }
}

/// What an event of this kind says of its paths: nothing, or that they are there (and what of them), or that they are gone.
fn news(kind: EventKind) -> Option<Option<News>> {
    // Only there is the end of writing heard of.
    let hears_closing = cfg!(target_os = "linux");
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Some(News::Closed)),
        EventKind::Access(_) => None,
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Some(Some(News::Closed)),
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => Some(None),
        // Both names had their own events.
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => None,
        EventKind::Modify(ModifyKind::Data(_)) if hears_closing => Some(Some(News::Written)),
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other => Some(Some(News::Seen)),
    }
}

fn reason(error: &notify::Error) -> String {
    match &error.kind {
        ErrorKind::MaxFilesWatch => {
            "the system's limit on watched folders is reached (fs.inotify.max_user_watches)".into()
        }
        ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, Flag, MetadataKind, RemoveKind};

    use super::*;

    const CREATED: EventKind = EventKind::Create(CreateKind::File);
    const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    const TOUCHED: EventKind = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
    const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
    const OPENED: EventKind = EventKind::Access(AccessKind::Open(AccessMode::Any));
    const REMOVED: EventKind = EventKind::Remove(RemoveKind::File);
    const MOVED_IN: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::To));
    const MOVED_OUT: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::From));

    /// What is left of events of one file.
    fn heard(kinds: &[EventKind]) -> Option<Option<News>> {
        let mut changes = Changes::default();
        for kind in kinds {
            changes.add(Ok(Event::new(*kind).add_path("in/a.jpg".into())), &["in/out".into()]);
            changes.add(Ok(Event::new(*kind).add_path("in/out/a.png".into())), &["in/out".into()]);
        }
        assert!(changes.at.len() <= 1, "{changes:?}");
        changes.at.get(Path::new("in/a.jpg")).copied()
    }

    #[test]
    fn of_many_events_the_last_thing_that_a_writer_did_is_left() {
        let written = if cfg!(target_os = "linux") { News::Written } else { News::Seen };
        assert_eq!(heard(&[CREATED]), Some(Some(News::Seen)));
        assert_eq!(heard(&[CREATED, OPENED, WRITTEN, WRITTEN, TOUCHED]), Some(Some(written)));
        assert_eq!(heard(&[CREATED, WRITTEN, CLOSED, TOUCHED, OPENED]), Some(Some(News::Closed)));
        assert_eq!(heard(&[WRITTEN, CLOSED, REMOVED]), Some(None));
        assert_eq!(heard(&[REMOVED, CREATED]), Some(Some(News::Seen)));
        assert_eq!(heard(&[MOVED_OUT]), Some(None));
        assert_eq!(heard(&[MOVED_OUT, MOVED_IN]), Some(Some(News::Closed)));
        assert_eq!(heard(&[OPENED]), None);
    }

    #[test]
    fn news_that_were_lost_and_limits_that_are_reached_are_told() {
        let added = |event| {
            let mut changes = Changes::default();
            changes.add(event, &[]);
            (changes.missed_some, changes.deaf)
        };
        assert_eq!(added(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan))), (true, None));
        assert_eq!(added(Err(notify::Error::generic("odd"))), (true, None));
        let (missed, deaf) = added(Err(notify::Error::new(ErrorKind::MaxFilesWatch)));
        assert!(!missed && deaf.unwrap().contains("max_user_watches"));
    }

    #[test]
    fn a_file_in_a_folder_is_heard_of() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let Ok(news) = SystemNews::of(&real, &[]) else { return };
        assert!(news.wait(Duration::ZERO).is_empty());
        std::fs::write(real.join("a.jpg"), b"x").unwrap();
        let heard = |changes: Changes| changes.at.contains_key(&real.join("a.jpg"));
        assert!((0..100).any(|_| heard(news.wait(Duration::from_millis(100)))), "nothing in 10 seconds");
        assert!(SystemNews::of(&real.join("absent"), &[]).is_err());
    }
}
