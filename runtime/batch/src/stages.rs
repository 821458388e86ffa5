//! The stages of one photo, and what is said of it at its end.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cancel::Cancel;
use super::content::{self, Content};
use super::cost;
use super::earlier_photos::{EarlierPhotos, Same};
use super::existing::{Existing, OwnFiles, ResultFolder};
use super::inputs::{Input, Inputs};
use super::journal::Journal;
use super::manifest::{ClassRecord, FileRecord, InputRecord, Record, RunFacts, Status};
use super::options::BatchOptions;
use super::outcome::{Done, Ended, Outcome, Reason};
use super::pipeline::{Decoding, Stages};
use super::replaced::Replaced;
use super::resume::{self, EarlierResults};
use super::review::ReviewFiles;
use super::stems::record_path;
use super::summary::Summary;
use super::timings::{StageTimings, milliseconds};
use super::{outputs, room};
use clothseg::export::coco::CocoPhoto;
use clothseg::internals::Plan;
use clothseg::masks::Masked;
use clothseg::{Error, Photo, Result, Segmentation, Segmenter, export};

/// A run: what all photos share.
pub(super) struct Work<'a> {
    pub(super) segmenter: &'a Segmenter,
    pub(super) inputs: &'a Inputs,
    pub(super) options: &'a BatchOptions,
    pub(super) cancel: &'a Cancel,
    pub(super) facts: &'a RunFacts,
    pub(super) known: &'a EarlierResults,
    pub(super) earlier_photos: &'a EarlierPhotos,
    /// Bytes of the longest suffix of a result.
    pub(super) suffix_bytes: usize,
    /// Whether the output folder was empty when the run began, and each photo is done once.
    pub(super) folder_is_new: bool,
    pub(super) manifest: &'a Journal,
    pub(super) ledger: Mutex<Ledger<'a>>,
    /// A photo failed that should have stopped the run, or the run itself did.
    pub(super) broken_off: AtomicBool,
}

/// Where outcomes go.
pub(super) struct Ledger<'a> {
    pub(super) summary: Summary,
    pub(super) report: &'a mut (dyn FnMut(Outcome) + Send),
    /// Why the run cannot go on.
    pub(super) fatal: Option<Error>,
}

/// A photo on its way.
pub(super) struct Job {
    input: Input,
    facts: InputRecord,
    started: Instant,
    timings: StageTimings,
    /// The file, kept where somebody may have to look at it.
    content: Option<Content>,
}

pub(super) struct Loaded {
    job: Job,
    content: Content,
    plan: Plan,
    /// What a decoder that gave the photo up has taken.
    spent: Duration,
}

pub(super) struct Decoded {
    job: Job,
    photo: Photo,
}

pub(super) struct Segmented {
    job: Job,
    photo: Photo,
    segmentation: Segmentation,
}

/// What looking at a file came to.
enum Look {
    /// It is to be done.
    ToDo(Content),
    /// An earlier run has done it, with these reasons to look at the result.
    Finished(Vec<Reason>),
}

/// What was made of a photo.
struct Results {
    classes: Vec<ClassRecord>,
    paths: Vec<PathBuf>,
    files: Vec<FileRecord>,
    coco: Option<CocoPhoto>,
    review: Vec<Reason>,
    removed_files: usize,
}

/// What warnings name the photos by.
fn span(names: &str) -> tracing::span::EnteredSpan {
    tracing::warn_span!("photo", file = names).entered()
}

/// A part of a stage, such as an image decoder, that panics costs its photo and not the photos after it.
fn guard<T>(stage: &'static str, part: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(part)).unwrap_or_else(|_| {
        Err(Error::Invalid(format!("{stage} broke down; this is a bug, please report it with the photo")))
    })
}

/// The bytes that a photo is let in with. One whose cost could not be told takes all the room, and so goes alone.
fn admitted(cost_bytes: Result<u64>, room_bytes: u64) -> u64 {
    cost_bytes.unwrap_or(room_bytes.max(1))
}

/// Runs the network over photos that wait for it together; where that breaks down, over each by itself.
fn segment_together(segmenter: &Segmenter, photos: &[Photo]) -> Vec<Result<Segmentation>> {
    let together = (photos.len() > 1).then(|| guard("the network", || Ok(segmenter.segment_batch(photos))));
    match together {
        Some(Ok(segmentations)) => segmentations,
        _ => photos.iter().map(|photo| guard("the network", || segmenter.segment(photo))).collect(),
    }
}

