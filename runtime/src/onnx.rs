//! What can be read of an ONNX file without an engine: its metadata and its inputs and outputs.
//!
//! Only keys and lengths are decoded; weights are stepped over, so this costs microseconds for any size.

pub(crate) mod eight_bits;

use std::collections::HashMap;

use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::error::{Error, Result};

/// ModelProto: the graph and the metadata entries, by field number.
const GRAPH_FIELD: u32 = 7;
const METADATA_FIELD: u32 = 14;

/// GraphProto: weights, inputs and outputs, by field number.
const INITIALIZER_FIELD: u32 = 5;
const INPUT_FIELD: u32 = 11;
const OUTPUT_FIELD: u32 = 12;

/// TensorProto: name, entries on where its data is, and whether it is elsewhere, by field number.
const TENSOR_NAME_FIELD: u32 = 8;
const EXTERNAL_DATA_FIELD: u32 = 13;
const DATA_LOCATION_FIELD: u32 = 14;

/// TensorProto.DataLocation of data in another file.
const EXTERNAL: u64 = 1;

/// GraphProto: nodes, by field number.
const NODE_FIELD: u32 = 1;

/// TensorProto.DataType of bool.
pub(crate) const BOOL: i32 = 9;

/// TensorProto.DataType of float32.
#[cfg(test)]
pub(crate) const FLOAT32: i32 = 1;

/// The value of a metadata entry; of several with one key the last.
///
/// # Errors
/// [`Error::NotOnnx`] for other bytes.
pub(crate) fn metadata(onnx: &[u8], key: &str) -> Result<Option<String>> {
    let mut found = None;
    for field in model_fields(onnx)? {
        if let Some(entry) = field.metadata()?.filter(|entry| entry.key == key) {
            found = Some(entry.value);
        }
    }
    Ok(found)
}

/// The same file with this metadata entry in place of any that it had under the key.
///
/// # Errors
/// [`Error::NotOnnx`] for other bytes.
pub(crate) fn with_metadata(onnx: &[u8], key: &str, value: String) -> Result<Vec<u8>> {
    let entry = MetadataEntry { key: key.into(), value };
    let mut out = Vec::with_capacity(onnx.len() + entry.value.len() + 64);
    for field in model_fields(onnx)? {
        if field.metadata()?.is_none_or(|old| old.key != key) {
            out.extend_from_slice(field.bytes);
        }
    }
    // Protobuf fields may stand in any order, so the new entry goes to the end and the graph is not touched.
    prost::encoding::message::encode(METADATA_FIELD, &entry, &mut out);
    Ok(out)
}

/// Inputs and outputs of a graph, as the file declares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    /// What the graph is fed; weights, which old files list as inputs too, are left out.
    pub(crate) inputs: Vec<Port>,
    /// What the graph returns.
    pub(crate) outputs: Vec<Port>,
    /// By the name of each value the operator that makes it, and the operator's first input.
    pub(crate) makers: HashMap<String, (String, String)>,
}

/// One input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    /// Its name.
    pub(crate) name: String,
    /// TensorProto.DataType, 0 where the file does not say.
    pub(crate) element_type: i32,
    /// A number a fixed side, nothing a free one; nothing at all where the file does not say.
    pub(crate) sides: Option<Vec<Option<u64>>>,
}

impl Interface {
    /// Reads a model's inputs and outputs.
    ///
    /// # Errors
    /// [`Error::NotOnnx`] for other bytes.
    pub(crate) fn of(onnx: &[u8]) -> Result<Self> {
        let (mut inputs, mut outputs, mut weights): (Vec<Port>, Vec<Port>, Vec<String>) = Default::default();
        let mut makers = HashMap::new();
        for graph in model_fields(onnx)?.iter().filter(|field| field.number == GRAPH_FIELD) {
            for field in fields(graph.content)? {
                match field.number {
                    NODE_FIELD => {
                        let node = Node::decode(field.content)
                            .map_err(|error| Error::NotOnnx { reason: format!("a node is damaged: {error}") })?;
                        let first = node.inputs.into_iter().next().unwrap_or_default();
                        for output in node.outputs {
                            makers.insert(output, (node.operator.clone(), first.clone()));
                        }
                    }
                    INPUT_FIELD => inputs.push(Port::read(field.content)?),
                    OUTPUT_FIELD => outputs.push(Port::read(field.content)?),
                    INITIALIZER_FIELD => weights.extend(tensor_name(field.content)?),
                    _ => {}
                }
            }
        }
        let is_made = |port: &Port| {
            makers.contains_key(&port.name)
                || weights.contains(&port.name)
                || inputs.iter().any(|input| input.name == port.name)
        };
        if let Some(port) = outputs.iter().find(|port| !is_made(port)) {
            let reason =
                format!("the graph returns '{}', which none of its nodes makes; export the model again", port.name);
            return Err(Error::NotOnnx { reason });
        }
        inputs.retain(|port| !weights.contains(&port.name));
        Ok(Self { inputs, outputs, makers })
    }

