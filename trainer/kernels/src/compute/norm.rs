//! Batch norm, an optional residual and the activation, in one pass over the memory each way.
//!
//! Ioffe and Szegedy, "Batch Normalization", 2015, algorithm 1: `y = act(gamma * (x - mean) / sqrt(var + eps) + beta + r)`
//! with mean and (biased) variance a channel over batch and cells. A unit is a channel: its planes are read once from
//! memory, and a second and third time from the cache.

use pulp::{Arch, Simd};
use rayon::prelude::*;

use super::memory::{SharedOutput, filled_by};

/// What follows the norm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// Nothing.
    #[default]
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
}

impl Activation {
    /// Bounds of the output: values outside are cut off, and their gradient is 0.
    fn bounds(self) -> (f32, f32) {
        match self {
            Activation::Identity => (f32::NEG_INFINITY, f32::INFINITY),
            Activation::Relu => (0.0, f32::INFINITY),
            Activation::Relu6 => (0.0, 6.0),
        }
    }
}

/// What a norm is besides its tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormKind {
    /// Added to variances before the root.
    pub epsilon: f32,
    /// What follows.
    pub activation: Activation,
}

/// Sizes of a batch: `(images, channels, cells)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planes {
    /// Images.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Cells of a plane.
    pub cells: usize,
}

impl Planes {
    fn start(&self, image: usize, channel: usize) -> usize {
        (image * self.channels + channel) * self.cells
    }

    fn plane<'a>(&self, values: &'a [f32], image: usize, channel: usize) -> &'a [f32] {
        &values[self.start(image, channel)..][..self.cells]
    }

    fn length(&self) -> usize {
        self.batch * self.channels * self.cells
    }
}

/// Mean and biased variance of each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Means.
    pub mean: Vec<f32>,
    /// Variances.
    pub variance: Vec<f32>,
}

/// The output, and the batch's statistics.
pub fn forward(
    planes: Planes,
    input: &[f32],
    [gamma, beta]: [&[f32]; 2],
    residual: Option<&[f32]>,
    NormKind { epsilon, activation }: NormKind,
) -> (Vec<f32>, Statistics) {
    assert_eq!((input.len(), gamma.len(), beta.len()), (planes.length(), planes.channels, planes.channels));
    assert!(residual.is_none_or(|residual| residual.len() == input.len()));
    let mut statistics = Statistics { mean: vec![0.0; planes.channels], variance: vec![0.0; planes.channels] };
    let output = filled_by(planes.length(), |output| {
        let channels = statistics.mean.par_iter_mut().zip(&mut statistics.variance).enumerate();
        channels.for_each(|(channel, (mean, variance))| {
            (*mean, *variance) = channel_statistics(planes, channel, input);
            let scale = gamma[channel] / (*variance + epsilon).sqrt();
            let shift = beta[channel] - *mean * scale;
            scale_channel(planes, channel, input, [scale, shift], residual, activation, output);
        });
    });
    (output, statistics)
}

/// `act(x * scale + shift + r)` with one scale and shift a channel.
pub fn scale_act(
    planes: Planes,
    input: &[f32],
    [scale, shift]: [&[f32]; 2],
    residual: Option<&[f32]>,
    activation: Activation,
) -> Vec<f32> {
    assert_eq!((input.len(), scale.len(), shift.len()), (planes.length(), planes.channels, planes.channels));
    assert!(residual.is_none_or(|residual| residual.len() == input.len()));
    filled_by(planes.length(), |output| {
        (0..planes.channels).into_par_iter().for_each(|channel| {
            let factors = [scale[channel], shift[channel]];
            scale_channel(planes, channel, input, factors, residual, activation, output);
        });
    })
}

/// Mean and variance of a channel.
#[allow(clippy::needless_lifetimes)] // the macro wants them
#[pulp::with_simd(channel_statistics = Arch::new())]
#[inline(always)]
fn channel_statistics_with_simd<'a, S: Simd>(_simd: S, planes: Planes, channel: usize, input: &'a [f32]) -> (f32, f32) {
    let count = (planes.batch * planes.cells).max(1) as f64;
    let mut sums = LaneSums::default();
    for image in 0..planes.batch {
        sums.add(planes.plane(input, image, channel), |value| value);
    }
    let mean = sums.total() / count;
    // The distances from the mean, in a second pass, so that no digits are lost where the mean is large.
    let center = mean as f32;
    let mut squares = LaneSums::default();
    for image in 0..planes.batch {
        squares.add(planes.plane(input, image, channel), |value| (value - center) * (value - center));
    }
    (center, (squares.total() / count) as f32)
}

