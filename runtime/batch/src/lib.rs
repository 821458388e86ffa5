//! Many photos: find them, overlap reading, decoding, inference and writing, record each, go on after an interruption.
//!
//! ```no_run
//! use clothseg::Segmenter;
//! use clothseg_batch::{BatchOptions, Cancel};
//!
//! # fn main() -> clothseg::Result<()> {
//! let segmenter = Segmenter::open("models/garments.onnx")?;
//! let classes = segmenter.spec().taxonomy.resolve("garment")?;
//! let options = BatchOptions::new("cutouts", classes).with_resume(true);
//! let inputs = clothseg_batch::find_inputs(&["photos".into()], &options.output, options.limits.max_bytes, &mut std::io::empty())?;
//! let cancel = Cancel::new(); // a clone of it, in another thread, can stop the run
//! let summary = clothseg_batch::run(&segmenter, &inputs, &options, &cancel, &mut |outcome| match outcome.result {
//!     Ok(_) => {}
//!     Err(error) => eprintln!("{}: {}", outcome.name, error.chain()),
//! })?;
//! println!("{} done, {} failed", summary.done, summary.failed);
//! # Ok(())
//! # }
//! ```
//!
//! # What a kill can and cannot do
//! Each file is written beside its place and then renamed into it, so a kill at any moment, `kill -9` too, leaves whole
//! files only. When all files of a photo are in place, one write adds its line to the manifest: what has a line is done. A
//! line that a kill tore is cut off when the next run opens the manifest, and temporary files that it left are removed.
//! Against a loss of power a rename alone does not help; [`BatchOptions::sync`] waits for the disk before each line.
//!
//! # Memory
//! Beside the model, a run holds the list of photos (about 100 bytes each), the index of an earlier manifest (another 100)
//! and the photos in work. Those are bounded in number, by [`WorkOptions::jobs`] and [`WorkOptions::batch`], and in bytes,
//! by [`WorkOptions::memory_bytes`]: what a photo will take is told from its header before a pixel of it is decoded, and it
//! waits until there is room. That is 16 bytes a pixel, but 4 or a little more for a JPEG that is decoded at a reduced size
//! ([`Detail::EnoughFor`]); a damaged one that has to be decoded in full after all waits once more. A photo that takes more
//! than all the room goes alone. Files that are read and wait to be decoded,
//! one a job at most, are not counted.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod argument;
mod cancel;
mod color;
mod content;
mod cost;
mod departed;
mod earlier;
mod existing;
mod find;
mod fingerprint;
mod inputs;
mod journal;
mod leftovers;
mod links;
pub mod locate;
mod manifest;
mod outputs;
mod pipeline;
mod resume;
mod review;
mod room;
mod run_files;
mod shard;
mod stages;
mod stems;
mod summary;
mod timings;
#[cfg(feature = "watch")]
mod watch;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

pub use cancel::Cancel;
pub use color::uses_color;
pub use find::{InputFinder, find_inputs};
pub use inputs::{Input, Inputs, Source};
pub use manifest::{
    ClassRecord, EngineRecord, FileRecord, InputRecord, ModelRecord, Record, Status, manifest_path, read_manifest,
};
pub use resume::last_records;
pub use review::{Reason, ReviewOptions};
pub use shard::Shard;
pub use summary::{Stop, Summary};
pub use timings::StageTimings;
#[cfg(feature = "watch")]
pub use watch::{Round, WatchEvent, WatchOptions, WatchSummary, Way, watch};
pub use write::write_atomically;

use clothseg::export::OutputOptions;
use clothseg::{ClassRegion, Detail, Error, Limits, Result, Segmenter};

/// What to make of each photo, and how.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BatchOptions {
    /// Folder that the results go to.
    pub output: PathBuf,
    /// Class indices wanted.
    pub classes: Vec<usize>,
    /// Files wanted for each photo, and how they are made.
    pub outputs: OutputOptions,
    /// What a photo may cost.
    pub limits: Limits,
    /// What results somebody should look at.
    pub review: ReviewOptions,
    /// How much is done at a time.
    pub work: WorkOptions,
    /// Skip photos that an earlier run into the same folder has done: its manifest has a line of the same options, model
    /// and photo, and all files named there are in place with the sizes named there. A photo is the same when its name, size
    /// and time of writing are, or else its content is. Everything else is done again.
    pub resume: bool,
    /// Wait for the disk before a photo counts as done, so that a loss of power costs no more than a kill. Slower.
    pub sync: bool,
    /// Begin no more photos after one has failed.
    pub fail_fast: bool,
    /// The part of the work that this run has, if it is split; it has a manifest of its own. Choosing the photos is up to
    /// [`InputFinder::finish`].
    pub shard: Option<Shard>,
}

