//! The float graph to the QDQ graph.

use std::collections::{HashMap, HashSet};

use onnx_ir::{GraphProto, ModelProto, NodeProto, TensorProto};

use super::ranges::Range;
use crate::onnx::simplify::readers;
use crate::onnx::tensors::{INT8, INT32, UINT8, float_tensor, floats, integer_attribute, node, raw_tensor};

/// Largest absolute weight in steps. Seven bits: processors without VNNI add two products of eight bits in sixteen, and would
/// overflow with eight.
const WEIGHT_STEPS: f32 = 64.0;

/// The first operator set in which DequantizeLinear has steps a channel, and the first format in which constants are no inputs.
const OPSET: i64 = 13;
const IR_VERSION: i64 = 4;

/// Largest absolute bias in steps, far from the edge of 32 bits.
const BIAS_STEPS: f32 = (1 << 30) as f32;

/// Constants of the float graph: shape and numbers, by name.
type Constants = HashMap<String, (Vec<i64>, Vec<f32>)>;

/// What is rounded where.
pub(super) struct Plan {
    /// Convolutions in 8 bits: index of the node.
    convolutions: HashSet<usize>,
    /// Activations that rounding to a range that begins at 0 does in passing: index of the node.
    absorbed: HashSet<usize>,
    /// What nodes write instead that have such an activation behind them: its output.
    writes: HashMap<usize, String>,
    /// Tensors that are rounded, in the order of the graph. Those that are moved only have the range of what they are made
    /// from, which is named.
    rounded: Vec<(String, Option<String>)>,
}

/// Operations that engines have in 8 bits, besides convolutions and those that only move numbers.
const JOINS: [&str; 2] = ["Add", "Concat"];

/// All operations of the networks that [`export`](crate::export) writes.
const KNOWN: [&str; 19] = [
    "Conv",
    "BatchNormalization",
    "Relu",
    "Clip",
    "Log",
    "Sigmoid",
    "Softmax",
    "Add",
    "Sub",
    "Mul",
    "Concat",
    "Resize",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "ReduceMean",
    "Pad",
    "Expand",
    "Identity",
];

/// Why a model is none that can be rewritten here, if it is none.
pub(super) fn check(model: &ModelProto) -> Result<(), String> {
    let graph = model.graph.get_or_default();
    let opset = model.opset_import.iter().find(|opset| opset.domain.is_empty()).map_or(0, |opset| opset.version);
    if opset < OPSET || model.ir_version < IR_VERSION {
        return Err(format!(
            "its opset is {opset} in format {}, and {OPSET} in {IR_VERSION} is needed for steps a channel; export it anew",
            model.ir_version
        ));
    }
    if let Some(node) = graph.node.iter().find(|node| !KNOWN.contains(&node.op_type.as_str())) {
        return Err(format!("it was not written by `export`: it has the operation {}", node.op_type));
    }
    let read = readers(graph);
    match graph.output.iter().find(|output| read.get(&output.name).is_some_and(|readers| *readers > 1)) {
        Some(output) => Err(format!("it was not written by `export`: its output {} is used again", output.name)),
        None => Ok(()),
    }
}

/// Whether a node only moves numbers about, so that its output has the steps of its input. Linear upsampling is none: it makes
/// new numbers, which some engines cut off instead of rounding them.
fn only_moves(node: &NodeProto) -> bool {
    let mode = node.attribute.iter().find(|attribute| attribute.name == "mode");
    match node.op_type.as_str() {
        "MaxPool" => true,
        "Resize" => mode.is_none_or(|mode| &mode.s[..] == b"nearest"),
        _ => false,
    }
}

/// The nodes from the last convolutions on: they make the logits, which stay floats.
fn tail(graph: &GraphProto) -> HashSet<usize> {
    let mut wanted: HashSet<&String> = graph.output.iter().map(|output| &output.name).collect();
    let mut tail = HashSet::new();
    for (index, node) in graph.node.iter().enumerate().rev() {
        if node.output.iter().any(|name| wanted.contains(name)) {
            tail.insert(index);
            if node.op_type != "Conv" {
                wanted.extend(&node.input);
            }
        }
    }
    tail
}

