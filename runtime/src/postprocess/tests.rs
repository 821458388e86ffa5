use ndarray::{Array3, array};
use proptest::prelude::*;

use super::*;

fn geometry(width: u32, height: u32) -> Geometry {
    Geometry { content_width: width, content_height: height, tensor_width: width, tensor_height: height }
}

/// The definition, pixel by pixel: interpolate every class, then argmax.
fn reference(output: &Array3<f32>, stride: u32, at: &Geometry, width: u32, height: u32) -> Vec<u8> {
    let (classes, ..) = output.dim();
    let position = |pixel: u32, pixels: u32, content: u32| {
        let last = f64::from(content.div_ceil(stride) - 1);
        let exact = (f64::from(pixel) + 0.5) * f64::from(content) / f64::from(pixels) / f64::from(stride) - 0.5;
        let clamped = exact.clamp(0.0, last);
        (clamped.floor() as usize, (clamped.floor() + 1.0).min(last) as usize, clamped.fract() as f32)
    };
    let mut labels = Vec::new();
    for y in 0..height {
        let (top, bottom, down) = position(y, height, at.content_height);
        for x in 0..width {
            let (left, right, across) = position(x, width, at.content_width);
            let value = |class: usize| {
                let side =
                    |x: usize| output[[class, top, x]] + (output[[class, bottom, x]] - output[[class, top, x]]) * down;
                side(left) + (side(right) - side(left)) * across
            };
            labels.push(argmax((0..classes).map(value)).0 as u8);
        }
    }
    labels
}

proptest! {
    #[test]
    fn the_shortcut_gives_what_the_definition_gives(
        (classes, cells_wide, cells_high) in (1_usize..6, 1_usize..7, 1_usize..7),
        (width, height) in (1_u32..40, 1_u32..40),
        stride in 1_u32..4,
        (cut_right, cut_bottom) in (0_u32..5, 0_u32..5),
        seed in prop::collection::vec(-3.0_f32..3.0, 6 * 7 * 7),
    ) {
        let output = Array3::from_shape_vec(
            (classes, cells_high, cells_wide),
            seed[..classes * cells_high * cells_wide].to_vec(),
        ).unwrap();
        let (tensor_width, tensor_height) = (cells_wide as u32 * stride, cells_high as u32 * stride);
        let at = Geometry {
            content_width: (tensor_width - cut_right.min(tensor_width - 1)).max(1),
            content_height: (tensor_height - cut_bottom.min(tensor_height - 1)).max(1),
            tensor_width,
            tensor_height,
        };
        let map = label_map(output.view(), &OutputSpec::logits(stride), &at, width, height).unwrap();
        prop_assert_eq!(map.labels(), reference(&output, stride, &at, width, height));
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
