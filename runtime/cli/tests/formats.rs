//! Each format as `clothseg-run` writes it, against files that were looked at once.

#![allow(clippy::unwrap_used)]
#![cfg(feature = "embedded")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::TestEnv;

/// Set to write the golden files anew, after a change that is meant to change them.
const BLESS: &str = "CLOTHSEG_BLESS";

/// What files say of the program's version, and what the golden files have in its place.
const VERSION: &str = concat!("\"version\":\"", env!("CARGO_PKG_VERSION"), "\"");
const ANY_VERSION: &str = "\"version\":\"VERSION\"";

/// Compares a file of a run with the golden file of its name: pictures by their pixels, anything else by its text.
fn check_golden(env: &TestEnv, file: &str, golden: &str) {
    let (found, golden) = (env.path(file), golden_path(golden));
    if std::env::var_os(BLESS).is_some() {
        std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
        if file.ends_with(".png") {
            std::fs::copy(&found, &golden).unwrap();
        } else {
            std::fs::write(&golden, read(&found).replace(VERSION, ANY_VERSION)).unwrap();
        }
    }
    let hint = format!("{file} is not {}; {BLESS}=1 writes it anew", golden.display());
    if file.ends_with(".png") {
        let (found, golden) = (support::raw_png(&found), support::raw_png(&golden));
        assert_eq!((found.kind, found.palette), (golden.kind, golden.palette), "{hint}");
        // The engines of two machines may round differently: soft edges by a level.
        let far = found.pixels.iter().zip(&golden.pixels).filter(|(a, b)| a.abs_diff(**b) > 1).count();
        assert!(found.pixels.len() == golden.pixels.len() && far == 0, "{hint}: {far} values differ");
    } else {
        assert_eq!(read(&found).replace(VERSION, ANY_VERSION), read(&golden), "{hint}");
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/formats").join(name)
}

fn ring(env: &TestEnv) {
    std::fs::create_dir_all(env.path("shop")).unwrap();
    support::ring_photo(60, 45).save(env.path("shop/ring.png")).unwrap();
}

#[test]
fn every_format_is_as_it_was() {
    let env = TestEnv::new();
    ring(&env);
    let all = clothseg::export::Format::names().replace(' ', "");
    env.run(&["shop/ring.png", "-o", "out", "--format", &all, "--svg-photo"]).expect(0, &[]);
    let a_class = ["", ".soft", ".cutout", ".crop"].map(|kind| ["pants", "shirt"].map(|c| format!("{c}{kind}.png")));
    let others =
        ["labels.png", "atr.png", "lip.png", "overlay.png", "svg", "labelme.json", "txt", "json"].map(str::to_owned);
    let mut expected: Vec<String> =
        a_class.into_iter().flatten().chain(others).map(|end| format!("shop/ring.{end}")).collect();
    expected.extend(["coco.json", "classes.txt", "data.yaml"].map(str::to_owned));
    expected.sort();
    assert_eq!(env.files("out"), expected);
    // The JSON holds times; its test reads it.
    for file in expected.iter().filter(|file| *file != "shop/ring.json") {
        check_golden(&env, &format!("out/{file}"), file.trim_start_matches("shop/"));
    }
}

#[test]
fn forms_and_depths_are_as_they_were() {
    let env = TestEnv::new();
    ring(&env);
    for form in ["rle", "counts"] {
        let output = format!("out-{form}");
        let flags = ["--coco", form, "--mask-depth", "1", "--cutout-alpha", "hard", "--crop-margin", "3"];
        let formats = ["--format", "coco,masks,crop"];
        env.run(&[&["shop/ring.png", "-o", &output], &flags[..], &formats].concat()).expect(0, &[]);
        check_golden(&env, &format!("{output}/coco.json"), &format!("coco-{form}.json"));
        check_golden(&env, &format!("{output}/shop/ring.shirt.png"), "ring.shirt.1-bit.png");
        check_golden(&env, &format!("{output}/shop/ring.pants.crop.png"), "ring.pants.hard-crop.png");
    }
}

#[test]
fn yolo_labels_cover_the_masks_and_name_their_classes() {
    let env = TestEnv::new();
    ring(&env);
    let flags = ["--format", "yolo,masks", "--tolerance", "0", "--min-area", "0"];
    env.run(&[&["shop/ring.png", "-o", "out"], &flags[..]].concat()).expect(0, &[]);
    let files = ["classes.txt", "data.yaml", "shop/ring.pants.png", "shop/ring.shirt.png", "shop/ring.txt"];
    assert_eq!(env.files("out"), files);
    let text = |file: &str| std::fs::read_to_string(env.path(file)).unwrap();
    assert_eq!(text("out/classes.txt"), "shirt\npants\n");
    assert_eq!(text("out/data.yaml"), "path: .\ntrain: .\nval: .\nnames:\n  0: \"shirt\"\n  1: \"pants\"\n");
    for (class, name) in ["shirt", "pants"].into_iter().enumerate() {
        let mask = image::open(env.path(&format!("out/shop/ring.{name}.png"))).unwrap().into_luma8();
        let labels = text("out/shop/ring.txt");
        let rings: Vec<Vec<[f64; 2]>> = labels.lines().filter_map(|line| ring_of(line, class)).collect();
        assert!(!rings.is_empty(), "{name}");
        for (x, y, pixel) in mask.enumerate_pixels() {
            let center = [(f64::from(x) + 0.5) / 60.0, (f64::from(y) + 0.5) / 45.0];
            let inside = rings.iter().filter(|ring| encloses(ring, center)).count() == 1;
            assert_eq!(inside, pixel[0] == 255, "{name} at {x}, {y}");
        }
    }
}

#[test]
fn yolo_labels_of_the_background_alone_are_refused() {
    let env = TestEnv::new();
    ring(&env);
    let refused = env.run(&["shop/ring.png", "-o", "out", "--format", "yolo", "--classes", "background"]);
    refused.expect(2, &["--format yolo", "no background"]);
    env.run(&["shop/ring.png", "-o", "out", "--format", "coco", "--classes", "background"]).expect(0, &[]);
}

/// The points of a line of Ultralytics' labels, if it is of this class.
fn ring_of(line: &str, class: usize) -> Option<Vec<[f64; 2]>> {
    let mut words = line.split(' ');
    let is_class = words.next().unwrap().parse::<usize>().unwrap() == class;
    let values: Vec<f64> = words.map(|word| word.parse().unwrap()).collect();
    assert!(
        values.len() >= 6 && values.len().is_multiple_of(2) && values.iter().all(|v| (0.0..=1.0).contains(v)),
        "{line}"
    );
    is_class.then(|| values.chunks_exact(2).map(|point| [point[0], point[1]]).collect())
}

/// Even-odd.
fn encloses(ring: &[[f64; 2]], [x, y]: [f64; 2]) -> bool {
    let edges = ring.iter().zip(ring.iter().cycle().skip(1));
    let crosses = |(a, b): &(&[f64; 2], &[f64; 2])| {
        (a[1] <= y) != (b[1] <= y) && a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]) > x
    };
    edges.filter(crosses).count() % 2 == 1
}

