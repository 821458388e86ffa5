//! One run of a model that was made elsewhere, when it is opened: of what such a model gives the file often says little.

use ndarray::{Array4, ArrayView4};

use super::binding::Binding;
use super::form::Channels;
use super::{BatchSize, Engine, EngineInfo};
use crate::error::{Error, Result};
use crate::spec::{ModelSpec, OutputKind};

/// Least side of the picture, where the model leaves it open: what is smaller may be too small for its deepest layers.
const LEAST_SIDE_PX: u64 = 64;

/// Runs the model and returns the stride of its output, which must be that of the description if that has one.
///
/// # Errors
/// [`Error::BadSpec`] when the output does not fit the description; [`Error::Engine`] when the model cannot run.
pub(super) fn run(engine: &mut dyn Engine, binding: &Binding) -> Result<u32> {
    let stride = run_at(engine, binding, shape(binding), binding.spec.output.stride)?;
    // A fit may give sides that are no multiples of the stride: some models fail at those.
    let multiple = binding.shapes.smallest[2];
    if multiple < binding.shapes.largest[2] && !multiple.is_multiple_of(stride.into()) {
        let [photos, channels, height, width] = shape(binding);
        // The nearest such side below the first one, else above.
        let below = (1..=height / multiple).rev().map(|times| times * multiple);
        let above = (height / multiple..=binding.shapes.largest[2] / multiple).map(|times| times * multiple);
        let odd = below.chain(above).find(|side| side % u64::from(stride) > 0).unwrap_or(height);
        run_at(engine, binding, [photos, channels, odd, width], stride).map_err(|error| match error {
            Error::BadSpec { reason } => Error::BadSpec {
                reason: format!("{reason}; a 'multiple' in input.fit that is a multiple of the stride {stride} helps"),
            },
            error => error,
        })?;
    }
    Ok(stride)
}

/// The same at one shape of the input, N x 3 x H x W, with this stride; 0 finds it.
fn run_at(engine: &mut dyn Engine, binding: &Binding, shape: [u64; 4], stride: u32) -> Result<u32> {
    let spec = &binding.spec;
    let input = picture(binding, shape);
    let (photos, _, height, width) = input.dim();
    let output = engine.run(input.view()).map_err(|error| match error {
        Error::Output { reason } => misfit(spec, &reason),
        error => error,
    })?;
    if output.dim().0 != photos {
        return Err(misfit(spec, &format!("{} results for {photos} photos", output.dim().0)));
    }
    check_values(binding, &output)?;
    let (_, _, rows, columns) = output.dim();
    let is_stride =
        |stride: u32| (rows, columns) == (height.div_ceil(stride as usize), width.div_ceil(stride as usize));
    let found = (1..=64).find(|stride| is_stride(*stride));
    match (stride, found) {
        (0, Some(found)) => Ok(found),
        (stride, _) if stride > 0 && is_stride(stride) => Ok(stride),
        (stride, found) => {
            let what = match (stride, found) {
                (0, _) => "which is no whole number of pixels to a cell".to_owned(),
                (_, Some(found)) => format!("a stride of {found}, and the description has output.stride {stride}"),
                (_, None) => format!("which does not fit output.stride {stride}"),
            };
            let reason = format!("{columns} x {rows} cells for an input of {width} x {height}, {what}");
            Err(misfit(spec, &reason))
        }
    }
}

fn misfit(spec: &ModelSpec, reason: &str) -> Error {
    Error::BadSpec {
        reason: format!("the model's output '{}' does not fit it in a trial run: {reason}", spec.output.name),
    }
}

/// Whether probabilities are some.
fn check_values(binding: &Binding, output: &Array4<f32>) -> Result<()> {
    let spec = &binding.spec;
    if !output.iter().all(|value| value.is_finite()) {
        return Err(misfit(spec, "it holds numbers that are not finite"));
    }
    // What has been made of a class map, or of one channel, lies in 0..1 in any case.
    if spec.output.kind != OutputKind::Probabilities || binding.output.channels != Channels::Each {
        return Ok(());
    }
    let fold = |start: f32, pick: fn(f32, f32) -> f32| output.iter().copied().fold(start, pick);
    let (least, most) = (fold(f32::INFINITY, f32::min), fold(f32::NEG_INFINITY, f32::max));
    const ROUNDING: f32 = 1e-2;
    if least < -ROUNDING || most > 1.0 + ROUNDING {
        let reason = format!(
            "its numbers are {least:.3} to {most:.3}, and probabilities are 0 to 1; scores have output.kind \"logits\""
        );
        return Err(misfit(spec, &reason));
    }
    Ok(())
}