impl Plan {
    /// Looks at a graph that is simplified: no batch norm of a convolution, no ReLU6 of several nodes.
    pub(super) fn of(graph: &GraphProto) -> Result<Self, String> {
        let constants: HashMap<&String, &TensorProto> =
            graph.initializer.iter().map(|tensor| (&tensor.name, tensor)).collect();
        let outputs: HashSet<&String> = graph.output.iter().map(|output| &output.name).collect();
        let readers = readers(graph);
        // The activation behind a tensor that nobody else reads: it may only cut off what is below 0, and above some limit.
        let activation = |name: &String| {
            let reads = |node: &&NodeProto| node.input.first() == Some(name);
            let (index, node) = graph.node.iter().enumerate().find(|(_, node)| reads(node))?;
            let from_zero =
                || constants.get(node.input.get(1)?).and_then(|low| floats(low)).filter(|low| *low == [0.0]);
            let cuts = node.op_type == "Relu" || (node.op_type == "Clip" && from_zero().is_some());
            let output = node.output.first().filter(|output| !outputs.contains(output))?;
            (cuts && readers.get(name) == Some(&1)).then(|| (index, output.clone()))
        };
        let mut plan = Self {
            convolutions: HashSet::new(),
            absorbed: HashSet::new(),
            writes: HashMap::new(),
            rounded: Vec::new(),
        };
        let tail = tail(graph);
        let mut seen = HashSet::new();
        let mut round = |plan: &mut Self, name: &String, like: Option<&String>| {
            let flows = !constants.contains_key(name) && !outputs.contains(name) && !name.is_empty();
            if flows && seen.insert(name.clone()) {
                plan.rounded.push((name.clone(), like.cloned()));
            }
        };
        for (index, node) in graph.node.iter().enumerate().filter(|(index, _)| !tail.contains(index)) {
            let (Some(input), Some(output)) = (node.input.first(), node.output.first()) else { continue };
            let op_type = node.op_type.as_str();
            let has_weights = || node.input.iter().skip(1).all(|name| constants.contains_key(name));
            if op_type == "Conv" && has_weights() {
                plan.convolutions.insert(index);
                round(&mut plan, input, None);
            } else if JOINS.contains(&op_type) {
                node.input.iter().for_each(|input| round(&mut plan, input, None));
            } else if only_moves(node) {
                round(&mut plan, input, None);
                round(&mut plan, output, Some(input));
                continue;
            } else {
                continue;
            }
            match activation(output) {
                Some((next, written)) => {
                    round(&mut plan, &written, None);
                    plan.absorbed.insert(next);
                    plan.writes.insert(index, written);
                }
                None => round(&mut plan, output, None),
            }
        }
        match plan.convolutions.is_empty() {
            true => Err("it has no convolution that could be done in 8 bits".to_owned()),
            false => Ok(plan),
        }
    }

    /// The tensors whose ranges have to be known.
    pub(super) fn tensors(&self) -> Vec<String> {
        self.rounded.iter().filter(|(_, like)| like.is_none()).map(|(name, _)| name.clone()).collect()
    }

    /// What the convolutions in 8 bits read, with the number of its channels; each once.
    pub(super) fn inputs(&self, graph: &GraphProto) -> Vec<(String, usize)> {
        let weights = |name: &String| graph.initializer.iter().find(|tensor| tensor.name == *name);
        let nodes = graph.node.iter().enumerate().filter(|(index, _)| self.convolutions.contains(index));
        let mut inputs: Vec<(String, usize)> = nodes
            .filter_map(|(_, node)| {
                let [input, name, ..] = &node.input[..] else { return None };
                let in_a_group = usize::try_from(*weights(name)?.dims.get(1)?).ok()?;
                Some((input.clone(), in_a_group * groups(node)))
            })
            .collect();
        inputs.sort();
        inputs.dedup();
        inputs
    }

    /// Number of convolutions in 8 bits.
    pub(super) fn convolutions(&self) -> usize {
        self.convolutions.len()
    }

