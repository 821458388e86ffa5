//! A worker that does training steps when told to, for paired measurements: see `ci/bench`.
//!
//! `step --worker NET [--kernels ours|burn] [--loss TERMS] [--shards N] [--profile]` prints one line that begins with
//! `ready`, then for each line with a number on its input does that many steps (forward, loss, backward, Adam) and prints
//! the seconds they took; with `--profile` also what each kernel took, on the standard error.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::BufRead;
use std::time::Instant;

use clothseg_kernels::{profile, start_profile, use_burn_operations};
use clothseg_trainer::data::Batch;
use clothseg_trainer::device::cpu;
use clothseg_trainer::model::{Architecture, DecoderConfig, NetworkConfig};
use clothseg_trainer::train::{OptimizerConfig, Stepper, new_optimizer};

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(not(target_env = "msvc"))]
// SAFETY: jemalloc reads under this name a pointer to a C string. A reference to an array is one pointer, the bytes end with
// a NUL, and nothing else here has the name.
#[unsafe(export_name = "_rjem_malloc_conf")]
static ALLOCATOR_OPTIONS: &[u8; clothseg_trainer::ALLOCATOR_OPTIONS.len()] = clothseg_trainer::ALLOCATOR_OPTIONS;

/// What each network is measured on.
struct Case {
    architecture: Architecture,
    width: f64,
    classes: usize,
    side_px: usize,
    batch: usize,
}

const CASES: [Case; 4] = [
    Case { architecture: Architecture::UnetLite0, width: 1.0, classes: 47, side_px: 256, batch: 8 },
    Case { architecture: Architecture::UnetLite2, width: 1.0, classes: 47, side_px: 256, batch: 8 },
    Case { architecture: Architecture::UnetVgg16Light, width: 0.25, classes: 17, side_px: 128, batch: 4 },
    Case { architecture: Architecture::DeeplabResnet50, width: 0.25, classes: 47, side_px: 256, batch: 8 },
];

/// Normalised noise and labels in blocks of 16 x 16 pixels.
fn batch(case: &Case) -> Batch {
    let Case { side_px: side, batch, classes, .. } = *case;
    let hash = |index: usize| (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let noise = |index: usize| {
        let uniform = |index: usize| hash(index) as f32 / u32::MAX as f32;
        (0..6).map(|term| uniform(6 * index + term)).sum::<f32>() - 3.0
    };
    let label = |index: usize| {
        let (image, row, column) = (index / (side * side), index / side % side, index % side);
        (hash((image * side + row / 16) * side + column / 16) as usize % classes) as u8
    };
    Batch {
        pictures: (0..batch * 3 * side * side).map(noise).collect(),
        picture_shape: [batch, side, side],
        labels: (0..batch * side * side).map(label).collect(),
        label_shape: [batch, side, side],
        shown: Vec::new(),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| arguments.iter().position(|word| word == name).and_then(|at| arguments.get(at + 1));
    let Some(name) = option("--worker") else {
        // `cargo test --benches` and `cargo bench` run every bench without arguments.
        return eprintln!("this is a worker of ci/bench: it needs --worker NET");
    };
    let case = CASES.iter().find(|case| case.architecture.name() == name);
    let case = case.unwrap_or_else(|| panic!("no network `{name}`"));
    use_burn_operations(option("--kernels").is_some_and(|kernels| kernels == "burn"));
    let shards = option("--shards").map_or(1, |shards| shards.parse().unwrap());
    let loss = option("--loss").map_or("ce", String::as_str).parse().unwrap();

    let device = cpu().autodiff();
    let Case { architecture, width, classes, .. } = *case;
    let network = NetworkConfig {
        architecture,
        classes,
        width,
        output_stride: 1,
        decoder: DecoderConfig::default(),
        dropout: 0.3,
    };
    let network = network.init(&device, 1);
    let trainable = network.trainable_parameters();
    let mut model = Some(network);
    let mut optimizer = new_optimizer(&OptimizerConfig::default());
    let stepper = Stepper::new(shards, 1, loss, classes, device).unwrap();
    let batch = batch(case);
    let mut step = 0;
    let mut steps = |count: usize| {
        let start = Instant::now();
        for _ in 0..count {
            let (next, _) = stepper.step(model.take().unwrap(), &mut optimizer, &batch, 1e-3, step).unwrap();
            model = Some(next);
            step += 1;
        }
        start.elapsed().as_secs_f64()
    };
    steps(2);
    println!("ready {name} parameters={trainable} batch={}", case.batch);
    let profiled = arguments.iter().any(|word| word == "--profile");
    for line in std::io::stdin().lock().lines() {
        let count = line.unwrap().trim().parse().unwrap();
        if profiled {
            start_profile();
        }
        println!("{}", steps(count));
        for (name, calls, time) in profiled.then(profile).unwrap_or_default() {
            eprintln!("{:9.3} ms a step  {:4} calls  {name}", 1e3 * time.as_secs_f64() / count as f64, calls / count);
        }
    }
}
