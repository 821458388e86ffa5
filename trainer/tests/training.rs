//! The training loop on pictures of noise, by nets of a few thousand weights: what a resume brings back, what a frozen
//! encoder keeps, when a run ends early.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use clothseg_trainer::config::Config;
use clothseg_trainer::data::Batch;
use clothseg_trainer::device::cpu;
use clothseg_trainer::model::Network;
use clothseg_trainer::run::{Checkpoint, RunFolder, log};
use clothseg_trainer::train::{
    self, EarlierWeights, OptimizerConfig, OptimizerKind, Start, StepOptions, Stepper, new_optimizer,
};
use image::{GrayImage, Luma, Rgb, RgbImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SIDE: u32 = 32;

/// Writes twelve pictures to train on and two to validate on, whose labels are `valid_label` in part, and a config with
/// `more` in its table `[train]`: three steps an epoch.
fn make_run(root: &Path, name: &str, valid_label: u8, more: &str) -> Config {
    let data = root.join("data");
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for (split, count, label) in [("train", 12, 1), ("valid", 2, valid_label)] {
        for kind in ["images", "labels"] {
            fs::create_dir_all(data.join(split).join(kind)).unwrap();
        }
        for index in 0..count {
            let photo = RgbImage::from_fn(SIDE, SIDE, |_, _| Rgb([0; 3].map(|_: u8| random.random())));
            let edge = random.random_range(8..24);
            let labels = GrayImage::from_fn(SIDE, SIDE, |x, _| Luma([if x < edge { label } else { 0 }]));
            photo.save(data.join(split).join(format!("images/{index:03}.png"))).unwrap();
            labels.save(data.join(split).join(format!("labels/{index:03}.png"))).unwrap();
        }
    }
    fs::write(data.join("class_dict.csv"), "name,r,g,b\nbackground,0,0,0\nshirt,0,0,0\n").unwrap();
    let source = |split: &str| format!("layout = \"folder\"\nroot = {data:?}\nsplit = \"{split}\"\n");
    let text = format!(
        "name = \"noise\"\ntaxonomy = \"garments\"\nrun = {:?}\nseed = 5\n\
         [input]\nlongest_side = {SIDE}\nmultiple = 32\ncrop = [{SIDE}, {SIDE}]\n\
         [model]\nnetwork = \"unet-lite0\"\nwidth = 0.0625\noutput_stride = 4\ndropout = 0.2\n\
         [train]\nbatch_size = 4\nlearning_rate = 0.01\nwarmup_steps = 5\nshards = 2\n{more}\n\
         [data]\n[[data.train]]\n{}[[data.valid]]\n{}",
        root.join(name),
        source("train"),
        source("valid")
    );
    let path = root.join(format!("{name}.toml"));
    fs::write(&path, text).unwrap();
    Config::open(&path).unwrap()
}

/// The numbers of the parameters that `takes`, in order.
fn numbers(model: &Network, takes: impl Fn(ParamId) -> bool) -> Vec<f32> {
    struct Numbers<F>(F, Vec<f32>);
    impl<F: Fn(ParamId) -> bool> ModuleVisitor for Numbers<F> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if (self.0)(param.id) {
                self.1.extend(param.val().into_data().iter::<f32>());
            }
        }
    }
    let mut numbers = Numbers(takes, Vec::new());
    model.visit(&mut numbers);
    numbers.1
}

/// The numbers of the parameters that training changes, in order.
fn trained_numbers(model: &Network) -> Vec<f32> {
    struct Trained(HashSet<ParamId>);
    impl ModuleVisitor for Trained {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                self.0.insert(param.id);
            }
        }
    }
    let mut trained = Trained(HashSet::new());
    model.visit(&mut trained);
    numbers(model, |id| trained.0.contains(&id))
}

fn fresh(config: &Config) -> Network {
    config.network(config.target().unwrap().classes()).init(&cpu(), config.seed)
}

fn last(config: &Config) -> (PathBuf, Checkpoint) {
    let path = config.run.join("last.ckpt");
    let checkpoint = Checkpoint::open(&path).unwrap();
    (path, checkpoint)
}

