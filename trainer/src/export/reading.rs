//! The weights of an exported file, to train on from it.

use std::collections::HashMap;
use std::path::Path;

use clothseg::ModelSpec;
use onnx_ir::{GraphProto, Message, ModelProto};

use super::halves;
use super::tensors::floats;
use crate::error::{Error, Result};

/// Largest file that is read: the study's largest network is 160 MB.
const MOST_BYTES: u64 = 1 << 30;

/// A convolution with the batch norm behind it folded in, as files hold them.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldedConvolution {
    /// Channels out, channels in (1 of a depthwise one), kernel's height and width.
    pub shape: Vec<usize>,
    /// Row-major.
    pub weight: Vec<f32>,
    /// One number a channel out; zeros where the file has none.
    pub bias: Vec<f32>,
}

/// The description and the convolutions, in the order in which they run, of a file that `export` wrote.
pub fn read_convolutions(path: &Path) -> Result<(ModelSpec, Vec<FoldedConvolution>)> {
    let size = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    if size > MOST_BYTES {
        return Err(Error::file(path, format!("is {size} bytes long, and {MOST_BYTES} are read at most")));
    }
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let spec = ModelSpec::of_model(path, &bytes)?;
    let mut model =
        ModelProto::parse_from_bytes(&bytes).map_err(|error| Error::file(path, format!("is no ONNX file: {error}")))?;
    let graph = model.graph.mut_or_insert_default();
    halves::restore(graph);
    let convolutions = convolutions(graph).map_err(|cause| Error::file(path, cause))?;
    Ok((spec, convolutions))
}

fn convolutions(graph: &GraphProto) -> std::result::Result<Vec<FoldedConvolution>, String> {
    let constants: HashMap<&str, _> = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let numbers = |name: &String| constants.get(name.as_str()).and_then(|tensor| floats(tensor));
    let mut found = Vec::new();
    for node in graph.node.iter().filter(|node| node.op_type == "Conv") {
        let lacks = |what: &str| {
            format!(
                "its convolution `{}` has no {what} in floats; an 8-bit model cannot be trained on, the one that it was \
                 made of can",
                node.name
            )
        };
        let tensor = node.input.get(1).and_then(|name| constants.get(name.as_str()));
        let shape: Vec<usize> =
            tensor.map(|tensor| tensor.dims.iter().map(|&length| length.max(0) as usize).collect()).unwrap_or_default();
        let weight = node.input.get(1).and_then(numbers).ok_or_else(|| lacks("weights"))?;
        let bias = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => numbers(name).ok_or_else(|| lacks("bias"))?,
            None => vec![0.0; shape.first().copied().unwrap_or(0)],
        };
        if shape.len() != 4 || Some(&bias.len()) != shape.first() || bias.is_empty() {
            return Err(format!(
                "its convolution `{}` has weights of shape {shape:?} and {} biases",
                node.name,
                bias.len()
            ));
        }
        if weight.iter().chain(&bias).any(|value| !value.is_finite()) {
            return Err(format!("its convolution `{}` holds what is no finite number", node.name));
        }
        found.push(FoldedConvolution { shape, weight, bias });
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::export::tensors::{float_tensor, node};

    #[test]
    fn weights_come_with_their_bias_or_zeros() {
        let mut graph = GraphProto::new();
        graph.node =
            vec![node("Conv", &["x", "w", "b"], "y"), node("Relu", &["y"], "z"), node("Conv", &["z", "v"], "a")];
        graph.initializer = vec![
            float_tensor("w", &[2, 1, 1, 1], &[1.0, 2.0]),
            float_tensor("b", &[2], &[3.0, 4.0]),
            float_tensor("v", &[1, 2, 1, 1], &[5.0, 6.0]),
        ];
        let read = convolutions(&graph).unwrap();
        let numbers: Vec<_> = read.iter().map(|each| (&each.shape[..], &each.weight[..], &each.bias[..])).collect();
        assert_eq!(
            numbers,
            [(&[2, 1, 1, 1][..], &[1.0, 2.0][..], &[3.0, 4.0][..]), (&[1, 2, 1, 1], &[5.0, 6.0], &[0.0])]
        );
        graph.initializer[1] = float_tensor("b", &[2], &[f32::NAN, 4.0]);
        assert!(convolutions(&graph).unwrap_err().contains("no finite number"));
        graph.initializer[1] = float_tensor("b", &[1], &[4.0]);
        assert!(convolutions(&graph).unwrap_err().contains("1 biases"));
        graph.initializer.remove(1);
        assert!(convolutions(&graph).unwrap_err().contains("8-bit model"));
    }
}
