//! A model in 8 bits as one in floats, for engines that do not calculate in 8 bits.
//!
//! In the QDQ format, in which `clothseg-train quantize` writes, a pair of QuantizeLinear and DequantizeLinear says to what numbers
//! a tensor may be rounded. An engine without integer convolutions would do the rounding, which takes time and gains nothing. Here
//! each pair becomes the Clip that remains of it without rounding (it may stand for a ReLU), and weights become floats.

use std::collections::{BTreeMap, HashMap, HashSet};

use prost::Message;

use super::{GRAPH_FIELD, INITIALIZER_FIELD, NODE_FIELD, Node, fields, model_fields};
use crate::error::{Error, Result};

const QUANTIZE: &str = "QuantizeLinear";
const DEQUANTIZE: &str = "DequantizeLinear";

/// ModelProto: the operators' version, by field number.
const OPERATOR_SET_FIELD: u32 = 8;

/// The first version of the operators in which there are steps a channel and a Clip with tensors for limits.
const LEAST_VERSION: i64 = 13;

/// TensorProto.DataType.
const FLOAT: i32 = 1;
const UINT8: i32 = 2;
const INT8: i32 = 3;
const INT32: i32 = 6;

/// ONNX OperatorSetIdProto.
#[derive(Clone, PartialEq, Message)]
struct OperatorSet {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

/// ONNX TensorProto, of those with their numbers in `raw_data`.
#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    sides: Vec<i64>,
    #[prost(int32, tag = "2")]
    element_type: i32,
    #[prost(float, repeated, tag = "4")]
    floats: Vec<f32>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw: Vec<u8>,
}

impl Tensor {
    fn scalar(name: String, value: f32) -> Self {
        Self { name, element_type: FLOAT, raw: value.to_le_bytes().to_vec(), ..Self::default() }
    }

    /// The numbers of one of the types that such models have.
    fn numbers(&self) -> Option<Vec<f32>> {
        let fours = || self.raw.as_chunks::<4>().0.iter();
        Some(match self.element_type {
            FLOAT if self.raw.is_empty() => self.floats.clone(),
            FLOAT => fours().map(|four| f32::from_le_bytes(*four)).collect(),
            UINT8 => self.raw.iter().map(|byte| f32::from(*byte)).collect(),
            INT8 => self.raw.iter().map(|byte| f32::from(byte.cast_signed())).collect(),
            INT32 => fours().map(|four| i32::from_le_bytes(*four) as f32).collect(),
            _ => return None,
        })
    }
}

/// The model in floats; nothing for one that is not in 8 bits, or in another form than `clothseg-train quantize` writes.
///
/// # Errors
/// [`Error::NotOnnx`] for other bytes.
pub(crate) fn in_floats(onnx: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut out = Vec::with_capacity(onnx.len() * 4);
    for field in model_fields(onnx)? {
        if field.number == OPERATOR_SET_FIELD {
            let set = OperatorSet::decode(field.content).map_err(damaged)?;
            if set.domain.is_empty() && set.version < LEAST_VERSION {
                return Ok(None);
            }
        }
        if field.number != GRAPH_FIELD {
            out.extend_from_slice(field.bytes);
            continue;
        }
        let Some(graph) = Graph::read(field.content)?.and_then(Graph::rewritten) else { return Ok(None) };
        prost::encoding::encode_key(GRAPH_FIELD, prost::encoding::WireType::LengthDelimited, &mut out);
        prost::encoding::encode_varint(graph.len() as u64, &mut out);
        out.extend_from_slice(&graph);
    }
    Ok(Some(out))
}

fn damaged(error: prost::DecodeError) -> Error {
    Error::NotOnnx { reason: format!("its graph is damaged: {error}") }
}

