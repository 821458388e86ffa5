//! Text as editors, spreadsheets and other programs save it: UTF-8 with or without a byte order mark, or UTF-16.

use std::borrow::Cow;

/// The text in these bytes: UTF-8, or UTF-16 in either order where they begin with a byte order mark. The mark is no part of
/// the text. Line ends stay as they are, unless all are a carriage return alone, as old programs write them.
///
/// # Errors
/// What is wrong, to stand behind the name of the file: the first byte that does not fit is named.
pub fn decode(bytes: Vec<u8>) -> Result<String, String> {
    let text = match utf_16(&bytes) {
        Some(text) => text?,
        None => {
            let text = match bytes.strip_prefix(b"\xef\xbb\xbf") {
                Some(rest) => rest.to_vec(),
                None => bytes,
            };
            String::from_utf8(text).map_err(|error| {
                let at = error.utf8_error().valid_up_to();
                format!("is not UTF-8, from byte {at} on; save it as UTF-8")
            })?
        }
    };
    Ok(if text.contains('\r') && !text.contains('\n') { text.replace('\r', "\n") } else { text })
}

/// The bytes of a list in UTF-8 without a mark, where it has one or is UTF-16; as they are otherwise: names of files need be
/// no text.
///
/// # Errors
/// As [`decode`].
pub fn without_mark(bytes: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    match utf_16(bytes) {
        Some(text) => text.map(|text| Cow::Owned(text.into_bytes())),
        None => Ok(Cow::Borrowed(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))),
    }
}

/// The text of bytes that begin with a mark of UTF-16.
fn utf_16(bytes: &[u8]) -> Option<Result<String, String>> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => Some(wide_text(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => Some(wide_text(rest, u16::from_be_bytes)),
        _ => None,
    }
}

fn wide_text(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("is UTF-16 that ends within a character; save it as UTF-8".to_owned());
    }
    char::decode_utf16(pairs.iter().map(|pair| unit(*pair)))
        .collect::<Result<_, _>>()
        .map_err(|_| "is not valid UTF-16; save it as UTF-8".to_owned())
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
            assert_eq!(without_mark(&bytes).unwrap(), text.as_bytes());
            assert_eq!(decode(bytes).unwrap(), text);
        }
        assert_eq!(decode(b"a\rb\r".to_vec()).unwrap(), "a\nb\n");
        assert_eq!(decode(b"a\rb\n".to_vec()).unwrap(), "a\rb\n");
        assert_eq!(*without_mark(b"a\xff\n").unwrap(), *b"a\xff\n", "names need be no text");
    }

    #[test]
    fn what_is_no_text_is_named_with_its_place() {
        assert!(decode(b"abc\xe9".to_vec()).unwrap_err().contains("byte 3"));
        assert!(decode(b"\xff\xfea".to_vec()).unwrap_err().contains("within a character"));
        assert!(decode(b"\xff\xfe\x00\xd8".to_vec()).unwrap_err().contains("UTF-16"));
        assert!(without_mark(b"\xff\xfea").is_err());
    }
}
