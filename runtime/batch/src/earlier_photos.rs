//! Photos that earlier runs have done, and this one does not know by the same stem.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::existing::{Existing, OwnFiles, ResultFolder};
use super::inputs::{Input, Inputs};
use super::manifest::Record;
use super::options::BatchOptions;
use super::resume::EarlierResults;
use super::review::ReviewFiles;
use super::stems::{StemForm, is_result_of, stem_key};
use super::write::remove_file;
use clothseg::Result;
use clothseg::internals::digest::{self, Key};

/// What earlier runs have done beside the photos of this one.
#[derive(Debug, Default)]
pub(super) struct EarlierPhotos {
    /// Photos in the manifests that are not among those of this run; not looked for unless it resumes all of them.
    pub(super) missing: Vec<String>,
    /// The stem that a photo of this run had before, by its stem now: `a` of `a.jpg` before there was an `a.png`.
    renamed: HashMap<Key, PathBuf>,
}

impl EarlierPhotos {
    /// Compares earlier results with the photos of a run.
    pub(super) fn of(known: &EarlierResults, inputs: &Inputs, options: &BatchOptions) -> Self {
        let had = |input: &Input| {
            let other =
                StemForm::unnumbered(Path::new(&input.file_name)).into_iter().find(|stem| *stem != input.stem)?;
            known.record(&other).filter(|record| record.input.path == input.file_name).map(|_| other)
        };
        let mut renamed: HashMap<Key, PathBuf> =
            inputs.iter().filter_map(|input| Some((stem_key(&input.stem), had(&input)?))).collect();
        if !renamed.is_empty() {
            let before: HashSet<Key> = renamed.values().map(|stem| stem_key(stem)).collect();
            let is_before = |stem: &Key| before.contains(stem);
            let now: HashSet<Key> = inputs.iter().map(|input| stem_key(&input.stem)).filter(is_before).collect();
            // What is another photo's now is no longer this one's.
            renamed.retain(|_, stem| !now.contains(&stem_key(stem)));
        }
        let missing = if options.resume && options.shard.is_none() { missing(known, inputs) } else { Vec::new() };
        Self { missing, renamed }
    }

    /// Removes what a photo that is done had under another stem, where that was the same of the same photo: `now` is its
    /// record. Photos stay, and so does what was made with other options.
    pub(super) fn remove_renamed(
        &self,
        input: &Input,
        now: &Same<'_>,
        known: &EarlierResults,
        options: &BatchOptions,
        inputs: &Inputs,
    ) -> Result<()> {
        let Some(stem) = self.renamed.get(&stem_key(&input.stem)) else { return Ok(()) };
        let Some(record) = known.record(stem).filter(|record| now.is_same(record)) else { return Ok(()) };
        let results = record.files.iter().filter(|file| is_result_of(&record.stem, &file.path));
        let mut paths: Vec<PathBuf> = results.map(|file| options.output.join(&file.path)).collect();
        if let Some(folder) = options.review.folder.as_ref().filter(|_| !record.review.is_empty()) {
            let before = Input { stem: stem.clone(), ..input.clone() };
            paths.extend(ReviewFiles::of(&before, folder).paths().map(Path::to_owned));
        }
        for path in paths {
            let folder =
                ResultFolder::new(path.parent().unwrap_or(&options.output), inputs.identities(), || OwnFiles::All);
            if folder.existing(&path) == Existing::Other {
                remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// What tells that results are of the same photo, made in the same way.
pub(super) struct Same<'a> {
    /// The photo's hash.
    pub(super) blake3: Option<&'a str>,
    /// That of the options.
    pub(super) options: &'a str,
}

impl Same<'_> {
    fn is_same(&self, record: &Record) -> bool {
        self.blake3.is_some() && record.input.blake3.as_deref() == self.blake3 && record.options == self.options
    }
}

/// Photos in manifests that are not among those of a run, by name.
fn missing(known: &EarlierResults, inputs: &Inputs) -> Vec<String> {
    let stems: HashSet<Key> = inputs.iter().map(|input| stem_key(&input.stem)).collect();
    let names: HashSet<Key> = inputs.iter().map(|input| digest::key(input.file_name.as_bytes())).collect();
    let others = known.others(&stems).map(|record| record.input.path);
    let mut missing: Vec<String> = others.filter(|path| !names.contains(&digest::key(path.as_bytes()))).collect();
    missing.sort();
    missing
}
