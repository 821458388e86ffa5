//! The whole chain without any data: shapes are drawn, a small net learns them in seconds, is exported, and is found by
//! clothseg's own library to cut them out.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use clothseg::engine::{EngineOptions, Provider};
use clothseg::{Limits, Photo, Segmenter};
use clothseg_trainer::config::Config;
use clothseg_trainer::data::{LabelImage, Target};
use clothseg_trainer::evaluate::{evaluate, matching_classes};
use clothseg_trainer::metrics::Confusion;
use clothseg_trainer::onnx::{CheckpointChoice, Weights};
use clothseg_trainer::run::Checkpoint;
use clothseg_trainer::train::Start;
use clothseg_trainer::{data, onnx, train};
use image::{GrayImage, Luma, Rgb, RgbImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CLASSES: [&str; 3] = ["background", "hat", "shirt"];

/// A disc (hat) and a rectangle (shirt) of about fixed colours on noise; the label's indices are those of [`CLASSES`].
fn draw(random: &mut ChaCha8Rng, width: u32, height: u32) -> (RgbImage, GrayImage) {
    let (w, h) = (f64::from(width), f64::from(height));
    let center = (random.random_range(0.2..0.8) * w, random.random_range(0.15..0.35) * h);
    let radius = random.random_range(0.12..0.2) * w.min(h);
    let left = random.random_range(0.05..0.4) * w;
    let top = random.random_range(0.5..0.6) * h;
    let (right, bottom) = (left + random.random_range(0.3..0.5) * w, top + random.random_range(0.25..0.35) * h);
    let label = GrayImage::from_fn(width, height, |x, y| {
        let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
        let disc = (x - center.0).hypot(y - center.1) < radius;
        let rectangle = x > left && x < right && y > top && y < bottom;
        Luma([if disc { 1 } else { u8::from(rectangle) * 2 }])
    });
    let photo = RgbImage::from_fn(width, height, |x, y| {
        let base = [[90, 100, 90], [220, 60, 50], [50, 80, 220]][usize::from(label.get_pixel(x, y).0[0])];
        Rgb(base.map(|level: i32| (level + random.random_range(-35..35)).clamp(0, 255) as u8))
    });
    (photo, label)
}

/// Writes `train` and `valid` in the study's layout, with a mapping to `garments`, and a config.
fn make_run(root: &Path, name: &str, epochs: usize) -> PathBuf {
    let data = root.join("data");
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for (split, count) in [("train", 48), ("valid", 8)] {
        for kind in ["images", "labels"] {
            fs::create_dir_all(data.join(split).join(kind)).unwrap();
        }
        for index in 0..count {
            let (photo, label) = draw(&mut random, 96, 128);
            photo.save(data.join(split).join(format!("images/{index:03}.png"))).unwrap();
            label.save(data.join(split).join(format!("labels/{index:03}.png"))).unwrap();
        }
    }
    let mut classes = String::from("name,r,g,b\n");
    let mut mapping = String::from("target = \"garments\"\n[classes]\n");
    for class in CLASSES {
        writeln!(classes, "{class},0,0,0").unwrap();
        writeln!(mapping, "{class} = \"{class}\"").unwrap();
    }
    fs::write(data.join("class_dict.csv"), classes).unwrap();
    fs::write(root.join("mapping.toml"), mapping).unwrap();
    let source = |split: &str| {
        format!("layout = \"folder\"\nroot = {data:?}\nsplit = \"{split}\"\nmapping = \"mapping.toml\"\n")
    };
    let text = format!(
        "name = \"shapes\"\ntaxonomy = \"garments\"\nrun = {:?}\nseed = 5\n\
         [input]\nlongest_side = 64\nmultiple = 16\ncrop = [48, 64]\n\
         [model]\nnetwork = \"unet-vgg16-light\"\nwidth = 0.0625\noutput_stride = 2\nupsampling = \"bilinear\"\ndropout = 0.2\n\
         [augment]\nscale = [0.9, 1.3]\n\
         [train]\nepochs = {epochs}\nbatch_size = 8\nlearning_rate = 0.01\nwarmup_steps = 5\nshards = 2\n\
         [data]\n[[data.train]]\n{}[[data.valid]]\n{}",
        root.join(name),
        source("train"),
        source("valid")
    );
    let path = root.join(format!("{name}.toml"));
    fs::write(&path, text).unwrap();
    path
}

fn embedded() -> EngineOptions {
    EngineOptions::default().with_provider(Provider::Embedded)
}

#[test]
fn a_net_learns_shapes_is_exported_and_clothseg_finds_them() {
    let root = tempfile::tempdir().unwrap();
    let config = Config::open(&make_run(root.path(), "run", 14)).unwrap();
    train::train(&config, Start::default()).unwrap();
    let again = train::train(&config, Start::default()).unwrap_err().to_string();
    assert!(again.contains("--resume"), "{again}");

    let exported = onnx::export_run(&config.run, CheckpointChoice::Best, None, Weights::F32, &embedded()).unwrap();
    assert!(exported.difference <= onnx::TOLERANCE);
    let segmenter = Segmenter::open_with(&exported.path, &embedded()).unwrap();
    assert_eq!(segmenter.spec().training["trained_on"].as_array().unwrap().len(), 1);

    // A photo of another size and shape than any in training.
    let (photo, label) = draw(&mut ChaCha8Rng::seed_from_u64(99), 150, 180);
    let segmentation = segmenter.segment(&Photo::from_rgb(photo).unwrap()).unwrap();
    let target = Target::builtin("garments").unwrap();
    let index = |name: &str| target.taxonomy.index_of(name).unwrap() as u8;
    let truth: Vec<u8> = label.as_raw().iter().map(|class| index(CLASSES[usize::from(*class)])).collect();
    let mut confusion = Confusion::new(target.classes());
    confusion.add(&truth, segmentation.label_map().labels());
    for class in CLASSES {
        let iou = confusion.iou(usize::from(index(class))).unwrap();
        assert!(iou > 0.8, "{class}: IoU {iou}");
    }

    let dataset = data::Dataset::open(&data::resolve(&config.data.valid), &target, data::OnDamage::Refuse).unwrap();
    let classes = matching_classes(segmenter.spec(), &target).unwrap();
    let evaluation = evaluate(&segmenter, &dataset, classes).unwrap();
    assert!(evaluation.confusion.any_garment_iou().unwrap() > 0.8, "{}", evaluation.table());
    assert!(evaluation.markdown().contains("| hat |") && evaluation.csv().contains("\"shirt\""));
}

/// All numbers of a checkpoint's network. Its bytes will not do: they hold identifiers that are new in every process.
fn weights(config: &Config, checkpoint: &Checkpoint) -> Vec<f32> {
    struct Numbers(Vec<f32>);
    impl ModuleVisitor for Numbers {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f32>());
        }
    }
    let network = config.network(config.target().unwrap().classes()).init(&Device::default(), 0);
    let network = checkpoint.load_model(Path::new("last.ckpt"), network).unwrap();
    let mut numbers = Numbers(Vec::new());
    network.visit(&mut numbers);
    numbers.0
}

