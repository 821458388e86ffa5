//! What earlier runs have done: the last line of each photo in the manifests of an output folder.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::existing::OwnFiles;
use super::fingerprint;
use super::inputs::{Input, Inputs};
use super::journal::{self, Lines};
use super::manifest::{FileRecord, InputRecord, Record, Status, manifests_in};
use super::options::BatchOptions;
use super::outcome::Reason;
use super::review::ReviewFiles;
use super::stems::{record_path, stem_key, with_suffix};
use clothseg::internals::digest::{self, Key};
use clothseg::{Error, Result};

/// The photos of earlier runs. About 100 bytes each: lines stay in their file until they are needed.
#[derive(Default)]
pub(super) struct EarlierResults {
    manifests: Vec<Lines>,
    last_lines: HashMap<Key, LastLine>,
    /// The hashes of options that stand in the manifests: few.
    options: Vec<String>,
}

#[derive(Clone, Copy)]
struct LastLine {
    manifest: u32,
    offset: u64,
    finished_unix_ms: u64,
    facts: EarlierResult,
    /// Place in [`EarlierResults::options`].
    options: u32,
}

/// What is known of a photo without reading its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EarlierResult {
    /// What its files follow from; nothing where they are not all in place.
    results: Option<Key>,
    /// Whether somebody was to look at it.
    pub(super) reviewed: bool,
    /// Whether a run wrote files of it, or was about to.
    pub(super) is_written: bool,
}

/// The parts of a line that the index needs.
#[derive(Deserialize)]
struct LineSummary<'a> {
    status: Status,
    #[serde(borrow)]
    stem: Cow<'a, str>,
    #[serde(borrow)]
    options: Cow<'a, str>,
    #[serde(borrow)]
    input: LineInput<'a>,
    review: Vec<IgnoredAny>,
    finished_unix_ms: u64,
}

#[derive(Deserialize)]
struct LineInput<'a> {
    #[serde(borrow)]
    blake3: Option<Cow<'a, str>>,
}

impl EarlierResults {
    /// Reads manifests.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self> {
        let mut known = Self::default();
        for (path, number) in paths.iter().zip(0_u32..) {
            let lines = Lines::open(path).map_err(|source| Error::Read { path: path.clone(), source })?;
            known.manifests.push(lines);
            let mut damaged = 0;
            journal::for_each_line(path, |offset, line| match serde_json::from_slice::<LineSummary<'_>>(line) {
                Ok(summary) => known.add(&summary, number, offset),
                Err(_) => damaged += 1,
            })?;
            if damaged > 0 {
                let path = path.display();
                tracing::warn!("{path}: {damaged} lines are damaged; their photos count as not done");
            }
        }
        Ok(known)
    }

    fn add(&mut self, summary: &LineSummary<'_>, manifest: u32, offset: u64) {
        let results = match (summary.status, &summary.input.blake3) {
            (Status::Done, Some(input)) => Some(results_key(&summary.options, input)),
            _ => None,
        };
        let is_written = summary.status != Status::Failed;
        let facts = EarlierResult { results, reviewed: !summary.review.is_empty(), is_written };
        let options = self.options.iter().position(|known| *known == summary.options).unwrap_or_else(|| {
            self.options.push(summary.options.to_string());
            self.options.len() - 1
        });
        let line =
            LastLine { manifest, offset, finished_unix_ms: summary.finished_unix_ms, facts, options: options as u32 };
        let last = self.last_lines.entry(stem_key(Path::new(&*summary.stem))).or_insert(line);
        // In one manifest the later line counts, whatever the clock did; between shards, the clock is all there is.
        let is_written = last.facts.is_written || is_written;
        if last.manifest == manifest || last.finished_unix_ms <= line.finished_unix_ms {
            *last = line;
        }
        last.facts.is_written = is_written;
    }

    /// Why photos that are done are done again in a run of these options; nothing where there are none.
    pub(super) fn why_others(&self, options: &str) -> Option<String> {
        let (mut others, mut earlier) = (0, 0);
        for line in self.last_lines.values().filter(|line| line.facts.results.is_some()) {
            let recorded = self.options.get(line.options as usize).map_or("", String::as_str);
            if recorded != options {
                *(if fingerprint::is_comparable(recorded) { &mut others } else { &mut earlier }) += 1;
            }
        }
        let why = |count: usize, how: &str| {
            let photos = if count == 1 { "1 photo was".to_owned() } else { format!("{count} photos were") };
            (count > 0).then(|| format!("{photos} done {how}"))
        };
        let reasons = [
            why(earlier, "by an earlier version, whose options this one cannot compare with its own"),
            why(others, "with another model, other options or another version"),
        ];
        let reasons: Vec<String> = reasons.into_iter().flatten().collect();
        (!reasons.is_empty()).then(|| format!("{}: to be done again", reasons.join(", ")))
    }

    /// What is known of the photo with this stem.
    pub(super) fn facts(&self, stem: &Path) -> Option<EarlierResult> {
        self.last_lines.get(&stem_key(stem)).map(|line| line.facts)
    }

    /// The files of whole runs: all of them where a run wrote files of any photo, or was about to.
    pub(super) fn ours_of_run(&self) -> OwnFiles {
        let is_written = self.last_lines.values().any(|line| line.facts.is_written);
        OwnFiles::of(None, is_written, Path::new(""))
    }

    /// The last lines of photos that are done and have none of these stems.
    pub(super) fn others(&self, stems: &HashSet<Key>) -> impl Iterator<Item = Record> {
        let others =
            self.last_lines.iter().filter(|(stem, line)| line.facts.results.is_some() && !stems.contains(*stem));
        others.filter_map(|(_, line)| self.at(line))
    }

    /// The last line of the photo with this stem.
    pub(super) fn record(&self, stem: &Path) -> Option<Record> {
        self.at(self.last_lines.get(&stem_key(stem))?)
    }

    fn at(&self, line: &LastLine) -> Option<Record> {
        let text = self.manifests.get(line.manifest as usize)?.at(line.offset).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

impl EarlierResult {
    /// Whether there are results, and writing these would change them.
    pub(super) fn are_others(&self, options: &str, input_blake3: &str) -> bool {
        self.results.is_some_and(|results| results != results_key(options, input_blake3))
    }
}

fn results_key(options: &str, input_blake3: &str) -> Key {
    digest::key(format!("{options} {input_blake3}").as_bytes())
}

/// The last line of each photo in an output folder's manifests, in the order of `inputs`; photos without a line are left out.
///
/// One line is held at a time. After a run, resumed or not, these are the lines of all its photos, whatever order they ended
/// in.
///
/// # Errors
/// [`Error::Read`].
pub fn last_records<'a>(output: &Path, inputs: &'a Inputs) -> Result<impl Iterator<Item = Record> + use<'a>> {
    let known = EarlierResults::read(&manifests_in(output))?;
    Ok(inputs.iter().filter_map(move |input| known.record(&input.stem)))
}

