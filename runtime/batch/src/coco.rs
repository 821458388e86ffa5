//! The COCO file of a run: made in the end, of the photos' parts in the manifest.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::BatchOptions;
use super::content;
use super::format::Format;
use super::inputs::Inputs;
use super::manifest::{Record, RunFacts, Status};
use super::resume::last_records;
use super::shard::Shard;
use super::write::write_with;
use clothseg::{Error, Result};
use clothseg::export::coco::{CocoInfo, write_coco};
use clothseg::Segmenter;

/// Where the run, or its shard, writes it; nowhere if it is not wanted.
fn path(options: &BatchOptions) -> Option<PathBuf> {
    let name = || format!("coco{}.json", options.shard.map(Shard::suffix).unwrap_or_default());
    options.outputs.formats.contains(&Format::Coco).then(|| options.output.join(name()))
}

/// Removes that of an earlier run.
pub(super) fn remove(options: &BatchOptions) -> Result<()> {
    let Some(path) = path(options) else { return Ok(()) };
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::Write { path, source }),
        _ => Ok(()),
    }
}

/// Writes all photos that are done by these options, whichever run did them, in the order of `inputs`. One is held at a time.
pub(super) fn write(segmenter: &Segmenter, inputs: &Inputs, options: &BatchOptions) -> Result<()> {
    let Some(path) = path(options) else { return Ok(()) };
    let facts = RunFacts::new(segmenter, options)?;
    let photos = || {
        let done = last_records(&options.output, inputs)?.filter(|record| record.status == Status::Done);
        let part = |record: Record| {
            let coco = record.coco.filter(|_| record.options == facts.options);
            if coco.is_none() {
                // Clocks of two machines that wrote shards disagree.
                tracing::warn!("{}: left out of the COCO file: its last line is of another run", record.input.path);
            }
            coco
        };
        Ok(done.filter_map(part).map(Ok))
    };
    let spec = segmenter.spec();
    write_with(&path, |out| write_coco(out, &spec.taxonomy, &options.classes, &CocoInfo::new(&spec.name), photos))?;
    if options.sync { content::sync(&[path], &options.output) } else { Ok(()) }
}
