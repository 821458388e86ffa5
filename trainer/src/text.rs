//! Text files as editors, spreadsheets and other programs save them: read as the runtime reads its own.

pub mod table;

use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clothseg::internals::files::text;
use unicode_normalization::UnicodeNormalization;

use crate::error::{Error, Result};

/// Largest text that is read as a whole, in bytes.
const MOST_BYTES: u64 = 1 << 30;

/// Reads a text file: UTF-8, or UTF-16 in either order where it begins with a byte order mark. The mark is not part of the
/// text.
///
/// # Errors
/// Where it cannot be read, is larger than 1 GiB, or is in another encoding; the first byte that does not fit is named.
pub fn read_text(path: &Path) -> Result<String> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Error::file(path, format!("is larger than {} MB, more than is read", MOST_BYTES >> 20)));
    }
    text::decode(bytes).map_err(|cause| Error::file(path, cause))
}

/// A name in one way of writing accents (NFC): a copy that came through macOS has them apart from their letters.
pub fn composed(name: &str) -> String {
    name.nfc().collect()
}

/// A text of which parts are read, as often as wanted: it may be larger than memory. One in UTF-16 is held in memory, in UTF-8.
#[derive(Clone, Debug)]
pub struct TextFile {
    path: PathBuf,
    decoded: Option<Arc<[u8]>>,
}

/// Something to read from at any place.
pub trait ReadAnywhere: Read + Seek {}

impl<T: Read + Seek> ReadAnywhere for T {}

impl TextFile {
    /// Looks at how a file is encoded.
    ///
    /// # Errors
    /// As [`read_text`] for UTF-16; where the file cannot be read, otherwise.
    pub fn new(path: &Path) -> Result<Self> {
        let mut mark = Vec::new();
        let file = File::open(path).map_err(Error::io("read", path))?;
        file.take(2).read_to_end(&mut mark).map_err(Error::io("read", path))?;
        let is_utf_16 = matches!(mark[..], [0xff, 0xfe] | [0xfe, 0xff]);
        let decoded = is_utf_16.then(|| read_text(path)).transpose()?;
        Ok(Self { path: path.to_owned(), decoded: decoded.map(|text| text.into_bytes().into()) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the text, in UTF-8, at its beginning.
    ///
    /// # Errors
    /// Where the file cannot be opened.
    pub fn open(&self) -> Result<Box<dyn ReadAnywhere>> {
        match &self.decoded {
            Some(text) => Ok(Box::new(Cursor::new(Arc::clone(text)))),
            None => Ok(Box::new(File::open(&self.path).map_err(Error::io("read", &self.path))?)),
        }
    }
}
