//! ONNX Runtime, opened at run time. Only this file and its folder name `ort`.
//!
//! Runs beside each other need a session each: `ort` lends a session to one run at a time, because ONNX Runtime's own
//! promise that one session serves many threads does not hold for every provider. Sessions cannot share weights either:
//! its container for prepacked weights takes only weights handed in by name, and those of convolutions, which make up
//! these networks, are rewritten for the processor in each session.

mod direct;
mod library;
mod placements;
mod providers;

use ndarray::{Array4, ArrayView4};
use ort::session::builder::{AutoDevicePolicy, SessionBuilder};
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{DynValue, PrimitiveTensorElementType, TensorElementType, TensorRef, TensorRefMut, ValueType};

use super::binding::Binding;
use super::form::{Element, InputForm, OutputForm};
use super::{BatchSize, Engine, EngineInfo, EngineOptions, Provider, placement};
use crate::error::{Error, Result};
use crate::onnx::eight_bits;
use crate::spec::ModelSpec;

use direct::Direct;
pub(super) use library::{Runtime, load};
pub use library::{load_library, loaded_library};

const NAME: &str = "ONNX Runtime";

/// CUDA where this library has it and the model runs on it, else the CPU, with the reason why.
pub(super) fn open_best(
    runtime: &Runtime,
    onnx: &[u8],
    binding: &Binding,
    options: &EngineOptions,
) -> Result<Vec<Box<dyn Engine>>> {
    let mut reason = format!("{} has no CUDA", runtime.path.display());
    if providers::are_in_library(Provider::Cuda) {
        let alone = EngineOptions { sessions: 1, ..options.clone() };
        match start(runtime, onnx, binding, Provider::Cuda, &alone) {
            Ok(sessions) => return Ok(boxed(sessions)),
            Err(error) => reason = error.to_string(),
        }
    }
    let mut sessions = start(runtime, onnx, binding, Provider::Cpu, options)?;
    for session in &mut sessions {
        session.info.no_gpu = Some(reason.clone());
    }
    Ok(boxed(sessions))
}

/// Opens the model on one provider, or says why not.
pub(super) fn open(
    runtime: &Runtime,
    onnx: &[u8],
    binding: &Binding,
    provider: Provider,
    options: &EngineOptions,
) -> Result<Vec<Box<dyn Engine>>> {
    start(runtime, onnx, binding, provider, options).map(boxed)
}

fn boxed(sessions: Vec<OnnxRuntime>) -> Vec<Box<dyn Engine>> {
    sessions.into_iter().map(|session| Box::new(session) as Box<dyn Engine>).collect()
}

fn start(
    runtime: &Runtime,
    onnx: &[u8],
    binding: &Binding,
    provider: Provider,
    options: &EngineOptions,
) -> Result<Vec<OnnxRuntime>> {
    let failed = |error: &dyn std::fmt::Display| match provider {
        Provider::Cpu => load_failed(error),
        _ => unavailable(provider, error),
    };
    if !providers::are_in_library(provider) {
        return Err(unavailable(provider, &format!("{} has no such provider", runtime.path.display())));
    }
    // GPUs are faster in 16 bits, and TensorRT knows no steps other than around 0.
    let floats = if provider == Provider::Cpu { None } else { eight_bits::in_floats(onnx)? };
    let onnx = floats.as_deref().unwrap_or(onnx);
    let threads = threads_of_a_session(options);
    let mut builder = configure(runtime, threads).map_err(|error| load_failed(&error))?;
    builder = match providers::requested(onnx, binding, provider, options)? {
        // `ort` asks for the thriftiest device otherwise; small builds of ONNX Runtime know no such choice.
        requested if requested.is_empty() => {
            Ok(builder.with_auto_device(AutoDevicePolicy::PreferCPU).unwrap_or_else(|error| error.recover()))
        }
        requested => builder.with_execution_providers(requested),
    }
    .map_err(|error| failed(&error))?;
    let mut info = EngineInfo {
        path: Some(runtime.path.clone()),
        threads,
        ..EngineInfo::new(provider, NAME, runtime.version.clone())
    };
    let mut sessions = Vec::with_capacity(options.sessions.max(1));
    for _ in 0..options.sessions.max(1) {
        let session = builder.commit_from_memory(onnx).map_err(|error| failed(&error))?;
        // They are all alike: the first one is proof for the others.
        if sessions.is_empty() {
            let placements = placements::of(&session).map_err(|error| load_failed(&error))?;
            info.note = placement::judge(provider, &placements).map_err(|reason| failed(&reason))?;
            info.nodes = placement::count(&placements);
        }
        sessions.push(OnnxRuntime::new(session, runtime, binding, &info).map_err(|error| load_failed(&error))?);
    }
    Ok(sessions)
}

