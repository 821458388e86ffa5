#![allow(clippy::unwrap_used)]

use super::*;
use image::RgbImage;
use std::fs;

/// Photos of 8 x 4 pixels.
fn write(root: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match name.ends_with("jpg") {
            true => RgbImage::new(8, 4).save(path).unwrap(),
            false => fs::write(path, text).unwrap(),
        }
    }
}

fn labels(listing: &Listing) -> Vec<(&str, Vec<u8>)> {
    let label = |pair: &super::super::Pair| pair.label.load().unwrap().data;
    listing.pairs.iter().map(|pair| (pair.stem.as_str(), label(pair))).collect()
}

const NAMES: &str = "path: ../elsewhere\ntrain: ../train/images\nval: images/val\nnames: [shirt, hat, tie]\n";
/// The left half, and the pixel at the top right.
const LINES: &str = "0 0 0 0.5 0 0.5 1 0 1\n2.0 0.875 0 1 0 1 0.25 0.875 0.25\r\n\n";
const PAINTED: [u8; 32] = [
    1, 1, 1, 1, 0, 0, 0, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, //
];

#[test]
fn labels_are_found_wherever_tools_put_them() {
    let none = SourceFiles::default();
    for (files, split, settings) in [
        (&[("data.yaml", NAMES), ("train/images/a.jpg", ""), ("train/labels/a.txt", LINES)][..], "train", none.clone()),
        (&[("data.yaml", NAMES), ("images/val/a.jpg", ""), ("labels/val/a.txt", LINES)], "valid", none.clone()),
        (&[("classes.txt", "shirt\nhat\ntie\n"), ("a.jpg", ""), ("a.txt", LINES)], ".", none.clone()),
        (
            &[("out/classes.txt", "shirt\nhat\ntie\n"), ("photos/a.jpg", ""), ("out/a.txt", LINES)],
            ".",
            SourceFiles {
                images: Some("photos".into()),
                labels: Some("out".into()),
                annotations: Some("out/classes.txt".into()),
                ..none.clone()
            },
        ),
    ] {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), files);
        let listing = list(root.path(), split, &settings).unwrap();
        assert_eq!(listing.classes, ["background", "shirt", "hat", "tie"]);
        assert_eq!(listing.unused.iter().copied().collect::<Vec<_>>(), [2]);
        assert!(listing.incomplete.is_empty() && listing.bad_pieces.is_empty(), "{listing:?}");
        assert_eq!(labels(&listing), [("a", PAINTED.to_vec())], "{files:?}");
    }
}

