//! Flags for many photos, to options.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clothseg::{EngineOptions, Error, Model, Segmenter};
use clothseg_batch::{InputFinder, Inputs, ReviewOptions, Shard, WorkOptions};

use crate::advice::explain;
use crate::engine_args::{EngineArgs, count, is_gpu, usual_jobs};
use crate::list_file;

/// How folders are worked through.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Many photos")]
pub struct BatchArgs {
    /// Skip photos that an earlier run into the same folder finished with the same model and options
    #[arg(long)]
    pub resume: bool,

    /// File with one path a line, files or folders, as further INPUTs; '-' for standard input
    #[arg(long, value_name = "LIST")]
    pub files_from: Option<PathBuf>,

    /// The paths of --files-from end with a NUL byte each, as 'find -print0' writes them
    #[arg(long, requires = "files_from")]
    pub null: bool,

    /// Process part I of N only, such as 1/4, and leave the others to other runs
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,

    /// Photos to process at the same time; one per core by default
    #[arg(short, long, value_name = "N", value_parser = count)]
    pub jobs: Option<NonZeroUsize>,

    /// Photos in one run of the network, at most; more than 1 pays on a GPU only
    #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
    pub batch: NonZeroUsize,

    /// Memory for photos being processed, in MiB; 256 per job by default, at least 1024
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u64>,

    /// Start no more photos after one has failed
    #[arg(long)]
    pub fail_fast: bool,

    /// Wait for the disk before a photo counts as done: a power failure then costs no more than a kill
    #[arg(long)]
    pub sync: bool,

    /// Collect photos to review here, with overlays: nothing found, low confidence, garment cut by the frame
    #[arg(long, value_name = "DIR")]
    pub review_dir: Option<PathBuf>,

    /// Confidence, 0 to 1, below which a photo needs review: the mean over the area of the classes found
    #[arg(long, value_name = "P", allow_negative_numbers = true, default_value_t = ReviewOptions::default().min_confidence)]
    pub min_confidence: f64,
}

impl BatchArgs {
    /// Finds the photos that the arguments and the list name. Standard input can be one photo or the list.
    pub fn find(&self, arguments: &[PathBuf], output: &Path, max_bytes: u64) -> Result<Inputs, String> {
        let message = |error: Error| explain(&error);
        let is_stdin = |path: &PathBuf| path.as_os_str() == "-";
        let photos_from_stdin = arguments.iter().filter(|path| is_stdin(path)).count();
        if self.files_from.as_ref().is_some_and(is_stdin) && photos_from_stdin > 0 {
            return Err("standard input is either a photo ('-') or the list (--files-from -), not both".into());
        }
        if photos_from_stdin > 1 {
            return Err("standard input ('-') is one photo, which can be read once; name it once".into());
        }
        let outputs: Vec<&Path> = [Some(output), self.review_dir.as_deref()].into_iter().flatten().collect();
        let mut finder = InputFinder::new(&outputs);
        for argument in arguments {
            if is_stdin(argument) {
                finder.add_bytes(&mut std::io::stdin().lock(), max_bytes);
            } else {
                finder.add(argument).map_err(message)?;
            }
        }
        if let Some(list) = &self.files_from {
            let separator = if self.null { 0 } else { b'\n' };
            finder.add_list(&mut &list_file::read(list, self.null)?[..], separator).map_err(message)?;
        }
        Ok(finder.finish(self.shard))
    }

    /// What the engine needs to know to run `photos` photos.
    pub fn engine_options(
        &self,
        options: EngineOptions,
        engine: &EngineArgs,
        model: &Model,
        photos: usize,
    ) -> EngineOptions {
        let at_a_time = self.jobs(is_gpu(options.provider)).min(photos);
        engine.with_sessions(options, model, at_a_time).with_max_batch(self.batch.get())
    }

    /// How much is done at a time, by the execution provider.
    pub fn work_options(&self, segmenter: &Segmenter) -> WorkOptions {
        let options = WorkOptions::of_jobs(self.jobs(is_gpu(segmenter.engine_info().provider)));
        let options = options.with_batch(self.batch.get()).with_network_runs(segmenter.sessions());
        match self.memory {
            Some(mebibytes) => options.with_memory_bytes(mebibytes.saturating_mul(1 << 20)),
            None => options,
        }
    }

    /// Photos in work at a time.
    fn jobs(&self, on_gpu: bool) -> usize {
        self.jobs.map_or_else(|| usual_jobs(on_gpu), NonZeroUsize::get)
    }

    /// What results somebody should look at. Numbers that make no sense are refused by name.
    pub fn review_options(&self) -> Result<ReviewOptions, String> {
        if !(0.0..=1.0).contains(&self.min_confidence) {
            return Err(format!("--min-confidence {}: a number from 0 to 1 is needed", self.min_confidence));
        }
        let options = ReviewOptions::default().with_min_confidence(self.min_confidence);
        Ok(match &self.review_dir {
            Some(folder) => options.with_folder(folder),
            None => options,
        })
    }
}
