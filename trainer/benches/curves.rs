//! Trains a short run by the library's own steps and writes down all that another library needs to repeat it: see
//! `ci/bench pytorch --curves` and `curves.py`.
//!
//! `curves CONFIG FOLDER` writes into FOLDER
//! - `photos.safetensors`: the first photos of the config's training data, normalised, and their labels;
//! - `weights.safetensors`: the network's first weights, under the names of the module's fields;
//! - `run.json`: the constants of loss and optimiser, and of each step the learning rate and the photos of its batch;
//! - `losses.csv`: the loss of each step; `predictions.safetensors`: the class of each pixel after the last one.
//!
//! Photos are cut once, before the first step, so that every step's batch is a choice among them.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use clothseg_trainer::config::Config;
use clothseg_trainer::data::augment::{Example, generator};
use clothseg_trainer::data::{Batch, Dataset, IGNORE, LabelImage, LabelSets, Plan, resolve};
use clothseg_trainer::device::cpu;
use clothseg_trainer::loss::{AbsentClasses, Loss, Over, Term};
use clothseg_trainer::model::pretrained::EncoderWeights;
use clothseg_trainer::model::{Context, Network, Upsampling};
use clothseg_trainer::train::{
    ClassWeightRule, ClassWeights, OptimizerKind, Position, StepOptions, Stepper, learning_rate, new_optimizer,
};
use image::{Rgb, RgbImage};
use rand::Rng;
use rand::seq::SliceRandom;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(not(target_env = "msvc"))]
// SAFETY: jemalloc reads under this name a pointer to a C string. A reference to an array is one pointer, the bytes end with
// a NUL, and nothing else here has the name.
#[unsafe(export_name = "_rjem_malloc_conf")]
static ALLOCATOR_OPTIONS: &[u8; clothseg_trainer::ALLOCATOR_OPTIONS.len()] = clothseg_trainer::ALLOCATOR_OPTIONS;

/// Photos that are trained on.
const PHOTOS: usize = 40;

/// Tensors of one file by name: type, shape and little-endian bytes.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [config, folder] = &arguments[..] else {
        // `cargo test --benches` and `cargo bench` run every bench without arguments.
        return eprintln!("this is a part of `ci/bench pytorch --curves`: it needs CONFIG and FOLDER");
    };
    let (config, folder) =
        (Config::open(Path::new(config)).unwrap_or_else(|error| panic!("{error}")), Path::new(folder));
    check(&config);
    let (photos, sets) = photos(&config);
    let loss = Loss { class_weights: class_weights(&config, sets.classes()), ..config.loss().unwrap() };

    let device = cpu().autodiff();
    let mut model = config.network(sets.classes()).init(&device, config.seed);
    if let Some(variant) = config.model.pretrained_variant() {
        let weights = EncoderWeights::open(&EncoderWeights::path(variant), variant);
        model = weights.and_then(|weights| weights.load_into(model)).unwrap_or_else(|error| panic!("{error}"));
    }
    let batches = batches(&config, photos.len());
    let total = batches.len();
    let rate = |step: usize| {
        let epoch = step * config.train.epochs / total;
        learning_rate(&config.train, Position { step, total, epoch })
    };
    write(&folder.join("photos.safetensors"), photo_tensors(&photos));
    write(&folder.join("weights.safetensors"), weights(&model));
    write_run(&folder.join("run.json"), &config, &loss, &sets, &batches, rate);

    let names: Vec<&str> = loss.terms.iter().map(|(term, _)| term.name()).collect();
    let mut lines = format!("step,loss,{},gradient_norm\n", names.join(","));
    let stepper = Stepper::new(1, config.seed, loss, sets.clone(), device).unwrap();
    let mut optimizer = new_optimizer(&config.train.optimizer());
    for (step, batch) in batches.iter().enumerate() {
        let options = StepOptions {
            encoder_learning_rate_factor: config.train.encoder_learning_rate_factor,
            ..StepOptions::from(rate(step))
        };
        let (next, found) = stepper.step(model, &mut optimizer, &select(&photos, batch), options, step).unwrap();
        model = next;
        let terms: String = found.terms.iter().map(|value| format!("{value},")).collect();
        writeln!(lines, "{},{},{terms}{}", step + 1, found.weighted, found.gradient_norm).unwrap();
        if (step + 1) % 50 == 0 {
            eprintln!("clothseg: step {} of {total}, loss {:.4}", step + 1, found.weighted);
        }
    }
    std::fs::write(folder.join("losses.csv"), lines).unwrap();
    write(&folder.join("predictions.safetensors"), predictions(&model, &photos, config.train.batch_size));
}

