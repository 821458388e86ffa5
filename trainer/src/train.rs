//! The training loop.
//!
//! A run is a folder: `config.toml` and `mappings/` (copies of what it was started with), `log.csv`, `last.ckpt` and
//! `best.ckpt`. Everything random is a function of seed, epoch and position, so a resumed run sees what an unbroken one
//! would have seen, from the last checkpoint on.

mod adam;
mod run_folder;
mod step;
mod validate;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::Device;

pub use adam::new_optimizer;
pub use run_folder::RunFolder;
pub use step::{StepLoss, Stepper};
pub use validate::{Validation, validate};

use crate::checkpoint::{self, Checkpoint, State};
use crate::config::{Config, resolve};
use crate::data::{Dataset, Plan, Prefetch};
use crate::device::{DeviceChoice, TrainingDevice};
use crate::error::{Error, Result};
use crate::log::{CsvLog, Row};
use crate::loss::Loss;
use crate::model::Network;
use crate::model::pretrained::{self, EncoderWeights};

/// Time between two lines of the log.
const LOG_EVERY: Duration = Duration::from_secs(20);

/// How to start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// Go on from the last checkpoint, instead of from the beginning.
    pub resume: bool,
    /// What trains.
    pub device: DeviceChoice,
    /// Stop after this step with a checkpoint, where that comes before the end.
    pub last_step: Option<usize>,
}

/// Trains by `config`.
pub fn train(config: &Config, start: Start) -> Result<State> {
    let Start { resume, device, last_step } = start;
    let device = device.open()?;
    tracing::info!("training on {}", device.description);
    // Read before there is a run's folder, which a missing file would leave behind.
    let weights =
        (config.model.pretrained && !resume).then(|| EncoderWeights::open(&EncoderWeights::path())).transpose()?;
    let folder = RunFolder::prepare(config, resume)?;
    let target = config.target()?;
    let train_data = Dataset::open(&resolve(&config.data.train), &target, config.data.on_damage)?;
    let valid_data = Dataset::open(&resolve(&config.data.valid), &target, config.data.on_damage)?;
    let (mut run, mut model) = Run::new(config, folder, target.classes(), &device)?;
    if resume {
        model = run.resume(model)?;
    } else if let Some(weights) = weights {
        model = weights.load_into(model)?;
        tracing::info!("encoder: {}", pretrained::SOURCE);
    }
    tracing::info!(
        "{}: {} classes, {} weights; {} examples to train on, {} to validate on",
        config.name,
        target.classes(),
        model.trainable_parameters(),
        train_data.len(),
        valid_data.len()
    );
    run.last_step = last_step.unwrap_or(usize::MAX);
    run.epochs(model, Arc::new(train_data), &valid_data)?;
    Ok(run.state)
}

/// A run in progress.
struct Run<'a> {
    config: &'a Config,
    folder: RunFolder,
    optimizer: ModuleOptimizer,
    stepper: Stepper,
    loss: Loss,
    classes: usize,
    last_step: usize,
    /// What evaluates: the device that trains, without autodiff.
    evaluation: Device,
    log: CsvLog,
    state: State,
    /// When this process started, less the seconds that earlier ones trained.
    started: Instant,
    earlier_s: f64,
}

impl<'a> Run<'a> {
    /// A run at its start, and its network, which steps take and give back.
    fn new(config: &'a Config, folder: RunFolder, classes: usize, device: &TrainingDevice) -> Result<(Self, Network)> {
        // A GPU's batch is not split: it is busy with the whole.
        let shards = if device.is_gpu { 1 } else { config.train.shards };
        let evaluation = device.device.clone();
        let device = device.device.clone().autodiff();
        let loss = config.loss().map_err(|error| Error::file(folder.config(), error.to_string()))?;
        let model = config.network(classes).init(&device, config.seed);
        let run = Self {
            config,
            optimizer: new_optimizer(),
            stepper: Stepper::new(shards, config.seed, loss.clone(), classes, device)?,
            log: CsvLog::open(&folder.log())?,
            folder,
            last_step: usize::MAX,
            evaluation,
            loss,
            classes,
            state: State::default(),
            started: Instant::now(),
            earlier_s: 0.0,
        };
        Ok((run, model))
    }

