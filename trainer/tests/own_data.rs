//! Data as people have them: classes of their own, labels that teach nothing, data that change between two starts.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clothseg::engine::{EngineOptions, Provider};
use clothseg::{Limits, Photo, Segmenter};
use image::{GrayImage, Luma, Rgb, RgbImage};

/// Photos of a coloured square, and labels that are `inside` within it and 0 around.
fn write_data(root: &Path, names: &[String], inside: impl Fn(u32) -> u8) {
    for (split, count) in [("train", 4), ("valid", 2)] {
        for kind in ["images", "labels"] {
            fs::create_dir_all(root.join("data").join(split).join(kind)).unwrap();
        }
        for index in 0..count {
            let is_inside = |x: u32, y: u32| x.abs_diff(30) < 14 && y.abs_diff(24 + 4 * index) < 16;
            let photo = RgbImage::from_fn(64, 64, |x, y| Rgb(if is_inside(x, y) { [200, 40, 40] } else { [90; 3] }));
            let label = GrayImage::from_fn(64, 64, |x, y| Luma([if is_inside(x, y) { inside(index) } else { 0 }]));
            photo.save(root.join("data").join(split).join(format!("images/p{index}.png"))).unwrap();
            label.save(root.join("data").join(split).join(format!("labels/p{index}.png"))).unwrap();
        }
    }
    fs::write(root.join("data/class_dict.csv"), format!("name\n{}\n", names.join("\n"))).unwrap();
}

/// A config that trains for one epoch. `taxonomy` is the value of the key, `terms` of the loss.
fn write_config(root: &Path, taxonomy: &str, terms: &str, more: &str) -> PathBuf {
    let source = |split: &str| {
        format!("[[data.{split}]]\nlayout = \"folder\"\nroot = \"./data\"\nsplit = \"{split}\"\n{more}\n")
    };
    let text = format!(
        "name = \"own\"\ntaxonomy = {taxonomy}\nrun = \"run\"\n[input]\nlongest_side = 64\nmultiple = 32\ncrop = [64, 64]\n\
         [model]\nnetwork = \"unet-lite0\"\nwidth = 0.25\noutput_stride = 4\n[loss]\nterms = \"{terms}\"\n\
         [train]\nepochs = 1\nbatch_size = 2\nlearning_rate = 0.003\n{}{}",
        source("train"),
        source("valid")
    );
    let path = root.join("config.toml");
    fs::write(&path, text).unwrap();
    path
}

fn call(root: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_clothseg-train"))
        .current_dir(root)
        .env_remove("CLOTHSEG_DATA")
        .args(arguments)
        .output()
        .unwrap()
}

/// Standard error of a call, which must succeed or fail.
fn said(root: &Path, arguments: &[&str], succeeds: bool) -> String {
    let output = call(root, arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.success(), succeeds, "{arguments:?}: {said}");
    assert!(!said.contains('\u{1b}'), "colour codes in a pipe: {said}");
    said
}

fn train(root: &Path, more: &[&str], succeeds: bool) -> String {
    said(root, &[&["train", "config.toml", "--device", "cpu"], more].concat(), succeeds)
}

#[test]
fn classes_of_ones_own_are_trained_exported_calibrated_and_found() {
    for (classes, terms) in [(2, "ce:1,dice:1,lovasz:1"), (255, "ce:1,miou:1,tversky:1,sbf:1")] {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let mut names: Vec<String> = (1..classes).map(|index| format!("uniform no. {index}")).collect();
        names.insert(0, "background".to_owned());
        // All classes are possible, and the last one is among those that are there.
        write_data(root, &names, |index| if index % 2 == 0 { (classes - 1) as u8 } else { 1 });
        fs::write(
            root.join("uniforms.json"),
            serde_json::json!({"classes": names, "groups": {"all": names[1..]}}).to_string(),
        )
        .unwrap();
        write_config(root, "\"uniforms.json\"", terms, "");
        let said = train(root, &[], true);
        assert!(said.contains(&format!("of {classes} classes")), "{said}");
        // The run's copy needs no file beside it.
        fs::remove_file(root.join("uniforms.json")).unwrap();
        let config = "run/config.toml";
        for arguments in [
            &["export", "run", "--provider", "embedded"][..],
            &["calibrate", "run/own.onnx", "--data", config, "-o", "own.onnx", "--provider", "embedded"],
            &["eval", "own.onnx", "--data", config, "--provider", "embedded"],
        ] {
            let output = call(root, arguments);
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let options = EngineOptions::default().with_provider(Provider::Embedded);
        let segmenter = Segmenter::open_with(root.join("own.onnx"), &options).unwrap();
        let taxonomy = &segmenter.spec().taxonomy;
        assert_eq!((taxonomy.len(), taxonomy.resolve("all").unwrap().len()), (classes, classes - 1));
        let photo = Photo::open(root.join("data/valid/images/p0.png"), &Limits::default()).unwrap();
        let segmentation = segmenter.segment(&photo).unwrap();
        assert!(segmentation.label_map().labels().iter().all(|class| usize::from(*class) < classes));
    }
}

#[test]
fn labels_that_teach_nothing_are_refused_and_masks_are_read_as_such() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_data(root, &["background".to_owned(), "shirt".to_owned()], |_| 255);
    write_config(root, "\"garments\"", "ce:1", "");
    let said = train(root, &[], false);
    for expected in
        ["nothing can be learnt", "`background`", "% of all pixels are ignored", "reading = \"binary\"", "shirt"]
    {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    write_config(root, "\"garments\"", "ce:1", "reading = \"binary\"");
    let said = train(root, &[], true);
    assert!(
        said.contains("shirt") && said.contains("in 4 photos") && said.contains("never seen in training: top"),
        "{said}"
    );
    let table = fs::read_to_string(root.join("run/data_classes.csv")).unwrap();
    let row = table.lines().find(|line| line.starts_with("train,shirt,")).unwrap();
    assert!(row.ends_with(",4") && table.contains("valid,(ignored),0,0"), "{table}");
}

#[test]
fn a_run_goes_on_with_other_data_only_where_that_is_meant() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_data(root, &["background".to_owned(), "shirt".to_owned()], |_| 1);
    write_config(root, "\"garments\"", "ce:1", "");
    train(root, &[], true);
    train(root, &["--resume"], true);
    fs::copy(root.join("data/train/labels/p0.png"), root.join("data/train/labels/p3.png")).unwrap();
    for kind in ["images", "labels"] {
        fs::remove_file(root.join("data/train").join(kind).join("p1.png")).unwrap();
    }
    let said = train(root, &["--resume"], false);
    for expected in ["3 files", "changed: train/labels/p3.png", "missing: train/images/p1.png", "--accept-changed-data"]
    {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let said = train(root, &["--resume", "--accept-changed-data"], true);
    assert!(said.contains("changed: train/labels/p3.png"), "{said}");
    train(root, &["--resume"], true);
}

/// The block of a kind in a section of README.
fn readme_block(section: &str, kind: &str) -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let section = readme.split(&format!("## {section}\n")).nth(1).unwrap().split("\n## ").next().unwrap().to_owned();
    let block = section.split(&format!("```{kind}\n")).nth(1).unwrap().split("```").next().unwrap();
    block.to_owned()
}

