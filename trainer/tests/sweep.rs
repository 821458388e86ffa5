//! Sweeps in small, on drawn data: two networks and two losses with seeds, as in the study, and a base with one change.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use clothseg::engine::{EngineOptions, Provider};
use clothseg_trainer::Error;
use clothseg_trainer::config::Config;
use clothseg_trainer::data::Target;
use clothseg_trainer::sweep::{RunResult, SweepConfig, SweepOptions, list, run_sweep};
use clothseg_trainer::train::{Start, train};
use image::{GrayImage, Luma, Rgb, RgbImage};

/// The study's layout with its 47 classes: squares of one garment on grey.
fn make_data(root: &Path) {
    let target = Target::builtin("imaterialist").unwrap();
    let rows: String = target.taxonomy.classes.iter().map(|class| format!("\"{}\",0,0,0\n", class.name)).collect();
    for (split, count) in [("train", 8), ("valid", 2), ("test", 3)] {
        for kind in ["images", "labels"] {
            fs::create_dir_all(root.join(split).join(kind)).unwrap();
        }
        for index in 0..count {
            let inside = |x: u32, y: u32| x.abs_diff(30) < 14 && y.abs_diff(24 + 4 * index) < 16;
            let photo = RgbImage::from_fn(64, 64, |x, y| Rgb(if inside(x, y) { [200, 40, 40] } else { [90; 3] }));
            let label = GrayImage::from_fn(64, 64, |x, y| Luma([if inside(x, y) { 7 } else { 0 }]));
            photo.save(root.join(split).join(format!("images/{index}.png"))).unwrap();
            label.save(root.join(split).join(format!("labels/{index}.png"))).unwrap();
        }
    }
    fs::write(root.join("class_dict.csv"), format!("name,r,g,b\n{rows}")).unwrap();
}

fn write_configs(root: &Path, smooth: f64) -> SweepConfig {
    let data = root.join("data");
    let source = |split: &str| format!("layout = \"folder\"\nroot = {data:?}\nsplit = \"{split}\"\n");
    let base = format!(
        "name = \"base\"\ntaxonomy = \"imaterialist\"\nrun = {:?}\n\
         [input]\nlongest_side = 32\nmultiple = 32\ncrop = [32, 32]\n\
         [model]\nnetwork = \"unet-vgg16\"\nwidth = 0.0625\noutput_stride = 1\n\
         [augment]\nscale = [1.0, 1.0]\naspect_jitter = 0.0\n\
         [train]\nepochs = 2\nbatch_size = 4\nlearning_rate = 0.001\n\
         [data]\n[[data.train]]\n{}[[data.valid]]\n{}",
        root.join("runs"),
        source("train"),
        source("valid")
    );
    fs::write(root.join("base.toml"), base).unwrap();
    let network = |key: &str, network: &str| {
        format!(
            "[[axis.choice]]\nkey = \"{key}\"\ntitle = \"{key}!\"\n\
             replace.model = {{ network = \"{network}\", width = 0.0625, output_stride = 1, dropout = 0.1 }}\n"
        )
    };
    let text = format!(
        "name = \"small\"\nbase = \"base.toml\"\noutput = {:?}\nseeds = [1]\ncheckpoint = \"last\"\ncolumns = \"study\"\n\
         pictures = 2\nphotos = [{:?}]\n[[test]]\ntitle = \"test\"\n[[test.sources]]\n{}\
         [[axis]]\nname = \"network\"\n{}{}[[axis]]\nname = \"loss\"\n\
         [[axis.choice]]\nkey = \"miou\"\ntitle = \"mean IoU\"\nseeds = [1, 2]\nonly_with = [\"unet\"]\n\
         replace.loss = {{ terms = \"miou\", smooth = {smooth}, absent = \"count\" }}\n\
         published = {{ unet = [0.8745, 0.4145, 0.2022] }}\n\
         [[axis.choice]]\nkey = \"dice-ce\"\ntitle = \"Dice + cross entropy\"\nset.loss.terms = \"dice,ce\"\n",
        root.join("out"),
        data.join("test/images"),
        source("test"),
        network("unet", "unet-vgg16"),
        network("deeplab", "deeplab-resnet50"),
    );
    fs::write(root.join("study.toml"), text).unwrap();
    SweepConfig::open(&root.join("study.toml")).unwrap()
}

