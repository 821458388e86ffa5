//! Which values flow through a network when it sees photos.
//!
//! The float graph gets another output, the least and the largest value of every tensor that is to be rounded, and runs over
//! the photos. A tensor's range is then not that of all photos at any price: one photo's outlier would make the steps of all
//! others coarse. It is the range that a share of the photos stays within.

use std::collections::HashMap;

use clothseg::ModelSpec;
use clothseg::engine::{self, EngineOptions};
use ndarray::Array4;
use onnx_ir::{Message, ModelProto};

use crate::error::{Error, Result};
use crate::onnx::tensors::{integer_attribute, node};

/// Output of the observing graph.
const OBSERVED: &str = "observed_ranges";

/// The least and the largest value, with 0 between them.
pub(super) type Range = [f32; 2];

/// What each tensor was, photo by photo.
pub(super) struct Observed {
    /// By tensor; a number a photo, in rising order.
    least: HashMap<String, Vec<f32>>,
    largest: HashMap<String, Vec<f32>>,
}

impl Observed {
    /// Ranges that this share of the photos, 0..1, stays within.
    pub(super) fn covering(&self, share: f64) -> HashMap<String, Range> {
        // A little less, so that 0.8 of 5 is 4 in floats too.
        let inside = |count: usize| ((count as f64 * share - 1e-9).ceil() as usize).clamp(1, count.max(1));
        let outside = |count: usize| count.saturating_sub(inside(count));
        let range = |(name, largest): (&String, &Vec<f32>)| {
            let least = self.least.get(name)?;
            let low = least.get(outside(least.len()))?.min(0.0);
            let high = largest.get(largest.len().checked_sub(1 + outside(largest.len()))?)?.max(0.0);
            Some((name.clone(), [low, high]))
        };
        self.largest.iter().filter_map(range).collect()
    }
}

/// Runs `model` over `inputs` and notes the range of each of `tensors`.
pub(super) fn observe(
    model: &ModelProto,
    tensors: &[String],
    spec: &ModelSpec,
    inputs: &[Array4<f32>],
    options: &EngineOptions,
) -> Result<Observed> {
    let bytes = observing(model, tensors).map_err(|cause| Error::file(&spec.name, cause))?;
    let mut spec = spec.clone();
    spec.output.name = OBSERVED.to_owned();
    // The engine counts channels by classes: here one of the least values, one of the largest.
    spec.taxonomy.classes.truncate(2);
    spec.taxonomy.groups.clear();
    // As the graph's own description: what is given beside a file is compared with a trial run, and ranges are no scores of cells.
    let mut engine = engine::open(&spec.embed_in_onnx(&bytes)?, &spec, options)?;
    let mut observed = Observed { least: HashMap::new(), largest: HashMap::new() };
    for input in inputs {
        let ranges = engine.run(input.view())?;
        if ranges.dim() != (1, 2, tensors.len(), 1) || ranges.iter().any(|value| !value.is_finite()) {
            return Err(Error::file(&spec.name, "the network's values are not finite".to_owned()));
        }
        for (index, name) in tensors.iter().enumerate() {
            observed.least.entry(name.clone()).or_default().push(ranges[[0, 0, index, 0]]);
            observed.largest.entry(name.clone()).or_default().push(ranges[[0, 1, index, 0]]);
        }
    }
    let sort = |values: &mut Vec<f32>| values.sort_by(f32::total_cmp);
    observed.least.values_mut().chain(observed.largest.values_mut()).for_each(sort);
    Ok(observed)
}

/// The graph with one output, 1 x 2 x tensors x 1.
fn observing(model: &ModelProto, tensors: &[String]) -> std::result::Result<Vec<u8>, String> {
    let mut model = model.clone();
    let graph = model.graph.mut_or_insert_default();
    for (channel, reduction) in ["ReduceMin", "ReduceMax"].into_iter().enumerate() {
        // Over all axes, which are kept: 1 x 1 x 1 x 1 each.
        let reduced: Vec<String> = (0..tensors.len()).map(|index| format!("{OBSERVED}_{channel}_{index}")).collect();
        graph.node.extend(tensors.iter().zip(&reduced).map(|(tensor, reduced)| node(reduction, &[tensor], reduced)));
        let reduced: Vec<&str> = reduced.iter().map(String::as_str).collect();
        let mut stacked = node("Concat", &reduced, &format!("{OBSERVED}_{channel}"));
        stacked.attribute.push(integer_attribute("axis", 2));
        graph.node.push(stacked);
    }
    let mut both = node("Concat", &[&format!("{OBSERVED}_0"), &format!("{OBSERVED}_1")], OBSERVED);
    both.attribute.push(integer_attribute("axis", 1));
    graph.node.push(both);
    let Some(output) = graph.output.first_mut() else { return Err("the graph has no output".to_owned()) };
    output.name = OBSERVED.to_owned();
    output.type_.mut_or_insert_default().mut_tensor_type().shape.clear();
    graph.output.truncate(1);
    model.write_to_bytes().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_leaves_out_the_photos_beyond_its_share() {
        let observed = |count: u8| {
            let rising: Vec<f32> = (1..=count).map(f32::from).collect();
            let falling: Vec<f32> = rising.iter().rev().map(|value| -value).collect();
            let named = |values: Vec<f32>| HashMap::from([("x".to_owned(), values)]);
            Observed { least: named(falling), largest: named(rising) }
        };
        let range = |count, share| observed(count).covering(share)["x"];
        assert_eq!(range(5, 1.0), [-5.0, 5.0]);
        assert_eq!(range(5, 0.8), [-4.0, 4.0]);
        assert_eq!(range(20, 0.95), [-19.0, 19.0]);
        assert_eq!(range(1, 0.5), [-1.0, 1.0]);
        let positive = Observed { least: HashMap::from([("x".to_owned(), vec![2.0])]), ..observed(1) };
        assert_eq!(positive.covering(1.0)["x"], [0.0, 1.0], "0 is within");
    }
}
