//! Calibration: a logit adjustment for each class, so that none is drowned by its commoner neighbours.
//!
//! Where a class is rare or hard to tell, the network finds it likely and another one a little likelier nearly everywhere: a
//! cross entropy of weighted pixels does not ask for the best intersection over union of every class. A constant a class does
//! what no constant weight of the loss did: Menon et al., "Long-tail learning via logit adjustment", 2021, section 4.1, with
//! constants from the classes' shares; here they are searched for, so that the mean IoU over the classes is largest on
//! photos of the training. Weighted classes also make garments spread over the background; a constant of the background's
//! against all of them takes that back. The constants go into the last convolution's bias, and cost nothing.

mod search;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clothseg::engine::{self, EngineOptions};
use clothseg::spec::OutputKind;
use clothseg::{Model, Photo, preprocess};
use clothseg_batch::write_atomically;
use onnx_ir::{GraphProto, Message, ModelProto};
use serde_json::json;

use self::search::Cells;
use super::cells::labelled_cells;
use super::refuse_input_as_output;
use crate::counted::counted;
use crate::data::{Sample, Target};
use crate::error::{Error, Result};
use crate::evaluate::matching_classes;
use crate::onnx::tensors::{float_tensor, floats};

/// What is made largest on photos of the training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objective {
    /// The mean IoU over all classes: those that are drowned are raised.
    #[default]
    MeanIou,
    /// The IoU of garments of whatever class: the background alone is moved, down or up.
    AnyGarment,
}

impl Objective {
    /// All of them.
    pub const ALL: [Objective; 2] = [Objective::MeanIou, Objective::AnyGarment];

    fn name(self) -> &'static str {
        match self {
            Objective::MeanIou => "mean-iou",
            Objective::AnyGarment => "any-garment",
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let known = Self::ALL.into_iter().find(|objective| objective.name() == text);
        known.ok_or_else(|| format!("`{text}` is neither mean-iou nor any-garment"))
    }
}

/// The key of a description's facts on this.
const FACT: &str = "calibrated";

/// The same in files of before it had that name.
const OLD_FACT: &str = "balanced";

/// Of the cells of the logits every so many a row and a column count.
const CELL_STEP: usize = 2;

/// What became of a model.
#[derive(Clone, Debug)]
pub struct Calibrated {
    /// The file.
    pub path: PathBuf,
    /// What was added to each class's logits, by the class's name.
    pub adjustments: Vec<(String, f32)>,
    /// The objective over the cells of all photos before and after.
    pub iou: [f64; 2],
    /// Photos looked at.
    pub photos: usize,
    /// What ran the model.
    pub engine: String,
}

/// Writes a model whose logits are calibrated on `photos` that it was trained on, with labels in the classes of `target`, which must
/// be the model's. Each photo comes with its weight.
pub fn calibrate(
    model: &Path,
    target: &Target,
    objective: Objective,
    photos: impl IntoIterator<Item = Result<(Sample, f32)>>,
    output: &Path,
    options: &EngineOptions,
) -> Result<Calibrated> {
    let fail = |cause: String| Error::file(model, cause);
    refuse_input_as_output(&[model.to_path_buf()], output)?;
    let model = Model::open(model).map_err(Error::model(model))?;
    let spec = model.spec();
    matching_classes(spec, target)?;
    if spec.output.kind != OutputKind::Logits {
        return Err(fail("its outputs are probabilities; logits are needed".to_owned()));
    }
    if spec.taxonomy.len() < 2 {
        return Err(fail("it has no class besides the background; there is nothing to calibrate".to_owned()));
    }
    if [FACT, OLD_FACT].into_iter().any(|fact| spec.training.contains_key(fact)) {
        return Err(fail("it is already calibrated; calibrate the file that it was made from".to_owned()));
    }
    let mut proto = ModelProto::parse_from_bytes(model.onnx()).map_err(|error| fail(error.to_string()))?;
    // Before all photos are looked at: can it be done?
    let nothing = vec![0.0; spec.taxonomy.len()];
    add_to_bias(proto.graph.clone().mut_or_insert_default(), &spec.output.name, &nothing).map_err(fail)?;
    let mut engine = engine::open(model.onnx(), spec, options)?;
    let mut cells = Cells::new(spec.taxonomy.classes.len());
    let mut count = 0;
    for photo in photos {
        let (sample, weight) = photo?;
        let (input, _) = preprocess::prepare(&Photo::from_rgb(sample.photo.clone())?, &spec.input)?;
        let (values, truth) = labelled_cells(&engine.run(input.view())?, &sample.labels, spec, CELL_STEP);
        cells.add(&values, &truth, weight);
        count += 1;
    }
    if cells.len() == 0 {
        return Err(fail(format!("{} no labelled pixel to calibrate on", counted(count, "photo has", "photos have"))));
    }
    let photos = counted(count, "photo", "photos");
    tracing::info!("searching for the adjustments on {} output cells of {photos}", cells.len());
    let found = cells.search(objective);
    let names = spec.taxonomy.classes.iter().map(|class| class.name.clone());
    let adjustments: Vec<(String, f32)> = names.zip(found.offsets.iter().copied()).collect();
    add_to_bias(proto.graph.mut_or_insert_default(), &spec.output.name, &found.offsets).map_err(fail)?;
    let bytes = proto.write_to_bytes().map_err(|error| fail(error.to_string()))?;
    let mut spec = spec.clone();
    let rounded = |value: f64| (value * 1e4).round() / 1e4;
    let changed = adjustments.iter().filter(|(_, offset)| *offset != 0.0);
    let facts = json!({
        "photos": count,
        "objective": objective.name(),
        "iou_before": rounded(found.iou[0]),
        "iou_after": rounded(found.iou[1]),
        "logit_adjustments": changed.map(|(name, offset)| (name.clone(), rounded(f64::from(*offset)).into()))
            .collect::<serde_json::Map<_, _>>(),
    });
    spec.training.insert(FACT.to_owned(), facts);
    let bytes = spec.embed_in_onnx(&bytes)?;
    engine::open(&bytes, &spec, options)?; // what does not open is not written
    write_atomically(output, &bytes)?;
    let engine = engine.info().to_string();
    Ok(Calibrated { path: output.to_path_buf(), adjustments, iou: found.iou, photos: count, engine })
}