/// Weights and average at the end of a run.
fn end(config: &Config) -> [Vec<f32>; 2] {
    let (path, checkpoint) = last(config);
    let weights = checkpoint.load_weights(&path, fresh(config)).unwrap();
    let used = checkpoint.load_model(&path, fresh(config)).unwrap();
    [weights, used].map(|model| numbers(&model, |_| true))
}

#[test]
fn a_resumed_run_is_the_unbroken_one_with_every_optimizer() {
    let common = "epochs = 3\nclip_norm = 0.5\naverage_decay = 0.9\nencoder_learning_rate_factor = 0.5\n\
                  frozen_encoder_epochs = 1\npatience_epochs = 9\nclass_weights = \"median-frequency\"\n";
    for (name, more) in [
        ("adam", "optimizer = \"adam\"\nweight_decay = 0.01\nschedule = \"polynomial\"\nbest_by = \"valid_loss\""),
        ("adamw", "optimizer = \"adamw\"\nschedule = \"step\"\nstep_epochs = 1"),
        ("sgd", "optimizer = \"sgd\"\nnesterov = true\nweight_decay = 0.01\nbest_by = \"study_mean_iou\""),
    ] {
        let root = tempfile::tempdir().unwrap();
        let unbroken = make_run(root.path(), name, 1, &format!("{common}{more}"));
        let broken = Config { run: root.path().join("broken"), ..unbroken.clone() };
        train::train(&unbroken, Start::default()).unwrap();
        // Within the first epoch, where the encoder is frozen, and within the second.
        for (step, resume) in [(2, false), (5, true), (usize::MAX, true)] {
            train::train(&broken, Start { last_step: Some(step), resume, ..Start::default() }).unwrap();
        }
        let (one, other) = (last(&unbroken).1.state, last(&broken).1.state);
        assert_eq!((one.step, other.step), (9, 9), "{name}");
        assert_eq!((one.best_epoch, one.best_score), (other.best_epoch, other.best_score), "{name}");
        let ([weights, average], resumed) = (end(&unbroken), end(&broken));
        assert!(weights != average, "{name}: the average is the weights");
        assert!([weights, average] == resumed, "{name}: the weights differ");
        assert!(one.wall_s > 0.0, "{name}");
        let curve = |config: &Config| {
            let rows = log::read(&config.run.join("log.csv")).unwrap().into_iter();
            rows.filter(|row| row.kind == "valid").map(|row| log::Row { wall_s: 0.0, ..row }).collect::<Vec<_>>()
        };
        assert_eq!(curve(&unbroken).len(), 3);
        assert_eq!(curve(&unbroken), curve(&broken), "{name}");
        let class_weights = |config: &Config| fs::read(config.run.join("class_weights.json")).unwrap();
        assert_eq!(class_weights(&unbroken), class_weights(&broken), "{name}");
    }
}

#[test]
fn a_frozen_encoder_keeps_its_weights_and_statistics() {
    let root = tempfile::tempdir().unwrap();
    let config = make_run(root.path(), "run", 1, "epochs = 1\nfrozen_encoder_epochs = 1");
    train::train(&config, Start::default()).unwrap();
    let (path, checkpoint) = last(&config);
    let halves = |model: &Network| {
        let encoder = model.encoder_parameters();
        [numbers(model, |id| encoder.contains(&id)), numbers(model, |id| !encoder.contains(&id))]
    };
    let before = halves(&fresh(&config));
    let after = halves(&checkpoint.load_model(&path, fresh(&config)).unwrap());
    assert!(before[0] == after[0], "the encoder changed");
    let unchanged = before[1].iter().zip(&after[1]).filter(|(one, other)| one == other).count();
    assert!(unchanged < before[1].len() / 10, "{unchanged} of {} numbers did not learn", before[1].len());
}

#[test]
fn class_weights_reach_the_loss() {
    let root = tempfile::tempdir().unwrap();
    let learnt = ["none", "inverse-frequency"].map(|rule| {
        let config = make_run(root.path(), rule, 1, &format!("epochs = 1\nclass_weights = \"{rule}\""));
        train::train(&config, Start::default()).unwrap();
        assert_eq!(config.run.join("class_weights.json").exists(), rule != "none");
        end(&config)
    });
    assert!(learnt[0] != learnt[1]);
}

