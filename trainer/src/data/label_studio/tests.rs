#![allow(clippy::unwrap_used)]

use super::*;
use image::RgbImage;
use serde_json::json;
use std::fs;

/// The code of an RGBA picture of these alphas, as `encode_rle` of Label Studio's converter makes it: numbers of 3, 4, 8 and 16 bits.
fn brush(alphas: &[u8]) -> Vec<u8> {
    let values: Vec<u8> = alphas.iter().flat_map(|alpha| [*alpha; 4]).collect();
    let mut bits = String::new();
    let mut put = |value: usize, count: usize| bits += &format!("{value:0count$b}");
    put(values.len(), 32);
    put(7, 5);
    [2, 3, 7, 15].iter().for_each(|length| put(*length, 4));
    let mut at = 0;
    while at < values.len() {
        let run = values[at..].iter().take_while(|value| **value == values[at]).count();
        // Every other run is written value by value, which is allowed, too.
        let is_repeated = at % 8 == 0;
        let count = if is_repeated { run } else { run.min(4) };
        put(usize::from(is_repeated), 1);
        put(2, 2);
        put(count - 1, 8);
        (0..if is_repeated { 1 } else { count }).for_each(|_| put(values[at].into(), 8));
        at += count;
    }
    bits.as_bytes()
        .chunks(8)
        .map(|byte| {
            let byte = format!("{:0<8}", std::str::from_utf8(byte).unwrap());
            u8::from_str_radix(&byte, 2).unwrap()
        })
        .collect()
}

/// The listing of tasks about `a.jpg` and `b.jpg`, both of 4 x 2 pixels.
fn read(tasks: &Value) -> Result<Listing> {
    read_for(tasks, KnownLabels::default())
}

fn read_for(tasks: &Value, known: KnownLabels<'_>) -> Result<Listing> {
    let root = tempfile::tempdir().unwrap();
    for name in ["a.jpg", "sub/b.jpg"] {
        let path = root.path().join("train").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::new(4, 2).save(path).unwrap();
    }
    fs::write(root.path().join("train.json"), tasks.to_string()).unwrap();
    list(&root.path().join("train.json"), &root.path().join("train"), known)
}

fn labels(listing: &Listing) -> Vec<Vec<u8>> {
    listing.pairs.iter().map(|pair| pair.label.load().unwrap().data).collect()
}

fn task(image: &str, results: &Value) -> Value {
    json!({"id": 7, "data": {"image": image}, "annotations": [{"id": 1, "result": results}]})
}

fn result(kind: &str, mut value: Value) -> Value {
    value[kind] = json!(["shirt"]);
    json!({"id": "x", "type": kind, "original_width": 4, "original_height": 2, "image_rotation": 0, "value": value})
}

fn polygon_right() -> Value {
    result("polygonlabels", json!({"points": [[50, 0], [100, 0], [100, 100], [50, 100]], "closed": true}))
}

const RIGHT: [u8; 8] = [0, 0, 1, 1, 0, 0, 1, 1];

#[test]
fn regions_of_every_kind_are_painted() {
    let alphas = [0, 0, 255, 128, 0, 0, 200, 255];
    for value in [
        result("brushlabels", json!({"format": "rle", "rle": brush(&alphas)})),
        polygon_right(),
        result("rectanglelabels", json!({"x": 50, "y": 0, "width": 50, "height": 100, "rotation": 0})),
        // Turned by a quarter about its first corner.
        result("rectanglelabels", json!({"x": 100, "y": 0, "width": 50, "height": 100, "rotation": 90})),
        result("ellipselabels", json!({"x": 75, "y": 50, "radiusX": 33, "radiusY": 66, "rotation": 0})),
    ] {
        let listing = read(&json!([task(
            "/data/upload/1/a.jpg",
            &json!([value.clone(), {"type": "choices", "value": {"choices": ["x"]}}])
        )]))
        .unwrap();
        assert!(listing.incomplete.is_empty() && listing.bad_pieces.is_empty(), "{listing:?}");
        assert_eq!(
            (labels(&listing), listing.classes),
            (vec![RIGHT.to_vec()], vec!["background".to_owned(), "shirt".to_owned()]),
            "{value}"
        );
    }
}

