//! The mean of the weights of several models of one network: Wortsman et al., "Model soups: averaging weights of multiple
//! fine-tuned models improves accuracy without increasing inference time", 2022, section 2.
//!
//! It is of use where the models come from one chain of trainings, so that the straight line between their weights leads over
//! good ones: what they learned apart is then in one network, which costs what one of them does. The mean of strangers knows
//! nothing, so its scores are measured and go into its description.

use std::path::{Path, PathBuf};

use clothseg::engine::{self, EngineOptions};
use clothseg::spec::OutputKind;
use clothseg::{Model, ModelSpec, Photo, preprocess};
use clothseg_batch::write_atomically;
use half::f16;
use onnx_ir::{GraphProto, Message, ModelProto, TensorProto};
use serde_json::{Map, Value};

use super::cells::labelled_cells;
use super::refuse_input_as_output;
use crate::data::{LabelSets, Sample, Target};
use crate::error::{Error, Result};
use crate::evaluate::matching_classes;
use crate::metrics::Confusion;
use crate::onnx::tensors::{INT8, f16_tensor, f16_values, float_tensor, floats};

/// Facts of the first model that hold for the mean of all.
const SHARED_FACTS: [&str; 5] = ["licence", "trained_on", "validated_on", "loss", "encoder_weights"];

/// What became of the models.
#[derive(Clone, Debug)]
pub struct Averaged {
    /// The file.
    pub path: PathBuf,
    /// Counts on the network's grid over all photos.
    pub confusion: Confusion,
    /// Photos that it was scored on.
    pub photos: usize,
    /// What ran it.
    pub engine: String,
}

/// Writes the mean of `models`, two or more files that `export` or `calibrate` wrote from one network, under the name `name`, and
/// scores it on `photos` with labels in the classes of `target`, which must be theirs. Input and output are those of the first.
pub fn average(
    models: &[PathBuf],
    name: &str,
    target: &Target,
    photos: impl IntoIterator<Item = Result<Sample>>,
    output: &Path,
    options: &EngineOptions,
) -> Result<Averaged> {
    let fail = |cause: &str| Error::Export { path: output.to_path_buf(), cause: cause.to_owned() };
    refuse_input_as_output(models, output)?;
    let mut opened = models.iter().map(|path| open(path, target)).collect::<Result<Vec<_>>>()?;
    let [(first, spec), others @ ..] = &mut opened[..] else { return Err(fail("there is no model")) };
    if others.is_empty() {
        return Err(fail("an average needs two models or more"));
    }
    for (path, (_, other)) in models[1..].iter().zip(&*others) {
        let scheme = |spec: &ModelSpec| (spec.input.color, spec.input.mean, spec.input.std, spec.output.stride);
        if scheme(other) != scheme(spec) {
            let cause = format!("its input or its stride differs from that of {}", models[0].display());
            return Err(Error::file(path, cause));
        }
    }
    let graphs: Vec<&GraphProto> = others.iter().map(|(proto, _)| proto.graph.get_or_default()).collect();
    to_mean(first.graph.mut_or_insert_default(), &graphs)
        .map_err(|(index, cause)| Error::file(&models[index + 1], cause))?;
    let bytes = first.write_to_bytes().map_err(|error| fail(&error.to_string()))?;

    let mut confusion = Confusion::of(&spec.taxonomy, &LabelSets::from(spec.taxonomy.len()));
    let mut engine = engine::open(&bytes, spec, options)?;
    let mut count = 0;
    for sample in photos {
        let Sample { photo, labels, .. } = sample?;
        let (input, _) = preprocess::prepare(&Photo::from_rgb(photo)?, &spec.input)?;
        let (values, truth) = labelled_cells(&engine.run(input.view())?, &labels, spec, 1);
        confusion.add(&truth, &likeliest(&values, spec.taxonomy.len()));
        count += 1;
    }
    let mut facts: Map<String, Value> =
        SHARED_FACTS.into_iter().filter_map(|key| Some((key.to_owned(), spec.training.get(key)?.clone()))).collect();
    let parts = std::iter::once(&*spec).chain(others.iter().map(|(_, spec)| spec));
    facts.insert("average_of".to_owned(), parts.map(part).collect());
    facts.insert("scores_on_network_grid".to_owned(), scores(&confusion).into());
    let mut spec = spec.clone();
    (spec.name, spec.training) = (name.to_owned(), facts);
    write_atomically(output, &spec.embed_in_onnx(&bytes)?)?;
    Ok(Averaged { path: output.to_path_buf(), confusion, photos: count, engine: engine.info().to_string() })
}