#[test]
fn a_resumed_run_ends_with_the_weights_of_an_unbroken_one() {
    let root = tempfile::tempdir().unwrap();
    let unbroken = Config::open(&make_run(root.path(), "unbroken", 3)).unwrap();
    let broken = Config { run: root.path().join("broken"), ..unbroken.clone() };
    train::train(&unbroken, Start::default()).unwrap();
    train::train(&broken, Start { last_step: Some(8), ..Start::default() }).unwrap();
    assert_eq!(Checkpoint::open(&broken.run.join("last.ckpt")).unwrap().state.step, 8);
    train::train(&broken, Start { resume: true, ..Start::default() }).unwrap();
    let end = |config: &Config| Checkpoint::open(&config.run.join("last.ckpt")).unwrap();
    let (one, other) = (end(&unbroken), end(&broken));
    assert_eq!(one.state.step, 18);
    assert_eq!(other.state.step, 18);
    assert_eq!(one.state.best_score, other.state.best_score);
    assert!(weights(&unbroken, &one) == weights(&unbroken, &other), "the weights differ");
}

#[test]
fn damage_is_named_and_refused_or_skipped() {
    let root = tempfile::tempdir().unwrap();
    let config = Config::open(&make_run(root.path(), "run", 1)).unwrap();
    let train_folder = root.path().join("data/train");
    fs::remove_file(train_folder.join("labels/000.png")).unwrap();
    GrayImage::new(3, 3).save(train_folder.join("labels/001.png")).unwrap();
    GrayImage::from_pixel(96, 128, Luma([7])).save(train_folder.join("labels/002.png")).unwrap();
    fs::write(train_folder.join("images/003.png"), "no picture").unwrap();
    let sources = data::resolve(&config.data.train);
    let target = Target::builtin("garments").unwrap();
    let error = data::Dataset::open(&sources, &target, data::OnDamage::Refuse).unwrap_err().to_string();
    for expected in ["4 damaged", "000.png", "001.png", "3 x 3", "class 7", "003.png", "on_damage"] {
        assert!(error.contains(expected), "no `{expected}` in: {error}");
    }
    let dataset = data::Dataset::open(&sources, &target, data::OnDamage::Skip).unwrap();
    assert_eq!((dataset.len(), dataset.skipped()), (44, 4));
}

#[test]
fn the_label_reader_takes_palette_indices_and_refuses_colours() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("label.png");
    let mut encoder = png::Encoder::new(fs::File::create(&path).unwrap(), 2, 1);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(vec![9, 9, 9, 200, 0, 0, 0, 0, 200]);
    encoder.write_header().unwrap().write_image_data(&[2, 1]).unwrap();
    assert_eq!(LabelImage::open(&path).unwrap().data, [2, 1]);
    RgbImage::from_pixel(2, 2, Rgb([0, 0, 7])).save(&path).unwrap();
    let refused = LabelImage::open(&path).unwrap_err().to_string();
    assert!(refused.contains("has the colour (0, 0, 7) at pixel (0, 0), which is no index"), "{refused}");
    assert!(Photo::open(&path, &Limits::default()).is_ok());
}
