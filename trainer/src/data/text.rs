//! Text as editors, spreadsheets and other programs save it: UTF-8 with or without a byte order mark, or UTF-16.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// Largest text that is read as a whole, in bytes.
const MOST_BYTES: u64 = 1 << 30;

/// Reads a text file: UTF-8, or UTF-16 in either order where it begins with a byte order mark. The mark is not part of the
/// text; line ends stay as they are.
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
    decode(bytes).map_err(|cause| Error::file(path, cause))
}

fn decode(bytes: Vec<u8>) -> std::result::Result<String, String> {
    match &bytes[..] {
        [0xff, 0xfe, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf_8(rest.to_vec()),
        _ => utf_8(bytes),
    }
}

fn utf_8(bytes: Vec<u8>) -> std::result::Result<String, String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("is not UTF-8, from byte {at} on; save it as UTF-8")
    })
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> std::result::Result<String, String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("is UTF-16 that ends within a character; save it as UTF-8".to_owned());
    }
    char::decode_utf16(pairs.iter().map(|pair| unit(*pair)))
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| "is UTF-16 with characters that are none; save it as UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf_16_bytes(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(unit).collect()
    }

    #[test]
    fn every_encoding_gives_the_same_text() {
        let text = "name\r\nSchürze 👗\r\n";
        let marked = [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat();
        for bytes in [
            text.as_bytes().to_vec(),
            marked,
            utf_16_bytes(text, u16::to_le_bytes),
            utf_16_bytes(text, u16::to_be_bytes),
        ] {
            assert_eq!(decode(bytes).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_text_is_named_with_its_place() {
        assert!(decode(b"abc\xe9".to_vec()).unwrap_err().contains("byte 3"));
        assert!(decode(b"\xff\xfea".to_vec()).unwrap_err().contains("within a character"));
        assert!(decode(b"\xff\xfe\x00\xd8".to_vec()).unwrap_err().contains("UTF-16"));
    }
}
