//! Adam, with the state and the records of Burn's, and an update in place on the CPU.

use burn::optim::{Adam as BurnAdam, AdamConfig, AdamState, AdaptiveMomentumState, ModuleOptimizer, Optimizer};
use burn::tensor::{Device, Tensor};

use crate::kernels::{AdamFactors, adam_runs_on, adam_step};

/// Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, with their constants.
const BETAS: [f32; 2] = [0.9, 0.999];
/// Their epsilon, not Burn's larger one.
const EPSILON: f32 = 1e-8;

/// The optimiser.
#[derive(Clone)]
struct Adam {
    elsewhere: BurnAdam,
}

/// A fresh optimiser.
pub fn new_optimizer() -> ModuleOptimizer {
    ModuleOptimizer::from(Adam { elsewhere: AdamConfig::new().with_epsilon(EPSILON).build() })
}

impl Optimizer for Adam {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: f64,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        if !adam_runs_on(&tensor) {
            return self.elsewhere.step(learning_rate, tensor, gradient, state);
        }
        let (time, first, second) = match state.map(|state| state.momentum) {
            Some(state) => (state.time + 1, state.moment_1, state.moment_2),
            None => (1, tensor.zeros_like(), tensor.zeros_like()),
        };
        let [beta_1, beta_2] = BETAS;
        let factors = AdamFactors { beta_1, beta_2, epsilon: EPSILON, learning_rate: learning_rate as f32, time };
        let [tensor, first, second] = adam_step([tensor, first, second], &gradient, factors);
        (tensor, Some(AdamState::new(AdaptiveMomentumState::new(time, first, second))))
    }

    fn to_device<const D: usize>(state: AdamState<D>, device: &Device) -> AdamState<D> {
        <BurnAdam as Optimizer>::to_device(state, device)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn steps_as_burns_does() {
        let device = Device::default();
        let burn = AdamConfig::new().with_epsilon(EPSILON).build();
        let ours = Adam { elsewhere: burn.clone() };
        let start = Tensor::<2>::from_floats([[0.5, -1.0], [2.0, 0.0]], &device);
        let (mut one, mut other) = ((start.clone(), None), (start, None));
        for step in 0..5 {
            let gradient = Tensor::<2>::from_floats([[0.1, -3.0], [1e-4, 0.0]], &device).mul_scalar(1.0 + step as f64);
            one = ours.step(0.01, one.0, gradient.clone(), one.1);
            other = burn.step(0.01, other.0, gradient, other.1);
        }
        let numbers = |tensor: Tensor<2>| tensor.into_data().iter::<f32>().collect::<Vec<_>>();
        for (one, other) in numbers(one.0).into_iter().zip(numbers(other.0)) {
            assert!((one - other).abs() < 1e-6, "{one} {other}");
        }
    }
}
