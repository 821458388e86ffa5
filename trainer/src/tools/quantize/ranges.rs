//! Which values flow through a network when it sees photos.
//!
//! The float graph gets another output, such as the least and the largest value of every tensor that is to be rounded, and runs over
//! the photos. A tensor's range is then not that of all photos at any price: one photo's outlier would make the steps of all
//! others coarse. It is the range that a share of the photos stays within.

use std::collections::HashMap;

use clothseg::ModelSpec;
use clothseg::engine::{self, EngineOptions};
use ndarray::Array4;
use onnx_ir::{GraphProto, Message, ModelProto};

use crate::error::{Error, Result};
use crate::onnx::tensors::{INT64, integer_attribute, node, raw_tensor};

/// Output of the observing graph.
const OBSERVED: &str = "observed_values";

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
    let mut observed = Observed { least: HashMap::new(), largest: HashMap::new() };
    let mut model = model.clone();
    add_ranges(model.graph.mut_or_insert_default(), tensors);
    run(model, tensors.len(), spec, inputs, options, |ranges| {
        for (index, name) in tensors.iter().enumerate() {
            observed.least.entry(name.clone()).or_default().push(ranges[[0, 0, index, 0]]);
            observed.largest.entry(name.clone()).or_default().push(ranges[[0, 1, index, 0]]);
        }
    })?;
    let sort = |values: &mut Vec<f32>| values.sort_by(f32::total_cmp);
    observed.least.values_mut().chain(observed.largest.values_mut()).for_each(sort);
    Ok(observed)
}

/// Runs `model` over `inputs` and notes the mean of each channel of `tensors`, which have so many channels.
pub(super) fn means(
    model: &ModelProto,
    tensors: &[(String, usize)],
    spec: &ModelSpec,
    inputs: &[Array4<f32>],
    options: &EngineOptions,
) -> Result<HashMap<String, Vec<f32>>> {
    let channels = tensors.iter().map(|(_, channels)| channels).sum();
    let mut sums = vec![0.0_f64; channels];
    let mut model = model.clone();
    add_means(model.graph.mut_or_insert_default(), tensors);
    run(model, channels, spec, inputs, options, |means| {
        sums.iter_mut().enumerate().for_each(|(index, sum)| *sum += f64::from(means[[0, 0, index, 0]]));
    })?;
    let mut rest = sums.into_iter().map(|sum| (sum / inputs.len().max(1) as f64) as f32);
    Ok(tensors.iter().map(|(name, channels)| (name.clone(), rest.by_ref().take(*channels).collect())).collect())
}

/// Runs a graph that has the tensor [`OBSERVED`], 1 x 2 x `count` x 1, and hands that of each photo to `each`.
fn run(
    mut model: ModelProto,
    count: usize,
    spec: &ModelSpec,
    inputs: &[Array4<f32>],
    options: &EngineOptions,
    mut each: impl FnMut(&Array4<f32>),
) -> Result<()> {
    let fail = |cause: String| Error::file(&spec.name, cause);
    let output = model.graph.mut_or_insert_default().output.first_mut();
    let output = output.ok_or_else(|| fail("the graph has no output".to_owned()))?;
    output.name = OBSERVED.to_owned();
    output.type_.mut_or_insert_default().mut_tensor_type().shape.clear();
    model.graph.mut_or_insert_default().output.truncate(1);
    let bytes = model.write_to_bytes().map_err(|error| fail(error.to_string()))?;
    let mut spec = spec.clone();
    spec.output.name = OBSERVED.to_owned();
    // The engine counts channels by classes: there are two of each.
    spec.taxonomy.classes.truncate(2);
    spec.taxonomy.groups.clear();
    // As the graph's own description: what is given beside a file is compared with a trial run, and these are no scores of cells.
    let mut engine = engine::open(&spec.embed_in_onnx(&bytes)?, &spec, options)?;
    for input in inputs {
        let observed = engine.run(input.view())?;
        if observed.dim() != (1, 2, count, 1) || observed.iter().any(|value| !value.is_finite()) {
            return Err(fail("the network's values are not finite".to_owned()));
        }
        each(&observed);
    }
    Ok(())
}

/// Adds the least and the largest value of tensors.
fn add_ranges(graph: &mut GraphProto, tensors: &[String]) {
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
}

/// Adds the means of tensors' channels, one tensor after another, twice.
fn add_means(graph: &mut GraphProto, tensors: &[(String, usize)]) {
    let pooled: Vec<String> = (0..tensors.len()).map(|index| format!("{OBSERVED}_{index}")).collect();
    let pools = tensors.iter().zip(&pooled).map(|((tensor, _), pooled)| node("GlobalAveragePool", &[tensor], pooled));
    graph.node.extend(pools);
    let pooled: Vec<&str> = pooled.iter().map(String::as_str).collect();
    let [stacked, shape, row] = ["stacked", "shape", "row"].map(|what| format!("{OBSERVED}_{what}"));
    let mut stack = node("Concat", &pooled, &stacked);
    stack.attribute.push(integer_attribute("axis", 1));
    let sides = [1_i64, 1, -1, 1].iter().flat_map(|side| side.to_le_bytes()).collect();
    graph.initializer.push(raw_tensor(shape.clone(), INT64, &[4], sides));
    let mut twice = node("Concat", &[&row, &row], OBSERVED);
    twice.attribute.push(integer_attribute("axis", 1));
    graph.node.extend([stack, node("Reshape", &[&stacked, &shape], &row), twice]);
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
