//! Batch norm with what follows it.

use std::sync::{Arc, OnceLock};

use burn::tensor::activation::relu;
use burn::tensor::module::{batch_norm, batch_norm_train};
use burn::tensor::{Tensor, TensorData};

use super::compute::norm::{self as compute, Activation, NormKind, Planes, Statistics};
use super::operation::{Operation, Place, apply, place};

/// What a batch norm saw of each channel of a batch, `(C)` each, outside of the graph.
#[derive(Clone, Debug)]
pub struct BatchStatistics {
    /// Mean.
    pub mean: Tensor<1>,
    /// Biased variance.
    pub variance: Tensor<1>,
}

/// Normalises `(N, C, H, W)` by the batch's own statistics, scales by `gamma`, shifts by `beta` (`(C)` each), adds
/// `residual` (of the input's shape), and applies `activation`.
pub fn norm_act(
    input: Tensor<4>,
    [gamma, beta]: [Tensor<1>; 2],
    epsilon: f64,
    residual: Option<Tensor<4>>,
    activation: Activation,
) -> (Tensor<4>, BatchStatistics) {
    let device = input.device();
    let dims @ [batch, channels, height, width] = input.dims();
    if place(&input) != Place::Kernels {
        let result = batch_norm_train(input, gamma, beta, epsilon);
        let output = activate(add(result.output, residual), activation);
        return (output, BatchStatistics { mean: result.mean.detach(), variance: result.variance.detach() });
    }
    let planes = Planes { batch, channels, cells: height * width };
    let seen = Arc::new(OnceLock::new());
    let with_residual = residual.is_some();
    let kind = NormKind { epsilon: epsilon as f32, activation };
    let operation = NormAct { dims, planes, kind, with_residual, seen: seen.clone() };
    let mut inputs = vec![input.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch()];
    inputs.extend(residual.map(Tensor::into_dispatch));
    let output = apply(inputs, operation);
    let Statistics { mean, variance } = seen.get().cloned().unwrap_or_else(|| unreachable!("the kernel has run"));
    let tensor = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, [channels]), &device);
    (output, BatchStatistics { mean: tensor(mean), variance: tensor(variance) })
}

/// As [`norm_act`], with given statistics: what a trained network does. `statistics` are mean and variance.
pub fn norm_act_frozen(
    input: Tensor<4>,
    [gamma, beta]: [Tensor<1>; 2],
    [mean, variance]: [Tensor<1>; 2],
    epsilon: f64,
    residual: Option<Tensor<4>>,
    activation: Activation,
) -> Tensor<4> {
    if place(&input) == Place::Kernels && !input.device().is_autodiff() {
        let dims @ [batch, channels, height, width] = input.dims();
        let deviation = variance.add_scalar(epsilon).sqrt();
        let scale = gamma.div(deviation);
        let shift = beta.sub(mean.mul(scale.clone()));
        let planes = Planes { batch, channels, cells: height * width };
        let mut inputs = vec![input.into_dispatch(), scale.into_dispatch(), shift.into_dispatch()];
        inputs.extend(residual.map(Tensor::into_dispatch));
        return apply(inputs, ScaleAct { dims, planes, activation });
    }
    activate(add(batch_norm(input, gamma, beta, mean, variance, epsilon), residual), activation)
}

fn add(input: Tensor<4>, residual: Option<Tensor<4>>) -> Tensor<4> {
    match residual {
        Some(residual) => input.add(residual),
        None => input,
    }
}

fn activate(input: Tensor<4>, activation: Activation) -> Tensor<4> {
    match activation {
        Activation::Identity => input,
        Activation::Relu => relu(input),
        // What writes ONNX knows no clamp.
        Activation::Relu6 if place(&input) == Place::Capture => relu(input.clone()).sub(relu(input.sub_scalar(6.0))),
        Activation::Relu6 => input.clamp(0.0, 6.0),
    }
}

#[derive(Debug)]
struct NormAct {
    dims: [usize; 4],
    planes: Planes,
    kind: NormKind,
    with_residual: bool,
    /// Filled by the forward pass.
    seen: Arc<OnceLock<Statistics>>,
}

impl Operation for NormAct {
    fn name(&self) -> String {
        format!("norm {} channels of {} x {}", self.dims[1], self.dims[2], self.dims[3])
    }

    fn output_shape(&self) -> Vec<usize> {
        self.dims.to_vec()
    }

    fn forward(&self, inputs: &[&[f32]]) -> Vec<f32> {
        let [input, gamma, beta, residual @ ..] = inputs else { unreachable!("a norm has input, gamma and beta") };
        let residual = residual.first().copied();
        let (output, seen) = compute::forward(self.planes, input, [gamma, beta], residual, self.kind);
        self.seen.get_or_init(|| seen);
        output
    }

    fn backward(&self, inputs: &[&[f32]], output: &[f32], gradient: &[f32], wanted: &[bool]) -> Vec<Option<Vec<f32>>> {
        let (Some(seen), [input, gamma, beta, ..]) = (self.seen.get(), inputs) else {
            unreachable!("the forward pass came first")
        };
        let output = (wanted.len() > 3).then_some(output);
        let affine = [*gamma, *beta];
        let gradients = compute::backward(self.planes, input, output, gradient, affine, seen, self.kind);
        vec![Some(gradients.input), Some(gradients.gamma), Some(gradients.beta), gradients.residual]
    }

    fn keeps_input(&self, index: usize) -> bool {
        index < 3
    }

    fn keeps_output(&self) -> bool {
        self.with_residual
    }
}

/// Scale, shift, residual and activation of a network that is not trained.
#[derive(Debug)]
struct ScaleAct {
    dims: [usize; 4],
    planes: Planes,
    activation: Activation,
}

impl Operation for ScaleAct {
    fn output_shape(&self) -> Vec<usize> {
        self.dims.to_vec()
    }

    fn forward(&self, inputs: &[&[f32]]) -> Vec<f32> {
        let [input, scale, shift, residual @ ..] = inputs else { unreachable!("there are input, scale and shift") };
        compute::scale_act(self.planes, input, [scale, shift], residual.first().copied(), self.activation)
    }

    fn backward(&self, _: &[&[f32]], _: &[f32], _: &[f32], _: &[bool]) -> Vec<Option<Vec<f32>>> {
        unreachable!("only tensors outside of a graph get here")
    }
}