/// A file written so much later than its photo was recorded was written by somebody else. Clocks of network drives differ a little.
const EDITED_AFTER: Duration = Duration::from_secs(5);

/// What has become of a file of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It has the size that was recorded.
    Same,
    /// It has another size and was written after the run, as when a mask was corrected by hand.
    Edited,
    /// It is not there, or is damaged.
    Lost,
}

/// What has become of a file that a record names, of the photo that is `input` now.
pub(super) fn found(record: &Record, file: &FileRecord, input: &Input, output: &Path) -> Found {
    let Some(suffix) = file.path.strip_prefix(record.stem.as_str()) else { return Found::Lost };
    // The record's path is text; the real one may be more than that.
    let facts = std::fs::metadata(with_suffix(&output.join(&input.stem), suffix));
    let Some(facts) = facts.ok().filter(|facts| facts.is_file()) else { return Found::Lost };
    let recorded = UNIX_EPOCH + Duration::from_millis(record.finished_unix_ms);
    let is_later = || facts.modified().is_ok_and(|modified| modified > recorded + EDITED_AFTER);
    match facts.len() {
        bytes if bytes == file.bytes => Found::Same,
        bytes if bytes > 0 && is_later() => Found::Edited,
        _ => Found::Lost,
    }
}

/// Whether files of the record's results were changed after the run.
pub(super) fn is_edited(record: &Record, input: &Input, output: &Path) -> bool {
    record.files.iter().any(|file| found(record, file, input, output) == Found::Edited)
}

/// Whether the record's results are all there and what this run would make, as far as can be told without the photo's
/// content. Results that somebody has changed since count.
pub(super) fn is_whole(
    record: &Record,
    input: &Input,
    options_hash: &str,
    BatchOptions { output, review, limits, .. }: &BatchOptions,
) -> bool {
    let is_there = |file: &FileRecord| found(record, file, input, output) != Found::Lost;
    let (Some(width), Some(height)) = (record.width, record.height) else { return false };
    let is_truncated = record.review.contains(&Reason::Truncated);
    record.status == Status::Done
        && record.options == options_hash
        && record.stem == record_path(&input.stem)
        && record.files.iter().all(is_there)
        // Other gates judge the same record otherwise: such a photo is done again, so that the manifest and the review folder
        // say the same.
        && review.reasons(&record.classes, (width, height), is_truncated) == record.review
        && (limits.allow_truncated || !is_truncated)
        && (record.review.is_empty()
            || review.folder.as_ref().is_none_or(|folder| ReviewFiles::of(input, folder).exist()))
}

