//! A trained network as an ONNX file that clothseg runs, checked before it is put in place.
//!
//! burn-onnx writes the graph for the one size that it was captured at; `dynamic::make_dynamic` frees it. The description
//! goes into the metadata, and then the file's own bytes are run through clothseg's engine, at two sizes, and compared
//! with the network in Burn.

mod dynamic;
pub(crate) mod float16;
mod read;
pub(crate) mod simplify;
pub(crate) mod tensors;
pub(crate) mod unfuse;

use std::path::{Path, PathBuf};

use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, TensorData};
use burn_onnx::export::OnnxExporter;
use clothseg::engine::{self, EngineOptions};
use clothseg::spec::ModelSpec;
use clothseg_batch::write_atomically;
use ndarray::Array4;
use onnx_ir::{Message, ModelProto};
use rand::Rng;
use serde::Deserialize;
use serde_json::Value;

pub use self::read::{ExportedNetwork, FoldedConvolution, read_network};
use self::simplify::simplify;
use crate::config::{Config, names};
use crate::data::augment::generator;
use crate::device::cpu;
use crate::error::{Error, Result};
use crate::model::{Network, Pass, Prediction};
use crate::run::{Checkpoint, RunFolder};

/// The largest difference between a logit in Burn and the same logit through clothseg that an export may have. Weights in 16
/// bits are rounded, and that may differ by more: then it is the graph before rounding that must keep to this, and the file
/// must keep to it beside a graph with the same rounded weights in 32 bits.
pub const TOLERANCE: f32 = 1e-3;

/// Where logits are larger than some 250, 32 units in the last place of the largest one take [`TOLERANCE`]'s place, which would be
/// finer than what sums of 32-bit floats in another order give. Logits grow so while batch norms' running statistics lag, after
/// the first few steps of a training.
const RELATIVE_TOLERANCE: f32 = 32.0 * f32::EPSILON;

/// Side of the captured input in pixels: a multiple of every network's stride.
const CAPTURED_SIDE_PX: usize = 64;

/// Height and width of the inputs that are compared.
const COMPARED_SIZES_PX: [[usize; 2]; 2] = [[96, 64], [64, 160]];

/// What an export did.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// Largest absolute difference between a logit in Burn and through clothseg.
    pub difference: f32,
    /// What ran the file.
    pub engine: String,
}

/// Which checkpoint of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckpointChoice {
    /// The one with the best validation; the last one where no epoch was finished.
    #[default]
    Best,
    /// The last one.
    Last,
}

/// How the file holds the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weights {
    /// As 32-bit floats.
    #[default]
    F32,
    /// As 16-bit floats (f16); engines calculate in 32 bits all the same.
    F16,
}

/// Exports a checkpoint of a run to `output`, else to `NAME.onnx` in the run's folder. `run` is a run's folder, or the
/// config of a run.
pub fn export_run(
    run: &Path,
    choice: CheckpointChoice,
    output: Option<&Path>,
    weights: Weights,
    options: &EngineOptions,
) -> Result<Exported> {
    let config_path = if run.is_dir() { RunFolder::at(run).config() } else { run.to_path_buf() };
    let config = Config::recorded(&config_path)?;
    let folder = if run.is_dir() { RunFolder::at(run) } else { RunFolder::at(&config.run) };
    let path = match choice {
        CheckpointChoice::Best => folder.best_or_last(),
        CheckpointChoice::Last => Some(folder.last()).filter(|path| path.is_file()),
    };
    let none = || Error::Run { path: config.run.clone(), cause: "has no checkpoint yet; train first".to_owned() };
    let path = path.ok_or_else(none)?;
    let checkpoint = Checkpoint::open(&path)?;
    let device = cpu();
    let classes = config.target()?.classes();
    let model = checkpoint.load_model(&path, config.network(classes).init(&device, config.seed))?;
    let mut spec = config.model_spec()?;
    spec.training = facts(&config, &checkpoint, folder.read_start()?);
    let default = folder.root().join(format!("{}.onnx", config.name));
    export(&model, &spec, output.unwrap_or(&default), weights, options)
}

