//! Batch norm, an optional residual and the activation, in one pass over the memory each way.
//!
//! Ioffe and Szegedy, "Batch Normalization", 2015, algorithm 1: `y = act(gamma * (x - mean) / sqrt(var + eps) + beta + r)`
//! with mean and (biased) variance a channel over batch and cells. A unit is a channel: its planes are read once from
//! memory, and a second and third time from the cache.

use pulp::{Arch, Simd};

use super::output::{Parts, Row};

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

    /// An output of these sizes, in parts of a channel: its rows are the images, and a part's row is the channel's plane.
    fn by_channel(&self) -> Parts {
        Parts::every(1, self.batch, self.channels * self.cells, self.cells)
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
    let ([output], statistics) = planes.by_channel().filled_each(|_, channel, output| {
        let (mean, variance) = channel_statistics(planes, channel, input);
        let scale = gamma[channel] / (variance + epsilon).sqrt();
        let shift = beta[channel] - mean * scale;
        scale_channel(planes, channel, input, [scale, shift], residual, activation, output);
        (mean, variance)
    });
    let (mean, variance) = statistics.into_iter().unzip();
    (output, Statistics { mean, variance })
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
    planes.by_channel().filled(|_, channel, output| {
        let factors = [scale[channel], shift[channel]];
        scale_channel(planes, channel, input, factors, residual, activation, output);
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
fn scale_channel_with_simd<'a, 'o, S: Simd>(
    _simd: S,
    planes: Planes,
    channel: usize,
    input: &'a [f32],
    [scale, shift]: [f32; 2],
    residual: Option<&'a [f32]>,
    activation: Activation,
    output: &'a mut [Row<'o>],
) {
    let (low, high) = activation.bounds();
    for (image, to) in output.iter_mut().enumerate() {
        let from = planes.plane(input, image, channel);
        match residual.map(|residual| planes.plane(residual, image, channel)) {
            None => to.extend(from.iter().map(|x| cut(x * scale + shift, low, high))),
            Some(residual) => {
                to.extend(from.iter().zip(residual).map(|(x, r)| cut(x * scale + shift + r, low, high)));
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
    let of_channel = |_: usize, channel: usize, outputs: &mut [Row]| {
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
        channel_gradients(unit, gamma[channel], outputs)
    };
    let parts = planes.by_channel();
    let (input, residual, affine) = if residual_output.is_some() {
        let ([input, residual], affine) = parts.filled_each(of_channel);
        (input, Some(residual), affine)
    } else {
        let ([input], affine) = parts.filled_each(of_channel);
        (input, None, affine)
    };
    let (gamma, beta) = affine.into_iter().unzip();
    Gradients { input, residual, gamma, beta }
}

#[pulp::with_simd(channel_gradients = Arch::new())]
#[inline(always)]
fn channel_gradients_with_simd<'a, 'o, S: Simd>(
    _simd: S,
    unit: Channel<'a>,
    gamma: f32,
    outputs: &'a mut [Row<'o>],
) -> (f32, f32) {
    unit.backward(gamma, outputs)
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
    /// Fills the rows of the first output with the gradient for the input and those of the second, where there is one, with
    /// that for the residual. Returns the gradients for gamma and beta.
    #[inline(always)]
    fn backward(&self, gamma: f32, outputs: &mut [Row]) -> (f32, f32) {
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
        let (to_input, to_residual) = outputs.split_at_mut(planes.batch);
        for (image, to_input) in to_input.iter_mut().enumerate() {
            let [x, y, dy] = tensors(image);
            let passed = |(y, dy): (&f32, &f32)| if passes(*y) { *dy } else { 0.0 };
            to_input.extend(
                x.iter().zip(y.iter().zip(dy)).map(|(x, gradient)| passed(gradient) * scale + (x * of_x + offset)),
            );
            if let Some(to) = to_residual.get_mut(image) {
                to.extend(y.iter().zip(dy).map(passed));
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
