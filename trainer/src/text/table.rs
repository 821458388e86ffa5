//! CSV files with a header, row by row, as programs and spreadsheets of all countries write them.

use std::io::Cursor;
use std::path::Path;

use super::read_text;
use crate::error::{Error, Result};

/// What may stand between two fields.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// A table whose header has been read.
pub struct Table {
    reader: csv::Reader<Cursor<String>>,
    headers: csv::StringRecord,
}

impl Table {
    /// Opens a table whose fields are separated by commas, semicolons or tabs, whichever the first line has most of.
    pub fn open(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let (separator, text) = separator(&text);
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .delimiter(separator as u8) // is ASCII
            .from_reader(Cursor::new(text.to_owned()));
        let headers = reader.headers().map_err(|error| Error::file(path, error.to_string()))?.clone();
        Ok(Self { reader, headers })
    }

    /// The column of one of these names, in capitals or not.
    pub fn column(&self, names: &[&str]) -> Option<usize> {
        self.headers.iter().position(|header| names.iter().any(|name| header.trim().eq_ignore_ascii_case(name)))
    }

    /// The rows with their lines; those in which every field is empty are left out.
    pub fn rows(
        &mut self,
        path: &Path,
        mut row: impl FnMut(&csv::StringRecord) -> std::result::Result<(), String>,
    ) -> Result<()> {
        for record in self.reader.records() {
            let record = record.map_err(|error| Error::file(path, error.to_string()))?;
            let line = record.position().map_or(0, csv::Position::line);
            if !record.iter().all(str::is_empty) {
                row(&record).map_err(|cause| Error::file(path, format!("line {line}: {cause}")))?;
            }
        }
        Ok(())
    }
}

/// The separator of a table's fields, and the table: spreadsheets may name the separator in a line before it.
fn separator(text: &str) -> (char, &str) {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    if let Some(named) = first.trim_end().strip_prefix("sep=").and_then(|named| named.parse().ok())
        && SEPARATORS.contains(&named)
    {
        return (named, rest);
    }
    let count = |separator: &char| {
        // Every other stretch between quotation marks is outside them.
        first.split('"').step_by(2).map(|part| part.matches(*separator).count()).sum::<usize>()
    };
    // Of equals the first.
    let most = SEPARATORS.iter().rev().max_by_key(|separator| count(separator));
    (most.copied().unwrap_or(','), text)
}

/// Hands the `columns` of each row to `row`, without blanks around them. Other columns do not matter. What `row` finds wrong is
/// an error that names the file and the line.
pub fn read<const N: usize>(
    path: &Path,
    columns: [&str; N],
    mut row: impl FnMut([&str; N]) -> std::result::Result<(), String>,
) -> Result<()> {
    let mut table = Table::open(path)?;
    let mut places = [0; N];
    for (place, name) in places.iter_mut().zip(columns) {
        let expected = || format!("has no column `{name}`; its first line must be {}", columns.join(","));
        *place = table.column(&[name]).ok_or_else(|| Error::file(path, expected()))?;
    }
    table.rows(path, |record| row(places.map(|place| record.get(place).unwrap_or_default())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Result<Vec<[String; 2]>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut rows = Vec::new();
        read(file.path(), ["photo", "tags"], |row| {
            rows.push(row.map(str::to_owned));
            if row[1] == "bad" { Err("is bad".to_owned()) } else { Ok(()) }
        })?;
        Ok(rows)
    }

    #[test]
    fn rows_are_read_whatever_the_order_of_the_columns_and_the_line_ends() {
        let expected = [["1".to_owned(), "hat shoe".to_owned()]];
        for text in [
            "photo,tags\n1,hat shoe\n",
            "\u{feff}photo,tags\r\n1, hat shoe \r\n",
            "x,tags,photo\n,hat shoe,1",
            "Photo;TAGS\r\n1;hat shoe\r\n;\r\n",
            "photo\ttags\n1\that shoe\n",
            "sep=;\nphoto;tags\n1;\"hat shoe\"\n",
            "\"photo\";\"tags\"\n1;hat shoe\n",
        ] {
            assert_eq!(rows(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert!(rows("1,hat\n2,shoe\n").unwrap_err().to_string().contains("first line must be photo,tags"));
        assert!(rows("photo,tags\n1,hat\n2,bad\n").unwrap_err().to_string().contains("line 3: is bad"));
        assert!(rows("photo,tags\n1,hat,shoe\n").is_err());
    }
}