/// What every session is told, whoever runs it.
fn configure(runtime: &Runtime, threads: Option<usize>) -> ort::Result<SessionBuilder> {
    // By default ONNX Runtime's threads spin while they wait for work, between the nodes of a graph and after it. That saves
    // microseconds a node where nobody else wants the cores; here decoding, writing and other sessions do.
    let builder = Session::builder(&runtime.environment)?
        .with_config_entry(placements::RECORD, "1")?
        .with_intra_op_spinning(false)?;
    match threads {
        Some(threads) => Ok(builder.with_intra_threads(threads)?),
        None => Ok(builder),
    }
}

/// Threads of one run: as asked for, else the cores shared out over the sessions, else ONNX Runtime's own choice.
fn threads_of_a_session(options: &EngineOptions) -> Option<usize> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    match (options.threads, options.sessions) {
        (Some(threads), _) => Some(threads.max(1)),
        (None, 0 | 1) => None,
        (None, sessions) => Some((cores() / sessions).max(1)),
    }
}

fn load_failed(error: &dyn std::fmt::Display) -> Error {
    let mut reason = error.to_string();
    if ["IR version", "opset version"].iter().any(|words| reason.contains(words)) {
        reason = format!(
            "the model is of a newer version of ONNX than this ONNX Runtime reads; export it with a lower opset, or take a newer \
             ONNX Runtime ({reason})"
        );
    }
    Error::Engine { engine: NAME, action: "load the model", reason }
}

fn unavailable(provider: Provider, error: &dyn std::fmt::Display) -> Error {
    let reason = format!(
        "{error}; if the model runs on 'cpu', look to the GPU: it takes an NVIDIA GPU with its driver, NVIDIA's CUDA and \
         cuDNN libraries{}, and a GPU build of ONNX Runtime",
        if provider == Provider::Tensorrt { ", TensorRT" } else { "" },
    );
    Error::ProviderUnavailable { provider: provider.name(), reason }
}

struct OnnxRuntime {
    session: Session,
    /// Asks for the described output only: others, of which U2-Net has six, are not even copied.
    run: RunOptions<HasSelectedOutputs>,
    direct: Option<Direct>,
    /// Shapes of the last input and of the output that came of it: one input shape has one output shape.
    last: Option<([usize; 4], Vec<usize>)>,
    spec: ModelSpec,
    batch: BatchSize,
    input: InputForm,
    output: OutputForm,
    info: EngineInfo,
    /// Sessions end before their environment.
    _runtime: Runtime,
}

impl OnnxRuntime {
    fn new(session: Session, runtime: &Runtime, binding: &Binding, info: &EngineInfo) -> ort::Result<Self> {
        let wanted = OutputSelector::no_default().with(&binding.spec.output.name);
        Ok(Self {
            session,
            run: RunOptions::new()?.with_outputs(wanted),
            direct: Direct::new(&binding.spec.input.name, &binding.spec.output.name)
                .filter(|_| binding.output.element == Element::F32),
            last: None,
            spec: binding.spec.clone(),
            batch: binding.batch,
            input: binding.input,
            output: binding.output,
            info: info.clone(),
            _runtime: runtime.clone(),
        })
    }
}

impl Engine for OnnxRuntime {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn batch(&self) -> BatchSize {
        self.batch
    }

    fn run(&mut self, input: ArrayView4<'_, f32>) -> Result<Array4<f32>> {
        let (photos, channels, height, width) = input.dim();
        let shape = self.input.shape([photos, channels, height, width]);
        if !self.input.is_plain() {
            return self.run_formed(input, shape);
        }
        let input = input.as_standard_layout();
        let values = input.as_slice().ok_or_else(|| run_failed(&"the input has no standard layout"))?;
        let tensor = TensorRef::from_array_view((shape.to_vec(), values)).map_err(|error| run_failed(&error))?;
        if let Some((shape, values)) = self.run_as_before(&shape, &tensor) {
            return self.output.array(&shape, values, &self.spec.output);
        }
        self.run_usually(tensor.into(), shape)
    }
}