/// Adds to the bias of the convolution that makes the output, behind which the output may be enlarged, and have something
/// added.
fn add_to_bias(graph: &mut GraphProto, output: &str, offsets: &[f32]) -> std::result::Result<(), String> {
    let mut name = output.to_owned();
    loop {
        let node = graph.node.iter_mut().find(|node| node.output.contains(&name));
        let node = node.ok_or_else(|| format!("nothing makes its `{name}`"))?;
        match (node.op_type.as_str(), node.input.first()) {
            // An addition is that of a head's log probabilities, which come second.
            ("Resize" | "Add", Some(input)) => name = input.clone(),
            ("Conv", Some(_)) => {
                let bias = node.input.get(2).cloned().unwrap_or_default();
                let tensor = graph.initializer.iter_mut().find(|tensor| tensor.name == bias);
                let old = tensor.as_ref().and_then(|tensor| floats(tensor)).filter(|old| old.len() == offsets.len());
                let (Some(tensor), Some(old)) = (tensor, old) else {
                    return Err(format!("its last convolution has no bias of {} floats", offsets.len()));
                };
                let new: Vec<f32> = old.iter().zip(offsets).map(|(old, offset)| old + offset).collect();
                *tensor = float_tensor(bias, &[new.len() as i64], &new);
                return Ok(());
            }
            (other, _) => return Err(format!("its logits come from a {other}, not from a convolution")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::onnx::tensors::node;

    #[test]
    fn offsets_go_to_the_last_convolutions_bias() {
        let mut graph = GraphProto::new();
        graph.node = vec![
            node("Conv", &["x", "w", "a"], "y"),
            node("Conv", &["y", "v", "b"], "small"),
            node("Resize", &["small", "", "scales"], "logits"),
        ];
        graph.initializer = vec![float_tensor("a", &[2], &[1.0, 2.0]), float_tensor("b", &[2], &[3.0, 4.0])];
        add_to_bias(&mut graph, "logits", &[0.0, 0.5]).unwrap();
        let bias = |index: usize| floats(&graph.initializer[index]).unwrap();
        assert_eq!((bias(0), bias(1)), (vec![1.0, 2.0], vec![3.0, 4.5]));
        assert!(add_to_bias(&mut graph.clone(), "logits", &[0.0; 3]).unwrap_err().contains("no bias of 3 floats"));
        assert!(add_to_bias(&mut graph.clone(), "other", &[0.0; 2]).unwrap_err().contains("nothing makes"));
        graph.node[1].op_type = "Softmax".to_owned();
        assert!(add_to_bias(&mut graph, "logits", &[0.0; 2]).unwrap_err().contains("Softmax"));
    }
}
