//! Constants of an ONNX graph: `TensorProto` to numbers and back.

use half::f16;
use onnx_ir::{AttributeProto, AttributeType, NodeProto, TensorProto};

/// `TensorProto.DataType`.
pub(crate) const FLOAT: i32 = 1;
pub(crate) const UINT8: i32 = 2;
pub(crate) const INT8: i32 = 3;
pub(crate) const INT32: i32 = 6;
pub(crate) const INT64: i32 = 7;
pub(crate) const FLOAT16: i32 = 10;

/// The numbers of a FLOAT tensor; nothing for others, and for numbers that lie in another file.
pub(crate) fn floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != FLOAT {
        return None;
    }
    let values = if tensor.float_data.is_empty() {
        tensor.raw_data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    } else {
        tensor.float_data.clone()
    };
    let expected = tensor.dims.iter().try_fold(1_i64, |product, length| product.checked_mul(*length))?;
    (values.len() as i64 == expected).then_some(values)
}

/// The numbers of a FLOAT16 tensor of `export`'s; nothing for others.
pub(crate) fn f16_values(tensor: &TensorProto) -> Option<Vec<f16>> {
    (tensor.data_type == FLOAT16)
        .then(|| tensor.raw_data.as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes)).collect())
}

/// A FLOAT16 tensor.
pub(crate) fn f16_tensor(name: impl Into<String>, dims: &[i64], values: &[f16]) -> TensorProto {
    raw_tensor(name, FLOAT16, dims, values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

/// The numbers of an INT64 tensor; empty for others.
pub(crate) fn integers(tensor: &TensorProto) -> Vec<i64> {
    if tensor.data_type != INT64 {
        return Vec::new();
    }
    if !tensor.int64_data.is_empty() {
        return tensor.int64_data.clone();
    }
    tensor.raw_data.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
}

/// A FLOAT tensor.
pub(crate) fn float_tensor(name: impl Into<String>, dims: &[i64], values: &[f32]) -> TensorProto {
    raw_tensor(name, FLOAT, dims, values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

/// A tensor of any type from its little-endian bytes.
pub(crate) fn raw_tensor(name: impl Into<String>, data_type: i32, dims: &[i64], bytes: Vec<u8>) -> TensorProto {
    let mut tensor = TensorProto::new();
    tensor.name = name.into();
    tensor.data_type = data_type;
    tensor.dims = dims.to_vec();
    tensor.raw_data = bytes.into();
    tensor
}

/// A node of the standard operators with one output.
pub(crate) fn node(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
    let mut node = NodeProto::new();
    node.name = format!("{output}_{}", op_type.to_lowercase());
    node.op_type = op_type.to_owned();
    node.input = inputs.iter().map(|&name| name.to_owned()).collect();
    node.output = vec![output.to_owned()];
    node
}

/// An attribute that is a whole number.
pub(crate) fn integer_attribute(name: &str, value: i64) -> AttributeProto {
    let mut attribute = AttributeProto::new();
    attribute.name = name.to_owned();
    attribute.type_ = AttributeType::INT.into();
    attribute.i = value;
    attribute
}