impl Stages for Work<'_> {
    type Loaded = Loaded;
    type Decoded = Decoded;
    type Segmented = Segmented;

    fn read(&self, index: usize) -> Option<Loaded> {
        let input = self.inputs.get(index)?;
        let facts = InputRecord { path: input.file_name.clone(), ..InputRecord::default() };
        let mut job = Job { input, facts, started: Instant::now(), timings: StageTimings::default(), content: None };
        let _span = span(&job.input.name);
        let look = guard("reading", || self.look(&mut job));
        job.timings.read_ms = milliseconds(job.started.elapsed());
        match look {
            Ok(Look::ToDo(content)) => {
                let BatchOptions { limits, .. } = self.options;
                // Whatever the header is, the decoder says what is wrong with it.
                let plan = guard("reading", || Ok(Plan::of(&content, limits, self.options.detail(self.segmenter))));
                return Some(Loaded { job, content, plan: plan.unwrap_or(Plan::Whole), spent: Duration::ZERO });
            }
            Ok(Look::Finished(review)) => self.tell(job.input.name, Ok(Ended::Skipped { review })),
            Err(error) => self.fail(job, error),
        }
        None
    }

    fn cost_bytes(&self, loaded: &Loaded) -> u64 {
        let cost = || Ok(cost::cost_bytes(&loaded.content, &loaded.plan, self.options, self.segmenter.spec()));
        admitted(guard("reading", cost), self.options.work.memory_bytes)
    }

    fn decode(&self, Loaded { mut job, content, plan, spent }: Loaded) -> Decoding<Loaded, Decoded> {
        let (started, _span) = (Instant::now(), span(&job.input.name));
        let limits = &self.options.limits;
        let photo = guard("decoding", || match plan {
            Plan::Whole => Photo::whole_from_bytes(&content, limits, spent).map(Some),
            Plan::Reduced(_) => Photo::reduced_from_bytes(&content, limits, self.options.detail(self.segmenter)),
        });
        let spent = spent + started.elapsed();
        job.timings.decode_ms = milliseconds(spent);
        match photo {
            Ok(Some(photo)) => {
                job.content = self.options.review.folder.is_some().then_some(content);
                Decoding::Done(Decoded { job, photo })
            }
            Ok(None) => Decoding::Again(Loaded { job, content, plan: Plan::Whole, spent }),
            Err(error) => {
                self.fail(job, error);
                Decoding::Ended
            }
        }
    }

    fn segment(&self, decoded: Vec<Decoded>) -> Vec<Option<Segmented>> {
        let (jobs, photos): (Vec<Job>, Vec<Photo>) = decoded.into_iter().map(|item| (item.job, item.photo)).unzip();
        let names: Vec<&str> = jobs.iter().map(|job| job.input.name.as_str()).collect();
        let segmentations = {
            let _span = span(&names.join(", "));
            segment_together(self.segmenter, &photos)
        };
        let pass_on = |((mut job, photo), segmentation): ((Job, Photo), Result<Segmentation>)| match segmentation {
            Ok(segmentation) => {
                job.timings.add_network(segmentation.timings());
                Some(Segmented { job, photo, segmentation })
            }
            Err(error) => {
                self.fail(job, error);
                None
            }
        };
        jobs.into_iter().zip(photos).zip(segmentations).map(pass_on).collect()
    }

    fn write(&self, Segmented { mut job, photo, segmentation }: Segmented) {
        let (started, _span) = (Instant::now(), span(&job.input.name));
        let BatchOptions { classes, outputs, .. } = self.options;
        let results = guard("writing", || {
            let masked = segmentation.with_masks(classes, &outputs.masks)?;
            Ok((self.write_results(&job, &photo, &masked)?, masked))
        });
        job.timings.write_ms = milliseconds(started.elapsed());
        match results {
            Ok((results, masked)) => self.finish(job, results, &masked),
            Err(error) => self.fail(job, error),
        }
    }

    fn stops(&self) -> bool {
        self.cancel.is_cancelled() || self.broken_off.load(Ordering::Relaxed)
    }
}

