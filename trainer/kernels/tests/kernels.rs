//! Our kernels against Burn's own operations and against finite differences: outputs and all gradients, for every
//! combination that the networks use and for odd sizes.

#![allow(clippy::unwrap_used)]

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};
use clothseg_kernels::{
    Activation, ConvOptions, PixelWeights, SegmentationLabels, conv2d, join_nearest, max_pool2d, norm_act,
    norm_act_frozen, profile, resize_bilinear, segmentation_sums, start_profile, use_burn_operations,
};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Who computes is set for the whole process, so tests that set it take turns.
static TURN: Mutex<()> = Mutex::new(());

fn turn(burn: bool) -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    use_burn_operations(burn);
    turn
}

type Shape = [usize; 4];
type Function<'a> = &'a dyn Fn(&[Tensor<4>]) -> Tensor<4>;

fn random(shape: Shape, seed: u64) -> (Vec<f32>, Shape) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    ((0..shape.iter().product()).map(|_| random.random_range(-1.0..1.0)).collect(), shape)
}

fn inputs(shapes: &[Shape]) -> Vec<(Vec<f32>, Shape)> {
    shapes.iter().zip(1..).map(|(shape, seed)| random(*shape, seed)).collect()
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// The output, and the gradient of each input of the sum of the output times fixed random numbers.
fn differentiate(function: Function, inputs: &[(Vec<f32>, Shape)]) -> (Vec<f32>, Vec<Vec<f32>>) {
    let device = Device::default().autodiff();
    let leaves: Vec<Tensor<4>> = inputs
        .iter()
        .map(|(values, shape)| Tensor::from_data(TensorData::new(values.clone(), *shape), &device).require_grad())
        .collect();
    let output = function(&leaves);
    let (factors, shape) = random(output.dims(), 99);
    let sum = output.clone().mul(Tensor::from_data(TensorData::new(factors, shape), &device)).sum();
    let gradients = sum.backward();
    (numbers(output), leaves.iter().map(|leaf| numbers(leaf.grad(&gradients).unwrap())).collect())
}

fn assert_close(what: &str, ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = theirs.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
    for (index, (one, other)) in ours.iter().zip(theirs).enumerate() {
        assert!((one - other).abs() <= tolerance * largest, "{what}, value {index}: {one}, expected {other}");
    }
}

/// Output and gradients are Burn's.
fn assert_as_burn(what: &str, function: Function, inputs: &[(Vec<f32>, Shape)]) {
    let (output, gradients) = {
        let _turn = turn(false);
        differentiate(function, inputs)
    };
    let (expected, expected_gradients) = {
        let _turn = turn(true);
        differentiate(function, inputs)
    };
    assert_close(&format!("{what}: output"), &output, &expected, 2e-5);
    for (index, (ours, theirs)) in gradients.iter().zip(&expected_gradients).enumerate() {
        assert_close(&format!("{what}: gradient {index}"), ours, theirs, 5e-5);
    }
}

/// Gradients are the slopes between neighbouring values.
fn assert_as_slopes(what: &str, function: Function, inputs: &[(Vec<f32>, Shape)]) {
    let _turn = turn(false);
    let (_, gradients) = differentiate(function, inputs);
    let value = |inputs: &[(Vec<f32>, Shape)]| -> f64 {
        let device = Device::default();
        let leaves: Vec<Tensor<4>> = inputs
            .iter()
            .map(|(values, shape)| Tensor::from_data(TensorData::new(values.clone(), *shape), &device))
            .collect();
        let output = function(&leaves);
        let (factors, _) = random(output.dims(), 99);
        numbers(output).iter().zip(factors).map(|(value, factor)| f64::from(value * factor)).sum()
    };
    for (index, gradient) in gradients.iter().enumerate() {
        for at in (0..gradient.len()).step_by(1 + gradient.len() / 40) {
            let moved = |step: f32| {
                let mut inputs = inputs.to_vec();
                inputs[index].0[at] += step;
                value(&inputs)
            };
            let slope = (moved(0.01) - moved(-0.01)) / 0.02;
            let gradient = f64::from(gradient[at]);
            assert!((gradient - slope).abs() < 5e-3 * slope.abs().max(1.0), "{what} {index} {at}: {gradient} {slope}");
        }
    }
}

/// Side of the kernel and how it moves: all that the networks use.
const CONVOLUTIONS: [(usize, ConvOptions); 16] = [
    centred(1, 1, 1, false),
    centred(1, 2, 1, false),
    centred(2, 1, 1, false),
    centred(3, 1, 1, false),
    centred(3, 2, 1, false),
    centred(3, 1, 2, false),
    centred(3, 1, 6, false),
    centred(3, 1, 18, false),
    centred(7, 2, 1, false),
    centred(3, 1, 1, true),
    centred(3, 2, 1, true),
    centred(5, 1, 1, true),
    centred(5, 2, 1, true),
    trailing(3, false),
    trailing(3, true),
    trailing(5, true),
];

/// With the padding that keeps the size at step 1; an odd rest lies below and right.
const fn centred(kernel: usize, stride: usize, dilation: usize, depthwise: bool) -> (usize, ConvOptions) {
    let total = dilation * (kernel - 1);
    (kernel, ConvOptions { stride, padding: (total / 2, total - total / 2), dilation, depthwise })
}

/// Step 2 with TensorFlow's "same" padding of even sizes.
const fn trailing(kernel: usize, depthwise: bool) -> (usize, ConvOptions) {
    (kernel, ConvOptions { stride: 2, padding: (kernel / 2 - 1, kernel / 2), dilation: 1, depthwise })
}

fn convolution(options: ConvOptions, bias: bool) -> impl Fn(&[Tensor<4>]) -> Tensor<4> {
    move |inputs| {
        let bias = bias.then(|| inputs[2].clone().reshape([inputs[2].dims()[1]]));
        conv2d(inputs[0].clone(), inputs[1].clone(), bias, options)
    }
}

#[test]
fn convolutions_agree_with_burn() {
    // The last two are large enough for Winograd's way, forward alone and with the gradient of the weights.
    let sizes = [
        (2, 5, 9, 16, 24),
        (1, 16, 8, 7, 33),
        (3, 3, 17, 1, 1),
        (8, 40, 24, 4, 4),
        (2, 24, 33, 17, 30),
        (6, 27, 24, 33, 20),
    ];
    for (kernel, options) in CONVOLUTIONS {
        let depthwise = options.depthwise;
        let extent = options.dilation * (kernel - 1) + 1;
        for (batch, from, to, height, width) in sizes {
            if height.min(width) + options.padding.0 + options.padding.1 < extent {
                continue;
            }
            let (to, of_kernel) = if depthwise { (from, 1) } else { (to, from) };
            let shapes = [[batch, from, height, width], [to, of_kernel, kernel, kernel], [1, to, 1, 1]];
            let what = format!("{options:?} {shapes:?}");
            if depthwise {
                assert_as_burn(&what, &convolution(options, false), &inputs(&shapes[..2]));
            } else {
                assert_as_burn(&what, &convolution(options, true), &inputs(&shapes));
            }
        }
    }
}

#[test]
fn our_kernels_run_on_the_cpu() {
    let run = |burn| {
        let _turn = turn(burn);
        start_profile();
        differentiate(&convolution(CONVOLUTIONS[3].1, false), &inputs(&[[1, 2, 5, 5], [3, 2, 3, 3]]));
        profile().len()
    };
    assert_eq!(run(true), 0);
    assert!(run(false) > 0);
}

#[test]
fn convolutions_agree_with_finite_differences() {
    for (kernel, options) in CONVOLUTIONS {
        let (to, of_kernel) = if options.depthwise { (3, 1) } else { (4, 3) };
        let shapes = [[2, 3, 7, 9], [to, of_kernel, kernel, kernel]];
        assert_as_slopes(&format!("{options:?}"), &convolution(options, false), &inputs(&shapes));
    }
}

fn norm(activation: Activation, residual: bool) -> impl Fn(&[Tensor<4>]) -> Tensor<4> {
    move |inputs| {
        let channels = inputs[1].dims()[1];
        let affine = [1, 2].map(|index: usize| inputs[index].clone().reshape([channels]));
        norm_act(inputs[0].clone(), affine, 1e-5, residual.then(|| inputs[3].clone()), activation).0
    }
}

const ACTIVATIONS: [Activation; 3] = [Activation::Identity, Activation::Relu, Activation::Relu6];

#[test]
fn norms_agree_with_burn_and_finite_differences() {
    for activation in ACTIVATIONS {
        for (batch, channels, height, width) in [(2, 3, 5, 7), (4, 16, 16, 16), (1, 1, 1, 2), (3, 20, 1, 1)] {
            let shape = [batch, channels, height, width];
            let mut inputs = inputs(&[shape, [1, channels, 1, 1], [1, channels, 1, 1], shape]);
            // Values far from 0, where a one-pass variance loses its digits, and outputs that reach ReLU6's bound.
            inputs[0].0.iter_mut().for_each(|value| *value = 30.0 + 2.0 * *value);
            inputs[1].0.iter_mut().for_each(|value| *value *= 6.0);
            let what = format!("norm {activation:?} {shape:?}");
            assert_as_burn(&what, &norm(activation, false), &inputs[..3]);
            assert_as_burn(&what, &norm(activation, true), &inputs);
        }
    }
    let shape = [2, 2, 3, 4];
    let inputs = inputs(&[shape, [1, 2, 1, 1], [1, 2, 1, 1], shape]);
    assert_as_slopes("norm", &norm(Activation::Identity, true), &inputs);
}

#[test]
fn a_norm_of_given_statistics_agrees_with_burn() {
    let device = Device::default();
    let tensor = |(values, shape): (Vec<f32>, Shape)| Tensor::<4>::from_data(TensorData::new(values, shape), &device);
    let constants = |seed| tensor(random([1, 5, 1, 1], seed)).reshape([5]);
    let [gamma, beta, mean, variance] = [1, 2, 3, 4].map(constants);
    let variance = variance.abs().add_scalar(0.1);
    for residual in [None, Some(tensor(random([2, 5, 3, 7], 6)))] {
        let run = |burn| {
            let _turn = turn(burn);
            let (affine, running) = ([gamma.clone(), beta.clone()], [mean.clone(), variance.clone()]);
            let input = tensor(random([2, 5, 3, 7], 5));
            numbers(norm_act_frozen(input, affine, running, 1e-5, residual.clone(), Activation::Relu6))
        };
        assert_close("frozen norm", &run(false), &run(true), 1e-5);
    }
}

#[test]
fn resizes_agree_with_burn_and_finite_differences() {
    for (from, to) in [([4, 6], [16, 24]), ([5, 3], [10, 6]), ([7, 9], [11, 4]), ([1, 1], [3, 2])] {
        let resize = move |inputs: &[Tensor<4>]| resize_bilinear(inputs[0].clone(), to);
        let inputs = inputs(&[[2, 3, from[0], from[1]]]);
        assert_as_burn(&format!("bilinear {from:?} {to:?}"), &resize, &inputs);
        assert_as_slopes(&format!("bilinear {from:?} {to:?}"), &resize, &inputs);
    }
    let join = |inputs: &[Tensor<4>]| join_nearest(inputs[0].clone(), inputs.get(1).cloned());
    for (height, width) in [(4, 8), (3, 5), (1, 1)] {
        let inputs = inputs(&[[2, 3, height, width], [2, 4, 2 * height, 2 * width]]);
        assert_as_burn(&format!("join {height} {width}"), &join, &inputs);
        assert_as_burn(&format!("enlarge {height} {width}"), &join, &inputs[..1]);
    }
}

#[test]
fn bilinear_by_matrices_is_burns_interpolation() {
    use burn::tensor::module::interpolate;
    use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
    let (values, shape) = random([1, 2, 5, 4], 1);
    let input = Tensor::<4>::from_data(TensorData::new(values, shape), &Device::default());
    let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_align_corners(false);
    let expected = numbers(interpolate(input.clone(), options.with_output_size([13, 8])));
    let _turn = turn(true);
    assert_close("bilinear", &numbers(resize_bilinear(input, [13, 8])), &expected, 1e-6);
}

#[test]
fn pools_agree_with_burn() {
    for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1)] {
        for (height, width) in [(8, 8), (7, 9), (16, 6)] {
            let pool = move |inputs: &[Tensor<4>]| max_pool2d(inputs[0].clone(), kernel, stride, padding);
            assert_as_burn(&format!("pool {kernel} {height}"), &pool, &inputs(&[[2, 3, height, width]]));
        }
    }
}

