//! A description held against the model that it describes, before any engine is asked.

use super::BatchSize;
use crate::error::{Error, Result};
use crate::onnx::{FLOAT32, Interface, Port};
use crate::spec::{Fit, ModelSpec};

/// A description with every name filled in, and what the model fixes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Binding {
    pub(super) spec: ModelSpec,
    pub(super) batch: BatchSize,
    /// The shapes that the input may have, N x 3 x H x W.
    pub(super) shapes: ShapeRange,
}

/// The smallest and the largest shape of the input, N x 3 x H x W.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShapeRange {
    pub(super) smallest: [u64; 4],
    pub(super) largest: [u64; 4],
}

impl Binding {
    /// Holds `spec` against the model's own inputs and outputs, so that a description that does not fit is found when the
    /// model opens, not at the first photo. A free batch takes `max_batch` photos.
    pub(super) fn new(spec: &ModelSpec, interface: &Interface, max_batch: usize) -> Result<Self> {
        let mut spec = spec.clone();
        let input = check_input(&spec, interface)?;
        spec.input.name.clone_from(&input.name);
        let output = check_output(&spec, interface)?;
        spec.output.name.clone_from(&output.name);
        let (batch, shapes) = sides(&spec, input, max_batch.max(1))?;
        Ok(Self { spec, batch, shapes })
    }
}

fn bad<T>(reason: String) -> Result<T> {
    Err(Error::BadSpec { reason })
}

fn names(ports: &[Port]) -> String {
    ports.iter().map(|port| port.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn check_input<'a>(spec: &ModelSpec, interface: &'a Interface) -> Result<&'a Port> {
    let input = match interface.inputs.as_slice() {
        [input] if spec.input.name.is_empty() || spec.input.name == input.name => input,
        inputs if spec.input.name.is_empty() => {
            return bad(format!("one input is needed, and the model's inputs are: {}", names(inputs)));
        }
        inputs => {
            return bad(format!(
                "its one input is '{}', and the model's inputs are: {}",
                spec.input.name,
                names(inputs)
            ));
        }
    };
    if input.element_type != FLOAT32 && input.element_type != 0 {
        return bad(format!(
            "the model's input '{}' is not float32 (ONNX type {}); export the model with float32 at its ends",
            input.name, input.element_type
        ));
    }
    Ok(input)
}

fn check_output<'a>(spec: &ModelSpec, interface: &'a Interface) -> Result<&'a Port> {
    let wanted = |port: &&Port| spec.output.name.is_empty() || spec.output.name == port.name;
    let Some(output) = interface.outputs.iter().find(wanted) else {
        return bad(format!(
            "its output is '{}', and the model's outputs are: {}",
            spec.output.name,
            names(&interface.outputs)
        ));
    };
    let channels = output.sides.as_ref().and_then(|sides| *sides.get(1)?);
    match channels {
        Some(channels) if channels != spec.taxonomy.len() as u64 => bad(format!(
            "it has {} classes, and the model's output '{}' has {channels} channels",
            spec.taxonomy.len(),
            output.name
        )),
        _ => Ok(output),
    }
}

/// Batch and shapes: what the description allows, narrowed to what the file fixes.
fn sides(spec: &ModelSpec, input: &Port, max_batch: usize) -> Result<(BatchSize, ShapeRange)> {
    let (smallest, largest) = fitted_sides(&spec.input.largest_fit());
    let free = vec![None; 4];
    let declared = input.sides.as_ref().unwrap_or(&free);
    let &[batch, channels, height, width] = declared.as_slice() else {
        return bad(format!(
            "the model's input '{}' has {} axes, and 4 are needed: batch x 3 x height x width",
            input.name,
            declared.len()
        ));
    };
    if channels.is_some_and(|channels| channels != 3) {
        return bad(format!(
            "the model's input '{}' is {} and batch x 3 x height x width is needed",
            input.name,
            shape_text(declared)
        ));
    }
    let fits = |declared: Option<u64>, axis: usize| {
        declared.is_none_or(|side| side == smallest[axis] && side == largest[axis])
    };
    if !fits(height, 0) || !fits(width, 1) {
        return bad(format!(
            "its fit gives inputs of {} (width x height), and the model takes {}",
            if smallest == largest {
                format!("{} x {}", largest[1], largest[0])
            } else {
                format!("{0} x {0} to {1} x {1}", smallest[0], largest[0])
            },
            shape_text(declared)
        ));
    }
    let batch = match batch.and_then(|batch| usize::try_from(batch).ok()) {
        Some(0) => return bad(format!("the model's input '{}' has a batch of 0", input.name)),
        Some(batch) => BatchSize::Exactly(batch),
        None => BatchSize::UpTo(max_batch),
    };
    let (fewest, most) = match batch {
        BatchSize::Exactly(batch) => (batch as u64, batch as u64),
        BatchSize::UpTo(most) => (1, most as u64),
    };
    let shapes =
        ShapeRange { smallest: [fewest, 3, smallest[0], smallest[1]], largest: [most, 3, largest[0], largest[1]] };
    Ok((batch, shapes))
}

