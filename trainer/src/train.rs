//! The training loop.
//!
//! A run is a folder: `config.toml` and `mappings/` (copies of what it was started with), `class_weights.json` where these
//! come from the data, logs and charts (see [`crate::run::log`]), `last.ckpt`, `best.ckpt` and at the end `pictures.png`. Everything random is a function of seed, epoch and position,
//! so a resumed run sees what an unbroken one would have seen, from the last checkpoint on.

mod average;
mod best;
pub mod class_weights;
mod gradient;
mod optimizer;
mod pictures;
mod progress;
mod run_data;
mod schedule;
mod step;
mod transfer;
mod validate;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::{Device, Tensor};

pub use average::WeightAverage;
pub use optimizer::new_optimizer;
pub use schedule::{Position, learning_rate};
pub use step::{StepLoss, StepOptions, Stepper};
pub use transfer::EarlierWeights;
pub use validate::{Validation, validate};

use self::progress::Progress;
use self::run_data::RunData;
use crate::config::Config;
pub use crate::config::{BestBy, ClassWeightRule, ClassWeights, OptimizerConfig, OptimizerKind, Schedule};
use crate::counted::counted;
use crate::data::{Contents, Dataset, LabelSets, Plan, Prefetch, resolve};
use crate::device::{DeviceChoice, TrainingDevice};
use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::model::pretrained::EncoderWeights;
use crate::model::{LiteVariant, Network};
use crate::run::log::{Row, RunLog};
use crate::run::{Checkpoint, RunFolder, State, checkpoint};

/// Time between two lines of the log.
const LOG_EVERY: Duration = Duration::from_secs(20);

/// Batches that tell the batch norms of a model from a file what comes to them.
const SURVEYED_BATCHES: usize = 16;

/// How to start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// Go on from the last checkpoint, instead of from the beginning.
    pub resume: bool,
    /// Go on although the data are not those that the run began with.
    pub accepts_changed_data: bool,
    /// What trains.
    pub device: DeviceChoice,
    /// Stop after this step with a checkpoint, where that comes before the end.
    pub last_step: Option<usize>,
}

/// Trains by `config`.
pub fn train(config: &Config, start: Start) -> Result<State> {
    let Start { resume, accepts_changed_data, device, last_step } = start;
    let device = device.open()?;
    tracing::info!("training on {}", device.description);
    // Read before there is a run's folder, which a missing file would leave behind.
    let initial_weights = if resume { None } else { InitialWeights::open(config)? };
    let folder = RunFolder::prepare(config, resume)?;
    if let Some(InitialWeights::Earlier(weights)) = &initial_weights {
        folder.write_start(weights.facts())?;
    }
    let target = config.target()?;
    let train_data = Dataset::open(&resolve(&config.data.train), &target, config.data.on_damage)?;
    let valid_data = Dataset::open(&resolve(&config.data.valid), &target, config.data.on_damage)?;
    let data = RunData { folder: &folder, train: &train_data, valid: &valid_data, target: &target };
    let contents = if resume { None } else { Some(data.look(config.model.presence)?) };
    data.guard(resume, accepts_changed_data)?;
    let contents = || contents.map_or_else(|| Contents::count(&train_data, &target), Ok);
    let class_weights = class_weights::of_run(&config.train.class_weights, &folder, resume, contents, &target)?;
    let (mut run, mut model) = Run::new(config, folder, train_data.sets(), class_weights, &device)?;
    if resume {
        model = run.resume(model)?;
    } else if let Some(initial_weights) = initial_weights {
        model = initial_weights.load_into(model, run.pictures(&train_data)?)?;
    }
    tracing::info!(
        "{}: {}, {} weights; {} to train on, {} to validate on",
        config.name,
        counted(target.classes(), "class", "classes"),
        model.trainable_parameters(),
        counted(train_data.len(), "example", "examples"),
        valid_data.len()
    );
    run.last_step = last_step.unwrap_or(usize::MAX);
    let model = run.epochs(model, Arc::new(train_data), &valid_data)?;
    run.log.finish();
    run.draw(&model, &valid_data);
    Ok(State { wall_s: run.wall_s(), ..run.state })
}

/// Weights that a new run starts with in place of random ones.
enum InitialWeights {
    Earlier(EarlierWeights),
    Encoder(EncoderWeights, LiteVariant),
}

impl InitialWeights {
    fn open(config: &Config) -> Result<Option<Self>> {
        Ok(match &config.model.start_from {
            Some(run) => Some(Self::Earlier(EarlierWeights::open(run, config)?)),
            None => match config.model.pretrained_variant() {
                Some(variant) => {
                    let weights = EncoderWeights::open(&EncoderWeights::path(variant), variant)?;
                    Some(Self::Encoder(weights, variant))
                }
                None => None,
            },
        })
    }

