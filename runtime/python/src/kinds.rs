//! What a file is, by the rules of the library: for those who list photos themselves.

use std::path::Path;

use clothseg::internals::files;
use clothseg::internals::files::kind::Kind;
use pyo3::prelude::*;

pub use clothseg::internals::files::kind::HEAD_BYTES;

/// A photo in a format that is read.
pub const PHOTO: &str = "a photo";

/// What a file is by its name and its first bytes, with an article: [`PHOTO`], a kind with pictures that is not read, or nothing.
#[pyfunction]
pub fn kind_of(name: &str, head: &[u8]) -> Option<&'static str> {
    match Kind::of_file(Path::new(name), head) {
        Kind::Photo(_) => Some(PHOTO),
        Kind::Unread(unread) => Some(unread.what),
        Kind::Other => None,
    }
}

/// Whether a name is that of a photo, by its extension.
#[pyfunction]
pub fn has_photo_suffix(name: &str) -> bool {
    files::has_photo_extension(Path::new(name))
}

/// Whether a file or folder of this name is hidden or a system's own.
#[pyfunction]
pub fn is_of_system(name: &str) -> bool {
    files::is_of_system(name)
}
