//! A description held against the model that it describes, before any engine is asked.

use super::BatchSize;
use super::form::{Channels, Element, InputForm, OutputForm};
use crate::error::{Error, Result};
use crate::onnx::{Interface, Port};
use crate::spec::{Fit, Layout, ModelSpec, OutputKind};

/// A description with every name filled in, and what the model fixes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Binding {
    /// What comes out of an engine: its kind is logits or probabilities.
    pub(super) spec: ModelSpec,
    pub(super) batch: BatchSize,
    /// The shapes that the input may have, N x 3 x H x W.
    pub(super) shapes: ShapeRange,
    pub(super) input: InputForm,
    pub(super) output: OutputForm,
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
        let input_form = input_form(&spec, input)?;
        let output = check_output(&spec, interface)?;
        spec.output.name.clone_from(&output.name);
        let output_form = output_form(&mut spec, output, interface.operator_of(&output.name))?;
        let (batch, shapes) = sides(&spec, input, input_form.layout, max_batch.max(1))?;
        Ok(Self { spec, batch, shapes, input: input_form, output: output_form })
    }
}

fn bad<T>(reason: String) -> Result<T> {
    Err(Error::BadSpec { reason })
}

fn names(ports: &[Port]) -> String {
    ports.iter().map(|port| port.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn check_input<'a>(spec: &ModelSpec, interface: &'a Interface) -> Result<&'a Port> {
    match interface.inputs.as_slice() {
        [input] if spec.input.name.is_empty() || spec.input.name == input.name => Ok(input),
        inputs if spec.input.name.is_empty() => {
            bad(format!("one input is needed, and the model's inputs are: {}", names(inputs)))
        }
        inputs => bad(format!("its one input is '{}', and the model's inputs are: {}", spec.input.name, names(inputs))),
    }
}

/// What the input's numbers are and how its axes are ordered.
fn input_form(spec: &ModelSpec, input: &Port) -> Result<InputForm> {
    let element = Element::of_onnx(input.element_type);
    let Some(element) = element.filter(|element| element.is_fed()) else {
        return bad(format!(
            "the model's input '{}' is {}, and float32, float16 or uint8 is needed; export the model with one of them",
            input.name,
            Element::name_of(input.element_type)
        ));
    };
    if element == Element::U8 {
        let is = |values: &[f32; 3], wanted: f32| values.iter().all(|value| (value - wanted).abs() < 1e-6);
        let (mean, std) = (&spec.input.mean, &spec.input.std);
        if !is(mean, 0.0) || !(is(std, 1.0) || is(std, 1.0 / 255.0)) {
            return bad(format!(
                "the model's input '{}' is uint8, so it takes pixels as they are: input.mean must be 0 and input.std 1, and \
                 they are {mean:?} and {std:?}",
                input.name
            ));
        }
    }
    let sides = input.sides.as_deref();
    let layout = match (spec.input.layout, sides) {
        (Some(layout), _) => layout,
        (None, Some([_, second, _, last])) if *last == Some(3) && *second != Some(3) => Layout::Nhwc,
        _ => Layout::Nchw,
    };
    Ok(InputForm { element, layout })
}

fn check_output<'a>(spec: &ModelSpec, interface: &'a Interface) -> Result<&'a Port> {
    let wanted = |port: &&Port| spec.output.name.is_empty() || spec.output.name == port.name;
    match interface.outputs.iter().find(wanted) {
        Some(output) => Ok(output),
        None => bad(format!(
            "its output is '{}', and the model's outputs are: {}",
            spec.output.name,
            names(&interface.outputs)
        )),
    }
}

/// What the output's numbers are. The description's kind becomes that of the numbers that leave the engine: where the graph
/// itself says plainly what they are, it is right.
fn output_form(spec: &mut ModelSpec, output: &Port, operator: Option<&str>) -> Result<OutputForm> {
    let what = || format!("the model's output '{}'", output.name);
    let shape = || output.sides.as_deref().map_or_else(|| "of unknown shape".to_owned(), shape_text);
    let Some(element) = Element::of_onnx(output.element_type) else {
        return bad(format!(
            "{} is {}, and float32, float16 or (of a class map) whole numbers are needed",
            what(),
            Element::name_of(output.element_type)
        ));
    };
    let classes = spec.taxonomy.len();
    if output.element_type == crate::onnx::BOOL && classes > 2 {
        return bad(format!("{} is bool, which tells two classes apart, and it has {classes} classes", what()));
    }
    let is_map = element.is_whole() || spec.output.kind == OutputKind::ClassMap || operator == Some("ArgMax");
    if let Some(rank) = output.sides.as_ref().map(Vec::len).filter(|rank| !(3..=4).contains(rank)) {
        return bad(format!(
            "{} is {} ({rank} axes): masks have batch x classes x height x width, and a class map batch x height x width{}",
            what(),
            shape(),
            if rank == 2 { "; this looks like a classifier, which says what is in a photo and not where" } else { "" }
        ));
    }
    let (given, threshold) = (spec.output.layout, spec.output.threshold);
    let form = |channels, layout| OutputForm { element, channels, layout, classes, threshold };
    let (second, last) = match output.sides.as_deref() {
        Some(&[_, second, _, last]) => (second, last),
        _ => (None, None),
    };
    let wanted = Some(classes as u64);
    let form = if is_map {
        if let (Some(&[_, Some(channels), _, Some(others)]), true) =
            (output.sides.as_deref().map(<&[_; 4]>::try_from).and_then(Result::ok), given.is_none())
            && channels != 1
            && others != 1
        {
            return bad(format!(
                "{} is {} of {}, and a class map has one number for each cell: batch x height x width",
                what(),
                shape(),
                element.name()
            ));
        }
        let layout = if last == Some(1) && second != Some(1) { Layout::Nhwc } else { Layout::Nchw };
        form(Channels::ClassMap, given.unwrap_or(layout))
    } else {
        float_form(spec, output, (second, last), wanted, form)?
    };
    // Where the file leaves the channels open, a run tells.
    let may_be_one =
        form.channels == Channels::One || (form.channels == Channels::Each && classes == 2 && second.is_none());
    if threshold.is_some() && !may_be_one {
        return bad("output.threshold is for a model with one channel".into());
    }
    spec.output.kind = match (form.channels, operator) {
        (Channels::ClassMap, _) | (_, Some("Sigmoid" | "Softmax" | "HardSigmoid")) => OutputKind::Probabilities,
        (_, Some("LogSoftmax")) => OutputKind::Logits,
        _ => spec.output.kind,
    };
    Ok(form)
}

