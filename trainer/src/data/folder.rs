//! The study's layout: `ROOT/{train,valid,test}/{images,labels}` and `ROOT/class_dict.csv` (column `name`, row = index;
//! columns `r`, `g`, `b` for colour-coded labels).

use std::path::Path;
use std::sync::Arc;

use super::colors::ClassTable;
use super::{Label, Listing, PHOTO_EXTENSIONS, Pair, list_by_stem};
use crate::error::Result;

/// Lists the pairs of `root/split`; the labels lie in its folder `labels`.
pub fn list(root: &Path, split: &str, labels: &str) -> Result<Listing> {
    let ClassTable { names: classes, colors } = ClassTable::open(&root.join("class_dict.csv"))?;
    let colors = colors.map(Arc::new);
    let mut incomplete = Vec::new();
    let photos = list_by_stem(&root.join(split).join("images"), &PHOTO_EXTENSIONS, &mut incomplete)?;
    let mut files = list_by_stem(&root.join(split).join(labels), &["png"], &mut incomplete)?;
    let mut pairs = Vec::with_capacity(photos.len());
    for (stem, photo) in photos {
        match files.remove(&stem) {
            Some(path) => pairs.push(Pair { stem, photo, label: Label::Png { path, colors: colors.clone() } }),
            None => incomplete.push(format!("{}: no label in {split}/{labels}", photo.display())),
        }
    }
    incomplete.extend(files.values().map(|label| format!("{}: no photo in {split}/images", label.display())));
    Ok(Listing { classes, pairs, incomplete })
}
