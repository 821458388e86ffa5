//! A captured graph with fewer nodes that computes the same: what engines would otherwise have to find out at every start,
//! or do not find out at all.

use std::collections::{HashMap, HashSet};

use onnx_ir::{GraphProto, NodeProto};

use super::tensors::{float_tensor, floats, node};

/// Batch norm's epsilon where a node names none.
const DEFAULT_EPSILON: f32 = 1e-5;

/// One Clip for each ReLU6, batch norms within their convolutions, and nothing that nobody reads.
pub(crate) fn simplify(graph: &mut GraphProto) {
    merge_relu6(graph);
    fold_batch_norms(graph);
    drop_unread(graph);
}

/// Which node makes a tensor.
fn producers(graph: &GraphProto) -> HashMap<String, usize> {
    let outputs = |(index, node): (usize, &NodeProto)| node.output.iter().map(|name| (name.clone(), index)).collect();
    graph.node.iter().enumerate().flat_map::<Vec<_>, _>(outputs).collect()
}

/// How often nodes, and the graph's outputs, read each tensor.
pub(crate) fn readers(graph: &GraphProto) -> HashMap<String, usize> {
    let mut readers = HashMap::new();
    let outputs = graph.output.iter().map(|output| &output.name);
    for name in graph.node.iter().flat_map(|node| &node.input).chain(outputs) {
        *readers.entry(name.clone()).or_default() += 1;
    }
    readers
}

/// The constants of type FLOAT, by name.
fn constants(graph: &GraphProto) -> HashMap<String, Vec<f32>> {
    graph.initializer.iter().filter_map(|tensor| Some((tensor.name.clone(), floats(tensor)?))).collect()
}

/// `relu(x) - relu(x - c)`, which is how the layers spell it in operations that Burn can write, is `clip(x, 0, c)`.
fn merge_relu6(graph: &mut GraphProto) {
    let producers = producers(graph);
    let constants = constants(graph);
    let made_by = |name: &String, op_type: &str| {
        producers.get(name).map(|&index| &graph.node[index]).filter(|node| node.op_type == op_type)
    };
    let clip = |difference: &NodeProto| -> Option<(NodeProto, f32)> {
        let [above, over] = &difference.input[..] else { return None };
        let source = made_by(above, "Relu")?.input.first()?;
        let shifted = made_by(made_by(over, "Relu")?.input.first()?, "Sub")?;
        let limit = *constants.get(shifted.input.get(1)?).filter(|limit| limit.len() == 1)?.first()?;
        let output = difference.output.first()?;
        let is_clip = difference.op_type == "Sub" && shifted.input[0] == *source && limit > 0.0;
        is_clip.then(|| (node("Clip", &[source, &format!("{output}_low"), &format!("{output}_high")], output), limit))
    };
    let clips: Vec<_> = graph.node.iter().map(clip).collect();
    for (index, (clip, limit)) in clips.into_iter().enumerate().filter_map(|(index, clip)| Some((index, clip?))) {
        graph.initializer.push(float_tensor(clip.input[1].clone(), &[], &[0.0]));
        graph.initializer.push(float_tensor(clip.input[2].clone(), &[], &[limit]));
        graph.node[index] = clip;
    }
}

/// A batch norm behind a convolution that nobody else reads is a factor and a sum a channel, which the convolution's weights
/// and biases take over.
fn fold_batch_norms(graph: &mut GraphProto) {
    let producers = producers(graph);
    let readers = readers(graph);
    let constants = constants(graph);
    let dims: HashMap<String, Vec<i64>> =
        graph.initializer.iter().map(|tensor| (tensor.name.clone(), tensor.dims.clone())).collect();
    for index in 0..graph.node.len() {
        let norm = &graph.node[index];
        let Some(&conv_index) = norm.input.first().and_then(|name| producers.get(name)) else { continue };
        let conv = &graph.node[conv_index];
        let is_pair = norm.op_type == "BatchNormalization" && conv.op_type == "Conv";
        if !is_pair || readers.get(&norm.input[0]) != Some(&1) || norm.output.len() != 1 {
            continue;
        }
        let Some((weights, bias)) = folded(norm, conv, &constants) else { continue };
        let Some(shape) = conv.input.get(1).and_then(|name| dims.get(name)) else { continue };
        let output = norm.output[0].clone();
        let names = [format!("{output}_weight"), format!("{output}_bias")];
        graph.initializer.push(float_tensor(names[0].clone(), shape, &weights));
        graph.initializer.push(float_tensor(names[1].clone(), &shape[..1], &bias));
        let conv = &mut graph.node[conv_index];
        conv.input.truncate(1);
        conv.input.extend(names);
        conv.output = vec![output];
        // Nobody reads it any more.
        graph.node[index].output = vec![String::new()];
    }
}

