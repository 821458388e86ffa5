//! What an optimiser does to all weights: passes over plain numbers, in place.

use burn::tensor::{Tensor, TensorData};
use pulp::{Arch, Simd};
use rayon::prelude::*;

use super::operation::{Place, place};
use super::profile::timed;

/// Values of a chunk: small enough for the cache, large enough for a thread.
const CHUNK: usize = 16 * 1024;

/// Constants of a step of Adam.
#[derive(Clone, Copy, Debug)]
pub struct AdamFactors {
    /// Decay of the first moment.
    pub beta_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Learning rate.
    pub learning_rate: f32,
    /// Steps taken, this one included.
    pub time: usize,
    /// Share of a weight that is added to its gradient: the L2 penalty.
    pub penalty: f32,
    /// Share of a weight that is taken off it beside the gradient: the decoupled decay, learning rate included.
    pub decay: f32,
}

/// Constants of a step of stochastic gradient descent.
#[derive(Clone, Copy, Debug)]
pub struct SgdFactors {
    /// Learning rate.
    pub learning_rate: f32,
    /// Share of the velocity that stays.
    pub momentum: f32,
    /// Whether the step looks ahead along the velocity.
    pub nesterov: bool,
    /// Share of a weight that is added to its gradient: the L2 penalty.
    pub penalty: f32,
}

/// Whether the functions of this file take this tensor.
pub fn updates_in_place<const D: usize>(weights: &Tensor<D>) -> bool {
    place(weights) == Place::Kernels && !weights.device().is_autodiff()
}

/// Weights, first and second moment after a step, in the memory that they had before where nobody else holds it. Only for
/// tensors for which [`updates_in_place`]. Kingma and Ba, "Adam", 2015, algorithm 1; the decay is that of Loshchilov and
/// Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.
pub fn adam_step<const D: usize>(tensors: [Tensor<D>; 3], gradient: Tensor<D>, factors: AdamFactors) -> [Tensor<D>; 3] {
    let time = factors.time as i32;
    let unbias = [factors.beta_1, factors.beta_2].map(|beta| 1.0 / (1.0 - beta.powi(time)));
    in_place("Adam", tensors, gradient, |[weights, first, second], gradient| {
        weights
            .par_chunks_mut(CHUNK)
            .zip(first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK)))
            .zip(gradient.par_chunks(CHUNK))
            .for_each(|((weights, (first, second)), gradient)| {
                adam(weights, [first, second], gradient, factors, unbias);
            });
    })
}

/// Weights and velocity after a step, as [`adam_step`]. The velocity is Polyak's heavy ball with the learning rate outside
/// of it, and the look-ahead that of Sutskever et al., "On the importance of initialization and momentum in deep
/// learning", 2013, both as in PyTorch.
pub fn sgd_step<const D: usize>(tensors: [Tensor<D>; 2], gradient: Tensor<D>, factors: SgdFactors) -> [Tensor<D>; 2] {
    in_place("SGD", tensors, gradient, |[weights, velocity], gradient| {
        weights
            .par_chunks_mut(CHUNK)
            .zip(velocity.par_chunks_mut(CHUNK))
            .zip(gradient.par_chunks(CHUNK))
            .for_each(|((weights, velocity), gradient)| sgd(weights, velocity, gradient, factors));
    })
}

/// `average` after a step of `share` towards `weights`, as [`adam_step`].
pub fn average_step<const D: usize>(average: Tensor<D>, weights: Tensor<D>, share: f32) -> Tensor<D> {
    let [average] = in_place("average", [average], weights, |[average], weights| {
        average.par_chunks_mut(CHUNK).zip(weights.par_chunks(CHUNK)).for_each(|(average, weights)| {
            for (average, weight) in average.iter_mut().zip(weights) {
                *average += share * (weight - *average);
            }
        });
    });
    average
}

/// The tensor, and the sum of its squares: always in the same order, on any number of cores. Only for tensors for which
/// [`updates_in_place`].
pub fn sum_of_squares<const D: usize>(tensor: Tensor<D>) -> (Tensor<D>, f64) {
    let device = tensor.device();
    let data = tensor.into_data();
    let Ok(values) = data.as_slice::<f32>() else { unreachable!("gradients are 32-bit floats") };
    let sums: Vec<f64> = values.par_chunks(CHUNK).map(squares).collect();
    (Tensor::from_data(data, &device), sums.iter().sum())
}

/// In lanes, so that the additions do not wait for each other.
fn squares(values: &[f32]) -> f64 {
    let mut lanes = [0.0; 8];
    for eight in values.chunks(lanes.len()) {
        for (lane, value) in lanes.iter_mut().zip(eight) {
            *lane += f64::from(*value) * f64::from(*value);
        }
    }
    lanes.iter().sum()
}

/// Runs `update` on the numbers of `tensors` and of `source`, all of one shape.
fn in_place<const D: usize, const N: usize>(
    name: &str,
    tensors: [Tensor<D>; N],
    source: Tensor<D>,
    update: impl FnOnce([&mut [f32]; N], &[f32]),
) -> [Tensor<D>; N] {
    let device = source.device();
    let source = source.into_data();
    let mut data = tensors.map(Tensor::into_data);
    let slices = data.each_mut().map(|data| match data.as_mut_slice::<f32>() {
        Ok(slice) => slice,
        Err(_) => unreachable!("weights are 32-bit floats"),
    });
    let Ok(source) = source.as_slice::<f32>() else { unreachable!("gradients are 32-bit floats") };
    timed(|| name.to_owned(), || update(slices, source));
    data.map(|data: TensorData| Tensor::from_data(data, &device))
}

#[pulp::with_simd(adam = Arch::new())]
#[inline(always)]
fn adam_with_simd<'a, S: Simd>(
    _simd: S,
    weights: &'a mut [f32],
    [first, second]: [&'a mut [f32]; 2],
    gradient: &'a [f32],
    factors: AdamFactors,
    [unbias_1, unbias_2]: [f32; 2],
) {
    let AdamFactors { beta_1, beta_2, epsilon, learning_rate, penalty, decay, .. } = factors;
    for ((weight, (first, second)), gradient) in weights.iter_mut().zip(first.iter_mut().zip(second)).zip(gradient) {
        let gradient = gradient + penalty * *weight;
        *first = beta_1 * *first + (1.0 - beta_1) * gradient;
        *second = beta_2 * *second + (1.0 - beta_2) * gradient * gradient;
        *weight -= decay * *weight + learning_rate * (*first * unbias_1) / ((*second * unbias_2).sqrt() + epsilon);
    }
}

#[pulp::with_simd(sgd = Arch::new())]
#[inline(always)]
fn sgd_with_simd<'a, S: Simd>(
    _simd: S,
    weights: &'a mut [f32],
    velocity: &'a mut [f32],
    gradient: &'a [f32],
    factors: SgdFactors,
) {
    let SgdFactors { learning_rate, momentum, penalty, .. } = factors;
    // What the new velocity and the gradient count in the step.
    let (ahead, direct) = if factors.nesterov { (momentum, 1.0) } else { (1.0, 0.0) };
    for ((weight, velocity), gradient) in weights.iter_mut().zip(velocity).zip(gradient) {
        let gradient = gradient + penalty * *weight;
        *velocity = momentum * *velocity + gradient;
        *weight -= learning_rate * (direct * gradient + ahead * *velocity);
    }
}
