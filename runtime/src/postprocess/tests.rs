use ndarray::{Array3, array};
use proptest::prelude::*;

use super::*;
use crate::spec::OutputKind;

mod soft;

fn geometry(width: u32, height: u32) -> Geometry {
    Geometry { content_width: width, content_height: height, tensor_width: width, tensor_height: height }
}

/// Where a pixel lies along one axis: the two cells and the weight of the second. The order of the operations counts:
/// another one may give another weight in its last digit, and another winner where classes are equal.
fn position(pixel: u32, pixels: u32, content: u32, stride: u32) -> (usize, usize, f32) {
    let last = f64::from(content.div_ceil(stride) - 1);
    let scale = f64::from(content) / f64::from(pixels) / f64::from(stride);
    let exact = (f64::from(pixel) + 0.5) * scale - 0.5;
    let clamped = exact.clamp(0.0, last);
    (clamped.floor() as usize, (clamped.floor() + 1.0).min(last) as usize, clamped.fract() as f32)
}

/// The definition, pixel by pixel: interpolate every class, then argmax.
fn reference(output: &Array3<f32>, stride: u32, at: &Geometry, width: u32, height: u32) -> Vec<u8> {
    let (classes, ..) = output.dim();
    let mut labels = Vec::new();
    for y in 0..height {
        let (top, bottom, down) = position(y, height, at.content_height, stride);
        for x in 0..width {
            let (left, right, across) = position(x, width, at.content_width, stride);
            let value = |class: usize| {
                let side =
                    |x: usize| output[[class, top, x]] + (output[[class, bottom, x]] - output[[class, top, x]]) * down;
                side(left) + (side(right) - side(left)) * across
            };
            let mut best = (0, f32::NEG_INFINITY);
            for class in 0..classes {
                if value(class) > best.1 {
                    best = (class, value(class));
                }
            }
            labels.push(best.0 as u8);
        }
    }
    labels
}

/// An output of cells at a stride, of which the photo does not reach the last pixels.
#[derive(Debug, Clone)]
struct Case {
    output: Array3<f32>,
    stride: u32,
    at: Geometry,
    size: (u32, u32),
}

/// `level` makes numbers of the drawn ones.
fn cases(level: fn(f32) -> f32) -> impl Strategy<Value = Case> {
    let cells = (1_usize..6, 1_usize..7, 1_usize..7);
    let values = prop::collection::vec((-3.0_f32..3.0).prop_map(level), 6 * 7 * 7);
    let size = prop_oneof![(1_u32..40, 1_u32..40), (150_u32..200, 1_u32..9), (1_u32..9, 150_u32..200)];
    (cells, values, size, 1_u32..4, (0_u32..5, 0_u32..5)).prop_map(|(cells, values, size, stride, cut)| {
        let (classes, high, wide) = cells;
        let output = Array3::from_shape_vec(cells, values[..classes * high * wide].to_vec()).unwrap();
        let (tensor_width, tensor_height) = (wide as u32 * stride, high as u32 * stride);
        let at = Geometry {
            content_width: (tensor_width - cut.0.min(tensor_width - 1)).max(1),
            content_height: (tensor_height - cut.1.min(tensor_height - 1)).max(1),
            tensor_width,
            tensor_height,
        };
        Case { output, stride, at, size }
    })
}

fn labels_of(case: &Case) -> Vec<u8> {
    let spec = OutputSpec::logits(case.stride);
    let (width, height) = case.size;
    label_map(case.output.view(), &spec, &case.at, width, height).unwrap().labels().to_vec()
}

fn reference_of(case: &Case) -> Vec<u8> {
    reference(&case.output, case.stride, &case.at, case.size.0, case.size.1)
}

proptest! {
    #[test]
    fn the_shortcut_gives_what_the_definition_gives(case in cases(|value| value)) {
        prop_assert_eq!(labels_of(&case), reference_of(&case));
    }

    #[test]
    fn classes_that_are_equal_are_told_apart_as_the_definition_does(case in cases(f32::round)) {
        prop_assert_eq!(labels_of(&case), reference_of(&case));
    }

    #[test]
    fn classes_that_differ_by_rounding_are_told_apart_as_the_definition_does(
        case in cases(|value| 1000.1 + f32::EPSILON * 200.0 * value),
    ) {
        prop_assert_eq!(labels_of(&case), reference_of(&case));
    }

    #[test]
    fn huge_logits_are_told_apart_as_the_definition_does(case in cases(|value| (value * 20.0).exp() * value)) {
        prop_assert_eq!(labels_of(&case), reference_of(&case));
    }
}

#[test]
fn the_border_between_two_cells_lies_in_the_middle() {
    // Two cells, 8 photo pixels: the logits cross half-way between the cell centres.
    let output = array![[[1.0, -1.0]], [[-1.0, 1.0]]];
    let map = label_map(output.view(), &OutputSpec::logits(1), &geometry(2, 1), 8, 1).unwrap();
    assert_eq!(map.labels(), [0, 0, 0, 0, 1, 1, 1, 1]);
}