#[test]
fn without_anything_better_a_run_ends_and_a_resume_lets_it_rest() {
    let root = tempfile::tempdir().unwrap();
    // Labels without any garment give no score of garments.
    let config = make_run(root.path(), "run", 0, "epochs = 9\npatience_epochs = 2\nbest_by = \"mean_garment_iou\"");
    let state = train::train(&config, Start::default()).unwrap();
    assert_eq!((state.epoch, state.best_epoch, state.best_score), (2, 0, None));
    assert!(!config.run.join("best.ckpt").exists());
    let state = train::train(&config, Start { resume: true, ..Start::default() }).unwrap();
    assert_eq!((state.epoch, state.step), (2, 6));
}

/// The error of a training that must not begin.
fn refused(config: &Config, resume: bool) -> String {
    train::train(config, Start { resume, ..Start::default() }).unwrap_err().to_string()
}

#[test]
fn one_training_at_a_time_writes_into_a_run_folder() {
    let root = tempfile::tempdir().unwrap();
    let config = make_run(root.path(), "run", 1, "epochs = 1");
    train::train(&config, Start { last_step: Some(1), ..Start::default() }).unwrap();
    let contents = || ["log.csv", "last.ckpt", "config.toml"].map(|name| fs::read(config.run.join(name)).unwrap());
    let before = contents();
    let other = fs::File::options().write(true).open(config.run.join("train.lock")).unwrap();
    other.try_lock().unwrap();
    for resume in [false, true] {
        let error = refused(&config, resume);
        assert!(error.contains("another training writes into it") && error.contains("run"), "{error}");
    }
    assert!(before == contents());
    // The file stays after its owner, and locks nobody out.
    drop(other);
    assert_eq!(train::train(&config, Start { resume: true, ..Start::default() }).unwrap().step, 3);
}

#[test]
fn a_damaged_checkpoint_is_refused_and_the_best_takes_the_place_of_the_last() {
    let root = tempfile::tempdir().unwrap();
    let config = make_run(root.path(), "run", 1, "epochs = 2");
    train::train(&config, Start::default()).unwrap();
    let (last, best) = (config.run.join("last.ckpt"), config.run.join("best.ckpt"));
    let (whole, learnt) = (fs::read(&last).unwrap(), end(&config));
    let damaged = |path: &Path, bytes: &[u8]| {
        fs::write(path, bytes).unwrap();
        let error = Checkpoint::open(path).err().unwrap().to_string();
        assert!(error.contains("is damaged") && error.contains(&path.display().to_string()), "{error}");
        error
    };
    let middle = whole.len() / 2;
    let mut zeros = whole.clone();
    zeros[middle..middle + 999].fill(0);
    let mut flipped = whole.clone();
    flipped[middle] ^= 1;
    let longer = [&whole[..], b"more"].concat();
    for bytes in [&zeros[..], &flipped, &longer, &whole[..whole.len() - 1]] {
        assert!(damaged(&last, bytes).contains("copy the run's best.ckpt over it"));
        assert!(refused(&config, true).contains("is damaged"));
    }
    // As earlier versions wrote it: without the checksum.
    fs::write(&last, &whole[..whole.len() - 40]).unwrap();
    assert!(end(&config) == learnt);
    // What the message says can be done.
    fs::copy(&best, &last).unwrap();
    assert_eq!(train::train(&config, Start { resume: true, ..Start::default() }).unwrap().step, 6);
    assert!(end(&config) == learnt);
    assert!(damaged(&best, &flipped).contains("--last"));
}

