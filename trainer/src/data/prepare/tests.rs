//! One synthetic dataset in each layout, prepared and read back through the folder layout.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::data::run_length::{to_counts, write_compressed, write_pairs};
use crate::data::runs::{Runs, Size};
use crate::data::{Dataset, IGNORE, Layout, SourceFiles, Target};
use image::{GrayImage, Rgb, RgbImage};
use std::fs;

const CLASSES: [&str; 4] = ["background", "shirt", "hat", "shoe"];
const COLORS: [[u8; 3]; 4] = [[0, 0, 0], [9, 0, 0], [0, 200, 0], [1, 2, 3]];
const WIDTH: u32 = 20;
const HEIGHT: u32 = 30;

/// A photo with a shirt, a hat on it and a shoe; where they lie depends on `index`.
fn label(index: u32) -> LabelImage {
    let inside = |x: u32, y: u32, left: u32, top: u32, side: u32| {
        (left..left + side).contains(&x) && (top..top + side).contains(&y)
    };
    let class = |x: u32, y: u32| match () {
        () if inside(x, y, 2 + index, 3, 4) => 2,
        () if inside(x, y, 1, 2 + index, 12) => 1,
        () if inside(x, y, 15, 24, 3) => 3,
        () => 0,
    };
    let data = (0..WIDTH * HEIGHT).map(|at| class(at % WIDTH, at / WIDTH)).collect();
    LabelImage { width: WIDTH, height: HEIGHT, data }
}

fn photo(index: u32) -> RgbImage {
    RgbImage::from_fn(WIDTH, HEIGHT, |x, y| Rgb([(x * 12) as u8, (y * 8) as u8, (index * 40) as u8]))
}

const COUNT: u32 = 5;

/// Writes the dataset below `root`.
fn write_dataset(root: &Path, layout: Layout) {
    let (images, labels) = match layout {
        Layout::Folder => (root.join("train/images"), root.join("train/colored")),
        Layout::Ccp | Layout::Tags => (root.join("images"), root.join("labels")),
        _ => (root.join("train"), root.join("annotations")),
    };
    fs::create_dir_all(&images).unwrap();
    fs::create_dir_all(&labels).unwrap();
    let mut rows = "ImageId,EncodedPixels,Height,Width,ClassId\n".to_owned();
    let mut annotations = Vec::new();
    for index in 0..COUNT {
        let label = label(index);
        photo(index).save(images.join(format!("p{index}.png"))).unwrap();
        let path = labels.join(format!("p{index}.png"));
        if layout == Layout::Folder {
            let color = |at: usize| COLORS[usize::from(label.data[at])];
            RgbImage::from_fn(WIDTH, HEIGHT, |x, y| Rgb(color((y * WIDTH + x) as usize))).save(path).unwrap();
        } else if layout == Layout::Ccp {
            GrayImage::from_raw(WIDTH, HEIGHT, label.data.clone()).unwrap().save(path).unwrap();
        }
        let size = Size::new(WIDTH.into(), HEIGHT.into()).unwrap();
        for class in 1..4_u8 {
            let runs = Runs::of_class(&label, class);
            rows += &format!("p{index},{},{HEIGHT},{WIDTH},{}_7\n", write_pairs(&runs), class - 1);
            let segmentation = match class {
                3 => serde_json::json!([[15, 24, 18, 24, 18, 27, 15, 27]]),
                1 => serde_json::json!({"size": [HEIGHT, WIDTH], "counts": to_counts(&runs, size)}),
                _ => serde_json::json!({"size": [HEIGHT, WIDTH], "counts": write_compressed(&to_counts(&runs, size))}),
            };
            annotations
                .push(serde_json::json!({"image_id": index, "category_id": class * 10, "segmentation": segmentation}));
        }
    }
    let categories = |of: fn(usize) -> usize| -> Vec<serde_json::Value> {
        (1..4).map(|class| serde_json::json!({"id": of(class), "name": CLASSES[class]})).collect()
    };
    match layout {
        Layout::Folder => {
            let row = |(name, [r, g, b]): (&&str, &[u8; 3])| format!("{name},{r},{g},{b}\n");
            let table: String = CLASSES.iter().zip(&COLORS).map(row).collect();
            fs::write(root.join("class_dict.csv"), format!("name,r,g,b\n{table}")).unwrap();
        }
        Layout::Ccp => {
            fs::write(root.join("label_list.csv"), format!("name\n{}\n", CLASSES.join("\n"))).unwrap();
            fs::write(root.join("train.txt"), "p0 p1 p2 p3 p4").unwrap();
        }
        Layout::Tags => {
            fs::write(root.join("label_list.csv"), format!("name\n{}\n", CLASSES.join("\n"))).unwrap();
            let row = |index| format!("p{index},hat\n");
            fs::write(root.join("tags.csv"), format!("photo,tags\n{}", (0..COUNT).map(row).collect::<String>()))
                .unwrap();
        }
        Layout::Imaterialist => {
            fs::write(root.join("train.csv"), rows).unwrap();
            let descriptions = serde_json::json!({"categories": categories(|class| class - 1)});
            fs::write(root.join("label_descriptions.json"), descriptions.to_string()).unwrap();
        }
        Layout::Coco => {
            let image = |index: u32| serde_json::json!({"id": index, "file_name": format!("p{index}.png"), "width": WIDTH, "height": HEIGHT});
            let images: Vec<serde_json::Value> = (0..COUNT).map(image).collect();
            let file = serde_json::json!({
                "images": images, "annotations": annotations, "categories": categories(|class| class * 10)
            });
            fs::write(root.join("annotations/instances_train.json"), file.to_string()).unwrap();
        }
        Layout::Labelme | Layout::Yolo | Layout::LabelStudio => unreachable!("these have tests of their own"),
    }
}

