//! Table `[train]`.

use serde::{Deserialize, Serialize};

use super::{Checked, ClassWeights, OptimizerConfig, OptimizerKind, Schedule, ensure};
use crate::counted::counted;

/// AdamW's weight decay where the config names none.
const ADAMW_DECAY: f64 = 0.01;

/// The score that decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BestBy {
    /// Mean IoU over the classes of the truth, background included.
    #[default]
    MeanIou,
    /// The same without background.
    MeanGarmentIou,
    /// The study's mean of per-image IoUs.
    StudyMeanIou,
    /// The least mean cross entropy a pixel.
    ValidLoss,
}

impl BestBy {
    /// Its name in configs.
    pub fn name(self) -> &'static str {
        match self {
            BestBy::MeanIou => "mean_iou",
            BestBy::MeanGarmentIou => "mean_garment_iou",
            BestBy::StudyMeanIou => "study_mean_iou",
            BestBy::ValidLoss => "valid_loss",
        }
    }
}

/// Table `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Epochs.
    pub epochs: usize,
    /// Examples a step.
    pub batch_size: usize,
    /// `adam`, `adamw` or `sgd`.
    #[serde(default)]
    pub optimizer: OptimizerKind,
    /// Decay of Adam's and AdamW's first and second moment.
    #[serde(default = "betas")]
    pub betas: [f64; 2],
    /// Share of the velocity that SGD keeps.
    #[serde(default = "momentum")]
    pub momentum: f64,
    /// Whether SGD looks ahead.
    #[serde(default)]
    pub nesterov: bool,
    /// Weight decay of the convolutions' kernels; without it 0.01 with AdamW, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Steps in which the learning rate rises from 0.
    #[serde(default)]
    pub warmup_steps: usize,
    /// `constant`, `cosine`, `polynomial` or `step`: how the learning rate falls then.
    #[serde(default)]
    pub schedule: Schedule,
    /// Share of the highest learning rate that the cosine and the polynomial end at.
    #[serde(default = "hundredth")]
    pub final_learning_rate_share: f64,
    /// Power of the polynomial.
    #[serde(default = "power")]
    pub polynomial_power: f64,
    /// Epochs between two falls of the schedule `step`.
    #[serde(default = "ten_epochs")]
    pub step_epochs: usize,
    /// What the learning rate is multiplied by then.
    #[serde(default = "tenth")]
    pub step_factor: f64,
    /// The largest norm that the gradients of all weights together may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// The encoder's learning rate over that of the rest.
    #[serde(default = "one")]
    pub encoder_learning_rate_factor: f64,
    /// First epochs in which the encoder stays as it is.
    #[serde(default)]
    pub frozen_encoder_epochs: usize,
    /// Decay of the moving average of the weights, which is then what is validated and exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_decay: Option<f64>,
    /// How much a pixel of each class counts: a rule, or one number per class. Numbers of classes of persons may be left
    /// out, and are 1 then.
    #[serde(default)]
    pub class_weights: ClassWeights,
    /// `mean_iou`, `mean_garment_iou`, `study_mean_iou` or `valid_loss`: what makes a checkpoint the best.
    #[serde(default)]
    pub best_by: BestBy,
    /// Epochs without a better one after which the run ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience_epochs: Option<usize>,
    /// Parts of a batch that run side by side, each normalised with statistics of its own. One uses all cores within each
    /// operation.
    #[serde(default = "one_shard")]
    pub shards: usize,
    /// Minutes between checkpoints within an epoch.
    #[serde(default = "ten_minutes")]
    pub checkpoint_minutes: f64,
}

fn betas() -> [f64; 2] {
    OptimizerConfig::default().betas
}
fn momentum() -> f64 {
    OptimizerConfig::default().momentum
}
fn hundredth() -> f64 {
    0.01
}
fn power() -> f64 {
    0.9
}
fn ten_epochs() -> usize {
    10
}
fn tenth() -> f64 {
    0.1
}
fn one() -> f64 {
    1.0
}
fn one_shard() -> usize {
    1
}
fn ten_minutes() -> f64 {
    10.0
}

