//! A file of JSON lines that only grows, and survives a kill at any moment.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use clothseg::{Error, Result};

/// Bytes looked at in one step when the last whole line is looked for.
const STEP: u64 = 64 << 10;

/// An open journal; one process at a time writes to it.
pub(super) struct Journal {
    path: PathBuf,
    file: Mutex<File>,
    sync: bool,
    existed: bool,
}

impl Journal {
    /// Opens or creates a journal, and cuts off a last line that a kill left unfinished.
    ///
    /// With `sync` each line is on the disk, not only with the system, when [`Journal::append`] returns.
    ///
    /// # Errors
    /// [`Error::Write`]; [`Error::Invalid`] when another process has it open.
    pub(super) fn open(path: PathBuf, sync: bool) -> Result<Self> {
        let failed = |source| Error::Write { path: path.clone(), source };
        let existed = path.exists();
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(failed)?;
        if stays_locked(&file) {
            let path = path.display();
            return Err(Error::Invalid(format!(
                "another run writes {path}; wait for it, choose another output folder, or split the work into shards"
            )));
        }
        cut_torn_line(&mut file).map_err(failed)?;
        Ok(Self { path, file: Mutex::new(file), sync, existed })
    }

    /// Whether the file was there before.
    pub(super) fn existed(&self) -> bool {
        self.existed
    }

    /// Whether the file still has its name: a run may lose it, as when somebody deletes the folder of results.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it is gone, or another file is there.
    pub(super) fn check_in_place(&self) -> Result<()> {
        let is_there = match (self.lock().metadata(), std::fs::metadata(&self.path)) {
            (Ok(open), Ok(named)) => are_one_file(&open, &named),
            (_, named) => named.is_ok(),
        };
        let path = self.path.display();
        let lost = || {
            Error::Invalid(format!(
                "{path} was removed or replaced while the run wrote to it, so what this run has done is not recorded, and \
                 results may be gone with it; run the same command again"
            ))
        };
        if is_there { Ok(()) } else { Err(lost()) }
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one line, by one write.
    ///
    /// # Errors
    /// [`Error::Encode`], [`Error::Write`]; the journal is then as it was before.
    pub(super) fn append(&self, record: &impl Serialize) -> Result<()> {
        let encode = |error: serde_json::Error| Error::Encode { what: "record", reason: error.to_string() };
        let mut line = serde_json::to_vec(record).map_err(encode)?;
        line.push(b'\n');
        let mut file = self.lock();
        let append = |file: &mut File| {
            let before = file.metadata()?.len();
            file.write_all(&line).inspect_err(|_| {
                // A full disk takes half a line: what cannot be taken back is cut off at the next start.
                let _ = file.set_len(before);
            })?;
            if self.sync { file.sync_data() } else { Ok(()) }
        };
        append(&mut file).map_err(|source| Error::Write { path: self.path.clone(), source })
    }
}

#[cfg(unix)]
fn are_one_file(one: &std::fs::Metadata, other: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// A file that is open keeps its name on this system.
#[cfg(not(unix))]
fn are_one_file(_: &std::fs::Metadata, _: &std::fs::Metadata) -> bool {
    true
}

/// As [`is_locked`], with some patience: another run that looks around holds the lock for a moment.
fn stays_locked(file: &File) -> bool {
    (0..5).all(|attempt| {
        std::thread::sleep(std::time::Duration::from_millis(attempt * 10));
        is_locked(file)
    })
}

/// Takes the lock of a file until it is closed, by a kill too; whether another process has it.
#[cfg(unix)]
fn is_locked(file: &File) -> bool {
    // A file system without locks is no reason to refuse the work.
    matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock))
}

/// Locks keep readers out on this system, and a manifest is for reading.
#[cfg(not(unix))]
fn is_locked(_: &File) -> bool {
    false
}

/// Whether a process has this journal open.
pub(super) fn is_in_use(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| is_locked(&file))
}

/// Cuts off what stands after the last line end.
fn cut_torn_line(file: &mut File) -> std::io::Result<()> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        Read::take(&mut *file, end - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            end = start + at as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length {
        tracing::info!("a line that an earlier run could not finish is cut off: {} bytes", length - end);
        file.set_len(end)?;
    }
    Ok(())
}

/// Calls `visit` with the place and the bytes of each whole line, in order. A file that is not there has none.
///
/// # Errors
/// [`Error::Read`].
pub(super) fn for_each_line(path: &Path, mut visit: impl FnMut(u64, &[u8])) -> Result<()> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file.map_err(failed)?,
    };
    let mut reader = BufReader::with_capacity(STEP as usize, file);
    let mut line = Vec::new();
    let mut offset = 0;
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).map_err(failed)?;
        // Another shard may be writing: what has no end yet is no line yet.
        let Some(whole) = line.strip_suffix(b"\n") else { return Ok(()) };
        visit(offset, whole);
        offset += length as u64;
    }
}

/// A journal that is read line by line in any order.
pub(super) struct Lines(Mutex<BufReader<File>>);

impl Lines {
    /// Opens a journal for reading.
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self(Mutex::new(BufReader::new(File::open(path)?))))
    }

    /// The line that starts at this byte.
    pub(super) fn at(&self, offset: u64) -> std::io::Result<Vec<u8>> {
        let mut reader = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reader.seek(SeekFrom::Start(offset))?;
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<(u64, String)> {
        let mut lines = Vec::new();
        for_each_line(path, |at, line| lines.push((at, String::from_utf8_lossy(line).into_owned()))).unwrap();
        lines
    }

    #[test]
    fn lines_are_added_and_found_again_by_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.jsonl");
        assert!(lines(&path).is_empty());
        let journal = Journal::open(path.clone(), true).unwrap();
        assert!(!journal.existed());
        for number in [7, 123, 9] {
            journal.append(&number).unwrap();
        }
        assert_eq!(lines(&path), [(0, "7".into()), (2, "123".into()), (6, "9".into())]);
        let reader = Lines::open(&path).unwrap();
        assert_eq!([6, 0, 2].map(|at| reader.at(at).unwrap()), [b"9\n".to_vec(), b"7\n".to_vec(), b"123\n".to_vec()]);
    }

    #[test]
    fn a_torn_last_line_is_cut_off_wherever_it_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.jsonl");
        let long = "x".repeat(STEP as usize * 2);
        for (content, whole) in
            [("", 0), ("{\"a\"", 0), ("1\n2\n", 2), ("1\n2", 1), (&format!("1\n{long}"), 1), (&long, 0)]
        {
            std::fs::write(&path, content).unwrap();
            let journal = Journal::open(path.clone(), false).unwrap();
            assert_eq!(lines(&path).len(), whole);
            journal.append(&"new").unwrap();
            assert_eq!(lines(&path).pop().unwrap().1, "\"new\"");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_journal_that_lost_its_name_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.jsonl");
        let journal = Journal::open(path.clone(), false).unwrap();
        journal.append(&1).unwrap();
        journal.check_in_place().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(journal.check_in_place().is_err_and(|error| error.to_string().contains("removed or replaced")));
        std::fs::write(&path, "1\n").unwrap();
        assert!(journal.check_in_place().is_err(), "another file");
    }

    #[test]
    #[cfg(unix)]
    fn a_journal_has_one_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.jsonl");
        let journal = Journal::open(path.clone(), false).unwrap();
        assert!(is_in_use(&path));
        let error = Journal::open(path.clone(), false).err().unwrap();
        assert!(error.to_string().contains("another run writes"), "{error}");
        drop(journal);
        assert!(!is_in_use(&path));
    }
}
