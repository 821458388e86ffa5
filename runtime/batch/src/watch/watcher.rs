//! A watch at work: it listens, looks, and takes what is whole through all stages.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clothseg::{Error, Result, Segmenter};

use super::arrivals::{Arrivals, Facts, News};
use super::root::{Root, is_unfinished};
use super::source::{Changes, SystemNews};
use super::{Round, WatchEvent, WatchOptions, WatchSummary, Way, mounts};
use crate::cancel::Cancel;
use crate::earlier_photos::EarlierPhotos;
use crate::existing::{OwnFiles, ResultFolder};
use crate::find::InputFinder;
use crate::given_stems::GivenStems;
use crate::inputs::{Identities, Inputs, Source};
use crate::manifest::manifests_in;
use crate::options::BatchOptions;
use crate::outcome::Outcome;
use crate::resume::EarlierResults;
use crate::run::{Session, create_output};
use crate::run_files;

/// How long to wait for news before it is seen whether somebody says stop.
const TICK: Duration = Duration::from_millis(100);

/// How often to look where the system cannot tell of changes and nobody has said how often.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often to look although the system tells of changes: one that it did not tell costs no more than this.
const LOOK_ANYWAY: Duration = Duration::from_secs(60);

/// A new folder is looked at once more after this: what was put into it before the system listened to it was not heard of.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The share of the time that looking may take: one part in so many.
const LOOKING_SHARE: u32 = 20;

/// A watch.
pub(super) struct Watch<'a> {
    segmenter: &'a Segmenter,
    options: &'a BatchOptions,
    report: &'a mut (dyn FnMut(WatchEvent) + Send),
    root: Root,
    session: Session,
    stems: GivenStems,
    arrivals: Arrivals,
    /// Nothing where changes are looked for.
    news: Option<SystemNews>,
    poll: Option<Duration>,
    /// Folders to look at, and when.
    looks: Vec<(Instant, PathBuf)>,
    next_look: Instant,
    /// The watched folder is not there.
    is_lost: bool,
    /// The system listens to a folder that is not there any more.
    listens_to_nothing: bool,
    /// Folders that could not be read, so that it is said once.
    unreadable: HashSet<String>,
    /// Photos whose last try failed.
    failed: HashSet<String>,
    /// Photos whose lines in the manifest the index does not have.
    recorded: HashSet<PathBuf>,
    summary: WatchSummary,
}

impl<'a> Watch<'a> {
    pub(super) fn open(
        segmenter: &'a Segmenter,
        folder: &Path,
        options: &'a BatchOptions,
        how: &WatchOptions,
        report: &'a mut (dyn FnMut(WatchEvent) + Send),
    ) -> Result<Self> {
        // So that they are known for what they are when they are met.
        for output in outputs(options) {
            create_output(output)?;
        }
        let root = Root::open(folder, &outputs(options))?;
        let session = Session::open(segmenter, options)?;
        // No photo of the watched folder lies among the results.
        run_files::remove(options, &ResultFolder::new(&options.output, &Identities::default(), || OwnFiles::All))?;
        write_run_files(segmenter, options)?;
        let stems = GivenStems::read(&manifests_in(&options.output))?;
        let mut watch = Self {
            segmenter,
            options,
            report,
            root,
            session,
            stems,
            arrivals: Arrivals::new(how.poll.map_or(how.settle, |poll| poll.max(how.settle)), how.settle_after_closing),
            news: None,
            poll: how.poll,
            looks: Vec::new(),
            next_look: Instant::now(),
            is_lost: false,
            listens_to_nothing: false,
            unreadable: HashSet::new(),
            failed: HashSet::new(),
            recorded: HashSet::new(),
            summary: WatchSummary::default(),
        };
        watch.begin_listening();
        Ok(watch)
    }

    /// Asks the system to tell of changes, unless it cannot.
    fn begin_listening(&mut self) {
        if let Some(every) = self.poll {
            return (self.report)(WatchEvent::Listening(Way::Looking { every, reason: None }));
        }
        let remote = mounts::remote_file_system(&self.root.real);
        let remote = remote.map(|kind| format!("the system does not report changes on {kind}"));
        let listen = || SystemNews::of(&self.root.real, &self.root.outputs);
        match remote.map_or_else(listen, Err) {
            Ok(news) => {
                self.news = Some(news);
                (self.report)(WatchEvent::Listening(Way::System));
            }
            Err(reason) => self.go_deaf(reason),
        }
    }

