//! Photos that earlier runs have done, and this one does not know by the same stem.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::inputs::{Input, Inputs};
use super::manifest::Record;
use super::occupant::{Occupant, ResultFolder};
use super::outputs::remove_file;
use super::resume::EarlierResults;
use super::stems::stem_key;
use clothseg::Result;
use clothseg::internals::digest::{self, Key};

/// What earlier runs have done beside the photos of this one.
#[derive(Debug, Default)]
pub(super) struct Departed {
    /// Photos that are not among those of this run.
    pub(super) missing: Vec<String>,
    /// Files that a photo of this run had while its stem was another, by its stem now: `a.labels.png` of `a.jpg` before there was an
    /// `a.png`.
    renamed: HashMap<Key, Vec<String>>,
}

impl Departed {
    /// Compares earlier results with the photos of a run.
    pub(super) fn of(known: &EarlierResults, inputs: &Inputs) -> Self {
        let stems: HashSet<Key> = inputs.iter().map(|input| stem_key(&input.stem)).collect();
        let others: Vec<Record> = known.others(&stems).collect();
        if others.is_empty() {
            return Self::default();
        }
        let key = |path: &str| digest::key(path.as_bytes());
        let stem_of: HashMap<Key, Key> =
            inputs.iter().map(|input| (key(&input.file_name), stem_key(&input.stem))).collect();
        let mut departed = Self::default();
        for record in others {
            match stem_of.get(&key(&record.input.path)) {
                Some(stem) => {
                    let files = record.files.into_iter().map(|file| file.path);
                    departed.renamed.entry(*stem).or_default().extend(files);
                }
                None => departed.missing.push(record.input.path),
            }
        }
        departed.missing.sort();
        departed
    }

    /// Removes what a photo that is done had under another stem. Its files now, `kept`, and photos stay.
    pub(super) fn remove_renamed(&self, input: &Input, output: &Path, kept: &[String], inputs: &Inputs) -> Result<()> {
        let Some(files) = self.renamed.get(&stem_key(&input.stem)) else { return Ok(()) };
        for file in files.iter().filter(|file| !kept.contains(file)) {
            let path = output.join(file);
            let folder = ResultFolder::new(path.parent().unwrap_or(output), inputs.identities());
            if folder.occupant(&path) == Occupant::Other {
                remove_file(&path)?;
            }
        }
        Ok(())
    }
}
