//! The engine that needs nothing installed: tract.
//!
//! tract is used directly, not behind `ort`: ort's backend is one choice for the whole process, so a program could not
//! compare the two engines or open one model with each.

use std::collections::VecDeque;
use std::sync::Arc;

use ndarray::{Array4, ArrayView4};
use tract_onnx::prelude::*;

use super::{Engine, EngineInfo, Provider, output_array};
use crate::error::{Error, Result};
use crate::spec::ModelSpec;

/// Plans kept. A folder of photos has few shapes; each costs as much memory as the weights.
const PLANS_KEPT: usize = 8;

type Plan = Arc<TypedRunnableModel>;

/// A parsed model and the plans optimised for the input shapes met so far.
pub(super) struct Tract {
    model: InferenceModel,
    plans: VecDeque<([usize; 4], Plan)>,
    spec: ModelSpec,
    info: EngineInfo,
}

impl Tract {
    pub(super) fn open(onnx: &[u8], spec: &ModelSpec, note: Option<String>) -> Result<Self> {
        let load = || -> TractResult<InferenceModel> {
            let model = tract_onnx::onnx().model_for_read(&mut std::io::Cursor::new(onnx))?;
            model.with_outputs_by_name([spec.output.name.as_str()])
        };
        let model = load().map_err(|error| failed("load the model", &error))?;
        let inputs: Vec<String> = model.inputs.iter().map(|outlet| model.node(outlet.node).name.clone()).collect();
        if inputs != [spec.input.name.clone()] {
            let reason = format!("input '{}' is not the model's, which has: {}", spec.input.name, inputs.join(", "));
            return Err(Error::BadSpec { reason });
        }
        let info = EngineInfo { note, ..EngineInfo::new(Provider::Embedded, "tract", TRACT_VERSION) };
        Ok(Self { model, plans: VecDeque::new(), spec: spec.clone(), info })
    }

    /// The plan for one input shape. tract optimises for concrete sizes only.
    fn plan(&mut self, shape: [usize; 4]) -> TractResult<Plan> {
        if let Some(at) = self.plans.iter().position(|(known, _)| *known == shape) {
            if let Some(entry) = self.plans.remove(at) {
                self.plans.push_front(entry);
            }
        } else {
            let model = self.model.clone().with_input_fact(0, f32::fact(shape).into())?;
            let plan = model.into_optimized()?.into_runnable()?;
            self.plans.push_front((shape, plan));
            self.plans.truncate(PLANS_KEPT);
        }
        Ok(Arc::clone(&self.plans[0].1))
    }
}

/// The version in the manifest; tract has no call that tells it.
const TRACT_VERSION: &str = "0.23";

fn failed(action: &'static str, error: &TractError) -> Error {
    Error::Engine { engine: "embedded", action, reason: format!("{error:#}") }
}

impl Engine for Tract {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn run(&mut self, input: ArrayView4<'_, f32>) -> Result<Array4<f32>> {
        let (batch, channels, height, width) = input.dim();
        let shape = [batch, channels, height, width];
        let mut run = || -> TractResult<(Vec<usize>, Vec<f32>)> {
            let plan = self.plan(shape)?;
            let input = input.as_standard_layout();
            let tensor = Tensor::from_shape(&shape, input.as_slice().unwrap_or_default())?;
            let outputs = plan.run(tvec!(tensor.into_tvalue()))?;
            let view = outputs[0].to_plain_array_view::<f32>()?;
            Ok((view.shape().to_vec(), view.iter().copied().collect()))
        };
        let (shape, values) = run().map_err(|error| failed("run the model", &error))?;
        output_array(&shape, &values, &self.spec)
    }
}
