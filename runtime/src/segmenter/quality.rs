//! How much work a photo is worth: a second look at its mirror image.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array4, ArrayView4, s};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::spec::{Fit, ModelSpec};

/// How much work a photo is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Quality {
    /// One run of the network.
    #[default]
    Fast,
    /// A second run on the mirrored photo, and the mean of both outputs: twice the network's time. A garment is the same
    /// garment in a mirror: where the two disagree, the network is in doubt.
    Best,
}

impl Quality {
    /// `fast` or `best`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Best => "best",
        }
    }

    /// Whether a model of this description can be run so. The mirrored cells must fall on the cells, and they do where the
    /// input's width is a multiple of the output's stride.
    pub(super) fn check(self, spec: &ModelSpec) -> Result<()> {
        let stride = spec.output.stride.max(1);
        let (width, what) = match spec.input.fit {
            Fit::Stretch { width, .. } => (width, "is"),
            Fit::LongestSide { multiple, .. } => (multiple, "is a multiple of"),
        };
        if self == Self::Fast || width.is_multiple_of(stride) {
            return Ok(());
        }
        let name = &spec.name;
        Err(Error::Invalid(format!(
            "the quality `best` needs an input width that is a multiple of the output's stride, {stride}; that of {name} {what} \
             {width}: use `fast`"
        )))
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Quality {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Fast, Self::Best]
            .into_iter()
            .find(|quality| quality.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| Error::Invalid(format!("there is no quality `{text}`; use fast or best")))
    }
}

/// The engine's output for `input`, photos x channels x rows x columns, at this quality.
pub(super) fn run(engine: &mut dyn Engine, input: ArrayView4<'_, f32>, quality: Quality) -> Result<Array4<f32>> {
    let mut output = engine.run(input)?;
    if quality == Quality::Fast {
        return Ok(output);
    }
    // The whole tensor is mirrored, its padding with it: cells then fall on cells.
    let mirrored = input.slice(s![.., .., .., ..;-1]).as_standard_layout().into_owned();
    let second = engine.run(mirrored.view())?;
    if second.dim() != output.dim() {
        let (first, second) = (output.dim(), second.dim());
        return Err(Error::Output { reason: format!("{second:?} for the mirrored photo and {first:?} for the photo") });
    }
    output.zip_mut_with(&second.slice(s![.., .., .., ..;-1]), |one, other| *one = 0.5 * (*one + *other));
    Ok(output)
}
