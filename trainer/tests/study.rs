//! A whole study in small: two networks, two losses, drawn data.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use clothseg::engine::{EngineOptions, Provider};
use clothseg_trainer::data::Target;
use clothseg_trainer::study::{RunResult, StudyConfig, StudyOptions, list, study};
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

fn write_configs(root: &Path, smooth: f64) -> StudyConfig {
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
            "[[networks]]\nkey = \"{key}\"\ntitle = \"{key}!\"\n\
             model = {{ network = \"{network}\", width = 0.0625, output_stride = 1, dropout = 0.1 }}\n"
        )
    };
    let text = format!(
        "name = \"small\"\nbase = \"base.toml\"\noutput = {:?}\npictures = 2\nphotos = [{:?}]\n[[test]]\n{}{}{}\
         [[losses]]\nkey = \"miou\"\ntitle = \"mean IoU\"\nseeds = [1, 2]\nnetworks = [\"unet\"]\n\
         loss = {{ terms = \"miou\", smooth = {smooth}, absent = \"count\" }}\n\
         published = {{ unet = [0.8745, 0.4145, 0.2022] }}\n\
         [[losses]]\nkey = \"dice-ce\"\ntitle = \"Dice + cross entropy\"\nloss = {{ terms = \"dice,ce\" }}\n",
        root.join("out"),
        data.join("test/images"),
        source("test"),
        network("unet", "unet-vgg16"),
        network("deeplab", "deeplab-resnet50"),
    );
    fs::write(root.join("study.toml"), text).unwrap();
    StudyConfig::open(&root.join("study.toml")).unwrap()
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
    let options = StudyOptions { engine, ..StudyOptions::default() };
    let out = study(&config, &options).unwrap();
    let results: Vec<RunResult> =
        names.iter().map(|name| RunResult::read(&config.result_path(name)).unwrap()).collect();
    for result in &results {
        assert_eq!((result.steps, result.test_photos), (4, 3), "{}", result.run);
        // Two classes are shown; the others have no score.
        assert_eq!(result.classes.iter().filter(|class| class.photos == 3).count(), 2);
        let shown: Vec<f64> = result.classes.iter().filter_map(|class| class.iou_per_image).collect();
        assert!((result.study.all.unwrap() - shown.iter().sum::<f64>() / 2.0).abs() < 1e-5);
        assert!(result.parameters > 1000);
    }

    let tables = fs::read_to_string(out.join("tables.md")).unwrap();
    let row = tables.lines().find(|line| line.starts_with("| mean IoU |")).unwrap();
    assert!(row.contains(" ± ") && row.contains("| 0.8745 | 0.4145 | 0.2022 | 2 |"), "{row}");
    assert!(tables.contains("### unet!") && tables.contains("### deeplab!"), "{tables}");
    let figures = results[2].study;
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
    let config = StudyConfig::open(&root.join("study.toml")).unwrap();
    fs::remove_dir_all(root.join("data/train")).unwrap();
    // A model that is gone does not take its column out of the picture.
    fs::remove_file(runs[0].model_path()).unwrap();
    let picture = fs::read(out.join("photos.png")).unwrap();
    study(&config, &options).unwrap();
    assert!(picture == fs::read(out.join("photos.png")).unwrap());
    let other = write_configs(root, 0.02);
    assert_eq!(list(&other).unwrap().matches(": other settings: ").count(), 2);
    let error = study(&other, &options).unwrap_err().to_string();
    assert!(error.contains("other settings") && error.contains("unet-miou-seed1"), "{error}");
    // Only one is asked for: the others' old results must not stand beside it.
    fs::remove_file(other.result_path("unet-miou-seed1")).unwrap();
    fs::remove_dir_all(root.join("runs/unet-miou-seed1")).unwrap();
    make_data(&root.join("data"));
    let only = StudyOptions { only: vec!["unet-miou-seed1".to_owned()], ..options.clone() };
    study(&other, &only).unwrap();
    let csv = fs::read_to_string(out.join("results.csv")).unwrap();
    assert!(csv.contains("unet-miou-seed1") && !csv.contains("unet-miou-seed2"), "{csv}");
    let only = StudyOptions { only: vec!["unet-x".to_owned()], ..options };
    let error = study(&config, &only).unwrap_err().to_string();
    assert!(error.contains("unet-x") && error.contains("unet-dice-ce"), "{error}");
}

#[test]
fn the_shipped_studies_are_read() {
    for (file, runs) in [("study.toml", 24), ("study-full.toml", 12)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(file);
        assert_eq!(StudyConfig::open(&path).unwrap().runs().unwrap().len(), runs, "{file}");
    }
}

#[test]
fn a_faulty_study_names_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_configs(root, 0.01);
    let text = fs::read_to_string(root.join("study.toml")).unwrap();
    for (from, to, expected) in [
        ("networks = [\"unet\"]", "networks = [\"vgg\"]", "`vgg`"),
        ("key = \"dice-ce\"", "key = \"miou\"", "same key"),
        ("key = \"dice-ce\"", "key = \"a/b\"", "`a/b`"),
        ("terms = \"dice,ce\"", "terms = \"dice,kl\"", "`kl`"),
        ("smooth = 0.01", "smooth = -1.0", "must be above 0"),
        ("seeds = [1, 2]", "seeds = [1, 1]", "two runs are called unet-miou-seed1"),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(root.join("study.toml"), text.replace(from, to)).unwrap();
        let error = StudyConfig::open(&root.join("study.toml")).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
