//! How a kernel becomes an operation of Burn's, with a backward pass.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, DispatchTensor, DispatchTensorKind, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;

use super::profile::timed;

/// A kernel with its sizes: one forward and one backward pass.
pub trait Operation: Debug + Send + Sync {
    /// Shape of the output.
    fn output_shape(&self) -> Vec<usize>;

    /// The output, row-major, from the inputs, row-major.
    fn forward(&self, inputs: &[&[f32]]) -> Vec<f32>;

    /// The gradient of each input that is wanted, from the output's. Inputs and output that are not kept are empty.
    fn backward(&self, inputs: &[&[f32]], output: &[f32], gradient: &[f32], wanted: &[bool]) -> Vec<Option<Vec<f32>>>;

    /// What a profile calls it.
    fn name(&self) -> String {
        let debug = format!("{self:?}");
        debug.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
    }

    /// Whether the backward pass reads input `index`.
    fn keeps_input(&self, _index: usize) -> bool {
        true
    }

    /// Whether the backward pass reads the output.
    fn keeps_output(&self) -> bool {
        false
    }
}

/// Kernels of one to four inputs. Users call the functions of this module's parent instead.
#[backend_extension(Flex, Autodiff)]
pub trait Kernels: Backend {
    /// Runs a kernel of one input.
    fn kernel_of_one(a: FloatTensor<Self>, operation: Arc<dyn Operation>) -> FloatTensor<Self>;
    /// Runs a kernel of two inputs.
    fn kernel_of_two(a: FloatTensor<Self>, b: FloatTensor<Self>, operation: Arc<dyn Operation>) -> FloatTensor<Self>;
    /// Runs a kernel of three inputs.
    fn kernel_of_three(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        operation: Arc<dyn Operation>,
    ) -> FloatTensor<Self>;
    /// Runs a kernel of four inputs.
    fn kernel_of_four(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        operation: Arc<dyn Operation>,
    ) -> FloatTensor<Self>;
}

type Node = Arc<dyn Operation>;

impl Kernels for Flex {
    fn kernel_of_one(a: FlexTensor, operation: Node) -> FlexTensor {
        run(&operation, &[a.to_contiguous()])
    }

    fn kernel_of_two(a: FlexTensor, b: FlexTensor, operation: Node) -> FlexTensor {
        run(&operation, &[a, b].map(|tensor| tensor.to_contiguous()))
    }

    fn kernel_of_three(a: FlexTensor, b: FlexTensor, c: FlexTensor, operation: Node) -> FlexTensor {
        run(&operation, &[a, b, c].map(|tensor| tensor.to_contiguous()))
    }

    fn kernel_of_four(a: FlexTensor, b: FlexTensor, c: FlexTensor, d: FlexTensor, operation: Node) -> FlexTensor {
        run(&operation, &[a, b, c, d].map(|tensor| tensor.to_contiguous()))
    }
}

impl<C: CheckpointStrategy> Kernels for Autodiff<Flex, C> {
    fn kernel_of_one(a: FloatTensor<Self>, operation: Node) -> FloatTensor<Self> {
        record::<C, 1>([a], operation)
    }

    fn kernel_of_two(a: FloatTensor<Self>, b: FloatTensor<Self>, operation: Node) -> FloatTensor<Self> {
        record::<C, 2>([a, b], operation)
    }

    fn kernel_of_three(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        operation: Node,
    ) -> FloatTensor<Self> {
        record::<C, 3>([a, b, c], operation)
    }

    fn kernel_of_four(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        operation: Node,
    ) -> FloatTensor<Self> {
        record::<C, 4>([a, b, c, d], operation)
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct Kept {
    operation: Node,
    shapes: Vec<Vec<usize>>,
    inputs: Vec<Option<FlexTensor>>,
    output: Option<FlexTensor>,
}

#[derive(Debug)]
struct KernelBackward;

impl<const N: usize> Backward<Flex, N> for KernelBackward {
    type State = Kept;

    fn backward(self, ops: Ops<Kept, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let Kept { operation, shapes, inputs, output } = ops.state;
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let inputs: Vec<&[f32]> = inputs.iter().map(|input| input.as_ref().map_or(&[][..], values)).collect();
        let output = output.as_ref().map_or(&[][..], values);
        let gradients = timed(
            || format!("{} backward", operation.name()),
            || operation.backward(&inputs, output, values(&gradient), &wanted),
        );
        for ((parent, shape), gradient) in ops.parents.iter().zip(shapes).zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<Flex>(parent.id, tensor(gradient, shape));
            }
        }
    }
}

