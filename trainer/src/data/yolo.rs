//! Segmentation labels as Ultralytics reads them, and Roboflow and `clothseg-run --format yolo` write them: a text file a photo with
//! a line a piece, `class x y x y ...`, coordinates as shares of the photo's width and height.
//!
//! The classes are the `names` of `ROOT/data.yaml` (or of the file `annotations`), or the lines of `ROOT/classes.txt`; class 0
//! there is index 1 here, and what no outline holds is background. The photos of a split are where `data.yaml` says, or in
//! `ROOT/images/SPLIT`, `ROOT/SPLIT/images` or `ROOT/SPLIT`; the labels lie in the same place below `labels` instead of `images`, or
//! beside the photos, as `NAME.EXT.txt` or `NAME.txt`. A photo without a label file is background.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;

use super::coco::stem;
use super::drawn::{DrawnPhoto, finish, polygon};
use super::photos::{distinct_names, photos_below};
use super::regions::{Fault, Pieces, Region};
use super::runs::Size;
use super::text::read_text;
use super::yaml::{DataYaml, Folders};
use super::{IGNORE, Listing, SourceFiles, image_dimensions};
use crate::counted::counted;
use crate::error::{Error, Result};

/// A photo and where its label may be.
struct Found {
    stem: String,
    photo: PathBuf,
    /// Nothing where there is no such file: the photo is background.
    label: Option<PathBuf>,
}

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

/// The photos of a split with their label files. What cannot be used is noted in the listing.
fn find(
    root: &Path,
    split: &str,
    files: &SourceFiles,
    yaml: Option<&DataYaml>,
    listing: &mut Listing,
) -> Result<Vec<Found>> {
    let mut photos = Vec::new();
    let mut looked_for = None;
    let mut claimed = BTreeMap::new();
    for folder in photo_folders(root, split, files, yaml)? {
        let labels = label_folder(root, split, files, &folder);
        for photo in photos_below(&folder, &mut listing.notes)? {
            let below = photo.strip_prefix(&folder).unwrap_or(&photo);
            let Some(stem) = below.to_str().and_then(stem) else {
                listing.incomplete.push(format!("{}: has a name that is not UTF-8; rename it", photo.display()));
                continue;
            };
            let [full, short] = label_paths(&labels, below);
            let label = [full, short.clone()].into_iter().find(|label| label.is_file());
            looked_for.get_or_insert(short);
            if let Some(label) = &label
                && let Some(first) = claimed.insert(label.clone(), photo.clone())
            {
                let cause = format!("has the label of {}; rename or remove one of them", first.display());
                listing.incomplete.push(format!("{}: {cause}", photo.display()));
                claimed.insert(label.clone(), first);
                continue;
            }
            photos.push(Found { stem, photo, label });
        }
    }
    note_unlabelled(&root.join(split), split, &photos, looked_for, listing)?;
    let names = distinct_names(photos.iter().map(|found| (found.stem.as_str(), found.photo.as_path())));
    let mut found = Vec::with_capacity(photos.len());
    for (photo, name) in photos.into_iter().zip(names) {
        match name {
            Some(stem) => found.push(Found { stem, ..photo }),
            None => listing.incomplete.push(format!("{}: has the name of another photo", photo.photo.display())),
        }
    }
    Ok(found)
}

/// Where the label of a photo may be, the best first: `NAME.EXT.txt`, as `clothseg-run` writes it where photos share a name,
/// and `NAME.txt`.
fn label_paths(labels: &Path, below: &Path) -> [PathBuf; 2] {
    let mut full = labels.join(below).into_os_string();
    full.push(".txt");
    [full.into(), labels.join(below.with_extension("txt"))]
}

/// Says how many photos have no label file; an error where that is all of them.
fn note_unlabelled(
    place: &Path,
    split: &str,
    photos: &[Found],
    looked_for: Option<PathBuf>,
    listing: &mut Listing,
) -> Result<()> {
    let unlabelled: Vec<&Found> = photos.iter().filter(|found| found.label.is_none()).collect();
    let Some(first) = unlabelled.first().map(|found| found.photo.display()) else { return Ok(()) };
    let count = counted(unlabelled.len(), "photo", "photos");
    if unlabelled.len() == photos.len() {
        let label = looked_for.unwrap_or_default();
        let cause = format!("there is no label file for its {count}; looked for {} and the like", label.display());
        return Err(Error::file(place, cause));
    }
    listing.notes.push(match unlabelled.len() {
        1 => format!("1 photo of {split} has no label file, and is all background: {first}"),
        _ => format!("{count} of {split} have no label file, and are all background, such as {first}"),
    });
    Ok(())
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
    let names = super::yaml::names(path)?;
    Ok((path.clone(), names, Some(DataYaml::open(path)?)))
}

/// The folders in which the photos of a split lie.
fn photo_folders(root: &Path, split: &str, files: &SourceFiles, yaml: Option<&DataYaml>) -> Result<Vec<PathBuf>> {
    if let Some(images) = &files.images {
        return Ok(vec![root.join(images)]);
    }
    if let Some((folders, path)) = yaml.and_then(|yaml| Some((told(yaml, split)?, yaml.path.as_deref()))) {
        // What is written there is often the path on another machine.
        let bases = [path.map(|path| root.join(path)), Some(root.to_owned())].into_iter().flatten();
        let find = |folder: &String| {
            let inside = folder.trim_start_matches("../");
            bases.clone().flat_map(|base| [base.join(folder), base.join(inside)]).find(|path| path.is_dir())
        };
        if let Some(found) = folders.list().iter().map(find).collect::<Option<Vec<_>>>() {
            return Ok(found);
        }
    }
    let names: &[&str] = match split {
        "valid" => &["valid", "val"],
        "val" => &["val", "valid"],
        other => &[other],
    };
    let places =
        names.iter().flat_map(|name| [root.join("images").join(name), root.join(name).join("images"), root.join(name)]);
    let tried: Vec<PathBuf> = places.collect();
    match tried.iter().find(|path| path.is_dir()) {
        Some(folder) => Ok(vec![folder.clone()]),
        None => {
            let tried = tried.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
            Err(Error::file(root, format!("has no photos of {split}; looked for {tried}; name the folder by `images`")))
        }
    }
}

fn told<'a>(yaml: &'a DataYaml, split: &str) -> Option<&'a Folders> {
    match split {
        "train" => yaml.train.as_ref(),
        "valid" | "val" => yaml.val.as_ref().or(yaml.valid.as_ref()),
        "test" => yaml.test.as_ref(),
        _ => None,
    }
}

/// The folder of the labels of a folder of photos.
fn label_folder(root: &Path, split: &str, files: &SourceFiles, photos: &Path) -> PathBuf {
    if let Some(labels) = &files.labels {
        return root.join(labels);
    }
    let components: Vec<Component<'_>> = photos.components().collect();
    let images = components.iter().rposition(|component| component.as_os_str() == "images");
    let swapped = images.map(|at| {
        let swap = |(index, component): (usize, &Component<'_>)| match index == at {
            true => "labels".into(),
            false => component.as_os_str().to_owned(),
        };
        components.iter().enumerate().map(swap).collect::<PathBuf>()
    });
    match swapped.filter(|path| path.is_dir()) {
        Some(labels) => labels,
        // Photos that stay where they are, and labels that a program wrote elsewhere.
        None if files.images.is_some() => {
            Some(root.join(split)).filter(|path| path.is_dir()).unwrap_or(root.to_owned())
        }
        None => photos.to_owned(),
    }
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
