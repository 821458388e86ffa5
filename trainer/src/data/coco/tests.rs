#![allow(clippy::unwrap_used)]

use super::*;
use image::RgbImage;
use std::fs;

const HEAD: &str = r#""categories": [{"id": 30, "name": "sleeve"}, {"id": 4, "name": "shirt"}]"#;
const IMAGES: &str = r#"{"id": 9, "file_name": "a.jpg", "width": 4, "height": 3},
    {"id": 1, "file_name": "sub/b.jpg", "width": 4, "height": 3}"#;

/// What a file gives.
struct Read {
    classes: Vec<String>,
    stems: Vec<String>,
    labels: Vec<Vec<u8>>,
    damage: Vec<String>,
}

/// Reads a file that lies beside `a.jpg` and `sub/b.jpg`, both of 4 x 3 pixels.
fn read_text(text: &str) -> Result<Read> {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("sub")).unwrap();
    for name in ["a.jpg", "sub/b.jpg"] {
        RgbImage::new(4, 3).save(root.path().join(name)).unwrap();
    }
    let path = root.path().join("instances.json");
    fs::write(&path, text).unwrap();
    let Listing { classes, pairs, incomplete: damage } = list(&path, root.path())?;
    let labels = pairs.iter().map(|pair| pair.label.load().unwrap().data).collect();
    Ok(Read { classes, stems: pairs.into_iter().map(|pair| pair.stem).collect(), labels, damage })
}

fn read(images: &str, annotations: &str) -> Read {
    let read = read_text(&format!(r#"{{"annotations": [{annotations}], {HEAD}, "images": [{images}]}}"#)).unwrap();
    assert_eq!(read.classes, ["background", "shirt", "sleeve"]);
    read
}

#[test]
fn polygons_and_codes_are_painted_small_over_large() {
    let annotations = r#"
        {"id": 1, "image_id": 9, "category_id": 30, "segmentation": {"size": [3, 4], "counts": [7, 2, 3]}, "iscrowd": 1},
        {"id": 2, "image_id": 9, "category_id": 4, "segmentation": [[1, 0, 3, 0, 3, 3, 1, 3]], "bbox": [1, 0, 2, 3]},
        {"id": 3, "image_id": 1, "category_id": 4, "segmentation": {"size": [3, 4], "counts": "32102O"}}"#;
    let Read { stems, labels, damage, .. } = read(IMAGES, annotations);
    assert!(damage.is_empty(), "{damage:?}");
    assert_eq!(stems, ["a", "sub_b"]);
    assert_eq!(labels[0], [0, 1, 1, 0, 0, 1, 2, 0, 0, 1, 2, 0]);
    assert_eq!(labels[1], [0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1]);
}

#[test]
fn an_image_without_annotations_is_background() {
    let Read { stems, labels, .. } = read(IMAGES, "");
    assert_eq!(stems.len(), 2);
    assert!(labels.iter().flatten().all(|class| *class == 0));
}

#[test]
fn every_kind_of_damaged_annotation_is_named() {
    for (annotation, expected) in [
        (r#""category_id": 5, "segmentation": [[0, 0, 1, 0, 1, 1]]"#, "annotation 7 has the category 5"),
        (r#""category_id": 4"#, "has no segmentation"),
        (r#""category_id": 4, "segmentation": null"#, "has no segmentation"),
        (r#""category_id": 4, "segmentation": []"#, "has no polygon"),
        (r#""category_id": 4, "segmentation": [[0, 0, 1, 0, 1]]"#, "a polygon of 5 numbers"),
        (r#""category_id": 4, "segmentation": [[0, 0, 1, 0]]"#, "a polygon of 2 corners"),
        (r#""category_id": 4, "segmentation": [[0, 0, 1, 0, 1, 1e300]]"#, "far outside"),
        (r#""category_id": 4, "segmentation": [0, 0, 1, 0, 1, 1]"#, "cannot be read"),
        (r#""category_id": 4, "segmentation": "x""#, "a list of polygons"),
        (r#""category_id": 4, "segmentation": {"size": [4, 3], "counts": [12]}"#, "code for 3 x 4"),
        (r#""category_id": 4, "segmentation": {"size": [3, 4], "counts": [11]}"#, "11 pixels together"),
        (r#""category_id": 4, "segmentation": {"size": [3, 4], "counts": [12]}"#, "an empty code"),
        (r#""category_id": 4, "segmentation": {"size": [3, 4], "counts": [3, -1, 10]}"#, "`-1`"),
        (r#""category_id": 4, "segmentation": {"size": [3, 4], "counts": "32"}"#, "5 pixels together"),
        (r#""category_id": 4, "segmentation": {"size": [3, 4], "counts": "3~"}"#, "damaged compressed count"),
    ] {
        let annotation = format!(r#"{{"id": 7, "image_id": 9, {annotation}}}"#);
        let Read { stems, damage, .. } = read(IMAGES, &annotation);
        assert_eq!((stems.as_slice(), damage.len()), (["sub_b".to_owned()].as_slice(), 1), "{annotation}: {damage:?}");
        let named = damage[0].contains("instances.json") && damage[0].contains("a: annotation 7");
        assert!(named && damage[0].contains(expected), "{annotation}: {}", damage[0]);
    }
}

#[test]
fn damage_that_belongs_to_no_photo_is_named_too() {
    let image = |name: &str| format!(r#"{{"id": 5, "file_name": "{name}", "width": 4, "height": 3}}"#);
    for (images, annotations, expected) in [
        (image("gone.jpg"), "", "gone.jpg: no photo in"),
        (image("../a.jpg"), "", "no path below"),
        (image("/a.jpg"), "", "no path below"),
        (image(""), "", "no path below"),
        (format!("{}, {}", image("a.jpg"), image("sub/b.jpg")), "", "the id 5 of another image"),
        (format!("{IMAGES}, {}", image("a.jpg")), "", "the name of another image"),
        (r#"{"id": 5, "file_name": "a.jpg", "width": 0, "height": 3}"#.to_owned(), "", "0 x 3"),
        (r#"{"id": 5, "file_name": "a.jpg"}"#.to_owned(), "", "width"),
        (IMAGES.to_owned(), r#"{"id": 3, "image_id": 8}"#, "annotation 3: has the image_id 8"),
        (IMAGES.to_owned(), r#"{"id": 3}"#, "annotation at byte 17"),
        (IMAGES.to_owned(), "{\"id\": 3, \"image_id\"}", "annotation at byte 17"),
    ] {
        let damage = read(&images, annotations).damage;
        assert_eq!(damage.len(), 1, "{images} {annotations}: {damage:?}");
        assert!(damage[0].contains(expected), "{images} {annotations}: {}", damage[0]);
    }
}

#[test]
fn files_of_another_form_are_refused() {
    for (text, expected) in [
        ("[]", "no JSON object"),
        (r#"{"a": 1}"#, "has no `images`"),
        (r#"{"images": [{"id": 1, "file_name": "a.jpg", "width": 4, "height": 3}]}"#, "0 categories"),
        (r#"{"categories": [{"id": 1}], "images": []}"#, "category at byte 16"),
        (r#"{"categories": [], "images": ["#, "cut off"),
    ] {
        let error = read_text(text).err().unwrap().to_string();
        assert!(error.contains(expected) && error.contains("instances.json"), "{text}: {error}");
    }
}