impl TrainConfig {
    /// The optimiser's constants.
    pub fn optimizer(&self) -> OptimizerConfig {
        let default = if self.optimizer == OptimizerKind::AdamW { ADAMW_DECAY } else { 0.0 };
        OptimizerConfig {
            kind: self.optimizer,
            betas: self.betas,
            momentum: self.momentum,
            nesterov: self.nesterov,
            weight_decay: self.weight_decay.unwrap_or(default),
        }
    }

    /// The first key whose value cannot be used, and why. `classes` is the number of the taxonomy's, of which the
    /// last `persons` are parts of persons.
    pub(super) fn check(&self, classes: usize, persons: usize) -> Checked {
        ensure(self.epochs > 0, "train.epochs", "must be above 0")?;
        ensure((1..=4096).contains(&self.batch_size), "train.batch_size", "must be 1 to 4096")?;
        let shards = self.shards > 0 && self.shards <= self.batch_size;
        ensure(shards, "train.shards", "must be 1 to train.batch_size")?;
        ensure(self.checkpoint_minutes > 0.0, "train.checkpoint_minutes", "must be above 0")?;
        ensure(
            self.patience_epochs != Some(0),
            "train.patience_epochs",
            "must be above 0; leave it out to never end early",
        )?;
        self.check_optimizer()?;
        self.check_schedule()?;
        self.check_class_weights(classes, persons)
    }

    fn check_optimizer(&self) -> Checked {
        let below_one = |value: &f64| (0.0..1.0).contains(value);
        let betas = self.betas.iter().all(below_one);
        ensure(betas, "train.betas", "must be two numbers, each 0 or more and below 1")?;
        ensure(below_one(&self.momentum), "train.momentum", "must be 0 or more and below 1")?;
        let sgd = self.optimizer == OptimizerKind::Sgd;
        ensure(sgd || !self.nesterov, "train.nesterov", "is only for optimizer = \"sgd\"")?;
        let decay = self.weight_decay.unwrap_or_default();
        ensure((0.0..=1.0).contains(&decay), "train.weight_decay", "must be 0 to 1")?;
        let clip = self.clip_norm.is_none_or(|norm| norm > 0.0 && norm.is_finite());
        ensure(clip, "train.clip_norm", "must be above 0; leave it out for no limit")?;
        let factor = self.encoder_learning_rate_factor;
        let cause = "must be above 0 and at most 1; use frozen_encoder_epochs to keep the encoder unchanged";
        ensure(factor > 0.0 && factor <= 1.0, "train.encoder_learning_rate_factor", cause)?;
        let average = self.average_decay.is_none_or(|decay| decay > 0.0 && decay < 1.0);
        ensure(average, "train.average_decay", "must be above 0 and below 1; leave it out for no average")
    }

    fn check_schedule(&self) -> Checked {
        let rate = self.learning_rate > 0.0 && self.learning_rate <= 1.0;
        ensure(rate, "train.learning_rate", "must be above 0, and at most 1")?;
        let share = (0.0..=1.0).contains(&self.final_learning_rate_share);
        ensure(share, "train.final_learning_rate_share", "must be 0 to 1")?;
        let power = self.polynomial_power > 0.0 && self.polynomial_power <= 10.0;
        ensure(power, "train.polynomial_power", "must be above 0, and at most 10")?;
        ensure(self.step_epochs > 0, "train.step_epochs", "must be above 0")?;
        let factor = self.step_factor > 0.0 && self.step_factor <= 1.0;
        ensure(factor, "train.step_factor", "must be above 0, and at most 1")
    }