/// The smallest and the largest height and width that a fit gives.
fn fitted_sides(fit: &Fit) -> ([u64; 2], [u64; 2]) {
    match *fit {
        Fit::Stretch { width, height } => ([height.into(), width.into()], [height.into(), width.into()]),
        Fit::LongestSide { size, multiple } => {
            let largest = u64::from(size.next_multiple_of(multiple.max(1)));
            ([u64::from(multiple); 2], [largest; 2])
        }
    }
}

fn shape_text(sides: &[Option<u64>]) -> String {
    let side = |side: &Option<u64>| side.map_or_else(|| "?".to_owned(), |side| side.to_string());
    sides.iter().map(side).collect::<Vec<_>>().join(" x ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{InputSpec, OutputSpec};
    use crate::taxonomy::Taxonomy;

    fn spec(fit: Fit) -> ModelSpec {
        ModelSpec::new("test", Taxonomy::builtin("garments").unwrap(), InputSpec::imagenet(fit), OutputSpec::logits(2))
    }

    fn port(name: &str, sides: [Option<u64>; 4]) -> Port {
        Port { name: name.into(), element_type: FLOAT32, sides: Some(sides.into()) }
    }

    fn interface(input: [Option<u64>; 4]) -> Interface {
        let outputs = vec![port("logits", [None, Some(23), None, None]), port("more", [None; 4])];
        Interface { inputs: vec![port("input", input)], outputs }
    }

    const STRETCH: Fit = Fit::Stretch { width: 64, height: 96 };
    const LONGEST: Fit = Fit::LongestSide { size: 200, multiple: 32 };

    #[test]
    fn free_sides_are_narrowed_by_the_fit_and_fixed_ones_by_the_file() {
        let bound = Binding::new(&spec(LONGEST), &interface([None, Some(3), None, None]), 4).unwrap();
        assert_eq!(bound.batch, BatchSize::UpTo(4));
        assert_eq!(bound.shapes, ShapeRange { smallest: [1, 3, 32, 32], largest: [4, 3, 224, 224] });
        let mut larger = spec(LONGEST);
        larger.input.tta_long_side = Some(300);
        let bound = Binding::new(&larger, &interface([None; 4]), 1).unwrap();
        assert_eq!(bound.shapes, ShapeRange { smallest: [1, 3, 32, 32], largest: [1, 3, 320, 320] });
        let bound = Binding::new(&spec(STRETCH), &interface([Some(2), Some(3), Some(96), Some(64)]), 4).unwrap();
        assert_eq!(bound.batch, BatchSize::Exactly(2));
        assert_eq!(bound.shapes, ShapeRange { smallest: [2, 3, 96, 64], largest: [2, 3, 96, 64] });
    }

    #[test]
    fn names_left_out_are_the_only_input_and_the_first_output() {
        let mut spec = spec(STRETCH);
        (spec.input.name, spec.output.name) = (String::new(), String::new());
        let bound = Binding::new(&spec, &interface([None; 4]), 1).unwrap();
        assert_eq!((bound.spec.input.name.as_str(), bound.spec.output.name.as_str()), ("input", "logits"));
    }

    #[test]
    fn a_description_of_another_model_is_refused_by_what_differs() {
        let refused =
            |spec: &ModelSpec, interface: &Interface| Binding::new(spec, interface, 1).unwrap_err().to_string();
        let plain = [None, Some(3), None, None];
        let mut other = spec(STRETCH);
        other.output.name = "scores".into();
        assert!(refused(&other, &interface(plain)).contains("'scores', and the model's outputs are: logits, more"));
        other = spec(STRETCH);
        other.taxonomy.classes.pop();
        assert!(refused(&other, &interface(plain)).contains("22 classes, and the model's output 'logits' has 23"));
        let text = refused(&spec(STRETCH), &interface([None, Some(3), Some(64), Some(64)]));
        assert!(text.contains("64 x 96") && text.contains("? x 3 x 64 x 64"), "{text}");
        let text = refused(&spec(LONGEST), &interface([None, Some(3), Some(224), Some(224)]));
        assert!(text.contains("32 x 32 to 224 x 224"), "{text}");
        let text = refused(&spec(STRETCH), &interface([None, Some(96), Some(64), Some(3)]));
        assert!(text.contains("? x 96 x 64 x 3 and batch x 3 x height x width is needed"), "{text}");
        let mut half = interface(plain);
        half.inputs[0].element_type = 10;
        assert!(refused(&spec(STRETCH), &half).contains("float32"));
        half.inputs.clear();
        assert!(refused(&spec(STRETCH), &half).contains("the model's inputs are: "));
    }

    #[test]
    fn a_square_model_takes_a_longest_side_that_is_padded_to_a_square() {
        let square = Fit::LongestSide { size: 512, multiple: 512 };
        let fixed = interface([Some(1), Some(3), Some(512), Some(512)]);
        assert_eq!(Binding::new(&spec(square), &fixed, 8).unwrap().shapes.largest, [1, 3, 512, 512]);
    }
}
