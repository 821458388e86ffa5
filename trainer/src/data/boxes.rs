//! Box files: where the garments of photos are, roughly. CSV with the columns `photo`, `class`, `left`, `top`, `right` and
//! `bottom`, one box a line:
//!
//! ```csv
//! photo,class,left,top,right,bottom
//! 100034,shirt,104,65,188,132
//! ```
//!
//! `photo` is the photo's name, with or without its extension. Edges are in the photo's pixels, upright; right and bottom lie
//! behind the last pixel.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::photos::without_extension;
use crate::error::{Error, Result};
use crate::text::table;

/// Boxes of one photo, at most.
const MOST_BOXES: usize = 1000;

/// A box of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassBox {
    /// Index of the class in the names that the file was read with.
    pub class: usize,
    /// First column.
    pub left: u32,
    /// First row.
    pub top: u32,
    /// Behind the last column.
    pub right: u32,
    /// Behind the last row.
    pub bottom: u32,
}

impl ClassBox {
    /// Whether a pixel lies in it.
    pub fn contains(&self, column: u32, row: u32) -> bool {
        (self.left..self.right).contains(&column) && (self.top..self.bottom).contains(&row)
    }

    /// Its pixels.
    pub fn area(&self) -> u64 {
        u64::from(self.right - self.left) * u64::from(self.bottom - self.top)
    }
}

/// The boxes of a file, by photo.
#[derive(Clone, Debug)]
pub struct BoxFile {
    path: PathBuf,
    classes: Vec<String>,
    photos: BTreeMap<String, Vec<ClassBox>>,
}

impl BoxFile {
    /// Reads a box file whose classes are `classes`.
    pub fn open(path: &Path, classes: &[String]) -> Result<Self> {
        let mut photos: BTreeMap<String, Vec<ClassBox>> = BTreeMap::new();
        let columns = ["photo", "class", "left", "top", "right", "bottom"];
        table::read(path, columns, |[photo, class, edges @ ..]| {
            let found = read_box(class, edges, classes).map_err(|cause| format!("photo {photo}: {cause}"))?;
            let boxes = photos.entry(without_extension(photo).to_owned()).or_default();
            if boxes.len() == MOST_BOXES {
                return Err(format!("photo {photo} has more than {MOST_BOXES} boxes"));
            }
            boxes.push(found);
            Ok(())
        })?;
        if photos.is_empty() {
            return Err(Error::file(path, "names no photo"));
        }
        Ok(Self { path: path.to_path_buf(), classes: classes.to_vec(), photos })
    }

    /// The photos that it names, in order, and their boxes.
    pub fn photos(&self) -> impl Iterator<Item = (&str, &[ClassBox])> {
        self.photos.iter().map(|(photo, boxes)| (photo.as_str(), boxes.as_slice()))
    }

    /// The boxes of a photo of `width` x `height`; [`None`] where the file does not name it.
    ///
    /// # Errors
    /// Where one of them leaves the photo.
    pub fn boxes(&self, photo: &str, width: u32, height: u32) -> Result<Option<&[ClassBox]>> {
        let Some(boxes) = self.photos.get(photo) else { return Ok(None) };
        match boxes.iter().find(|found| found.right > width || found.bottom > height) {
            None => Ok(Some(boxes)),
            Some(ClassBox { class, left, top, right, bottom }) => {
                let class = self.classes.get(*class).map_or("", String::as_str);
                let cause = format!(
                    "photo {photo}: the box of `{class}`, {left},{top},{right},{bottom}, leaves the photo, which is upright \
                     {width} x {height} pixels; boxes are in the pixels of the photos that they are used with"
                );
                Err(Error::file(&self.path, cause))
            }
        }
    }
}

fn read_box(class: &str, edges: [&str; 4], classes: &[String]) -> std::result::Result<ClassBox, String> {
    let Some(index) = classes.iter().position(|name| name == class) else {
        let known = classes.join(", ");
        return Err(format!(
            "there is no class `{class}`; there are {known} (the names in [classes] of the mapping file)"
        ));
    };
    let numbers = edges.map(str::parse::<u32>);
    let [Ok(left), Ok(top), Ok(right), Ok(bottom)] = numbers else {
        let text = edges.join(",");
        return Err(format!("the box `{text}` of `{class}` is not four whole numbers of pixels from 0"));
    };
    if left >= right || top >= bottom {
        let text = edges.join(",");
        return Err(format!("the box {text} of `{class}` is empty: left must be below right, and top below bottom"));
    }
    Ok(ClassBox { class: index, left, top, right, bottom })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn open(rows: &str) -> Result<BoxFile> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("photo,class,left,top,right,bottom\n{rows}")).unwrap();
        BoxFile::open(file.path(), &["shirt".to_owned(), "bag".to_owned()])
    }

    #[test]
    fn boxes_are_read_by_photo() {
        let file = open("a,bag,0,1,10,20\nb.jpg,shirt,3,4,5,6\na,shirt,2,2,3,3\n").unwrap();
        let [first, second] = file.boxes("a", 10, 20).unwrap().unwrap() else { panic!() };
        assert_eq!((first.class, second.class, first.area()), (1, 0, 190));
        assert!(first.contains(9, 1) && !first.contains(10, 1) && !first.contains(0, 0));
        assert_eq!(file.boxes("b", 9, 9).unwrap().unwrap().len(), 1);
        assert!(file.boxes("c", 9, 9).unwrap().is_none());
        assert_eq!(file.photos().map(|(photo, boxes)| (photo, boxes.len())).collect::<Vec<_>>(), [("a", 2), ("b", 1)]);
    }

    #[test]
    fn a_box_that_leaves_its_photo_is_named() {
        let error = open("a,bag,0,1,10,20\n").unwrap().boxes("a", 9, 20).unwrap_err().to_string();
        assert!(error.contains("photo a") && error.contains("0,1,10,20") && error.contains("9 x 20"), "{error}");
    }

    #[test]
    fn damage_is_named_with_line_photo_and_class() {
        for (row, cause) in [
            ("a,kimono,0,1,10,20", "no class `kimono`"),
            ("a,bag,10,1,10,20", "left must be below right"),
            ("a,bag,0,20,10,1", "top below bottom"),
            ("a,bag,-1,1,10,20", "whole numbers"),
            ("a,bag,0,1,10,2.5", "whole numbers"),
        ] {
            let error = open(&format!("b,bag,0,0,1,1\n{row}\n")).unwrap_err().to_string();
            assert!(error.contains("line 3: photo a") && error.contains(cause), "{error}");
        }
        assert!(open("").unwrap_err().to_string().contains("names no photo"));
        assert!(open(&"a,bag,0,0,1,1\n".repeat(MOST_BOXES + 1)).unwrap_err().to_string().contains("more than 1000"));
    }
}
