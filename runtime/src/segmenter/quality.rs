//! Test-time augmentation: the mirror image of a photo, and both once more at a larger size.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array3, Array4, ArrayView3, ArrayView4, Axis, s};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::geometry::Geometry;
use crate::spec::{Fit, ModelSpec};

/// Speed or quality: whether test-time augmentation is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Quality {
    /// One run of the network.
    #[default]
    Fast,
    /// Test-time augmentation: the mean of the outputs for the photo and for its mirror image, in twice the network's time. Where
    /// the model's description names a second, larger size
    /// ([`InputSpec::tta_long_side`](crate::spec::InputSpec::tta_long_side)), both are also run at that size, unless the photo is
    /// smaller: outlines are finer there, and the garment as a whole is recognised better at the smaller size. With 1.5 times the
    /// size this takes 6.5 times the network's time.
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

/// The mean of a photo's output and that of the same photo at a larger size, both channels x rows x columns, on the cells of the
/// first; `stride` input pixels to a cell. Bilinear between the centres of the larger output's cells; cells that hold only
/// padding stay as they are.
pub(super) fn mean_of_sizes(
    output: &mut Array3<f32>,
    at: &Geometry,
    larger: ArrayView3<'_, f32>,
    larger_at: &Geometry,
    stride: u32,
) -> Result<()> {
    let (channels, rows, columns) = output.dim();
    let (larger_channels, larger_rows, larger_columns) = larger.dim();
    if larger_channels != channels {
        let reason = format!("{larger_channels} channels for the larger photo and {channels} for the photo");
        return Err(Error::Output { reason });
    }
    let down = Positions::new(rows, at.content_height, larger_rows, larger_at.content_height, stride);
    let across = Positions::new(columns, at.content_width, larger_columns, larger_at.content_width, stride);
    let blend = |one: f32, other: f32, weight: f32| one + (other - one) * weight;
    let mut between = vec![0.0; larger_columns];
    for (mut plane, larger) in output.axis_iter_mut(Axis(0)).zip(larger.axis_iter(Axis(0))) {
        for (&(rows, down), mut row) in down.0.iter().zip(plane.outer_iter_mut()) {
            let [upper, lower] = rows.map(|row| larger.row(row));
            for ((to, one), other) in between.iter_mut().zip(upper).zip(lower) {
                *to = blend(*one, *other, down);
            }
            for (&([left, right], across), to) in across.0.iter().zip(&mut row) {
                *to = 0.5 * (*to + blend(between[left], between[right], across));
            }
        }
    }
    Ok(())
}

/// For each of the cells along one axis that the photo reaches, the two cells of the larger output that its centre lies between,
/// and the weight of the second.
struct Positions(Vec<([usize; 2], f32)>);

impl Positions {
    fn new(cells: usize, content: u32, larger_cells: usize, larger_content: u32, stride: u32) -> Self {
        let reached = |content: u32, cells: usize| (content.div_ceil(stride.max(1)) as usize).clamp(1, cells.max(1));
        let last = reached(larger_content, larger_cells) - 1;
        let scale = f64::from(larger_content) / f64::from(content.max(1));
        let position = |cell: usize| {
            let position = ((cell as f64 + 0.5) * scale - 0.5).clamp(0.0, last as f64);
            let first = position.floor() as usize;
            ([first, (first + 1).min(last)], (position - first as f64) as f32)
        };
        Self((0..reached(content, cells)).map(position).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A photo of `width` x `height` input pixels in a tensor of whole 32s.
    fn at(width: u32, height: u32) -> Geometry {
        let [tensor_width, tensor_height] = [width, height].map(|side| side.next_multiple_of(32));
        Geometry { content_width: width, content_height: height, tensor_width, tensor_height }
    }

    /// What a network of stride 4 would say that tells where in the photo a cell's centre is, from 0 to 1 across and down.
    fn places(at: &Geometry) -> Array3<f32> {
        let shape = (2, at.tensor_height as usize / 4, at.tensor_width as usize / 4);
        let place = |cell: usize, content: u32| (cell as f32 + 0.5) * 4.0 / content as f32;
        Array3::from_shape_fn(shape, |(channel, row, column)| match channel {
            0 => place(column, at.content_width),
            _ => place(row, at.content_height),
        })
    }

    #[test]
    fn cells_meet_those_of_the_same_place_of_the_photo() {
        let (small, large) = (at(40, 64), at(60, 96));
        let mut mean = places(&small);
        let before = mean.clone();
        mean_of_sizes(&mut mean, &small, places(&large).view(), &large, 4).unwrap();
        // Content: 10 of 16 columns, all rows. A ramp is a ramp at every size, so that the mean changes nothing, but at the
        // rims, where nothing lies beyond the outermost centres.
        for ((channel, row, column), value) in mean.indexed_iter() {
            let expected = before[[channel, row, column]];
            let is_rim = [0, 9].contains(&column) && channel == 0 || [0, 15].contains(&row) && channel == 1;
            assert!((value - expected).abs() < if is_rim { 0.02 } else { 1e-6 }, "{channel} {row} {column}: {value}");
        }
    }

    #[test]
    fn the_mean_is_of_both_and_padding_stays() {
        let (small, large) = (at(40, 64), at(60, 96));
        let of = |at: &Geometry, value| {
            Array3::from_elem((1, at.tensor_height as usize / 4, at.tensor_width as usize / 4), value)
        };
        let mut mean = of(&small, 1.0);
        mean_of_sizes(&mut mean, &small, of(&large, 4.0).view(), &large, 4).unwrap();
        for ((_, row, column), value) in mean.indexed_iter() {
            assert_eq!(*value, if column < 10 { 2.5 } else { 1.0 }, "{row} {column}");
        }
        let wrong = Array3::zeros((2, 24, 16));
        assert!(mean_of_sizes(&mut mean, &small, wrong.view(), &large, 4).is_err());
    }
}