/// Whether a file can be taken for the one recorded without reading it: the same name, size and time of writing.
pub(super) fn is_unchanged(recorded: &InputRecord, now: &InputRecord) -> bool {
    now.modified_unix_ns.is_some()
        && (&recorded.path, recorded.bytes, recorded.modified_unix_ns) == (&now.path, now.bytes, now.modified_unix_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stem: &str, status: &str, options: &str, at: u64) -> String {
        let input = r#"{"path":"a.jpg","bytes":1,"modified_unix_ns":5,"blake3":"cafe"}"#;
        format!(
            r#"{{"status":"{status}","input":{input},"stem":"{stem}","width":1,"height":1,"model":{{"name":"m","blake3":null}},"options":"{options}","engine":{{"provider":"cpu","library":"l","version":"1"}},"classes":[],"review":["nothing-found"],"timings_ms":{{"read":0,"decode":0,"preprocess":0,"inference":0,"postprocess":0,"write":0,"wait":0}},"files":[],"error":null,"finished_unix_ms":{at}}}"#
        )
    }

    fn known(manifests: &[&[String]]) -> EarlierResults {
        let folder = tempfile::tempdir().unwrap();
        let write = |(number, lines): (usize, &&[String])| {
            let path = folder.path().join(format!("{number}.jsonl"));
            std::fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
            path
        };
        let paths: Vec<PathBuf> = manifests.iter().enumerate().map(write).collect();
        EarlierResults::read(&paths).unwrap()
    }

    fn has(known: &EarlierResults, options: &str) -> bool {
        known.facts(Path::new("A")).unwrap().results == Some(results_key(options, "cafe"))
    }

    #[test]
    fn the_last_line_of_a_photo_counts() {
        let known = known(&[&[line("a", "done", "x", 9), line("b", "done", "z", 9), line("a", "done", "y", 3)]]);
        assert!(has(&known, "y") && !has(&known, "x"), "later in the file, whatever the clock says");
        let record = known.record(Path::new("a")).unwrap();
        assert_eq!((record.options.as_str(), record.finished_unix_ms), ("y", 3));
        assert_eq!(known.record(Path::new("c")), None);
    }

    #[test]
    fn of_two_shards_the_younger_line_counts() {
        let old = [line("a", "done", "x", 3)];
        let young = [line("a", "done", "y", 4)];
        assert!(has(&known(&[&old, &young]), "y") && has(&known(&[&young, &old]), "y"));
    }

    #[test]
    fn a_resume_says_why_photos_are_done_again() {
        let lines = [line("a", "done", "v3-x", 1), line("b", "done", "v3-y", 1), line("c", "failed", "v3-y", 1)];
        let known = known(&[&lines, &[line("d", "done", "cafe", 1)]]);
        let reason = known.why_others("v3-x").unwrap();
        assert!(reason.starts_with("1 photo was done by an earlier version"), "{reason}");
        assert!(reason.contains("1 photo was done with another model"), "{reason}");
        assert_eq!(super::EarlierResults::default().why_others("v3-x"), None);
    }

    #[test]
    fn what_failed_or_was_being_replaced_is_not_done() {
        for status in ["failed", "replacing"] {
            let known = known(&[&[line("a", "done", "x", 1), line("a", status, "x", 2)]]);
            assert!(!has(&known, "x"), "{status}");
            assert!(matches!(known.ours_of_run(), OwnFiles::All), "{status}: the files of before may be there");
        }
    }

    #[test]
    fn damaged_lines_are_passed_over() {
        let torn = line("a", "done", "y", 2)[..90].to_owned();
        let known = known(&[&[line("a", "done", "x", 1), torn, "\0\0\0".into(), "7".into()]]);
        assert!(has(&known, "x"));
    }

    #[test]
    fn a_file_is_unchanged_by_name_size_and_time_together() {
        let input = |path: &str, bytes, time| InputRecord {
            path: path.into(),
            bytes: Some(bytes),
            modified_unix_ns: time,
            blake3: None,
        };
        let recorded = input("a", 1, Some(5));
        assert!(is_unchanged(&recorded, &recorded));
        for other in [input("b", 1, Some(5)), input("a", 2, Some(5)), input("a", 1, Some(6)), input("a", 1, None)] {
            assert!(!is_unchanged(&recorded, &other), "{other:?}");
        }
    }
}