/// The steps of README's section on own data, with smaller photos and one epoch.
#[test]
#[cfg(unix)]
fn the_recipe_of_readme_trains_exports_and_scores() {
    if std::env::var_os("ORT_DYLIB_PATH").is_none() {
        // ci/test sets it.
        assert!(std::env::var_os("CLOTHSEG_REQUIRE_ONNXRUNTIME").is_none(), "ORT_DYLIB_PATH is not set");
        eprintln!("skipped: without ONNX Runtime the model takes too long in a debug build");
        return;
    }
    const SECTION: &str = "Train on your own data";
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_data(root, &["background".to_owned(), "blouse".to_owned(), "slacks".to_owned()], |index| 1 + index as u8 % 2);
    fs::create_dir(root.join("DATA")).unwrap();
    fs::rename(root.join("data"), root.join("DATA/mine")).unwrap();
    std::os::unix::fs::symlink(repository.join("models"), root.join("models")).unwrap();
    let mapping = "target = \"garments\"\n[classes]\nbackground = [\"background\", \"person\"]\nblouse = \"shirt\"\nslacks = \"pants\"\n";
    fs::write(root.join("mine-to-garments.toml"), mapping).unwrap();
    let config = fs::read_to_string(repository.join("trainer/configs/garments.toml")).unwrap();
    let own = [
        ("name", "\"mine\""),
        ("run", "\"runs/mine\""),
        ("start_from", "\"models/garments.onnx\""),
        ("class_weights", "\"root-frequency\""),
        ("epochs", "1"),
        ("longest_side", "64"),
        ("crop", "[64, 64]"),
    ];
    let mut config: toml::Table = config.split("[[data.").next().unwrap().parse().unwrap();
    for (key, value) in own {
        let value = format!("value = {value}").parse::<toml::Table>().unwrap().remove("value").unwrap();
        let table = match ["input", "model", "train"].into_iter().find(|table| config[*table].get(key).is_some()) {
            Some(name) => config[name].as_table_mut().unwrap(),
            None => &mut config,
        };
        assert!(table.insert(key.to_owned(), value).is_some(), "garments.toml has no key {key}");
    }
    config.insert(
        "data".to_owned(),
        toml::from_str::<toml::Table>(&readme_block(SECTION, "toml")).unwrap()["data"].clone(),
    );
    fs::write(root.join("mine.toml"), toml::to_string(&config).unwrap()).unwrap();
    let lines: Vec<String> = readme_block(SECTION, "sh")
        .lines()
        .filter(|line| line.starts_with("export ") || line.starts_with("target/release/clothseg-train "))
        .map(|line| line.replace("target/release/clothseg-train", env!("CARGO_BIN_EXE_clothseg-train")))
        .collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    fs::create_dir(root.join("home")).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-ec", &lines.join("\n")]).current_dir(root).env("HOME", root.join("home"));
    let output = shell.env_remove("ORT_DISABLE_TELEMETRY").env_remove("XDG_CACHE_HOME").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(root.join("sheet.png").is_file() && root.join("runs/mine/mine.onnx").is_file());
    assert!(String::from_utf8(output.stdout).unwrap().contains("pants"));
    assert_eq!(fs::read_dir(root.join("home")).unwrap().count(), 0, "ONNX Runtime's telemetry leaves traces");
}
