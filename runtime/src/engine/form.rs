//! What the tensors of a model are made of, and how they become N x C x H x W of float32 and back.

use ndarray::{Array4, ArrayView4, ArrayViewD, Axis, IxDyn};

use crate::error::{Error, Result};
use crate::spec::{Layout, OutputKind, OutputSpec};

/// The type of a tensor's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F32,
    F16,
    U8,
    /// Whole numbers of any other type, which only class maps have.
    Whole,
}

impl Element {
    /// TensorProto.DataType; where the file does not say, float32.
    pub(super) fn of_onnx(number: i32) -> Option<Self> {
        match number {
            0 | 1 => Some(Self::F32),
            10 => Some(Self::F16),
            2 => Some(Self::U8),
            3..=7 | 9 | 12 | 13 => Some(Self::Whole),
            _ => None,
        }
    }

    /// The name of a TensorProto.DataType.
    pub(super) fn name_of(number: i32) -> String {
        const NAMES: [&str; 17] = [
            "of unknown type",
            "float32",
            "uint8",
            "int8",
            "uint16",
            "int16",
            "int32",
            "int64",
            "string",
            "bool",
            "float16",
            "float64",
            "uint32",
            "uint64",
            "complex64",
            "complex128",
            "bfloat16",
        ];
        let name = usize::try_from(number).ok().and_then(|number| NAMES.get(number));
        name.map_or_else(|| format!("ONNX type {number}"), |name| (*name).to_owned())
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::U8 => "uint8",
            Self::Whole => "whole numbers",
        }
    }

    /// Whether photos can be given as it.
    pub(super) fn is_fed(self) -> bool {
        self != Self::Whole
    }

    /// Whether it has whole numbers only.
    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::U8 | Self::Whole)
    }
}

/// How a model wants its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InputForm {
    pub(super) element: Element,
    pub(super) layout: Layout,
}

/// What a model gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct OutputForm {
    pub(super) element: Element,
    pub(super) channels: Channels,
    pub(super) layout: Layout,
    pub(super) classes: usize,
    /// Of one channel: how likely its class must be to win.
    pub(super) threshold: Option<f32>,
}

/// Which classes have numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channels {
    /// Each.
    Each,
    /// The second of two.
    One,
    /// None: the numbers are class indices.
    ClassMap,
}

impl InputForm {
    /// Whether it is what photos are prepared as.
    pub(super) fn is_plain(self) -> bool {
        self == Self { element: Element::F32, layout: Layout::Nchw }
    }

    /// The model's shape for N x 3 x H x W.
    pub(super) fn shape<T>(self, [photos, channels, height, width]: [T; 4]) -> [T; 4] {
        match self.layout {
            Layout::Nchw => [photos, channels, height, width],
            Layout::Nhwc => [photos, height, width, channels],
        }
    }

    /// The numbers in the model's order.
    pub(super) fn values(self, input: ArrayView4<'_, f32>) -> Vec<f32> {
        match self.layout {
            Layout::Nchw => input.iter().copied().collect(),
            Layout::Nhwc => input.permuted_axes([0, 2, 3, 1]).iter().copied().collect(),
        }
    }

    /// The same as pixels of 0..255. `std` is that of the description, 1 or 1/255.
    pub(super) fn pixels(self, input: ArrayView4<'_, f32>, std: f32) -> Vec<u8> {
        self.values(input).into_iter().map(|value| (value * std * 255.0 + 0.5) as u8).collect()
    }
}

impl OutputForm {
    /// The model's flat result as N x classes x H x W: logits or probabilities, as `spec` says.
    ///
    /// # Errors
    /// [`Error::Output`] for another shape and for class indices that are none.
    pub(super) fn array(&self, shape: &[usize], values: Vec<f32>, spec: &OutputSpec) -> Result<Array4<f32>> {
        self.resolved(shape).read(shape, values, spec)
    }

    /// What the shape of a result says, where the file left it open.
    fn resolved(self, shape: &[usize]) -> Self {
        if self.channels != Channels::Each {
            return self;
        }
        let (channels, layout) = match *shape {
            [_, second, _, _] if second == self.classes => (Channels::Each, self.layout),
            [_, _, _, last] if last == self.classes => (Channels::Each, Layout::Nhwc),
            [_, 1, _, _] | [_, _, _] if self.classes == 2 => (Channels::One, Layout::Nchw),
            [_, _, _, 1] if self.classes == 2 => (Channels::One, Layout::Nhwc),
            _ => (self.channels, self.layout),
        };
        Self { channels, layout, ..self }
    }

