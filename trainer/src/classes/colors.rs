//! Class tables in CSV (`class_dict.csv`), and the colours of colour-coded labels.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::IGNORE;
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::text::table::Table;

/// A class table: row = index, or the number in the column `id`, `index` or `class_id` where there is one.
#[derive(Clone, Debug)]
pub struct ClassTable {
    /// Column `name`.
    pub names: Vec<String>,
    /// Columns `r`, `g`, `b`, where there are all three.
    pub colors: Option<ClassColors>,
}

/// Colours of classes.
#[derive(Clone, Debug)]
pub struct ClassColors {
    /// The table, for messages.
    path: PathBuf,
    /// Without the colours that several classes share.
    index_of: HashMap<[u8; 3], u8>,
}

/// The class of what no class names.
const BACKGROUND: &str = "background";

/// A row of a class table.
struct Row {
    line: u64,
    /// What the column of ids has.
    id: Option<String>,
    name: String,
    color: Option<[u8; 3]>,
}

/// The rows by their ids, which must be all numbers from 0, or from 1 where there is no background, which is 0 then; without ids
/// as they are.
fn in_order(mut rows: Vec<Row>) -> std::result::Result<Vec<Row>, String> {
    let has_id =
        |number: usize| rows.iter().any(|row| row.id.as_deref().and_then(|id| id.parse().ok()) == Some(number));
    let has_background = rows.iter().any(|row| row.name.eq_ignore_ascii_case(BACKGROUND));
    if has_id(rows.len()) && !has_id(0) && !has_background {
        let color = rows.first().and_then(|row| row.color).map(|_| [0; 3]);
        rows.push(Row { line: 0, id: Some("0".to_owned()), name: BACKGROUND.to_owned(), color });
    }
    let count = rows.len();
    let mut ordered: Vec<Option<Row>> = (0..count).map(|_| None).collect();
    for (place, row) in rows.into_iter().enumerate() {
        let Row { line, id, name, .. } = &row;
        let number = match id {
            None => Some(place),
            Some(id) => id.parse::<usize>().ok().filter(|number| *number < count),
        };
        let Some(number) = number else {
            let id = id.as_deref().unwrap_or_default();
            return Err(format!(
                "line {line}: class `{name}` has the id `{id}`; the ids of {} are 0 to {}, each once",
                counted(count, "class", "classes"),
                count - 1
            ));
        };
        if let Some(other) = &ordered[number] {
            return Err(format!("line {line}: class `{name}` has the id {number} of `{}`", other.name));
        }
        ordered[number] = Some(row);
    }
    // As many numbers as places, and none twice: there is no gap.
    Ok(ordered.into_iter().flatten().collect())
}

impl ClassTable {
    /// Reads a CSV file with a column `name` and, if it has them, `r`, `g` and `b` of 0 to 255.
    pub fn open(path: &Path) -> Result<Self> {
        let mut table = Table::open(path)?;
        let Some(name) = table.column(&["name", "class", "class_name", "label"]) else {
            return Err(Error::file(path, "has no column `name`; its first line must be name,r,g,b or name alone"));
        };
        let columns = [["r", "red"], ["g", "green"], ["b", "blue"]].map(|names| table.column(&names));
        let channels = match columns {
            [Some(r), Some(g), Some(b)] => Some([r, g, b]),
            _ => None,
        };
        let id = table.column(&["id", "index", "class_id"]);
        let mut rows = Vec::new();
        table.rows(path, |record| {
            let class = record.get(name).unwrap_or_default();
            let color = channels.map(|channels| {
                let values = channels.map(|column| record.get(column).unwrap_or_default().parse::<u8>());
                let [Ok(r), Ok(g), Ok(b)] = values else {
                    return Err(format!("class `{class}`: r, g and b must be 0 to 255"));
                };
                Ok([r, g, b])
            });
            let line = record.position().map_or(0, csv::Position::line);
            let id = id.map(|id| record.get(id).unwrap_or_default().to_owned());
            rows.push(Row { line, id, name: class.to_owned(), color: color.transpose()? });
            Ok(())
        })?;
        let rows = in_order(rows).map_err(|cause| Error::file(path, cause))?;
        let colors: Vec<[u8; 3]> = rows.iter().filter_map(|row| row.color).collect();
        let names: Vec<String> = rows.into_iter().map(|row| row.name).collect();
        if names.is_empty() || names.len() > usize::from(IGNORE) {
            return Err(Error::file(
                path,
                format!("names {}; 1 to 255 are possible", counted(names.len(), "class", "classes")),
            ));
        }
        let colors = channels.map(|_| ClassColors::new(path, &colors));
        Ok(Self { names, colors })
    }
}

impl ClassColors {
    /// The colours of the classes of `path`, by index.
    pub fn new(path: &Path, colors: &[[u8; 3]]) -> Self {
        let mut index_of = HashMap::new();
        let mut shared = HashSet::new();
        for (index, color) in colors.iter().enumerate().take(usize::from(IGNORE)) {
            if index_of.insert(*color, index as u8).is_some() {
                shared.insert(*color);
            }
        }
        index_of.retain(|color, _| !shared.contains(color));
        Self { path: path.to_owned(), index_of }
    }

    /// Indices of pixels of `channels` bytes each, red, green and blue first. `width` pixels are a row.
    ///
    /// A colour is never guessed: the first one that is not the colour of exactly one class is named with its position.
    pub fn indices(&self, pixels: &[u8], channels: usize, width: u32) -> std::result::Result<Vec<u8>, String> {
        let mut indices = Vec::with_capacity(pixels.len() / channels);
        let mut last = None;
        for (position, pixel) in pixels.chunks_exact(channels).enumerate() {
            let color = [pixel[0], pixel[1], pixel[2]];
            let index = match last {
                Some((known, index)) if known == color => index,
                _ => *self.index_of.get(&color).ok_or_else(|| self.unknown(color, position, width as usize))?,
            };
            last = Some((color, index));
            indices.push(index);
        }
        Ok(indices)
    }