/// A picture with every bright colour and a slope, as the model wants it: N x 3 x H x W.
fn picture(binding: &Binding, shape: [u64; 4]) -> Array4<f32> {
    let [photos, channels, height, width] = shape.map(|side| usize::try_from(side).unwrap_or(1));
    let input = &binding.spec.input;
    Array4::from_shape_fn((photos, channels, height, width), |(_, channel, y, x)| {
        // Eight fields, one a corner of the cube of colours, and a slope from top to bottom within them.
        let field = x * 8 / width.max(1);
        let bright = field >> channel & 1 == 1;
        let slope = 0.25 * y as f32 / height.max(1) as f32;
        let level = if bright { 1.0 - slope } else { slope };
        ((level * 255.0).round() / 255.0 - input.mean[channel]) / input.std[channel]
    })
}

/// The shape of the trial: as small as the model allows, and large enough.
fn shape(binding: &Binding) -> [u64; 4] {
    let (smallest, largest) = (binding.shapes.smallest, binding.shapes.largest);
    let side = |axis: usize| {
        let (least, most) = (smallest[axis].max(1), largest[axis]);
        (LEAST_SIDE_PX.div_ceil(least) * least).clamp(least, most.max(least))
    };
    let photos = match binding.batch {
        BatchSize::Exactly(photos) => photos as u64,
        BatchSize::UpTo(_) => 1,
    };
    [photos, smallest[1], side(2), side(3)]
}

/// The engine with a description in which more is known.
pub(super) fn with_spec(engine: Box<dyn Engine>, spec: ModelSpec) -> Box<dyn Engine> {
    Box::new(Described { engine, spec })
}

struct Described {
    engine: Box<dyn Engine>,
    spec: ModelSpec,
}

impl Engine for Described {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn info(&self) -> &EngineInfo {
        self.engine.info()
    }

    fn run(&mut self, input: ArrayView4<'_, f32>) -> Result<Array4<f32>> {
        self.engine.run(input)
    }

    fn batch(&self) -> BatchSize {
        self.engine.batch()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::onnx::{FLOAT32, Interface, Port};
    use crate::spec::{Fit, InputSpec, OutputSpec};
    use crate::taxonomy::{Class, Taxonomy};

    /// A network of stride 4 that drops what is left over.
    struct Dropping(ModelSpec, EngineInfo);

    impl Engine for Dropping {
        fn spec(&self) -> &ModelSpec {
            &self.0
        }

        fn info(&self) -> &EngineInfo {
            &self.1
        }

        fn run(&mut self, input: ArrayView4<'_, f32>) -> Result<Array4<f32>> {
            let (photos, _, height, width) = input.dim();
            Ok(Array4::zeros((photos, 2, height / 4, width / 4)))
        }
    }

    #[test]
    fn a_stride_that_the_sides_do_not_fit_is_found_when_the_model_is_opened() {
        let opened = |size: u32, multiple: u32| {
            let classes = vec![Class::new("background", [0; 3]), Class::new("shirt", [1; 3])];
            let taxonomy = Taxonomy { classes, groups: std::collections::BTreeMap::new() };
            let input = InputSpec::imagenet(Fit::LongestSide { size, multiple });
            let output = OutputSpec { stride: 0, ..OutputSpec::logits(1) };
            let spec = ModelSpec::new("test", taxonomy, input, output);
            let port = |name: &str| Port { name: name.into(), element_type: FLOAT32, sides: Some(vec![None; 4]) };
            let interface =
                Interface { inputs: vec![port("input")], outputs: vec![port("logits")], makers: Default::default() };
            let binding = Binding::new(&spec, &interface, 1).unwrap();
            run(&mut Dropping(spec, EngineInfo::new(crate::engine::Provider::Cpu, "none", "0")), &binding)
        };
        assert_eq!(opened(200, 4).unwrap(), 4);
        for (size, multiple) in [(200, 1), (64, 1), (200, 2)] {
            let error = opened(size, multiple).unwrap_err().to_string();
            assert!(error.contains("a multiple of the stride 4"), "{error}");
        }
    }
}
