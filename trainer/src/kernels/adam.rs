//! The optimiser's step, in place.

use burn::tensor::{Tensor, TensorData};
use pulp::{Arch, Simd};
use rayon::prelude::*;

use super::operation::{Place, place};
use super::profile::timed;

/// Values of a chunk: small enough for the cache, large enough for a thread.
const CHUNK: usize = 16 * 1024;

/// Constants of one step.
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
}

/// Whether [`adam_step`] takes this tensor.
pub fn adam_runs_on<const D: usize>(weights: &Tensor<D>) -> bool {
    place(weights) == Place::Kernels && !weights.device().is_autodiff()
}

/// Weights, first and second moment after a step, in the memory that they had before where nobody else holds it. Only for
/// tensors that [`adam_runs_on`] takes. Kingma and Ba, "Adam", 2015, algorithm 1.
pub fn adam_step<const D: usize>(
    [weights, first, second]: [Tensor<D>; 3],
    gradient: &Tensor<D>,
    factors: AdamFactors,
) -> [Tensor<D>; 3] {
    let device = weights.device();
    let gradient = gradient.clone().into_data();
    let mut data = [weights, first, second].map(Tensor::into_data);
    {
        let [weights, first, second] = &mut data;
        let (Ok(weights), Ok(first), Ok(second), Ok(gradient)) = (
            weights.as_mut_slice::<f32>(),
            first.as_mut_slice::<f32>(),
            second.as_mut_slice::<f32>(),
            gradient.as_slice::<f32>(),
        ) else {
            unreachable!("weights are 32-bit floats")
        };
        timed(|| "Adam".to_owned(), || step(weights, first, second, gradient, factors));
    }
    data.map(|data: TensorData| Tensor::from_data(data, &device))
}

fn step(weights: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32], factors: AdamFactors) {
    let AdamFactors { beta_1, beta_2, time, .. } = factors;
    let time = time as i32;
    let unbias_1 = 1.0 / (1.0 - beta_1.powi(time));
    let unbias_2 = 1.0 / (1.0 - beta_2.powi(time));
    weights
        .par_chunks_mut(CHUNK)
        .zip(first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK)))
        .zip(gradient.par_chunks(CHUNK))
        .for_each(|((weights, (first, second)), gradient)| {
            update(weights, [first, second], gradient, factors, [unbias_1, unbias_2]);
        });
}

#[pulp::with_simd(update = Arch::new())]
#[inline(always)]
fn update_with_simd<'a, S: Simd>(
    _simd: S,
    weights: &'a mut [f32],
    [first, second]: [&'a mut [f32]; 2],
    gradient: &'a [f32],
    factors: AdamFactors,
    [unbias_1, unbias_2]: [f32; 2],
) {
    let AdamFactors { beta_1, beta_2, epsilon, learning_rate, .. } = factors;
    for ((weight, (first, second)), gradient) in weights.iter_mut().zip(first.iter_mut().zip(second)).zip(gradient) {
        *first = beta_1 * *first + (1.0 - beta_1) * gradient;
        *second = beta_2 * *second + (1.0 - beta_2) * gradient * gradient;
        *weight -= learning_rate * (*first * unbias_1) / ((*second * unbias_2).sqrt() + epsilon);
    }
}
