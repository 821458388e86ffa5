//! COCO's JSON for instances (Lin et al. 2014), in which Fashionpedia, ModaNet and DeepFashion2 come: an object with the
//! arrays `images` (`id`, `file_name`, `width`, `height`), `categories` (`id`, `name`) and `annotations` (`image_id`,
//! `category_id`, `segmentation`).
//!
//! A segmentation is a list of polygons (`[x0, y0, x1, y1, ...]`, their union, filled as pycocotools does; see
//! [`super::polygon`]) or a run-length code (`size` [height, width], `counts` as numbers or compressed). `iscrowd` makes
//! no difference: what is of a category is labelled so, one garment or many. The index of a category is 1 + the rank of
//! its id; 0 is background. A photo without annotations is all background. Sizes that are missing are those of the photo.

mod elements;
mod number;
mod segmentation;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::elements::{Element, for_each_element};
use self::segmentation::Segmentation;
use super::photos::{NAME_TAKEN, file_at, named_apart};
use super::regions::{Categories, Fault, Gathered, Id, ReadRegion, Record, Region, RegionFile};
use super::runs::Size;
use super::{Listing, image_dimensions};
use crate::error::{Error, Result};
use crate::text::TextFile;

#[derive(Deserialize)]
struct Category {
    id: Id,
    name: String,
}

#[derive(Deserialize)]
struct Image {
    id: Id,
    file_name: String,
    #[serde(default)]
    width: Value,
    #[serde(default)]
    height: Value,
}

#[derive(Deserialize)]
struct Annotation {
    category_id: Id,
    segmentation: Option<Segmentation>,
}

/// What can be told of an annotation that is otherwise damaged.
#[derive(Deserialize)]
struct OnlyImageId {
    #[serde(default)]
    id: Value,
    image_id: Id,
}

/// What can be told of an image that is otherwise damaged.
#[derive(Deserialize)]
struct OnlyId {
    id: Id,
}

/// A photo of the file.
struct Photo {
    path: PathBuf,
    stem: String,
    gathered: Gathered,
}

/// The photos of a file.
#[derive(Default)]
struct Photos {
    known: HashMap<Id, Photo>,
    /// The files of those.
    files: HashSet<PathBuf>,
    /// Ids of images that cannot be used: what is wrong with them has been told, and their annotations say nothing more.
    refused: HashSet<Id>,
}

/// Lists the photos of the file `annotations`; they lie in `images`.
pub fn list(annotations: &Path, images: &Path) -> Result<Listing> {
    let mut incomplete = Vec::new();
    let text = TextFile::new(annotations)?;
    let (categories, mut photos) = read_head(&text, images, &mut incomplete)?;
    let classes = categories.names().to_vec();
    let mut used = BTreeSet::from([0]);
    let mut homeless = Vec::new();
    let mut has_annotations = false;
    let reader = AnnotationReader { categories };
    for_each_element(&text, &["annotations"], |element| {
        has_annotations = true;
        match reader.gather(element, &mut photos) {
            Ok(class) => used.extend(class),
            Err(cause) => homeless.push(format!("{}: {cause}", annotations.display())),
        }
        Ok(())
    })?;
    let unused = (0..=u8::MAX).zip(&classes).map(|(index, _)| index).filter(|index| !used.contains(index)).collect();
    let file = Arc::new(RegionFile { text, reader: Box::new(reader) });
    let tables = vec![annotations.to_owned()];
    let mut listing = Listing { classes, unused, incomplete, tables, ..Listing::default() };
    if !has_annotations {
        let cause = "has no `annotations`, as the files of test photos do not: every photo is all background";
        listing.notes.push(format!("{}: {cause}", annotations.display()));
    }
    for Photo { path, stem, gathered } in photos.into_named(annotations, &mut listing.incomplete) {
        gathered.finish(stem, path, &file, &mut listing);
    }
    listing.incomplete.extend(homeless);
    Ok(listing)
}

/// Reads what stands besides the annotations.
fn read_head(text: &TextFile, folder: &Path, incomplete: &mut Vec<String>) -> Result<(Categories, Photos)> {
    let path = text.path();
    let mut categories = Vec::new();
    let mut photos = Photos::default();
    for_each_element(text, &["categories", "images"], |element| {
        if element.key == "categories" {
            let category: Category = serde_json::from_slice(element.bytes)
                .map_err(|error| Error::file(path, format!("category at byte {}: {error}", element.offset)))?;
            categories.push((category.id, category.name));
        } else if let Err(cause) = photos.take(element.bytes, folder) {
            photos.refused.extend(serde_json::from_slice(element.bytes).map(|OnlyId { id }| id));
            incomplete.push(format!("{}: image at byte {}: {cause}", path.display(), element.offset));
        }
        Ok(())
    })?;
    if photos.known.is_empty() && incomplete.is_empty() {
        return Err(Error::file(path, "has no `images`; COCO's JSON for instances was expected"));
    }
    let categories = Categories::new(categories).map_err(|cause| Error::file(path, cause))?;
    Ok((categories, photos))
}

impl Photos {
    /// Adds an image of the file, which lies in `folder`.
    fn take(&mut self, bytes: &[u8], folder: &Path) -> Result<(), String> {
        let Image { id, file_name, width, height } =
            serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let Place { path, stem } = Place::find(&file_name, folder)?;
        if self.known.contains_key(&id) {
            return Err(format!("`{file_name}` has the id {id} of another image"));
        }
        let size = match (side(&width), side(&height)) {
            (Some(width), Some(height)) => Size::new(width, height)?,
            // Some makers leave them out, or write -1.
            _ => image_dimensions(&path)
                .map_err(|error| error.to_string())
                .and_then(|(width, height)| Size::new(width.into(), height.into()))?,
        };
        if !self.files.insert(path.clone()) {
            return Err(format!("`{file_name}` has the name of another image"));
        }
        self.known.insert(id, Photo { path, stem, gathered: Gathered::new(size) });
        Ok(())
    }
}