fn options(root: &Path, layout: Layout) -> PrepareOptions {
    let labels = (layout == Layout::Folder).then(|| "colored".to_owned());
    PrepareOptions {
        source: Source {
            layout,
            root: root.join("source"),
            split: "train".to_owned(),
            files: SourceFiles { labels, ..SourceFiles::default() },
            mapping: None,
            repeat: 1.0,
            aspect: None,
        },
        output: root.join("out"),
        size: OutputSize::Original,
        splits: Splits::one("train"),
        seed: 0,
        limit: None,
        jpeg_quality: 92,
        on_damage: OnDamage::Refuse,
    }
}

/// A dataset in a new folder, and how to prepare it.
fn given(layout: Layout) -> (tempfile::TempDir, PrepareOptions) {
    let root = tempfile::tempdir().unwrap();
    write_dataset(&root.path().join("source"), layout);
    let options = options(root.path(), layout);
    (root, options)
}

fn prepared(options: &PrepareOptions, split: &str) -> Source {
    Source {
        layout: Layout::Folder,
        root: options.output.clone(),
        split: split.to_owned(),
        files: SourceFiles::default(),
        ..options.source.clone()
    }
}

const LAYOUTS: [Layout; 4] = [Layout::Folder, Layout::Ccp, Layout::Imaterialist, Layout::Coco];

#[test]
fn every_layout_gives_the_same_labels_and_classes() {
    let target = Target::builtin("garments").unwrap();
    let index = |class: u8| target.taxonomy.index_of(CLASSES[usize::from(class)]).unwrap() as u8;
    for layout in LAYOUTS {
        let (_root, options) = given(layout);
        let done = prepare(&options).unwrap();
        assert_eq!(done, Prepared { splits: vec![("train".to_owned(), 5)], kept: 0, skipped: 0 });
        let source = prepared(&options, "train");
        assert_eq!(source.list().unwrap().classes, CLASSES);
        // What is prepared, and the source itself, give the sample.
        for source in [source, options.source.clone()] {
            let dataset = Dataset::open(std::slice::from_ref(&source), &target, OnDamage::Refuse).unwrap();
            assert_eq!(dataset.len(), 5);
            for place in 0..COUNT {
                let sample = dataset.load(place as usize).unwrap();
                let expected: Vec<u8> = label(place).data.into_iter().map(index).collect();
                assert!(sample.labels.data == expected, "{layout:?} {place}");
                assert_eq!(dataset.load_labels(place as usize).unwrap(), sample.labels);
                let original = photo(place);
                let bytes = sample.photo.as_raw().iter().zip(original.as_raw());
                let off = bytes.map(|(one, other)| one.abs_diff(*other));
                assert!(off.max().unwrap() < 40, "{layout:?} {place}");
            }
        }
    }
}

#[test]
fn tags_are_written_beside_the_photos() {
    let (_root, options) = given(Layout::Tags);
    assert_eq!(prepare(&options).unwrap().splits[0].1, 5);
    let files = SourceFiles { tags: Some("tags.csv".into()), ..SourceFiles::default() };
    let source = Source { files, ..prepared(&options, "train") };
    let dataset = Dataset::open(&[source], &Target::builtin("garments").unwrap(), OnDamage::Refuse).unwrap();
    let sample = dataset.load(4).unwrap();
    let hat = Target::builtin("garments").unwrap().taxonomy.index_of("hat").unwrap() as u8;
    assert!(sample.tags.unwrap().has(hat) && sample.labels.data.iter().all(|label| *label == IGNORE));
}

