//! A model in 8 bits: weights as `int8` a channel, what flows between the layers as `uint8`, in the QDQ format, in which pairs
//! of QuantizeLinear and DequantizeLinear say what each number of the float graph may be rounded to. An engine that knows
//! integer convolutions runs them; any other computes the same in floats.
//!
//! The ranges come from photos (static quantisation): a tensor's is the one that a share of them stays within. The scheme is
//! that of Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
//! 2018, section 2, with a scale for each output channel of the weights (Krishnamoorthi, "Quantizing deep convolutional
//! networks for efficient inference", 2018, section 3). The last convolution and what follows it stay in floats: logits are
//! compared, softened and interpolated.
//!
//! The files are for CPUs. TensorRT takes no zero points other than 0, and with them would go half of the steps of everything
//! that is never negative.

mod graph;
mod ranges;

use std::path::{Path, PathBuf};

use clothseg::engine::Engine;
use clothseg::engine::{self, EngineOptions, Provider};
use clothseg::{Model, ModelSpec, Photo, preprocess};
use clothseg_batch::write_atomically;
use ndarray::{Array4, ArrayView3, Axis};
use onnx_ir::{Message, ModelProto};
use serde_json::json;

use super::refuse_input_as_output;
use crate::error::{Error, Result};
use crate::onnx::float16;
use crate::onnx::simplify::simplify;

/// Which of the photos' ranges may go unseen, tried in this order: of 20 photos' maxima, the share 0.95 takes the largest but
/// one.
const SHARES: [f64; 3] = [1.0, 0.95, 0.8];

/// Share of cells that must keep their class; a model that does worse is not written.
const LEAST_AGREEMENT: f64 = 0.8;

/// What became of a model.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// Size of the float model.
    pub float_bytes: usize,
    /// Convolutions in 8 bits.
    pub convolutions: usize,
    /// Photos that the ranges are from.
    pub photos: usize,
    /// Share of the photos whose ranges are covered.
    pub share: f64,
    /// Share of the cells of the photos' outputs in which both models name the same class.
    pub agreement: f64,
    /// Root of the mean squared difference of the logits.
    pub difference: f64,
    /// What ran both.
    pub engine: String,
}

/// How an 8-bit model's outputs differ from the float model's.
#[derive(Clone, Copy, Debug, Default)]
struct Comparison {
    cells: u64,
    agreeing: u64,
    values: u64,
    squares: f64,
}

impl Comparison {
    fn add(&mut self, float: ArrayView3<'_, f32>, eight_bits: ArrayView3<'_, f32>) {
        self.values += float.len() as u64;
        let squares = float.iter().zip(&eight_bits).map(|(one, other)| f64::from(one - other).powi(2));
        self.squares += squares.sum::<f64>();
        for (one, other) in float.lanes(Axis(0)).into_iter().zip(eight_bits.lanes(Axis(0))) {
            let largest = |lane: ndarray::ArrayView1<'_, f32>| {
                lane.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (class, value)| {
                    if *value > best.1 { (class, *value) } else { best }
                })
            };
            self.cells += 1;
            self.agreeing += u64::from(largest(one).0 == largest(other).0);
        }
    }

    fn agreement(&self) -> f64 {
        self.agreeing as f64 / self.cells.max(1) as f64
    }

    fn difference(&self) -> f64 {
        (self.squares / self.values.max(1) as f64).sqrt()
    }
}

