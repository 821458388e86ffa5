//! An exponential moving average of the weights: what is validated and exported, where it is on.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use burn::tensor::container::TensorContainer;

use crate::model::Network;
use clothseg_kernels::{average_step, updates_in_place};

/// The average of a run's weights (Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992, with
/// exponential weights). The batch norms' running statistics are averaged with the same decay, so that they belong to the
/// same stretch of the run as the weights that they follow.
pub struct WeightAverage {
    model: Network,
    decay: f64,
}

impl WeightAverage {
    /// Begins at the weights of `model`. `decay` is the share of the average that a step leaves, 0 to 1.
    pub fn new(model: &Network, decay: f64) -> Self {
        Self { model: model.valid(), decay }
    }

    /// The averaged network, outside of any graph.
    pub fn model(&self) -> &Network {
        &self.model
    }

    /// Moves towards the weights after step `step`, from 0.
    pub fn update(self, model: &Network, step: usize) -> Self {
        let share = 1.0 - decay_at(self.decay, step);
        let mut towards = Towards { weights: TensorContainer::new(), share };
        model.visit(&mut towards);
        Self { model: self.model.map(&mut towards), decay: self.decay }
    }
}

/// `min(decay, (1 + step) / (10 + step))`: early on, when the weights move fast, a short memory.
fn decay_at(decay: f64, step: usize) -> f64 {
    let step = step as f64;
    decay.min((1.0 + step) / (10.0 + step))
}

/// Takes the weights of one network, then moves another towards them.
struct Towards {
    weights: TensorContainer<ParamId>,
    share: f64,
}

impl ModuleVisitor for Towards {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.weights.register(param.id, param.val().inner());
    }
}

impl ModuleMapper for Towards {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(weights) = self.weights.remove::<Tensor<D>>(&param.id) else { return param };
        let share = self.share;
        param.map(|average| match updates_in_place(&average) {
            true => average_step(average, weights, share as f32),
            false => average.mul_scalar(1.0 - share).add(weights.mul_scalar(share)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu;
    use crate::model::{Architecture, DecoderConfig, NetworkConfig};

    #[test]
    fn the_memory_grows_up_to_the_decay() {
        assert_eq!(decay_at(0.999, 0), 0.1);
        assert_eq!(decay_at(0.999, 8), 0.5);
        assert_eq!(decay_at(0.75, 26), 0.75);
        assert_eq!(decay_at(0.75, 100), 0.75);
    }

    fn numbers(model: &Network) -> Vec<f32> {
        struct Numbers(Vec<f32>);
        impl ModuleVisitor for Numbers {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.0.extend(param.val().into_data().iter::<f32>());
            }
        }
        let mut numbers = Numbers(Vec::new());
        model.visit(&mut numbers);
        numbers.0
    }

    #[test]
    fn every_number_of_the_network_moves_by_its_share() {
        struct Add(f64);
        impl ModuleMapper for Add {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param.map(|tensor| tensor.add_scalar(self.0))
            }
        }
        let config = NetworkConfig {
            architecture: Architecture::UnetLite0,
            classes: 3,
            width: 0.0625,
            output_stride: 4,
            decoder: DecoderConfig::default(),
            dropout: 0.0,
        };
        let model = config.init(&cpu().autodiff(), 1);
        let start = numbers(&model);
        let average = WeightAverage::new(&model, 0.75);
        let model = model.map(&mut Add(10.0));
        let average = average.update(&model, 0); // a share of 0.9
        let average = average.update(&model, 1000); // a share of 0.25 of what is left
        for (number, start) in numbers(average.model()).into_iter().zip(start) {
            assert!((number - start - (9.0 + 0.25)).abs() < 1e-4, "{number} {start}");
        }
    }
}