fn sums(labels: SegmentationLabels, weights: PixelWeights, gamma: Option<f32>) -> impl Fn(&[Tensor<4>]) -> Tensor<4> {
    move |inputs| {
        let sums = segmentation_sums(inputs[0].clone(), &labels, &weights, gamma);
        let [images, columns] = sums.dims();
        sums.reshape([images, columns, 1, 1])
    }
}

/// Some pixels are ignored and, of three classes or more, some are of one of two sets of classes.
fn labels(shape: [usize; 3], classes: usize) -> SegmentationLabels {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let sets: Vec<Vec<u8>> = if classes < 3 { Vec::new() } else { vec![vec![0, 2], vec![1, classes as u8 - 1]] };
    let known = classes + sets.len();
    let label = |_| if random.random::<f64>() < 0.1 { 255 } else { random.random_range(0..known) as u8 };
    SegmentationLabels { indices: (0..shape.iter().product()).map(label).collect(), sets: sets.into(), shape }
}

#[test]
fn the_sums_of_losses_agree_with_burn_and_finite_differences() {
    for gamma in [None, Some(0.0), Some(2.0), Some(5.0)] {
        for (images, classes, height, width) in [(2, 3, 4, 5), (1, 17, 30, 33), (3, 1, 2, 2), (2, 47, 16, 16)] {
            let weight = |index: usize| 0.5 + (index * 5 % 7) as f32 / 7.0;
            let weights = PixelWeights {
                entropy: (0..images * classes).map(weight).collect(),
                focal: (1..=images * classes).map(weight).collect(),
            };
            let function = sums(labels([images, height, width], classes), weights, gamma);
            let what = format!("sums {gamma:?} {classes}");
            let inputs = inputs(&[[images, classes, height, width]]);
            assert_as_burn(&what, &function, &inputs);
            if classes == 3 {
                assert_as_slopes(&what, &function, &inputs);
            }
        }
    }
}

