#![allow(clippy::unwrap_used)]

use super::*;
use crate::data::LabelImage;
use image::RgbImage;
use std::fs;
use std::path::PathBuf;

const DESCRIPTIONS: &str = r#"{"info": {"year": 2019}, "categories": [
    {"id": 0, "name": "shirt, blouse", "supercategory": "upperbody", "level": 2},
    {"id": 1, "name": "sleeve", "supercategory": "garment parts", "level": 2}], "attributes": []}"#;

/// A dataset of photos 4 wide and 3 high, named `a.jpg`, `b.jpg` ..., with these lines after the header.
fn dataset(root: &Path, photos: &[&str], header: &str, lines: &[&str]) -> PathBuf {
    fs::create_dir_all(root.join("train")).unwrap();
    fs::write(root.join("label_descriptions.json"), DESCRIPTIONS).unwrap();
    for name in photos {
        RgbImage::new(4, 3).save(root.join("train").join(format!("{name}.jpg"))).unwrap();
    }
    let path = root.join("train.csv");
    fs::write(&path, format!("{header}\n{}\n", lines.join("\n"))).unwrap();
    path
}

const HEADER_2019: &str = "ImageId,EncodedPixels,Height,Width,ClassId";

/// Names and labels, and the damage.
type Read = (Vec<(String, LabelImage)>, Vec<String>);

fn read(photos: &[&str], header: &str, lines: &[&str]) -> Result<Read> {
    let root = tempfile::tempdir().unwrap();
    let path = dataset(root.path(), photos, header, lines);
    let listing = list(&path, &root.path().join("train"))?;
    assert_eq!(listing.classes, ["background", "shirt, blouse", "sleeve"]);
    let labels = listing.pairs.iter().map(|pair| (pair.stem.clone(), pair.label.load().unwrap()));
    Ok((labels.collect(), listing.incomplete))
}

#[test]
fn rows_of_2019_and_2020_are_painted_small_over_large() {
    // Columns of 3 pixels. The shirt is the two columns in the middle, the sleeve two pixels of them; rows of `a` do not
    // stand together.
    let lines = ["a.jpg,8 2,3,4,1_5_9", "b.jpg,1 1,3,4,0", "a.jpg,4 6,3,4,0_92"];
    let (labels, damage) = read(&["a", "b"], HEADER_2019, &lines).unwrap();
    assert!(damage.is_empty(), "{damage:?}");
    assert_eq!(labels[0].0, "a");
    assert_eq!(labels[0].1.data, [0, 1, 1, 0, 0, 1, 2, 0, 0, 1, 2, 0]);
    assert_eq!((labels[0].1.width, labels[0].1.height), (4, 3));
    assert_eq!(labels[1].1.data.iter().map(|class| u32::from(*class)).sum::<u32>(), 1);

    let header = "\u{feff}ImageId,EncodedPixels,Height,Width,ClassId,AttributesIds";
    let lines = ["a,8 2,3,4,1,\"115,136,143\"", "a,4 6,3,4,0,", "b,1 1,3,4,0,\r"];
    let (again, damage) = read(&["a", "b"], header, &lines).unwrap();
    assert!(damage.is_empty(), "{damage:?}");
    assert_eq!(again, labels);
}

#[test]
fn photos_without_rows_are_no_examples() {
    let (labels, damage) = read(&["a", "b"], HEADER_2019, &["b.jpg,1 1,3,4,0", ""]).unwrap();
    assert_eq!((labels.len(), damage.len()), (1, 0));
}

