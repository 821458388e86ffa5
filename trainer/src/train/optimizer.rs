//! Adam, AdamW and stochastic gradient descent, in place on the CPU and by Burn's operations elsewhere.
//!
//! Weight decay goes to the convolutions' kernels only. Biases and the batch norms' scales and shifts, which are the
//! weights of one axis, are left out: they do not overfit, and a norm undoes the decay of the kernel before it anyway.

use burn::optim::decay::WeightDecayConfig;
use burn::optim::{
    Adam as BurnAdam, AdamConfig, AdamState, AdamWConfig, AdamWState, AdaptiveMomentumState, ModuleOptimizer,
    Optimizer, RecordState, StateSink, StateSource,
};
use burn::tensor::{Device, Tensor};

use crate::config::{OptimizerConfig, OptimizerKind};
use clothseg_kernels::{AdamFactors, SgdFactors, adam_step, sgd_step, updates_in_place};

/// The paper's epsilon, not Burn's larger one.
const EPSILON: f32 = 1e-8;

/// A fresh optimiser.
pub fn new_optimizer(config: &OptimizerConfig) -> ModuleOptimizer {
    match config.kind {
        OptimizerKind::Adam | OptimizerKind::AdamW => ModuleOptimizer::from(Adam(*config)),
        OptimizerKind::Sgd => ModuleOptimizer::from(Sgd(*config)),
    }
}

impl OptimizerConfig {
    /// The decay of weights of `rank` axes.
    fn decay(&self, rank: usize) -> f32 {
        if rank > 1 { self.weight_decay as f32 } else { 0.0 }
    }
}

/// Adam and AdamW, with the state and the records of Burn's.
#[derive(Clone)]
struct Adam(OptimizerConfig);

impl Adam {
    fn by_burn<const D: usize>(
        &self,
        learning_rate: f64,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        let [beta_1, beta_2] = self.0.betas.map(|beta| beta as f32);
        let decay = self.0.decay(D);
        if self.0.kind == OptimizerKind::AdamW {
            let config = AdamWConfig::new().with_beta_1(beta_1).with_beta_2(beta_2).with_epsilon(EPSILON);
            let state = state.map(|state| AdamWState::new(state.momentum));
            let optimizer = config.with_weight_decay(decay).build();
            let (tensor, state) = optimizer.step(learning_rate, tensor, gradient, state);
            return (tensor, state.map(|state| AdamState::new(state.momentum)));
        }
        let config = AdamConfig::new().with_beta_1(beta_1).with_beta_2(beta_2).with_epsilon(EPSILON);
        let decay = (decay > 0.0).then(|| WeightDecayConfig::new(decay));
        config.with_weight_decay(decay).build().step(learning_rate, tensor, gradient, state)
    }
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
        if !updates_in_place(&tensor) {
            return self.by_burn(learning_rate, tensor, gradient, state);
        }
        let (time, first, second) = match state.map(|state| state.momentum) {
            Some(state) => (state.time + 1, state.moment_1, state.moment_2),
            None => (1, tensor.zeros_like(), tensor.zeros_like()),
        };
        let [beta_1, beta_2] = self.0.betas.map(|beta| beta as f32);
        let decay = self.0.decay(D);
        let (penalty, decay) = match self.0.kind {
            OptimizerKind::AdamW => (0.0, (learning_rate * f64::from(decay)) as f32),
            _ => (decay, 0.0),
        };
        let learning_rate = learning_rate as f32;
        let factors = AdamFactors { beta_1, beta_2, epsilon: EPSILON, learning_rate, time, penalty, decay };
        let [tensor, first, second] = adam_step([tensor, first, second], gradient, factors);
        (tensor, Some(AdamState::new(AdaptiveMomentumState::new(time, first, second))))
    }

    fn to_device<const D: usize>(state: AdamState<D>, device: &Device) -> AdamState<D> {
        <BurnAdam as Optimizer>::to_device(state, device)
    }
}

/// Stochastic gradient descent. Burn's shuts its velocity away, so that no kernel could go on from it.
#[derive(Clone)]
struct Sgd(OptimizerConfig);

/// What [`Sgd`] remembers of a weight.
#[derive(Clone)]
struct Velocity<const D: usize>(Tensor<D>);

impl<const D: usize> RecordState for Velocity<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_tensor(prefix, "velocity", self.0.clone().into_data());
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        source.take_tensor(prefix, "velocity").map(|data| Self(Tensor::from_data(data, device)))
    }
}

