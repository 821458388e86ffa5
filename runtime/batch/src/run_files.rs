//! The files of a whole run, such as COCO's: made in the end, of the photos' parts in the manifest.

use std::io::ErrorKind;
use std::path::PathBuf;

use clothseg::export::coco::CocoPhoto;
use clothseg::export::{Exporter, Format, RunView};
use clothseg::{Error, Result, Segmenter};

use super::content;
use super::existing::{Existing, ResultFolder};
use super::inputs::Inputs;
use super::manifest::{Record, RunFacts, Status};
use super::options::BatchOptions;
use super::outputs::foreign;
use super::resume::last_records;
use super::shard::Shard;
use super::write::write_with;

/// The files that the run, or its shard, writes.
fn files(options: &BatchOptions) -> Vec<(&'static dyn Exporter, &'static str, PathBuf)> {
    let mut formats: Vec<Format> = options.outputs.formats.clone();
    formats.sort_unstable();
    formats.dedup();
    let shard = options.shard.map(Shard::suffix).unwrap_or_default();
    let mut files = Vec::new();
    for exporter in formats.into_iter().map(Format::exporter) {
        for &name in exporter.run_files() {
            // What is the same for all shards is written by each of them.
            let file = match name.rsplit_once('.') {
                Some((stem, extension)) if exporter.needs().parts => format!("{stem}{shard}.{extension}"),
                _ => name.to_owned(),
            };
            files.push((exporter, name, options.output.join(file)));
        }
    }
    files
}

/// Removes those of an earlier run from the output folder.
///
/// # Errors
/// [`Error::Invalid`] where a file of the name lies among photos, and no run wrote there; [`Error::Write`].
pub(super) fn remove(options: &BatchOptions, folder: &ResultFolder<'_>) -> Result<()> {
    for (_, _, path) in files(options) {
        if folder.existing(&path) == Existing::Foreign {
            return Err(foreign(&path));
        }
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => return Err(Error::Write { path, source }),
            _ => {}
        }
    }
    Ok(())
}

/// Writes them with all photos that are done by these options, whichever run did them, in the order of `inputs`. One photo is
/// held at a time. An error comes with the name of its format.
pub(super) fn write(
    segmenter: &Segmenter,
    inputs: &Inputs,
    options: &BatchOptions,
) -> Result<(), (&'static str, Error)> {
    for (exporter, name, path) in files(options) {
        write_one(segmenter, inputs, options, exporter, name, path).map_err(|error| (exporter.name(), error))?;
    }
    Ok(())
}

fn write_one(
    segmenter: &Segmenter,
    inputs: &Inputs,
    options: &BatchOptions,
    exporter: &dyn Exporter,
    name: &str,
    path: PathBuf,
) -> Result<()> {
    let facts = RunFacts::new(segmenter, options)?;
    let parts = || {
        let done = last_records(&options.output, inputs)?.filter(|record| record.status == Status::Done);
        let part = |record: Record| {
            let coco = record.coco.filter(|_| record.options == facts.options);
            if coco.is_none() {
                // Clocks of two machines that wrote shards disagree.
                tracing::warn!("{}: left out of the COCO file: its last line is of another run", record.input.path);
            }
            coco
        };
        Ok(Box::new(done.filter_map(part).map(Ok)) as Box<dyn Iterator<Item = Result<CocoPhoto>> + '_>)
    };
    let spec = segmenter.spec();
    let (taxonomy, classes) = options.outputs.masks.classes(&spec.taxonomy, &options.classes)?;
    let run = RunView::new(&taxonomy, &classes, &spec.name, &parts);
    write_with(&path, |out| exporter.run_file(name, &run, out))?;
    if options.sync { content::sync(&[path], &options.output) } else { Ok(()) }
}
