//! What can be read of an ONNX file without an engine: its metadata and its inputs and outputs.
//!
//! Only keys and lengths are decoded; weights are stepped over, so this costs microseconds for any size.

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

/// TensorProto: the name, by field number.
const TENSOR_NAME_FIELD: u32 = 8;

/// TensorProto.DataType of float32.
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
        let (mut inputs, mut outputs, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for graph in model_fields(onnx)?.iter().filter(|field| field.number == GRAPH_FIELD) {
            for field in fields(graph.content)? {
                match field.number {
                    INPUT_FIELD => inputs.push(Port::read(field.content)?),
                    OUTPUT_FIELD => outputs.push(Port::read(field.content)?),
                    INITIALIZER_FIELD => weights.extend(tensor_name(field.content)?),
                    _ => {}
                }
            }
        }
        inputs.retain(|port| !weights.contains(&port.name));
        Ok(Self { inputs, outputs })
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
struct Field<'a> {
    number: u32,
    /// Key, length and content.
    bytes: &'a [u8],
    /// Content without key and length, where the field has a length.
    content: &'a [u8],
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
        fields.push(Field { number, bytes: &start[..start.len() - rest.len()], content });
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
        let graph = [
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
    }

    #[test]
    fn damaged_graphs_are_refused() {
        for graph in [vec![0x5a, 0xff], message(INPUT_FIELD, &[0x0a, 0x7f]), message(INITIALIZER_FIELD, &[0x42])] {
            assert!(matches!(Interface::of(&message(GRAPH_FIELD, &graph)), Err(Error::NotOnnx { .. })), "{graph:?}");
        }
    }
}