impl Optimizer for Sgd {
    type State<const D: usize> = Velocity<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: f64,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Velocity<D>>,
    ) -> (Tensor<D>, Option<Velocity<D>>) {
        let OptimizerConfig { momentum, nesterov, .. } = self.0;
        let penalty = self.0.decay(D);
        let velocity = state.map_or_else(|| tensor.zeros_like(), |state| state.0);
        if updates_in_place(&tensor) {
            let (learning_rate, momentum) = (learning_rate as f32, momentum as f32);
            let factors = SgdFactors { learning_rate, momentum, nesterov, penalty };
            let [tensor, velocity] = sgd_step([tensor, velocity], gradient, factors);
            return (tensor, Some(Velocity(velocity)));
        }
        let gradient = gradient.add(tensor.clone().mul_scalar(penalty));
        let velocity = velocity.mul_scalar(momentum).add(gradient.clone());
        let direction = if nesterov { velocity.clone().mul_scalar(momentum).add(gradient) } else { velocity.clone() };
        (tensor.sub(direction.mul_scalar(learning_rate)), Some(Velocity(velocity)))
    }

    fn to_device<const D: usize>(state: Velocity<D>, device: &Device) -> Velocity<D> {
        Velocity(state.0.to_device(device))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::optim::SgdConfig;
    use burn::optim::momentum::MomentumConfig;

    use super::*;

    fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    /// Five steps from the same weights by ours and by another.
    fn assert_same_steps<A: Optimizer, B: Optimizer>(ours: A, theirs: B) {
        let device = Device::flex();
        let start = Tensor::<2>::from_floats([[0.5, -1.0], [2.0, 0.0]], &device);
        let (mut one, mut other) = ((start.clone(), None), (start, None));
        for step in 0..5 {
            let gradient = Tensor::<2>::from_floats([[0.1, -3.0], [1e-4, 0.0]], &device).mul_scalar(1.0 + step as f64);
            one = ours.step(0.01, one.0, gradient.clone(), one.1);
            other = theirs.step(0.01, other.0, gradient, other.1);
        }
        for (one, other) in numbers(one.0).into_iter().zip(numbers(other.0)) {
            assert!((one - other).abs() < 1e-6, "{one} {other}");
        }
    }

    fn config(kind: OptimizerKind) -> OptimizerConfig {
        OptimizerConfig { kind, betas: [0.8, 0.99], weight_decay: 0.1, ..OptimizerConfig::default() }
    }

    #[test]
    fn steps_are_those_of_burns_optimizers() {
        let adam = AdamConfig::new().with_beta_1(0.8).with_beta_2(0.99).with_epsilon(EPSILON);
        assert_same_steps(
            Adam(config(OptimizerKind::Adam)),
            adam.with_weight_decay(Some(WeightDecayConfig::new(0.1))).build(),
        );
        let adamw = AdamWConfig::new().with_beta_1(0.8).with_beta_2(0.99).with_epsilon(EPSILON);
        assert_same_steps(Adam(config(OptimizerKind::AdamW)), adamw.with_weight_decay(0.1).build());
        for nesterov in [false, true] {
            let momentum = MomentumConfig::new().with_dampening(0.0).with_nesterov(nesterov);
            let sgd = SgdConfig::new().with_momentum(Some(momentum));
            let sgd = sgd.with_weight_decay(Some(WeightDecayConfig::new(0.1)));
            assert_same_steps(Sgd(OptimizerConfig { nesterov, ..config(OptimizerKind::Sgd) }), sgd.build());
        }
    }

    #[test]
    fn one_step_by_hand() {
        let step = |kind, nesterov| {
            let config = OptimizerConfig { kind, weight_decay: 0.1, nesterov, ..OptimizerConfig::default() };
            let weights = Tensor::<2>::from_floats([[2.0]], &Device::flex());
            let gradient = Tensor::<2>::from_floats([[0.5]], &Device::flex());
            let tensor = match kind {
                OptimizerKind::Sgd => Sgd(config).step(0.1, weights, gradient, None).0,
                _ => Adam(config).step(0.1, weights, gradient, None).0,
            };
            numbers(tensor)[0]
        };
        let assert_close = |value: f32, expected: f32| assert!((value - expected).abs() < 1e-6, "{value} {expected}");
        // Adam's first step is the learning rate's size, whatever the gradient.
        assert_close(step(OptimizerKind::Adam, false), 2.0 - 0.1);
        assert_close(step(OptimizerKind::AdamW, false), 2.0 - 0.1 - 0.1 * 0.1 * 2.0);
        assert_close(step(OptimizerKind::Sgd, false), 2.0 - 0.1 * (0.5 + 0.1 * 2.0));
        assert_close(step(OptimizerKind::Sgd, true), 2.0 - 0.1 * 1.9 * (0.5 + 0.1 * 2.0));
    }

    #[test]
    fn weights_of_one_axis_do_not_decay() {
        for kind in [OptimizerKind::Adam, OptimizerKind::AdamW, OptimizerKind::Sgd] {
            let step = |weight_decay| {
                let config = OptimizerConfig { weight_decay, ..config(kind) };
                let weights = Tensor::<1>::from_floats([2.0, -1.0], &Device::flex());
                let gradient = Tensor::<1>::from_floats([0.5, 0.1], &Device::flex());
                match kind {
                    OptimizerKind::Sgd => numbers(Sgd(config).step(0.1, weights, gradient, None).0),
                    _ => numbers(Adam(config).step(0.1, weights, gradient, None).0),
                }
            };
            assert_eq!(step(0.5), step(0.0), "{kind:?}");
        }
    }
}
