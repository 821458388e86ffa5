//! The files of the annotation tool labelme, which `clothseg-run --format labelme` writes, too: a JSON file a photo with `shapes`
//! below `ROOT/SPLIT`, and the photo where its `imagePath` says, beside it, or in the folder `images`.
//!
//! Polygons, rectangles, circles and masks are regions; points and lines have no area and are left out. The classes are the
//! labels' names. `_background_` is background, and `__ignore__` counts nowhere. JSON files without `shapes` are something else.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::drawn::{
    Drawn, KnownLabels, NamedRegion, ellipse, embedded_picture, listing, named_apart, pixels, polygon, rectangle,
};
use super::photos::{extension, file_at, files_below, is_photo, photos_below};
use super::regions::{Fault, Pieces, Shape};
use super::runs::Size;
use super::{Listing, PHOTO_EXTENSIONS, image_dimensions};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::text::read_text;

/// A file, as far as it is used.
#[derive(Deserialize)]
struct File {
    shapes: Option<Vec<Value>>,
    #[serde(rename = "imagePath")]
    image_path: Option<String>,
    #[serde(default, rename = "imageWidth")]
    image_width: Value,
    #[serde(default, rename = "imageHeight")]
    image_height: Value,
}

/// A shape.
#[derive(Deserialize)]
struct Drawing {
    label: Value,
    points: Vec<[f64; 2]>,
    shape_type: Option<String>,
    mask: Option<String>,
}

/// Lists the files below `root/split`.
pub fn list(root: &Path, split: &str, images: Option<&Path>, known: KnownLabels<'_>) -> Result<Listing> {
    let folder = root.join(split);
    if !folder.is_dir() {
        return Err(Error::file(&folder, "there is no such folder; the JSON files of the split were looked for in it"));
    }
    let mut files = files_below(&folder)?;
    files.retain(|path| extension(path) == "json");
    let images = images.map(|images| root.join(images));
    let read = files.into_par_iter().map(|path| read(&folder, path, images.as_deref())).collect::<Vec<_>>();
    let (mut photos, mut incomplete) = (Vec::new(), Vec::new());
    let mut used = BTreeMap::new();
    let mut all_read = true;
    for read in read {
        match read {
            Ok(None) => {}
            Ok(Some(drawn)) => match used.entry(resolved(&drawn.photo)) {
                Entry::Vacant(place) => {
                    place.insert(drawn.path.clone());
                    photos.push(drawn);
                }
                Entry::Occupied(first) => {
                    let (path, first) = (drawn.path.display(), first.get().display());
                    incomplete.push(format!("{path}: is about the same photo as {first}; remove one of them"));
                }
            },
            Err(error) => {
                all_read = false;
                incomplete.push(error.to_string());
            }
        }
    }
    if photos.is_empty() && incomplete.is_empty() {
        return Err(Error::file(&folder, "holds no JSON file with `shapes`, as labelme writes them"));
    }
    let mut notes = Vec::new();
    let mut unlabelled = photos_below(&folder, &mut notes)?;
    // A file that cannot be used is about its photo all the same: what is wrong with it has been told.
    unlabelled.retain(|photo| !used.contains_key(&resolved(photo)) && !has_file(photo));
    // A file that cannot be used may be about any of them.
    if all_read {
        notes.extend(unlabelled_note(&unlabelled));
    }
    let photos = named_apart(photos, &mut incomplete);
    let mut found = listing(photos, known, incomplete)?;
    found.notes.extend(notes);
    Ok(found)
}

/// One path for a photo, whatever way leads to it.
fn resolved(photo: &Path) -> PathBuf {
    photo.canonicalize().unwrap_or_else(|_| photo.to_owned())
}

/// Whether a JSON file of a photo's name lies beside it.
fn has_file(photo: &Path) -> bool {
    ["json", "labelme.json"].iter().any(|extension| photo.with_extension(extension).is_file())
}

/// A line about photos that no file is about.
fn unlabelled_note(photos: &[PathBuf]) -> Option<String> {
    let first = photos.first()?.display();
    Some(match photos.len() {
        1 => format!("left out: {first}: no JSON file is about it"),
        count => format!("left out: {count} photos that no JSON file is about, such as {first}"),
    })
}

/// Reads a file; nothing where it is not one of labelme's.
fn read(folder: &Path, path: PathBuf, images: Option<&Path>) -> Result<Option<Drawn>> {
    let text = read_text(&path)?;
    let file: File = match serde_json::from_str(&text) {
        Ok(file) => file,
        // A list, as other tools write, is none of labelme's files.
        Err(_) if !text.trim_start().starts_with('{') => return Ok(None),
        Err(error) => return Err(Error::file(&path, format!("cannot be read: {error}"))),
    };
    let Some(shapes) = file.shapes else { return Ok(None) };
    let stem_path = bare(path.strip_prefix(folder).unwrap_or(&path));
    let photo = find_photo(&path, file.image_path.as_deref(), images, &stem_path)?;
    let (width, height) = image_dimensions(&photo)?;
    let size = Size::new(width.into(), height.into()).map_err(|cause| Error::file(&photo, cause))?;
    let drawn = drawn_size([&file.image_width, &file.image_height], size).map_err(|cause| Error::file(&path, cause))?;
    let (mut regions, mut pieces) = (Vec::new(), Pieces::default());
    for (number, shape) in (1..).zip(shapes) {
        let name = format!("shape {number}");
        match region(shape, drawn).and_then(|(label, shape)| Ok((label, shape.scaled(drawn, size)?))) {
            Ok((label, shape)) => regions.push(NamedRegion { name, label, shape }),
            Err(fault) => pieces.leave_out(name, fault),
        }
    }
    let names: Vec<_> = stem_path.iter().map(|part| part.to_string_lossy()).collect();
    let name = path.display().to_string();
    Ok(Some(Drawn { stem: names.join("_"), photo, path, name, size, regions, pieces }))
}

