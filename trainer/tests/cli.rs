//! `clothseg-train` as one calls it: from drawn photos to a scored model, and what it says of mistakes.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clothseg::Model;
use clothseg::engine::{self, EngineOptions, Provider};
use image::{GrayImage, Luma, Rgb, RgbImage};
use ndarray::Array4;

/// Squares of one garment on grey, and a config that trains on them for two epochs.
fn write_config(root: &Path) -> PathBuf {
    let data = root.join("data");
    for (split, count) in [("train", 8), ("valid", 2), ("test", 3)] {
        for kind in ["images", "labels"] {
            fs::create_dir_all(data.join(split).join(kind)).unwrap();
        }
        for index in 0..count {
            let inside = |x: u32, y: u32| x.abs_diff(30) < 14 && y.abs_diff(24 + 4 * index) < 16;
            let photo = RgbImage::from_fn(64, 64, |x, y| Rgb(if inside(x, y) { [200, 40, 40] } else { [90; 3] }));
            let label = GrayImage::from_fn(64, 64, |x, y| Luma([u8::from(inside(x, y))]));
            photo.save(data.join(split).join(format!("images/{index}.png"))).unwrap();
            label.save(data.join(split).join(format!("labels/{index}.png"))).unwrap();
        }
    }
    fs::write(data.join("class_dict.csv"), "name,r,g,b\nbackground,0,0,0\nshirt,0,0,0\n").unwrap();
    let source = |split: &str| format!("[[data.{split}]]\nlayout = \"folder\"\nroot = {data:?}\nsplit = \"{split}\"\n");
    let text = format!(
        "name = \"squares\"\ntaxonomy = \"garments\"\nrun = {:?}\n\
         [input]\nlongest_side = 64\nmultiple = 32\ncrop = [64, 64]\n\
         [model]\nnetwork = \"unet-lite0\"\nwidth = 0.25\noutput_stride = 4\n\
         [train]\nepochs = 2\nbatch_size = 2\nlearning_rate = 0.003\n[data]\n{}{}",
        root.join("run"),
        source("train"),
        source("valid"),
    );
    let path = root.join("squares.toml");
    fs::write(&path, &text).unwrap();
    fs::write(root.join("tested.toml"), text + &source("test")).unwrap();
    path
}

fn call(root: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_clothseg-train")).current_dir(root).args(arguments).output().unwrap()
}

