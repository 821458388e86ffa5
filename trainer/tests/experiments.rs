//! A series of experiments in small, on drawn data.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use clothseg_trainer::Error;
use clothseg_trainer::config::Config;
use clothseg_trainer::experiments::{ExperimentResult, ExperimentsConfig, ExperimentsOptions, run_experiments};
use image::{GrayImage, Luma, Rgb, RgbImage};

/// A series on squares of one garment on grey: the base and one with another loss at another rate.
fn write_series(root: &Path) -> std::path::PathBuf {
    let data = root.join("data");
    for (split, count) in [("train", 8), ("valid", 2)] {
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
    let source = |split: &str| format!("layout = \"folder\"\nroot = {data:?}\nsplit = \"{split}\"\n");
    let base = format!(
        "name = \"base\"\ntaxonomy = \"garments\"\nrun = {:?}\n\
         [input]\nlongest_side = 32\nmultiple = 32\ncrop = [32, 32]\n\
         [model]\nnetwork = \"unet-lite0\"\nwidth = 0.0625\noutput_stride = 4\n\
         [train]\nepochs = 1\nbatch_size = 4\nlearning_rate = 0.001\n\
         [data]\n[[data.train]]\n{}[[data.valid]]\n{}",
        root.join("runs"),
        source("train"),
        source("valid")
    );
    fs::write(root.join("base.toml"), base).unwrap();
    let series = format!(
        "name = \"small\"\nbase = \"base.toml\"\noutput = {:?}\n\
         [[test]]\ntitle = \"squares\"\n[[test.sources]]\n{}\
         [[experiment]]\nkey = \"base\"\ntitle = \"the base\"\n\
         [[experiment]]\nkey = \"dice\"\ntitle = \"Dice\"\nset = {{ loss.terms = \"dice\", train.learning_rate = 0.002 }}\n",
        root.join("out"),
        source("valid"),
    );
    let path = root.join("series.toml");
    fs::write(&path, series).unwrap();
    path
}

#[test]
fn a_series_is_done_one_by_one_and_never_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_series(folder.path());
    let series = ExperimentsConfig::open(&path).unwrap();
    let experiments = series.experiments().unwrap();
    let [base, dice] = &experiments[..] else { panic!("{experiments:?}") };
    assert_eq!(dice.config.loss.terms, "dice");
    assert_eq!((base.config.train.learning_rate, dice.config.train.learning_rate), (0.001, 0.002));
    assert_eq!((base.config.train.batch_size, dice.config.train.batch_size), (4, 4));
    assert_eq!(dice.config.run, folder.path().join("runs/dice"));

    let only = ExperimentsOptions { only: vec!["dice".to_owned()], ..ExperimentsOptions::default() };
    let output = run_experiments(&series, &only).unwrap();
    let tables = || fs::read_to_string(output.join("tables.md")).unwrap();
    assert!(tables().contains("| Dice |") && !tables().contains("the base"), "{}", tables());
    let result = ExperimentResult::read(&series.result_path("dice")).unwrap();
    assert_eq!((result.steps, result.scores.len(), result.scores[0].photos), (2, 1, 2));
    assert!(result.scores[0].any_garment_iou.is_some());

    // The rest, and the first not again.
    let written = fs::metadata(series.result_path("dice")).unwrap().modified().unwrap();
    run_experiments(&series, &ExperimentsOptions::default()).unwrap();
    assert!(tables().find("the base") < tables().find("| Dice |"), "{}", tables());
    assert!(tables().contains("| experiment | background | shirt |"), "{}", tables());
    assert_eq!(fs::metadata(series.result_path("dice")).unwrap().modified().unwrap(), written);

    // Called by another path, and with another title, it is the same series.
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("title = \"squares\"", "title = \"boxes\"")).unwrap();
    let same = ExperimentsConfig::open(&folder.path().join("./series.toml")).unwrap();
    run_experiments(&same, &ExperimentsOptions::default()).unwrap();
    assert!(tables().contains("boxes"), "{}", tables());

    // With other settings the result is another's.
    fs::write(&path, text.replace("0.002", "0.003")).unwrap();
    let changed = ExperimentsConfig::open(&path).unwrap();
    let error = run_experiments(&changed, &ExperimentsOptions::default()).unwrap_err().to_string();
    assert!(error.contains("other settings"), "{error}");
}