/// The same as the earlier subcommand `study` described it.
fn write_earlier(root: &Path) -> SweepConfig {
    let data = root.join("data");
    let network = |key: &str, network: &str| {
        format!(
            "[[networks]]\nkey = \"{key}\"\ntitle = \"{key}!\"\n\
             model = {{ network = \"{network}\", width = 0.0625, output_stride = 1, dropout = 0.1 }}\n"
        )
    };
    let text = format!(
        "name = \"small\"\nbase = \"base.toml\"\noutput = {:?}\npictures = 2\nphotos = [{:?}]\n\
         [[test]]\nlayout = \"folder\"\nroot = {data:?}\nsplit = \"test\"\n{}{}\
         [[losses]]\nkey = \"miou\"\ntitle = \"mean IoU\"\nseeds = [1, 2]\nnetworks = [\"unet\"]\n\
         loss = {{ terms = \"miou\", smooth = 0.01, absent = \"count\" }}\n\
         published = {{ unet = [0.8745, 0.4145, 0.2022] }}\n\
         [[losses]]\nkey = \"dice-ce\"\ntitle = \"Dice + cross entropy\"\nloss = {{ terms = \"dice,ce\" }}\n",
        root.join("out"),
        data.join("test/images"),
        network("unet", "unet-vgg16"),
        network("deeplab", "deeplab-resnet50"),
    );
    fs::write(root.join("earlier.toml"), text).unwrap();
    SweepConfig::open(&root.join("earlier.toml")).unwrap()
}

#[test]
fn a_study_of_earlier_versions_is_the_same_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let now = write_configs(folder.path(), 0.01);
    let earlier = write_earlier(folder.path());
    assert_eq!(earlier.runs().unwrap(), now.runs().unwrap());
    assert_eq!((earlier.checkpoint, earlier.columns), (now.checkpoint, now.columns));
    assert_eq!(earlier.tests, now.tests);
}

