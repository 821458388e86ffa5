//! The colour model behind the interfaces that other people's models have.

use clothseg::spec::{Layout, ModelSpec, OutputKind};
use clothseg::{Class, Taxonomy};
use prost::Message;

use super::{color_spec, floats, ints, model, node, onnx};

/// TensorProto.DataType.
const FLOAT: i32 = 1;
const UINT8: i32 = 2;
const INT32: i32 = 6;
const INT64: i32 = 7;
const FLOAT16: i32 = 10;
const DOUBLE: i32 = 11;

/// One interface: its name, the file, and its description.
pub struct Interface {
    pub name: &'static str,
    pub onnx: Vec<u8>,
    pub spec: ModelSpec,
}

/// What stands before and after the network.
struct Shell {
    input: (i32, &'static [&'static str]),
    before: Vec<onnx::Node>,
    /// Makes the output `out` of `logits`.
    after: Vec<onnx::Node>,
    output: (i32, &'static [&'static str]),
    /// What the network's input is multiplied with.
    scale: f32,
    /// Whether there is one channel, of the shirt, in place of three.
    is_one: bool,
}

const NCHW: &[&str] = &["batch", "3", "height", "width"];
const CLASSES: &[&str] = &["batch", "3", "rows", "columns"];

fn plain() -> Shell {
    let before = vec![node("Identity", &["in"], "input", Vec::new())];
    let after = vec![node("Identity", &["logits"], "out", Vec::new())];
    Shell { input: (FLOAT, NCHW), before, after, output: (FLOAT, CLASSES), scale: 1.0, is_one: false }
}

fn value(name: &str, (elem_type, sides): (i32, &[&str])) -> onnx::ValueInfo {
    let dimension = |side: &&str| {
        let side = side.parse().map_or_else(|_| onnx::Side::Name((*side).into()), onnx::Side::Value);
        onnx::Dimension { side: Some(side) }
    };
    let shape = Some(onnx::Shape { dim: sides.iter().map(dimension).collect() });
    onnx::ValueInfo {
        name: name.into(),
        r#type: Some(onnx::Type { tensor_type: Some(onnx::TensorType { elem_type, shape }) }),
    }
}

