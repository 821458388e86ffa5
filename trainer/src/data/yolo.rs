//! Segmentation labels as Ultralytics reads them, and Roboflow and `clothseg-run --format yolo` write them: a text file a photo with
//! a line a piece, `class x y x y ...`, coordinates as shares of the photo's width and height.
//!
//! The classes are the `names` of `ROOT/data.yaml` (or of the file `annotations`), or the lines of `ROOT/classes.txt`; class 0
//! there is index 1 here, and what no outline holds is background. The photos of a split are where `data.yaml` says, in
//! folders or in files with a path a line, or in `ROOT/images/SPLIT`, `ROOT/SPLIT/images` or `ROOT/SPLIT`; the labels lie in the same place below `labels` instead of `images`, or
//! beside the photos, as `NAME.EXT.txt` or `NAME.txt`. A photo without a label file is background.

mod find;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use self::find::{Found, find};
use super::drawn::{DrawnPhoto, finish, polygon};
use super::regions::{Fault, Pieces, Region};
use super::runs::Size;
use super::{IGNORE, Listing, SourceFiles, image_dimensions};
use crate::classes::yaml::DataYaml;
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::text::read_text;

/// Lists the photos of a split.
pub fn list(root: &Path, split: &str, files: &SourceFiles) -> Result<Listing> {
    let (table, names, yaml) = read_names(root, files)?;
    let mut listing = Listing { tables: vec![table], ..Listing::default() };
    let found = find(root, split, files, yaml.as_ref(), &mut listing)?;
    let read = found.into_par_iter().map(|found| read(found, names.len()));
    let mut used = BTreeSet::new();
    for read in read.collect::<Vec<_>>() {
        match read {
            Ok(photo) => {
                used.extend(photo.regions.iter().map(|region| region.class));
                finish(photo, &mut listing);
            }
            Err(error) => listing.incomplete.push(error.to_string()),
        }
    }
    listing.pairs.sort_by(|one, other| one.stem.cmp(&other.stem));
    listing.classes = std::iter::once("background".to_owned()).chain(names).collect();
    let indices = (1..=u8::MAX).take(listing.classes.len() - 1);
    listing.unused = indices.filter(|index| !used.contains(index)).collect();
    Ok(listing)
}

/// The names of the classes, the file that has them, and all of it where it is a `data.yaml`.
fn read_names(root: &Path, files: &SourceFiles) -> Result<(PathBuf, Vec<String>, Option<DataYaml>)> {
    let candidates = match &files.annotations {
        Some(path) => vec![root.join(path)],
        None => ["data.yaml", "data.yml", "dataset.yaml", "classes.txt"].map(|name| root.join(name)).to_vec(),
    };
    let Some(path) = candidates.iter().find(|path| path.is_file()) else {
        let cause =
            "holds no data.yaml and no classes.txt with the names of the classes; name the file by `annotations`";
        return Err(Error::file(root, cause));
    };
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("txt")) {
        let text = read_text(path)?;
        let names: Vec<String> =
            text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
        if names.is_empty() || names.len() >= usize::from(IGNORE) {
            return Err(Error::file(
                path,
                format!("names {}; 1 to 254 are possible", counted(names.len(), "class", "classes")),
            ));
        }
        return Ok((path.clone(), names, None));
    }
    let names = crate::classes::yaml::names(path)?;
    Ok((path.clone(), names, Some(DataYaml::open(path)?)))
}

/// Reads the label of a photo, of one of `classes` classes.
fn read(found: Found, classes: usize) -> Result<DrawnPhoto> {
    let Found { stem, photo, label } = found;
    let (width, height) = image_dimensions(&photo)?;
    let size = Size::new(width.into(), height.into()).map_err(|cause| Error::file(&photo, cause))?;
    let text = label.as_deref().map(read_text).transpose()?.unwrap_or_default();
    // What has no label file stands for itself: there is no other file that its label depends on.
    let label = label.unwrap_or_else(|| photo.clone());
    let (mut regions, mut pieces) = (Vec::new(), Pieces::default());
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        match region(line, size, classes) {
            Ok(region) => regions.push(region),
            Err(fault) => pieces.leave_out(format_args!("line {number}"), fault),
        }
    }
    let name = label.display().to_string();
    Ok(DrawnPhoto { stem, photo, path: label, name, size, regions, pieces })
}

fn region(line: &str, size: Size, classes: usize) -> std::result::Result<Region, Fault> {
    let number = |word: &str| {
        let number = word.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| format!("has `{}` where a number should stand", word.chars().take(20).collect::<String>()))
    };
    let mut words = line.split_whitespace();
    let class = number(words.next().unwrap_or_default())?;
    if class.fract() != 0.0 || class < 0.0 || class >= classes as f64 {
        return Err(format!("has the class {class}; the file of names has 0 to {}", classes - 1).into());
    }
    let shares = words.map(number).collect::<std::result::Result<Vec<f64>, _>>()?;
    if shares.len() == 4 {
        let cause = "is a box (class, centre and size), and no outline: labels for segmentation have 3 corners or more";
        return Err(cause.into());
    }
    if !shares.len().is_multiple_of(2) {
        return Err(format!(
            "has {}; pairs of x and y were expected",
            counted(shares.len(), "coordinate", "coordinates")
        )
        .into());
    }
    if let Some(share) = shares.iter().find(|share| !(-0.5..=1.5).contains(*share)) {
        return Err(format!("has the coordinate {share}; they are shares of width and height, 0 to 1").into());
    }
    let (width, height) = (f64::from(size.width()), f64::from(size.height()));
    let corners = shares.chunks_exact(2).map(|pair| [pair[0] * width, pair[1] * height]).collect();
    // Is below 255, as the classes are.
    Ok(Region { class: class as u8 + 1, shape: polygon(corners, size)? })
}

#[cfg(test)]
mod tests;