/// Refuses what `curves.py` does not do.
fn check(config: &Config) {
    let plain_model = config.model.context == Context::None
        && !config.model.presence
        && config.model.upsampling == Upsampling::Bilinear
        && config.model.network.name() == "unet-lite0";
    assert!(plain_model, "model: an unet-lite0 with bilinear upsampling, without context and presence");
    assert!(config.model.dropout == 0.0, "model.dropout: two libraries never draw the same random numbers");
    assert!(config.train.optimizer == OptimizerKind::AdamW, "train.optimizer: adamw alone");
    let plain_steps = config.train.clip_norm.is_none() && config.train.frozen_encoder_epochs == 0;
    assert!(plain_steps, "train: neither clip_norm nor frozen_encoder_epochs");
    let loss = config.loss().unwrap();
    let known = [Term::CrossEntropy, Term::MeanIou, Term::WeightedMeanIou];
    assert!(loss.terms.iter().all(|(term, _)| known.contains(term)), "loss.terms: ce, miou and wmiou alone");
    assert!(loss.over == Over::Image && loss.absent == AbsentClasses::Skip, "loss: over image, absent classes skipped");
}

/// A number for each class, or none.
fn class_weights(config: &Config, classes: usize) -> Vec<f32> {
    match &config.train.class_weights {
        ClassWeights::List(weights) => {
            let ones = std::iter::repeat_n(1.0, classes - weights.len());
            weights.iter().copied().chain(ones).collect()
        }
        ClassWeights::Rule(ClassWeightRule::None) => Vec::new(),
        ClassWeights::Rule(_) => panic!("train.class_weights: a list, or none"),
    }
}

/// The first photos of the training data, or drawn ones where it is not there, and what their labels may be.
fn photos(config: &Config) -> (Batch, LabelSets) {
    let target = config.target().unwrap();
    let sources = resolve(&config.data.train);
    if !sources.iter().all(|source| source.root.is_dir()) {
        eprintln!("the training data is not there (CLOTHSEG_DATA names its folder): drawn photos take its place");
        let examples: Vec<Example> = (0..PHOTOS).map(|index| drawn(config, index, target.classes())).collect();
        return (Batch::stack(&examples, &config.input_spec()), target.classes().into());
    }
    let data = Dataset::open(&sources, &target, config.data.on_damage).unwrap_or_else(|error| panic!("{error}"));
    let plan = Plan {
        seed: config.seed,
        batch_size: PHOTOS.min(data.len()),
        augmentation: config.augmentation().unwrap_or_else(|error| panic!("{error}")),
        frame: config.frame(),
        input: config.input_spec(),
    };
    let order: Vec<usize> = (0..plan.batch_size).collect();
    let photos = plan.batch(&data, &order, 0, 0).unwrap_or_else(|error| panic!("{error}"));
    (photos, data.sets().clone())
}

/// Noise with six rectangles of one class and colour each, one of which no loss counts.
fn drawn(config: &Config, index: usize, classes: usize) -> Example {
    let mut random = generator(config.seed, 1, index);
    let [width, height] = config.input.crop;
    let stride = config.model.output_stride;
    let mut picture = RgbImage::from_fn(width, height, |_, _| Rgb([0; 3].map(|_: u8| random.random_range(90..160))));
    let mut labels = LabelImage {
        width: width / stride,
        height: height / stride,
        data: vec![0; (width * height / stride / stride) as usize],
    };
    for rectangle in 0..6 {
        let class = random.random_range(1..classes) as u32;
        let [left, top] = [labels.width, labels.height].map(|side| random.random_range(0..side * 3 / 4));
        let [right, bottom] = [(left, labels.width), (top, labels.height)]
            .map(|(from, side)| (from + random.random_range(side / 8..side / 2)).min(side));
        for (x, y) in (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y))) {
            let label = if rectangle == 0 { IGNORE } else { class as u8 };
            labels.data[(y * labels.width + x) as usize] = label;
            for (x, y) in (0..stride * stride).map(|cell| (x * stride + cell % stride, y * stride + cell / stride)) {
                let level = |factor: u32| ((class * factor) % 200 + random.random_range(0..56)) as u8;
                picture.put_pixel(x, y, Rgb([37, 71, 113].map(level)));
            }
        }
    }
    Example { picture, labels, shown: Vec::new() }
}

