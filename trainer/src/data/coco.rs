//! COCO's JSON for instances (Lin et al. 2014), in which Fashionpedia, ModaNet and DeepFashion2 come: an object with the
//! arrays `images` (`id`, `file_name`, `width`, `height`), `categories` (`id`, `name`) and `annotations` (`image_id`,
//! `category_id`, `segmentation`).
//!
//! A segmentation is a list of polygons (`[x0, y0, x1, y1, ...]`, their union, filled as pycocotools does; see
//! [`super::polygon`]) or a run-length code (`size` [height, width], `counts` as numbers or compressed). `iscrowd` makes
//! no difference: what is of a category is labelled so, one garment or many. The index of a category is 1 + the rank of
//! its id; 0 is background. A photo without annotations is all background.

mod elements;
mod segmentation;

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path};
use std::sync::Arc;

use serde::Deserialize;

use self::elements::{Element, for_each_element};
use self::segmentation::Segmentation;
use super::Listing;
use super::regions::{Categories, Gathered, ReadRegion, Record, Region, RegionFile};
use super::runs::Size;
use crate::error::{Error, Result};

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

#[derive(Deserialize)]
struct Image {
    id: u64,
    file_name: String,
    width: u64,
    height: u64,
}

#[derive(Deserialize)]
struct Annotation {
    category_id: u64,
    segmentation: Option<Segmentation>,
}

/// What can be told of an annotation that is otherwise damaged.
#[derive(Deserialize)]
struct Belongs {
    #[serde(default)]
    id: serde_json::Value,
    image_id: u64,
}

/// A photo of the file.
struct Photo {
    file_name: String,
    stem: String,
    gathered: Gathered,
}

/// Lists the photos of the file `annotations`; they lie in `images`.
pub fn list(annotations: &Path, images: &Path) -> Result<Listing> {
    let mut incomplete = Vec::new();
    let (categories, mut photos) = read_head(annotations, &mut incomplete)?;
    let classes = categories.names().to_vec();
    let reader = AnnotationReader { categories };
    for_each_element(annotations, &["annotations"], |element| {
        if let Err(cause) = reader.gather(element, &mut photos) {
            incomplete.push(format!("{}: {cause}", annotations.display()));
        }
        Ok(())
    })?;
    let file = Arc::new(RegionFile { path: annotations.to_owned(), reader: Box::new(reader) });
    let mut pairs = Vec::with_capacity(photos.len());
    for Photo { file_name, stem, gathered } in photos.into_values() {
        let photo = images.join(&file_name);
        if !photo.is_file() {
            incomplete.push(format!("{}: {file_name}: no photo in {}", annotations.display(), images.display()));
            continue;
        }
        match gathered.finish(stem, photo, &file) {
            Ok(pair) => pairs.push(pair),
            Err(cause) => incomplete.push(cause),
        }
    }
    pairs.sort_by(|one, other| one.stem.cmp(&other.stem));
    incomplete.sort();
    Ok(Listing { classes, pairs, incomplete })
}

/// Reads what stands besides the annotations.
fn read_head(path: &Path, incomplete: &mut Vec<String>) -> Result<(Categories, HashMap<u64, Photo>)> {
    let mut categories = Vec::new();
    let mut photos = HashMap::new();
    let mut stems = HashSet::new();
    for_each_element(path, &["categories", "images"], |element| {
        if element.key == "categories" {
            let category: Category = serde_json::from_slice(element.bytes)
                .map_err(|error| Error::file(path, format!("category at byte {}: {error}", element.offset)))?;
            categories.push((category.id, category.name));
        } else if let Err(cause) = take_image(element.bytes, &mut photos, &mut stems) {
            incomplete.push(format!("{}: image at byte {}: {cause}", path.display(), element.offset));
        }
        Ok(())
    })?;
    if photos.is_empty() && incomplete.is_empty() {
        return Err(Error::file(path, "has no `images`; COCO's JSON for instances was expected"));
    }
    let categories = Categories::new(categories).map_err(|cause| Error::file(path, cause))?;
    Ok((categories, photos))
}

fn take_image(bytes: &[u8], photos: &mut HashMap<u64, Photo>, stems: &mut HashSet<String>) -> Result<(), String> {
    let image: Image = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let size = Size::new(image.width, image.height)?;
    let stem = stem(&image.file_name).ok_or_else(|| {
        format!("has the file_name `{}`, which is no path below the folder of the images", image.file_name)
    })?;
    if photos.contains_key(&image.id) {
        return Err(format!("`{}` has the id {} of another image", image.file_name, image.id));
    }
    if !stems.insert(stem.clone()) {
        return Err(format!("`{}` has the name of another image", image.file_name));
    }
    photos.insert(image.id, Photo { file_name: image.file_name, stem, gathered: Gathered::new(size) });
    Ok(())
}

/// The path without extension, its folders joined by `_`; [`None`] where it leads out of its folder.
fn stem(file_name: &str) -> Option<String> {
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
    /// Puts an annotation to its photo, with what is wrong with it; fails where the photo cannot be told.
    fn gather(&self, element: Element<'_>, photos: &mut HashMap<u64, Photo>) -> Result<(), String> {
        let belongs: Belongs = serde_json::from_slice(element.bytes)
            .map_err(|error| format!("annotation at byte {}: {error}", element.offset))?;
        let photo = photos.get_mut(&belongs.image_id).ok_or_else(|| {
            format!("annotation {}: has the image_id {}, which the file does not list", belongs.id, belongs.image_id)
        })?;
        match self.read(element.bytes, photo.gathered.size) {
            Ok(_) => photo.gathered.records.push(Record {
                offset: element.offset,
                bytes: element.bytes.len() as u32,
                number: belongs.id.as_u64().unwrap_or_default(),
            }),
            Err(cause) => photo.gathered.fault(|| format!("annotation {} {cause}", belongs.id)),
        }
        Ok(())
    }
}

impl ReadRegion for AnnotationReader {
    fn unit(&self) -> &'static str {
        "annotation"
    }

    fn read(&self, record: &[u8], size: Size) -> Result<Region, String> {
        let annotation: Annotation =
            serde_json::from_slice(record).map_err(|error| format!("cannot be read: {error}"))?;
        let class = self.categories.index(annotation.category_id)?;
        let segmentation = annotation.segmentation.ok_or("has no segmentation")?;
        Ok(Region { class, shape: segmentation.into_shape(size)? })
    }
}

#[cfg(test)]
mod tests;