    fn read(&self, shape: &[usize], values: Vec<f32>, spec: &OutputSpec) -> Result<Array4<f32>> {
        let found = || format!("'{}' has shape {shape:?}", spec.name);
        if self.channels == Channels::Each && self.layout == Layout::Nchw {
            return self.plain(shape, values, spec);
        }
        let view = ArrayViewD::from_shape(IxDyn(shape), &values)
            .map_err(|error| Error::Output { reason: error.to_string() })?;
        let view = match (self.channels, shape.len(), self.layout) {
            (Channels::Each, 4, _) => return self.permuted(view, spec),
            (_, 3, _) => view,
            (_, 4, Layout::Nchw) if shape[1] == 1 => view.index_axis_move(Axis(1), 0),
            (_, 4, Layout::Nhwc) if shape[3] == 1 => view.index_axis_move(Axis(3), 0),
            (Channels::ClassMap, ..) => {
                let reason =
                    format!("{}, and a class map has one number for each cell: batch x height x width", found());
                return Err(Error::Output { reason });
            }
            _ => {
                let reason = format!("{}, and one channel is needed: batch x 1 x height x width", found());
                return Err(Error::Output { reason });
            }
        };
        let (photos, height, width) = (view.shape()[0], view.shape()[1], view.shape()[2]);
        let mut array = Array4::zeros((photos, self.classes, height, width));
        for ((photo, y, x), value) in view.iter().enumerate().map(|(at, value)| {
            ((at / (height * width).max(1), at / width.max(1) % height.max(1), at % width.max(1)), *value)
        }) {
            if self.channels == Channels::One {
                check_probability(value, spec)?;
                let [background, class] = self.pair(value, spec.kind);
                array[[photo, 0, y, x]] = background;
                array[[photo, 1, y, x]] = class;
                continue;
            }
            let class = value as usize;
            if !(value >= 0.0 && class < self.classes && class as f32 == value) {
                let reason =
                    format!("'{}' holds the class index {value}, and there are {} classes", spec.name, self.classes);
                return Err(Error::Output { reason });
            }
            array[[photo, class, y, x]] = 1.0;
        }
        Ok(array)
    }

    fn plain(&self, shape: &[usize], values: Vec<f32>, spec: &OutputSpec) -> Result<Array4<f32>> {
        let &[photos, classes, height, width] = shape else {
            let reason = format!("'{}' has shape {shape:?}, and batch x classes x height x width is needed", spec.name);
            return Err(Error::Output { reason });
        };
        self.check_classes(classes)?;
        Array4::from_shape_vec((photos, classes, height, width), values)
            .map_err(|error| Error::Output { reason: error.to_string() })
    }

    fn permuted(&self, view: ArrayViewD<'_, f32>, spec: &OutputSpec) -> Result<Array4<f32>> {
        let view = view.permuted_axes(IxDyn(&[0, 3, 1, 2]));
        let view = view.into_dimensionality::<ndarray::Ix4>().map_err(|error| Error::Output {
            reason: format!("'{}' has another shape than it should: {error}", spec.name),
        })?;
        self.check_classes(view.dim().1)?;
        Ok(view.as_standard_layout().into_owned())
    }

    fn check_classes(&self, found: usize) -> Result<()> {
        if found == self.classes {
            return Ok(());
        }
        Err(Error::Output { reason: format!("{found} channels for {} classes", self.classes) })
    }

    /// The numbers of the background and of the one class. With a threshold t a probability p counts as the one that is one half
    /// where p is t: (1 - t) p / ((1 - t) p + t (1 - p)); of logits that is a constant less.
    fn pair(&self, value: f32, kind: OutputKind) -> [f32; 2] {
        let threshold = self.threshold.unwrap_or(0.5);
        if kind == OutputKind::Logits {
            return [0.0, value - (threshold / (1.0 - threshold)).ln()];
        }
        let p = value.clamp(0.0, 1.0);
        if self.threshold.is_none() {
            return [1.0 - p, p];
        }
        let (class, background) = ((1.0 - threshold) * p, threshold * (1.0 - p));
        let all = class + background;
        [background / all, class / all]
    }
}

/// Refuses a number that is no probability where the description says that it is one.
fn check_probability(value: f32, spec: &OutputSpec) -> Result<()> {
    const ROUNDING: f32 = 1e-2;
    // What is no number at all is refused elsewhere.
    if spec.kind == OutputKind::Logits || value.is_nan() || (-ROUNDING..=1.0 + ROUNDING).contains(&value) {
        return Ok(());
    }
    let reason = format!(
        "'{}' holds {value:.3}, and probabilities are 0 to 1; scores of any size have output.kind \"logits\"",
        spec.name
    );
    Err(Error::Output { reason })
}

#[cfg(test)]
mod tests {
    use ndarray::Array;

    use super::*;

    fn form(channels: Channels, layout: Layout, classes: usize) -> OutputForm {
        OutputForm { element: Element::F32, channels, layout, classes, threshold: None }
    }

    fn spec(kind: OutputKind) -> OutputSpec {
        OutputSpec { kind, ..OutputSpec::logits(1) }
    }

