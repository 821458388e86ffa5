//! From the graph of one captured size to a graph for every size.
//!
//! burn-onnx captures shapes as constants in three places: the input, the output, and the `sizes` of each `Resize`. The
//! first two become symbolic; `sizes` become the `scales` that they stand for at the captured size. These are whole
//! numbers in every network here, and an error says where they are not.

use std::collections::HashMap;

use onnx_ir::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

use super::tensors::{float_tensor, integers};

/// Rows and columns of a feature map.
type Size = [i64; 2];

/// The output of a network's head that tells which classes a photo shows: probabilities, `(N, C, 1, 1)`.
pub(super) const PRESENCE: &str = "presence";

/// Frees batch, height and width of a graph captured at `side` x `side` pixels, and names its input and outputs: the logits,
/// and [`PRESENCE`] where there is a second one.
pub(super) fn make_dynamic(graph: &mut GraphProto, input: &str, output: &str, side: i64) -> Result<(), String> {
    if graph.input.len() != 1 || !(1..=2).contains(&graph.output.len()) {
        return Err(format!("the graph has {} inputs and {} outputs", graph.input.len(), graph.output.len()));
    }
    rename(graph, input, &[output, PRESENCE]);
    scale_resizes(graph, input, side)?;
    free_axes(&mut graph.input[0], [(0, "batch"), (2, "height"), (3, "width")])?;
    free_axes(&mut graph.output[0], [(0, "batch"), (2, "output_height"), (3, "output_width")])?;
    graph.output.get_mut(1).map_or(Ok(()), |presence| free_axes(presence, [(0, "batch")]))
}

fn rename(graph: &mut GraphProto, input: &str, outputs: &[&str]) {
    let mut names = vec![(graph.input[0].name.clone(), input)];
    names.extend(graph.output.iter().zip(outputs).map(|(output, new)| (output.name.clone(), *new)));
    let new_name = |name: &mut String| {
        if let Some((_, new)) = names.iter().find(|(old, _)| old == name) {
            *name = (*new).to_owned();
        }
    };
    new_name(&mut graph.input[0].name);
    new_name(&mut graph.output[0].name);
    graph.output.iter_mut().skip(1).for_each(|output| new_name(&mut output.name));
    for node in &mut graph.node {
        node.input.iter_mut().chain(&mut node.output).for_each(new_name);
    }
}

/// Replaces the `sizes` of every `Resize` by `scales`.
fn scale_resizes(graph: &mut GraphProto, input: &str, side: i64) -> Result<(), String> {
    let mut sizes: HashMap<String, Size> = HashMap::from([(input.to_owned(), [side, side])]);
    let constants: HashMap<String, Vec<i64>> =
        graph.initializer.iter().map(|tensor| (tensor.name.clone(), integers(tensor))).collect();
    let mut scales = Vec::new();
    let mut replaced = Vec::new();
    for node in &mut graph.node {
        let from = node.input.iter().find_map(|name| sizes.get(name)).copied();
        let to = output_size(node, from, &constants)?;
        if node.op_type == "Resize" {
            let (Some(from), Some(to)) = (from, to) else {
                return Err(format!("{}: a Resize of unknown size", node.name));
            };
            let factors = [to[0] / from[0].max(1), to[1] / from[1].max(1)];
            if factors[0] * from[0] != to[0] || factors[1] * from[1] != to[1] {
                return Err(format!("{}: resizes {from:?} to {to:?}, which is not a whole factor", node.name));
            }
            replaced.extend(node.input.get(3).cloned());
            let name = format!("{}_scales", node.name);
            node.input.truncate(1);
            node.input.extend([String::new(), name.clone()]);
            node.attribute.retain(|attribute| attribute.name != "axes");
            scales.push(scales_tensor(name, factors));
        }
        if let Some(to) = to {
            sizes.extend(node.output.iter().map(|name| (name.clone(), to)));
        }
    }
    graph.initializer.retain(|tensor| !replaced.contains(&tensor.name));
    graph.initializer.extend(scales);
    Ok(())
}

/// Rows and columns of a node's output, where its input has `from`.
fn output_size(
    node: &NodeProto,
    from: Option<Size>,
    constants: &HashMap<String, Vec<i64>>,
) -> Result<Option<Size>, String> {
    let Some(from) = from else { return Ok(None) };
    match node.op_type.as_str() {
        "Resize" => match node.input.get(3).and_then(|name| constants.get(name)).map(Vec::as_slice) {
            Some(&[.., rows, columns]) => Ok(Some([rows, columns])),
            _ => Err(format!("{}: a Resize without constant sizes", node.name)),
        },
        "GlobalAveragePool" | "GlobalMaxPool" => Ok(Some([1, 1])),
        "Conv" | "MaxPool" | "AveragePool" => {
            let ints = |name: &str| {
                node.attribute.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.ints.clone())
            };
            // A convolution without kernel_shape takes it from its weights, which are not looked at here.
            let strides = ints("strides").unwrap_or_else(|| vec![1, 1]);
            let (Some(rows), Some(columns)) = (strides.first(), strides.get(1)) else { return Ok(None) };
            // Every layer here pads so that a stride divides the size and nothing else changes it.
            Ok(Some([div_ceil(from[0], *rows), div_ceil(from[1], *columns)]))
        }
        _ => Ok(Some(from)),
    }
}

fn div_ceil(size: i64, stride: i64) -> i64 {
    (size + stride - 1) / stride.max(1)
}

/// `[1, 1, rows, columns]` as a float tensor.
fn scales_tensor(name: String, [rows, columns]: Size) -> TensorProto {
    float_tensor(name, &[4], &[1.0, 1.0, rows as f32, columns as f32])
}

fn free_axes<const N: usize>(value: &mut ValueInfoProto, axes: [(usize, &str); N]) -> Result<(), String> {
    let name = value.name.clone();
    let shape = value.type_.mut_or_insert_default().mut_tensor_type().shape.mut_or_insert_default();
    for (axis, symbol) in axes {
        let Some(dimension) = shape.dim.get_mut(axis) else {
            return Err(format!("`{name}` has {} axes", shape.dim.len()));
        };
        dimension.set_dim_param(symbol.to_owned());
    }
    Ok(())
}