#[test]
fn parse_has_the_indices_of_try_on_tools() {
    let env = TestEnv::new();
    env.photo("a.png");
    env.run(&["a.png", "-o", "out", "--format", "parse,labels"]).expect(0, &[]);
    assert_eq!(env.files("out"), ["a.atr.png", "a.labels.png", "a.lip.png"]);
    let labels = support::label_indices(&env.path("out/a.labels.png"));
    for (file, labels_there, [shirt, pants]) in [("a.atr.png", 18, [4, 6]), ("a.lip.png", 20, [5, 9])] {
        let parse = support::label_indices(&env.path(&format!("out/{file}")));
        assert_eq!(support::raw_png(&env.path(&format!("out/{file}"))).palette.unwrap().len(), 3 * labels_there);
        for (found, label) in parse.pixels().zip(labels.pixels()) {
            assert_eq!(found[0], [0, shirt, pants][usize::from(label[0])], "{file}");
        }
    }
}

/// The rows of the table of formats, as the list of formats gives them.
fn table() -> String {
    let mut text = String::from("| `--format` | file | what |\n| --- | --- | --- |\n");
    for exporter in clothseg::export::Format::ALL.iter().map(|format| format.exporter()) {
        let class = exporter.class_suffix().map(|suffix| format!("`DIR/a/b.CLASS{suffix}`"));
        let photo = exporter.photo_suffixes().iter().map(|suffix| format!("`DIR/a/b{suffix}`"));
        let run = exporter.run_files().iter().map(|name| format!("`DIR/{name}`"));
        let files: Vec<String> = class.into_iter().chain(photo).chain(run).collect();
        text.push_str(&format!("| `{}` | {} | {} |\n", exporter.name(), files.join(", "), exporter.about()));
    }
    text
}

#[test]
fn the_documented_table_of_formats_is_the_list_of_formats() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (start, end) = ("<!-- formats -->\n", "<!-- end of formats -->\n");
    let from = document.find(start).unwrap() + start.len();
    let to = document.find(end).unwrap();
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(&path, [&document[..from], &table(), &document[to..]].concat()).unwrap();
        return;
    }
    assert_eq!(&document[from..to], table(), "{BLESS}=1 writes {} anew", path.display());
}