#[test]
fn one_that_fails_does_not_keep_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_series(folder.path());
    let text = fs::read_to_string(&path).unwrap();
    // The base's folder is taken by something else.
    fs::create_dir_all(folder.path().join("runs/base")).unwrap();
    fs::write(folder.path().join("runs/base/config.toml"), "[server]").unwrap();
    let error = run_experiments(&ExperimentsConfig::open(&path).unwrap(), &ExperimentsOptions::default()).unwrap_err();
    assert!(error.to_string().contains("\n  base: "), "{error}");
    assert!(fs::read_to_string(folder.path().join("out/tables.md")).unwrap().contains("| Dice |"));
    // Test data that are not there show before anything is trained.
    let key = text.find("[[test.sources]]").unwrap();
    let missing = format!("{}{}", &text[..key], text[key..].replacen("valid", "none", 1))
        .replace("key = \"dice\"", "key = \"again\"");
    fs::write(&path, missing).unwrap();
    let only = ExperimentsOptions { only: vec!["again".to_owned()], ..ExperimentsOptions::default() };
    assert!(run_experiments(&ExperimentsConfig::open(&path).unwrap(), &only).is_err());
    assert!(!folder.path().join("runs/again").exists());
}

#[test]
fn what_cannot_be_run_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_series(folder.path());
    let text = fs::read_to_string(&path).unwrap();
    let refused = |from: &str, to: &str| -> Error {
        assert!(text.contains(from));
        fs::write(&path, text.replace(from, to)).unwrap();
        ExperimentsConfig::open(&path).unwrap_err()
    };
    for (from, to, expected) in [
        ("key = \"dice\"", "key = \"base\"", "two are called `base`"),
        ("key = \"dice\"", "key = \"../dice\"", "write letters"),
        ("key = \"dice\"", "key = \"..\"", "write letters"),
        ("0.002", "-1", "series.toml: experiment dice, over"),
        ("loss.terms", "loss.temrs", "series.toml: experiment dice, over"),
    ] {
        let error = refused(from, to).to_string();
        assert!(error.contains(expected), "{error}");
    }
    fs::write(&path, &text).unwrap();
    let series = ExperimentsConfig::open(&path).unwrap();
    let only = ExperimentsOptions { only: vec!["focal".to_owned()], ..ExperimentsOptions::default() };
    let error = run_experiments(&series, &only).unwrap_err().to_string();
    assert!(error.contains("experiments: base, dice"), "{error}");
}

#[test]
fn what_is_shipped_is_sound() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let series = ExperimentsConfig::open(&configs.join("recipe.toml")).unwrap();
    assert!(series.experiments().unwrap().iter().all(|experiment| experiment.config.model.pretrained));
    let parts = ["-192", "-288", "-long", "-again", "-384", ""].map(|part| format!("garments-lite0{part}"));
    let mut runs = Vec::new();
    for name in parts.iter().map(String::as_str).chain(["imaterialist47-lite0"]) {
        let config = Config::open(&configs.join(format!("{name}.toml"))).unwrap();
        assert_eq!((config.name.as_str(), config.data.test.len()), (name, 1));
        // Each goes on from one before, or from a file in its folder.
        let start = config.model.start_from;
        let is_known = |start: &Path| start.ancestors().any(|folder| runs.contains(&folder.to_path_buf()));
        assert_eq!(start.is_none(), runs.is_empty(), "{name}");
        assert!(start.is_none_or(|start| is_known(&start)), "{name}");
        runs.push(config.run);
    }
}