    /// Looks for changes from now on.
    fn go_deaf(&mut self, reason: String) {
        let every = LOOK_EVERY;
        // Between two looks nothing may change, or a photo that is still being written could pass for whole.
        self.arrivals.settle_at_least(every);
        (self.news, self.poll, self.next_look) = (None, Some(every), Instant::now());
        (self.report)(WatchEvent::Listening(Way::Looking { every, reason: Some(reason) }));
    }

    /// Waits for news for a moment, and does what is whole.
    pub(super) fn step(&mut self, cancel: &Cancel) -> Result<()> {
        self.listen();
        let whole = self.arrivals.take_whole(Instant::now(), Facts::of);
        if whole.is_empty() || cancel.is_cancelled() { Ok(()) } else { self.round(&whole, cancel) }
    }

    /// Waits for news for a moment, and looks where it is time to.
    fn listen(&mut self) {
        let now = Instant::now();
        let due = self.arrivals.next_due().map_or(TICK, |due| due.saturating_duration_since(now));
        let time = due.min(TICK);
        match &self.news {
            Some(news) => {
                let changes = news.wait(time);
                self.take_in(changes);
            }
            None => std::thread::sleep(time),
        }
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.looks).into_iter().partition(|(time, _)| *time <= now);
        self.looks = later;
        for (_, folder) in due {
            self.look_at(&folder);
        }
        if self.next_look <= now {
            self.look_at_all();
        }
    }

    fn take_in(&mut self, changes: Changes) {
        for (path, news) in changes.at {
            if path == self.root.real {
                // What else is heard of the folder itself means nothing.
                if news.is_none() {
                    (self.listens_to_nothing, self.next_look) = (true, Instant::now());
                }
            } else if let Some(path) = self.root.admitted(&path) {
                self.take_in_one(&path, news);
            }
        }
        if changes.missed_some {
            self.next_look = Instant::now();
        }
        if let Some(reason) = changes.deaf {
            self.go_deaf(reason);
        }
    }

    fn take_in_one(&mut self, path: &Path, news: Option<News>) {
        match std::fs::metadata(path) {
            Ok(facts) if facts.is_dir() => {
                self.look_at(path);
                self.looks.push((Instant::now() + LOOK_AGAIN, path.to_owned()));
            }
            Ok(_) => self.notice(path, news.unwrap_or(News::Seen)),
            Err(_) => self.arrivals.gone(path),
        }
    }

    /// Takes in news of a file. Whether it is a photo is seen when it is whole.
    fn notice(&mut self, path: &Path, news: News) {
        if let Some(facts) = Facts::of(path).filter(|_| !is_unfinished(path)) {
            self.arrivals.notice(path, facts, news, Instant::now());
        }
    }

    /// Tells of a file or folder that is not read, once.
    fn tell_unreadable(&mut self, name: String, error: Error) {
        if self.unreadable.insert(name.clone()) {
            if !matches!(error, Error::Read { .. }) {
                self.failed.insert(name.clone());
            }
            (self.report)(WatchEvent::Unreadable { name, error });
        }
    }

    /// Looks at the whole tree, and says when to look again.
    fn look_at_all(&mut self) {
        let started = Instant::now();
        if self.is_there() {
            let folder = self.root.given.clone();
            if let Some(found) = self.look_at(&folder) {
                self.arrivals.keep_only(&found);
            }
        }
        let every = if self.news.is_some() { LOOK_ANYWAY } else { self.poll.unwrap_or(LOOK_EVERY) };
        let every = if self.is_lost { every.min(LOOK_EVERY) } else { every };
        self.next_look = Instant::now() + every.max(started.elapsed() * LOOKING_SHARE);
    }

    /// Whether the watched folder is there. One that comes back is listened to anew.
    fn is_there(&mut self) -> bool {
        if let Err(source) = std::fs::read_dir(&self.root.given) {
            self.listens_to_nothing = true;
            if !std::mem::replace(&mut self.is_lost, true) {
                let path = self.root.given.clone();
                let name = path.display().to_string();
                (self.report)(WatchEvent::Unreadable { name, error: Error::Read { path, source } });
            }
            return false;
        }
        if std::mem::take(&mut self.is_lost) {
            (self.report)(WatchEvent::Back);
        }
        if std::mem::take(&mut self.listens_to_nothing) && self.news.take().is_some() {
            self.begin_listening();
        }
        true
    }

    /// Takes in the photos below a folder, found as in a run; nothing where some of it could not be read.
    fn look_at(&mut self, folder: &Path) -> Option<HashSet<PathBuf>> {
        let mut finder = InputFinder::new(&outputs(self.options));
        if finder.add(folder).is_err() {
            // A folder for results.
            return None;
        }
        let inputs = finder.finish(None);
        let now = Instant::now();
        let mut found = HashSet::new();
        for input in inputs.iter() {
            if let Source::File(path) = input.source
                && let Some(facts) = Facts::of(&path).filter(|_| !is_unfinished(&path))
            {
                self.arrivals.notice(&path, facts, News::Seen, now);
                found.insert(path);
            }
        }
        let is_whole = !inputs.unreadable.iter().any(|(_, error)| matches!(error, Error::Read { .. }));
        for (name, error) in inputs.unreadable {
            self.tell_unreadable(name, error);
        }
        is_whole.then_some(found)
    }

    /// Takes photos that are whole through all stages.
    fn round(&mut self, whole: &[PathBuf], cancel: &Cancel) -> Result<()> {
        let mut finder = InputFinder::new(&[]);
        for path in whole {
            finder.add_at(path, path.strip_prefix(&self.root.given).unwrap_or(path));
        }
        let mut inputs = finder.finish_beside(&mut self.stems);
        for (name, error) in std::mem::take(&mut inputs.unreadable) {
            self.tell_unreadable(name, error);
        }
        if inputs.is_empty() {
            // Files that are no photos, or other names of photos that were done.
            return Ok(());
        }
        // What this watch has done of a photo itself is read again only when the photo is done again.
        if inputs.iter().any(|input| self.recorded.contains(&input.stem)) {
            self.session.known = EarlierResults::read(&manifests_in(&self.options.output))?;
            self.recorded.clear();
        }
        self.recorded.extend(inputs.iter().map(|input| input.stem));
        (self.report)(WatchEvent::Begun(inputs.len()));
        // Other photos are no part of the round, and stems stay.
        let earlier_photos = EarlierPhotos::default();
        let (report, failed) = (&mut self.report, &mut self.failed);
        let mut vanished = 0;
        let mut tell = |outcome: Outcome| {
            if has_vanished(&outcome) {
                vanished += 1;
                return;
            }
            match &outcome.result {
                Ok(_) => failed.remove(&outcome.name),
                Err(_) => failed.insert(outcome.name.clone()),
            };
            report(WatchEvent::Photo(outcome));
        };
        let mut summary =
            self.session.pass(self.segmenter, &inputs, self.options, cancel, &earlier_photos, &mut tell)?;
        summary.failed -= vanished;
        let manifest = self.session.check_manifest();
        self.summary.done += summary.done;
        self.summary.not_begun += summary.not_begun;
        (self.report)(WatchEvent::Ended(Round { summary, vanished }));
        manifest
    }

    pub(super) fn summary(self) -> WatchSummary {
        // One that was deleted since is nobody's trouble.
        let failed = self.failed.iter().filter(|name| Path::new(name).exists()).count();
        WatchSummary { failed, ..self.summary }
    }
}

/// Whether a photo was not there any more when its turn came.
fn has_vanished(outcome: &Outcome) -> bool {
    match &outcome.result {
        Err(Error::Read { path, source }) => source.kind() == std::io::ErrorKind::NotFound && !path.exists(),
        _ => false,
    }
}

/// The folders for results.
fn outputs(options: &BatchOptions) -> Vec<&Path> {
    [Some(options.output.as_path()), options.review.folder.as_deref()].into_iter().flatten().collect()
}

/// Writes the files of the run that need no parts of photos.
fn write_run_files(segmenter: &Segmenter, options: &BatchOptions) -> Result<()> {
    let mut options = options.clone();
    options.outputs.formats.retain(|format| !format.exporter().needs().parts);
    run_files::write(segmenter, &Inputs::default(), &options).map_err(|(_, error)| error)
}
