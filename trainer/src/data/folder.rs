//! The study's layout: `ROOT/{train,valid,test}/{images,labels}` and `ROOT/class_dict.csv` (column `name`, row = index;
//! columns `r`, `g`, `b` for colour-coded labels).

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::label_png::PngMeaning;
use super::photos::{NAME_TAKEN, files_below, list_by_path, path_below, photos_by_path};
use super::{Label, LabelReading, Listing, Pair};
use crate::classes::colors::ClassTable;
use crate::error::Result;

/// Lists the pairs of `root/split`; the labels lie in its folder `labels`. Folders below `images` are read, too, and have their labels
/// in folders of the same names.
pub fn list(root: &Path, split: &str, labels: &str, reading: LabelReading) -> Result<Listing> {
    let table = root.join("class_dict.csv");
    let ClassTable { names: classes, colors } = ClassTable::open(&table)?;
    let meaning = PngMeaning { reading, classes: classes.len(), colors };
    meaning.check(&table)?;
    let meaning = Arc::new(meaning);
    let (mut incomplete, mut notes) = (Vec::new(), Vec::new());
    let folder = root.join(split).join(labels);
    let photos = photos_by_path(&root.join(split).join("images"), &mut incomplete, &mut notes)?;
    let mut files = list_by_path(&folder, &["png"], &mut incomplete)?;
    let other_names = Names::list(&folder)?;
    let mut told = HashSet::new();
    let mut pairs = Vec::with_capacity(photos.len());
    let mut stems = HashSet::new();
    for (name, photo) in photos {
        if let Some(path) = files.remove(&name) {
            // As in other layouts.
            let stem = name.replace('/', "_");
            if stems.insert(stem.clone()) {
                pairs.push(Pair { stem, photo, label: Label::Png { path, meaning: meaning.clone() } });
            } else {
                incomplete.push(format!("{}: {NAME_TAKEN}", photo.display()));
            }
            continue;
        }
        let mut cause = format!("{}: no label in {split}/{labels}", photo.display());
        if let Some(like) = other_names.like(&name) {
            cause += &match like.rsplit_once('.') {
                Some((other, _)) if other == name => {
                    format!("; {like} there is no PNG; save labels as PNG (JPEG changes classes)")
                }
                _ => format!("; {like} there has another name than {name}.png"),
            };
            told.insert(folder.join(like));
        }
        incomplete.push(cause);
    }
    // Where a label has another name than its photo, that is told with the photo.
    files.retain(|_, label| !told.contains(label));
    incomplete.extend(files.values().map(|label| format!("{}: no photo in {split}/images", label.display())));
    Ok(Listing { classes, pairs, incomplete, notes, tables: vec![table], ..Listing::default() })
}

/// The paths of files below a folder.
struct Names(Vec<String>);

impl Names {
    fn list(folder: &Path) -> Result<Self> {
        let files = files_below(folder)?;
        let mut names: Vec<String> = files.iter().filter_map(|path| path_below(folder, path)).collect();
        names.sort_unstable();
        Ok(Self(names))
    }

    /// The first name that is a stem and something else behind it: `a_mask.png`, `a.jpg.png` of `a`.
    fn like(&self, stem: &str) -> Option<&str> {
        let from = self.0.partition_point(|name| name.as_str() < stem);
        let begins = self.0[from..].iter().map_while(|name| Some((name, name.strip_prefix(stem)?)));
        let is_like = |rest: &str| rest.starts_with(|c: char| !c.is_alphanumeric());
        begins.into_iter().find(|(_, rest)| is_like(rest)).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_label_of_another_name_or_kind_is_told_with_its_photo() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["train/images", "train/labels"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let write = |name: &str| std::fs::write(root.path().join("train").join(name), "").unwrap();
        std::fs::write(root.path().join("class_dict.csv"), "name\nbackground\nshirt\n").unwrap();
        ["p1", "p10", "p2", "p3"].iter().for_each(|stem| write(&format!("images/{stem}.jpg")));
        ["p10.png", "p1_mask.png", "p2.jpg", "lost.png"].iter().for_each(|name| write(&format!("labels/{name}")));
        let listing = list(root.path(), "train", "labels", LabelReading::Auto).unwrap();
        assert_eq!(listing.pairs.len(), 1);
        let [first, second, third, last] = &listing.incomplete[..] else { panic!("{:?}", listing.incomplete) };
        assert!(first.contains("p1.jpg: no label in train/labels; p1_mask.png there has another name"), "{first}");
        assert!(second.contains("p2.jpg") && second.contains("p2.jpg there is no PNG"), "{second}");
        assert!(third.ends_with("p3.jpg: no label in train/labels"), "{third}");
        assert!(last.contains("lost.png: no photo"), "{last}");
    }

    #[test]
    fn folders_below_are_read_and_accents_may_be_written_either_way() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["images/sub", "labels/sub"] {
            std::fs::create_dir_all(root.path().join("train").join(folder)).unwrap();
        }
        let write = |name: &str| std::fs::write(root.path().join("train").join(name), "").unwrap();
        std::fs::write(root.path().join("class_dict.csv"), "name\nbackground\nshirt\n").unwrap();
        ["images/a.jpg", "labels/a.png", "images/sub/a.jpg", "labels/sub/a.png"].iter().for_each(|name| write(name));
        ["images/\u{fc}.jpg", "labels/u\u{308}.png", "images/sub/b.jpg"].iter().for_each(|name| write(name));
        let listing = list(root.path(), "train", "labels", LabelReading::Auto).unwrap();
        let stems: Vec<&str> = listing.pairs.iter().map(|pair| &*pair.stem).collect();
        assert_eq!(stems, ["a", "sub_a", "\u{fc}"]);
        assert!(
            matches!(&listing.incomplete[..], [one] if one.contains("b.jpg: no label")),
            "{:?}",
            listing.incomplete
        );
    }

    #[test]
    fn a_photo_without_an_extension_is_found_by_its_bytes() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["train/images", "train/labels"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        std::fs::write(root.path().join("class_dict.csv"), "name\nbackground\nshirt\n").unwrap();
        std::fs::write(root.path().join("train/images/p1"), [0xff, 0xd8, 0xff, 0xe0]).unwrap();
        std::fs::write(root.path().join("train/images/p2.psd"), "8BPS").unwrap();
        std::fs::write(root.path().join("train/labels/p1.png"), "").unwrap();
        let listing = list(root.path(), "train", "labels", LabelReading::Auto).unwrap();
        assert_eq!((listing.pairs.len(), listing.incomplete.len()), (1, 0), "{:?}", listing.incomplete);
        assert!(matches!(&listing.notes[..], [note] if note.contains("p2.psd")), "{:?}", listing.notes);
    }

    #[test]
    fn a_reading_that_does_not_go_with_the_table_is_refused() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("class_dict.csv"), "name\nbackground\nshirt\nhat\n").unwrap();
        let refused = |reading| list(root.path(), "train", "labels", reading).unwrap_err().to_string();
        assert!(refused(LabelReading::Binary).contains("names 3 classes"));
        assert!(refused(LabelReading::Color).contains("columns r, g and b"));
    }
}