    /// The operator that makes the numbers of a value: those that only move them about, or change their type, are passed over.
    pub(crate) fn operator_of(&self, value: &str) -> Option<&str> {
        const PASSED: [&str; 7] = ["Cast", "Identity", "Transpose", "Squeeze", "Unsqueeze", "Reshape", "Resize"];
        let mut value = value;
        // As many steps as a graph without circles can have at most.
        for _ in 0..=self.makers.len() {
            let (operator, first) = self.makers.get(value)?;
            if !PASSED.contains(&operator.as_str()) {
                return Some(operator);
            }
            value = first;
        }
        None
    }
}

impl Port {
    fn read(content: &[u8]) -> Result<Self> {
        let info = ValueInfo::decode(content)
            .map_err(|error| Error::NotOnnx { reason: format!("an input or output is damaged: {error}") })?;
        let tensor = info.kind.and_then(|kind| kind.tensor).unwrap_or_default();
        let side = |side: &Dimension| side.value.and_then(|value| u64::try_from(value).ok());
        let sides = tensor.shape.map(|shape| shape.sides.iter().map(side).collect());
        Ok(Self { name: info.name, element_type: tensor.element_type, sides })
    }
}

/// ONNX StringStringEntryProto.
#[derive(Clone, PartialEq, Message)]
struct MetadataEntry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// ONNX ValueInfoProto.
#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<TypeOf>,
}

/// ONNX NodeProto, of which its place in the graph, its operator and attributes that are whole numbers matter here.
#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    inputs: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    outputs: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    operator: String,
    #[prost(message, repeated, tag = "5")]
    attributes: Vec<Attribute>,
}

/// ONNX AttributeProto, of whole numbers.
#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "3")]
    number: i64,
}

/// ONNX TypeProto, of which only tensors matter here.
#[derive(Clone, PartialEq, Message)]
struct TypeOf {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

/// ONNX TypeProto.Tensor.
#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    element_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShape>,
}

/// ONNX TensorShapeProto.
#[derive(Clone, PartialEq, Message)]
struct TensorShape {
    #[prost(message, repeated, tag = "1")]
    sides: Vec<Dimension>,
}

/// ONNX TensorShapeProto.Dimension; without a value it is free.
#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
}

/// One field of a protobuf message.
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    /// Key, length and content.
    pub(crate) bytes: &'a [u8],
    /// Content without key and length, where the field has a length.
    pub(crate) content: &'a [u8],
    has_length: bool,
}

/// Messages in which there may be tensors, and tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    SparseTensor,
    Tensor,
}

/// The fields of a message, and what those are in which there may be tensors.
pub(crate) fn children(part: Part, message: &[u8]) -> Result<Vec<(Option<Part>, Field<'_>)>> {
    let fields = fields(message)?;
    let known = |field: &Field<'_>| match (part, field.number) {
        _ if !field.has_length => None,
        (Part::Model, 7) | (Part::Attribute, 6 | 11) => Some(Part::Graph),
        (Part::Model, 25) => Some(Part::Function),
        (Part::Graph, 1) | (Part::Function, 7) => Some(Part::Node),
        (Part::Node, 5) => Some(Part::Attribute),
        (Part::Graph, 15) | (Part::Attribute, 22 | 23) => Some(Part::SparseTensor),
        (Part::Graph, 5) | (Part::Attribute, 5 | 10) | (Part::SparseTensor, 1 | 2) => Some(Part::Tensor),
        _ => None,
    };
    Ok(fields.into_iter().map(|field| (known(&field), field)).collect())
}

/// Where a tensor's data is that stands in another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct External {
    /// The file, as the model names it.
    pub(crate) location: String,
    /// First byte of the data in it.
    pub(crate) offset: u64,
    /// Bytes of the data; to the file's end where it is not said.
    pub(crate) length: Option<u64>,
    /// The tensor without what is said of the file.
    pub(crate) rest: Vec<u8>,
}

/// Where the data of a tensor is, if it is in another file.
///
/// # Errors
/// [`Error::NotOnnx`] for damaged entries.
pub(crate) fn external_data(tensor: &[u8]) -> Result<Option<External>> {
    let damaged =
        |what: &str| Error::NotOnnx { reason: format!("what it says of its weights' file is damaged: {what}") };
    let mut external = External { location: String::new(), offset: 0, length: None, rest: Vec::new() };
    let mut is_external = false;
    for field in fields(tensor)? {
        match field.number {
            DATA_LOCATION_FIELD => {
                let mut value = field.bytes;
                decode_varint(&mut value).map_err(|error| damaged(&error.to_string()))?;
                is_external = decode_varint(&mut value).map_err(|error| damaged(&error.to_string()))? == EXTERNAL;
            }
            EXTERNAL_DATA_FIELD => {
                let entry = MetadataEntry::decode(field.content).map_err(|error| damaged(&error.to_string()))?;
                let number = || entry.value.trim().parse::<u64>().map_err(|_| damaged(&format!("'{}'", entry.value)));
                match entry.key.as_str() {
                    "offset" => external.offset = number()?,
                    "length" => external.length = Some(number()?),
                    "location" => external.location = entry.value,
                    _ => {}
                }
            }
            _ => external.rest.extend_from_slice(field.bytes),
        }
    }
    Ok(is_external.then_some(external))
}

