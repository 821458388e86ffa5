//! What is made of photos, and how much is done at a time.

use std::path::PathBuf;

use clothseg::export::OutputOptions;
use clothseg::{Detail, Limits, Segmenter};

use crate::shard::Shard;

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
    /// [`InputFinder::finish`](crate::InputFinder::finish).
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
    pub(crate) fn detail(&self, segmenter: &Segmenter) -> Detail {
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

/// What makes a result worth a look.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReviewOptions {
    /// Folder in which photos to look at are gathered: `a/b.photo.jpg`, a copy, beside `a/b.review.png`, its overlay.
    /// Nothing is gathered without it; the manifest has the reasons in any case.
    pub folder: Option<PathBuf>,
    /// Smallest confidence, 0..1, that needs no look: that of the classes found, weighted by their areas. So a few pixels of a
    /// class does not count like a coat. How high a model's confidence is when it is right is a matter of the model.
    pub min_confidence: f64,
}

impl Default for ReviewOptions {
    /// Below one half the network holds another class, or several, for as likely.
    fn default() -> Self {
        Self { folder: None, min_confidence: 0.5 }
    }
}

impl ReviewOptions {
    /// The same, gathering photos in this folder.
    #[must_use]
    pub fn with_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// The same with this smallest confidence, 0..1.
    #[must_use]
    pub fn with_min_confidence(mut self, min_confidence: f64) -> Self {
        self.min_confidence = min_confidence;
        self
    }
}