    /// The colour that a class alone has.
    pub fn of(&self, class: u8) -> Option<[u8; 3]> {
        self.index_of.iter().find(|(_, index)| **index == class).map(|(color, _)| *color)
    }

    /// The class that alone has a colour.
    pub fn class(&self, color: [u8; 3]) -> Option<u8> {
        self.index_of.get(&color).copied()
    }

    /// What is wrong with a colour of no class at a position.
    pub fn unknown(&self, [r, g, b]: [u8; 3], position: usize, width: usize) -> String {
        let (x, y) = (position % width, position / width);
        format!(
            "colour ({r}, {g}, {b}) at pixel ({x}, {y}) is not that of exactly one class of {}",
            self.path.display()
        )
    }
}

/// The colour of a class in the tables that are written here: the colour map of Pascal VOC, which the study's table
/// follows. All 256 differ.
pub fn class_color(index: u8) -> [u8; 3] {
    let bits = u32::from(index);
    [0, 1, 2].map(|first| (0..3).fold(0, |value, bit| value | ((bits >> (3 * bit + first) & 1) as u8) << (7 - bit)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn open(text: &str) -> Result<ClassTable> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        ClassTable::open(file.path())
    }

    #[test]
    fn ids_may_run_from_1_where_there_is_no_background() {
        let table = open("id,name,r,g,b\n2,hat,9,0,0\n1,shirt,8,0,0\n").unwrap();
        assert_eq!(table.names, ["background", "shirt", "hat"]);
        assert_eq!(table.colors.unwrap().indices(&[0, 0, 0, 9, 0, 0], 3, 2).unwrap(), [0, 2]);
        assert!(open("id,name\n1,background\n2,hat\n").unwrap_err().to_string().contains("the id `2`"));
    }

    #[test]
    fn names_and_colours_are_read_whatever_the_order_of_the_columns() {
        let table = open("\u{feff}r,name,g,b\n0,background,0,0\n128,\"shirt, blouse\",0,7\n").unwrap();
        assert_eq!(table.names, ["background", "shirt, blouse"]);
        let pixels = [128, 0, 7, 255, 0, 0, 0, 0];
        assert_eq!(table.colors.unwrap().indices(&pixels, 4, 2).unwrap(), [1, 0]);
        assert!(open("name\nbackground\n").unwrap().colors.is_none());
        for text in [
            "Name;R;G;B\r\nbackground;0;0;0\r\nshirt;128;0;7\r\n;;;\r\n",
            "CLASS\tRed\tGreen\tBlue\nbackground\t0\t0\t0\nshirt\t128\t0\t7\n",
        ] {
            let table = open(text).unwrap();
            assert_eq!(table.names, ["background", "shirt"]);
            assert_eq!(table.colors.unwrap().indices(&pixels, 4, 2).unwrap(), [1, 0]);
        }
    }

    #[test]
    fn ids_are_the_indices_and_must_be_complete() {
        for header in ["id,name", "Index;Name", "CLASS_ID,name"] {
            let comma = if header.contains(';') { ';' } else { ',' };
            let rows = "0,background\n2,shirt\n\n1,pants\n".replace(',', &comma.to_string());
            assert_eq!(open(&format!("{header}\n{rows}")).unwrap().names, ["background", "pants", "shirt"], "{header}");
        }
        let colored = open("id,name,r,g,b\n1,shirt,9,9,9\n0,background,0,0,0\n").unwrap();
        assert_eq!(colored.colors.unwrap().of(1), Some([9; 3]));
        for (rows, expected) in [
            (
                "0,background\n1,shirt\n5,pants\n",
                "line 4: class `pants` has the id `5`; the ids of 3 classes are 0 to 2",
            ),
            ("0,background\n1,shirt\n1,pants\n", "line 4: class `pants` has the id 1 of `shirt`"),
            ("0,background\n,shirt\n", "line 3: class `shirt` has the id ``"),
            ("one,background\n", "the ids of 1 class are 0 to 0"),
        ] {
            let error = open(&format!("id,name\n{rows}")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn damaged_tables_are_refused() {
        assert!(open("title\nx\n").unwrap_err().to_string().contains("`name`"));
        assert!(open("name,r,g,b\nhat,0,256,0\n").unwrap_err().to_string().contains("`hat`"));
        assert!(open("name,r,g,b\n").unwrap_err().to_string().contains("0 classes"));
    }

    #[test]
    fn unknown_and_shared_colours_are_named_with_their_position() {
        let colors = ClassColors::new(Path::new("table"), &[[0; 3], [1; 3], [1; 3]]);
        let error = colors.indices(&[0, 0, 0, 0, 0, 0, 9, 8, 7, 0, 0, 0], 3, 2).unwrap_err();
        assert!(error.contains("(9, 8, 7) at pixel (0, 1)"), "{error}");
        assert!(colors.indices(&[1; 3], 3, 1).unwrap_err().contains("exactly one class"));
    }

    #[test]
    fn written_colours_differ_and_are_the_studys() {
        let colors: HashSet<[u8; 3]> = (0..=255).map(class_color).collect();
        assert_eq!(colors.len(), 256);
        let study = clothseg::Taxonomy::builtin("imaterialist").unwrap();
        for (index, class) in study.classes.iter().enumerate() {
            assert_eq!(class_color(index as u8), class.color, "{}", class.name);
        }
    }
}