/// A model of the classes of `target`, with its description.
fn open(path: &Path, target: &Target) -> Result<(ModelProto, ModelSpec)> {
    let model = Model::open(path).map_err(Error::model(path))?;
    matching_classes(model.spec(), target)?;
    if model.spec().output.kind != OutputKind::Logits {
        return Err(Error::file(path, "its outputs are probabilities; logits are needed"));
    }
    let proto = ModelProto::parse_from_bytes(model.onnx()).map_err(|error| Error::file(path, error.to_string()))?;
    Ok((proto, model.spec().clone()))
}

/// Replaces the weights of a graph by the mean of its own and those of the others; else names the one that is another network, and
/// how it differs.
fn to_mean(graph: &mut GraphProto, others: &[&GraphProto]) -> std::result::Result<(), (usize, String)> {
    for (index, other) in others.iter().enumerate() {
        if other.node != graph.node || other.initializer.len() != graph.initializer.len() {
            return Err((index, "is of another network than the first, so that their mean means nothing".to_owned()));
        }
    }
    for tensor in &mut graph.initializer {
        let same = |other: &&GraphProto| other.initializer.iter().find(|other| other.name == tensor.name).cloned();
        let mut tensors = vec![tensor.clone()];
        for (index, other) in others.iter().enumerate() {
            let other = same(other).filter(|other| other.dims == tensor.dims && other.data_type == tensor.data_type);
            tensors.push(other.ok_or_else(|| (index, format!("its `{}` is not of the first's shape", tensor.name)))?);
        }
        *tensor = mean(&tensors).map_err(|(index, cause)| (index - 1, cause))?;
    }
    Ok(())
}

/// The mean of constants of one shape, rounded once. What is no float must be the same in all.
fn mean(tensors: &[TensorProto]) -> std::result::Result<TensorProto, (usize, String)> {
    let first = &tensors[0];
    let means = |values: Vec<Vec<f64>>| -> Vec<f64> {
        let sum = |index: usize| values.iter().map(|values| values[index]).sum::<f64>();
        (0..values[0].len()).map(|index| sum(index) / values.len() as f64).collect()
    };
    if let Some(values) = numbers(tensors, |tensor| Some(floats(tensor)?.into_iter().map(f64::from).collect())) {
        let values: Vec<f32> = means(values).into_iter().map(|value| value as f32).collect();
        return Ok(float_tensor(&first.name, &first.dims, &values));
    }
    if let Some(values) = numbers(tensors, |tensor| Some(f16_values(tensor)?.into_iter().map(f64::from).collect())) {
        let values: Vec<f16> = means(values).into_iter().map(f16::from_f64).collect();
        return Ok(f16_tensor(&first.name, &first.dims, &values));
    }
    let Some(index) = tensors.iter().position(|other| other != first) else { return Ok(first.clone()) };
    let cause = match first.data_type {
        INT8 => "is in 8 bits; take the mean of the models that it was made from, then quantize".to_owned(),
        _ => format!("its constant `{}` is not the first's", first.name),
    };
    Err((index, cause))
}