impl BatchOptions {
    /// Everything by default: the usual files, nothing resumed, whole.
    pub fn new(output: impl Into<PathBuf>, classes: Vec<usize>) -> Self {
        Self {
            output: output.into(),
            classes,
            outputs: OutputOptions::default(),
            limits: Limits::default(),
            review: ReviewOptions::default(),
            work: WorkOptions::default(),
            resume: false,
            sync: false,
            fail_fast: false,
            shard: None,
        }
    }

    /// How much of each photo has to be decoded: all of it where a result shows its pixels.
    fn detail(&self, segmenter: &Segmenter) -> Detail {
        let shows_pixels = self.outputs.formats.iter().any(|format| format.exporter().needs().pixels);
        if shows_pixels { Detail::Full } else { segmenter.detail() }
    }
}

impl BatchOptions {
    /// The same with these files.
    #[must_use]
    pub fn with_outputs(mut self, outputs: OutputOptions) -> Self {
        self.outputs = outputs;
        self
    }

    /// The same with these limits on photos.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same with these reasons to look at a result.
    #[must_use]
    pub fn with_review(mut self, review: ReviewOptions) -> Self {
        self.review = review;
        self
    }

    /// The same with so much work at a time.
    #[must_use]
    pub fn with_work(mut self, work: WorkOptions) -> Self {
        self.work = work;
        self
    }

    /// The same, skipping what is done, or not.
    #[must_use]
    pub fn with_resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// The same, waiting for the disk, or not.
    #[must_use]
    pub fn with_sync(mut self, sync: bool) -> Self {
        self.sync = sync;
        self
    }

    /// The same, stopping at the first failure, or not.
    #[must_use]
    pub fn with_fail_fast(mut self, fail_fast: bool) -> Self {
        self.fail_fast = fail_fast;
        self
    }

    /// The same for a part of the work.
    #[must_use]
    pub fn with_shard(mut self, shard: Option<Shard>) -> Self {
        self.shard = shard;
        self
    }
}

/// How much is done at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkOptions {
    /// Threads, each at whatever stage of whatever photo is due.
    pub jobs: usize,
    /// Photos in one run of the network, at most. More than one pays on a GPU. Results may then differ in their last bits from
    /// run to run, as what is put together differs.
    pub batch: usize,
    /// Runs of the network at a time.
    pub network_runs: usize,
    /// Bytes that decoded photos, and what is made of them, may take together.
    pub memory_bytes: u64,
}

impl Default for WorkOptions {
    /// A job a core, the network in each.
    fn default() -> Self {
        Self::of_jobs(std::thread::available_parallelism().map_or(1, usize::from))
    }
}

impl WorkOptions {
    /// This many photos at a time, each by itself, with 256 MiB of memory for each and 1 GiB at least: enough for every job
    /// to have a photo of 16 megapixels decoded in full, or a JPEG of 60 decoded at a reduced size.
    pub fn of_jobs(jobs: usize) -> Self {
        let memory_bytes = (jobs as u64).saturating_mul(256 << 20).max(1 << 30);
        Self { jobs, batch: 1, network_runs: jobs, memory_bytes }
    }
}

impl WorkOptions {
    /// The same with so many threads.
    #[must_use]
    pub fn with_jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs;
        self
    }

    /// The same with at most so many photos in one run of the network.
    #[must_use]
    pub fn with_batch(mut self, batch: usize) -> Self {
        self.batch = batch;
        self
    }

    /// The same with so many runs of the network at a time.
    #[must_use]
    pub fn with_network_runs(mut self, network_runs: usize) -> Self {
        self.network_runs = network_runs;
        self
    }

    /// The same with so many bytes for photos in work.
    #[must_use]
    pub fn with_memory_bytes(mut self, memory_bytes: u64) -> Self {
        self.memory_bytes = memory_bytes;
        self
    }
}

/// How one photo ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The photo as its user names it.
    pub name: String,
    /// What became of it, or what went wrong.
    pub result: Result<Ended>,
}

/// What became of a photo that did not fail.
#[derive(Debug)]
#[non_exhaustive]
pub enum Ended {
    /// It was done.
    Done(Done),
    /// An earlier run had done it.
    Skipped {
        /// Why somebody should look at its result.
        review: Vec<Reason>,
    },
}

/// A photo that is done.
#[derive(Debug)]
#[non_exhaustive]
pub struct Done {
    /// Files written.
    pub files: Vec<PathBuf>,
    /// Classes wanted and found.
    pub regions: Vec<ClassRegion>,
    /// Why somebody should look at the result.
    pub review: Vec<Reason>,
    /// Where the time went.
    pub timings: StageTimings,
}

