//! Weights stored in 16 bits and calculated with in 32: half the file, no other speed. Each constant of many numbers becomes
//! a FLOAT16 one and a Cast, which engines carry out once, when they open the file.

use std::collections::HashMap;

use half::f16;
use onnx_ir::{GraphProto, TensorProto};

use super::tensors::{FLOAT, FLOAT16, f16_tensor, f16_values, float_tensor, floats, integer_attribute, node};

/// Constants of fewer numbers, such as biases, stay as they are: there is little to save.
const LEAST_NUMBERS: usize = 256;

/// Suffix of the stored constant's name.
const STORED: &str = "_half";

/// Stores the graph's constants in 16 bits, but for those that 16 bits cannot hold.
pub(crate) fn store(graph: &mut GraphProto) {
    let mut casts = Vec::new();
    for tensor in &mut graph.initializer {
        let Some(values) = floats(tensor).filter(|values| values.len() >= LEAST_NUMBERS) else { continue };
        let rounded: Vec<f16> = values.into_iter().map(f16::from_f32).collect();
        if !rounded.iter().all(|value| value.is_finite()) {
            continue;
        }
        let stored = format!("{}{STORED}", tensor.name);
        let mut cast = node("Cast", &[&stored], &tensor.name);
        cast.attribute.push(integer_attribute("to", i64::from(FLOAT)));
        casts.push(cast);
        *tensor = f16_tensor(stored, &tensor.dims, &rounded);
    }
    // A node comes after those that it reads.
    graph.node.splice(0..0, casts);
}

/// The other way: constants in 32 bits, as passes over the graph expect them.
pub(crate) fn restore(graph: &mut GraphProto) {
    let stored: HashMap<String, TensorProto> = (graph.initializer.iter())
        .filter(|tensor| tensor.data_type == FLOAT16)
        .map(|tensor| (tensor.name.clone(), tensor.clone()))
        .collect();
    let mut restored = Vec::new();
    graph.node.retain(|node| {
        let tensor = node.input.first().and_then(|name| stored.get(name)).filter(|_| node.op_type == "Cast");
        let (Some(tensor), Some(output)) = (tensor, node.output.first()) else { return true };
        let Some(values) = f16_values(tensor) else { return true };
        let values: Vec<f32> = values.into_iter().map(f16::to_f32).collect();
        restored.push((tensor.name.clone(), float_tensor(output, &tensor.dims, &values)));
        false
    });
    graph.initializer.retain(|tensor| restored.iter().all(|(name, _)| *name != tensor.name));
    graph.initializer.extend(restored.into_iter().map(|(_, tensor)| tensor));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn graph(values: &[f32]) -> GraphProto {
        let mut graph = GraphProto::new();
        graph.node.push(node("Mul", &["x", "weights"], "y"));
        graph.initializer.push(float_tensor("weights", &[values.len() as i64], values));
        graph
    }

    #[test]
    fn what_is_stored_comes_back_rounded() {
        let values: Vec<f32> = (0..300).map(|index| 0.1 + index as f32 / 7.0).collect();
        let mut stored = graph(&values);
        store(&mut stored);
        let kinds: Vec<&str> = stored.node.iter().map(|node| node.op_type.as_str()).collect();
        assert_eq!(kinds, ["Cast", "Mul"]);
        assert_eq!(stored.initializer[0].raw_data.len(), 600);
        restore(&mut stored);
        assert_eq!(stored.node, graph(&values).node);
        let back = floats(&stored.initializer[0]).unwrap();
        assert_eq!((stored.initializer.len(), stored.initializer[0].name.as_str()), (1, "weights"));
        assert!(back.iter().zip(&values).all(|(back, value)| (back - value).abs() <= value / 2048.0));
    }

    #[test]
    fn small_and_huge_constants_stay() {
        for values in [vec![0.5; 8], vec![1e6; 300]] {
            let mut same = graph(&values);
            store(&mut same);
            assert_eq!(same, graph(&values));
        }
    }
}
