//! A run: all photos through all stages, and the files of the whole run after them.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use clothseg::{Error, Result, Segmenter};

use crate::cancel::Cancel;
use crate::existing::ResultFolder;
use crate::inputs::Inputs;
use crate::manifest::manifest_path;
use crate::options::{BatchOptions, WorkOptions};
use crate::outcome::Outcome;
use crate::summary::{Stop, Summary};
use crate::{earlier_photos, journal, leftovers, manifest, pipeline, resume, room, run_files, stages};

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
    let folder_is_new = is_new(&options.output);
    let mut session = Session::open(segmenter, options)?;
    session.folder_is_new = folder_is_new;
    let earlier_photos = earlier_photos::EarlierPhotos::of(&session.known, inputs, options);
    // They say that all photos are in them: they leave first and come last.
    run_files::remove(
        options,
        &ResultFolder::new(&options.output, inputs.identities(), || session.known.ours_of_run()),
    )?;
    let mut summary = session.pass(segmenter, inputs, options, cancel, &earlier_photos, report)?;
    let end = match session.check_manifest() {
        // Files of the whole run are made of the manifest.
        Err(error) => Err(("manifest", error)),
        Ok(()) if summary.not_begun == 0 => run_files::write(segmenter, inputs, options),
        Ok(()) => Ok(()),
    };
    if let Err((name, error)) = end {
        // The photos are done; a whole file of the run that is lost or cannot be written is a failure like a photo's.
        let outcome = Outcome { name: name.into(), result: Err(error) };
        summary.count(&outcome);
        report(outcome);
    }
    Ok(summary)
}

/// What a run holds open in its output folder.
pub(crate) struct Session {
    pub(crate) facts: manifest::RunFacts,
    pub(crate) known: resume::EarlierResults,
    suffix_bytes: usize,
    /// Whether the output folder was empty before, and no photo will be done twice.
    folder_is_new: bool,
    manifest: journal::Journal,
}

impl Session {
    /// Checks the options, opens the manifest and reads what earlier runs have done.
    pub(crate) fn open(segmenter: &Segmenter, options: &BatchOptions) -> Result<Self> {
        options.outputs.masks.validate()?;
        let (taxonomy, _) = options.outputs.masks.classes(&segmenter.spec().taxonomy, &options.classes)?;
        let manifest = open_manifest(options)?;
        let known = resume::EarlierResults::read(&manifest::manifests_in(&options.output))?;
        let facts = manifest::RunFacts::new(segmenter, options)?;
        if let Some(reason) = options.resume.then(|| known.why_others(&facts.options)).flatten() {
            tracing::warn!("{}: {reason}", options.output.display());
        }
        let suffix_bytes = room::longest_suffix(options, &taxonomy);
        Ok(Self { facts, known, suffix_bytes, folder_is_new: false, manifest })
    }

    /// Checks that the manifest is still where other runs will look for it.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub(crate) fn check_manifest(&self) -> Result<()> {
        self.manifest.check_in_place()
    }

    /// Takes these photos through all stages.
    pub(crate) fn pass(
        &self,
        segmenter: &Segmenter,
        inputs: &Inputs,
        options: &BatchOptions,
        cancel: &Cancel,
        earlier_photos: &earlier_photos::EarlierPhotos,
        report: &mut (dyn FnMut(Outcome) + Send),
    ) -> Result<Summary> {
        let started = Instant::now();
        let summary = Summary { missing: earlier_photos.missing.clone(), ..Summary::default() };
        let work = stages::Work {
            segmenter,
            inputs,
            options,
            cancel,
            facts: &self.facts,
            known: &self.known,
            earlier_photos,
            suffix_bytes: self.suffix_bytes,
            folder_is_new: self.folder_is_new,
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

/// Whether a folder is empty, or not there.
fn is_new(folder: &Path) -> bool {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// Creates the output folder, so that a bad one is known before the first photo.
///
/// # Errors
/// [`Error::Write`].
pub fn create_output(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::Write { path: folder.to_owned(), source })
}
