#![allow(clippy::unwrap_used)]

use super::*;
use base64::Engine as _;
use image::{GrayImage, Luma, RgbImage};
use serde_json::json;
use std::fs;

fn mask(width: u32, height: u32) -> String {
    let mut png = Vec::new();
    let image = GrayImage::from_fn(width, height, |x, y| Luma([u8::from((x, y) != (1, 0)) * 255]));
    image.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
    base64::engine::general_purpose::STANDARD.encode(png)
}

/// A photo of 6 x 4 pixels and its file in `train`.
fn write(root: &Path, name: &str, photo: &str, content: &Value) {
    fs::create_dir_all(root.join("train")).unwrap();
    let photo = root.join("train").join(photo);
    fs::create_dir_all(photo.parent().unwrap()).unwrap();
    RgbImage::new(6, 4).save(photo).unwrap();
    fs::write(root.join("train").join(name), content.to_string()).unwrap();
}

fn shape(label: &str, kind: &str, points: &Value) -> Value {
    json!({"label": label, "points": points, "shape_type": kind, "group_id": null, "flags": {}})
}

fn rows(listing: &Listing, stem: &str) -> Vec<String> {
    let pair = listing.pairs.iter().find(|pair| pair.stem == stem).unwrap();
    let label = pair.label.load().unwrap();
    label.data.chunks(label.width as usize).map(|row| row.iter().map(u8::to_string).collect()).collect()
}

#[test]
fn shapes_of_every_kind_are_painted() {
    let root = tempfile::tempdir().unwrap();
    let mut drawn = shape("hat", "mask", &json!([[0, 2], [1, 3]]));
    drawn["mask"] = mask(2, 2).into();
    let shapes = json!([
        shape("shirt", "polygon", &json!([[3, 0], [6, 0], [6, 2], [3, 2]])),
        drawn,
        shape("shoe", "circle", &json!([[4.5, 2.5], [4.5, 3.0]])),
        {"label": "tie", "points": [[0, 0], [1, 0], [1, 1], [0, 1]]},
    ]);
    write(
        root.path(),
        "a.json",
        "photos/a.jpg",
        &json!({"shapes": shapes, "imagePath": "photos\\a.jpg", "imageData": null}),
    );
    fs::write(root.path().join("train/notes.json"), "{\"a\": 1}").unwrap();
    fs::write(root.path().join("train/list.json"), "[1]").unwrap();
    let listing = list(root.path(), "train", None, KnownLabels::default()).unwrap();
    assert_eq!(listing.classes, ["background", "hat", "shirt", "shoe", "tie"]);
    assert!(listing.incomplete.is_empty() && listing.bad_pieces.is_empty(), "{listing:?}");
    assert_eq!(rows(&listing, "a"), ["400222", "000222", "100030", "110000"]);
}

#[test]
fn what_is_to_be_ignored_counts_nowhere() {
    let root = tempfile::tempdir().unwrap();
    let shapes = json!([
        shape("__ignore__", "rectangle", &json!([[2, 4], [0, 3]])),
        shape("_background_", "rectangle", &json!([[3, 3], [4, 4]])),
    ]);
    write(root.path(), "a.json", "a.jpg", &json!({"shapes": shapes, "imagePath": "a.jpg"}));
    let listing = list(root.path(), "train", None, KnownLabels::default()).unwrap();
    assert_eq!((listing.classes.len(), rows(&listing, "a")[3].as_str()), (1, "2552550000"));
}

#[test]
fn photos_are_found_beside_the_file_or_in_the_folder_of_images() {
    let root = tempfile::tempdir().unwrap();
    let shapes = json!([shape("shirt", "polygon", &json!([[0, 0], [6, 0], [6, 4], [0, 4]]))]);
    write(root.path(), "a.b.labelme.json", "a.b.png", &json!({"shapes": shapes, "imagePath": "/gone/other.jpg"}));
    write(root.path(), "c.json", "../photos/c.jpg", &json!({"shapes": shapes, "imagePath": "D:\\photos\\c.jpg"}));
    let listing = list(root.path(), "train", Some(Path::new("photos")), KnownLabels::default()).unwrap();
    let stems: Vec<_> = listing.pairs.iter().map(|pair| pair.stem.as_str()).collect();
    assert_eq!(stems, ["a.b", "c"], "{:?}", listing.incomplete);
    let listing = list(root.path(), "train", None, KnownLabels::default()).unwrap();
    assert!(matches!(&listing.incomplete[..], [line] if line.contains("no photo `D:/photos/c.jpg`")), "{listing:?}");
    assert!(
        list(root.path(), "valid", None, KnownLabels::default()).unwrap_err().to_string().contains("no such folder")
    );
}