#[test]
fn coco_is_one_file_of_all_photos_that_are_done() {
    let env = TestEnv::new();
    env.photo("in/a.png");
    env.photo("in/b/c.png");
    env.write("in/broken.jpg", b"this is a text file");
    let plain = image::RgbImage::from_pixel(96, 128, support::GREY);
    plain.save(env.path("in/plain.png")).unwrap();
    env.run(&["in", "-o", "out", "--format", "coco", "--classes", "pants"]).expect(1, &["3 photos done, 1 failed"]);
    assert_eq!(env.files("out"), ["coco.json"]);
    let coco: Value = serde_json::from_slice(&std::fs::read(env.path("out/coco.json")).unwrap()).unwrap();
    let names: Vec<_> =
        coco["images"].as_array().unwrap().iter().map(|image| image["file_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a.png", "b/c.png", "plain.png"]);
    let categories = &coco["categories"];
    assert_eq!(categories, &serde_json::json!([{"id": 2, "name": "pants", "supercategory": "garment"}]));
    let images: Vec<_> = coco["annotations"].as_array().unwrap().iter().map(|a| a["image_id"].as_u64()).collect();
    assert_eq!(images, [Some(1), Some(2)]);
}

#[test]
fn photos_are_named_by_their_path_below_the_folder_however_it_is_named() {
    let env = TestEnv::new();
    env.photo("in/a.png");
    env.photo("in/b/c.png");
    env.write("list.txt", format!("{}\n", env.path("in").display()).as_bytes());
    let absolute = env.path("in").display().to_string();
    for (out, given) in [
        ("o1", vec!["in"]),
        ("o2", vec!["./in/"]),
        ("o3", vec![absolute.as_str()]),
        ("o4", vec!["--files-from", "list.txt"]),
    ] {
        let flags = ["-o", out, "--format", "coco,labelme,json,svg", "--svg-photo", "--coco", "rings"];
        env.run(&[&given[..], &flags].concat()).expect(0, &[]);
        let read = |name: &str| -> Value {
            serde_json::from_slice(&std::fs::read(env.path(out).join(name)).unwrap()).unwrap()
        };
        let coco = read("coco.json");
        let names: Vec<_> =
            coco["images"].as_array().unwrap().iter().map(|image| image["file_name"].as_str().unwrap()).collect();
        assert_eq!(names, ["a.png", "b/c.png"], "{given:?}");
        assert!(coco["annotations"].as_array().unwrap().iter().all(|each| each["segmentation"].is_array()));
        assert_eq!(read("b/c.json")["photo"], "b/c.png");
        let mut recorded: Vec<String> = env
            .manifest(&format!("{out}/manifest.jsonl"))
            .iter()
            .map(|line| line["input"]["path"].as_str().unwrap().to_owned())
            .collect();
        recorded.sort();
        assert_eq!(recorded, ["a.png", "b/c.png"]);
        // These lead from the file to the photo.
        let labelme = read("b/c.labelme.json");
        assert!(env.path(out).join("b").join(labelme["imagePath"].as_str().unwrap()).is_file());
    }
    let same = ["in/b/c.png", "-o", "o1", "--format", "json"];
    env.photo("other/b/c.png");
    let both = [env.path("in/b").display().to_string(), env.path("other/b").display().to_string()];
    env.run(&[&[both[0].as_str(), both[1].as_str()], &same[1..]].concat()).expect(0, &[]);
    let mut named: Vec<String> = ["o1/c.png.json", "o1/c.png-2.json"]
        .iter()
        .map(|name| {
            serde_json::from_slice::<Value>(&std::fs::read(env.path(name)).unwrap()).unwrap()["photo"].to_string()
        })
        .collect();
    named.dedup();
    assert_eq!(named.len(), 2, "{named:?}");
}

#[test]
fn a_coco_file_that_cannot_be_replaced_is_known_before_the_first_photo() {
    let env = TestEnv::new();
    env.photo("a.png");
    env.write("out/coco.json/in-the-way", b"");
    env.run(&["a.png", "-o", "out", "--format", "coco,labels"]).expect(2, &["cannot write out/coco.json"]);
    assert_eq!(env.files("out"), ["coco.json/in-the-way"]);
}