/// What of a graph matters here.
struct Graph<'a> {
    /// Nodes, with their bytes, in order.
    nodes: Vec<(Node, &'a [u8])>,
    /// Constants by name, with their bytes. In order, so that a model becomes the same bytes each time: TensorRT's cache goes by them.
    constants: BTreeMap<String, (Tensor, &'a [u8])>,
    /// All else.
    rest: Vec<&'a [u8]>,
}

impl<'a> Graph<'a> {
    /// Nothing for a graph without steps.
    fn read(content: &'a [u8]) -> Result<Option<Self>> {
        let mut graph = Self { nodes: Vec::new(), constants: BTreeMap::new(), rest: Vec::new() };
        let fields = fields(content)?;
        for field in fields.iter().filter(|field| field.number == NODE_FIELD) {
            graph.nodes.push((Node::decode(field.content).map_err(damaged)?, field.bytes));
        }
        if !graph.nodes.iter().any(|(node, _)| node.operator == QUANTIZE) {
            return Ok(None);
        }
        for field in fields {
            match field.number {
                NODE_FIELD => {}
                INITIALIZER_FIELD => {
                    let tensor = Tensor::decode(field.content).map_err(damaged)?;
                    graph.constants.insert(tensor.name.clone(), (tensor, field.bytes));
                }
                _ => graph.rest.push(field.bytes),
            }
        }
        Ok(Some(graph))
    }

    /// The graph without steps, if all of them are understood.
    fn rewritten(self) -> Option<Vec<u8>> {
        let is_pair = |node: &Node| matches!(node.operator.as_str(), QUANTIZE | DEQUANTIZE);
        let steps: HashMap<&str, &Node> = self
            .nodes
            .iter()
            .filter(|(node, _)| node.operator == QUANTIZE)
            .filter_map(|(node, _)| Some((node.outputs.first()?.as_str(), node)))
            .collect();
        let others = self.nodes.iter().filter(|(node, _)| !is_pair(node));
        let read: HashSet<&str> = others.flat_map(|(node, _)| node.inputs.iter().map(String::as_str)).collect();
        // What the graphs in such nodes read of this one is not looked into.
        let has_graphs = |node: &Node| matches!(node.operator.as_str(), "If" | "Loop" | "Scan");
        if steps.keys().any(|steps| read.contains(steps)) || self.nodes.iter().any(|(node, _)| has_graphs(node)) {
            return None;
        }
        let mut out = self.rest.concat();
        for (_, (_, bytes)) in self.constants.iter().filter(|(name, _)| read.contains(name.as_str())) {
            out.extend_from_slice(bytes);
        }
        for (node, bytes) in &self.nodes {
            match (node.operator.as_str(), node.inputs.first()) {
                // What it writes is read by its partners alone.
                (QUANTIZE, _) => {}
                (DEQUANTIZE, Some(input)) => match (self.constants.get(input), steps.get(input.as_str())) {
                    (Some((steps, _)), _) => encode(INITIALIZER_FIELD, &self.weights(node, steps)?, &mut out),
                    (_, Some(partner)) => {
                        let (clip, limits) = self.clip(node, partner)?;
                        encode(NODE_FIELD, &clip, &mut out);
                        limits.iter().for_each(|limit| encode(INITIALIZER_FIELD, limit, &mut out));
                    }
                    (None, None) => return None,
                },
                _ => out.extend_from_slice(bytes),
            }
        }
        Some(out)
    }

    fn constant(&self, name: Option<&String>) -> Option<&Tensor> {
        self.constants.get(name?).map(|(tensor, _)| tensor)
    }

    /// Sizes of the steps of a pair's node, and which step is 0.
    fn scale(&self, node: &Node) -> Option<(Vec<f32>, &Tensor)> {
        Some((self.constant(node.inputs.get(1))?.numbers()?, self.constant(node.inputs.get(2))?))
    }

    /// Weights or biases in floats, under the name of what the node writes.
    fn weights(&self, node: &Node, steps: &Tensor) -> Option<Tensor> {
        let (sizes, zeros) = self.scale(node)?;
        let (zeros, numbers) = (zeros.numbers()?, steps.numbers()?);
        let axis = node.attributes.iter().find(|attribute| attribute.name == "axis").map_or(1, |axis| axis.number);
        let are_channels = axis == 0 && steps.sides.first() == Some(&(sizes.len() as i64));
        if sizes.is_empty() || zeros.len() != sizes.len() || (sizes.len() > 1 && !are_channels) {
            return None;
        }
        let each = numbers.len() / sizes.len();
        let value = |(index, number): (usize, f32)| {
            let channel = if sizes.len() == 1 { 0 } else { index / each };
            (number - zeros[channel]) * sizes[channel]
        };
        let raw = numbers.into_iter().enumerate().map(value).flat_map(f32::to_le_bytes).collect();
        let name = node.outputs.first()?.clone();
        Some(Tensor { name, sides: steps.sides.clone(), element_type: FLOAT, raw, ..Tensor::default() })
    }

    /// What remains of a pair without rounding, and the limits of it.
    fn clip(&self, to_floats: &Node, to_steps: &Node) -> Option<(Node, [Tensor; 2])> {
        let (sizes, zero) = self.scale(to_floats)?;
        let ends = match zero.element_type {
            UINT8 => [0.0, 255.0],
            INT8 => [-128.0, 127.0],
            _ => return None,
        };
        if to_floats.inputs.get(1..) != to_steps.inputs.get(1..) {
            return None;
        }
        let (&[size], &[zero]) = (&sizes[..], &zero.numbers()?[..]) else { return None };
        let output = to_floats.outputs.first()?;
        let names = ["least", "most"].map(|what| format!("{output}_{what}"));
        let limits = [0, 1].map(|end| Tensor::scalar(names[end].clone(), (ends[end] - zero) * size));
        let [least, most] = names;
        let clip = Node {
            inputs: vec![to_steps.inputs.first()?.clone(), least, most],
            outputs: vec![output.clone()],
            name: format!("{output}_clip"),
            operator: "Clip".to_owned(),
            attributes: Vec::new(),
        };
        Some((clip, limits))
    }
}

fn encode(field: u32, message: &impl Message, out: &mut Vec<u8>) {
    prost::encoding::message::encode(field, message, out);
}

#[cfg(test)]
mod tests {
    use super::super::Attribute;
    use super::*;

    fn node(operator: &str, inputs: &[&str], output: &str, axis: Option<i64>) -> Node {
        Node {
            inputs: inputs.iter().map(|&name| name.to_owned()).collect(),
            outputs: vec![output.to_owned()],
            name: String::new(),
            operator: operator.to_owned(),
            attributes: axis.map(|number| Attribute { name: "axis".into(), number }).into_iter().collect(),
        }
    }

    fn tensor(name: &str, element_type: i32, sides: &[i64], raw: Vec<u8>) -> Tensor {
        Tensor { name: name.into(), element_type, sides: sides.to_vec(), raw, ..Tensor::default() }
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// x, rounded, through a convolution of two channels.
    fn model(axis: i64, version: i64) -> Vec<u8> {
        let nodes = [
            node(QUANTIZE, &["x", "size", "zero"], "steps", None),
            node(DEQUANTIZE, &["steps", "size", "zero"], "rounded", None),
            node(DEQUANTIZE, &["w8", "sizes", "zeros"], "w", Some(axis)),
            node("Conv", &["rounded", "w", "b"], "y", None),
        ];
        let constants = [
            tensor("size", FLOAT, &[], floats(&[0.5])),
            tensor("zero", UINT8, &[], vec![10]),
            tensor("w8", INT8, &[2, 1, 1, 2], vec![1, 2, 3, (-4_i8).cast_unsigned()]),
            tensor("sizes", FLOAT, &[2], floats(&[0.25, 2.0])),
            tensor("zeros", INT8, &[2], vec![0, 0]),
            tensor("b", FLOAT, &[2], floats(&[1.0, 2.0])),
        ];
        let (mut graph, mut model) = (Vec::new(), Vec::new());
        nodes.iter().for_each(|node| encode(NODE_FIELD, node, &mut graph));
        constants.iter().for_each(|tensor| encode(INITIALIZER_FIELD, tensor, &mut graph));
        encode(OPERATOR_SET_FIELD, &OperatorSet { domain: String::new(), version }, &mut model);
        prost::encoding::bytes::encode(GRAPH_FIELD, &graph, &mut model);
        model
    }

    #[test]
    fn pairs_become_limits_and_weights_become_floats() {
        let model = in_floats(&model(0, 13)).unwrap().unwrap();
        let graph = model_fields(&model).unwrap().into_iter().find(|field| field.number == GRAPH_FIELD).unwrap();
        let (mut nodes, mut constants) = (Vec::new(), HashMap::new());
        for field in fields(graph.content).unwrap() {
            if field.number == NODE_FIELD {
                let node = Node::decode(field.content).unwrap();
                nodes.push(format!("{} = {}({})", node.outputs[0], node.operator, node.inputs.join(", ")));
            } else {
                let tensor = Tensor::decode(field.content).unwrap();
                constants.insert(tensor.name.clone(), tensor.numbers().unwrap());
            }
        }
        assert_eq!(nodes, ["rounded = Clip(x, rounded_least, rounded_most)", "y = Conv(rounded, w, b)"]);
        let expected: [(&str, &[f32]); 4] = [
            ("rounded_least", &[-5.0]),
            ("rounded_most", &[122.5]),
            ("w", &[0.25, 0.5, 6.0, -8.0]),
            ("b", &[1.0, 2.0]),
        ];
        assert_eq!(constants.len(), expected.len());
        for (name, values) in expected {
            assert_eq!(constants[name], values, "{name}");
        }
    }

    #[test]
    fn what_is_not_understood_stays_as_it_is() {
        assert_eq!(in_floats(&model(1, 13)).unwrap(), None, "steps along another axis");
        assert_eq!(in_floats(&model(0, 10)).unwrap(), None, "operators in which Clip is another");
        assert!(in_floats(b"\xff").is_err());
        let mut float = Vec::new();
        encode(NODE_FIELD, &node("Relu", &["x"], "y", None), &mut float);
        let mut model = Vec::new();
        prost::encoding::bytes::encode(GRAPH_FIELD, &float, &mut model);
        assert_eq!(in_floats(&model).unwrap(), None, "one without steps");
    }
}
