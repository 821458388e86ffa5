//! Many photos: find them, overlap reading, decoding, inference and writing, record each, go on after an interruption.
//!
//! ```no_run
//! use clothseg::Segmenter;
//! use clothseg_batch::{BatchOptions, Cancel};
//!
//! # fn main() -> clothseg::Result<()> {
//! let segmenter = Segmenter::open("garments.onnx")?;
//! let classes = segmenter.spec().taxonomy.resolve("garment")?;
//! let options = BatchOptions::new("cutouts", classes).with_resume(true);
//! let inputs = clothseg_batch::find_inputs(&["photos".into()], &options.output, options.limits.max_bytes, &mut std::io::empty())?;
//! let cancel = Cancel::new(); // a clone of it, in another thread, can stop the run
//! let summary = clothseg_batch::run(&segmenter, &inputs, &options, &cancel, &mut |outcome| match outcome.result {
//!     Ok(_) => println!("{}", outcome.name),
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
//! ([`clothseg::Detail::EnoughFor`]); a damaged one that has to be decoded in full after all waits once more. A photo that takes more
//! than all the room goes alone. Files that are read and wait to be decoded,
//! one a job at most, are not counted.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod argument;
mod cancel;
mod color;
mod content;
mod cost;
mod earlier;
mod earlier_photos;
mod existing;
mod find;
mod fingerprint;
#[cfg(feature = "watch")]
mod given_stems;
mod inputs;
mod journal;
mod leftovers;
mod links;
pub mod locate;
mod manifest;
mod options;
mod outcome;
mod outputs;
mod pipeline;
mod replaced;
mod resume;
mod review;
mod room;
mod run;
mod run_files;
mod shard;
mod stages;
mod stems;
mod summary;
mod timings;
#[cfg(feature = "watch")]
mod watch;
mod write;

pub use cancel::Cancel;
pub use color::uses_color;
pub use find::{InputFinder, find_inputs};
pub use inputs::{Input, Inputs, Source};
pub use manifest::{
    ClassRecord, EngineRecord, FileRecord, InputRecord, ModelRecord, Record, Status, manifest_path, read_manifest,
};
pub use options::{BatchOptions, ReviewOptions, WorkOptions};
pub use outcome::{Done, Ended, Outcome, Reason};
pub use resume::last_records;
pub use run::{create_output, run};
pub use shard::Shard;
pub use stems::shortened_stem;
pub use summary::{Stop, Summary};
pub use timings::StageTimings;
#[cfg(feature = "watch")]
pub use watch::{Round, WatchEvent, WatchOptions, WatchSummary, Way, watch};
pub use write::write_atomically;
