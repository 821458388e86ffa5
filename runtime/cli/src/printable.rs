//! What is safe to show on a terminal and to write into a log: names of files may hold control characters, which terminals obey.

use std::borrow::Cow;
use std::io::Write;

/// The escape character, with which colours begin.
const ESCAPE: char = '\u{1b}';

/// The text with control characters written as in a program, such as `\r` and `\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, char::is_control)
}

fn escaped(text: &str, is_escaped: fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match is_escaped(character) {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Standard error for the log, which writes each event at once, with one line end behind it.
pub struct LogLines;

impl Write for LogLines {
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        // Colours are the log's own: it has escaped that character in messages.
        let line = String::from_utf8_lossy(line);
        let line = escaped(&line, |character| character.is_control() && character != ESCAPE);
        std::io::stderr().write_all(format!("{line}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_other_text_stays() {
        assert_eq!(printable("c\rz\n\u{1b}[2J\u{85}.jpg"), "c\\rz\\n\\u{1b}[2J\\u{85}.jpg");
        assert!(matches!(printable("Schürze 👗 'a' \\n.jpg"), Cow::Borrowed(_)));
    }
}