    fn check_class_weights(&self, classes: usize, persons: usize) -> Checked {
        let ClassWeights::List(weights) = &self.class_weights else { return Ok(()) };
        // Classes of persons were added behind the garments, and lists are older.
        let may_end_early = match persons {
            0 => String::new(),
            1 => ", of which the last may be left out".to_owned(),
            _ => format!(", of which the last {persons} may be left out"),
        };
        let cause = format!(
            "has {}, and the taxonomy has {}, background first{may_end_early}",
            counted(weights.len(), "number", "numbers"),
            counted(classes, "class", "classes")
        );
        ensure((classes - persons..=classes).contains(&weights.len()), "train.class_weights", &cause)?;
        let usable = weights.iter().all(|weight| *weight >= 0.0 && weight.is_finite());
        let usable = usable && weights.iter().any(|weight| *weight > 0.0);
        ensure(usable, "train.class_weights", "must all be 0 or more, and not all 0")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SHORT: &str = "epochs = 2\nbatch_size = 4\nlearning_rate = 0.1\n";

    fn read(more: &str) -> TrainConfig {
        toml::from_str(&format!("{SHORT}{more}")).unwrap()
    }

    #[test]
    fn a_short_table_trains_as_ever() {
        let config = read("");
        config.check(3, 0).unwrap();
        assert_eq!(config.optimizer(), OptimizerConfig::default());
        assert_eq!((config.schedule, config.best_by), (Schedule::Cosine, BestBy::MeanIou));
        assert_eq!(config.class_weights, ClassWeights::default());
    }

    #[test]
    fn a_long_table_survives_a_copy() {
        let config = read(
            "optimizer = \"sgd\"\nmomentum = 0.8\nnesterov = true\nweight_decay = 0.001\nbetas = [0.5, 0.6]\n\
             schedule = \"polynomial\"\npolynomial_power = 2\nstep_epochs = 3\nstep_factor = 0.5\nclip_norm = 1\n\
             encoder_learning_rate_factor = 0.1\nfrozen_encoder_epochs = 1\naverage_decay = 0.99\n\
             class_weights = [1, 2, 3]\nbest_by = \"study_mean_iou\"\npatience_epochs = 5",
        );
        config.check(3, 0).unwrap();
        assert_eq!(toml::from_str::<TrainConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn adamw_decays_unless_told_otherwise() {
        assert_eq!(read("optimizer = \"adamw\"").optimizer().weight_decay, 0.01);
        assert_eq!(read("optimizer = \"adamw\"\nweight_decay = 0").optimizer().weight_decay, 0.0);
        assert_eq!(read("optimizer = \"sgd\"").optimizer().weight_decay, 0.0);
    }

    #[test]
    fn a_list_of_weights_says_what_may_be_left_out_where_anything_may() {
        let cause = |classes, persons| read("class_weights = [1]").check(classes, persons).unwrap_err().1;
        assert_eq!(cause(3, 0), "has 1 number, and the taxonomy has 3 classes, background first");
        assert!(cause(5, 2).ends_with("of which the last 2 may be left out"), "{}", cause(5, 2));
    }

    #[test]
    fn a_wrong_value_names_its_key() {
        for (text, key) in [
            ("betas = [0.9, 1]", "train.betas"),
            ("momentum = -0.1", "train.momentum"),
            ("nesterov = true", "train.nesterov"),
            ("weight_decay = nan", "train.weight_decay"),
            ("polynomial_power = 0", "train.polynomial_power"),
            ("step_epochs = 0", "train.step_epochs"),
            ("step_factor = 1.5", "train.step_factor"),
            ("clip_norm = 0", "train.clip_norm"),
            ("clip_norm = inf", "train.clip_norm"),
            ("encoder_learning_rate_factor = 0", "train.encoder_learning_rate_factor"),
            ("average_decay = 1", "train.average_decay"),
            ("patience_epochs = 0", "train.patience_epochs"),
            ("final_learning_rate_share = 2", "train.final_learning_rate_share"),
            ("class_weights = [1, 2]", "train.class_weights"),
            ("class_weights = [0, 0, 0]", "train.class_weights"),
            ("class_weights = [1, -2, 3]", "train.class_weights"),
            ("shards = 5", "train.shards"),
        ] {
            assert_eq!(read(text).check(3, 0).unwrap_err().0, key, "{text}");
        }
        for text in ["optimizer = \"lion\"", "schedule = \"linear\"", "best_by = \"luck\"", "class_weights = \"some\""]
        {
            assert!(toml::from_str::<TrainConfig>(&format!("{SHORT}{text}")).is_err(), "{text}");
        }
    }
}