#[test]
fn every_kind_of_damage_is_named_with_its_line() {
    for (line, expected) in [
        ("a.jpg,11 3,3,4,0", "line 2 has the run `11 3`, which leaves the picture of 12 pixels"),
        ("a.jpg,0 3,3,4,0", "line 2 has `0`"),
        ("a.jpg,3 -1,3,4,0", "line 2 has `-1`"),
        ("a.jpg,3 1 2,3,4,0", "line 2 has an odd number"),
        ("a.jpg,,3,4,0", "line 2 has no run"),
        ("a.jpg,1 1,3,4,2", "line 2 has the category 2"),
        ("a.jpg,1 1,3,4,x_1", "line 2 has the ClassId `x_1`"),
        ("a.jpg,1 1,3.5,4,0", "line 2 has the Height `3.5`"),
        ("a.jpg,1 1,3,0,0", "line 2 is for a picture of 0 x 3"),
        ("a.jpg,1 1,999999,999999,0", "more than"),
        ("a.jpg,1 1", "line 2 has the Width ``"),
        (",1 1,3,4,0", "line 2 has no ImageId"),
        ("gone.jpg,1 1,3,4,0", "gone: no photo in"),
    ] {
        let (labels, damage) = read(&["a", "b"], HEADER_2019, &[line, "b.jpg,1 1,3,4,0"]).unwrap();
        assert_eq!((labels.len(), damage.len()), (1, 1), "{line}: {damage:?}");
        assert!(damage[0].contains(expected) && damage[0].contains("train.csv"), "{line}: {}", damage[0]);
    }
}

#[test]
fn damage_of_one_photo_is_one_line_whatever_row_it_is_in() {
    let lines = ["a.jpg,1 1,3,4,0", "a.jpg,1 1,4,3,0", "a.jpg,9,3,4,0", "a.jpg,1 1,3,4,7", "a.jpg,1 1,3,4,8"];
    let (labels, damage) = read(&["a"], HEADER_2019, &lines).unwrap();
    assert!(labels.is_empty());
    assert_eq!(damage.len(), 1, "{damage:?}");
    for expected in ["line 3 says 3 x 4, and a row before says 4 x 3", "line 4", "line 5", "and 1 more"] {
        assert!(damage[0].contains(expected), "{damage:?}");
    }
}

#[test]
fn files_of_another_form_are_refused() {
    let error = read(&[], "Image,EncodedPixels,Height,Width,ClassId", &[]).unwrap_err().to_string();
    assert!(error.contains("`ImageId`"), "{error}");
    let root = tempfile::tempdir().unwrap();
    let path = dataset(root.path(), &[], HEADER_2019, &[]);
    fs::write(root.path().join("label_descriptions.json"), r#"{"categories": [{"id": -1}]}"#).unwrap();
    let error = list(&path, &root.path().join("train")).unwrap_err().to_string();
    assert!(error.contains("label_descriptions.json"), "{error}");
    fs::write(root.path().join("label_descriptions.json"), [0xff, 0xfe]).unwrap();
    assert!(list(&path, &root.path().join("train")).is_err());
}

#[test]
fn bytes_that_are_no_text_cost_their_line_only() {
    let root = tempfile::tempdir().unwrap();
    let path = dataset(root.path(), &["a"], HEADER_2019, &[]);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"\xff\xfe,1 1,3,4,0\na.jpg,1 1,3,4,0");
    fs::write(&path, bytes).unwrap();
    let listing = list(&path, &root.path().join("train")).unwrap();
    assert_eq!((listing.pairs.len(), listing.incomplete.len()), (1, 1));
    assert!(listing.incomplete[0].contains("line 3 is no CSV"), "{:?}", listing.incomplete);
}

/// The names of Kaggle's label_descriptions.json are those of the runtime's taxonomy, so that no mapping is needed.
#[test]
fn the_competitions_names_are_the_taxonomys() {
    let target = crate::data::Target::builtin("imaterialist").unwrap();
    let names = ["background", "shirt, blouse", "headband, head covering, hair accessory", "bag, wallet", "tassel"];
    let mapping = crate::data::Mapping::by_name(&names.map(str::to_owned), &Default::default(), &target).unwrap();
    let targets = [0, 1, 16, 25, 46].map(crate::data::mapping::MappedTo::Label);
    assert_eq!([0, 1, 2, 3, 4].map(|index| mapping.target(index).unwrap()), targets);
}