#[test]
fn a_photo_without_a_label_is_background_and_folders_are_mirrored() {
    let root = tempfile::tempdir().unwrap();
    let files = [
        ("data.yaml", NAMES),
        ("images/train/x/a.jpg", ""),
        ("images/train/b.jpg", ""),
        ("labels/train/x/a.txt", LINES),
    ];
    write(root.path(), &files);
    let listing = list(root.path(), "train", &SourceFiles::default()).unwrap();
    assert_eq!(labels(&listing), [("b", vec![0; 32]), ("x_a", PAINTED.to_vec())]);
    // The folder that data.yaml names is not there.
    let [elsewhere, unlabelled] = &listing.notes[..] else { panic!("{:?}", listing.notes) };
    assert!(
        elsewhere.contains("`../train/images` for train") && elsewhere.contains("images/train is read"),
        "{elsewhere}"
    );
    assert!(unlabelled.contains("1 photo of train has no label file") && unlabelled.contains("b.jpg"), "{unlabelled}");
    fs::remove_file(root.path().join("labels/train/x/a.txt")).unwrap();
    let error = list(root.path(), "train", &SourceFiles::default()).unwrap_err().to_string();
    assert!(error.contains("there is no label file for its 2 photos") && error.contains("b.txt"), "{error}");
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (line, expected) in [
        ("0 0.5 0.5 0.2 0.2", "line 2 is a box"),
        ("3 0 0 1 0 1 1", "line 2 has the class 3"),
        ("0.5 0 0 1 0 1 1", "line 2 has the class 0.5"),
        ("0 0 0 1 0 1 1 1", "line 2 has 7 coordinates"),
        ("0 0 0 640 0 640 480", "line 2 has the coordinate 640"),
        ("0 0 0 one 0 1 1", "line 2 has `one`"),
        ("0 0 0 NaN 0 1 1", "line 2 has `NaN`"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let text = format!("0 0 0 0.5 0 0.5 1 0 1\n{line}\n");
        write(root.path(), &[("classes.txt", "a\nb\nc"), ("a.jpg", ""), ("a.txt", &text)]);
        let listing = list(root.path(), ".", &SourceFiles::default()).unwrap();
        let [piece] = &listing.bad_pieces[..] else { panic!("{line}: {listing:?}") };
        assert!(piece.contains(expected) && piece.contains("a.txt"), "{line}: {piece}");
        assert_eq!(listing.pairs.len(), 1);
    }
    let root = tempfile::tempdir().unwrap();
    write(root.path(), &[("classes.txt", "a"), ("a.jpg", ""), ("a.txt", "0 0.5 0.5 0.2 0.2")]);
    let listing = list(root.path(), ".", &SourceFiles::default()).unwrap();
    assert!(listing.pairs.is_empty() && listing.incomplete[0].contains("line 1 is a box"), "{listing:?}");
    fs::remove_file(root.path().join("classes.txt")).unwrap();
    assert!(list(root.path(), ".", &SourceFiles::default()).unwrap_err().to_string().contains("no data.yaml"));
    write(root.path(), &[("data.yaml", NAMES)]);
    let error = list(root.path(), "test", &SourceFiles::default()).unwrap_err().to_string();
    assert!(error.contains("no photos of test") && error.contains("images/test"), "{error}");
}

#[test]
fn an_absent_label_file_is_no_file_of_the_data_until_it_is_there() {
    use crate::data::{DataFiles, Dataset, Layout, OnDamage, Source, Target};
    let root = tempfile::tempdir().unwrap();
    let files =
        [("data.yaml", NAMES), ("images/train/a.jpg", ""), ("images/train/b.jpg", ""), ("labels/train/a.txt", LINES)];
    write(root.path(), &files);
    let source = Source {
        layout: Layout::Yolo,
        root: root.path().to_owned(),
        split: "train".to_owned(),
        files: SourceFiles::default(),
        mapping: None,
        repeat: 1.0,
        aspect: None,
    };
    let of = |known: &DataFiles| {
        let target = Target::builtin("garments").unwrap();
        let data = Dataset::open(std::slice::from_ref(&source), &target, OnDamage::Refuse).unwrap();
        DataFiles::of([("train", &data), ("valid", &data)], known).unwrap()
    };
    let first = of(&DataFiles::default());
    assert_eq!(first.changes(&of(&first)), [""; 0]);
    write(root.path(), &[("labels/train/b.txt", LINES)]);
    assert_eq!(first.changes(&of(&first)), ["new: labels/train/b.txt (train 1)", "new: labels/train/b.txt (valid 1)"]);
}

#[test]
fn photos_that_share_a_name_have_labels_with_their_extensions() {
    let root = tempfile::tempdir().unwrap();
    let files = [
        ("classes.txt", "shirt\nhat\ntie\n"),
        ("images/train/b.jpg", ""),
        ("labels/train/b.jpg.txt", LINES),
        ("labels/train/b.png.txt", ""),
        // Belongs to neither: both have one of their own.
        ("labels/train/b.txt", "0 0 0 1 0 1 1 0 1"),
        ("images/train/c.jpg", ""),
        ("labels/train/c.txt", LINES),
    ];
    write(root.path(), &files);
    let images = root.path().join("images/train");
    RgbImage::new(8, 4).save(images.join("b.png")).unwrap();
    let listing = list(root.path(), "train", &SourceFiles::default()).unwrap();
    assert!(listing.incomplete.is_empty(), "{:?}", listing.incomplete);
    let expected = [("b.jpg", PAINTED.to_vec()), ("b.png", vec![0; 32]), ("c", PAINTED.to_vec())];
    assert_eq!(labels(&listing), expected);
    // One label, and two photos that it may be of.
    fs::copy(images.join("b.png"), images.join("c.png")).unwrap();
    let listing = list(root.path(), "train", &SourceFiles::default()).unwrap();
    assert!(matches!(&listing.incomplete[..], [line] if line.contains("c.png: has the label of")), "{listing:?}");
}

#[test]
fn photos_without_a_known_extension_are_found_by_their_bytes() {
    let root = tempfile::tempdir().unwrap();
    let files =
        [("classes.txt", "shirt\nhat\ntie\n"), ("c.jpg", ""), ("c.txt", LINES), ("d.jpg", ""), ("d.txt", LINES)];
    write(root.path(), &files);
    fs::rename(root.path().join("c.jpg"), root.path().join("c")).unwrap();
    fs::rename(root.path().join("d.jpg"), root.path().join("d.jpg_large")).unwrap();
    fs::write(root.path().join("e.cr2"), b"II*\0\x10\0\0\0CR\x02\0").unwrap();
    let listing = list(root.path(), ".", &SourceFiles::default()).unwrap();
    assert_eq!(labels(&listing), [("c", PAINTED.to_vec()), ("d", PAINTED.to_vec())]);
    assert!(
        matches!(&listing.notes[..], [note] if note.contains("e.cr2: it is a") && note.contains("(CR2)")),
        "{:?}",
        listing.notes
    );
}

#[test]
fn lists_of_photos_are_read_and_what_is_missing_is_named() {
    let yaml = |train: &str| format!("path: .\ntrain: {train}\nval: val.txt\nnames: [shirt, hat, tie]\n");
    let root = tempfile::tempdir().unwrap();
    let photos = [("images/a.jpg", ""), ("images/b.jpg", ""), ("labels/a.txt", LINES), ("labels/b.txt", LINES)];
    write(root.path(), &photos);
    write(
        root.path(),
        &[("train.txt", "./images/a.jpg\n"), ("val.txt", "/home/me/set/images/b.jpg\n./images/gone.jpg\n")],
    );
    write(root.path(), &[("data.yaml", &yaml("train.txt"))]);
    let none = SourceFiles::default();
    let listing = list(root.path(), "train", &none).unwrap();
    assert_eq!(labels(&listing), [("a", PAINTED.to_vec())]);
    let listing = list(root.path(), "valid", &none).unwrap();
    assert_eq!(labels(&listing), [("b", PAINTED.to_vec())]);
    assert!(matches!(&listing.incomplete[..], [line] if line.contains("gone.jpg")), "{:?}", listing.incomplete);
    // Of several folders each must be there.
    write(root.path(), &[("data.yaml", &yaml("[images, more]"))]);
    let error = list(root.path(), "train", &none).unwrap_err().to_string();
    assert!(error.contains("data.yaml names `more` for train"), "{error}");
    write(root.path(), &[("data.yaml", &yaml("gone.txt"))]);
    let error = list(root.path(), "train", &none).unwrap_err().to_string();
    assert!(error.contains("no photos of train") && error.contains("`gone.txt`"), "{error}");
}

#[test]
fn label_files_without_a_photo_are_named() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), &[("data.yaml", "names: [shirt, hat, tie]\n"), ("images/train/a.jpg", "")]);
    write(
        root.path(),
        &[("labels/train/a.txt", LINES), ("labels/train/b.txt", LINES), ("labels/train/classes.txt", "")],
    );
    let listing = list(root.path(), "train", &SourceFiles::default()).unwrap();
    assert!(matches!(&listing.notes[..], [note] if note.contains("b.txt: there is no photo")), "{:?}", listing.notes);
}
