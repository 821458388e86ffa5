//! One run through a network: in training it brings the random numbers and takes the batch norms' statistics away; a
//! surveying one only looks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use clothseg_kernels::BatchStatistics;

/// Share of a batch's statistics in the running ones after a step.
const MOMENTUM: f64 = 0.1;

/// A run through a network.
#[derive(Default)]
pub struct Pass {
    training: Option<Training>,
    survey: Option<Survey>,
}

struct Training {
    random: ChaCha8Rng,
    statistics: RunningUpdate,
    frozen: Arc<HashSet<ParamId>>,
}

impl Pass {
    /// As the network will be used: running statistics, no dropout.
    pub fn evaluation() -> Self {
        Self::default()
    }

    /// A training step's. The random numbers are the caller's, so that a step can be repeated.
    pub fn training(random: ChaCha8Rng) -> Self {
        let training = Training { random, statistics: RunningUpdate::default(), frozen: Arc::default() };
        Self { training: Some(training), survey: None }
    }

    /// As [`Pass::evaluation`], and takes note of what comes to every batch norm.
    pub fn survey() -> Self {
        Self { training: None, survey: Some(Survey::default()) }
    }

    /// In training, with parameters that stay as they are. They must be the first that the input meets, with all before
    /// them: the graph begins behind the last norm of theirs, and these norms go by their running statistics.
    pub fn with_frozen(mut self, frozen: Arc<HashSet<ParamId>>) -> Self {
        if let Some(training) = &mut self.training {
            training.frozen = frozen;
        }
        self
    }

    /// Whether this is a training step's and the parameter stays as it is.
    pub(super) fn is_frozen(&self, id: ParamId) -> bool {
        self.training.as_ref().is_some_and(|training| training.frozen.contains(&id))
    }

    /// Whether this is a training step's.
    pub fn is_training(&self) -> bool {
        self.training.is_some()
    }

    /// What the batch norms saw.
    pub fn into_statistics(self) -> RunningUpdate {
        self.training.map(|training| training.statistics).unwrap_or_default()
    }

    /// What came to the batch norms of a surveying run.
    pub fn into_survey(self) -> Survey {
        self.survey.unwrap_or_default()
    }

    /// In a surveying run, takes note of a batch norm's input.
    pub(super) fn look_at(&mut self, gamma: ParamId, epsilon: f64, input: &Tensor<4>) {
        if let Some(survey) = &mut self.survey {
            survey.order.push(gamma);
            survey.seen.insert(gamma, Seen::of(input, epsilon));
        }
    }

    /// In a surveying run, takes note of the place of a convolution that no batch norm follows.
    pub(super) fn pass_by(&mut self, weight: ParamId) {
        if let Some(survey) = &mut self.survey {
            survey.order.push(weight);
        }
    }

    /// Takes note of what a batch norm saw over `count` values a channel.
    pub(super) fn note(&mut self, mean: ParamId, variance: ParamId, statistics: BatchStatistics, count: usize) {
        if let Some(training) = &mut self.training {
            // The running variance is the unbiased one, as in the paper's algorithm 2.
            let unbiased = count as f64 / (count.max(2) - 1) as f64;
            training.statistics.values.insert(mean, statistics.mean);
            training.statistics.values.insert(variance, statistics.variance.mul_scalar(unbiased));
        }
    }

    /// In training, zeroes each value with probability `dropout` and scales the rest so that the mean stays.
    pub(super) fn dropout(&mut self, input: Tensor<4>, dropout: f64) -> Tensor<4> {
        match &mut self.training {
            Some(training) if dropout > 0.0 => {
                let mask = dropout_mask(input.dims(), dropout, &mut training.random, &input.device());
                input.mul(mask)
            }
            _ => input,
        }
    }
}

/// 0 with probability `dropout`, else `1 / (1 - dropout)`, which keeps the mean.
fn dropout_mask(shape: [usize; 4], dropout: f64, random: &mut ChaCha8Rng, device: &Device) -> Tensor<4> {
    let kept = (1.0 / (1.0 - dropout)) as f32;
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|_| if random.random::<f64>() < dropout { 0.0 } else { kept }).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// What came to the batch norms, by the parameter `gamma` of each.
#[derive(Default)]
pub struct Survey {
    seen: HashMap<ParamId, Seen>,
    /// In which they ran.
    order: Vec<ParamId>,
}

impl Survey {
    /// This one's and another's inputs together, both of one network.
    pub fn join(mut self, other: Survey) -> Survey {
        if self.order.is_empty() {
            self.order = other.order;
        }
        for (id, more) in other.seen {
            match self.seen.get_mut(&id) {
                Some(seen) => seen.add(&more),
                None => {
                    self.seen.insert(id, more);
                }
            }
        }
        self
    }