/// Within the bounds. What is no number stays none, where `max` and `min` would hide it: a training that went wrong must
/// be seen in its loss.
#[inline(always)]
fn cut(value: f32, low: f32, high: f32) -> f32 {
    let value = if value < low { low } else { value };
    if value > high { high } else { value }
}

#[allow(clippy::too_many_arguments)] // the first is the macro's
#[pulp::with_simd(scale_channel = Arch::new())]
#[inline(always)]
fn scale_channel_with_simd<'a, S: Simd>(
    _simd: S,
    planes: Planes,
    channel: usize,
    input: &'a [f32],
    [scale, shift]: [f32; 2],
    residual: Option<&'a [f32]>,
    activation: Activation,
    output: &'a SharedOutput<'a>,
) {
    let (low, high) = activation.bounds();
    for image in 0..planes.batch {
        // SAFETY: each unit has the planes of one channel.
        let to = unsafe { output.part(planes.start(image, channel), planes.cells) };
        let from = planes.plane(input, image, channel);
        match residual.map(|residual| planes.plane(residual, image, channel)) {
            None => to.iter_mut().zip(from).for_each(|(to, x)| *to = cut(x * scale + shift, low, high)),
            Some(residual) => {
                let from = from.iter().zip(residual);
                to.iter_mut().zip(from).for_each(|(to, (x, r))| *to = cut(x * scale + shift + r, low, high));
            }
        }
    }
}

/// Gradients of [`forward`]'s inputs.
#[derive(Debug)]
pub struct Gradients {
    /// For the input.
    pub input: Vec<f32>,
    /// For the residual, where there was one.
    pub residual: Option<Vec<f32>>,
    /// For gamma.
    pub gamma: Vec<f32>,
    /// For beta.
    pub beta: Vec<f32>,
}

/// The gradients, from that for the output. `residual_output` is what [`forward`] returned where it was given a residual: it
/// says where the activation cut off, which else follows from the input.
pub fn backward(
    planes: Planes,
    input: &[f32],
    residual_output: Option<&[f32]>,
    gradient: &[f32],
    [gamma, beta]: [&[f32]; 2],
    statistics: &Statistics,
    NormKind { epsilon, activation }: NormKind,
) -> Gradients {
    let output = residual_output.unwrap_or(input);
    assert_eq!([input.len(), output.len(), gradient.len()], [planes.length(); 3]);
    let mut gammas = vec![0.0; planes.channels];
    let mut betas = vec![0.0; planes.channels];
    let mut residual = Vec::new();
    let mut fill = |to_input: &SharedOutput, to_residual: Option<&SharedOutput>| {
        gammas.par_iter_mut().zip(&mut betas).enumerate().for_each(|(channel, (to_gamma, to_beta))| {
            let mean = statistics.mean[channel];
            let root = (statistics.variance[channel] + epsilon).sqrt();
            let scale = gamma[channel] / root;
            let unit = Channel {
                planes,
                channel,
                tensors: [input, output, gradient],
                mean,
                deviation: 1.0 / root,
                to_output: if residual_output.is_some() { (1.0, 0.0) } else { (scale, beta[channel] - mean * scale) },
                bounds: activation.bounds(),
            };
            (*to_gamma, *to_beta) = channel_gradients(unit, gamma[channel], to_input, to_residual);
        });
    };
    let input = filled_by(planes.length(), |to_input| {
        if residual_output.is_some() {
            residual = filled_by(planes.length(), |to_residual| fill(to_input, Some(to_residual)));
        } else {
            fill(to_input, None);
        }
    });
    Gradients { input, residual: residual_output.map(|_| residual), gamma: gammas, beta: betas }
}

#[pulp::with_simd(channel_gradients = Arch::new())]
#[inline(always)]
fn channel_gradients_with_simd<'a, S: Simd>(
    _simd: S,
    unit: Channel<'a>,
    gamma: f32,
    to_input: &'a SharedOutput<'a>,
    to_residual: Option<&'a SharedOutput<'a>>,
) -> (f32, f32) {
    unit.backward(gamma, to_input, to_residual)
}