#[test]
fn a_config_in_the_run_folder_stays_as_it_is_or_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let config = make_run(root.path(), "run", 1, "epochs = 1");
    fs::create_dir(&config.run).unwrap();
    let path = config.run.join("config.toml");
    let text = format!("# mine\n{}", fs::read_to_string(root.path().join("run.toml")).unwrap());
    fs::write(&path, &text).unwrap();
    for resume in [false, true] {
        let given = Config::open(&path).unwrap();
        train::train(&given, Start { resume, last_step: Some(1), ..Start::default() }).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    // A copy would have to name the classes that the data bring.
    fs::write(root.path().join("data/class_dict.csv"), "name\nbackground\nsari\n").unwrap();
    fs::remove_file(config.run.join("last.ckpt")).unwrap();
    let error = refused(&Config::open(&path).unwrap(), false);
    assert!(error.contains("names the data's classes"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_resume_with_other_settings_names_them() {
    let root = tempfile::tempdir().unwrap();
    let config = make_run(root.path(), "run", 1, "epochs = 1");
    train::train(&config, Start { last_step: Some(1), ..Start::default() }).unwrap();
    let mut other = Config { seed: 6, ..config.clone() };
    other.train.clip_norm = Some(0.5);
    let error = refused(&other, true);
    assert!(error.contains("now: `seed` (5 before, 6 now), `train.clip_norm` (not set before, 0.5 now); "), "{error}");
    // A mapping file counts by what it says.
    let mut mapped = config.clone();
    let mapping = root.path().join("mapping.toml");
    fs::write(&mapping, "target = \"garments\"\n").unwrap();
    mapped.data.valid[0].mapping = Some(mapping);
    let error = refused(&mapped, true);
    assert!(error.contains("the contents of `data.valid.mapping` of entry 1"), "{error}");
}

/// How far one step of plain gradient descent moves each weight, encoder and rest.
fn moves(options: StepOptions) -> [Vec<f32>; 2] {
    let root = tempfile::tempdir().unwrap();
    let config = make_run(root.path(), "run", 1, "epochs = 1");
    let device = cpu().autodiff();
    let classes = config.target().unwrap().classes();
    let model = config.network(classes).init(&device, 1);
    let encoder: HashSet<ParamId> = model.encoder_parameters();
    let side = SIDE as usize;
    let batch = Batch {
        pictures: (0..3 * side * side).map(|index| (index % 17) as f32 / 8.0 - 1.0).collect(),
        picture_shape: [1, side, side],
        labels: (0..side * side / 16).map(|index| (index % 3) as u8).collect(),
        label_shape: [1, side / 4, side / 4],
        shown: Vec::new(),
    };
    let sgd = OptimizerConfig { kind: OptimizerKind::Sgd, momentum: 0.0, ..OptimizerConfig::default() };
    let stepper = Stepper::new(1, 1, "ce:1".parse().unwrap(), classes, device).unwrap();
    let learns = |model: &Network, inside: bool| {
        struct Learning(HashSet<ParamId>);
        impl ModuleVisitor for Learning {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if param.is_require_grad() {
                    self.0.insert(param.id);
                }
            }
        }
        let mut learning = Learning(HashSet::new());
        model.visit(&mut learning);
        numbers(model, |id| learning.0.contains(&id) && encoder.contains(&id) == inside)
    };
    let before = [true, false].map(|inside| learns(&model, inside));
    let (model, _) = stepper.step(model, &mut new_optimizer(&sgd), &batch, options, 0).unwrap();
    let after = [true, false].map(|inside| learns(&model, inside));
    let difference = |index: usize| after[index].iter().zip(&before[index]).map(|(one, other)| one - other).collect();
    [difference(0), difference(1)]
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn the_encoder_moves_by_its_own_rate_and_all_by_no_more_than_the_limit() {
    let whole = StepOptions::from(0.1);
    let [encoder, rest] = moves(whole);
    let [slow, same] = moves(StepOptions { encoder_learning_rate_factor: 0.25, ..whole });
    assert!((norm(&slow) / norm(&encoder) - 0.25).abs() < 1e-3, "{} {}", norm(&slow), norm(&encoder));
    assert_eq!(same, rest);
    let all = norm(&[encoder, rest].concat());
    let limited = moves(StepOptions { clip_norm: Some(all / 0.1 / 2.0), ..whole }).concat();
    assert!((norm(&limited) / all - 0.5).abs() < 1e-3, "{} {all}", norm(&limited));
}

#[test]
fn a_run_starts_from_what_an_earlier_one_learnt() {
    let root = tempfile::tempdir().unwrap();
    let earlier = make_run(root.path(), "earlier", 1, "epochs = 1\naverage_decay = 0.5");
    train::train(&earlier, Start::default()).unwrap();
    let [_, learnt] = end(&earlier);

    // One step that changes next to nothing: the statistics move, the weights do not.
    let mut config = make_run(root.path(), "later", 1, "epochs = 1").clone();
    config.model.start_from = Some(earlier.run.clone());
    config.train.learning_rate = 1e-12;
    train::train(&config, Start { last_step: Some(1), ..Start::default() }).unwrap();
    let (path, checkpoint) = last(&config);
    let (earlier_path, earlier_checkpoint) = last(&earlier);
    let weights = |path: &Path, checkpoint: &Checkpoint| {
        let network = config.network(config.target().unwrap().classes()).init(&cpu().autodiff(), 9);
        trained_numbers(&checkpoint.load_model(path, network).unwrap())
    };
    let (now, before) = (weights(&path, &checkpoint), weights(&earlier_path, &earlier_checkpoint));
    assert!(!now.is_empty() && now.len() < learnt.len());
    assert!(now.iter().zip(&before).all(|(now, before)| (now - before).abs() < 1e-6), "the run began elsewhere");

    // Of other classes: all but the classifier.
    let classifier = |model: &Network| {
        let encoder = model.encoder_parameters();
        let all = numbers(model, |id| !encoder.contains(&id));
        all[all.len() - 3..].to_vec() // a part of its bias, the last parameter
    };
    let others = Config { taxonomy: "imaterialist".into(), ..config.clone() };
    let loaded = EarlierWeights::open(&earlier.run, &others).unwrap().load_into(fresh(&others), []).unwrap();
    let encoder = |model: &Network| {
        let encoder = model.encoder_parameters();
        numbers(model, |id| encoder.contains(&id))
    };
    assert!(learnt.starts_with(&encoder(&loaded)));
    assert_eq!(classifier(&loaded), classifier(&fresh(&others)));
    // A decoder that goes further: its last stage is new, and what comes before is not.
    let mut finer = config.clone();
    finer.model.output_stride = 2;
    let loaded =
        numbers(&EarlierWeights::open(&earlier.run, &finer).unwrap().load_into(fresh(&finer), []).unwrap(), |_| true);
    let shared = loaded.iter().zip(&learnt).take_while(|(loaded, learnt)| loaded == learnt).count();
    let encoder_numbers = encoder(&fresh(&finer)).len();
    assert!(shared > encoder_numbers + (learnt.len() - encoder_numbers) / 2, "{shared} of {}", learnt.len());
    // The description of what comes of it says where it began.
    let facts = RunFolder::at(&config.run).read_start().unwrap();
    assert_eq!((&facts["name"], &facts["steps"]), (&"noise".into(), &3.into()));
    assert!(facts["trained_on"][0].as_str().unwrap().ends_with("/train"), "{facts}");
    assert!(facts["started_from"].is_null());
}

#[test]
fn a_run_that_cannot_be_started_from_is_named_with_the_reason() {
    let root = tempfile::tempdir().unwrap();
    let earlier = make_run(root.path(), "earlier", 1, "epochs = 1");
    let refused = |config: &Config| EarlierWeights::open(&earlier.run, config).err().unwrap().to_string();
    assert!(refused(&earlier).contains("does not exist"));
    std::fs::create_dir(&earlier.run).unwrap();
    assert!(refused(&earlier).contains("has no checkpoint"));
    std::fs::remove_dir(&earlier.run).unwrap();
    train::train(&earlier, Start { last_step: Some(1), ..Start::default() }).unwrap();
    let mut wider = earlier.clone();
    wider.model.width = 0.125;
    assert!(refused(&wider).contains("unet-lite0 of width 0.0625"), "{}", refused(&wider));
    let mut other = earlier.clone();
    other.model.pretrained = true;
    assert!(refused(&other).contains("set pretrained = false"), "{}", refused(&other));
}