impl<'a> Work<'a> {
    /// Reads a file, unless what earlier runs have made of it is whole and what this run would make.
    fn look(&self, job: &mut Job) -> Result<Look> {
        room::check(&self.options.output, &job.input.stem, self.suffix_bytes)?;
        let opened = content::open(&job.input.source, &mut job.facts)?;
        let earlier = self.options.resume.then(|| self.known.record(&job.input.stem)).flatten();
        let is_whole = |record: &Record| resume::is_whole(record, &job.input, &self.facts.options, self.options);
        let whole = earlier.as_ref().filter(|record| is_whole(record));
        if let Some(record) = whole.filter(|record| resume::is_unchanged(&record.input, &job.facts)) {
            return self.finished(&job.input, record);
        }
        let content = content::read(opened, &job.input.source, &mut job.facts, &self.options.limits)?;
        match whole {
            Some(record) if record.input.blake3 == job.facts.blake3 => return self.finished(&job.input, record),
            _ => {}
        }
        if earlier.is_some_and(|record| record.status == Status::Done && record.input.blake3 != job.facts.blake3) {
            self.ledger().summary.changed.push(job.input.file_name.clone());
        }
        Ok(Look::ToDo(content))
    }

    fn finished(&self, input: &Input, record: &Record) -> Result<Look> {
        self.remove_renamed(input, record.input.blake3.as_deref())?;
        if resume::is_edited(record, input, &self.options.output) {
            self.ledger().summary.edited.push(input.file_name.clone());
        }
        Ok(Look::Finished(record.review.clone()))
    }