/// The photos of each step: whole batches of each epoch's own order.
fn batches(config: &Config, photos: usize) -> Vec<Vec<usize>> {
    let of_epoch = |epoch| {
        let mut order: Vec<usize> = (0..photos).collect();
        order.shuffle(&mut generator(config.seed, epoch, u32::MAX as usize));
        order.chunks_exact(config.train.batch_size).map(<[usize]>::to_vec).collect::<Vec<_>>()
    };
    (0..config.train.epochs).flat_map(of_epoch).collect()
}

/// Those photos alone.
fn select(photos: &Batch, indices: &[usize]) -> Batch {
    let ([_, height, width], [_, rows, columns]) = (photos.picture_shape, photos.label_shape);
    let (picture, label) = (3 * height * width, rows * columns);
    Batch {
        pictures: indices.iter().flat_map(|at| &photos.pictures[at * picture..(at + 1) * picture]).copied().collect(),
        picture_shape: [indices.len(), height, width],
        labels: indices.iter().flat_map(|at| &photos.labels[at * label..(at + 1) * label]).copied().collect(),
        label_shape: [indices.len(), rows, columns],
        shown: Vec::new(),
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn photo_tensors(photos: &Batch) -> Tensors {
    let [count, height, width] = photos.picture_shape;
    let pictures = (Dtype::F32, vec![count, 3, height, width], bytes(&photos.pictures));
    let labels = (Dtype::U8, photos.label_shape.to_vec(), photos.labels.clone());
    BTreeMap::from([("pictures".to_owned(), pictures), ("labels".to_owned(), labels)])
}

/// All parameters, by their fields and indices, `decoder.0.reduce.conv.weight`. Variants of enums, which have the names
/// of types, are left out.
fn weights(model: &Network) -> Tensors {
    #[derive(Default)]
    struct Collect {
        path: Vec<String>,
        tensors: Tensors,
    }
    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let is_field = |name: &&String| !name.starts_with(|first: char| first.is_ascii_uppercase());
            let name = self.path.iter().filter(is_field).cloned().collect::<Vec<_>>().join(".");
            let values: Vec<f32> = param.val().into_data().iter::<f32>().collect();
            let earlier = self.tensors.insert(name, (Dtype::F32, param.val().dims().to_vec(), bytes(&values)));
            assert!(earlier.is_none(), "two parameters have one name");
        }
    }
    let mut collect = Collect::default();
    model.visit(&mut collect);
    collect.tensors
}

/// The class of each pixel of each photo, as the network will be used.
fn predictions(model: &Network, photos: &Batch, batch_size: usize) -> Tensors {
    let model = model.valid();
    let classes = (0..photos.len())
        .collect::<Vec<_>>()
        .chunks(batch_size)
        .flat_map(|indices| {
            let logits = model.evaluate(select(photos, indices).picture_tensor(&cpu()));
            logits.argmax(1).into_data().iter::<i64>().map(|class| class as u8).collect::<Vec<_>>()
        })
        .collect();
    BTreeMap::from([("classes".to_owned(), (Dtype::U8, photos.label_shape.to_vec(), classes))])
}

fn write_run(
    path: &Path,
    config: &Config,
    loss: &Loss,
    sets: &LabelSets,
    batches: &[Vec<usize>],
    rate: impl Fn(usize) -> f64,
) {
    let optimizer = config.train.optimizer();
    let terms: Vec<(&str, f64)> = loss.terms.iter().map(|(term, weight)| (term.name(), *weight)).collect();
    let steps: Vec<_> = (batches.iter().enumerate())
        .map(|(step, photos)| serde_json::json!({ "learning_rate": rate(step), "photos": photos }))
        .collect();
    let facts = serde_json::json!({
        "classes": sets.classes(),
        "garments": config.target().unwrap().taxonomy.garments().len(),
        "label_sets": sets.sets(),
        "decoder_channels": config.model.decoder_channels,
        "decoder_convolutions": config.model.decoder_convolutions,
        "loss": {
            "terms": terms,
            "smooth": loss.smooth,
            "background_weight": loss.background_weight,
            "class_weights": loss.class_weights,
        },
        "betas": optimizer.betas,
        "weight_decay": optimizer.weight_decay,
        "encoder_learning_rate_factor": config.train.encoder_learning_rate_factor,
        "steps": steps,
    });
    std::fs::write(path, facts.to_string()).unwrap();
}

fn write(path: &Path, tensors: Tensors) {
    let views: Vec<(&String, TensorView<'_>)> = (tensors.iter())
        .map(|(name, (dtype, shape, bytes))| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()))
        .collect();
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}