    /// Puts the pairs in: each tensor is rounded to its range, and who read it reads it rounded.
    ///
    /// `means` are those of the channels that convolutions read.
    pub(super) fn rewrite(
        &self,
        graph: &mut GraphProto,
        ranges: &HashMap<String, Range>,
        means: &HashMap<String, Vec<f32>>,
    ) -> Result<(), String> {
        let mut steps: HashMap<&String, Steps> = HashMap::new();
        for (name, like) in &self.rounded {
            let known = match like {
                Some(like) => steps.get(like).cloned(),
                None => ranges.get(name).map(|range| Steps::of(name, *range)),
            };
            steps.insert(name, known.ok_or_else(|| format!("the range of {name} is unknown"))?);
        }
        let constants: Constants = graph
            .initializer
            .iter()
            .filter_map(|tensor| Some((tensor.name.clone(), (tensor.dims.clone(), floats(tensor)?))))
            .collect();
        let mut rewritten = Rewritten::default();
        for input in &graph.input {
            rewritten.round(&input.name, &steps);
        }
        for (index, mut node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
            if self.absorbed.contains(&index) {
                continue;
            }
            if self.convolutions.contains(&index) {
                let at = steps.get(&node.input[0]).ok_or_else(|| format!("{}: unknown steps", node.name))?;
                let means = means.get(&node.input[0]).map(Vec::as_slice);
                rewritten.round_weights(&mut node, at.size, means, &constants)?;
            }
            for input in node.input.iter_mut().filter(|input| steps.contains_key(*input)) {
                *input = rounded(input);
            }
            if let Some(written) = self.writes.get(&index) {
                node.output[0].clone_from(written);
            }
            let outputs = node.output.clone();
            rewritten.nodes.push(node);
            outputs.iter().for_each(|output| rewritten.round(output, &steps));
        }
        graph.node = rewritten.nodes;
        graph.initializer.extend(rewritten.constants);
        let wanted = readers(graph);
        graph.initializer.retain(|tensor| wanted.contains_key(&tensor.name));
        let names = graph.initializer.iter().map(|tensor| &tensor.name);
        let mut names: Vec<&String> = names.chain(graph.node.iter().flat_map(|node| &node.output)).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("two tensors would have the name {}", twice[0]));
        }
        // What it says of tensors in between is about floats.
        graph.value_info.clear();
        Ok(())
    }
}

/// The groups of a convolution.
fn groups(conv: &NodeProto) -> usize {
    let group = conv.attribute.iter().find(|attribute| attribute.name == "group");
    group.and_then(|group| usize::try_from(group.i).ok()).unwrap_or(1).max(1)
}

/// What weights that are `lost`, `each` a channel, would add to each channel for inputs of these means.
fn shift_of(lost: &[f32], each: usize, in_a_group: usize, groups: usize, means: &[f32]) -> Vec<f32> {
    let channels = lost.len() / each;
    let taps = (each / in_a_group).max(1);
    let of_channel = |(channel, lost): (usize, &[f32])| {
        let first = channel * groups / channels * in_a_group;
        lost.chunks(taps).zip(&means[first..]).map(|(taps, mean)| taps.iter().sum::<f32>() * mean).sum()
    };
    lost.chunks(each).enumerate().map(of_channel).collect()
}

/// The name of a tensor's rounded values.
fn rounded(name: &str) -> String {
    format!("{name}_rounded")
}

/// How a tensor is rounded: `value = size (step - zero)` with `step` of 0 to 255.
#[derive(Clone, Debug, PartialEq)]
struct Steps {
    /// Tensor whose constants say so.
    named: String,
    size: f32,
    zero: u8,
}

impl Steps {
    /// 256 steps over a range that holds 0, which is one of them.
    fn of(name: &str, [low, high]: Range) -> Self {
        let size = (high - low) / 255.0;
        let size = if size > 0.0 { size } else { 1.0 };
        Self { named: name.to_owned(), size, zero: (-low / size).round().clamp(0.0, 255.0) as u8 }
    }
}

/// The new graph as it grows.
#[derive(Default)]
struct Rewritten {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Rewritten {
    /// Rounds a tensor, if it is one that is to be rounded.
    fn round(&mut self, name: &String, steps: &HashMap<&String, Steps>) {
        let Some(at) = steps.get(name) else { return };
        let (size, zero) = (format!("{}_size", at.named), format!("{}_zero", at.named));
        if at.named == *name {
            self.constants.push(float_tensor(size.clone(), &[], &[at.size]));
            self.constants.push(raw_tensor(zero.clone(), UINT8, &[], vec![at.zero]));
        }
        let steps = format!("{name}_steps");
        self.nodes.push(node("QuantizeLinear", &[name, &size, &zero], &steps));
        self.nodes.push(node("DequantizeLinear", &[&steps, &size, &zero], &rounded(name)));
    }

