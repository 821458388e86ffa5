//! The study's layout: `ROOT/{train,valid,test}/{images,labels}` and `ROOT/class_dict.csv` (column `name`, row = index).

use std::path::Path;

use super::{Listing, PHOTO_EXTENSIONS, Pair, class_names, files_by_stem};
use crate::error::Result;

/// Lists the pairs of `root/split`.
pub fn list(root: &Path, split: &str) -> Result<Listing> {
    let classes = class_names(&root.join("class_dict.csv"))?;
    let photos = files_by_stem(&root.join(split).join("images"), &PHOTO_EXTENSIONS)?;
    let mut labels = files_by_stem(&root.join(split).join("labels"), &["png"])?;
    let mut pairs = Vec::with_capacity(photos.len());
    let mut incomplete = Vec::new();
    for (stem, photo) in photos {
        match labels.remove(&stem) {
            Some(label) => pairs.push(Pair { stem, photo, label }),
            None => incomplete.push(format!("{}: no label in {split}/labels", photo.display())),
        }
    }
    incomplete.extend(labels.values().map(|label| format!("{}: no photo in {split}/images", label.display())));
    Ok(Listing { classes, pairs, incomplete })
}