#[test]
fn what_is_no_region_is_named_and_costs_itself_alone() {
    let good = shape("shirt", "polygon", &json!([[0, 0], [6, 0], [6, 4], [0, 4]]));
    for (bad, expected, is_empty) in [
        (shape("hat", "line", &json!([[0, 0], [1, 1]])), "shape 2 of `hat` is a line", true),
        (shape("hat", "polygon", &json!([[0, 0], [1, 1]])), "an outline of 2 corners", true),
        (shape("hat", "circle", &json!([[0, 0]])), "is a circle of 1 point", false),
        (shape("hat", "mask", &json!([[0, 0], [1, 1]])), "a mask that cannot be read", false),
        (shape("hat", "polygon", &json!([[0, 0], [99, 0], [99, 9]])), "far outside", false),
        (json!({"points": []}), "cannot be read", false),
        (json!({"label": null, "points": []}), "has no label", false),
    ] {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "a.json", "a.jpg", &json!({"shapes": [good, bad], "imagePath": "a.jpg"}));
        let listing = list(root.path(), "train", None, KnownLabels::default()).unwrap();
        let told = if is_empty { &listing.notes } else { &listing.bad_pieces };
        assert!(matches!(&told[..], [line] if line.contains(expected)), "{expected}: {listing:?}");
        assert_eq!(listing.pairs.len(), 1);
    }
}

#[test]
fn the_names_of_a_mapping_are_classes_that_a_split_need_not_show() {
    let root = tempfile::tempdir().unwrap();
    let shapes = json!([shape("shirt", "rectangle", &json!([[0, 0], [6, 4]]))]);
    write(root.path(), "a.json", "a.jpg", &json!({"shapes": shapes, "imagePath": "a.jpg"}));
    let mapping = root.path().join("map.toml");
    fs::write(&mapping, "target = 'garments'\n[classes]\nbackground = 'background'\nshirt = 'shirt'\ncap = 'hat'\n")
        .unwrap();
    let listing = list(root.path(), "train", None, KnownLabels { mapping: Some(&mapping), target: None }).unwrap();
    assert_eq!(listing.classes, ["background", "shirt", "cap"]);
}

/// The listing of one file with these shapes, about a photo of 6 x 4 pixels.
fn listed(sides: [u32; 2], shapes: &Value, known: KnownLabels<'_>) -> Listing {
    let root = tempfile::tempdir().unwrap();
    let [width, height] = sides;
    let content = json!({"shapes": shapes, "imagePath": "a.jpg", "imageWidth": width, "imageHeight": height});
    write(root.path(), "a.json", "a.jpg", &content);
    list(root.path(), "train", None, known).unwrap()
}

#[test]
fn shapes_on_a_photo_of_another_size_are_scaled_and_on_one_of_another_shape_refused() {
    let known = KnownLabels::default();
    let mut drawn = shape("hat", "mask", &json!([[0, 4], [3, 7]]));
    drawn["mask"] = mask(4, 4).into();
    let shapes = json!([shape("shirt", "rectangle", &json!([[6, 0], [12, 4]])), drawn]);
    for sides in [[12, 8], [11, 8]] {
        let listing = listed(sides, &shapes, known);
        assert!(listing.incomplete.is_empty() && listing.bad_pieces.is_empty(), "{listing:?}");
        assert_eq!(rows(&listing, "a")[2..], ["110000", "110000"], "{sides:?}");
    }
    assert_eq!(rows(&listed([12, 8], &shapes, known), "a")[0], "000222");
    for sides in [[8, 12], [12, 12], [6, 3]] {
        let listing = listed(sides, &shapes, known);
        assert!(listing.pairs.is_empty(), "{sides:?}");
        let [line] = &listing.incomplete[..] else { panic!("{listing:?}") };
        assert!(line.contains("a.json") && line.contains("and the photo is 6 x 4"), "{line}");
    }
    assert_eq!(
        rows(&listed([0, 0], &json!([shape("x", "rectangle", &json!([[0, 0], [1, 1]]))]), known), "a")[0],
        "100000"
    );
}

#[test]
fn a_label_that_names_no_class_costs_its_region_alone() {
    let target = crate::data::Target::builtin("garments").unwrap();
    let square = |label: &str| shape(label, "rectangle", &json!([[0, 0], [6, 4]]));
    let known = KnownLabels { mapping: None, target: Some(&target) };
    let listing = listed([6, 4], &json!([square("Shirt"), square("trousrs"), square("__Ignore__")]), known);
    let [line] = &listing.bad_pieces[..] else { panic!("{listing:?}") };
    assert!(line.contains("a.json: shape 2 has the label `trousrs`, which is no class of `garments`"), "{line}");
    assert_eq!((listing.pairs.len(), &listing.classes[1..]), (1, &["Shirt".to_owned()][..]));
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "target = 'garments'\n[classes]\nbackground = 'background'\nshirt = 'shirt'\n").unwrap();
    let known = KnownLabels { mapping: Some(file.path()), target: Some(&target) };
    let listing = listed([6, 4], &json!([square("Shirt"), square("pants")]), known);
    assert!(
        matches!(&listing.bad_pieces[..], [line] if line.contains("shape 2 has the label `pants`, which")),
        "{listing:?}"
    );
    // Nothing is left of the label: a background would be wrong.
    assert!(listed([6, 4], &json!([square("pants")]), known).incomplete[0].contains("`pants`"));
}

