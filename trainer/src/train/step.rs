//! One step: forward, loss, backward, update; split over threads.
//!
//! A shard is a part of the batch with a graph of its own. One shard uses all cores within each operation; more run side by
//! side. The gradients are summed. Batch norms see their own shard only, as in data-parallel training, and the running
//! statistics move towards the mean of the shards'.

use std::collections::HashSet;
use std::sync::Arc;

use burn::lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler};
use burn::module::{Module, ParamGroup, ParamId};
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};

use super::gradient::clip;
use crate::data::augment::generator;
use crate::data::{Batch, LabelSets};
use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::model::{Network, Pass, RunningUpdate};

/// Numbers of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepLoss {
    /// The weighted sum.
    pub weighted: f64,
    /// Each term, unweighted.
    pub terms: Vec<f64>,
    /// Norm of the gradients of all weights that are not frozen, before it was limited.
    pub gradient_norm: f64,
}

/// How a step changes the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOptions {
    /// Learning rate.
    pub learning_rate: f64,
    /// The encoder's learning rate over that.
    pub encoder_learning_rate_factor: f64,
    /// Whether the encoder stays as it is; its batch norms then go by their running statistics.
    pub freezes_encoder: bool,
    /// The largest norm of all gradients together.
    pub clip_norm: Option<f64>,
}

impl From<f64> for StepOptions {
    /// This learning rate for all weights.
    fn from(learning_rate: f64) -> Self {
        Self { learning_rate, encoder_learning_rate_factor: 1.0, freezes_encoder: false, clip_norm: None }
    }
}

impl StepOptions {
    fn learning_rates(&self, model: &Network) -> ModuleLearningRate {
        if self.encoder_learning_rate_factor == 1.0 {
            return self.learning_rate.into();
        }
        let encoder = ParamGroup::from_ids(model.encoder_parameters().into_iter().collect());
        let rate = self.learning_rate * self.encoder_learning_rate_factor;
        ModuleLrScheduler::new(self.learning_rate).with_group(encoder, rate).step()
    }

    fn frozen(&self, model: &Network) -> Arc<HashSet<ParamId>> {
        Arc::new(if self.freezes_encoder { model.encoder_parameters() } else { HashSet::new() })
    }
}

/// Does steps.
pub struct Stepper {
    shards: Vec<rayon::ThreadPool>,
    seed: u64,
    loss: Loss,
    sets: LabelSets,
    device: Device,
}

impl Stepper {
    /// For batches that are split into `shards` parts, each of which gets its share of the cores. `labels` are the number of
    /// classes, or what labels may be beside them.
    pub fn new(shards: usize, seed: u64, loss: Loss, labels: impl Into<LabelSets>, device: Device) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.div_ceil(shards.max(1));
        let pools = (0..shards)
            .map(|_| rayon::ThreadPoolBuilder::new().num_threads(threads).build())
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| Error::io("start the threads of", "train.shards")(std::io::Error::other(error)))?;
        Ok(Self { shards: pools, seed, loss, sets: labels.into(), device })
    }

    /// One step of the optimiser on a batch. `step` counts from 0 and seeds the dropout.
    pub fn step(
        &self,
        model: Network,
        optimizer: &mut ModuleOptimizer,
        batch: &Batch,
        options: impl Into<StepOptions>,
        step: usize,
    ) -> Result<(Network, StepLoss)> {
        let options = options.into();
        let frozen = options.frozen(&model);
        let results = self.shards(&model, batch, step, &frozen).ok_or_else(|| Error::Training {
            epoch: 0,
            step: step + 1,
            cause: "the thread of a shard failed".to_owned(),
        })?;
        let mut terms = vec![0.0; self.loss.terms.len()];
        let (mut gradients, mut statistics) = (Vec::new(), Vec::new());
        for shard in results {
            gradients.push(shard.gradients);
            statistics.push((shard.statistics, shard.share));
            terms.iter_mut().zip(shard.terms).for_each(|(sum, value)| *sum += value);
        }
        let weighted = self.loss.terms.iter().zip(&terms).map(|((_, weight), value)| weight * value).sum();
        let mut gradients = sum(&model, gradients);
        let pool = &self.shards[0];
        let (model, gradient_norm) = pool.install(|| {
            let norm = clip(&model, &mut gradients, &frozen, options.clip_norm);
            let rates = options.learning_rates(&model);
            (optimizer.step(rates, model, gradients), norm)
        });
        let model = RunningUpdate::mean(statistics).apply(model);
        Ok((model, StepLoss { weighted, terms, gradient_norm }))
    }

    /// What each shard found; `None` if one failed.
    fn shards(
        &self,
        model: &Network,
        batch: &Batch,
        step: usize,
        frozen: &Arc<HashSet<ParamId>>,
    ) -> Option<Vec<Shard>> {
        let parts = batch.split(self.shards.len());
        let share = |part: &Batch| part.len() as f64 / batch.len() as f64;
        // The random numbers are a function of seed, step and shard.
        let pass =
            |shard: usize| Pass::training(generator(self.seed ^ 0x_d20b_0075, step, shard)).with_frozen(frozen.clone());
        if let ([pool], [part]) = (&self.shards[..], &parts[..]) {
            return Some(vec![pool.install(|| self.shard(model, part, 1.0, pass(0)))]);
        }
        std::thread::scope(|scope| {
            let workers: Vec<_> = (self.shards.iter().zip(&parts).enumerate())
                .map(|(shard, (pool, part))| {
                    let copy = model.clone().fork(&self.device);
                    let (pass, share) = (pass(shard), share(part));
                    scope.spawn(move || pool.install(|| self.shard(&copy, part, share, pass)))
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().ok()).collect()
        })
    }

    /// Gradients of one shard, and its terms' values, both already weighted by its share of the batch.
    fn shard(&self, model: &Network, part: &Batch, share: f64, mut pass: Pass) -> Shard {
        let targets = self.loss.targets(part, &self.sets, &self.device);
        let prediction = model.predict(part.picture_tensor(&self.device), &mut pass);
        let values = self.loss.values(prediction, &targets);
        let terms = values.iter().map(|value: &Tensor<1>| share * value.clone().into_scalar::<f32>() as f64).collect();
        let gradients = match self.loss.weighted_sum(&values) {
            Some(sum) => GradientsParams::from_grads(sum.mul_scalar(share).backward(), model),
            None => GradientsParams::new(),
        };
        Shard { gradients, statistics: pass.into_statistics(), share, terms }
    }
}

/// What one shard found.
struct Shard {
    gradients: GradientsParams,
    statistics: RunningUpdate,
    /// Its share of the batch.
    share: f64,
    terms: Vec<f64>,
}

/// The sum of the shards' gradients.
fn sum(model: &Network, mut gradients: Vec<GradientsParams>) -> GradientsParams {
    if gradients.len() == 1 {
        return gradients.remove(0);
    }
    let mut sum = GradientsAccumulator::new();
    for gradients in gradients {
        sum.accumulate(model, gradients);
    }
    sum.grads()
}