impl Field<'_> {
    fn metadata(&self) -> Result<Option<MetadataEntry>> {
        if self.number != METADATA_FIELD {
            return Ok(None);
        }
        MetadataEntry::decode(self.content)
            .map(Some)
            .map_err(|error| Error::NotOnnx { reason: format!("its metadata is damaged: {error}") })
    }
}

/// The fields of the outermost message, which must hold a graph.
fn model_fields(onnx: &[u8]) -> Result<Vec<Field<'_>>> {
    let fields = fields(onnx)?;
    if fields.iter().any(|field| field.number == GRAPH_FIELD) {
        Ok(fields)
    } else {
        Err(Error::NotOnnx { reason: "it holds no graph".into() })
    }
}

/// The fields of a message, in order. Only keys and lengths are read.
fn fields(message: &[u8]) -> Result<Vec<Field<'_>>> {
    let damaged = |error: prost::DecodeError| Error::NotOnnx { reason: error.to_string() };
    let mut rest = message;
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let start = rest;
        let (number, wire_type) = decode_key(&mut rest).map_err(damaged)?;
        let mut content = rest;
        skip_field(wire_type, number, &mut rest, DecodeContext::default()).map_err(damaged)?;
        if wire_type == WireType::LengthDelimited {
            decode_varint(&mut content).map_err(damaged)?;
        }
        let content = &content[..content.len() - rest.len()];
        let has_length = wire_type == WireType::LengthDelimited;
        fields.push(Field { number, bytes: &start[..start.len() - rest.len()], content, has_length });
    }
    Ok(fields)
}

fn tensor_name(tensor: &[u8]) -> Result<Option<String>> {
    let name = fields(tensor)?.into_iter().find(|field| field.number == TENSOR_NAME_FIELD);
    Ok(name.map(|field| String::from_utf8_lossy(field.content).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![(number << 3 | 2) as u8, content.len() as u8];
        bytes.extend(content);
        bytes
    }

    fn port(name: &str, sides: &[Option<i64>]) -> Vec<u8> {
        let sides = sides.iter().map(|side| Dimension { value: *side }).collect();
        let tensor = TensorType { element_type: FLOAT32, shape: Some(TensorShape { sides }) };
        ValueInfo { name: name.into(), kind: Some(TypeOf { tensor: Some(tensor) }) }.encode_to_vec()
    }

    #[test]
    fn inputs_and_outputs_are_read_and_weights_are_no_inputs() {
        let weight = message(TENSOR_NAME_FIELD, b"weight");
        let node = Node { inputs: vec!["x".into()], outputs: vec!["y".into(), "z".into()], ..Node::default() };
        let graph = [
            message(NODE_FIELD, &node.encode_to_vec()),
            message(INITIALIZER_FIELD, &weight),
            message(INPUT_FIELD, &port("x", &[None, Some(3), Some(-1), Some(64)])),
            message(INPUT_FIELD, &port("weight", &[Some(8)])),
            message(OUTPUT_FIELD, &port("y", &[])),
            message(OUTPUT_FIELD, &ValueInfo { name: "z".into(), kind: None }.encode_to_vec()),
        ];
        let interface = Interface::of(&message(GRAPH_FIELD, &graph.concat())).unwrap();
        let x = Port { name: "x".into(), element_type: FLOAT32, sides: Some(vec![None, Some(3), None, Some(64)]) };
        assert_eq!(interface.inputs, [x]);
        assert_eq!(interface.outputs[0].sides, Some(vec![]));
        assert_eq!((interface.outputs[1].name.as_str(), &interface.outputs[1].sides), ("z", &None));
        let without_node = graph[1..].concat();
        let error = Interface::of(&message(GRAPH_FIELD, &without_node)).unwrap_err().to_string();
        assert!(error.contains("returns 'y', which none of its nodes makes"), "{error}");
    }

    #[test]
    fn damaged_graphs_are_refused() {
        for graph in [vec![0x5a, 0xff], message(INPUT_FIELD, &[0x0a, 0x7f]), message(INITIALIZER_FIELD, &[0x42])] {
            assert!(matches!(Interface::of(&message(GRAPH_FIELD, &graph)), Err(Error::NotOnnx { .. })), "{graph:?}");
        }
    }
}