/// The same for numbers of float32 or float16, one for each class, or for the only one.
fn float_form(
    spec: &ModelSpec,
    output: &Port,
    (second, last): (Option<u64>, Option<u64>),
    wanted: Option<u64>,
    form: impl Fn(Channels, Layout) -> OutputForm,
) -> Result<OutputForm> {
    let classes = spec.taxonomy.len();
    let hint = "; if it holds class indices, say so in the description (output.kind \"class-map\")";
    if output.sides.as_ref().is_some_and(|sides| sides.len() == 3) {
        if classes == 2 {
            return Ok(form(Channels::One, Layout::Nchw));
        }
        return bad(format!(
            "it has {classes} classes, and the model's output '{}' is {}, without an axis of classes{hint}",
            output.name,
            shape_text(output.sides.as_deref().unwrap_or_default())
        ));
    }
    let is_one = |channels: Option<u64>| channels == Some(1) && classes == 2;
    let (layout, channels) = match spec.output.layout {
        Some(Layout::Nchw) => (Layout::Nchw, second),
        Some(Layout::Nhwc) => (Layout::Nhwc, last),
        None if second == wanted || (second.is_none() && last != wanted) => (Layout::Nchw, second),
        None if last == wanted => (Layout::Nhwc, last),
        None if is_one(last) && !is_one(second) => (Layout::Nhwc, last),
        None => (Layout::Nchw, second),
    };
    match channels {
        _ if is_one(channels) => Ok(form(Channels::One, layout)),
        Some(channels) if Some(channels) != wanted => bad(format!(
            "it has {classes} classes, and the model's output '{}' has {channels} channel{} ({}){}",
            output.name,
            if channels == 1 { "" } else { "s" },
            shape_text(output.sides.as_deref().unwrap_or_default()),
            if channels == 1 { hint } else { "" }
        )),
        _ => Ok(form(Channels::Each, layout)),
    }
}

/// Batch and shapes: what the description allows, narrowed to what the file fixes.
fn sides(spec: &ModelSpec, input: &Port, layout: Layout, max_batch: usize) -> Result<(BatchSize, ShapeRange)> {
    let (smallest, largest) = fitted_sides(&spec.input.largest_fit());
    let free = vec![None; 4];
    let declared = input.sides.as_ref().unwrap_or(&free);
    let wanted = match layout {
        Layout::Nchw => "batch x 3 x height x width",
        Layout::Nhwc => "batch x height x width x 3",
    };
    let &[batch, second, third, last] = declared.as_slice() else {
        return bad(format!(
            "the model's input '{}' has {} axes, and 4 are needed: {wanted}",
            input.name,
            declared.len()
        ));
    };
    let [channels, height, width] = match layout {
        Layout::Nchw => [second, third, last],
        Layout::Nhwc => [last, second, third],
    };
    if channels.is_some_and(|channels| channels != 3) {
        return bad(format!("the model's input '{}' is {} and {wanted} is needed", input.name, shape_text(declared)));
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
    use std::collections::HashMap;

    use super::*;
    use crate::spec::{InputSpec, OutputSpec};
    use crate::taxonomy::Taxonomy;

    fn spec(fit: Fit) -> ModelSpec {
        ModelSpec::new("test", Taxonomy::builtin("garments").unwrap(), InputSpec::imagenet(fit), OutputSpec::logits(2))
    }

    fn port(name: &str, sides: [Option<u64>; 4]) -> Port {
        Port { name: name.into(), element_type: crate::onnx::FLOAT32, sides: Some(sides.into()) }
    }

    fn interface(input: [Option<u64>; 4]) -> Interface {
        let outputs = vec![port("logits", [None, Some(23), None, None]), port("more", [None; 4])];
        Interface { inputs: vec![port("input", input)], outputs, makers: HashMap::new() }
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
        let text = refused(&spec(STRETCH), &interface([None, Some(96), Some(64), Some(4)]));
        assert!(text.contains("? x 96 x 64 x 4 and batch x 3 x height x width is needed"), "{text}");
        let mut half = interface(plain);
        half.inputs[0].element_type = 11;
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