    /// Replaces a convolution's weights and biases by rounded ones, with steps of their own for each output channel. A step of
    /// a bias is one of the input times one of the weights, so that sums of products need no conversion.
    ///
    /// What rounding the weights adds to a channel on average, for inputs of these means, is taken off its bias (Nagel et al.,
    /// "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section 4.2).
    fn round_weights(
        &mut self,
        conv: &mut NodeProto,
        input_size: f32,
        means: Option<&[f32]>,
        constants: &Constants,
    ) -> Result<(), String> {
        let unknown = || format!("{}: its weights are not numbers in 32 bits within the file", conv.name);
        let (dims, weights) = constants.get(&conv.input[1]).ok_or_else(unknown)?;
        let bias = match conv.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => Some(&constants.get(name).ok_or_else(unknown)?.1),
            None => None,
        };
        let channels = dims.first().map_or(0, |&channels| channels as usize);
        if channels == 0 || bias.is_some_and(|bias| bias.len() != channels) || weights.len() % channels != 0 {
            return Err(unknown());
        }
        let each = (weights.len() / channels).max(1);
        let size_of = |(channel, weights): (usize, &[f32])| {
            let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
            let for_bias = bias.map_or(0.0, |bias| bias[channel].abs() / (input_size * BIAS_STEPS));
            let size = (largest / WEIGHT_STEPS).max(for_bias);
            if size > 0.0 { size } else { 1.0 }
        };
        let sizes: Vec<f32> = weights.chunks(each).enumerate().map(size_of).collect();
        let steps = weights.iter().enumerate().map(|(index, weight)| (weight / sizes[index / each]).round());
        let steps: Vec<f32> = steps.collect();
        let in_a_group = dims.get(1).map_or(1, |&inputs| inputs.max(1) as usize);
        let lost = |(index, (weight, step)): (usize, (&f32, &f32))| weight - step * sizes[index / each];
        let lost: Vec<f32> = weights.iter().zip(&steps).enumerate().map(lost).collect();
        let shift = means.map(|means| shift_of(&lost, each, in_a_group, groups(conv), means));
        let base = conv.output[0].clone();
        let steps =
            raw_tensor(format!("{base}_weight8"), INT8, dims, steps.iter().map(|step| *step as i8 as u8).collect());
        conv.input[1] = self.constant(steps, &sizes, 1);
        if let Some(bias) = bias {
            let sizes: Vec<f32> = sizes.iter().map(|size| size * input_size).collect();
            let shift = |channel: usize| shift.as_ref().map_or(0.0, |shift| shift[channel]);
            let steps = bias.iter().zip(&sizes).enumerate();
            let steps = steps.map(|(channel, (bias, size))| ((bias + shift(channel)) / size).round() as i32);
            let bytes = steps.flat_map(i32::to_le_bytes).collect();
            let steps = raw_tensor(format!("{base}_bias32"), INT32, &dims[..1], bytes);
            conv.input[2] = self.constant(steps, &sizes, 4);
        }
        Ok(())
    }

    /// Adds rounded numbers, with a step size for each entry of the first axis, and the node that makes floats of them; returns
    /// their name.
    fn constant(&mut self, steps: TensorProto, sizes: &[f32], bytes_each: usize) -> String {
        let channels = [sizes.len() as i64];
        let names = ["size", "zero", "rounded"].map(|what| format!("{}_{what}", steps.name));
        let mut from_steps = node("DequantizeLinear", &[&steps.name, &names[0], &names[1]], &names[2]);
        from_steps.attribute.push(integer_attribute("axis", 0));
        self.nodes.push(from_steps);
        self.constants.push(float_tensor(names[0].clone(), &channels, sizes));
        self.constants.push(raw_tensor(
            names[1].clone(),
            steps.data_type,
            &channels,
            vec![0; sizes.len() * bytes_each],
        ));
        self.constants.push(steps);
        let [.., rounded] = names;
        rounded
    }
}

#[cfg(test)]
mod tests;