#[test]
fn a_photo_without_an_extension_is_found() {
    let root = tempfile::tempdir().unwrap();
    let shapes = json!([shape("shirt", "rectangle", &json!([[0, 0], [6, 4]]))]);
    write(root.path(), "a.json", "a.jpg", &json!({"shapes": shapes}));
    fs::rename(root.path().join("train/a.jpg"), root.path().join("train/a")).unwrap();
    let listing = list(root.path(), "train", None, KnownLabels::default()).unwrap();
    assert_eq!(listing.pairs.len(), 1, "{:?}", listing.incomplete);
}

#[test]
fn photos_without_a_file_and_with_two_are_named() {
    let root = tempfile::tempdir().unwrap();
    let content = json!({"shapes": [shape("shirt", "rectangle", &json!([[0, 0], [6, 4]]))], "imagePath": "a.jpg"});
    write(root.path(), "a.json", "a.jpg", &content);
    write(root.path(), "b.json", "c.jpg", &json!({"shapes": [], "imagePath": "./a.jpg"}));
    let listing = list(root.path(), "train", None, KnownLabels::default()).unwrap();
    let [line] = &listing.incomplete[..] else { panic!("{listing:?}") };
    assert!(line.contains("b.json: is about the same photo as") && line.contains("a.json; remove"), "{line}");
    assert!(matches!(&listing.notes[..], [note] if note.ends_with("c.jpg: no JSON file is about it")), "{listing:?}");
}

#[test]
fn a_misspelt_label_does_not_stop_a_training_that_skips_damage() {
    use crate::data::{Dataset, Layout, OnDamage, Source, SourceFiles, Target};
    let root = tempfile::tempdir().unwrap();
    let [good, bad] = ["shirt", "trousrs"].map(|label| shape(label, "rectangle", &json!([[0, 0], [3, 4]])));
    write(root.path(), "a.json", "a.jpg", &json!({"shapes": [good, bad], "imagePath": "a.jpg"}));
    let source = Source {
        layout: Layout::Labelme,
        root: root.path().to_owned(),
        split: "train".to_owned(),
        files: SourceFiles::default(),
        mapping: None,
        repeat: 1.0,
        aspect: None,
    };
    let target = Target::builtin("garments").unwrap();
    let open = |on_damage| Dataset::open(std::slice::from_ref(&source), &target, on_damage);
    let error = open(OnDamage::Refuse).unwrap_err().to_string();
    assert!(
        error.contains("1 damaged example (repair it") && error.contains("a.json: shape 2 has the label"),
        "{error}"
    );
    let shirt = target.taxonomy.index_of("shirt").unwrap() as u8;
    assert_eq!(open(OnDamage::Skip).unwrap().load_labels(0).unwrap().data[..4], [shirt, shirt, shirt, 0]);
}

#[test]
fn photos_of_one_name_are_kept_apart() {
    let root = tempfile::tempdir().unwrap();
    let content =
        |photo: &str| json!({"shapes": [shape("shirt", "rectangle", &json!([[0, 0], [2, 2]]))], "imagePath": photo});
    write(root.path(), "p.json", "p.jpg", &content("p.jpg"));
    write(root.path(), "p.labelme.json", "p.png", &content("p.png"));
    write(root.path(), "a_b.json", "a_b.jpg", &content("a_b.jpg"));
    fs::create_dir_all(root.path().join("train/a")).unwrap();
    write(root.path(), "a/b.json", "a/b.jpg", &content("b.jpg"));
    let listing = list(root.path(), "train", None, KnownLabels::default()).unwrap();
    let stems: Vec<_> = listing.pairs.iter().map(|pair| pair.stem.as_str()).collect();
    assert_eq!(stems, ["a_b.jpg", "p.jpg", "p.png"]);
    assert!(
        matches!(&listing.incomplete[..], [line] if line.contains("has the name of another photo; rename")),
        "{:?}",
        listing.incomplete
    );
}

#[test]
fn a_file_that_cannot_be_read_is_the_only_cause_that_is_named() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a.json", "a.jpg", &json!({"shapes": [], "imagePath": "a.jpg"}));
    fs::write(root.path().join("train/a.json"), "{\"shapes\": [").unwrap();
    let listing = list(root.path(), "train", None, KnownLabels::default()).unwrap();
    assert!(listing.notes.is_empty() && listing.incomplete.len() == 1, "{listing:?}");
}