    /// `pictures` are batches of the coming training.
    fn load_into(&self, network: Network, pictures: impl Iterator<Item = Result<Tensor<4>>>) -> Result<Network> {
        match self {
            Self::Earlier(weights) => weights.load_into(network, pictures),
            Self::Encoder(weights, variant) => {
                tracing::info!("encoder: {}", variant.weights_source());
                weights.load_into(network)
            }
        }
    }
}

/// A run in progress.
struct Run<'a> {
    config: &'a Config,
    folder: RunFolder,
    optimizer: ModuleOptimizer,
    stepper: Stepper,
    /// The average of the weights, where the config wants one.
    average: Option<WeightAverage>,
    loss: Loss,
    last_step: usize,
    /// What evaluates: the device that trains, without autodiff.
    evaluation: Device,
    log: RunLog,
    state: State,
    /// When this process started, less the seconds that earlier ones trained.
    started: Instant,
    earlier_s: f64,
}

impl<'a> Run<'a> {
    /// A run at its start, and its network, which steps take and give back. `class_weights` has a number for each class, or
    /// none.
    fn new(
        config: &'a Config,
        folder: RunFolder,
        sets: &LabelSets,
        class_weights: Vec<f32>,
        device: &TrainingDevice,
    ) -> Result<(Self, Network)> {
        // A GPU's batch is not split: it is busy with the whole.
        let shards = if device.is_gpu { 1 } else { config.train.shards };
        let evaluation = device.device.clone();
        let device = device.device.clone().autodiff();
        let loss = config.loss().map_err(|error| Error::file(folder.config(), error.to_string()))?;
        let loss = Loss { class_weights, ..loss };
        let model = config.network(sets.classes()).init(&device, config.seed);
        let run = Self {
            config,
            optimizer: new_optimizer(&config.train.optimizer()),
            average: None,
            stepper: Stepper::new(shards, config.seed, loss.clone(), sets.clone(), device)?,
            log: RunLog::open(folder.root())?,
            folder,
            last_step: usize::MAX,
            evaluation,
            loss,
            state: State::default(),
            started: Instant::now(),
            earlier_s: 0.0,
        };
        Ok((run, model))
    }

    fn resume(&mut self, model: Network) -> Result<Network> {
        let path = self.folder.last();
        let checkpoint = Checkpoint::open(&path)?;
        let model = checkpoint.load_weights(&path, model)?;
        if let (Some(decay), Some(average)) =
            (self.config.train.average_decay, checkpoint.load_average(&path, model.valid())?)
        {
            self.average = Some(WeightAverage::new(&average, decay));
        }
        self.optimizer = checkpoint.load_optimizer(&path, self.optimizer.clone())?;
        self.state = checkpoint.state;
        self.earlier_s = self.state.wall_s;
        self.log.resume(self.state.epoch, self.state.step)?;
        tracing::info!("resumed after step {} (epoch {})", self.state.step, self.state.epoch + 1);
        Ok(model)
    }

    /// What the first steps would see.
    fn pictures<'d>(&'d self, data: &'d Dataset) -> Result<impl Iterator<Item = Result<Tensor<4>>> + 'd> {
        let plan = self.plan()?;
        let order = plan.order(data, 0);
        let batches = SURVEYED_BATCHES.min(order.len() / plan.batch_size);
        Ok((0..batches).map(move |index| Ok(plan.batch(data, &order, 0, index)?.picture_tensor(&self.evaluation))))
    }

    fn plan(&self) -> Result<Plan> {
        Ok(Plan {
            seed: self.config.seed,
            batch_size: self.config.train.batch_size,
            augmentation: self.config.augmentation()?,
            frame: self.config.frame(),
            input: self.config.input_spec(),
        })
    }

    fn wall_s(&self) -> f64 {
        self.earlier_s + self.started.elapsed().as_secs_f64()
    }

    fn epochs(&mut self, mut model: Network, train_data: Arc<Dataset>, valid_data: &Dataset) -> Result<Network> {
        let plan = self.plan()?;
        let steps_per_epoch = |epoch| plan.order(&train_data, epoch).len() / plan.batch_size;
        let total: usize = (0..self.config.train.epochs).map(steps_per_epoch).sum();
        self.log.start(self.state.step, total, self.config.train.epochs);
        if self.average.is_none() {
            self.average = self.config.train.average_decay.map(|decay| WeightAverage::new(&model, decay));
        }
        while self.state.epoch < self.config.train.epochs && !self.is_out_of_patience() {
            let epoch = self.state.epoch;
            let order = plan.order(&train_data, epoch);
            let batches = Prefetch::start(train_data.clone(), plan.clone(), order, epoch, self.state.step_in_epoch)?;
            model = self.epoch(model, batches, total)?;
            if self.state.step >= self.last_step {
                self.save(&self.folder.last(), &model)?;
                return Ok(model);
            }
            self.state.epoch += 1;
            self.state.step_in_epoch = 0;
            self.finish_epoch(&model, valid_data)?;
        }
        Ok(model)
    }