/// Writes the model in 8 bits, with ranges from `photos`, which should be such as it was trained on, a few dozen. Of the
/// photos only what the network sees is kept.
pub fn quantize(
    model: &Path,
    photos: impl IntoIterator<Item = Result<Photo>>,
    output: &Path,
    options: &EngineOptions,
) -> Result<Quantized> {
    let fail = |cause: String| Error::Export { path: output.to_path_buf(), cause };
    if options.provider == Provider::Tensorrt {
        return Err(fail("8-bit models of this kind are for CPUs; for TensorRT use --fp16".to_owned()));
    }
    refuse_input_as_output(&[model.to_path_buf()], output)?;
    let float = Model::open(model).map_err(Error::model(model))?;
    let inputs = photos
        .into_iter()
        .map(|photo| Ok(preprocess::prepare(&photo?, &float.spec().input)?.0))
        .collect::<Result<Vec<Array4<f32>>>>()?;
    if inputs.is_empty() {
        return Err(fail("there is no photo that could give ranges".to_owned()));
    }
    let mut proto = ModelProto::parse_from_bytes(float.onnx()).map_err(|error| fail(error.to_string()))?;
    float16::restore(proto.graph.mut_or_insert_default());
    graph::check(&proto).map_err(fail)?;
    simplify(proto.graph.mut_or_insert_default());
    let plan = graph::Plan::of(proto.graph.get_or_default()).map_err(fail)?;
    let observed = ranges::observe(&proto, &plan.tensors(), float.spec(), &inputs, options)?;
    let inputs_of_convolutions = plan.inputs(proto.graph.get_or_default());
    let means = ranges::means(&proto, &inputs_of_convolutions, float.spec(), &inputs, options)?;
    let mut spec = float.spec().clone();
    spec.name = format!("{}-int8", spec.name);
    let mut engine = engine::open(float.onnx(), float.spec(), options)?;
    let attempt = |share| {
        let mut eight_bits = proto.clone();
        plan.rewrite(eight_bits.graph.mut_or_insert_default(), &observed.covering(share), &means).map_err(fail)?;
        let bytes = eight_bits.write_to_bytes().map_err(|error| fail(error.to_string()))?;
        let comparison = compare(engine.as_mut(), &bytes, &spec, &inputs, options)?;
        Ok(Attempt { share, comparison, bytes })
    };
    let best = best_of(SHARES.into_iter().map(attempt))?;
    let best = best.ok_or_else(|| fail("its logits are not finite in 8 bits".to_owned()))?;
    let Attempt { share, comparison, bytes } = best;
    if comparison.agreement() < LEAST_AGREEMENT {
        return Err(fail(format!(
            "only {:.1} % of the cells keep their class, and {:.0} % are needed; more photos may help, or this network does not \
             stand 8 bits",
            comparison.agreement() * 100.0,
            LEAST_AGREEMENT * 100.0
        )));
    }
    let agreement = (comparison.agreement() * 1e4).round() / 1e4;
    let facts =
        json!({ "from": float.spec().name, "photos": inputs.len(), "ranges_cover": share, "cells_agree": agreement });
    spec.training.insert("quantised".to_owned(), facts);
    let bytes = spec.embed_in_onnx(&bytes)?;
    write_atomically(output, &bytes)?;
    Ok(Quantized {
        path: output.to_path_buf(),
        bytes: bytes.len(),
        float_bytes: float.onnx().len(),
        convolutions: plan.convolutions(),
        photos: inputs.len(),
        share,
        agreement: comparison.agreement(),
        difference: comparison.difference(),
        engine: engine.info().to_string(),
    })
}

/// A model in 8 bits whose ranges cover a share of the photos.
struct Attempt {
    share: f64,
    comparison: Comparison,
    bytes: Vec<u8>,
}

/// The one whose logits differ least; nothing where none has finite ones.
fn best_of(attempts: impl Iterator<Item = Result<Attempt>>) -> Result<Option<Attempt>> {
    let mut best: Option<Attempt> = None;
    for attempt in attempts {
        let attempt = attempt?;
        let difference = attempt.comparison.difference();
        tracing::info!(
            "ranges of {:.0} % of the photos: {:.2} % of cells agree, logits differ by {difference:.3}",
            attempt.share * 100.0,
            attempt.comparison.agreement() * 100.0
        );
        if difference.is_finite() && best.as_ref().is_none_or(|known| difference < known.comparison.difference()) {
            best = Some(attempt);
        }
    }
    Ok(best)
}

fn compare(
    float: &mut dyn Engine,
    bytes: &[u8],
    spec: &ModelSpec,
    inputs: &[Array4<f32>],
    options: &EngineOptions,
) -> Result<Comparison> {
    let mut eight_bits = engine::open(bytes, spec, options)?;
    let mut comparison = Comparison::default();
    for input in inputs {
        let (truth, found) = (float.run(input.view())?, eight_bits.run(input.view())?);
        if found.dim() != truth.dim() {
            let (found, truth) = (found.dim(), truth.dim());
            let cause = format!("the 8-bit model returns {found:?} where the float model returns {truth:?}");
            return Err(Error::file(&spec.name, cause));
        }
        for (truth, found) in truth.outer_iter().zip(found.outer_iter()) {
            comparison.add(truth, found);
        }
    }
    Ok(comparison)
}

#[cfg(test)]
mod tests;