/// Runs a kernel and puts it into the graph, where any input is tracked.
fn record<C: CheckpointStrategy, const N: usize>(
    inputs: [FloatTensor<Autodiff<Flex, C>>; N],
    operation: Node,
) -> FloatTensor<Autodiff<Flex, C>> {
    let nodes = inputs.each_ref().map(|input| input.node());
    let inputs = inputs.map(|input| input.into_primitive().to_contiguous());
    let output = run(&operation, &inputs);
    match KernelBackward.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let shapes = inputs.iter().map(|input| input.layout().shape().to_vec()).collect();
            let inputs = inputs.into_iter().enumerate();
            let inputs = inputs.map(|(index, input)| operation.keeps_input(index).then_some(input)).collect();
            let kept_output = operation.keeps_output().then(|| output.clone());
            prepared.finish(Kept { operation, shapes, inputs, output: kept_output }, output)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}

fn run(operation: &Node, inputs: &[FlexTensor]) -> FlexTensor {
    let inputs: Vec<&[f32]> = inputs.iter().map(values).collect();
    let output = timed(|| format!("{} forward", operation.name()), || operation.forward(&inputs));
    tensor(output, operation.output_shape())
}

fn tensor(values: Vec<f32>, shape: Vec<usize>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// The values of a contiguous tensor.
fn values(tensor: &FlexTensor) -> &[f32] {
    let start = tensor.layout().start_offset();
    &tensor.storage::<f32>()[start..start + tensor.layout().num_elements()]
}

static BURN_OPERATIONS: AtomicBool = AtomicBool::new(false);

/// For benchmarks and tests: from now on, in the whole process, Burn's own operations compute on the CPU too.
pub fn use_burn_operations(yes: bool) {
    BURN_OPERATIONS.store(yes, Ordering::Relaxed);
}

/// Who computes an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Our kernels.
    Kernels,
    /// Nobody yet: the graph is recorded for export.
    Capture,
    /// Burn.
    Burn,
}

/// Where an operation on this tensor runs.
pub(super) fn place<const D: usize>(tensor: &Tensor<D>) -> Place {
    fn of_kind(kind: &DispatchTensorKind) -> Place {
        match kind {
            DispatchTensorKind::Flex(_) if !BURN_OPERATIONS.load(Ordering::Relaxed) => Place::Kernels,
            DispatchTensorKind::Capture(_) => Place::Capture,
            DispatchTensorKind::Autodiff(inner) => of_kind(inner),
            #[allow(unreachable_patterns)]
            _ => Place::Burn,
        }
    }
    of_kind(&tensor.clone().into_dispatch().kind)
}

/// Runs a kernel on tensors of the CPU.
pub(super) fn apply<const D: usize>(inputs: Vec<DispatchTensor>, operation: impl Operation + 'static) -> Tensor<D> {
    let operation: Node = Arc::new(operation);
    let mut inputs = inputs.into_iter();
    let output = match [inputs.next(), inputs.next(), inputs.next(), inputs.next()] {
        [Some(a), None, ..] => Dispatch::kernel_of_one(a, operation),
        [Some(a), Some(b), None, _] => Dispatch::kernel_of_two(a, b, operation),
        [Some(a), Some(b), Some(c), None] => Dispatch::kernel_of_three(a, b, c, operation),
        [Some(a), Some(b), Some(c), Some(d)] => Dispatch::kernel_of_four(a, b, c, d, operation),
        [None, ..] => unreachable!("a kernel has at least one input"),
    };
    Tensor::from_dispatch(output)
}