#[test]
fn pictures_are_squashed_or_shrunk_with_their_labels() {
    let (_root, options) = given(Layout::Imaterialist);
    let sizes = |text: &str, output: &str| {
        let options =
            PrepareOptions { size: text.parse().unwrap(), output: options.output.join(output), ..options.clone() };
        prepare(&options).unwrap();
        let Listing { pairs, .. } = prepared(&options, "train").list().unwrap();
        let (photo, label) = load(&pairs[2]).unwrap();
        assert_eq!(photo.dimensions(), (label.width, label.height));
        let mut classes = label.data.clone();
        classes.sort_unstable();
        classes.dedup();
        (photo.dimensions(), classes)
    };
    assert_eq!(sizes("10x10", "a"), ((10, 10), vec![0, 1, 2, 3]));
    assert_eq!(sizes("15", "b"), ((10, 15), vec![0, 1, 2, 3]));
    assert_eq!(sizes("64", "c"), ((20, 30), vec![0, 1, 2, 3]));
}

#[test]
fn a_later_call_goes_on_and_other_options_are_refused() {
    let (_root, options) = given(Layout::Coco);
    assert_eq!(prepare(&PrepareOptions { limit: Some(2), ..options.clone() }).unwrap().splits[0].1, 2);
    let first = prepared(&options, "train").list().unwrap().pairs;
    // As if it had been stopped between the two files.
    fs::remove_file(first[0].label.path()).unwrap();
    let written = fs::metadata(&first[1].photo).unwrap().modified().unwrap();
    let done = prepare(&options).unwrap();
    assert_eq!((done.splits[0].1, done.kept), (5, 1));
    assert_eq!(fs::metadata(&first[1].photo).unwrap().modified().unwrap(), written);
    let other = PrepareOptions { size: OutputSize::LongestSide(8), ..options.clone() };
    let error = prepare(&other).unwrap_err().to_string();
    assert!(error.contains("prepare.json") && error.contains("other options"), "{error}");
    fs::create_dir(options.output.join("mine")).unwrap();
    let error = prepare(&PrepareOptions { splits: Splits::one("mine"), ..options }).unwrap_err().to_string();
    assert!(error.contains("mine") && error.contains("not from this command"), "{error}");
}

#[test]
fn splits_share_the_examples_by_name() {
    let (_root, options) = given(Layout::Ccp);
    let options = PrepareOptions { splits: "a=0.5,b=0.5".parse().unwrap(), seed: 4, ..options };
    let done = prepare(&options).unwrap();
    assert_eq!(done.splits.iter().map(|(_, count)| count).sum::<usize>(), 5);
    for (place, (split, count)) in done.splits.iter().enumerate() {
        let pairs = prepared(&options, split).list().unwrap().pairs;
        assert!(pairs.len() == *count && *count > 0, "{done}");
        assert!(pairs.iter().all(|pair| options.splits.place(4, &pair.stem) == place));
    }
}

#[test]
fn damage_is_refused_or_skipped_before_and_while_writing() {
    let (_root, options) = given(Layout::Imaterialist);
    let photos = options.source.root.join("train");
    fs::remove_file(photos.join("p0.png")).unwrap();
    RgbImage::new(7, 7).save(photos.join("p1.png")).unwrap();
    // The head is sound, the rest is missing.
    let whole = fs::read(photos.join("p2.png")).unwrap();
    fs::write(photos.join("p2.png"), &whole[..whole.len() / 2]).unwrap();
    let error = prepare(&options).unwrap_err().to_string();
    for expected in ["2 damaged", "p0: no photo", "7 x 7", "--on-damage"] {
        assert!(error.contains(expected), "no `{expected}` in {error}");
    }
    assert!(!options.output.exists());
    let done = prepare(&PrepareOptions { on_damage: OnDamage::Skip, ..options.clone() }).unwrap();
    assert_eq!((done.splits[0].1, done.skipped), (2, 3));
    assert!(done.to_string().contains("3 skipped"), "{done}");
    assert_eq!(prepared(&options, "train").list().unwrap().incomplete, [""; 0]);
}

#[test]
fn sizes_are_read_and_written() {
    for text in ["256x128", "512", "original"] {
        assert_eq!(text.parse::<OutputSize>().unwrap().to_string(), text);
    }
    for text in ["", "0", "256x", "x", "256x0", "99999", "-3", "1x2x3"] {
        assert!(text.parse::<OutputSize>().unwrap_err().contains("256x256"), "{text}");
    }
    assert_eq!(OutputSize::LongestSide(192).of(550, 825), (128, 192));
}

#[test]
fn what_has_changed_since_is_done_again() {
    let (_root, options) = given(Layout::Folder);
    prepare(&options).unwrap();
    let source = options.source.list().unwrap().pairs;
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(9);
    fs::File::options().append(true).open(source[2].label.path()).unwrap().set_modified(later).unwrap();
    let done = prepare(&options).unwrap();
    assert_eq!((done.splits[0].1, done.kept), (5, 4));
}