#[test]
fn a_study_is_done_run_by_run_and_never_twice() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    make_data(&root.join("data"));
    let config = write_configs(root, 0.01);
    let runs = config.runs().unwrap();
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["unet-miou-seed1", "unet-dice-ce", "deeplab-dice-ce", "unet-miou-seed2"]);

    // One run was cut off after its first step, one before its first checkpoint.
    train(&runs[1].config, Start { last_step: Some(1), ..Start::default() }).unwrap();
    fs::create_dir_all(&runs[2].config.run).unwrap();
    fs::write(runs[2].config.run.join("config.toml"), runs[2].config_text().unwrap()).unwrap();

    let engine = EngineOptions::default().with_provider(Provider::Embedded);
    let options = SweepOptions { engine, ..SweepOptions::default() };
    let out = run_sweep(&config, &options).unwrap();
    let results: Vec<RunResult> =
        names.iter().map(|name| RunResult::read(&config.result_path(name)).unwrap()).collect();
    for result in &results {
        assert_eq!((result.steps, result.scores[0].photos), (4, 3), "{}", result.run);
        // Two classes are shown; the others have no score.
        let scores = &result.scores[0];
        assert_eq!(scores.classes.iter().filter(|class| class.photos == 3).count(), 2);
        let shown: Vec<f64> = scores.classes.iter().filter_map(|class| class.iou_per_image).collect();
        assert!((scores.study.all.unwrap() - shown.iter().sum::<f64>() / 2.0).abs() < 1e-5);
        assert!(result.parameters.unwrap() > 1000);
    }

    let tables = fs::read_to_string(out.join("tables.md")).unwrap();
    let row = tables.lines().find(|line| line.starts_with("| mean IoU |")).unwrap();
    assert!(row.contains(" ± ") && row.contains("| 0.8745 | 0.4145 | 0.2022 | 2 |"), "{row}");
    assert!(tables.contains("### unet!") && tables.contains("### deeplab!"), "{tables}");
    let figures = results[2].scores[0].study;
    let row = format!(
        "| Dice + cross entropy | {:.4} | {:.4} | {:.4} |",
        figures.two.unwrap(),
        figures.seventeen.unwrap(),
        figures.all.unwrap()
    );
    assert!(tables.split("### deeplab!").nth(1).unwrap().contains(&row), "{row} is not in {tables}");
    let csv = fs::read_to_string(out.join("results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 5);
    assert!(csv.contains(&format!(
        ",{:.6},{:.6},{:.6},",
        figures.two.unwrap(),
        figures.seventeen.unwrap(),
        figures.all.unwrap()
    )));
    for picture in ["training-loss.png", "validation-loss.png", "mean-iou.png", "photos.png", "../runs/grid.png"] {
        assert!(image::open(out.join(picture)).unwrap().width() > 100, "{picture}");
    }
    assert!(image::open(runs[0].config.run.join("pictures.png")).unwrap().width() > 100);
    for name in &names {
        let log = fs::read_to_string(config.log_path(name)).unwrap();
        assert_eq!(log.lines().filter(|line| line.contains(",valid,")).count(), 2, "{name}");
    }
    assert_eq!(list(&config).unwrap().matches(": done: ").count(), 4);

    // What does not change the training does not count; nothing is left to do.
    let text = fs::read_to_string(root.join("base.toml")).unwrap();
    fs::write(root.join("base.toml"), format!("{text}[about]\nlicence = \"new\"\n")).unwrap();
    let config = SweepConfig::open(&root.join("study.toml")).unwrap();
    fs::remove_dir_all(root.join("data/train")).unwrap();
    // A model that is gone does not take its column out of the picture.
    fs::remove_file(runs[0].model_path()).unwrap();
    let picture = fs::read(out.join("photos.png")).unwrap();
    run_sweep(&config, &options).unwrap();
    assert!(picture == fs::read(out.join("photos.png")).unwrap());
    let other = write_configs(root, 0.02);
    assert_eq!(list(&other).unwrap().matches(": other settings: ").count(), 2);
    let error = run_sweep(&other, &options).unwrap_err().to_string();
    assert!(error.contains("other settings") && error.contains("unet-miou-seed1"), "{error}");
    // Only one is asked for: the others' old results must not stand beside it.
    fs::remove_file(other.result_path("unet-miou-seed1")).unwrap();
    fs::remove_dir_all(root.join("runs/unet-miou-seed1")).unwrap();
    make_data(&root.join("data"));
    let only = SweepOptions { only: vec!["unet-miou-seed1".to_owned()], ..options.clone() };
    run_sweep(&other, &only).unwrap();
    let csv = fs::read_to_string(out.join("results.csv")).unwrap();
    assert!(csv.contains("unet-miou-seed1") && !csv.contains("unet-miou-seed2"), "{csv}");
    let only = SweepOptions { only: vec!["unet-x".to_owned()], ..options };
    let error = run_sweep(&config, &only).unwrap_err().to_string();
    assert!(error.contains("unet-x") && error.contains("unet-dice-ce"), "{error}");
}

#[test]
fn the_shipped_studies_are_read() {
    for (file, runs) in [("study.toml", 24), ("study-full.toml", 12)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(file);
        assert_eq!(SweepConfig::open(&path).unwrap().runs().unwrap().len(), runs, "{file}");
    }
}

#[test]
fn the_shipped_results_are_those_of_the_shipped_studies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, results) in [("study.toml", "study"), ("study-full-cpu.toml", "study/full-size")] {
        let sweep = SweepConfig::open(&root.join("configs").join(file)).unwrap();
        for run in sweep.runs().unwrap() {
            // They were written by the earlier subcommand `study`.
            let path = root.join(format!("../models/{results}/results/{}.json", run.name));
            let result = RunResult::read(&path).unwrap();
            assert!(result.is_of(&sweep, &run).unwrap(), "{}", path.display());
            assert_eq!((result.keys.len(), result.scores.len()), (2, 1));
        }
    }
}

