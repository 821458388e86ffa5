//! CSV files with a header, row by row.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// Largest file that is read.
const MOST_BYTES: u64 = 256 << 20;

/// Hands the `columns` of each row to `row`, without blanks around them. A byte order mark and any line ends will do; other
/// columns do not matter. What `row` finds wrong is an error that names the file and the line.
pub(super) fn read<const N: usize>(
    path: &Path,
    columns: [&str; N],
    mut row: impl FnMut([&str; N]) -> std::result::Result<(), String>,
) -> Result<()> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let bytes = file.metadata().map_err(Error::io("read", path))?.len();
    if bytes > MOST_BYTES {
        let cause = format!("holds {} MB; at most {} MB are read", bytes >> 20, MOST_BYTES >> 20);
        return Err(Error::file(path, cause));
    }
    let fail = |error: csv::Error| Error::file(path, error.to_string());
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file.take(MOST_BYTES));
    let headers = reader.headers().map_err(fail)?.clone();
    let mut places = [0; N];
    for (place, name) in places.iter_mut().zip(columns) {
        let column = headers.iter().position(|header| header.trim_start_matches('\u{feff}').trim() == name);
        let expected = || format!("has no column `{name}`; its first line must be {}", columns.join(","));
        *place = column.ok_or_else(|| Error::file(path, expected()))?;
    }
    for record in reader.records() {
        let record = record.map_err(fail)?;
        let line = record.position().map_or(0, csv::Position::line);
        row(places.map(|place| record.get(place).unwrap_or_default()))
            .map_err(|cause| Error::file(path, format!("line {line}: {cause}")))?;
    }
    Ok(())
}

/// What a CSV file calls a photo: its name, with or without the extension.
pub(super) fn stem(photo: &str) -> &str {
    match photo.rsplit_once('.') {
        Some((stem, extension)) if super::PHOTO_EXTENSIONS.contains(&extension.to_lowercase().as_str()) => stem,
        _ => photo,
    }
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
        for text in ["photo,tags\n1,hat shoe\n", "\u{feff}photo,tags\r\n1, hat shoe \r\n", "x,tags,photo\n,hat shoe,1"]
        {
            assert_eq!(rows(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert!(rows("1,hat\n2,shoe\n").unwrap_err().to_string().contains("first line must be photo,tags"));
        assert!(rows("photo,tags\n1,hat\n2,bad\n").unwrap_err().to_string().contains("line 3: is bad"));
        assert!(rows("photo,tags\n1,hat,shoe\n").is_err());
    }

    #[test]
    fn an_extension_of_photos_is_no_part_of_a_name() {
        assert_eq!(["7", "7.jpg", "7.JPEG", "7.5"].map(stem), ["7", "7", "7", "7.5"]);
    }
}
