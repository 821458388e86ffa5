//! Numbers as makers of COCO files write them: `5`, `5.0`, `"5"`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor};

use crate::data::regions::Id;

/// A whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole(pub i64);

impl Whole {
    /// The number where it is 0 or more.
    pub fn count(self) -> Result<u64, String> {
        u64::try_from(self.0).map_err(|_| format!("has the number `{}`, which cannot be below 0", self.0))
    }
}

fn whole(value: f64) -> Option<i64> {
    // All whole numbers up to there are exact.
    (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64)
}

/// What Python's `json` writes for what is no number, the longest first.
const NO_NUMBERS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// The text with `null` in place of every word for what is no number, outside strings, and the first such word.
pub(super) fn without_no_numbers(json: &[u8]) -> Option<(Vec<u8>, &'static str)> {
    let (mut text, mut first) = (Vec::with_capacity(json.len()), None);
    let (mut rest, mut in_string) = (json, false);
    while let Some((byte, after)) = rest.split_first() {
        let word = NO_NUMBERS.into_iter().find(|word| !in_string && rest.starts_with(word.as_bytes()));
        if let Some(word) = word {
            first.get_or_insert(word);
            text.extend(b"null");
            rest = &rest[word.len()..];
            continue;
        }
        in_string ^= *byte == b'"';
        // What is escaped ends no string.
        let taken = if in_string && *byte == b'\\' && !after.is_empty() { 2 } else { 1 };
        text.extend(&rest[..taken]);
        rest = &rest[taken..];
    }
    first.map(|word| (text, word))
}

struct AnyNumber;

impl Visitor<'_> for AnyNumber {
    type Value = Id;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a whole number")
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Id, E> {
        Ok(Id::Number(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Id, E> {
        i64::try_from(value).map(Id::Number).map_err(|_| E::custom(format!("the number {value} is too large")))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Id, E> {
        whole(value).map(Id::Number).ok_or_else(|| E::custom(format!("{value} is no whole number")))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Id, E> {
        let text = text.trim();
        let number = text.parse().ok().or_else(|| text.parse().ok().and_then(whole));
        Ok(number.map_or_else(|| Id::Text(text.to_owned()), Id::Number))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNumber)
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(AnyNumber)? {
            Id::Number(number) => Ok(Whole(number)),
            Id::Text(text) => Err(D::Error::custom(format!("`{text}` is no whole number"))),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_for_no_number_are_found_outside_strings() {
        let (text, word) = without_no_numbers(br#"{"a\"NaN": "NaN", "b": [1, -Infinity, NaN]}"#).unwrap();
        assert_eq!((text, word), (br#"{"a\"NaN": "NaN", "b": [1, null, null]}"#.to_vec(), "-Infinity"));
        assert_eq!(without_no_numbers(br#"["NaN", 1]"#), None);
    }

    #[test]
    fn a_number_is_one_however_it_is_written() {
        let read = |text: &str| serde_json::from_str::<Id>(text).map_err(|error| error.to_string());
        for text in ["5", "5.0", "\"5\"", "\" 5 \"", "\"5.0\"", "5e0"] {
            assert_eq!(read(text).unwrap(), Id::Number(5), "{text}");
        }
        assert_eq!(read("\"ab\"").unwrap(), Id::Text("ab".to_owned()));
        assert!(read("5.5").unwrap_err().contains("no whole number"));
        assert!(read("null").is_err() && read("18446744073709551615").unwrap_err().contains("too large"));
        assert!(serde_json::from_str::<Whole>("\"ab\"").unwrap_err().to_string().contains("`ab`"));
        assert!(Whole(-1).count().is_err());
    }
}
