#![allow(clippy::unwrap_used)]

use super::*;
use onnx_ir::ValueInfoProto;

#[test]
fn zero_is_a_step_of_every_range() {
    let steps = Steps::of("x", [-1.0, 4.0]);
    assert_eq!((steps.size, steps.zero), (5.0 / 255.0, 51));
    assert_eq!(Steps::of("x", [0.0, 255.0]).zero, 0);
    assert_eq!(Steps::of("x", [-2.0, 0.0]).zero, 255);
    assert_eq!(Steps::of("x", [0.0, 0.0]).size, 1.0, "nothing to round, and no division by 0");
}

/// Conv, Relu, Conv: the first in 8 bits, the second gives the logits.
fn graph() -> GraphProto {
    let mut graph = GraphProto::new();
    let named = |name: &str| {
        let mut value = ValueInfoProto::new();
        value.name = name.to_owned();
        value
    };
    graph.input = vec![named("x")];
    graph.output = vec![named("logits")];
    graph.initializer = vec![
        float_tensor("w", &[2, 1, 1, 1], &[0.5, -2.0]),
        float_tensor("b", &[2], &[0.25, 0.0]),
        float_tensor("v", &[1, 2, 1, 1], &[1.0, 1.0]),
    ];
    graph.node =
        vec![node("Conv", &["x", "w", "b"], "c"), node("Relu", &["c"], "r"), node("Conv", &["r", "v"], "logits")];
    graph
}

#[test]
fn all_but_the_logits_are_rounded_and_rounding_does_the_relu() {
    let mut graph = graph();
    let plan = Plan::of(&graph).unwrap();
    assert_eq!((plan.tensors(), plan.convolutions()), (vec!["x".to_owned(), "r".to_owned()], 1));
    let ranges = HashMap::from([("x".to_owned(), [-1.0, 1.0]), ("r".to_owned(), [0.0, 3.0])]);
    plan.rewrite(&mut graph, &ranges, &HashMap::new()).unwrap();
    let lines: Vec<String> = graph
        .node
        .iter()
        .map(|node| format!("{} = {}({})", node.output[0], node.op_type, node.input.join(", ")))
        .collect();
    assert_eq!(
        lines,
        [
            "x_steps = QuantizeLinear(x, x_size, x_zero)",
            "x_rounded = DequantizeLinear(x_steps, x_size, x_zero)",
            "c_weight8_rounded = DequantizeLinear(c_weight8, c_weight8_size, c_weight8_zero)",
            "c_bias32_rounded = DequantizeLinear(c_bias32, c_bias32_size, c_bias32_zero)",
            "r = Conv(x_rounded, c_weight8_rounded, c_bias32_rounded)",
            "r_steps = QuantizeLinear(r, r_size, r_zero)",
            "r_rounded = DequantizeLinear(r_steps, r_size, r_zero)",
            "logits = Conv(r_rounded, v)",
        ]
    );
    let constant = |name: &str| graph.initializer.iter().find(|tensor| tensor.name == name).unwrap();
    assert_eq!(constant("c_weight8").raw_data.to_vec(), [64, (-64_i8) as u8]);
    assert_eq!(floats(constant("c_weight8_size")).unwrap(), [0.5 / 64.0, 2.0 / 64.0]);
    // 0.25 in steps of (2 / 255) (0.5 / 64).
    assert_eq!(constant("c_bias32").raw_data.to_vec(), [4080_i32.to_le_bytes(), [0; 4]].concat());
    assert!(!graph.initializer.iter().any(|tensor| tensor.name == "w"), "the floats are gone");
}

/// Operations and what they write, of those that are no pairs of rounding.
fn lines(graph: &GraphProto) -> Vec<String> {
    let computes = |node: &&NodeProto| !node.op_type.ends_with("Linear");
    let line = |node: &NodeProto| format!("{} = {}({})", node.output[0], node.op_type, node.input[0]);
    graph.node.iter().filter(computes).map(line).collect()
}

fn ranges(plan: &Plan) -> HashMap<String, Range> {
    plan.tensors().into_iter().map(|name| (name, [0.0, 1.0])).collect()
}

#[test]
fn logits_that_are_enlarged_stay_floats_too() {
    let mut graph = graph();
    graph.node[2] = node("Conv", &["r", "v"], "small");
    let mut enlarged = node("Resize", &["small", "", "factors"], "logits");
    enlarged.attribute.push(mode("linear"));
    graph.node.push(enlarged);
    let plan = Plan::of(&graph).unwrap();
    assert_eq!((plan.tensors(), plan.convolutions()), (vec!["x".to_owned(), "r".to_owned()], 1));
    plan.rewrite(&mut graph, &ranges(&plan), &HashMap::new()).unwrap();
    assert_eq!(lines(&graph), ["r = Conv(x_rounded)", "small = Conv(r_rounded)", "logits = Resize(small)"]);
}

fn mode(name: &'static str) -> onnx_ir::AttributeProto {
    let mut mode = integer_attribute("mode", 0);
    mode.s = name.as_bytes().to_vec().into();
    mode
}

#[test]
fn linear_enlarging_has_a_range_of_its_own() {
    let mut graph = graph();
    let mut enlarged = node("Resize", &["r", "", "factors"], "e");
    enlarged.attribute.push(mode("linear"));
    graph.node[2] = enlarged;
    graph.node.push(node("Conv", &["e", "v"], "f"));
    graph.node.push(node("Conv", &["f", "v"], "logits"));
    assert_eq!(Plan::of(&graph).unwrap().tensors(), ["x", "r", "e", "f"]);
    graph.node[2].attribute[0] = mode("nearest");
    assert_eq!(Plan::of(&graph).unwrap().tensors(), ["x", "r", "f"]);
}

