//! The files that an earlier run made of a photo, and what becomes of those that this run does not write: they stay where they show
//! the same garments, in other formats, and leave where this run finds others.

use std::path::{Path, PathBuf};

use super::fingerprint::share_segmentation;
use super::inputs::Input;
use super::manifest::{FileRecord, Record, Status};
use super::resume::{Found, found};
use super::stems::{is_result_of, with_suffix};

/// The results of one photo that an earlier run left.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    files: Vec<ReplacedFile>,
    belongs: bool,
}

#[derive(Debug)]
struct ReplacedFile {
    path: PathBuf,
    record: FileRecord,
    found: Found,
}

impl Replaced {
    /// Those that the last record of the photo lists. `blake3` is the photo's hash, `options` that of this run. Of another photo
    /// that had the stem, nothing is known.
    pub(super) fn of(record: &Record, input: &Input, blake3: Option<&str>, options: &str, output: &Path) -> Self {
        if record.input.path != input.file_name || Path::new(&record.stem) != input.stem {
            return Self::default();
        }
        let belongs = record.status == Status::Done
            && blake3.is_some()
            && record.input.blake3.as_deref() == blake3
            && share_segmentation(&record.options, options);
        let file = |file: &FileRecord| {
            let suffix = file.path.strip_prefix(record.stem.as_str())?;
            is_result_of(&record.stem, &file.path).then(|| ReplacedFile {
                path: with_suffix(&output.join(&input.stem), suffix),
                record: file.clone(),
                found: found(record, file, input, output),
            })
        };
        Self { files: record.files.iter().filter_map(file).collect(), belongs }
    }

    /// Whether this run makes files that belong together with them: of the same photo, model, classes and masks.
    pub(super) fn belongs(&self) -> bool {
        self.belongs
    }

    /// Their records.
    pub(super) fn records(&self) -> Vec<FileRecord> {
        self.files.iter().map(|file| file.record.clone()).collect()
    }

    /// The files to remove once these are written. What somebody has changed since is nobody's to remove.
    pub(super) fn outdated<'a>(&'a self, written: &[(PathBuf, u64)]) -> Vec<&'a Path> {
        let outdated = self.others(written).filter(|file| !self.belongs && file.found != Found::Edited);
        outdated.map(|file| file.path.as_path()).collect()
    }

    /// The records of files that stay beside these.
    pub(super) fn kept(&self, written: &[(PathBuf, u64)]) -> Vec<FileRecord> {
        let kept = self.others(written).filter(|file| self.belongs && file.found != Found::Lost);
        kept.map(|file| file.record.clone()).collect()
    }

    fn others<'a>(&'a self, written: &[(PathBuf, u64)]) -> impl Iterator<Item = &'a ReplacedFile> {
        self.files.iter().filter(|file| written.iter().all(|(path, _)| *path != file.path))
    }
}
