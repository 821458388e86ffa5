//! One step: forward, loss, backward, update; split over threads.
//!
//! Each shard runs on a thread pool of one thread with its own copy of the parameters' nodes, so that the graphs stay
//! apart. The gradients are summed. Batch norms see their own shard only, as in data-parallel training, and the running
//! statistics are the mean of the shards'. A shard keeps its thread for the whole run, because Burn keeps running
//! statistics by thread.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};

use crate::data::Batch;
use crate::data::augment::generator;
use crate::error::{Error, Result};
use crate::loss::{Loss, Targets};
use crate::model::UNet;

/// Numbers of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepLoss {
    /// The weighted sum.
    pub weighted: f64,
    /// Each term, unweighted.
    pub terms: Vec<f64>,
}

/// Does steps.
pub struct Stepper {
    shards: Vec<rayon::ThreadPool>,
    seed: u64,
    loss: Loss,
    classes: usize,
    device: Device,
}

impl Stepper {
    /// For batches that are split into `shards` parts. One shard uses all cores for each operation; more use one each.
    pub fn new(shards: usize, seed: u64, loss: Loss, classes: usize, device: Device) -> Result<Self> {
        let threads = if shards > 1 { 1 } else { 0 };
        let pools = (0..shards)
            .map(|_| rayon::ThreadPoolBuilder::new().num_threads(threads).build())
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| Error::io("start the threads of", "train.shards")(std::io::Error::other(error)))?;
        Ok(Self { shards: pools, seed, loss, classes, device })
    }

    /// One step of the optimiser on a batch. `step` counts from 0 and seeds the dropout.
    pub fn step(
        &self,
        model: UNet,
        optimizer: &mut ModuleOptimizer,
        batch: &Batch,
        learning_rate: f64,
        step: usize,
    ) -> Result<(UNet, StepLoss)> {
        let parts = batch.split(self.shards.len());
        let results: Vec<(GradientsParams, Vec<f64>)> = std::thread::scope(|scope| {
            let workers: Vec<_> = (self.shards.iter().zip(&parts).enumerate())
                .map(|(shard, (pool, part))| {
                    let copy = model.clone().fork(&self.device);
                    let weight = part.len() as f64 / batch.len() as f64;
                    scope.spawn(move || pool.install(|| self.shard(&copy, part, weight, step, shard)))
                })
                .collect();
            workers.into_iter().map(|worker| worker.join()).collect::<std::result::Result<_, _>>()
        })
        .map_err(|_| Error::Training {
            epoch: 0,
            step: step + 1,
            cause: "a shard's thread failed".to_owned(),
        })?;
        let mut sum = GradientsAccumulator::new();
        let mut terms = vec![0.0; self.loss.terms.len()];
        for (gradients, values) in results {
            sum.accumulate(&model, gradients);
            terms.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        let weighted = self.loss.terms.iter().zip(&terms).map(|((_, weight), value)| weight * value).sum();
        let model = optimizer.step(learning_rate, model, sum.grads());
        Ok((model, StepLoss { weighted, terms }))
    }

    /// Gradients of one shard, and its terms' values, both already weighted by its share of the batch.
    fn shard(&self, model: &UNet, part: &Batch, weight: f64, step: usize, shard: usize) -> (GradientsParams, Vec<f64>) {
        let mut random = generator(self.seed ^ 0x_d20b_0075, step, shard);
        let targets = Targets::from_indices(&part.labels, part.label_shape, self.classes, &self.device);
        let logits = model.forward_train(part.picture_tensor(&self.device), &mut random);
        let values = self.loss.values(logits, &targets);
        let numbers =
            values.iter().map(|value: &Tensor<1>| weight * value.clone().into_scalar::<f32>() as f64).collect();
        let gradients = match self.loss.weighted_sum(&values) {
            Some(sum) => GradientsParams::from_grads(sum.mul_scalar(weight).backward(), model),
            None => GradientsParams::new(),
        };
        (gradients, numbers)
    }
}