fn int(name: &str, i: i64) -> onnx::Attribute {
    onnx::Attribute { name: name.into(), i, r#type: onnx::INT, ..Default::default() }
}

fn cast(from: &str, to: &str, number: i32) -> onnx::Node {
    node("Cast", &[from], to, vec![int("to", number.into())])
}

fn arg_max(to: &str, keeps_axis: i64) -> onnx::Node {
    node("ArgMax", &["logits"], to, vec![int("axis", 1), int("keepdims", keeps_axis)])
}

fn transpose(from: &str, to: &str, axes: [i64; 4]) -> onnx::Node {
    node("Transpose", &[from], to, vec![ints("perm", &axes)])
}

fn file(shell: Shell) -> Vec<u8> {
    let weights: &[[f32; 3]] =
        if shell.is_one { &[[8.0, -4.0, -4.0]] } else { &[[0.0, 0.0, 0.0], [8.0, -4.0, -4.0], [-4.0, -4.0, 8.0]] };
    let bias = if shell.is_one { vec![-2.0] } else { vec![2.0, 0.0, 0.0] };
    let kernel = weights.iter().flatten().flat_map(|weight| [weight * shell.scale / 4.0; 4]).collect();
    let channels = weights.len() as i64;
    let convolution = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
    let mut nodes = shell.before;
    nodes.push(node("Conv", &["input", "weight", "bias"], "logits", convolution));
    nodes.extend(shell.after);
    let graph = onnx::Graph {
        name: "shell".into(),
        node: nodes,
        initializer: vec![floats("weight", &[channels, 3, 2, 2], kernel), floats("bias", &[channels], bias)],
        input: vec![value("in", shell.input)],
        output: vec![value("out", shell.output)],
    };
    model(graph).encode_to_vec()
}

/// The colour model's description without names and stride, which are to be found.
pub fn spec() -> ModelSpec {
    let mut spec = color_spec();
    (spec.input.name, spec.output.name) = (String::new(), String::new());
    spec.output.stride = 0;
    spec
}

fn described(change: impl FnOnce(&mut ModelSpec)) -> ModelSpec {
    let mut spec = spec();
    change(&mut spec);
    spec
}

/// The shirt alone.
fn shirt(kind: OutputKind) -> ModelSpec {
    described(|spec| {
        let classes = vec![Class::new("background", [0; 3]), Class::new("shirt", [230, 60, 60])];
        spec.taxonomy = Taxonomy { classes, groups: Default::default() };
        spec.output.kind = kind;
    })
}

/// Interfaces that run.
pub fn all() -> Vec<Interface> {
    let interface = |name, shell, spec| Interface { name, onnx: file(shell), spec };
    let map = |name, after, output| interface(name, Shell { after, output, ..plain() }, spec());
    let says_map = || described(|spec| spec.output.kind = OutputKind::ClassMap);
    let half = || vec![cast("in", "input", FLOAT)];
    let nhwc_in = || vec![transpose("in", "input", [0, 3, 1, 2])];
    let nhwc_out = || vec![transpose("logits", "out", [0, 2, 3, 1])];
    let sigmoid = || vec![node("Sigmoid", &["logits"], "out", Vec::new())];
    let one = |after, output| Shell { after, output, is_one: true, ..plain() };
    let identity = || vec![node("Identity", &["logits"], "out", Vec::new())];
    const MAP: &[&str] = &["batch", "rows", "columns"];
    const KEPT: &[&str] = &["batch", "1", "rows", "columns"];
    const LAST: &[&str] = &["batch", "height", "width", "3"];
    const FREE: &[&str] = &["a", "b", "c", "d"];
    vec![
        interface("plain", plain(), spec()),
        map("class map of int64", vec![arg_max("out", 0)], (INT64, MAP)),
        map("class map of int64 with a channel", vec![arg_max("out", 1)], (INT64, KEPT)),
        map("class map of int32", vec![arg_max("map", 0), cast("map", "out", INT32)], (INT32, MAP)),
        map("class map of uint8", vec![arg_max("map", 1), cast("map", "out", UINT8)], (UINT8, KEPT)),
        map("class map of float32 in the graph", vec![arg_max("map", 0), cast("map", "out", FLOAT)], (FLOAT, MAP)),
        interface(
            "class map of float32 in the description",
            Shell {
                after: vec![
                    arg_max("map", 1),
                    cast("map", "numbers", FLOAT),
                    node("Relu", &["numbers"], "out", Vec::new()),
                ],
                output: (FLOAT, KEPT),
                ..plain()
            },
            says_map(),
        ),
        interface("float16 in", Shell { input: (FLOAT16, NCHW), before: half(), ..plain() }, spec()),
        interface(
            "float16 in and out",
            Shell {
                input: (FLOAT16, NCHW),
                before: half(),
                after: vec![cast("logits", "out", FLOAT16)],
                output: (FLOAT16, CLASSES),
                ..plain()
            },
            spec(),
        ),
        interface("uint8 in", Shell { input: (UINT8, NCHW), before: half(), scale: 1.0 / 255.0, ..plain() }, spec()),
        interface(
            "uint8 channels last in",
            Shell {
                input: (UINT8, LAST),
                before: vec![cast("in", "numbers", FLOAT), transpose("numbers", "input", [0, 3, 1, 2])],
                scale: 1.0 / 255.0,
                ..plain()
            },
            described(|spec| spec.input.std = [1.0 / 255.0; 3]),
        ),
        interface("channels last in", Shell { input: (FLOAT, LAST), before: nhwc_in(), ..plain() }, spec()),
        interface(
            "channels last in by the description",
            Shell { input: (FLOAT, FREE), before: nhwc_in(), ..plain() },
            described(|spec| spec.input.layout = Some(Layout::Nhwc)),
        ),
        interface(
            "channels last out",
            Shell { after: nhwc_out(), output: (FLOAT, &["batch", "rows", "columns", "3"]), ..plain() },
            spec(),
        ),
        interface(
            "channels last out by the description",
            Shell { after: nhwc_out(), output: (FLOAT, FREE), ..plain() },
            described(|spec| spec.output.layout = Some(Layout::Nhwc)),
        ),
        interface("one sigmoid", one(sigmoid(), (FLOAT, KEPT)), shirt(OutputKind::Probabilities)),
        interface("one sigmoid, called a logit", one(sigmoid(), (FLOAT, KEPT)), shirt(OutputKind::Logits)),
        interface("one logit", one(identity(), (FLOAT, KEPT)), shirt(OutputKind::Logits)),
        interface(
            "one sigmoid without an axis of channels",
            one(
                vec![
                    node("Sigmoid", &["logits"], "numbers", Vec::new()),
                    node("ReduceMax", &["numbers"], "out", vec![ints("axes", &[1]), int("keepdims", 0)]),
                ],
                (FLOAT, MAP),
            ),
            shirt(OutputKind::Probabilities),
        ),
        interface(
            "a sigmoid for each class",
            Shell { after: sigmoid(), ..plain() },
            described(|spec| spec.output.kind = OutputKind::Probabilities),
        ),
    ]
}

/// Interfaces that do not run, and a word of the reason.
pub fn refused() -> Vec<(Interface, &'static str)> {
    let interface = |name, shell, spec| Interface { name, onnx: file(shell), spec };
    vec![
        (
            interface(
                "float64",
                Shell { input: (DOUBLE, NCHW), before: vec![cast("in", "input", FLOAT)], ..plain() },
                spec(),
            ),
            "float64",
        ),
        (
            interface("four channels", Shell { input: (FLOAT, &["1", "4", "h", "w"]), ..plain() }, spec()),
            "1 x 4 x ? x ?",
        ),
        (interface("three axes", Shell { input: (FLOAT, &["3", "h", "w"]), ..plain() }, spec()), "3 axes"),
        (
            interface(
                "a classifier",
                Shell {
                    after: vec![node(
                        "ReduceMean",
                        &["logits"],
                        "out",
                        vec![ints("axes", &[2, 3]), int("keepdims", 0)],
                    )],
                    output: (FLOAT, &["batch", "3"]),
                    ..plain()
                },
                spec(),
            ),
            "classifier",
        ),
        (
            interface(
                "class indices as float32",
                Shell {
                    after: vec![
                        arg_max("map", 0),
                        cast("map", "numbers", FLOAT),
                        node("Relu", &["numbers"], "out", Vec::new()),
                    ],
                    output: (FLOAT, &["batch", "rows", "columns"]),
                    ..plain()
                },
                spec(),
            ),
            "class-map",
        ),
        (
            interface(
                "scores called probabilities",
                plain(),
                described(|spec| spec.output.kind = OutputKind::Probabilities),
            ),
            "\"logits\"",
        ),
        (interface("another stride", plain(), described(|spec| spec.output.stride = 4)), "a stride of 2"),
        (
            interface(
                "uint8 with a mean",
                Shell { input: (UINT8, NCHW), before: vec![cast("in", "input", FLOAT)], ..plain() },
                described(|spec| spec.input.mean = [0.5; 3]),
            ),
            "pixels as they are",
        ),
        (
            interface(
                "more classes in the map than in the description",
                Shell { after: vec![arg_max("out", 0)], output: (INT64, &["batch", "rows", "columns"]), ..plain() },
                described(|spec| {
                    spec.taxonomy.classes.truncate(2);
                    spec.taxonomy.groups.clear();
                }),
            ),
            "class index 2",
        ),
        (
            interface(
                "a shape that only a run tells",
                Shell { output: (FLOAT, &["a", "b", "c", "d"]), ..plain() },
                described(|spec| {
                    spec.taxonomy.classes.truncate(2);
                    spec.taxonomy.groups.clear();
                }),
            ),
            "3 channels for 2 classes",
        ),
    ]
}