/// The numbers of all tensors, where `read` finds some in each, and as many in each.
fn numbers(tensors: &[TensorProto], read: impl Fn(&TensorProto) -> Option<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    let values: Option<Vec<Vec<f64>>> = tensors.iter().map(read).collect();
    values.filter(|values| values.iter().all(|other| other.len() == values[0].len()))
}

/// The class with the largest of every `classes` values; the first of equals.
fn likeliest(values: &[f32], classes: usize) -> Vec<u8> {
    let largest =
        |cell: &[f32]| (1..cell.len()).fold(0, |best, class| if cell[class] > cell[best] { class } else { best });
    values.chunks_exact(classes.max(1)).map(|cell| largest(cell) as u8).collect()
}

/// Name and facts of one of the models.
fn part(spec: &ModelSpec) -> Value {
    let mut facts = Map::from_iter([("name".to_owned(), spec.name.clone().into())]);
    facts.extend(spec.training.clone());
    facts.into()
}

/// As a training's validation writes them.
fn scores(confusion: &Confusion) -> Map<String, Value> {
    let scores = [
        ("mean_iou", confusion.mean_iou()),
        ("mean_garment_iou", confusion.mean_garment_iou()),
        ("any_garment_iou", confusion.any_garment_iou()),
        ("pixel_accuracy", confusion.pixel_accuracy()),
    ];
    let rounded = |value: f64| (value * 1e4).round() / 1e4;
    scores.into_iter().filter_map(|(name, value)| Some((name.to_owned(), rounded(value?).into()))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::onnx::tensors::{INT64, node, raw_tensor};

    fn graph(weights: TensorProto, constant: i64) -> GraphProto {
        let mut graph = GraphProto::new();
        graph.node = vec![node("Conv", &["x", "w"], "y"), node("Reshape", &["y", "shape"], "z")];
        graph.initializer = vec![weights, raw_tensor("shape", INT64, &[1], constant.to_le_bytes().to_vec())];
        graph
    }

    #[test]
    fn weights_become_their_mean_in_their_own_precision() {
        let floats_of = |values: [f32; 2]| graph(float_tensor("w", &[2], &values), 7);
        let mut mean = floats_of([1.0, -3.0]);
        to_mean(&mut mean, &[&floats_of([2.0, 0.0]), &floats_of([6.0, 0.0])]).unwrap();
        assert_eq!(mean, floats_of([3.0, -1.0]));
        let halves_of = |value: f32| graph(f16_tensor("w", &[1], &[f16::from_f32(value)]), 7);
        let mut mean = halves_of(0.25);
        to_mean(&mut mean, &[&halves_of(0.75)]).unwrap();
        assert_eq!(mean, halves_of(0.5));
    }

    #[test]
    fn what_is_of_another_network_is_named() {
        let first = graph(float_tensor("w", &[1], &[1.0]), 7);
        let same = first.clone();
        let refused = |other: GraphProto| to_mean(&mut first.clone(), &[&same, &other]).unwrap_err();
        assert_eq!(refused(graph(float_tensor("w", &[2], &[1.0, 2.0]), 7)).0, 1);
        assert!(refused(graph(f16_tensor("w", &[1], &[f16::ONE]), 7)).1.contains("`w`"));
        assert!(refused(graph(float_tensor("w", &[1], &[1.0]), 8)).1.contains("constant `shape`"));
        let mut steps = first.clone();
        steps.node.pop();
        let (index, cause) = refused(steps);
        assert!(index == 1 && cause.contains("another network"), "{cause}");
        let eight_bits = |value: u8| graph(raw_tensor("w", INT8, &[1], vec![value]), 7);
        assert!(to_mean(&mut eight_bits(1), &[&eight_bits(2)]).unwrap_err().1.contains("8 bits"));
    }

    #[test]
    fn the_first_of_the_largest_is_the_class() {
        assert_eq!(likeliest(&[0.0, 2.0, 2.0, 1.0, 0.0, -1.0], 3), [1, 0]);
    }
}