    /// Whether too many epochs brought nothing better.
    fn is_out_of_patience(&self) -> bool {
        let waited = self.state.epoch - self.state.best_epoch.min(self.state.epoch);
        self.config.train.patience_epochs.is_some_and(|patience| waited >= patience)
    }

    /// How the next step changes the weights.
    fn step_options(&self, total: usize) -> StepOptions {
        let train = &self.config.train;
        StepOptions {
            learning_rate: learning_rate(train, Position { step: self.state.step, total, epoch: self.state.epoch }),
            encoder_learning_rate_factor: train.encoder_learning_rate_factor,
            freezes_encoder: self.state.epoch < train.frozen_encoder_epochs,
            clip_norm: train.clip_norm,
        }
    }

    fn epoch(&mut self, mut model: Network, mut batches: Prefetch, total: usize) -> Result<Network> {
        let mut since = Progress::new(self.loss.terms.len());
        let mut saved = Instant::now();
        let save_every = Duration::from_secs_f64(self.config.train.checkpoint_minutes * 60.0);
        let mut rate = self.step_options(total).learning_rate;
        while let Some(batch) = batches.next() {
            let batch = batch?;
            let options = self.step_options(total);
            rate = options.learning_rate;
            let loss;
            (model, loss) = self.stepper.step(model, &mut self.optimizer, &batch, options, self.state.step)?;
            self.average = self.average.take().map(|average| average.update(&model, self.state.step));
            self.state.step += 1;
            self.state.step_in_epoch += 1;
            self.refuse_no_number(&loss)?;
            since.add(&loss, batch.len());
            self.log.step(self.state.step, loss.weighted, batch.len());
            if since.start.elapsed() >= LOG_EVERY {
                self.log_progress(&mut since, &mut batches, rate)?;
            }
            if saved.elapsed() >= save_every {
                self.save(&self.folder.last(), &model)?;
                saved = Instant::now();
            }
            if self.state.step >= self.last_step {
                break;
            }
        }
        self.log_progress(&mut since, &mut batches, rate)?;
        Ok(model)
    }

    /// An error where loss or gradients are no numbers: from there on the weights are none either.
    fn refuse_no_number(&self, loss: &StepLoss) -> Result<()> {
        if loss.weighted.is_finite() && loss.gradient_norm.is_finite() {
            return Ok(());
        }
        Err(Error::Training {
            epoch: self.state.epoch + 1,
            step: self.state.step,
            cause: format!(
                "the loss is {} and the gradient's norm {}; lower train.learning_rate, raise warmup_steps or set \
                 clip_norm",
                loss.weighted, loss.gradient_norm
            ),
        })
    }

    fn log_progress(&mut self, since: &mut Progress, batches: &mut Prefetch, rate: f64) -> Result<()> {
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
            gradient_norm: Some(since.gradient_norm / steps),
            ..Row::default()
        };
        *since = Progress::new(self.loss.terms.len());
        self.log.train(&row)
    }

    fn finish_epoch(&mut self, model: &Network, valid_data: &Dataset) -> Result<()> {
        let used = self.average.as_ref().map_or_else(|| model.valid(), |average| average.model().clone());
        let validation = validate(&used, valid_data, self.config, &self.evaluation)?;
        drop(used); // the average's next step is in place only where nobody else holds it
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
        self.log.valid(&row)?;
        let best_by = self.config.train.best_by;
        let score = best_by.score(&validation);
        let better = best_by.is_better(score, self.state.best_score);
        self.state.scores = validation.facts();
        if better {
            self.state.best_score = score;
            self.state.best_epoch = self.state.epoch;
            // First, so that a run cut off in between finds this epoch better once more.
            self.save(&self.folder.best(), model)?;
        }
        self.save(&self.folder.last(), model)?;
        if self.is_out_of_patience() {
            let name = best_by.name();
            tracing::info!("stopped early: {name} has not improved since epoch {}", self.state.best_epoch);
        }
        Ok(())
    }

    /// Draws what has been learnt. A training of hours does not fail for a picture.
    fn draw(&self, model: &Network, valid_data: &Dataset) {
        let used = self.average.as_ref().map_or_else(|| model.valid(), |average| average.model().clone());
        let drawn = pictures::write(&self.folder.pictures(), &used, valid_data, self.config, &self.evaluation);
        if let Err(error) = drawn {
            tracing::warn!("cannot draw pictures.png: {}", error.chain());
        }
    }

    fn save(&self, path: &Path, model: &Network) -> Result<()> {
        let state = State { wall_s: self.wall_s(), ..self.state.clone() };
        checkpoint::save(path, &state, model, &self.optimizer, self.average.as_ref().map(WeightAverage::model))
    }
}