#[test]
fn photos_are_found_by_what_a_task_calls_them() {
    for image in [
        "/data/upload/3/0a1b2c3d-a.jpg",
        "/data/local-files/?d=train/a.jpg",
        "https://host/train/a.jpg?token=1",
        "s3://bucket/%61.jpg",
        "C:\\photos\\a.jpg",
        "a.jpg",
    ] {
        let listing = read(&json!([task(image, &json!([polygon_right()]))])).unwrap();
        assert_eq!(listing.pairs.len(), 1, "{image}: {:?}", listing.incomplete);
        assert_eq!(listing.pairs[0].stem, "a");
    }
    let listing = read(&json!([task("sub/b.jpg", &json!([])), task("gone.jpg", &json!([]))])).unwrap();
    assert_eq!((listing.pairs.len(), listing.incomplete.len()), (1, 1));
    assert!(listing.incomplete[0].contains("task 7: no photo `gone.jpg`"), "{:?}", listing.incomplete);
}

#[test]
fn the_annotation_that_counts_is_chosen_and_json_min_is_read() {
    let none = json!([]);
    let annotations = |list: Value| json!([{"data": {"image": "a.jpg"}, "annotations": list}]);
    let right = json!([polygon_right()]);
    let empty = vec![0; 8];
    for (list, expected) in [
        (json!([{"result": none}, {"result": right}]), RIGHT.to_vec()),
        (json!([{"result": none, "ground_truth": true}, {"result": right}]), empty.clone()),
        (json!([{"result": none}, {"result": right, "was_cancelled": true}]), empty),
    ] {
        assert_eq!(labels(&read(&annotations(list)).unwrap()), [expected]);
    }
    let listing = read(&annotations(json!([]))).unwrap();
    assert!(
        listing.pairs.is_empty() && listing.notes[0].contains("1 task without an annotation: task number 1 (a.jpg)"),
        "{listing:?}"
    );
    let min = json!([{"id": 1, "image": "/data/upload/1/a.jpg", "label": [
        {"points": [[50, 0], [100, 0], [100, 100], [50, 100]], "polygonlabels": ["shirt"], "original_width": 4, "original_height": 2}
    ]}]);
    assert_eq!(labels(&read(&min).unwrap()), [RIGHT]);
}

#[test]
fn labels_that_stand_apart_from_their_region_are_found() {
    let mut polygon = polygon_right();
    polygon["value"].as_object_mut().unwrap().remove("polygonlabels");
    let label = json!({"id": "x", "type": "labels", "value": {"labels": ["shirt"]}});
    assert_eq!(labels(&read(&json!([task("a.jpg", &json!([polygon, label]))])).unwrap()), [RIGHT]);
}

#[test]
fn damage_is_named_with_task_and_region() {
    let code = brush(&[0, 0, 255, 255, 0, 0, 255, 255]);
    let turned = || {
        let mut turned = polygon_right();
        turned["image_rotation"] = 90.into();
        turned
    };
    let other = || {
        let mut other = polygon_right();
        other["original_width"] = 8.into();
        other
    };
    for (value, expected) in [
        (result("brushlabels", json!({"rle": code[..code.len() - 3]})), "a brush that is cut off"),
        (result("brushlabels", json!({"rle": brush(&[255; 4])})), "a brush of 16 bytes"),
        (result("brushlabels", json!({"rle": [1, 2, 300]})), "cannot be read"),
        (turned(), "was drawn on a photo that was turned"),
        (other(), "a picture of 8 x 2"),
        (json!({"type": "polygonlabels", "value": {"points": [[0, 0], [1, 0], [1, 1]]}}), "has no label"),
    ] {
        let listing = read(&json!([task("a.jpg", &json!([polygon_right(), value]))])).unwrap();
        let [piece] = &listing.bad_pieces[..] else { panic!("{expected}: {listing:?}") };
        assert!(piece.contains("task 7: region 2") && piece.contains(expected), "{piece}");
    }
    for text in ["{}", "[1]", "[{}"] {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("train.json"), text).unwrap();
        fs::create_dir(root.path().join("train")).unwrap();
        let error = list(&root.path().join("train.json"), &root.path().join("train"), KnownLabels::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("train.json"), "{error}");
    }
}