/// The size that the shapes were drawn on. A photo that was made smaller or larger since then keeps its shapes; on one of another
/// shape they would lie in the wrong place.
fn drawn_size(told: [&Value; 2], photo: Size) -> std::result::Result<Size, String> {
    let [Some(width), Some(height)] = told.map(|side| side.as_u64().filter(|side| *side > 0)) else { return Ok(photo) };
    if (width, height) == (photo.width().into(), photo.height().into()) {
        return Ok(photo);
    }
    let told = Size::new(width, height)?;
    // Rounding moves a side of the smaller one by up to a pixel.
    let fits = |from: Size, to: Size| {
        let width = f64::from(from.width()) * f64::from(to.height()) / f64::from(from.height());
        (width - f64::from(to.width())).abs() <= 1.0
    };
    if fits(told, photo) || fits(photo, told) {
        return Ok(told);
    }
    Err(format!(
        "is of a picture of {told}, and the photo is {photo}: it was cropped, turned or replaced after labelling"
    ))
}

/// A path without `.json`, and without the `.labelme` that this project writes before it.
fn bare(path: &Path) -> PathBuf {
    let bare = path.with_extension("");
    if extension(&bare) == "labelme" { bare.with_extension("") } else { bare }
}

fn find_photo(path: &Path, told: Option<&str>, images: Option<&Path>, stem: &Path) -> Result<PathBuf> {
    let beside = path.parent().unwrap_or(Path::new(""));
    let told = told.map(|told| told.replace('\\', "/")).filter(|told| !told.is_empty());
    let last = told.as_deref().and_then(|told| told.rsplit('/').next());
    let mut places = Vec::new();
    if let (Some(told), Some(last)) = (&told, last) {
        places.push(beside.join(told));
        places.extend(images.into_iter().flat_map(|images| [images.join(told), images.join(last)]));
        places.push(beside.join(last));
    }
    let name = stem.file_name().unwrap_or_default();
    // By hand: a name may have dots in it.
    let with_extension = |folder: &Path, name: &Path, extension: &str| {
        let mut name = folder.join(name).into_os_string();
        name.push(format!(".{extension}"));
        PathBuf::from(name)
    };
    for extension in PHOTO_EXTENSIONS {
        places.push(with_extension(beside, Path::new(name), extension));
        places.extend(images.map(|images| with_extension(images, stem, extension)));
    }
    // Without an extension; such a name may be a folder's, too.
    let bare = [Some(beside.join(name)), images.map(|images| images.join(stem))].into_iter().flatten();
    places.extend(bare.filter(|place| is_photo(place)));
    match places.into_iter().find_map(file_at) {
        Some(place) => Ok(place),
        None => {
            let named = told.map_or("no photo beside it".to_owned(), |told| format!("no photo `{told}`"));
            Err(Error::file(path, format!("{named}; name the folder of the photos by `images`")))
        }
    }
}

/// Label and shape, in a picture of `size`.
fn region(shape: Value, size: Size) -> std::result::Result<(String, Shape), Fault> {
    let Drawing { label, points, shape_type, mask } =
        serde_json::from_value(shape).map_err(|error| format!("cannot be read: {error}"))?;
    let label = match label {
        Value::String(label) => label.trim().to_owned(),
        Value::Number(label) => label.to_string(),
        _ => return Err("has no label".into()),
    };
    let kind = shape_type.as_deref().unwrap_or("polygon");
    let shape = match (kind, &points[..]) {
        // `rotation` is a turned rectangle of tools that write the same files.
        ("polygon" | "rotation", _) => polygon(points, size)?,
        ("rectangle", [[left, top], [right, bottom]]) => {
            polygon(rectangle([*left, *top], [right - left, bottom - top], 0.0), size)?
        }
        ("rectangle", [_, _, _, _]) => polygon(points, size)?,
        ("circle", [[x, y], [edge_x, edge_y]]) => {
            let radius = (edge_x - x).hypot(edge_y - y);
            polygon(ellipse([*x, *y], [radius; 2], 0.0), size)?
        }
        ("mask", [[left, top], ..]) => masked(mask.as_deref().unwrap_or_default(), [*left, *top], size)?,
        ("rectangle" | "circle" | "mask", points) => {
            return Err(format!("is a {kind} of {}", counted(points.len(), "point", "points")).into());
        }
        (other, _) => {
            let kind: String = other.chars().take(20).collect();
            return Err(Fault::empty(format!("of `{label}` is a {kind}, which has no area")));
        }
    };
    Ok((label, shape))
}

/// The pixels of a mask whose first pixel lies at a place.
fn masked(mask: &str, [left, top]: [f64; 2], size: Size) -> std::result::Result<Shape, Fault> {
    let mask = embedded_picture(mask, size)?.into_luma8();
    let is_near = |at: f64, side: u32| (-1.0..=f64::from(side)).contains(&at);
    if !is_near(left, size.width()) || !is_near(top, size.height()) {
        return Err(format!("has a mask at ({left}, {top}), outside the picture of {size}").into());
    }
    let [left, top] = [left, top].map(|at| at.round() as i64);
    let at = |x: u32, y: u32| {
        let [x, y] = [i64::from(x) - left, i64::from(y) - top].map(u32::try_from);
        x.ok().zip(y.ok()).and_then(|(x, y)| mask.get_pixel_checked(x, y)).is_some_and(|level| level[0] > 0)
    };
    pixels(size, at)
}

#[cfg(test)]
mod tests;