    fn resume(&mut self, model: Network) -> Result<Network> {
        let path = self.folder.last();
        let checkpoint = Checkpoint::open(&path)?;
        let model = checkpoint.load_model(&path, model)?;
        self.optimizer = checkpoint.load_optimizer(&path, self.optimizer.clone())?;
        self.state = checkpoint.state;
        self.earlier_s = self.state.wall_s;
        tracing::info!("resumed after step {} (epoch {})", self.state.step, self.state.epoch + 1);
        Ok(model)
    }

    fn wall_s(&self) -> f64 {
        self.earlier_s + self.started.elapsed().as_secs_f64()
    }

    fn epochs(&mut self, mut model: Network, train_data: Arc<Dataset>, valid_data: &Dataset) -> Result<()> {
        let plan = Plan {
            seed: self.config.seed,
            batch_size: self.config.train.batch_size,
            augmentation: self.config.augmentation(),
            frame: self.config.frame(),
            input: self.config.input_spec(),
        };
        let steps_per_epoch = |epoch| plan.order(&train_data, epoch).len() / plan.batch_size;
        let total: usize = (0..self.config.train.epochs).map(steps_per_epoch).sum();
        while self.state.epoch < self.config.train.epochs {
            let epoch = self.state.epoch;
            let order = plan.order(&train_data, epoch);
            let batches = Prefetch::start(train_data.clone(), plan.clone(), order, epoch, self.state.step_in_epoch)?;
            model = self.epoch(model, batches, total)?;
            if self.state.step >= self.last_step {
                return self.save(&self.folder.last(), &model);
            }
            self.state.epoch += 1;
            self.state.step_in_epoch = 0;
            self.finish_epoch(&model, valid_data)?;
        }
        Ok(())
    }

    fn epoch(&mut self, mut model: Network, mut batches: Prefetch, total: usize) -> Result<Network> {
        let mut since = Progress::new(self.loss.terms.len());
        let mut saved = Instant::now();
        let save_every = Duration::from_secs_f64(self.config.train.checkpoint_minutes * 60.0);
        while let Some(batch) = batches.next() {
            let batch = batch?;
            let rate = learning_rate(&self.config.train, self.state.step, total);
            let loss;
            (model, loss) = self.stepper.step(model, &mut self.optimizer, &batch, rate, self.state.step)?;
            self.state.step += 1;
            self.state.step_in_epoch += 1;
            if !loss.weighted.is_finite() {
                return Err(Error::Training {
                    epoch: self.state.epoch + 1,
                    step: self.state.step,
                    cause: format!("the loss is {}; lower train.learning_rate or raise warmup_steps", loss.weighted),
                });
            }
            since.add(&loss, batch.len());
            if since.start.elapsed() >= LOG_EVERY {
                self.log_progress(&mut since, &mut batches, rate, total)?;
            }
            if saved.elapsed() >= save_every {
                self.save(&self.folder.last(), &model)?;
                saved = Instant::now();
            }
            if self.state.step >= self.last_step {
                break;
            }
        }
        let rate = learning_rate(&self.config.train, self.state.step.saturating_sub(1), total);
        self.log_progress(&mut since, &mut batches, rate, total)?;
        Ok(model)
    }

    fn log_progress(&mut self, since: &mut Progress, batches: &mut Prefetch, rate: f64, total: usize) -> Result<()> {
        if since.steps == 0 {
            return Ok(());
        }
        let seconds = since.start.elapsed().as_secs_f64();
        let steps = since.steps as f64;
        let terms: Vec<String> = (self.loss.terms.iter())
            .zip(&since.terms)
            .map(|((term, _), sum)| format!("{}={:.4}", term.name(), sum / steps))
            .collect();
        let row = Row {
            wall_s: self.wall_s(),
            kind: "train",
            epoch: self.state.epoch + 1,
            step: self.state.step,
            learning_rate: Some(rate),
            loss: Some(since.loss / steps),
            loss_terms: terms.join(" "),
            images_per_s: Some(since.images as f64 / seconds),
            wait_share: Some(batches.take_waited().as_secs_f64() / seconds),
            ..Row::default()
        };
        tracing::info!(
            "epoch {}/{}, step {}/{total}: loss {:.4} ({}), {:.1} images/s, waited {:.0} % for data, {:.0} min",
            row.epoch,
            self.config.train.epochs,
            row.step,
            since.loss / steps,
            row.loss_terms,
            since.images as f64 / seconds,
            100.0 * row.wait_share.unwrap_or_default(),
            row.wall_s / 60.0
        );
        *since = Progress::new(self.loss.terms.len());
        self.log.write(&row)
    }

