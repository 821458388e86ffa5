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
    unused: Vec<u8>,
    bad_pieces: Vec<String>,
    notes: Vec<String>,
}

/// Reads a file that lies beside `a.jpg` and `sub/b.jpg`, both of 4 x 3 pixels.
fn read_text(text: &str) -> Result<Read> {
    read_bytes(text.as_bytes())
}

fn read_bytes(text: &[u8]) -> Result<Read> {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("sub")).unwrap();
    for name in ["a.jpg", "sub/b.jpg"] {
        RgbImage::new(4, 3).save(root.path().join(name)).unwrap();
    }
    let path = root.path().join("instances.json");
    fs::write(&path, text).unwrap();
    let Listing { classes, unused, pairs, incomplete: damage, bad_pieces, notes, .. } = list(&path, root.path())?;
    let labels = pairs.iter().map(|pair| pair.label.load().unwrap().data).collect();
    let stems = pairs.into_iter().map(|pair| pair.stem).collect();
    Ok(Read { classes, unused: unused.into_iter().collect(), stems, labels, damage, bad_pieces, notes })
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
fn a_file_may_be_utf_16() {
    let annotation =
        r#"{"id": 3, "image_id": 1, "category_id": 4, "segmentation": {"size": [3, 4], "counts": "32102O"}}"#;
    let members = format!(r#""annotations": [{annotation}], {HEAD}, "images": [{IMAGES}], "é": 1"#);
    let text = format!("\u{feff}{{{members}}}");
    for bytes in [
        text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(),
        text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        text.clone().into_bytes(),
    ] {
        let Read { labels, damage, .. } = read_bytes(&bytes).unwrap();
        assert!(damage.is_empty(), "{damage:?}");
        assert_eq!(labels[1], [0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1]);
    }
    let odd = read_bytes(&[0xff, 0xfe, b'{']).err().unwrap().to_string();
    assert!(odd.contains("UTF-16 that ends within a character"), "{odd}");
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
        (r#""category_id": 4, "segmentation": [0, 0, 1, 0]"#, "a polygon of 2 corners"),
        (r#""category_id": 4, "segmentation": [[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]]"#, "corners of 0 to 1 only"),
        (r#""category_id": 4, "segmentation": [[-4, -3, -1, -3, -1, -1]]"#, "has no pixel"),
        (r#""category_id": 4, "segmentation": [[1, 1, 2, 1, 3, 1]]"#, "has no pixel"),
        (r#""category_id": 4, "segmentation": [[[1, 1], [2, 1, 3, 1]]]"#, "a list stands in a polygon"),
        (r#""category_id": 4, "segmentation": [0, 0, [1, 0, 1, 1]]"#, "cannot be read"),
        (r#""category_id": 4, "segmentation": [[0, 0, 1, 0, NaN, 1]]"#, "annotation 7 has NaN where a number"),
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
        (image(".."), "", "no path below"),
        (image("../gone.jpg"), "", "no photo in"),
        (image(""), "", "no path below"),
        (format!("{}, {}", image("a.jpg"), image("sub/b.jpg")), "", "the id 5 of another image"),
        (format!("{IMAGES}, {}", image("a.jpg")), "", "the name of another image"),
        (r#"{"id": 5, "file_name": "a.jpg", "width": 999999, "height": 999999}"#.to_owned(), "", "more than"),
        (r#"{"id": 5, "width": 4, "height": 3}"#.to_owned(), "", "file_name"),
        // What belongs to an image that is not there is no damage of its own.
        (format!("{IMAGES}, {}", image("gone.jpg")), r#"{"id": 3, "image_id": 5, "category_id": 77}"#, "gone.jpg"),
        (IMAGES.to_owned(), r#"{"id": 3, "image_id": 8}"#, "annotation 3: has the image_id 8"),
        (IMAGES.to_owned(), r#"{"id": 3}"#, "annotation at byte 17"),
        (IMAGES.to_owned(), "{\"id\": 3, \"image_id\"}", "annotation at byte 17"),
    ] {
        let damage = read(&images, annotations).damage;
        assert_eq!(damage.len(), 1, "{images} {annotations}: {damage:?}");
        assert!(damage[0].contains(expected), "{images} {annotations}: {}", damage[0]);
    }
}

const SHIRT: &str = r#""category_id": 4, "segmentation": [[1, 0, 3, 0, 3, 3, 1, 3]]"#;

#[test]
fn a_bad_piece_costs_the_piece_and_an_empty_one_nothing() {
    let annotations = format!(
        r#"{{"id": 1, "image_id": 9, {SHIRT}}}, {{"id": 2, "image_id": 9, "category_id": 5, "segmentation": [[0, 0, 1, 0, 1, 1]]}},
           {{"id": 3, "image_id": 1, {SHIRT}}}, {{"id": 4, "image_id": 1, "category_id": 4, "segmentation": [[1, 1, 2, 2]]}}"#
    );
    let Read { stems, labels, damage, bad_pieces, notes, unused, .. } = read(IMAGES, &annotations);
    assert_eq!((stems.len(), damage.len(), unused), (2, 0, vec![2]));
    assert!(labels.iter().all(|label| *label == [0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0]), "{labels:?}");
    assert!(matches!(&bad_pieces[..], [line] if line.contains("a: annotation 2 has the category 5")), "{bad_pieces:?}");
    assert!(
        matches!(&notes[..], [line] if line.contains("sub_b: annotation 4 has a polygon of 2 corners")),
        "{notes:?}"
    );
}

#[test]
fn files_of_all_makers_are_read() {
    let expected = [0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0];
    for (image, annotation) in [
        (r#""id": 7.0, "file_name": "a.jpg", "width": 4.0, "height": 3.0"#, format!(r#""image_id": "7", {SHIRT}"#)),
        (r#""id": "7", "file_name": "sub\\b.jpg", "width": "4", "height": "3""#, format!(r#""image_id": 7, {SHIRT}"#)),
        (
            r#""id": "x", "file_name": "/other/a.jpg", "width": -1, "height": -1"#,
            format!(r#""image_id": "x", {SHIRT}"#),
        ),
        (r#""id": 7, "file_name": "C:\\data\\a.jpg""#, format!(r#""image_id": 7, {SHIRT}"#)),
        (r#""id": 7, "file_name": "https://host/train/a.jpg""#, format!(r#""image_id": 7, {SHIRT}"#)),
        (
            r#""id": 7, "file_name": "a.jpg""#,
            r#""image_id": 7, "category_id": "4", "segmentation": [1, 0, 3, 0, 3, 3, 1, 3]"#.to_owned(),
        ),
        (
            r#""id": 7, "file_name": "a.jpg""#,
            r#""image_id": 7, "category_id": 4.0, "segmentation": {"size": [3.0, 4.0], "counts": [3.0, 6, 3]}"#
                .to_owned(),
        ),
        (
            r#""id": 7, "file_name": "a.jpg""#,
            r#""image_id": 7, "category_id": 4, "segmentation": [[0, 0, 1, 1], [1, 0, 3, 0, 3, 3, 1, 3], []]"#
                .to_owned(),
        ),
    ] {
        let Read { labels, damage, .. } = read(&format!("{{{image}}}"), &format!("{{{annotation}}}"));
        assert!(damage.is_empty(), "{image}: {damage:?}");
        assert_eq!(labels, [expected], "{image} {annotation}");
    }
}

#[test]
fn images_of_one_stem_are_told_apart() {
    let root = tempfile::tempdir().unwrap();
    ["b.jpg", "b.png", "c.jpg"].iter().for_each(|name| RgbImage::new(4, 3).save(root.path().join(name)).unwrap());
    let image =
        |(id, name): (usize, &&str)| format!(r#"{{"id": {id}, "file_name": "{name}", "width": 4, "height": 3}}"#);
    let images: Vec<String> = ["b.jpg", "b.png", "c.jpg"].iter().enumerate().map(image).collect();
    let annotation = format!(r#"{{"id": 1, "image_id": 1, {SHIRT}}}"#);
    let path = root.path().join("instances.json");
    fs::write(&path, format!(r#"{{"annotations": [{annotation}], {HEAD}, "images": [{}]}}"#, images.join(",")))
        .unwrap();
    let listing = list(&path, root.path()).unwrap();
    assert!(listing.incomplete.is_empty(), "{:?}", listing.incomplete);
    let found: Vec<_> =
        listing.pairs.iter().map(|pair| (pair.stem.as_str(), pair.label.load().unwrap().data[1])).collect();
    assert_eq!(found, [("b.jpg", 0), ("b.png", 1), ("c", 0)]);
}

#[test]
fn causes_come_before_what_follows_from_them() {
    let images = format!(r#"{IMAGES}, {{"id": 5, "file_name": "gone.jpg", "width": 4, "height": 3}}"#);
    let annotations = r#"{"id": 1, "image_id": 77}, {"id": 2, "image_id": 5, "category_id": 99}"#;
    let damage = read(&images, annotations).damage;
    assert_eq!(damage.len(), 2, "{damage:?}");
    assert!(damage[0].contains("gone.jpg: no photo") && damage[1].contains("image_id 77"), "{damage:?}");
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

#[test]
fn corners_may_be_pairs_and_a_file_without_annotations_says_so() {
    for polygon in
        ["[1, 0, 3, 0, 3, 3, 1, 3]", "[[1, 0], [3, 0], [3, 3], [1, 3]]", "[[[1, 0], [3, 0], [3, 3], [1, 3]]]"]
    {
        let annotation = format!(r#"{{"id": 1, "image_id": 9, "category_id": 4, "segmentation": {polygon}}}"#);
        let Read { labels, damage, notes, .. } = read(IMAGES, &annotation);
        assert!(damage.is_empty() && notes.is_empty(), "{polygon}: {damage:?} {notes:?}");
        assert_eq!(labels[0], [0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0], "{polygon}");
    }
    let Read { notes, .. } = read_text(&format!(r#"{{{HEAD}, "images": [{IMAGES}]}}"#)).unwrap();
    assert!(matches!(&notes[..], [note] if note.contains("has no `annotations`")), "{notes:?}");
}
