//! Small ONNX files with the interfaces of well-known clothing models: they tell red, green and blue apart.

use prost::Message;

use super::{floats, ints, model, node, onnx, tensor};

/// Weights of a convolution whose channels `colors` win for red, green and blue pixels, and channel 0 elsewhere. Kernel and
/// stride are `stride` wide; input values are `(pixel / 255 - mean) / std`.
fn color_weights(channels: usize, colors: [usize; 3], stride: usize, [mean, std]: [[f32; 3]; 2]) -> [onnx::Tensor; 2] {
    let area = (stride * stride) as f32;
    let mut kernel = Vec::new();
    let mut bias = Vec::new();
    for channel in 0..channels {
        let color = colors.iter().position(|wanted| *wanted == channel);
        let weights: [f32; 3] = match color {
            Some(color) => std::array::from_fn(|index| if index == color { 8.0 } else { -4.0 }),
            None => [0.0; 3],
        };
        bias.push(match color {
            // The network sees normalised values: the mean goes back into the bias, the deviation into the weights.
            Some(_) => weights.iter().zip(mean).map(|(weight, mean)| weight * mean).sum(),
            None if channel == 0 => 2.0,
            None => -9.0,
        });
        for (weight, std) in weights.iter().zip(std) {
            kernel.extend(std::iter::repeat_n(weight * std / area, stride * stride));
        }
    }
    let side = stride as i64;
    [floats("weight", &[channels as i64, 3, side, side], kernel), floats("bias", &[channels as i64], bias)]
}

fn convolution(input: &str, output: &str, stride: i64) -> onnx::Node {
    let attributes = vec![ints("kernel_shape", &[stride; 2]), ints("strides", &[stride; 2])];
    node("Conv", &[input, "weight", "bias"], output, attributes)
}

/// As U2-Net for clothes: 1 x 3 x 768 x 768 in with mean and deviation 0.5, seven outputs of 4 classes at stride 1, of which
/// the first holds log-probabilities (red is upper body, blue lower body, green full body) and the others its opposite.
pub fn u2net_cloth() -> Vec<u8> {
    let axis = || vec![onnx::Attribute { name: "axis".into(), i: 1, r#type: onnx::INT, ..Default::default() }];
    let outputs = ["d0", "d1", "d2", "d3", "d4", "d5", "d6"];
    let mut nodes = vec![convolution("image", "scores", 1), node("LogSoftmax", &["scores"], "d0", axis())];
    nodes.extend(outputs[1..].iter().map(|output| node("Neg", &["d0"], output, Vec::new())));
    let graph = onnx::Graph {
        name: "u2net".into(),
        node: nodes,
        initializer: color_weights(4, [1, 3, 2], 1, [[0.5; 3]; 2]).into(),
        input: vec![tensor("image", ["1", "3", "768", "768"])],
        output: outputs.map(|output| tensor(output, ["1", "4", "768", "768"])).into(),
    };
    model(graph).encode_to_vec()
}

/// As SegFormer B2 for clothes: any batch of 3 x H x W in with ImageNet's mean and deviation, 18 logits at stride 4 out (red is
/// upper clothes, blue pants, green a dress).
pub fn segformer_clothes() -> Vec<u8> {
    let imagenet = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];
    let graph = onnx::Graph {
        name: "segformer".into(),
        node: vec![convolution("pixel_values", "logits", 4)],
        initializer: color_weights(18, [4, 7, 6], 4, imagenet).into(),
        input: vec![tensor("pixel_values", ["batch_size", "num_channels", "height", "width"])],
        output: vec![tensor("logits", ["batch_size", "18", "rows", "columns"])],
    };
    model(graph).encode_to_vec()
}
