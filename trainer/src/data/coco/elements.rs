//! Elements of arrays in a JSON file that need not fit into memory.

use std::io::{BufRead, BufReader};

use crate::data::regions::MAX_RECORD_BYTES;
use crate::error::{Error, Result};
use crate::text::TextFile;

/// An element: its bytes and where they stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    /// The key of the array.
    pub key: &'a str,
    /// Its first byte in the file.
    pub offset: u64,
    /// Its text.
    pub bytes: &'a [u8],
}

/// Calls `each` for the elements of those members of the file's object that are arrays and are named in `keys`.
///
/// Brackets and strings are followed; whether an element is JSON is for `each` to see.
pub(super) fn for_each_element(
    text: &TextFile,
    keys: &[&str],
    mut each: impl FnMut(Element<'_>) -> Result<()>,
) -> Result<()> {
    let path = text.path();
    let mut input = BufReader::with_capacity(1 << 20, text.open()?);
    let mut scan = Scan::default();
    let mut offset = 0;
    loop {
        let chunk = input.fill_buf().map_err(Error::io("read", path))?;
        if chunk.is_empty() {
            break;
        }
        for byte in chunk {
            let ended = scan.step(*byte, offset, keys).map_err(|cause| Error::file(path, cause))?;
            if ended {
                each(Element { key: &scan.key, offset: scan.start, bytes: &scan.element })?;
                scan.element.clear();
            }
            offset += 1;
        }
        let length = chunk.len();
        input.consume(length);
    }
    match scan.state() {
        State::Done => Ok(()),
        State::Before => Err(Error::file(path, "is empty; a JSON object was expected")),
        State::Inside => {
            Err(Error::file(path, format!("ends within its JSON object, at byte {offset}: it is cut off")))
        }
    }
}

enum State {
    Before,
    Inside,
    Done,
}

#[derive(Default)]
struct Scan {
    /// Open brackets.
    depth: u64,
    started: bool,
    in_string: bool,
    escaped: bool,
    /// The last string directly in the object, without its quotes; the name of the member before `:`.
    string: Vec<u8>,
    key: String,
    /// Whether the scan is in an array that is wanted (at depth 2, between elements).
    in_array: bool,
    element: Vec<u8>,
    start: u64,
}

impl Scan {
    fn state(&self) -> State {
        match (self.started, self.depth) {
            (false, _) => State::Before,
            (true, 0) => State::Done,
            _ => State::Inside,
        }
    }

    /// Takes a byte; whether an element ended before it.
    fn step(&mut self, byte: u8, offset: u64, keys: &[&str]) -> std::result::Result<bool, String> {
        if self.in_string {
            self.string_byte(byte);
            return self.keep(byte, offset).map(|()| false);
        }
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' if self.element.is_empty() => Ok(false),
            // A byte order mark.
            0xef | 0xbb | 0xbf if !self.started => Ok(false),
            _ if !self.started && byte != b'{' => Err("is no JSON object".to_owned()),
            _ if self.started && self.depth == 0 => {
                Err(format!("has something after its JSON object, at byte {offset}"))
            }
            b'"' => {
                self.in_string = true;
                self.string.clear();
                self.keep(byte, offset).map(|()| false)
            }
            b':' if self.depth == 1 => {
                self.key = String::from_utf8_lossy(&self.string).into_owned();
                Ok(false)
            }
            b'{' | b'[' => {
                self.started = true;
                self.keep(byte, offset)?;
                self.depth += 1;
                self.in_array |= byte == b'[' && self.depth == 2 && keys.contains(&self.key.as_str());
                Ok(false)
            }
            b'}' | b']' => {
                self.depth -= 1; // is above 0: the file has started and not ended
                if self.in_array && self.depth == 1 {
                    self.in_array = false;
                    return Ok(!self.element.is_empty());
                }
                self.keep(byte, offset).map(|()| false)
            }
            b',' if self.in_array && self.depth == 2 => Ok(!self.element.is_empty()),
            _ => self.keep(byte, offset).map(|()| false),
        }
    }

    fn string_byte(&mut self, byte: u8) {
        if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' {
            self.in_string = false;
            return;
        }
        // Names are short; what is longer is none that is looked for.
        if self.depth == 1 && self.string.len() < 256 {
            self.string.push(byte);
        }
    }

    /// Adds a byte of an element.
    fn keep(&mut self, byte: u8, offset: u64) -> std::result::Result<(), String> {
        if self.in_array {
            if self.element.is_empty() {
                self.start = offset;
            }
            if self.element.len() >= MAX_RECORD_BYTES {
                return Err(format!("`{}` has an element of more than {MAX_RECORD_BYTES} bytes", self.key));
            }
            self.element.push(byte);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn elements(text: &str, keys: &[&str]) -> Result<Vec<String>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut found = Vec::new();
        for_each_element(&TextFile::new(file.path())?, keys, |element| {
            let standing = &text.as_bytes()[element.offset as usize..][..element.bytes.len()];
            assert_eq!(standing, element.bytes);
            found.push(format!("{}:{}", element.key, std::str::from_utf8(element.bytes).unwrap().trim_end()));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn elements_come_with_their_place_whatever_they_hold() {
        let text = r#" {"info": {"a": [9]}, "a" : [ 1 , {"b": "]},\"", "c": [2, 3]} ], "x": [4], "b":[], "a": "a",
            "b": [[5], "a" ]}"#;
        let found = elements(text, &["a", "b"]).unwrap();
        assert_eq!(found, ["a:1", r#"a:{"b": "]},\"", "c": [2, 3]}"#, "b:[5]", "b:\"a\""]);
    }

    #[test]
    fn files_that_are_cut_off_or_something_else_are_refused() {
        for (text, expected) in [
            ("", "is empty"),
            ("[1]", "no JSON object"),
            (r#"{"a": [1, 2"#, "cut off"),
            (r#"{"a": [1]"#, "cut off"),
            (r#"{"a": "x}"#, "cut off"),
            (r#"{"a": [1]} {"#, "after its JSON object"),
        ] {
            let error = elements(text, &["a"]).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