impl OnnxRuntime {
    /// A run of a model that takes other numbers than float32, or another order of axes.
    fn run_formed(&mut self, input: ArrayView4<'_, f32>, shape: [usize; 4]) -> Result<Array4<f32>> {
        let sides = shape.to_vec();
        match self.input.element {
            Element::F16 => {
                let values: Vec<half::f16> = self.input.values(input).into_iter().map(half::f16::from_f32).collect();
                let tensor = TensorRef::from_array_view((sides, values.as_slice()));
                self.run_usually(tensor.map_err(|error| run_failed(&error))?.into(), shape)
            }
            Element::U8 => {
                let values = self.input.pixels(input, self.spec.input.std[0]);
                let tensor = TensorRef::from_array_view((sides, values.as_slice()));
                self.run_usually(tensor.map_err(|error| run_failed(&error))?.into(), shape)
            }
            Element::F32 | Element::Whole => {
                let values = self.input.values(input);
                let tensor = TensorRef::from_array_view((sides, values.as_slice()));
                self.run_usually(tensor.map_err(|error| run_failed(&error))?.into(), shape)
            }
        }
    }

    fn run_usually(&mut self, input: SessionInputValue<'_>, input_shape: [usize; 4]) -> Result<Array4<f32>> {
        let inputs = ort::inputs![self.spec.input.name.as_str() => input];
        let outputs = self.session.run_with_options(inputs, &self.run).map_err(|error| run_failed(&error))?;
        let output = outputs
            .get(&self.spec.output.name)
            .ok_or_else(|| Error::Output { reason: format!("there is no '{}'", self.spec.output.name) })?;
        let (shape, values) = numbers(output)?;
        self.last = Some((input_shape, shape.clone()));
        self.output.array(&shape, values, &self.spec.output)
    }
}

/// Shape and numbers of an output of any type that may be one.
fn numbers(output: &DynValue) -> Result<(Vec<usize>, Vec<f32>)> {
    fn read<T: PrimitiveTensorElementType + Copy>(
        output: &DynValue,
        number: impl Fn(T) -> f32,
    ) -> Result<(Vec<usize>, Vec<f32>)> {
        let (shape, values) = output.try_extract_tensor::<T>().map_err(|error| run_failed(&error))?;
        let side = |&side: &i64| {
            usize::try_from(side).map_err(|_| Error::Output { reason: format!("a side of its shape is {side}") })
        };
        let shape = shape.iter().map(side).collect::<Result<Vec<usize>>>()?;
        Ok((shape, values.iter().copied().map(number).collect()))
    }
    let ValueType::Tensor { ty, .. } = output.dtype() else {
        return Err(Error::Output { reason: "it is no tensor".into() });
    };
    match *ty {
        TensorElementType::Float32 => read(output, |value: f32| value),
        TensorElementType::Float16 => read(output, half::f16::to_f32),
        TensorElementType::Uint8 => read(output, |value: u8| f32::from(value)),
        TensorElementType::Int8 => read(output, |value: i8| f32::from(value)),
        TensorElementType::Uint16 => read(output, |value: u16| f32::from(value)),
        TensorElementType::Int16 => read(output, |value: i16| f32::from(value)),
        TensorElementType::Int32 => read(output, |value: i32| value as f32),
        TensorElementType::Uint32 => read(output, |value: u32| value as f32),
        TensorElementType::Int64 => read(output, |value: i64| value as f32),
        TensorElementType::Uint64 => read(output, |value: u64| value as f32),
        TensorElementType::Bool => read(output, |value: bool| f32::from(u8::from(value))),
        other => Err(Error::Output { reason: format!("its numbers are {other}, and float32 is needed") }),
    }
}

impl OnnxRuntime {
    /// A run whose output goes straight to where it is wanted, if the last input had this shape. Nothing where it had
    /// another one, or the run fails: the usual way then tells why.
    fn run_as_before(
        &mut self,
        input_shape: &[usize; 4],
        input: &TensorRef<'_, f32>,
    ) -> Option<(Vec<usize>, Vec<f32>)> {
        let (_, shape) = self.last.as_ref().filter(|(known, _)| known == input_shape)?;
        let mut values = vec![0.0; shape.iter().product()];
        let mut output = TensorRefMut::from_array_view_mut((shape.clone(), values.as_mut_slice())).ok()?;
        self.direct.as_ref()?.run(&mut self.session, input, &mut output).ok()?;
        drop(output);
        Some((shape.clone(), values))
    }
}

fn run_failed(error: &dyn std::fmt::Display) -> Error {
    Error::Engine { engine: NAME, action: "run the model", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_share_the_cores_unless_told_otherwise() {
        let threads =
            |threads, sessions| threads_of_a_session(&EngineOptions { threads, sessions, ..EngineOptions::default() });
        assert_eq!(threads(None, 1), None);
        assert_eq!(threads(Some(3), 2), Some(3));
        assert_eq!(threads(Some(0), 1), Some(1));
        assert_eq!(threads(None, 1000), Some(1));
    }
}
