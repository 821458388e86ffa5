//! The bytes of a photo: read once, and hashed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::inputs::Source;
use super::manifest::InputRecord;
use clothseg::Limits;
use clothseg::internals::digest;
use clothseg::internals::files::kind::{HEAD_BYTES, Kind};
use clothseg::{Error, Result};

/// A file's bytes.
pub(super) enum Content {
    Read(Vec<u8>),
    Given(Arc<[u8]>),
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Read(bytes) => bytes,
            Self::Given(bytes) => bytes,
        }
    }
}

/// Opens a photo's file, if it has one, and notes its size and time.
pub(super) fn open(source: &Source, facts: &mut InputRecord) -> Result<Option<File>> {
    let Source::File(path) = source else { return Ok(None) };
    let failed = |source| Error::Read { path: path.clone(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    // A pipe has neither.
    if metadata.is_file() {
        facts.bytes = Some(metadata.len());
        let since_1970 = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        facts.modified_unix_ns = since_1970.and_then(|time| i64::try_from(time.as_nanos()).ok());
    }
    Ok(Some(file))
}

/// Reads what [`open`] opened and notes its hash. The size and time stay those from before: a file that is written to
/// meanwhile will look changed.
pub(super) fn read(file: Option<File>, source: &Source, facts: &mut InputRecord, limits: &Limits) -> Result<Content> {
    let content = match (file, source) {
        (Some(file), Source::File(path)) => {
            let expected = facts.bytes.unwrap_or_default().min(limits.max_bytes);
            let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default().saturating_add(1));
            // One byte over the limit tells "too large" apart without a second look at the file.
            file.take(limits.max_bytes.saturating_add(1))
                .read_to_end(&mut bytes)
                .map_err(|source| Error::Read { path: path.clone(), source })?;
            Content::Read(bytes)
        }
        (_, Source::Bytes(bytes)) => Content::Given(Arc::clone(bytes)),
        (None, Source::File(path)) => {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(Error::Read { path: path.clone(), source });
        }
    };
    let length = content.len() as u64;
    if length > limits.max_bytes {
        // A film is no photo that is too large.
        if let Kind::Unread(unread) = Kind::of(&content[..content.len().min(HEAD_BYTES)]) {
            return Err(unread.error());
        }
        return Err(Error::TooLarge { found: length, limit: limits.max_bytes, unit: "bytes" });
    }
    facts.bytes.get_or_insert(length);
    facts.blake3 = Some(digest::hex(&content));
    Ok(content)
}

/// Returns when files below `root`, and their names in their folders, are on the disk.
pub(super) fn sync(paths: &[PathBuf], root: &Path) -> Result<()> {
    let mut folders = BTreeSet::new();
    let flush = |path: &PathBuf| {
        File::open(path).and_then(|file| file.sync_all()).map_err(|source| Error::Write { path: path.clone(), source })
    };
    for path in paths {
        flush(path)?;
        let above = path.ancestors().skip(1).take_while(|folder| folder.starts_with(root));
        folders.extend(above.map(PathBuf::from));
    }
    // Folders are files to be flushed on Unix only.
    if cfg!(unix) { folders.iter().try_for_each(flush) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_once_within_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        std::fs::write(&path, b"abc").unwrap();
        let source = Source::File(path);
        let look = |max_bytes| {
            let mut facts = InputRecord::default();
            let file = open(&source, &mut facts)?;
            let content = read(file, &source, &mut facts, &Limits::default().with_max_bytes(max_bytes))?;
            Ok::<_, Error>((content.to_vec(), facts))
        };
        let (bytes, facts) = look(3).unwrap();
        assert_eq!((bytes.as_slice(), facts.bytes), (&b"abc"[..], Some(3)));
        // The published hash of these three bytes.
        assert_eq!(facts.blake3.unwrap(), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
        assert!(facts.modified_unix_ns.unwrap() > 0);
        assert!(matches!(look(2), Err(Error::TooLarge { found: 3, limit: 2, .. })));
        sync(&[folder.path().join("a.jpg")], folder.path()).unwrap();
    }
}