/// Segments every input, writes its files and records it in the manifest; one failure never stops the others.
///
/// `report` is called for each photo when it has ended and is recorded, one at a time, from the threads of the run. A run that
/// is cancelled finishes the photos in flight.
///
/// # Errors
/// [`Error::Write`] and [`Error::Read`] when the output folder or a manifest cannot be used; [`Error::Invalid`] when another run
/// writes the same manifest. What goes wrong with a photo goes to `report`.
pub fn run(
    segmenter: &Segmenter,
    inputs: &Inputs,
    options: &BatchOptions,
    cancel: &Cancel,
    report: &mut (dyn FnMut(Outcome) + Send),
) -> Result<Summary> {
    let session = Session::open(segmenter, options)?;
    let departed = departed::Departed::of(&session.known, inputs, options);
    // They say that all photos are in them: they leave first and come last.
    run_files::remove(options)?;
    let mut summary = session.pass(segmenter, inputs, options, cancel, &departed, report)?;
    if summary.not_begun == 0
        && let Err((format, error)) = run_files::write(segmenter, inputs, options)
    {
        // The photos are done; a whole file of the run that cannot be written is a failure like a photo's.
        let outcome = Outcome { name: format.into(), result: Err(error) };
        summary.count(&outcome);
        report(outcome);
    }
    Ok(summary)
}

/// What a run holds open in its output folder.
struct Session {
    facts: manifest::RunFacts,
    known: resume::EarlierResults,
    suffix_bytes: usize,
    manifest: journal::Journal,
}

impl Session {
    /// Checks the options, opens the manifest and reads what earlier runs have done.
    fn open(segmenter: &Segmenter, options: &BatchOptions) -> Result<Self> {
        options.outputs.masks.validate()?;
        let (taxonomy, _) = options.outputs.masks.classes(&segmenter.spec().taxonomy, &options.classes)?;
        let manifest = open_manifest(options)?;
        let known = resume::EarlierResults::read(&manifest::manifests_in(&options.output))?;
        let facts = manifest::RunFacts::new(segmenter, options)?;
        if let Some(reason) = options.resume.then(|| known.why_others(&facts.options)).flatten() {
            tracing::warn!("{}: {reason}", options.output.display());
        }
        Ok(Self { facts, known, suffix_bytes: room::longest_suffix(options, &taxonomy), manifest })
    }

    /// Takes these photos through all stages.
    fn pass(
        &self,
        segmenter: &Segmenter,
        inputs: &Inputs,
        options: &BatchOptions,
        cancel: &Cancel,
        departed: &departed::Departed,
        report: &mut (dyn FnMut(Outcome) + Send),
    ) -> Result<Summary> {
        let started = Instant::now();
        let summary = Summary { missing: departed.missing.clone(), ..Summary::default() };
        let work = stages::Work {
            segmenter,
            inputs,
            options,
            cancel,
            facts: &self.facts,
            known: &self.known,
            departed,
            suffix_bytes: self.suffix_bytes,
            manifest: &self.manifest,
            ledger: Mutex::new(stages::Ledger { summary, report, fatal: None }),
            broken_off: AtomicBool::new(false),
        };
        let WorkOptions { jobs, batch, network_runs, memory_bytes } = options.work;
        let (jobs, batch, network_runs) = (jobs.max(1), batch.max(1), network_runs.max(1));
        // While the network has one batch, the next one gathers.
        let waiting = if batch == 1 { 0 } else { batch * 2 };
        let bounds = pipeline::Bounds {
            photos: inputs.len(),
            in_flight: jobs + waiting,
            batch,
            network_runs,
            bytes: memory_bytes,
        };
        let pipeline = pipeline::Pipeline::new(&work, bounds);
        std::thread::scope(|scope| {
            for _ in 0..jobs.min(inputs.len()) {
                scope.spawn(|| pipeline.work());
            }
        });
        let stages::Ledger { mut summary, fatal, .. } =
            work.ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = fatal {
            return Err(error);
        }
        summary.wall_s = started.elapsed().as_secs_f64();
        summary.not_begun = inputs.len() - summary.ended();
        if summary.not_begun > 0 {
            summary.stopped = Some(if cancel.is_cancelled() { Stop::Cancelled } else { Stop::Failure });
        }
        Ok(summary)
    }
}

/// Opens this run's manifest and clears away what killed runs left.
fn open_manifest(options: &BatchOptions) -> Result<journal::Journal> {
    let now = SystemTime::now();
    create_output(&options.output)?;
    let path = manifest_path(&options.output, options.shard);
    let journal = journal::Journal::open(path.clone(), options.sync)?;
    let manifests = manifest::manifests_in(&options.output);
    // A folder without a manifest has had no run that could have been killed.
    if journal.existed() || manifests.len() > 1 {
        let others_write = manifests.iter().any(|other| *other != path && journal::is_in_use(other));
        for folder in [Some(&options.output), options.review.folder.as_ref()].into_iter().flatten() {
            leftovers::remove(folder, now, others_write);
        }
    }
    Ok(journal)
}

/// Creates the output folder, so that a bad one is known before the first photo.
///
/// # Errors
/// [`Error::Write`].
pub fn create_output(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::Write { path: folder.to_owned(), source })
}
