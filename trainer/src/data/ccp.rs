//! Clothing Co-Parsing (Yang, Luo and Lin 2014): `ROOT/{images,labels}`, `ROOT/label_list.csv` (column `name`, row =
//! index; columns `r`, `g`, `b` for colour-coded labels) and one file `ROOT/SPLIT.txt` of stems a split.

use std::path::Path;
use std::sync::Arc;

use super::label_png::PngMeaning;
use super::photos::{list_by_stem, photos_by_stem, read_stems};
use super::{Label, LabelReading, Listing, Pair};
use crate::classes::colors::ClassTable;
use crate::error::Result;

/// Lists the pairs that `root/SPLIT.txt` names.
pub fn list(root: &Path, split: &str, reading: LabelReading) -> Result<Listing> {
    let table = root.join("label_list.csv");
    let ClassTable { names: classes, colors } = ClassTable::open(&table)?;
    let meaning = PngMeaning { reading, classes: classes.len(), colors };
    meaning.check(&table)?;
    let meaning = Arc::new(meaning);
    let split_file = root.join(format!("{split}.txt"));
    let (mut incomplete, mut notes) = (Vec::new(), Vec::new());
    let mut photos = photos_by_stem(&root.join("images"), &mut incomplete, &mut notes)?;
    let mut labels = list_by_stem(&root.join("labels"), &["png"], &mut incomplete)?;
    let is_known = |stem: &str| photos.contains_key(stem) || labels.contains_key(stem);
    let stems = read_stems(&split_file, is_known, &mut notes)?;
    let mut pairs = Vec::new();
    for stem in stems {
        match (photos.remove(&stem), labels.remove(&stem)) {
            (Some(photo), Some(path)) => {
                let label = Label::Png { path, meaning: meaning.clone() };
                pairs.push(Pair { stem, photo, label });
            }
            (photo, label) => {
                let missing = match (photo.is_some(), label.is_some()) {
                    (false, false) => "neither photo nor label",
                    (false, true) => "no photo",
                    _ => "no label",
                };
                incomplete.push(format!("{}: {stem}: {missing}", split_file.display()));
            }
        }
    }
    Ok(Listing { classes, pairs, incomplete, notes, tables: vec![table], ..Listing::default() })
}