    /// What came to the batch norm with this `gamma`.
    pub fn of(&self, gamma: ParamId) -> Option<&Seen> {
        self.seen.get(&gamma)
    }

    /// Place of a batch norm, by its `gamma`, or of a convolution without one, by its weights, in the order in which they ran,
    /// from 0.
    pub fn position(&self, gamma: ParamId) -> Option<usize> {
        self.order.iter().position(|id| *id == gamma)
    }
}

/// What came to one batch norm.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The epsilon that it adds to variances.
    pub epsilon: f64,
    /// Values a channel.
    count: f64,
    /// A channel's sum and sum of squares.
    sums: Vec<[f64; 2]>,
}

impl Seen {
    fn of(input: &Tensor<4>, epsilon: f64) -> Self {
        let [batch, channels, height, width] = input.dims();
        let plane = height * width;
        let values: Vec<f32> = input.clone().into_data().iter::<f32>().collect();
        let mut sums = vec![[0.0; 2]; channels];
        for (index, plane) in values.chunks(plane.max(1)).enumerate() {
            let [sum, squares] = &mut sums[index % channels];
            *sum += plane.iter().map(|value| f64::from(*value)).sum::<f64>();
            *squares += plane.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
        }
        Self { epsilon, count: (batch * plane) as f64, sums }
    }

    fn add(&mut self, more: &Self) {
        self.count += more.count;
        for ([sum, squares], [more_sum, more_squares]) in self.sums.iter_mut().zip(&more.sums) {
            *sum += more_sum;
            *squares += more_squares;
        }
    }

    /// Mean and variance of each channel.
    pub fn statistics(&self) -> Vec<[f64; 2]> {
        let count = self.count.max(1.0);
        let of_channel = |[sum, squares]: &[f64; 2]| {
            let mean = sum / count;
            [mean, (squares / count - mean * mean).max(0.0)]
        };
        self.sums.iter().map(of_channel).collect()
    }
}

/// New values that running statistics move towards.
#[derive(Default)]
pub struct RunningUpdate {
    values: HashMap<ParamId, Tensor<1>>,
}

impl RunningUpdate {
    /// The mean of several shards' statistics, weighted by their shares of the batch.
    pub fn mean(shards: Vec<(RunningUpdate, f64)>) -> Self {
        let mut values: HashMap<ParamId, Tensor<1>> = HashMap::new();
        for (shard, share) in shards {
            for (id, value) in shard.values {
                let value = value.mul_scalar(share);
                let sum = match values.remove(&id) {
                    Some(sum) => sum.add(value),
                    None => value,
                };
                values.insert(id, sum);
            }
        }
        Self { values }
    }

    /// Moves a model's running statistics.
    pub fn apply<M: Module>(mut self, model: M) -> M {
        if self.values.is_empty() { model } else { model.map(&mut self) }
    }
}

impl ModuleMapper for RunningUpdate {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(target) = self.values.remove(&param.id) else { return param };
        param.map(|running| {
            let target = target.to_device(&running.device()).reshape(running.dims());
            running.mul_scalar(1.0 - MOMENTUM).add(target.mul_scalar(MOMENTUM)).detach()
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::augment::generator;

    #[test]
    fn a_survey_joins_what_came_in_several_runs() {
        let look = |values: [f32; 4]| {
            let mut pass = Pass::survey();
            let input = TensorData::new(values.to_vec(), [1, 2, 1, 2]);
            pass.look_at(ParamId::from(7), 0.5, &Tensor::from_data(input, &Device::default()));
            pass.into_survey()
        };
        // Channel 0: 1, 3, 5, 7; channel 1: always 2.
        let survey = look([1.0, 3.0, 2.0, 2.0]).join(look([5.0, 7.0, 2.0, 2.0]));
        let seen = survey.of(ParamId::from(7)).unwrap();
        assert_eq!((seen.statistics(), seen.epsilon), (vec![[4.0, 5.0], [2.0, 0.0]], 0.5));
        assert!(survey.of(ParamId::from(8)).is_none());
        assert_eq!([7, 8].map(|id| survey.position(ParamId::from(id))), [Some(0), None]);
    }

    #[test]
    fn a_dropout_mask_keeps_the_mean() {
        let mask = dropout_mask([1, 1, 100, 100], 0.25, &mut generator(0, 0, 0), &Device::default());
        let mean: f32 = mask.mean().into_scalar();
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
    }
}