#[test]
fn names_of_files_of_a_run_are_not_given_to_photos() {
    let env = TestEnv::new();
    for photo in ["in/coco.png", "in/a.png", "in/a.labelme.png", "in/deep/coco.png"] {
        env.photo(photo);
    }
    env.run(&["in", "-o", "out", "--format", "coco,labelme,json", "--quiet"]).expect(0, &[]);
    assert_eq!(
        env.files("out"),
        [
            "a.json",
            "a.labelme.json",
            "a.labelme.png.json",
            "a.labelme.png.labelme.json",
            "coco.json",
            "coco.png.json",
            "coco.png.labelme.json",
            "deep/coco.json",
            "deep/coco.labelme.json"
        ]
    );
    let coco: Value = serde_json::from_slice(&std::fs::read(env.path("out/coco.json")).unwrap()).unwrap();
    assert_eq!(coco["images"].as_array().unwrap().len(), 4);
}

#[test]
fn files_of_classes_that_are_not_there_any_more_leave() {
    let env = TestEnv::new();
    env.photo("a.png");
    let run = |classes: &str, formats: &str| {
        env.run(&["a.png", "-o", "out", "--classes", classes, "--format", formats, "--quiet"]).expect(0, &[]);
        env.files("out")
    };
    assert_eq!(run("garment", "soft,crop").len(), 4);
    assert_eq!(run("pants", "soft,crop"), ["a.pants.crop.png", "a.pants.soft.png"]);
    assert_eq!(run("shirt", "crop"), ["a.shirt.crop.png"], "of other formats, too");
}

#[test]
fn other_formats_are_added_and_other_garments_replace_all_files_of_a_photo() {
    let env = TestEnv::new();
    env.photo("a.png");
    env.write("out/a.notes.txt", b"of nobody's run");
    let run = |more: &[&str]| env.run(&[&["a.png", "-o", "out"], more].concat());
    run(&["--format", "json,labels"]).expect(0, &[]);
    let added = run(&["--format", "overlay,crop", "--crop-margin", "5%"]);
    assert!(!added.expect(0, &["1 photo done"]).stderr.contains("removed"), "{added:?}");
    let together = ["a.json", "a.labels.png", "a.notes.txt", "a.overlay.png", "a.pants.crop.png", "a.shirt.crop.png"];
    assert_eq!(env.files("out"), together);
    let record = env.manifest("out/manifest.jsonl").pop().unwrap();
    assert_eq!(record["files"].as_array().unwrap().len(), 5, "{record}");
    // Other classes: what shows the old ones leaves, of both runs.
    run(&["--format", "labels", "--classes", "shirt"])
        .expect(0, &["removed 4 files of earlier runs that do not fit the new results"]);
    assert_eq!(env.files("out"), ["a.labels.png", "a.notes.txt"]);
    // What was changed by hand stays, and so does what is another photo's.
    let path = env.write("out/a.labels.png", b"corrected");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
    run(&["--format", "json"]).expect(0, &[]);
    std::fs::rename(env.path("a.png"), env.path("a.jpg")).unwrap();
    env.run(&["a.jpg", "-o", "out", "--format", "svg"]).expect(0, &[]);
    assert_eq!(
        env.files("out"),
        ["a.labels.png", "a.notes.txt", "a.svg"],
        "JSON comes last, so it always leaves first"
    );
}

#[test]
fn a_photo_from_standard_input_has_all_formats_too() {
    let env = TestEnv::new();
    let photo = std::fs::read(env.photo("a.png")).unwrap();
    let arguments = ["--model", "colours.onnx", "--provider", "embedded", "-", "-o", "out", "-q", "--svg-photo"];
    let run = env.run_with_stdin(&[&arguments[..], &["-f", "svg,labelme,coco,cutout"]].concat(), &photo);
    run.expect(0, &[]);
    let files = ["coco.json", "stdin.labelme.json", "stdin.pants.cutout.png", "stdin.shirt.cutout.png", "stdin.svg"];
    assert_eq!(env.files("out"), files);
}

#[test]
fn flags_that_make_no_sense_say_what_would() {
    let env = TestEnv::new();
    env.photo("a.png");
    for (flag, value, text) in [
        ("--mask-depth", "2", "masks have 8 or 1"),
        ("--crop-margin", "-3", "write pixels (12) or per cent (5%)"),
        ("--coco", "xml", "polygons, rings, rle, counts"),
        ("--cutout-alpha", "none", "soft, hard"),
        ("--format", "masks,psd", "unknown format 'psd'"),
        ("--min-area", "-1", "--min-area"),
    ] {
        env.run(&["a.png", flag, value]).expect(2, &[text]);
    }
    assert!(env.files(".").iter().all(|file| !file.starts_with("clothseg-out")));
}