#[test]
fn cells_of_pure_padding_have_no_say() {
    // The second cell lies under the padding and would win everything near it.
    let output = array![[[1.0, -9.0]], [[0.0, 9.0]]];
    let at = Geometry { content_width: 1, content_height: 1, tensor_width: 2, tensor_height: 1 };
    let map = label_map(output.view(), &OutputSpec::logits(1), &at, 5, 3).unwrap();
    assert!(map.labels().iter().all(|&label| label == 0));
}

#[test]
fn an_output_that_does_not_fit_is_refused() {
    let spec = OutputSpec::logits(2);
    let refused = |output: Array3<f32>, at| label_map(output.view(), &spec, &at, 4, 4).is_err();
    assert!(refused(Array3::zeros((2, 2, 3)), geometry(4, 4)));
    assert!(refused(Array3::from_elem((2, 2, 2), f32::NAN), geometry(4, 4)));
    assert!(!refused(Array3::zeros((2, 2, 2)), geometry(4, 4)));
}

#[test]
fn confidence_is_the_softmax_of_the_cells_that_a_class_wins() {
    let logits = OutputSpec::logits(1);
    // Class 0 wins two cells with probabilities 1/(1+e^-2) and 1/(1+e^-4), class 1 none; huge logits do not overflow.
    let output = array![[[2.0, 1000.0]], [[0.0, 996.0]]];
    let confidence = mean_confidence(output.view(), &logits, &geometry(2, 1));
    let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
    assert!((confidence[0] - (sigmoid(2.0) + sigmoid(4.0)) / 2.0).abs() < 1e-6);
    assert!((confidence[1] - (1.0 - sigmoid(2.0))).abs() < 1e-6, "no cell won: the largest probability");
    let padded = Geometry { content_width: 1, ..geometry(2, 1) };
    assert!((mean_confidence(output.view(), &logits, &padded)[0] - sigmoid(2.0)).abs() < 1e-6, "padding has no say");
    let probabilities = array![[[0.75]], [[0.25]]];
    let kind = OutputSpec { kind: OutputKind::Probabilities, ..logits };
    assert_eq!(mean_confidence(probabilities.view(), &kind, &geometry(1, 1)), [0.75, 0.25]);
}

#[test]
fn extents_and_masks_of_long_runs_are_those_of_the_pixels() {
    // Runs that end within, at and after a block, in more rows than one thread takes.
    let (width, height) = (131, 140);
    let label = |x: u32, y: u32| if (x + y / 3) % 97 < 40 { 4 } else { u8::from(x > 64) };
    let labels: Vec<u8> = (0..height).flat_map(|y| (0..width).map(move |x| label(x, y))).collect();
    let map = LabelMap::new(width, height, labels.clone()).unwrap();
    for extent in map.extents() {
        let pixels = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let inside: Vec<_> = pixels().filter(|&(x, y)| label(x, y) == extent.class).collect();
        let ends = |values: Vec<u32>| (*values.iter().min().unwrap(), *values.iter().max().unwrap() + 1);
        let ((left, right), (top, bottom)) =
            (ends(inside.iter().map(|p| p.0).collect()), ends(inside.iter().map(|p| p.1).collect()));
        assert_eq!(extent.area_px, inside.len() as u64);
        assert_eq!(extent.bounds, PixelBox { x: left, y: top, width: right - left, height: bottom - top });
    }
    for classes in [&[4][..], &[0, 4], &[], &[9], &[300]] {
        let mask = map.mask(classes);
        let right = mask.as_raw().iter().zip(&labels).all(|(m, l)| (*m == 255) == classes.contains(&usize::from(*l)));
        assert!(right && mask.as_raw().iter().all(|m| *m == 0 || *m == 255));
    }
}

#[test]
fn extents_give_area_and_box() {
    #[rustfmt::skip]
    let map = LabelMap::new(4, 3, vec![
        0, 0, 2, 0,
        0, 2, 2, 0,
        0, 0, 0, 7,
    ]).unwrap();
    let extents = map.extents();
    assert_eq!(extents.iter().map(|e| (e.class, e.area_px)).collect::<Vec<_>>(), [(0, 8), (2, 3), (7, 1)]);
    assert_eq!(extents[1].bounds, PixelBox { x: 1, y: 0, width: 2, height: 2 });
    assert_eq!(extents[2].bounds, PixelBox { x: 3, y: 2, width: 1, height: 1 });
    assert_eq!(map.keep(&[7]).extents().iter().map(|e| e.class).collect::<Vec<_>>(), [0, 7]);
    assert!(LabelMap::new(4, 3, vec![0; 11]).is_err());
}