#[test]
fn activations_are_absorbed_only_where_rounding_does_the_same() {
    let with = |low: f32| {
        let mut graph = graph();
        graph.initializer.push(float_tensor("low", &[], &[low]));
        graph.initializer.push(float_tensor("high", &[], &[6.0]));
        graph.node[1] = node("Clip", &["c", "low", "high"], "r");
        graph
    };
    let absorbed = |mut graph: GraphProto| {
        let plan = Plan::of(&graph).unwrap();
        plan.rewrite(&mut graph, &ranges(&plan), &HashMap::new()).unwrap();
        !graph.node.iter().any(|node| matches!(node.op_type.as_str(), "Clip" | "Relu"))
    };
    assert!(absorbed(with(0.0)));
    assert!(!absorbed(with(-1.0)), "it cuts elsewhere");
    let mut read = with(0.0);
    read.node[2] = node("Add", &["r", "c"], "s");
    read.node.push(node("Conv", &["s", "v"], "logits"));
    assert!(!absorbed(read), "somebody reads what is below 0");
}

#[test]
fn joins_are_rounded_and_shared_weights_twice() {
    let mut graph = graph();
    graph.node = vec![
        node("Conv", &["x", "w", "b"], "one"),
        node("Conv", &["y", "w", "b"], "other"),
        node("Add", &["one", "other"], "sum"),
        node("Concat", &["sum", "one"], "both"),
        node("Conv", &["both", "v"], "logits"),
    ];
    let plan = Plan::of(&graph).unwrap();
    assert_eq!(plan.tensors(), ["x", "one", "y", "other", "sum", "both"]);
    plan.rewrite(&mut graph, &ranges(&plan), &HashMap::new()).unwrap();
    assert!(graph.initializer.iter().any(|tensor| tensor.name == "other_weight8"));
    assert_eq!(lines(&graph)[2..4], ["sum = Add(one_rounded)", "both = Concat(sum_rounded)"]);
}

#[test]
fn other_models_are_refused_by_what_they_have() {
    let model = |opset: i64, graph: GraphProto| {
        let mut model = ModelProto::new();
        model.ir_version = 8;
        model.opset_import.push(Default::default());
        model.opset_import[0].version = opset;
        model.graph = Some(graph).into();
        model
    };
    assert_eq!(check(&model(18, graph())), Ok(()));
    assert!(check(&model(12, graph())).unwrap_err().contains("opset is 12"));
    let mut shapes = graph();
    shapes.node.push(node("Shape", &["x"], "s"));
    assert!(check(&model(18, shapes)).unwrap_err().contains("Shape"));
    let mut on = graph();
    on.node.push(node("Relu", &["logits"], "more"));
    assert!(check(&model(18, on)).unwrap_err().contains("logits is used again"));
}

#[test]
fn what_is_only_moved_keeps_its_steps() {
    let mut graph = graph();
    graph.node[2] = node("MaxPool", &["r"], "p");
    graph.node.push(node("Conv", &["p", "v"], "logits"));
    let plan = Plan::of(&graph).unwrap();
    assert_eq!(plan.tensors(), ["x", "r"]);
    let ranges = HashMap::from([("x".to_owned(), [-1.0, 1.0]), ("r".to_owned(), [0.0, 3.0])]);
    plan.rewrite(&mut graph, &ranges, &HashMap::new()).unwrap();
    let pooled = graph.node.iter().find(|node| node.output[0] == "p_steps").unwrap();
    assert_eq!(pooled.input, ["p", "r_size", "r_zero"]);
    assert!(plan.rewrite(&mut self::graph(), &HashMap::new(), &HashMap::new()).unwrap_err().contains("unknown"));
}

#[test]
fn what_rounding_weights_adds_on_average_is_taken_off_the_bias() {
    let mut graph = graph();
    graph.initializer[0] = float_tensor("w", &[2, 2, 1, 1], &[1.0, 0.51, 2.0, -1.0]);
    let plan = Plan::of(&graph).unwrap();
    assert_eq!(plan.inputs(&graph), [("x".to_owned(), 2)]);
    let ranges = HashMap::from([("x".to_owned(), [0.0, 255.0]), ("r".to_owned(), [0.0, 3.0])]);
    let means = HashMap::from([("x".to_owned(), vec![3.0, 2.0])]);
    plan.rewrite(&mut graph, &ranges, &means).unwrap();
    let bias = graph.initializer.iter().find(|tensor| tensor.name == "c_bias32").unwrap();
    // 0.51 is 33 steps of 1/64, 0.005625 too much: 0.01125 less of 0.25 in steps of 1/64. The other channel is exact.
    let steps = ((0.25_f32 - 2.0 * 0.005_625) * 64.0).round() as i32;
    assert_eq!(steps, 15);
    assert_eq!(bias.raw_data.to_vec(), [steps.to_le_bytes(), [0; 4]].concat());
    // Two groups of one channel each; two taps.
    assert_eq!(shift_of(&[0.5, 0.25, 1.0, -3.0], 2, 1, 2, &[2.0, 10.0]), [1.5, -20.0]);
    // Two groups of two channels each.
    assert_eq!(shift_of(&[1.0, 2.0, 3.0, 4.0], 2, 2, 2, &[1.0, 10.0, 100.0, 1000.0]), [21.0, 4300.0]);
}
