use std::io::Write;

use serde::Serialize;

use super::{CocoAnnotation, CocoPhoto};
use crate::error::{Error, Result};
use crate::taxonomy::Taxonomy;

/// What is said of a COCO file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CocoInfo {
    /// What the annotations are.
    pub description: String,
    /// Version of what made them.
    pub version: String,
    /// The model that made them.
    pub model: String,
}

impl CocoInfo {
    /// Annotations that this version of clothseg made with a model.
    pub fn new(model: &str) -> Self {
        Self {
            description: "garments found by clothseg".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            model: model.to_owned(),
        }
    }
}

#[derive(Serialize)]
struct Category<'a> {
    id: usize,
    name: &'a str,
    supercategory: &'a str,
}

#[derive(Serialize)]
struct Image<'a> {
    id: u64,
    file_name: &'a str,
    width: u32,
    height: u32,
}

#[derive(Serialize)]
struct Annotation<'a> {
    id: u64,
    image_id: u64,
    #[serde(flatten)]
    annotation: &'a CocoAnnotation,
}

/// Writes a COCO file: `classes` as categories (id = class index; the smallest group that holds a class is its
/// supercategory), images and annotations numbered from 1 in the order of the photos.
///
/// COCO lists all images before all annotations, and here no list is ever held: `photos` is called twice, and each time
/// gives the same photos, for instance from a file with a line each.
///
/// # Errors
/// What `photos` and its photos report; [`Error::Encode`] when `out` cannot be written.
pub fn write_coco<I: Iterator<Item = Result<CocoPhoto>>>(
    out: &mut dyn Write,
    taxonomy: &Taxonomy,
    classes: &[usize],
    info: &CocoInfo,
    mut photos: impl FnMut() -> Result<I>,
) -> Result<()> {
    let mut list = List { out, items: 0 };
    list.text("{\"info\":")?;
    list.json(info)?;
    list.text(",\"licenses\":[],\"categories\":")?;
    list.json(&categories(taxonomy, classes))?;
    list.text(",\n\"images\":[")?;
    for photo in photos()? {
        let CocoPhoto { file_name, width, height, .. } = &photo?;
        let id = list.next_id();
        list.item(&Image { id, file_name, width: *width, height: *height })?;
    }
    list.text("\n],\n\"annotations\":[")?;
    list.items = 0;
    for (photo, image_id) in photos()?.zip(1..) {
        for annotation in &photo?.annotations {
            let id = list.next_id();
            list.item(&Annotation { id, image_id, annotation })?;
        }
    }
    list.text("\n]}\n")
}

fn categories<'a>(taxonomy: &'a Taxonomy, classes: &[usize]) -> Vec<Category<'a>> {
    let category = |&id: &usize| {
        let name = taxonomy.classes.get(id)?.name.as_str();
        let holds = |members: &Vec<String>| members.iter().any(|member| taxonomy.index_of(member) == Some(id));
        let groups = taxonomy.groups.iter().filter(|(_, members)| holds(members));
        let group = groups.min_by_key(|(_, members)| members.len());
        Some(Category { id, name, supercategory: group.map_or(name, |(group, _)| group) })
    };
    classes.iter().filter_map(category).collect()
}

/// A list of JSON on its way out, an item a line.
struct List<'a> {
    out: &'a mut dyn Write,
    items: u64,
}

impl List<'_> {
    /// Number of the item that comes next, from 1 on.
    fn next_id(&self) -> u64 {
        self.items + 1
    }

    fn item(&mut self, item: &impl Serialize) -> Result<()> {
        self.text(if self.items == 0 { "\n" } else { ",\n" })?;
        self.items += 1;
        self.json(item)
    }

    fn text(&mut self, text: &str) -> Result<()> {
        self.out.write_all(text.as_bytes()).map_err(failed)
    }

    fn json(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut *self.out, value).map_err(failed)
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Encode { what: "COCO file", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::{CocoCounts, CocoSegmentation};
    use super::*;

    fn photo(name: &str, classes: &[usize]) -> CocoPhoto {
        let annotation = |&category_id: &usize| {
            let counts = CocoCounts::Plain(vec![1, 5]);
            CocoAnnotation::new(category_id, CocoSegmentation::RunLengths { size: [2, 3], counts }, 5, [0, 0, 3, 2])
        };
        CocoPhoto::new(name, 3, 2, classes.iter().map(annotation).collect())
    }

    #[test]
    fn images_and_annotations_are_numbered_in_order_and_refer_to_each_other() {
        let taxonomy = Taxonomy::builtin("garments").unwrap();
        let pants = taxonomy.index_of("pants").unwrap();
        let photos = [photo("a.jpg", &[1, pants]), photo("none.jpg", &[]), photo("b.jpg", &[pants])];
        let mut out = Vec::new();
        let info = CocoInfo::new("tiny");
        write_coco(&mut out, &taxonomy, &[1, pants], &info, || Ok(photos.clone().into_iter().map(Ok))).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["info"]["model"], "tiny");
        let numbers = |list: &str, field: &str| -> Vec<u64> {
            json[list].as_array().unwrap().iter().map(|item| item[field].as_u64().unwrap()).collect()
        };
        assert_eq!(numbers("categories", "id"), [1, pants as u64]);
        assert_eq!(json["categories"][1]["supercategory"], "lower");
        assert_eq!(numbers("images", "id"), [1, 2, 3]);
        assert_eq!(numbers("annotations", "id"), [1, 2, 3]);
        assert_eq!(numbers("annotations", "image_id"), [1, 1, 3]);
        assert_eq!(json["images"][2]["file_name"], "b.jpg");
        assert_eq!(json["annotations"][2]["segmentation"]["counts"], serde_json::json!([1, 5]));
    }

    #[test]
    fn a_photo_survives_as_a_line_of_json() {
        let mut whole = photo("a\n.jpg", &[1]);
        whole.annotations[0].segmentation = CocoSegmentation::Polygons(vec![vec![0.1, 2.0, 3.5, 1e-3, 7.0, 8.0]]);
        let mut compressed = photo("b.jpg", &[1]);
        let counts = CocoCounts::Compressed("0<\\\"".into());
        compressed.annotations[0].segmentation = CocoSegmentation::RunLengths { size: [2, 3], counts };
        for photo in [whole, compressed, photo("c.jpg", &[2])] {
            let line = serde_json::to_string(&photo).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<CocoPhoto>(&line).unwrap(), photo);
        }
    }

    #[test]
    fn a_photo_that_cannot_be_read_is_an_error() {
        let taxonomy = Taxonomy::builtin("garments").unwrap();
        let bad = || Ok(std::iter::once(Err(Error::Invalid("line 7".into()))));
        let error = write_coco(&mut Vec::new(), &taxonomy, &[1], &CocoInfo::new("tiny"), bad).unwrap_err();
        assert!(error.to_string().contains("line 7"));
    }
}