#[test]
fn cross_entropys_gradient_is_p_minus_y() {
    let _turn = turn(false);
    let device = Device::default().autodiff();
    let (values, shape) = random([1, 3, 2, 2], 1);
    let logits = Tensor::<4>::from_data(TensorData::new(values.clone(), shape), &device).require_grad();
    let labels = SegmentationLabels { indices: [2, 0, 1, 255].into(), sets: [].into(), shape: [1, 2, 2] };
    let entropy = segmentation_sums(logits.clone(), &labels, &PixelWeights::ones(1, 3), None).narrow(1, 0, 1).sum();
    let gradient = numbers(logits.grad(&entropy.backward()).unwrap());
    for (pixel, label) in [2, 0, 1].into_iter().enumerate() {
        let exponentials: Vec<f64> = (0..3).map(|class| f64::from(values[4 * class + pixel]).exp()).collect();
        for class in 0..3 {
            let expected = exponentials[class] / exponentials.iter().sum::<f64>() - f64::from(u8::from(class == label));
            assert!((f64::from(gradient[4 * class + pixel]) - expected).abs() < 1e-6);
        }
    }
    assert!((0..3).all(|class| gradient[4 * class + 3] == 0.0));
}

#[test]
fn what_is_no_number_is_not_hidden() {
    let _turn = turn(false);
    let device = Device::default();
    let spoilt = |shape: Shape| {
        let (mut values, _) = random(shape, 1);
        values[5] = f32::NAN;
        Tensor::<4>::from_data(TensorData::new(values, shape), &device)
    };
    let has_nan = |values: Vec<f32>| values.iter().any(|value| value.is_nan());
    for activation in ACTIVATIONS {
        let affine = || [Tensor::<1>::ones([2], &device), Tensor::<1>::zeros([2], &device)];
        assert!(has_nan(numbers(norm_act(spoilt([1, 2, 4, 4]), affine(), 1e-5, None, activation).0)));
    }
    assert!(has_nan(numbers(max_pool2d(spoilt([1, 2, 4, 4]), 2, 2, 0))));
    // Value 5 is of class 0 at pixel 5, whose true class is 1.
    let labels = SegmentationLabels { indices: [1; 16].into(), sets: [].into(), shape: [1, 4, 4] };
    let sums = numbers(segmentation_sums(spoilt([1, 2, 4, 4]), &labels, &PixelWeights::ones(1, 2), None));
    assert!(sums[0].is_nan(), "{sums:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn convolutions_of_any_size_agree_with_burn(
        index in 0..CONVOLUTIONS.len(), batch in 1usize..5, from in 1usize..36, to in 1usize..36,
        height in 1usize..36, width in 1usize..40,
    ) {
        let (kernel, options) = CONVOLUTIONS[index];
        prop_assume!(height.min(width) + options.padding.0 + options.padding.1 > options.dilation * (kernel - 1));
        let (to, of_kernel) = if options.depthwise { (from, 1) } else { (to, from) };
        let shapes = [[batch, from, height, width], [to, of_kernel, kernel, kernel]];
        assert_as_burn(&format!("{options:?} {shapes:?}"), &convolution(options, false), &inputs(&shapes));
    }

    #[test]
    fn a_step_repeats_to_the_bit(from in 1usize..20, to in 1usize..20, side in 1usize..40) {
        let _turn = turn(false);
        let inputs = inputs(&[[3, from, side, side], [to, from, 3, 3]]);
        let function = convolution(centred(3, 1, 1, false).1, false);
        prop_assert_eq!(differentiate(&function, &inputs), differentiate(&function, &inputs));
    }
}
