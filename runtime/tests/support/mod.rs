//! What the integration tests of the runtime's packages share: a model that needs no training, and photos drawn for it.

#![allow(dead_code, clippy::unwrap_used)]

pub mod foreign;
pub mod interfaces;
pub mod onnx;

use clothseg::spec::{Fit, InputSpec, ModelSpec, OutputSpec};
use clothseg::{Class, EngineOptions, Provider, Taxonomy};
use image::{Rgb, RgbImage};
use prost::Message;

/// Options for this provider, with the ONNX Runtime that the environment names.
pub fn engine_options(provider: Provider) -> EngineOptions {
    let mut options = EngineOptions::default().with_provider(provider);
    options.library = std::env::var_os("ORT_DYLIB_PATH").map(Into::into);
    options
}

/// Colours that the colour model tells apart.
pub const RED: Rgb<u8> = Rgb([230, 20, 20]);
pub const BLUE: Rgb<u8> = Rgb([20, 20, 230]);
pub const GREY: Rgb<u8> = Rgb([90, 90, 90]);

/// Stride of the colour model.
const STRIDE: i64 = 2;

/// An ONNX model of one 2 x 2 convolution at stride 2: red is a shirt, blue are pants, anything else is background.
pub fn color_model() -> Vec<u8> {
    color_spec().embed_in_onnx(&color_graph().encode_to_vec()).unwrap()
}

/// The same without a description.
pub fn model_without_spec() -> Vec<u8> {
    color_graph().encode_to_vec()
}

pub fn color_spec() -> ModelSpec {
    let classes = vec![
        Class::new("background", [0, 0, 0]),
        Class::new("shirt", [230, 60, 60]).with_aliases(["blouse"]),
        Class::new("pants", [60, 110, 220]).with_aliases(["trousers"]),
    ];
    let groups = [("garment".to_owned(), vec!["shirt".to_owned(), "pants".to_owned()])].into();
    let fit = Fit::LongestSide { size: 128, multiple: 16 };
    let mut input = InputSpec::imagenet(fit).with_normalization([0.0; 3], [1.0; 3]);
    // A colour that no class has.
    input.pad = [124, 116, 104];
    ModelSpec::new("colours", Taxonomy { classes, groups }, input, OutputSpec::logits(STRIDE as u32))
}

fn color_graph() -> onnx::Model {
    // Rows: background, shirt, pants; columns: red, green, blue. The kernel averages four pixels.
    let weights = [[0.0, 0.0, 0.0], [8.0, -4.0, -4.0], [-4.0, -4.0, 8.0]];
    let kernel = weights.iter().flatten().flat_map(|weight| [weight / 4.0; 4]).collect();
    let attributes = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[STRIDE, STRIDE])];
    let graph = onnx::Graph {
        name: "colours".into(),
        node: vec![node("Conv", &["input", "weight", "bias"], "logits", attributes)],
        initializer: vec![floats("weight", &[3, 3, 2, 2], kernel), floats("bias", &[3], vec![2.0, 0.0, 0.0])],
        input: vec![tensor("input", ["batch", "3", "height", "width"])],
        output: vec![tensor("logits", ["batch", "3", "rows", "columns"])],
    };
    model(graph)
}

fn model(graph: onnx::Graph) -> onnx::Model {
    let opset_import = vec![onnx::OperatorSet { domain: String::new(), version: 17 }];
    onnx::Model { ir_version: 8, opset_import, graph: Some(graph) }
}

/// A node with one output, which names it too.
fn node(operator: &str, inputs: &[&str], output: &str, attribute: Vec<onnx::Attribute>) -> onnx::Node {
    onnx::Node {
        name: output.into(),
        op_type: operator.into(),
        input: inputs.iter().map(|input| (*input).into()).collect(),
        output: vec![output.into()],
        attribute,
    }
}

fn ints(name: &str, values: &[i64]) -> onnx::Attribute {
    onnx::Attribute { name: name.into(), ints: values.to_vec(), r#type: onnx::INTS, ..Default::default() }
}

fn floats(name: &str, dims: &[i64], float_data: Vec<f32>) -> onnx::Tensor {
    onnx::Tensor { name: name.into(), dims: dims.to_vec(), data_type: onnx::FLOAT, float_data }
}

/// A float tensor; sides that are numbers are fixed, others symbolic.
fn tensor(name: &str, sides: [&str; 4]) -> onnx::ValueInfo {
    let dimension = |side: &str| {
        let side = side.parse().map_or_else(|_| onnx::Side::Name(side.into()), onnx::Side::Value);
        onnx::Dimension { side: Some(side) }
    };
    let shape = Some(onnx::Shape { dim: sides.map(dimension).into() });
    let tensor_type = Some(onnx::TensorType { elem_type: onnx::FLOAT, shape });
    onnx::ValueInfo { name: name.into(), r#type: Some(onnx::Type { tensor_type }) }
}

/// A grey photo with a red square in the upper half and a blue one in the lower half.
pub fn drawn_photo(width: u32, height: u32) -> RgbImage {
    let inside = |x: u32| x >= width / 4 && x < width * 3 / 4;
    RgbImage::from_fn(width, height, |x, y| match y * 8 / height {
        1 | 2 if inside(x) => RED,
        5 | 6 if inside(x) => BLUE,
        _ => GREY,
    })
}

/// A grey photo with a red frame in it, whose hole holds a blue square that touches it.
pub fn ring_photo(width: u32, height: u32) -> RgbImage {
    let within = |x: u32, y: u32, tenths: u32| {
        let inside = |at: u32, side: u32| at >= side * tenths / 20 && at < side * (20 - tenths) / 20;
        inside(x, width) && inside(y, height)
    };
    RgbImage::from_fn(width, height, |x, y| {
        if within(x, y, 6) && x >= width / 2 {
            BLUE
        } else if within(x, y, 2) && !within(x, y, 6) {
            RED
        } else {
            GREY
        }
    })
}