/// One channel's part of [`backward`].
struct Channel<'a> {
    planes: Planes,
    channel: usize,
    /// Input, what the output follows from, and the output's gradient.
    tensors: [&'a [f32]; 3],
    /// Scale and shift of the second to the output before it was cut off (or after: that is the same here).
    to_output: (f32, f32),
    mean: f32,
    /// One over the standard deviation.
    deviation: f32,
    bounds: (f32, f32),
}

impl Channel<'_> {
    /// Returns the gradients for gamma and beta.
    #[inline(always)]
    fn backward(&self, gamma: f32, to_input: &SharedOutput, to_residual: Option<&SharedOutput>) -> (f32, f32) {
        let Self { planes, channel, mean, deviation, bounds: (low, high), to_output: (factor, constant), .. } = *self;
        let passes = |y: f32| {
            let y = y * factor + constant;
            y > low && y < high
        };
        let tensors = |image| self.tensors.map(|values| planes.plane(values, image, channel));
        let (mut sum, mut product) = (LaneSums::default(), LaneSums::default());
        for image in 0..planes.batch {
            let [x, y, dy] = tensors(image);
            let (mut sums, mut products) = ([0.0_f32; LANES], [0.0_f32; LANES]);
            let ((x, x_rest), (y, y_rest), (dy, dy_rest)) =
                (x.as_chunks::<LANES>(), y.as_chunks::<LANES>(), dy.as_chunks::<LANES>());
            for ((x, y), dy) in x.iter().zip(y).zip(dy) {
                for lane in 0..LANES {
                    let g = if passes(y[lane]) { dy[lane] } else { 0.0 };
                    sums[lane] += g;
                    products[lane] += g * (x[lane] - mean);
                }
            }
            for (lane, ((x, y), dy)) in x_rest.iter().zip(y_rest).zip(dy_rest).enumerate() {
                let g = if passes(*y) { *dy } else { 0.0 };
                sums[lane] += g;
                products[lane] += g * (x - mean);
            }
            sum.flush(&sums);
            product.flush(&products);
        }
        let (sum, product) = (sum.total(), product.total());
        let count = (planes.batch * planes.cells).max(1) as f64;
        let to_gamma = (product * f64::from(deviation)) as f32;
        // dx = gamma * deviation * (g - mean(g) - xhat * mean(g * xhat)), as g * scale + x * of_x + offset.
        let scale = gamma * deviation;
        let of_x = -scale * deviation * deviation * (product / count) as f32;
        let offset = -scale * (sum / count) as f32 - of_x * mean;
        for image in 0..planes.batch {
            let [x, y, dy] = tensors(image);
            let start = planes.start(image, channel);
            // SAFETY: each unit has the planes of one channel.
            let to = unsafe { to_input.part(start, planes.cells) };
            for (((to, x), y), dy) in to.iter_mut().zip(x).zip(y).zip(dy) {
                let g = if passes(*y) { *dy } else { 0.0 };
                *to = g * scale + (x * of_x + offset);
            }
            if let Some(to_residual) = to_residual {
                // SAFETY: as above.
                let to = unsafe { to_residual.part(start, planes.cells) };
                for ((to, y), dy) in to.iter_mut().zip(y).zip(dy) {
                    *to = if passes(*y) { *dy } else { 0.0 };
                }
            }
        }
        (to_gamma, sum as f32)
    }
}

/// Sums side by side.
const LANES: usize = 64;

/// A sum in single precision within a plane, in double precision over the planes.
struct LaneSums([f64; LANES]);

impl Default for LaneSums {
    fn default() -> Self {
        Self([0.0; LANES])
    }
}

impl LaneSums {
    /// Adds `term` of each value.
    #[inline(always)]
    fn add(&mut self, values: &[f32], term: impl Fn(f32) -> f32) {
        let mut sums = [0.0_f32; LANES];
        let (blocks, rest) = values.as_chunks::<LANES>();
        for block in blocks {
            for (sum, value) in sums.iter_mut().zip(block) {
                *sum += term(*value);
            }
        }
        for (sum, value) in sums.iter_mut().zip(rest) {
            *sum += term(*value);
        }
        self.flush(&sums);
    }

    #[inline(always)]
    fn flush(&mut self, sums: &[f32; LANES]) {
        for (total, sum) in self.0.iter_mut().zip(sums) {
            *total += f64::from(*sum);
        }
    }

    fn total(&self) -> f64 {
        self.0.iter().sum()
    }
}