#[test]
fn a_label_that_names_no_class_costs_its_region_alone() {
    let target = crate::data::Target::builtin("garments").unwrap();
    let mut other = polygon_right();
    other["value"]["polygonlabels"] = json!(["shrit"]);
    let known = KnownLabels { mapping: None, target: Some(&target) };
    let listing = read_for(&json!([task("a.jpg", &json!([polygon_right(), other]))]), known).unwrap();
    let [line] = &listing.bad_pieces[..] else { panic!("{listing:?}") };
    assert!(line.contains("train.json: task 7: region 2 has the label `shrit`"), "{line}");
    assert_eq!(labels(&listing), [RIGHT]);
}

#[test]
fn photos_of_one_stem_are_told_apart() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("train")).unwrap();
    ["b.jpg", "b.png"].iter().for_each(|name| RgbImage::new(4, 2).save(root.path().join("train").join(name)).unwrap());
    let tasks = json!([task("b.jpg", &json!([polygon_right()])), task("b.png", &json!([])), task("b.png", &json!([]))]);
    fs::write(root.path().join("train.json"), tasks.to_string()).unwrap();
    let listing = list(&root.path().join("train.json"), &root.path().join("train"), KnownLabels::default()).unwrap();
    let stems: Vec<&str> = listing.pairs.iter().map(|pair| pair.stem.as_str()).collect();
    assert_eq!(stems, ["b.jpg", "b.png"]);
    assert!(matches!(&listing.incomplete[..], [line] if line.contains("b.png has a task before it")), "{listing:?}");
}

#[test]
fn bitmasks_are_painted_by_what_is_seen_of_them() {
    let address = |pixels: [[u8; 4]; 8]| {
        let mut png = Vec::new();
        let picture = image::RgbaImage::from_raw(4, 2, pixels.concat()).unwrap();
        picture.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
        let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, png);
        json!({"format": "png", "imageDataURL": format!("data:image/png;base64,{base64}")})
    };
    let (clear, black, white) = ([0, 0, 0, 0], [0, 0, 0, 255], [255; 4]);
    for pixels in [
        [clear, clear, black, black, clear, clear, black, black],
        [black, black, white, white, black, black, white, white],
    ] {
        let listing = read(&json!([task("a.jpg", &json!([result("bitmasklabels", address(pixels))]))])).unwrap();
        assert_eq!(labels(&listing), [RIGHT], "{listing:?}");
    }
    let damaged = result("bitmasklabels", json!({"imageDataURL": "data:image/png;base64,AAAA"}));
    let listing = read(&json!([task("a.jpg", &json!([damaged]))])).unwrap();
    assert!(listing.pairs.is_empty() && listing.incomplete[0].contains("cannot be read"), "{listing:?}");
}

#[test]
fn regions_of_other_kinds_are_named() {
    for (kind, value, expected) in [
        ("vectorlabels", json!({"vertices": [{"x": 1, "y": 2}], "closed": true}), "is a vector"),
        ("keypointlabels", json!({"x": 1, "y": 2, "width": 1}), "is a keypoint"),
        ("labels", json!({"sequence": [], "framesCount": 3}), "has `labels`, and no outline"),
    ] {
        let results = json!([polygon_right(), result(kind, value.clone())]);
        let listing = read(&json!([task("a.jpg", &results)])).unwrap();
        let told = [listing.bad_pieces.clone(), listing.notes.clone()].concat().join("\n");
        assert!(told.contains(expected) && labels(&listing) == [RIGHT], "{kind}: {listing:?}");
        // Where nothing else is marked the photo is not all background.
        let alone = read(&json!([task("a.jpg", &json!([result(kind, value)]))])).unwrap();
        assert!(alone.pairs.is_empty() && alone.incomplete[0].contains(expected), "{kind}: {alone:?}");
    }
}

#[test]
fn photos_without_a_task_are_named() {
    let listing = read(&json!([task("a.jpg", &json!([polygon_right()]))])).unwrap();
    assert!(matches!(&listing.notes[..], [note] if note.contains("b.jpg: no task is about it")), "{:?}", listing.notes);
}
