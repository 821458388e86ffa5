//! The weights of an exported file, to train on from it.

use std::collections::HashMap;
use std::path::Path;

use clothseg::ModelSpec;
use onnx_ir::{GraphProto, Message, ModelProto, NodeProto, TensorProto};

use super::float16;
use super::tensors::floats;
use crate::error::{Error, Result};
use crate::model::Upsampling;

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

/// A network as a file holds it.
#[derive(Clone, Debug)]
pub struct ExportedNetwork {
    /// The file's description.
    pub spec: ModelSpec,
    /// In the order in which they run.
    pub convolutions: Vec<FoldedConvolution>,
    /// How it upsamples its maps; none where it does not, or does in more than one way.
    pub upsampling: Option<Upsampling>,
}

/// Reads a file that `export` wrote.
pub fn read_network(path: &Path) -> Result<ExportedNetwork> {
    let size = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    if size > MOST_BYTES {
        return Err(Error::file(path, format!("has {size} bytes; at most {MOST_BYTES} are read")));
    }
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let spec = ModelSpec::of_model(path, &bytes)?;
    let mut model = ModelProto::parse_from_bytes(&bytes)
        .map_err(|error| Error::file(path, format!("is not an ONNX file: {error}")))?;
    let graph = model.graph.mut_or_insert_default();
    float16::restore(graph);
    let convolutions = convolutions(graph).map_err(|cause| Error::file(path, cause))?;
    Ok(ExportedNetwork { spec, convolutions, upsampling: upsampling(graph) })
}

fn upsampling(graph: &GraphProto) -> Option<Upsampling> {
    let mode = |node: &NodeProto| {
        let mode = node.attribute.iter().find(|attribute| attribute.name == "mode");
        match mode.map_or(&b"nearest"[..], |mode| &mode.s) {
            b"nearest" => Some(Upsampling::Nearest),
            b"linear" => Some(Upsampling::Bilinear),
            _ => None,
        }
    };
    let mut modes = graph.node.iter().filter(|node| node.op_type == "Resize").map(mode);
    let first = modes.next()??;
    modes.all(|other| other == Some(first)).then_some(first)
}

fn convolutions(graph: &GraphProto) -> std::result::Result<Vec<FoldedConvolution>, String> {
    let constants: HashMap<&str, _> = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    graph.node.iter().filter(|node| node.op_type == "Conv").map(|node| convolution(node, &constants)).collect()
}

fn convolution(
    node: &NodeProto,
    constants: &HashMap<&str, &TensorProto>,
) -> std::result::Result<FoldedConvolution, String> {
    let constant = |index: usize| node.input.get(index).and_then(|name| constants.get(name.as_str()).copied());
    let lacks = |what: &str| {
        format!(
            "its convolution `{}` has no {what} in floats (those of 8-bit models, of others' 16-bit ones and of files with \
             weights beside them are not read)",
            node.name
        )
    };
    let weight = constant(1).ok_or_else(|| lacks("weights"))?;
    let lengths = weight.dims.iter().map(|&length| usize::try_from(length).ok().filter(|length| *length > 0));
    let shape = lengths
        .collect::<Option<Vec<usize>>>()
        .filter(|shape| shape.len() == 4)
        .ok_or_else(|| format!("its convolution `{}` has weights of shape {:?}", node.name, weight.dims))?;
    let weight = floats(weight).ok_or_else(|| lacks("weights"))?;
    let bias = match node.input.get(2).filter(|name| !name.is_empty()) {
        Some(_) => constant(2).and_then(floats).ok_or_else(|| lacks("bias"))?,
        None => vec![0.0; shape[0]],
    };
    if bias.len() != shape[0] {
        let [channels, biases] = [shape[0], bias.len()];
        return Err(format!("its convolution `{}` has {channels} channels and {biases} biases", node.name));
    }
    if weight.iter().chain(&bias).any(|value| !value.is_finite()) {
        return Err(format!("its convolution `{}` has weights that are not finite", node.name));
    }
    Ok(FoldedConvolution { shape, weight, bias })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::onnx::tensors::{float_tensor, node};
    use onnx_ir::AttributeProto;

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
        assert!(convolutions(&graph).unwrap_err().contains("not finite"));
        graph.initializer[1] = float_tensor("b", &[1], &[4.0]);
        assert!(convolutions(&graph).unwrap_err().contains("1 biases"));
        graph.initializer.remove(1);
        assert!(convolutions(&graph).unwrap_err().contains("8-bit models"));
    }

    #[test]
    fn shapes_that_cannot_be_are_refused() {
        let mut graph = GraphProto::new();
        graph.node = vec![node("Conv", &["x", "w"], "y")];
        for shape in [&[1_i64, 1, 1][..], &[-1, 1, 1, 1], &[0, 1, 1, 1], &[1 << 40, 1, 1, 1], &[1 << 62, 1 << 62, 1, 1]]
        {
            graph.initializer = vec![float_tensor("w", shape, &[])];
            convolutions(&graph).unwrap_err();
        }
    }

    #[test]
    fn upsampling_is_known_where_it_is_one_way() {
        let resize = |mode: &str| {
            let mut resize = node("Resize", &["x", "", "s"], "y");
            let mut attribute = AttributeProto::new();
            attribute.name = "mode".to_owned();
            attribute.s = mode.as_bytes().to_vec().into();
            resize.attribute = vec![attribute];
            resize
        };
        let mut graph = GraphProto::new();
        assert_eq!(upsampling(&graph), None);
        graph.node = vec![resize("linear"), resize("linear")];
        assert_eq!(upsampling(&graph), Some(Upsampling::Bilinear));
        graph.node.push(resize("nearest"));
        assert_eq!(upsampling(&graph), None);
        graph.node = vec![node("Resize", &["x", "", "s"], "y")];
        assert_eq!(upsampling(&graph), Some(Upsampling::Nearest));
    }
}
