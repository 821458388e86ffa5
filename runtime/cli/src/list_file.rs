//! The list of `--files-from`: read whole, and looked at before its lines are taken for paths.

use std::io::Read;
use std::path::Path;

use clothseg::Error;
use clothseg::internals::files::kind::{HEAD_BYTES, Kind};

use crate::advice::explain;

/// The bytes of a list; `-` is standard input. `ends_with_nul` says that a NUL byte ends each path.
pub fn read(list: &Path, ends_with_nul: bool) -> Result<Vec<u8>, String> {
    let is_stdin = list.as_os_str() == "-";
    if list.is_dir() && !is_stdin {
        let folder = list.display();
        return Err(format!("--files-from takes a list of paths, and {folder} is a folder; name it as an input"));
    }
    let name = if is_stdin { Path::new("the list on standard input") } else { list };
    let mut bytes = Vec::new();
    let read = match is_stdin {
        true => std::io::stdin().lock().read_to_end(&mut bytes),
        false => std::fs::File::open(list).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    read.map_err(|source| explain(&Error::Read { path: name.to_owned(), source }))?;
    match (!ends_with_nul).then(|| not_lines(&bytes)).flatten() {
        Some(cause) => Err(format!("{} is no list of paths, one a line: {cause}", name.display())),
        None => Ok(bytes),
    }
}

/// Why bytes are not paths with a line each, and what to do. Text has no NUL byte, except in UTF-16 with its mark.
fn not_lines(bytes: &[u8]) -> Option<&'static str> {
    if !bytes.contains(&0) || bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return None;
    }
    if matches!(Kind::of(&bytes[..bytes.len().min(HEAD_BYTES)]), Kind::Photo(_)) {
        return Some("it is a photo; name it as an input");
    }
    if is_utf_16(bytes) {
        return Some("it is UTF-16 without a byte order mark; save it as UTF-8");
    }
    let is_path = |entry: &[u8]| {
        std::str::from_utf8(entry).is_ok_and(|text| !text.contains(|c: char| c.is_control() && c != '\n'))
    };
    Some(match bytes.split(|byte| *byte == 0).all(is_path) {
        true => "NUL bytes end its paths, as 'find -print0' writes them; add --null",
        false => "it holds other data than text",
    })
}

/// Whether one byte of most pairs is zero, and always the same one.
fn is_utf_16(bytes: &[u8]) -> bool {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let zeros = |at: usize| pairs.iter().filter(|pair| pair[at] == 0).count();
    let is_most = |count: usize| count * 2 > pairs.len();
    rest.is_empty() && matches!((zeros(0), zeros(1)), (0, zeros) | (zeros, 0) if is_most(zeros))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_no_list_is_told_by_its_kind() {
        let wide = |unit: fn(u16) -> [u8; 2]| "in/ä b.jpg\r\n".encode_utf16().flat_map(unit).collect::<Vec<u8>>();
        for (bytes, cause) in [
            (b"a.jpg\0in/two\nlines.jpg\0".to_vec(), "add --null"),
            (wide(u16::to_le_bytes), "UTF-16"),
            (wide(u16::to_be_bytes), "UTF-16"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), "a photo"),
            (b"\0\x01\xff\xfe\x03".to_vec(), "other data"),
        ] {
            assert!(not_lines(&bytes).unwrap().contains(cause), "{bytes:?}");
        }
        assert_eq!(not_lines(b"a.jpg\nb\xff.jpg\n"), None);
        assert_eq!(not_lines(b"\xff\xfea\0"), None, "a mark says how it is read");
    }
}