impl Photos {
    /// The photos by their names. Where several have one stem, such as `b.jpg` and `b.png`, the extension is part of the name.
    fn into_named(self, annotations: &Path, incomplete: &mut Vec<String>) -> Vec<Photo> {
        let mut photos: Vec<Photo> = self.known.into_values().collect();
        photos.sort_by(|one, other| one.path.cmp(&other.path));
        let file = annotations.display();
        let left_out = |photo: &Photo| incomplete.push(format!("{file}: {} {NAME_TAKEN}", photo.path.display()));
        let named = named_apart(photos, |photo| (&photo.stem, &photo.path), left_out).into_iter();
        let mut named: Vec<Photo> = named.map(|(stem, photo)| Photo { stem, ..photo }).collect();
        named.sort_by(|one, other| one.stem.cmp(&other.stem));
        named
    }
}

/// A side that is told: a whole number above 0 as [`number`] reads it.
fn side(value: &Value) -> Option<u64> {
    let side = serde_json::from_value::<number::Whole>(value.clone()).ok()?.count().ok()?;
    (side > 0).then_some(side)
}

/// Where a photo lies.
struct Place {
    path: PathBuf,
    /// Its path below the folder without extension, the folders joined by `_`.
    stem: String,
}

impl Place {
    /// The photo that a file calls `file_name`: its path below `folder`, with slashes of either kind; or, where the name is of
    /// another folder or machine or a web address, the longest end of it that is a path below `folder`.
    fn find(file_name: &str, folder: &Path) -> Result<Self, String> {
        let slashes = file_name.replace('\\', "/");
        let ends = slashes.match_indices('/').map(|(at, _)| &slashes[at + 1..]);
        let place = |name: &str| stem(name).map(|stem| Place { path: folder.join(name), stem });
        let mut places = [file_name, &slashes].into_iter().chain(ends).filter_map(place).peekable();
        if places.peek().is_none() {
            return Err(format!("has the file_name `{file_name}`, which is no path below the folder of the images"));
        }
        places
            .find_map(|place| Some(Place { path: file_at(place.path)?, stem: place.stem }))
            .ok_or_else(|| format!("{file_name}: no photo in {}", folder.display()))
    }
}

/// The path without extension, its folders joined by `_`; [`None`] where it leads out of its folder.
pub(super) fn stem(file_name: &str) -> Option<String> {
    let path = Path::new(file_name);
    path.file_name()?;
    let parts = path.with_extension("");
    let names: Option<Vec<&str>> = parts
        .components()
        .map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    names.filter(|names| !names.is_empty()).map(|names| names.join("_"))
}

/// Reads the annotations.
#[derive(Debug)]
struct AnnotationReader {
    categories: Categories,
}

impl AnnotationReader {
    /// Puts an annotation to its photo, with what is wrong with it, and tells its class; fails where the photo cannot be told.
    fn gather(&self, element: Element<'_>, photos: &mut Photos) -> Result<Option<u8>, String> {
        let OnlyImageId { id, image_id } = belongs(element)?;
        if photos.refused.contains(&image_id) {
            return Ok(None);
        }
        let photo = photos
            .known
            .get_mut(&image_id)
            .ok_or_else(|| format!("annotation {id}: has the image_id {image_id}, which the file does not list"))?;
        match self.read(element.bytes, photo.gathered.size) {
            Ok(region) => {
                photo.gathered.records.push(Record {
                    offset: element.offset,
                    bytes: element.bytes.len() as u32,
                    number: id.as_u64().unwrap_or_default(),
                });
                Ok(Some(region.class))
            }
            Err(fault) => {
                photo.gathered.leave_out(format_args!("annotation {id}"), fault);
                Ok(None)
            }
        }
    }
}

/// Whose annotation it is.
fn belongs(element: Element<'_>) -> Result<OnlyImageId, String> {
    from_json(element.bytes).map_err(|(error, _)| format!("annotation at byte {}: {error}", element.offset))
}

/// Reads JSON in which a word may stand that some programs write where they have no number, such as `NaN`: JSON has none for that. In a
/// field that nobody reads it does no harm. An error comes with the word.
fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, (serde_json::Error, Option<&'static str>)> {
    let error = match serde_json::from_slice(bytes) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    match number::without_no_numbers(bytes) {
        Some((bytes, word)) if error.is_syntax() => serde_json::from_slice(&bytes).map_err(|error| (error, Some(word))),
        _ => Err((error, None)),
    }
}

impl ReadRegion for AnnotationReader {
    fn unit(&self) -> &'static str {
        "annotation"
    }

    fn read(&self, record: &[u8], size: Size) -> Result<Region, Fault> {
        let annotation: Annotation = from_json(record).map_err(|(error, word)| match word {
            Some(word) => format!("has {word} where a number should stand"),
            None => format!("cannot be read: {error}"),
        })?;
        let class = self.categories.index(annotation.category_id)?;
        let segmentation = annotation.segmentation.ok_or("has no segmentation")?;
        Ok(Region { class, shape: segmentation.into_shape(size)? })
    }
}

#[cfg(test)]
mod tests;