/// Standard output of a call that must succeed.
fn done(root: &Path, arguments: &[&str]) -> String {
    let output = call(root, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a call that must succeed.
fn warned(root: &Path, arguments: &[&str]) -> String {
    let output = call(root, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

/// Standard error of a call that must fail.
fn failed(root: &Path, arguments: &[&str]) -> String {
    let output = call(root, arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn photos_become_a_scored_model() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_config(root);
    done(root, &["labels", "squares.toml", "-o", "sheet.png", "--photos", "4"]);
    assert!(image::open(root.join("sheet.png")).unwrap().width() > 64);
    done(root, &["train", "squares.toml", "--device", "cpu"]);

    let provider = ["--provider", "embedded"];
    let export = |more: &[&str]| done(root, &[&["export", "run"], more, &provider].concat());
    export(&["-o", "squares.onnx"]);
    assert!(export(&["-o", "half.onnx", "--half", "--last"]).contains("half.onnx"));
    let bytes = |name: &str| fs::metadata(root.join(name)).unwrap().len();
    assert!(bytes("half.onnx") * 10 < bytes("squares.onnx") * 7);

    // Without the best checkpoint, the last one is taken, and not in silence. A resume of what is done does nothing.
    fs::rename(root.join("run/best.ckpt"), root.join("best.ckpt")).unwrap();
    let said = warned(root, &[&["export", "run", "-o", "last.onnx"][..], &provider].concat());
    assert!(said.contains("best.ckpt is missing") && said.contains("taking last.ckpt"), "{said}");
    fs::rename(root.join("best.ckpt"), root.join("run/best.ckpt")).unwrap();
    let resume = ["train", "squares.toml", "--resume", "--device", "cpu"];
    fs::remove_file(root.join("run/data_files.csv")).unwrap();
    assert!(warned(root, &resume).contains("data_files.csv does not exist"));
    assert!(root.join("run/data_files.csv").exists() && !warned(root, &resume).contains("does not exist"));

    let scored = |model: &str, more: &[&str]| done(root, &[&["eval", model, "--data"], more, &provider].concat());
    let valid = scored("squares.onnx", &["squares.toml", "--csv", "valid.csv", "--grid", "grid.png"]);
    assert!(valid.starts_with("2 photos") && valid.contains("any-garment IoU"), "{valid}");
    assert!(fs::read_to_string(root.join("valid.csv")).unwrap().contains("\"shirt\","));
    assert!(image::open(root.join("grid.png")).is_ok());
    assert!(scored("half.onnx", &["tested.toml", "--test"]).starts_with("3 photos"));
    assert!(scored("half.onnx", &["squares.toml", "--split", "test"]).starts_with("3 photos"));

    let calibrate = ["calibrate", "half.onnx", "--data", "squares.toml", "-o", "calibrated.onnx"];
    let said = done(root, &[&calibrate[..], &provider].concat());
    assert!(said.contains(" -> ") && bytes("calibrated.onnx") >= bytes("half.onnx"), "{said}");
    let [before, after] = ["half.onnx", "calibrated.onnx"].map(|name| {
        let model = Model::open(root.join(name)).unwrap();
        let options = EngineOptions::default().with_provider(Provider::Embedded);
        let mut engine = engine::open(model.onnx(), model.spec(), &options).unwrap();
        (engine.run(Array4::zeros((1, 3, 64, 64)).view()).unwrap(), model.spec().clone())
    });
    for (index, class) in after.1.taxonomy.classes.iter().enumerate() {
        let offset =
            after.1.training["calibrated"]["logit_adjustments"].get(&class.name).map_or(0.0, |it| it.as_f64().unwrap());
        let difference = after.0[[0, index, 0, 0]] - before.0[[0, index, 0, 0]];
        assert!((difference - offset as f32).abs() < 1e-4, "{}: {difference} {offset}", class.name);
    }
    let background = ["balance", "half.onnx", "--data", "squares.toml", "--objective", "any-garment"];
    assert!(done(root, &[&background[..], &provider].concat()).contains("half-calibrated.onnx: any-garment IoU"));
    let again = ["calibrate", "calibrated.onnx", "--data", "squares.toml"];
    assert!(failed(root, &[&again[..], &provider].concat()).contains("already calibrated"));
    let average = ["average", "half.onnx", "calibrated.onnx", "--data", "squares.toml", "-o", "mean.onnx"];
    assert!(done(root, &[&average[..], &provider].concat()).contains("average of 2 models"));
    let mean = Model::open(root.join("mean.onnx")).unwrap();
    assert_eq!((mean.spec().name.as_str(), mean.spec().training["average_of"].as_array().unwrap().len()), ("mean", 2));
    assert!(mean.spec().training["scores_on_network_grid"]["any_garment_iou"].is_number());
    let mixed = ["average", "half.onnx", "squares.onnx", "--data", "squares.toml", "-o", "mixed.onnx"];
    assert!(failed(root, &[&mixed[..], &provider].concat()).contains("squares.onnx: is of another network"));
    assert!(!root.join("mixed.onnx").exists());
    let tuned = fs::read_to_string(root.join("squares.toml")).unwrap();
    let tuned = tuned.replace("output_stride = 4", "output_stride = 4\nstart_from = \"calibrated.onnx\"");
    fs::write(root.join("tuned.toml"), tuned.replace("/run\"", "/tuned\"")).unwrap();
    done(root, &["train", "tuned.toml", "--device", "cpu"]);
    let start = fs::read_to_string(root.join("tuned/started_from.json")).unwrap();
    assert!(start.contains("\"squares\"") && start.contains("mean-iou"), "{start}");
    let quantize = ["quantize", "half.onnx", "--data", "squares.toml", "--photos", "4", "-o", "int8.onnx"];
    let said = done(root, &[&quantize[..], &provider].concat());
    assert!(said.contains("convolutions in 8 bits") && bytes("int8.onnx") < bytes("half.onnx"), "{said}");
}

#[test]
fn what_a_model_labels_can_be_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_config(root);
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::create_dir(root.join("photos")).unwrap();
    fs::copy(project.join("samples/hopper.jpg"), root.join("photos/hopper.jpg")).unwrap();
    let model = project.join("models/garments-lite0.onnx");
    let pseudo_label = |least| {
        let model = model.to_str().unwrap();
        ["pseudo-label", model, "photos", "sure", "--least", least, "--quality", "fast", "--provider", "embedded"]
    };
    assert!(done(root, &pseudo_label("0.5")).starts_with("sure: 1 photo labelled, 0 of them earlier; 0 left out"));
    // By its earlier name, too.
    let again = [&["prelabel"][..], &pseudo_label("0.5")[1..]].concat();
    assert!(done(root, &again).starts_with("sure: 1 photo labelled, 1 of them earlier"));
    assert!(failed(root, &pseudo_label("0.7")).contains("written with other options"));
    assert!(failed(root, &pseudo_label("7")).contains("from 0 to 1"));
    // Under the working folder, and not under that of the data.
    let own = fs::read_to_string(root.join("squares.toml")).unwrap();
    let own = own.replace(&format!("root = {:?}", root.join("data")), "root = \"./sure\"");
    fs::write(root.join("own.toml"), own.replace("split = \"valid\"", "split = \"train\"")).unwrap();
    done(root, &["labels", "own.toml", "-o", "own.png"]);
    assert!(image::open(root.join("own.png")).is_ok());
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_config(root);
    fs::write(root.join("text.onnx"), "no model").unwrap();
    fs::write(root.join("other.onnx"), "no model either").unwrap();
    let config = fs::read_to_string(root.join("squares.toml")).unwrap();
    let run = format!("run = {:?}", root.join("run"));
    fs::write(root.join("nowhere.toml"), config.replace(&run, "run = \"\"")).unwrap();
    for kind in ["images", "labels"] {
        fs::create_dir_all(root.join("data/void").join(kind)).unwrap();
    }
    RgbImage::new(64, 64).save(root.join("data/void/images/0.png")).unwrap();
    GrayImage::from_pixel(64, 64, Luma([255])).save(root.join("data/void/labels/0.png")).unwrap();
    fs::write(root.join("void.toml"), config.replace("split = \"valid\"", "split = \"void\"")).unwrap();
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/garments-lite0.onnx");
    let built_in = built_in.to_str().unwrap();
    for (arguments, expected) in [
        (&["train", "none.toml"][..], "none.toml"),
        (&["export", "squares.toml"], "has no checkpoint"),
        (&["eval", "text.onnx", "--data", "squares.toml", "--test"], "[[data.test]]"),
        (&["eval", "text.onnx", "--data", "squares.toml"], "text.onnx"),
        (&["quantize", "text.onnx", "--data", "squares.toml"], "text.onnx"),
        (&["calibrate", "text.onnx", "--data", "squares.toml"], "text.onnx"),
        (&["average", "text.onnx", "--data", "squares.toml", "-o", "mean.onnx"], "2 values required"),
        (&["average", "text.onnx", "text.onnx", "--data", "squares.toml", "-o", "mean.onnx"], "text.onnx"),
        (&["train", "nowhere.toml"], "nowhere.toml: key `run`: is empty"),
        (&["eval", built_in, "--data", "void.toml", "--provider", "embedded"], "no pixel of any label counts"),
        (
            &["average", "text.onnx", "other.onnx", "--data", "void.toml", "-o", "mean.onnx"],
            "no pixel of any label counts",
        ),
        (&["quantize", "text.onnx", "--data", "squares.toml", "-o", "./text.onnx"], "replace the model text.onnx"),
        (
            &["average", "text.onnx", "other.onnx", "--data", "squares.toml", "-o", "data/../other.onnx"],
            "replace the model other.onnx",
        ),
        (&["sweep", "squares.toml"], "squares.toml"),
        // By its earlier names, too.
        (&["experiments", "squares.toml"], "squares.toml"),
        (&["study", "squares.toml"], "squares.toml"),
    ] {
        let error = failed(root, arguments);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    assert_eq!(fs::read_to_string(root.join("other.onnx")).unwrap(), "no model either");
}

#[test]
fn completions_and_the_man_page_have_every_command_and_its_flags() {
    let root = tempfile::tempdir().unwrap();
    let listed = done(root.path(), &["--help"]);
    let lines = listed.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let is_command = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let commands: Vec<&str> = lines.filter(is_command).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"pseudo-label") && commands.contains(&"export"), "{commands:?}");
    let man = done(root.path(), &["--generate", "man"]).replace("\\-", "-");
    let bash = done(root.path(), &["--generate", "complete-bash"]);
    for command in commands.iter().filter(|command| **command != "help") {
        assert!(man.contains(&format!(".SH \"CLOTHSEG-TRAIN {}\"", command.to_uppercase())), "{command}");
        for line in done(root.path(), &[command, "--help"]).lines() {
            let Some(flag) = line.split_whitespace().find(|word| word.starts_with("--")) else { continue };
            let flag = flag.trim_end_matches(',');
            if line.trim_start().starts_with('-') && !["--help", "--version"].contains(&flag) {
                assert!(man.contains(flag) && bash.contains(flag), "{command} {flag}");
            }
        }
    }
    for shell in ["zsh", "fish", "powershell", "elvish"] {
        assert!(done(root.path(), &["--generate", &format!("complete-{shell}")]).contains("pseudo-label"), "{shell}");
    }
}