    fn finish_epoch(&mut self, model: &Network, valid_data: &Dataset) -> Result<()> {
        let validation = validate(&model.valid(), valid_data, self.config, self.classes, &self.evaluation)?;
        let scores = validation.scores();
        let row = Row {
            wall_s: self.wall_s(),
            kind: "valid",
            epoch: self.state.epoch,
            step: self.state.step,
            valid_loss: validation.cross_entropy(),
            scores,
            ..Row::default()
        };
        self.log.write(&row)?;
        let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.1} %", 100.0 * value));
        tracing::info!(
            "epoch {}: mean IoU {} ({} without background), any garment {}, pixels {}, per-image mean {}",
            row.epoch,
            percent(scores.mean_iou),
            percent(scores.mean_garment_iou),
            percent(scores.any_garment_iou),
            percent(scores.pixel_accuracy),
            percent(scores.study_mean_iou)
        );
        let better = scores.mean_iou > self.state.best_mean_iou;
        if better {
            self.state.best_mean_iou = scores.mean_iou;
            self.state.scores = validation.facts();
        }
        self.save(&self.folder.last(), model)?;
        if better {
            self.save(&self.folder.best(), model)?;
        }
        Ok(())
    }

    fn save(&self, path: &Path, model: &Network) -> Result<()> {
        let state = State { wall_s: self.wall_s(), ..self.state.clone() };
        checkpoint::save(path, &state, model, &self.optimizer)
    }
}

/// Sums since the last line of the log.
struct Progress {
    start: Instant,
    steps: usize,
    images: usize,
    loss: f64,
    terms: Vec<f64>,
}

impl Progress {
    fn new(terms: usize) -> Self {
        Self { start: Instant::now(), steps: 0, images: 0, loss: 0.0, terms: vec![0.0; terms] }
    }

    fn add(&mut self, loss: &StepLoss, images: usize) {
        self.steps += 1;
        self.images += images;
        self.loss += loss.weighted;
        for (sum, term) in self.terms.iter_mut().zip(&loss.terms) {
            *sum += term;
        }
    }
}

/// A straight rise over the first steps, then half a cosine down to a share of the highest rate
/// (Loshchilov and Hutter 2017, without restarts).
pub fn learning_rate(config: &crate::config::TrainConfig, step: usize, total: usize) -> f64 {
    let warmup = config.warmup_steps;
    if step < warmup {
        return config.learning_rate * (step + 1) as f64 / warmup as f64;
    }
    let progress = (step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
    let cosine = (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos()) / 2.0;
    let share = config.final_learning_rate_share;
    config.learning_rate * (share + (1.0 - share) * cosine)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::learning_rate;
    use crate::config::TrainConfig;

    #[test]
    fn the_learning_rate_rises_straight_and_falls_as_a_cosine() {
        let text =
            "epochs = 1\nbatch_size = 1\nlearning_rate = 0.1\nfinal_learning_rate_share = 0.1\nwarmup_steps = 10";
        let config: TrainConfig = toml::from_str(text).unwrap();
        let expect = |step, value: f64| {
            let rate = learning_rate(&config, step, 110);
            assert!((rate - value).abs() < 1e-12, "{step}: {rate}");
        };
        expect(0, 0.01);
        expect(9, 0.1);
        expect(10, 0.1);
        expect(60, 0.055);
        expect(110, 0.01);
        expect(500, 0.01);
    }
}