/// Writes `model`, which must be in evaluation mode, to `path`. A file that fails the parity check is not written.
pub fn export(
    model: &Network,
    spec: &ModelSpec,
    path: &Path,
    weights: Weights,
    options: &EngineOptions,
) -> Result<Exported> {
    let fail = |cause: String| Error::Export { path: path.to_path_buf(), cause };
    // Burn's own answers come first: the capture leaves its tensors in the batch norms' running statistics.
    let inputs: Vec<_> =
        COMPARED_SIZES_PX.into_iter().enumerate().map(|(index, size)| random_input(size, index)).collect();
    let ours: Vec<_> = inputs.iter().map(|input| forward(model, input)).collect();
    let graph = write_graph(model, spec).map_err(fail)?;
    let check = |graph: &ModelProto, expected: &[Array4<f32>]| -> Result<Checked> {
        let checked = run(graph, spec, &inputs, options)?;
        let difference = difference(expected, &checked.answers).map_err(fail)?;
        let allowed = allowed(expected);
        if difference > allowed {
            let cause = format!(
                "its logits differ from the trained network's by {difference:e}; at most {allowed:e} is allowed"
            );
            return Err(fail(cause));
        }
        Ok(checked)
    };
    let mut checked = check(&graph, &ours)?;
    if weights == Weights::F16 {
        let mut stored = graph;
        float16::store(stored.graph.mut_or_insert_default());
        let mut rounded = stored.clone();
        float16::restore(rounded.graph.mut_or_insert_default());
        checked = check(&stored, &run(&rounded, spec, &inputs, options)?.answers)?;
    }
    write_atomically(path, &checked.file)?;
    Ok(Exported {
        path: path.to_path_buf(),
        bytes: checked.file.len(),
        difference: difference(&ours, &checked.answers).map_err(fail)?,
        engine: checked.engine,
    })
}

/// A file, and what it answers.
struct Checked {
    file: Vec<u8>,
    answers: Vec<Array4<f32>>,
    engine: String,
}

/// Runs a graph through clothseg as it would be shipped.
fn run(graph: &ModelProto, spec: &ModelSpec, inputs: &[Array4<f32>], options: &EngineOptions) -> Result<Checked> {
    let bytes =
        graph.write_to_bytes().map_err(|error| Error::file(&spec.name, format!("cannot encode the graph: {error}")))?;
    let file = spec.embed_in_onnx(&bytes)?;
    let mut engine = engine::open(&file, spec, options)?;
    let answers = inputs.iter().map(|input| Ok(engine.run(input.view())?)).collect::<Result<Vec<_>>>()?;
    Ok(Checked { file, answers, engine: engine.info().to_string() })
}

/// The largest difference between two logits of the same cell; infinite where one is no number.
fn difference(ours: &[Array4<f32>], theirs: &[Array4<f32>]) -> std::result::Result<f32, String> {
    let mut largest = 0.0_f32;
    for (ours, theirs) in ours.iter().zip(theirs) {
        if ours.shape() != theirs.shape() {
            return Err(format!(
                "it returns the shape {:?} where the trained network returns {:?}",
                theirs.shape(),
                ours.shape()
            ));
        }
        let differences = ours.iter().zip(theirs).map(|(one, other)| (one - other).abs());
        // A NaN must not pass: max() would drop it.
        largest =
            differences.fold(largest, |largest, value| if value.is_nan() { f32::INFINITY } else { largest.max(value) });
    }
    Ok(largest)
}

/// The largest difference from these logits that is rounding.
fn allowed(logits: &[Array4<f32>]) -> f32 {
    let largest = logits.iter().flatten().fold(0.0_f32, |largest, logit| largest.max(logit.abs()));
    // Infinite logits allow no more than finite ones.
    if largest.is_finite() { TOLERANCE.max(RELATIVE_TOLERANCE * largest) } else { TOLERANCE }
}