    /// Takes away what the photo with this hash had while its stem was another.
    fn remove_renamed(&self, input: &Input, blake3: Option<&str>) -> Result<()> {
        let now = Same { blake3, options: &self.facts.options };
        self.earlier_photos.remove_renamed(input, &now, self.known, self.options, self.inputs)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger<'a>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the files of a photo. When this returns they are all in place, with `sync` on the disk.
    fn write_results(&self, job: &Job, photo: &Photo, masked: &Masked<'_>) -> Result<Results> {
        let options = self.options;
        let stem = options.output.join(&job.input.stem);
        let replaced = self.replaced(job);
        let about = outputs::Context {
            segmenter: self.segmenter,
            photo,
            input: &job.input,
            decode_ms: job.timings.decode_ms,
            options,
            protected: self.inputs.identities(),
            ours: &|| self.ours(job),
            replaced: &replaced,
            folder_is_new: self.folder_is_new,
        };
        let announce = |among_photos| self.announce_replacing(job, &replaced, among_photos);
        let outputs::Written { files, coco, removed } = outputs::write_all(&about, masked, &stem, &announce)?;
        let kept = replaced.kept(&files);
        let record = |(path, bytes): (PathBuf, u64)| {
            let below = record_path(path.strip_prefix(&options.output).unwrap_or(&path));
            (path, FileRecord { path: below, bytes })
        };
        let (paths, mut files): (Vec<PathBuf>, Vec<FileRecord>) = files.into_iter().map(record).unzip();
        files.extend(kept);
        let regions = masked.segmentation.regions();
        let wanted = regions.iter().filter(|region| masked.classes.contains(&region.class));
        let classes: Vec<ClassRecord> = wanted.map(ClassRecord::new).collect();
        let review = options.review.reasons(&classes, (photo.width(), photo.height()), photo.is_truncated());
        let gathered = self.gather_for_review(job, photo, masked, &review)?;
        if options.sync {
            content::sync(&paths, &options.output)?;
            content::sync(&gathered, options.review.folder.as_deref().unwrap_or(&options.output))?;
        }
        self.remove_renamed(&job.input, job.facts.blake3.as_deref())?;
        Ok(Results { classes, paths, files, coco, review, removed_files: removed })
    }

    /// The files of the photo that an earlier run left.
    fn replaced(&self, job: &Job) -> Replaced {
        let record = if self.folder_is_new { None } else { self.known.record(&job.input.stem) };
        let (blake3, options) = (job.facts.blake3.as_deref(), &self.facts.options);
        let replaced = |record| Replaced::of(&record, &job.input, blake3, options, &self.options.output);
        record.map(replaced).unwrap_or_default()
    }

    /// Which files of the photo earlier runs wrote.
    fn ours(&self, job: &Job) -> OwnFiles {
        let is_written = self.known.facts(&job.input.stem).is_some_and(|known| known.is_written);
        OwnFiles::of(self.known.record(&job.input.stem).as_ref(), is_written, &self.options.output)
    }

    /// A line that makes an earlier one of this photo void before its files are written over by others: after a kill
    /// halfway, sizes alone might not tell old files from new. It lists the earlier files, so that the next run knows what may be
    /// left of them. Among photos it tells the next run that the files are ours.
    fn announce_replacing(&self, job: &Job, replaced: &Replaced, among_photos: bool) -> Result<()> {
        let known = self.known.facts(&job.input.stem);
        let hash = job.facts.blake3.as_deref().unwrap_or_default();
        if among_photos || known.is_some_and(|known| known.are_others(&self.facts.options, hash)) {
            let stem = record_path(&job.input.stem);
            let files = replaced.records();
            self.manifest.append(&Record { files, ..self.facts.record(Status::Replacing, job.facts.clone(), stem) })?;
        }
        Ok(())
    }

    /// Puts a photo with reasons to look at it into the review folder, and takes one without out of it.
    fn gather_for_review(
        &self,
        job: &Job,
        photo: &Photo,
        masked: &Masked<'_>,
        reasons: &[Reason],
    ) -> Result<Vec<PathBuf>> {
        let Some(folder) = &self.options.review.folder else { return Ok(Vec::new()) };
        let files = ReviewFiles::of(&job.input, folder);
        let folder = ResultFolder::new(files.folder(), self.inputs.identities(), || OwnFiles::All);
        if let Some(path) = files.paths().iter().find(|path| folder.existing(path) == Existing::Photo) {
            let path = path.display();
            return Err(Error::Invalid(format!(
                "{path} is a photo and would be written over; choose another review folder"
            )));
        }
        if reasons.is_empty() {
            if self.known.facts(&job.input.stem).is_some_and(|known| known.reviewed) {
                files.remove()?;
            }
            return Ok(Vec::new());
        }
        let kept = masked.segmentation.label_map().keep(&masked.classes);
        let content = job.content.as_deref().ok_or_else(|| {
            Error::Invalid("the photo's bytes were not kept for review; this is a bug, please report it".into())
        })?;
        // What was enough for the network shows too little.
        let whole = if photo.is_reduced() { Some(Photo::from_bytes(content, &self.options.limits)?) } else { None };
        let overlay = export::overlay_png(whole.as_ref().unwrap_or(photo), &kept, masked.segmentation.taxonomy())?;
        files.write(content, &overlay)?;
        Ok(files.paths().map(PathBuf::from).to_vec())
    }

    fn finish(&self, job: Job, results: Results, masked: &Masked<'_>) {
        let map = masked.segmentation.label_map();
        let timings = job.timings.with_total(job.started.elapsed()).rounded();
        let record = Record {
            width: Some(map.width()),
            height: Some(map.height()),
            classes: results.classes,
            review: results.review.clone(),
            timings_ms: timings,
            files: results.files,
            coco: results.coco,
            ..self.facts.record(Status::Done, job.facts, record_path(&job.input.stem))
        };
        if let Err(error) = self.manifest.append(&record) {
            return self.break_off(error);
        }
        self.ledger().summary.removed_files += results.removed_files;
        let regions = masked.segmentation.regions().iter();
        let regions = regions.filter(|region| masked.classes.contains(&region.class)).cloned().collect();
        let done = Done { files: results.paths, regions, review: results.review, timings };
        self.tell(job.input.name, Ok(Ended::Done(done)));
    }

    fn fail(&self, job: Job, error: Error) {
        let record = Record {
            timings_ms: job.timings.with_total(job.started.elapsed()).rounded(),
            error: Some(error.chain()),
            ..self.facts.record(Status::Failed, job.facts, record_path(&job.input.stem))
        };
        if let Err(error) = self.manifest.append(&record) {
            return self.break_off(error);
        }
        if self.options.fail_fast {
            self.broken_off.store(true, Ordering::Relaxed);
        }
        self.tell(job.input.name, Err(error));
    }

    /// Counts and reports a photo that has ended.
    fn tell(&self, name: String, result: Result<Ended>) {
        let outcome = Outcome { name, result };
        let mut ledger = self.ledger();
        ledger.summary.count(&outcome);
        (ledger.report)(outcome);
    }

    /// Stops the run: what it does cannot be recorded any more.
    fn break_off(&self, error: Error) {
        self.broken_off.store(true, Ordering::Relaxed);
        self.ledger().fatal.get_or_insert(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photo_whose_cost_is_unknown_goes_alone() {
        assert_eq!(admitted(Ok(0), 100), 0, "one that the decoder will refuse takes nothing");
        assert_eq!(admitted(guard("reading", || panic!("an odd file")), 100), 100);
        assert_eq!(admitted(Err(Error::Invalid("odd".into())), 0), 1);
    }
}