    #[test]
    fn channels_last_become_channels_first() {
        let form = form(Channels::Each, Layout::Nhwc, 2);
        let values: Vec<f32> = (0..12).map(|value| value as f32).collect();
        let array = form.array(&[1, 2, 3, 2], values, &spec(OutputKind::Logits)).unwrap();
        assert_eq!(array.dim(), (1, 2, 2, 3));
        assert_eq!((array[[0, 0, 0, 1]], array[[0, 1, 1, 2]]), (2.0, 11.0));
        assert!(form.array(&[1, 5, 2, 3], vec![0.0; 30], &spec(OutputKind::Logits)).is_err(), "three classes");
        let open = OutputForm { layout: Layout::Nchw, ..form };
        assert_eq!(open.array(&[1, 4, 3, 2], vec![0.0; 24], &spec(OutputKind::Logits)).unwrap().dim(), (1, 2, 4, 3));
        let one = open.array(&[1, 1, 3, 1], vec![3.0; 3], &spec(OutputKind::Logits)).unwrap();
        assert_eq!((one.dim(), one[[0, 1, 2, 0]]), ((1, 2, 3, 1), 3.0));
        let input = InputForm { element: Element::F32, layout: Layout::Nhwc };
        let photo = Array::from_shape_fn((1, 3, 2, 2), |(_, channel, y, x)| (100 * channel + 10 * y + x) as f32);
        assert_eq!(input.values(photo.view())[..6], [0.0, 100.0, 200.0, 1.0, 101.0, 201.0]);
        assert_eq!(input.shape([1, 3, 5, 7]), [1, 5, 7, 3]);
    }

    #[test]
    fn a_class_map_is_probabilities_of_nought_and_one() {
        for (shape, layout) in
            [(&[2, 1, 2][..], Layout::Nchw), (&[2, 1, 1, 2], Layout::Nchw), (&[2, 1, 2, 1], Layout::Nhwc)]
        {
            let form = form(Channels::ClassMap, layout, 3);
            let array = form.array(shape, vec![2.0, 0.0, 1.0, 1.0], &spec(OutputKind::Probabilities)).unwrap();
            assert_eq!(array.dim(), (2, 3, 1, 2));
            assert_eq!([array[[0, 2, 0, 0]], array[[0, 0, 0, 1]], array[[1, 1, 0, 1]]], [1.0; 3]);
            assert_eq!(array.sum(), 4.0);
        }
        let form = form(Channels::ClassMap, Layout::Nchw, 3);
        for odd in [3.0, -1.0, 0.5, f32::NAN, 255.0] {
            assert!(form.array(&[1, 1, 1], vec![odd], &spec(OutputKind::Probabilities)).is_err(), "{odd}");
        }
        assert!(form.array(&[1, 2, 1, 1], vec![0.0; 2], &spec(OutputKind::Probabilities)).is_err());
    }

    #[test]
    fn one_channel_wins_from_its_threshold_on() {
        let with = |threshold, kind, value| {
            let form = OutputForm { threshold, ..form(Channels::One, Layout::Nchw, 2) };
            let array = form.array(&[1, 1, 1, 1], vec![value], &spec(kind)).unwrap();
            [array[[0, 0, 0, 0]], array[[0, 1, 0, 0]]]
        };
        assert_eq!(with(None, OutputKind::Probabilities, 0.25), [0.75, 0.25]);
        let form = form(Channels::One, Layout::Nchw, 2);
        for odd in [-5.3, 1.5, 255.0] {
            assert!(form.array(&[1, 1, 1, 1], vec![odd], &spec(OutputKind::Probabilities)).is_err(), "{odd}");
            assert!(form.array(&[1, 1, 1, 1], vec![odd], &spec(OutputKind::Logits)).is_ok(), "{odd}");
        }
        assert_eq!(with(None, OutputKind::Logits, -3.0), [0.0, -3.0]);
        let wins = |threshold, kind, value| {
            let [background, class] = with(Some(threshold), kind, value);
            class > background
        };
        assert!(wins(0.3, OutputKind::Probabilities, 0.31) && !wins(0.3, OutputKind::Probabilities, 0.29));
        assert!(wins(0.9, OutputKind::Logits, 2.2) && !wins(0.9, OutputKind::Logits, 2.19));
        let [background, class] = with(Some(0.3), OutputKind::Probabilities, 0.7);
        assert!((background + class - 1.0).abs() < 1e-6);
    }

    #[test]
    fn pixels_of_uint8_are_the_photos_own() {
        let input = InputForm { element: Element::U8, layout: Layout::Nchw };
        for std in [1.0, 1.0 / 255.0] {
            let values = Array::from_shape_fn((1, 1, 1, 256), |(.., x)| x as f32 / 255.0 / std);
            assert_eq!(input.pixels(values.view(), std), (0..=255).collect::<Vec<u8>>());
        }
    }
}