#[test]
fn a_faulty_study_names_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_configs(root, 0.01);
    let text = fs::read_to_string(root.join("study.toml")).unwrap();
    for (from, to, expected) in [
        ("only_with = [\"unet\"]", "only_with = [\"vgg\"]", "`vgg`"),
        ("key = \"dice-ce\"", "key = \"miou\"", "same key"),
        ("key = \"dice-ce\"", "key = \"a/b\"", "`a/b`"),
        ("terms = \"dice,ce\"", "terms = \"dice,kl\"", "`kl`"),
        ("smooth = 0.01", "smooth = -1.0", "must be above 0"),
        ("seeds = [1, 2]", "seeds = [1, 1]", "two runs are called unet-miou-seed1"),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(root.join("study.toml"), text.replace(from, to)).unwrap();
        let error = SweepConfig::open(&root.join("study.toml")).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

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
    let series = SweepConfig::open(&path).unwrap();
    let runs = series.runs().unwrap();
    let [base, dice] = &runs[..] else { panic!("{runs:?}") };
    assert_eq!(dice.config.loss.terms, "dice");
    assert_eq!((base.config.train.learning_rate, dice.config.train.learning_rate), (0.001, 0.002));
    assert_eq!((base.config.train.batch_size, dice.config.train.batch_size), (4, 4));
    assert_eq!(dice.config.run, folder.path().join("runs/dice"));

    let only = SweepOptions { only: vec!["dice".to_owned()], ..SweepOptions::default() };
    let output = run_sweep(&series, &only).unwrap();
    let tables = || fs::read_to_string(output.join("tables.md")).unwrap();
    assert!(tables().contains("| Dice |") && !tables().contains("the base"), "{}", tables());
    let result = RunResult::read(&series.result_path("dice")).unwrap();
    assert_eq!((result.steps, result.scores.len(), result.scores[0].photos), (2, 1, 2));
    assert!(result.scores[0].any_garment_iou.is_some());

    // The rest, and the first not again.
    let written = fs::metadata(series.result_path("dice")).unwrap().modified().unwrap();
    run_sweep(&series, &SweepOptions::default()).unwrap();
    assert!(tables().find("the base") < tables().find("| Dice |"), "{}", tables());
    assert!(tables().contains("| experiment | background | shirt |"), "{}", tables());
    assert_eq!(fs::metadata(series.result_path("dice")).unwrap().modified().unwrap(), written);

    // Called by another path, and with another title, it is the same series.
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("title = \"squares\"", "title = \"boxes\"")).unwrap();
    let same = SweepConfig::open(&folder.path().join("./series.toml")).unwrap();
    run_sweep(&same, &SweepOptions::default()).unwrap();
    assert!(tables().contains("boxes"), "{}", tables());

    // With other settings the result is another's.
    fs::write(&path, text.replace("0.002", "0.003")).unwrap();
    let changed = SweepConfig::open(&path).unwrap();
    let error = run_sweep(&changed, &SweepOptions::default()).unwrap_err().to_string();
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
    let error = run_sweep(&SweepConfig::open(&path).unwrap(), &SweepOptions::default()).unwrap_err();
    assert!(error.to_string().contains("\n  base: "), "{error}");
    assert!(fs::read_to_string(folder.path().join("out/tables.md")).unwrap().contains("| Dice |"));
    // Test data that are not there show before anything is trained.
    let key = text.find("[[test.sources]]").unwrap();
    let missing = format!("{}{}", &text[..key], text[key..].replacen("valid", "none", 1))
        .replace("key = \"dice\"", "key = \"again\"");
    fs::write(&path, missing).unwrap();
    let only = SweepOptions { only: vec!["again".to_owned()], ..SweepOptions::default() };
    assert!(run_sweep(&SweepConfig::open(&path).unwrap(), &only).is_err());
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
        SweepConfig::open(&path).unwrap_err()
    };
    for (from, to, expected) in [
        ("key = \"dice\"", "key = \"base\"", "same key `base`"),
        ("key = \"dice\"", "key = \"../dice\"", "use letters"),
        ("key = \"dice\"", "key = \"..\"", "use letters"),
        ("0.002", "-1", "series.toml: run dice, over"),
        ("loss.terms", "loss.temrs", "series.toml: run dice, over"),
    ] {
        let error = refused(from, to).to_string();
        assert!(error.contains(expected), "{error}");
    }
    fs::write(&path, &text).unwrap();
    let series = SweepConfig::open(&path).unwrap();
    let only = SweepOptions { only: vec!["focal".to_owned()], ..SweepOptions::default() };
    let error = run_sweep(&series, &only).unwrap_err().to_string();
    assert!(error.contains("runs: base, dice"), "{error}");
}

#[test]
fn what_is_shipped_is_sound() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let series = SweepConfig::open(&configs.join("recipe.toml")).unwrap();
    assert!(series.runs().unwrap().iter().all(|run| run.config.model.pretrained));
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