/// The weights and biases of a convolution with its batch norm: `gamma (w x + b - mean) / sqrt(variance + epsilon) + beta`.
fn folded(norm: &NodeProto, conv: &NodeProto, constants: &HashMap<String, Vec<f32>>) -> Option<(Vec<f32>, Vec<f32>)> {
    let [_, gamma, beta, mean, variance] = &norm.input[..] else { return None };
    let [gamma, beta, mean, variance] = [gamma, beta, mean, variance].map(|name| constants.get(name));
    let (gamma, beta, mean, variance) = (gamma?, beta?, mean?, variance?);
    let weights = constants.get(conv.input.get(1)?)?;
    let channels = gamma.len();
    let bias = match conv.input.get(2).filter(|name| !name.is_empty()) {
        Some(name) => constants.get(name)?.clone(),
        None => vec![0.0; channels],
    };
    let lengths = [beta, mean, variance, &bias].map(|values| values.len());
    if channels == 0 || lengths != [channels; 4] || weights.len() % channels != 0 {
        return None;
    }
    let epsilon = norm.attribute.iter().find(|attribute| attribute.name == "epsilon");
    let epsilon = f64::from(epsilon.map_or(DEFAULT_EPSILON, |attribute| attribute.f));
    let factors: Vec<f64> =
        (0..channels).map(|at| f64::from(gamma[at]) / (f64::from(variance[at]) + epsilon).sqrt()).collect();
    let each = weights.len() / channels;
    let weights = weights.chunks(each.max(1)).zip(&factors);
    let weights =
        weights.flat_map(|(weights, factor)| weights.iter().map(move |weight| (f64::from(*weight) * factor) as f32));
    let shifted = |at: usize| (f64::from(bias[at]) - f64::from(mean[at])) * factors[at] + f64::from(beta[at]);
    Some((weights.collect(), (0..channels).map(|at| shifted(at) as f32).collect()))
}

/// Removes nodes and constants that the outputs do not follow from.
fn drop_unread(graph: &mut GraphProto) {
    let mut wanted: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    // Nodes stand in the order in which they can run, so that one pass from the end finds all.
    let mut kept: Vec<NodeProto> = Vec::with_capacity(graph.node.len());
    for node in std::mem::take(&mut graph.node).into_iter().rev() {
        if node.output.iter().any(|name| wanted.contains(name)) {
            wanted.extend(node.input.iter().filter(|name| !name.is_empty()).cloned());
            kept.push(node);
        }
    }
    kept.reverse();
    graph.node = kept;
    graph.initializer.retain(|tensor| wanted.contains(&tensor.name));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use onnx_ir::ValueInfoProto;

    fn graph(nodes: Vec<NodeProto>, constants: &[(&str, &[i64], &[f32])], output: &str) -> GraphProto {
        let mut graph = GraphProto::new();
        graph.node = nodes;
        graph.initializer = constants.iter().map(|(name, dims, values)| float_tensor(*name, dims, values)).collect();
        let mut value = ValueInfoProto::new();
        value.name = output.to_owned();
        graph.output = vec![value];
        graph
    }

    fn kinds(graph: &GraphProto) -> Vec<&str> {
        graph.node.iter().map(|node| node.op_type.as_str()).collect()
    }

    fn constant(graph: &GraphProto, name: &str) -> Vec<f32> {
        floats(graph.initializer.iter().find(|tensor| tensor.name == name).unwrap()).unwrap()
    }

    #[test]
    fn the_difference_of_two_relus_is_a_clip() {
        let spelled = |shifted: &str| {
            vec![
                node("Relu", &["x"], "above"),
                node("Sub", &[shifted, "six"], "shifted"),
                node("Relu", &["shifted"], "over"),
                node("Sub", &["above", "over"], "y"),
            ]
        };
        let mut merged = graph(spelled("x"), &[("six", &[], &[6.0]), ("unread", &[], &[1.0])], "y");
        simplify(&mut merged);
        assert_eq!(kinds(&merged), ["Clip"]);
        assert_eq!(merged.node[0].input, ["x", "y_low", "y_high"]);
        assert_eq!((constant(&merged, "y_low"), constant(&merged, "y_high")), (vec![0.0], vec![6.0]));
        assert_eq!(merged.initializer.len(), 2, "the others are gone");
        let mut other = graph(spelled("z"), &[("six", &[], &[6.0])], "y");
        simplify(&mut other);
        assert_eq!(kinds(&other), ["Relu", "Sub", "Relu", "Sub"]);
    }

    #[test]
    fn a_batch_norm_goes_into_its_convolution() {
        let nodes = || {
            vec![
                node("Conv", &["x", "w", "b"], "c"),
                node("BatchNormalization", &["c", "gamma", "beta", "mean", "variance"], "y"),
            ]
        };
        let constants: &[(&str, &[i64], &[f32])] = &[
            ("w", &[2, 1, 1, 1], &[2.0, 3.0]),
            ("b", &[2], &[1.0, 0.0]),
            ("gamma", &[2], &[0.5, 2.0]),
            ("beta", &[2], &[10.0, 20.0]),
            ("mean", &[2], &[3.0, 5.0]),
            // 1e-5 is added.
            ("variance", &[2], &[4.0 - 1e-5, 0.25 - 1e-5]),
        ];
        let mut alone = graph(nodes(), constants, "y");
        simplify(&mut alone);
        assert_eq!(kinds(&alone), ["Conv"]);
        assert_eq!(alone.node[0].output, ["y"]);
        let close = |found: Vec<f32>, expected: [f32; 2]| {
            assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-4), "{found:?}");
        };
        // Channel 0: 0.5 / 2 (2 x + 1 - 3) + 10; channel 1: 2 / 0.5 (3 x - 5) + 20.
        close(constant(&alone, "y_weight"), [0.5, 12.0]);
        close(constant(&alone, "y_bias"), [9.5, 0.0]);
        // Where somebody else reads the convolution, it stays.
        let mut read = nodes();
        read.push(node("Add", &["y", "c"], "sum"));
        let mut read = graph(read, constants, "sum");
        simplify(&mut read);
        assert_eq!(kinds(&read), ["Conv", "BatchNormalization", "Add"]);
    }
}
