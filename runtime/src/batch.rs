//! Many photos: find them, overlap decoding, inference and writing, report each.

mod coco;
mod format;
mod inputs;
mod links;
mod outputs;
mod write;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

pub use coco::coco_from_lines;
pub use format::{CutoutAlpha, Format, OutputOptions};
pub use inputs::{Input, Inputs, Source, find_inputs};
pub use write::write_atomically;

use crate::decode::{Limits, Photo};
use crate::error::{Error, Result};
use crate::export::coco::CocoPhoto;
use crate::segmenter::{ClassRegion, Segmentation, Segmenter};

/// Photos that wait between two stages. Enough to keep the stages busy; each may hold a large photo.
const QUEUE: usize = 2;

/// What to make of each photo.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchOptions {
    /// Folder that the results go to.
    pub output: PathBuf,
    /// Class indices wanted.
    pub classes: Vec<usize>,
    /// Files wanted for each photo, and how they are made.
    pub outputs: OutputOptions,
    /// What a photo may cost.
    pub limits: Limits,
}

/// How one photo ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The photo as its user names it.
    pub name: String,
    /// What was written, or what went wrong.
    pub result: Result<Done>,
}

/// A photo that is done.
#[derive(Debug)]
#[non_exhaustive]
pub struct Done {
    /// Files written.
    pub files: Vec<PathBuf>,
    /// Classes wanted and found.
    pub regions: Vec<ClassRegion>,
    /// What the photo adds to the run's COCO file, if that is wanted.
    pub coco: Option<CocoPhoto>,
}

struct Decoded<'a> {
    input: &'a Input,
    photo: Result<Photo>,
    decode_ms: f64,
}

/// A part of a stage, such as an image decoder, that panics costs its photo and not the photos after it.
fn guard<T>(stage: &'static str, part: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(part)).unwrap_or_else(|_| {
        Err(Error::Invalid(format!("{stage} broke down; this is a bug, please report it with the photo")))
    })
}

struct Segmented<'a> {
    input: &'a Input,
    result: Result<(Photo, Segmentation)>,
    decode_ms: f64,
}

/// Segments every input and writes its files; one failure never stops the others.
///
/// Decoding, inference and writing run beside each other; `report` is called for each photo in input order, from one
/// thread.
pub fn run(segmenter: &Segmenter, inputs: &[Input], options: &BatchOptions, report: &mut (dyn FnMut(Outcome) + Send)) {
    std::thread::scope(|scope| {
        let (to_network, decoded) = sync_channel(QUEUE);
        let (to_writer, segmented) = sync_channel(QUEUE);
        scope.spawn(move || decode_all(inputs, &options.limits, &to_network));
        scope.spawn(move || segment_all(segmenter, &decoded, &to_writer));
        let protected = inputs::identities(inputs);
        let mut coco = coco::CocoSpool::new(options);
        // The writer is this thread: when it ends, all is done.
        for item in segmented {
            let outcome = write(segmenter, item, options, &protected);
            report(coco.add(outcome));
        }
        // A whole file of the run that cannot be written is a failure like a photo's.
        coco.finish(segmenter, options, report);
    });
}

fn decode_all<'a>(inputs: &'a [Input], limits: &Limits, next: &SyncSender<Decoded<'a>>) {
    for input in inputs {
        let started = Instant::now();
        let photo = guard("decoding", || match &input.source {
            Source::File(path) => Photo::open(path, limits),
            Source::Bytes(bytes) => Photo::from_bytes(bytes, limits),
        });
        let decode_ms = started.elapsed().as_secs_f64() * 1e3;
        if next.send(Decoded { input, photo, decode_ms }).is_err() {
            return;
        }
    }
}

fn segment_all<'a>(segmenter: &Segmenter, decoded: &Receiver<Decoded<'a>>, next: &SyncSender<Segmented<'a>>) {
    for Decoded { input, photo, decode_ms } in decoded {
        let result = photo.and_then(|photo| {
            let segmentation = guard("the network", || segmenter.segment(&photo))?;
            Ok((photo, segmentation))
        });
        if next.send(Segmented { input, result, decode_ms }).is_err() {
            return;
        }
    }
}

fn write(segmenter: &Segmenter, item: Segmented<'_>, options: &BatchOptions, protected: &HashSet<PathBuf>) -> Outcome {
    let Segmented { input, result, decode_ms } = item;
    let name = input.name.clone();
    let result = result.and_then(|(photo, segmentation)| {
        let about = outputs::Context { segmenter, photo: &photo, input, decode_ms, options, protected };
        let stem = options.output.join(&input.stem);
        let outputs::Written { files, coco } = guard("writing", || outputs::write_all(&about, &segmentation, &stem))?;
        let wanted = segmentation.regions().iter().filter(|region| options.classes.contains(&region.class));
        Ok(Done { files, regions: wanted.cloned().collect(), coco })
    });
    Outcome { name, result }
}

/// Creates the output folder, so that a bad one is known before the first photo.
///
/// # Errors
/// [`Error::Write`].
pub fn create_output(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::Write { path: folder.to_owned(), source })
}