/// The network as an ONNX graph for every size, without a description.
fn write_graph(model: &Network, spec: &ModelSpec) -> std::result::Result<ModelProto, String> {
    let sample = Tensor::<4>::zeros([1, 3, CAPTURED_SIDE_PX, CAPTURED_SIDE_PX], &cpu());
    let captured = OnnxExporter::new()
        .export(model, sample, |model: &Network, input| {
            let Prediction { logits, presence } = model.predict(input, &mut Pass::evaluation());
            std::iter::once(logits).chain(presence.map(sigmoid)).collect::<Vec<_>>()
        })
        .map_err(|error| format!("the network cannot be written as ONNX: {error}"))?;
    let mut model = ModelProto::parse_from_bytes(captured.as_bytes())
        .map_err(|error| format!("burn-onnx wrote no ONNX: {error}"))?;
    let graph = model.graph.mut_or_insert_default();
    dynamic::make_dynamic(graph, &spec.input.name, &spec.output.name, CAPTURED_SIDE_PX as i64)?;
    simplify(graph);
    Ok(model)
}

/// Numbers like those of a normalised photo.
fn random_input([height, width]: [usize; 2], index: usize) -> Array4<f32> {
    let mut random = generator(0, 0, index);
    Array4::from_shape_simple_fn((1, 3, height, width), || random.random_range(-2.0..2.0))
}

/// The network in Burn on an array, N x 3 x H x W.
fn forward(model: &Network, input: &Array4<f32>) -> Array4<f32> {
    let (count, channels, height, width) = input.dim();
    let data = TensorData::new(input.iter().copied().collect::<Vec<f32>>(), [count, channels, height, width]);
    let output = model.evaluate(Tensor::<4>::from_data(data, &cpu()));
    let [count, classes, height, width] = output.dims();
    let values: Vec<f32> = output.into_data().iter::<f32>().collect();
    let mut values = values.into_iter();
    Array4::from_shape_simple_fn((count, classes, height, width), || values.next().unwrap_or(f32::NAN))
}

/// What the description says of the training.
fn facts(config: &Config, checkpoint: &Checkpoint, start: Value) -> serde_json::Map<String, Value> {
    let mut facts = config.about.clone();
    facts.insert("trained_on".to_owned(), names(&config.data.train).into());
    facts.insert("validated_on".to_owned(), names(&config.data.valid).into());
    facts.insert("loss".to_owned(), config.loss.terms.clone().into());
    if let Some(variant) = config.model.pretrained_variant() {
        facts.insert("encoder_weights".to_owned(), variant.weights_source().into());
    }
    if !start.is_null() {
        facts.insert("started_from".to_owned(), start);
    }
    facts.insert("epochs".to_owned(), checkpoint.state.epoch.into());
    facts.insert("steps".to_owned(), checkpoint.state.step.into());
    facts.insert("training_minutes".to_owned(), ((checkpoint.state.wall_s / 60.0).round() as u64).into());
    facts.insert("scores_on_network_grid".to_owned(), Value::Object(checkpoint.state.scores.clone()));
    facts
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ndarray::array;

    use super::{TOLERANCE, allowed, difference};

    #[test]
    fn the_tolerance_grows_only_with_logits_that_are_large() {
        for (logit, expected) in
            [(0.0, TOLERANCE), (-250.0, TOLERANCE), (-1024.0, 0.003_906_25), (f32::INFINITY, TOLERANCE)]
        {
            assert_eq!(allowed(&[array![[[[1.0, logit]]]]]), expected, "{logit}");
        }
        let (ours, theirs) = ([array![[[[1.0, 1024.0]]]]], [array![[[[1.0, f32::NAN]]]]]);
        assert!(difference(&ours, &theirs).unwrap() > allowed(&ours));
    }
}
