//! Every network and loss trains on a GPU, and as on the CPU. Needs the feature `wgpu` or `vulkan` and a device, which may be one in
//! software: Debian's package mesa-vulkan-drivers has one. Not part of the ordinary tests: `ci/bench gpu` runs it.

#![cfg(any(feature = "vulkan", feature = "wgpu"))]
#![allow(clippy::unwrap_used)]

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use clothseg_trainer::data::Batch;
use clothseg_trainer::device::{DeviceChoice, TrainingDevice, cpu};
use clothseg_trainer::model::{Architecture, DecoderConfig, NetworkConfig, Upsampling};
use clothseg_trainer::train::{OptimizerConfig, Stepper, new_optimizer};

const SIDE: usize = 64;
const CLASSES: usize = 4;
const BATCH: usize = 2;

fn gpu() -> TrainingDevice {
    let device = DeviceChoice::Gpu.open().unwrap();
    eprintln!("testing on {}", device.description);
    device
}

fn batch() -> Batch {
    let noise = |index: usize| ((index * 7919 % 1009) as f32 / 504.5 - 1.0) * 2.0;
    Batch {
        pictures: (0..BATCH * 3 * SIDE * SIDE).map(noise).collect(),
        picture_shape: [BATCH, SIDE, SIDE],
        labels: (0..BATCH * SIDE * SIDE).map(|index| (index / 16 % (CLASSES + 1)) as u8).collect(),
        label_shape: [BATCH, SIDE, SIDE],
        shown: Vec::new(),
    }
}

/// The losses of some steps on each device from the same weights.
fn losses(architecture: Architecture, upsampling: Upsampling, loss: &str, steps: usize) -> [Vec<f64>; 2] {
    [cpu(), gpu().device].map(|device| {
        let device = device.autodiff();
        let decoder = DecoderConfig { upsampling, ..DecoderConfig::default() };
        let config =
            NetworkConfig { architecture, classes: CLASSES, width: 0.125, output_stride: 1, decoder, dropout: 0.0 };
        // Drawn on the CPU and carried over: each device has random numbers of its own.
        let mut model = Some(config.init(&cpu().autodiff(), 3).fork(&device));
        let mut optimizer = new_optimizer(&OptimizerConfig::default());
        let stepper = Stepper::new(1, 1, loss.parse().unwrap(), CLASSES, device).unwrap();
        (0..steps)
            .map(|step| {
                let (next, loss) = stepper.step(model.take().unwrap(), &mut optimizer, &batch(), 1e-3, step).unwrap();
                model = Some(next);
                loss.weighted
            })
            .collect()
    })
}

#[test]
fn every_network_trains_as_on_the_cpu() {
    for architecture in Architecture::ALL {
        for upsampling in [Upsampling::Nearest, Upsampling::Bilinear] {
            if architecture == Architecture::DeeplabResnet50 && upsampling == Upsampling::Nearest {
                continue;
            }
            let [on_cpu, on_gpu] = losses(architecture, upsampling, "ce:1,miou:1", 3);
            eprintln!("{} {upsampling:?}: {on_cpu:?} {on_gpu:?}", architecture.name());
            for (one, other) in on_cpu.iter().zip(&on_gpu) {
                assert!((one - other).abs() < 0.02 * one.abs(), "{}: {on_cpu:?} {on_gpu:?}", architecture.name());
            }
            assert!(on_gpu[2] < on_gpu[0], "{}: the loss does not fall: {on_gpu:?}", architecture.name());
        }
    }
}

#[test]
fn every_loss_trains_as_on_the_cpu() {
    for loss in ["ce", "focal", "sbf", "dice", "miou", "wmiou", "tversky", "lovasz"] {
        let [on_cpu, on_gpu] = losses(Architecture::UnetVgg16, Upsampling::Nearest, loss, 2);
        for (one, other) in on_cpu.iter().zip(&on_gpu) {
            assert!((one - other).abs() < 0.02 * one.abs(), "{loss}: {on_cpu:?} {on_gpu:?}");
        }
    }
}

#[test]
fn bilinear_enlarging_has_a_gradient() {
    use clothseg_kernels::resize_bilinear;
    let gradients = [cpu(), gpu().device].map(|device| {
        let values: Vec<f32> = (0..24).map(|index| index as f32).collect();
        let leaf = Tensor::<4>::from_data(TensorData::new(values, [1, 2, 3, 4]), &device.autodiff()).require_grad();
        let output = resize_bilinear(leaf.clone(), [7, 9]);
        let gradients = output.clone().mul(output).sum().backward();
        leaf.grad(&gradients).unwrap().into_data().iter::<f32>().collect::<Vec<f32>>()
    });
    for (one, other) in gradients[0].iter().zip(&gradients[1]) {
        assert!((one - other).abs() < 1e-3 * one.abs().max(1.0), "{one} {other}");
    }
}
