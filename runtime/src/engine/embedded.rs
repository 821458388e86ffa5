//! The engine that needs nothing installed: tract.
//!
//! tract is used directly, not behind `ort`: ort's backend is one choice for the whole process, so a program could not
//! compare the two engines or open one model with each.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{Array4, ArrayView4};
use tract_onnx::prelude::*;

use super::binding::Binding;
use super::form::{Element, InputForm, OutputForm};
use super::{BatchSize, Engine, EngineInfo, Provider};
use crate::error::{Error, Result};
use crate::spec::ModelSpec;

/// Plans kept. A folder of photos has few shapes; each costs as much memory as the weights.
const PLANS_KEPT: usize = 8;

type Plan = Arc<TypedRunnableModel>;

/// Plans by input shape, the last used first.
type Plans = VecDeque<([usize; 4], Plan)>;

/// A parsed model and the plans optimised for the input shapes met so far. Clones run beside each other and share all of
/// it: a plan keeps what it calculates in the run's own memory.
#[derive(Clone)]
pub(super) struct Tract {
    model: Arc<InferenceModel>,
    plans: Arc<Mutex<Plans>>,
    spec: ModelSpec,
    batch: BatchSize,
    input: InputForm,
    output: OutputForm,
    pub(super) info: EngineInfo,
}

impl Tract {
    pub(super) fn open(onnx: &[u8], binding: &Binding) -> Result<Self> {
        // It calculates in floats whatever the model says.
        let floats = crate::onnx::eight_bits::in_floats(onnx)?;
        let onnx = floats.as_deref().unwrap_or(onnx);
        let output = binding.spec.output.name.as_str();
        let load = || -> TractResult<InferenceModel> {
            let model = tract_onnx::onnx().model_for_read(&mut std::io::Cursor::new(onnx))?;
            model.with_outputs_by_name([output])
        };
        let model = guard("load the model", load)?;
        let info = EngineInfo { threads: Some(1), ..EngineInfo::new(Provider::Embedded, "tract", TRACT_VERSION) };
        Ok(Self {
            model: Arc::new(model),
            plans: Arc::default(),
            spec: binding.spec.clone(),
            batch: binding.batch,
            input: binding.input,
            output: binding.output,
            info,
        })
    }

    fn fact(&self, shape: [usize; 4]) -> TypedFact {
        match self.input.element {
            Element::F16 => f16::fact(shape),
            Element::U8 => u8::fact(shape),
            Element::F32 | Element::Whole => f32::fact(shape),
        }
    }

    /// The input as the model wants it.
    fn tensor(&self, input: ArrayView4<'_, f32>, shape: &[usize]) -> TractResult<Tensor> {
        match self.input.element {
            Element::U8 => Tensor::from_shape(shape, &self.input.pixels(input, self.spec.input.std[0])),
            Element::F16 => {
                let values: Vec<f16> = self.input.values(input).into_iter().map(f16::from_f32).collect();
                Tensor::from_shape(shape, &values)
            }
            Element::F32 | Element::Whole => match input.as_slice().filter(|_| self.input.is_plain()) {
                Some(values) => Tensor::from_shape(shape, values),
                None => Tensor::from_shape(shape, &self.input.values(input)),
            },
        }
    }

    /// The plan for one input shape. tract optimises for concrete sizes only.
    fn plan(&self, shape: [usize; 4]) -> TractResult<Plan> {
        // Held while a plan is made: the others would most likely make the same one.
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = plans.iter().position(|(known, _)| *known == shape).and_then(|at| plans.remove(at)) {
            plans.push_front(entry);
        } else {
            let model = InferenceModel::clone(&self.model).with_input_fact(0, self.fact(shape).into())?;
            let plan = model.into_optimized()?.into_runnable()?;
            plans.push_front((shape, plan));
            plans.truncate(PLANS_KEPT);
        }
        Ok(Arc::clone(&plans[0].1))
    }
}

/// The locked version; tract has no call that tells it.
const TRACT_VERSION: &str = "0.23.9";

/// Runs a part of tract. On odd models it panics in places where it should return an error.
fn guard<T>(action: &'static str, part: impl FnOnce() -> TractResult<T>) -> Result<T> {
    let failed = |reason: String| Error::Engine { engine: "embedded", action, reason };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(part)) {
        Ok(result) => result.map_err(|error| failed(format!("{error:#}"))),
        Err(_) => Err(failed("tract cannot handle this model; ONNX Runtime may".into())),
    }
}

impl Engine for Tract {
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
        let (batch, channels, height, width) = input.dim();
        let shape = self.input.shape([batch, channels, height, width]);
        let run = || -> TractResult<(Vec<usize>, Vec<f32>)> {
            let plan = self.plan(shape)?;
            let outputs = plan.run(tvec!(self.tensor(input, &shape)?.into_tvalue()))?;
            let numbers = outputs[0].cast_to::<f32>()?;
            let view = numbers.to_plain_array_view::<f32>()?;
            Ok((view.shape().to_vec(), view.iter().copied().collect()))
        };
        let (shape, values) = guard("run the model", run)?;
        self.output.array(&shape, values, &self.spec.output)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_told_is_the_version_locked() {
        let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")).unwrap();
        let locked = format!("name = \"tract-onnx\"\nversion = \"{}\"", super::TRACT_VERSION);
        assert!(lock.contains(&locked), "update TRACT_VERSION");
    }
}
