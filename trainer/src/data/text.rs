//! Text files as editors, spreadsheets and other programs save them: read as the runtime reads its own.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use clothseg::internals::files::text;

use crate::error::{Error, Result};

/// Largest text that is read as a whole, in bytes.
const MOST_BYTES: u64 = 1 << 30;

/// Reads a text file: UTF-8, or UTF-16 in either order where it begins with a byte order mark. The mark is not part of the
/// text.
///
/// # Errors
/// Where it cannot be read, is larger than 1 GiB, or is in another encoding; the first byte that does not fit is named.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Error::file(path, format!("is larger than {} MB, more than is read", MOST_BYTES >> 20)));
    }
    text::decode(bytes).map_err(|cause| Error::file(path, cause))
}
