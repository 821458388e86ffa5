//! What a network says in the cells of its output grid, beside the label there.

use clothseg::{ModelSpec, preprocess};
use ndarray::{Array4, Axis};

use crate::data::{IGNORE, LabelImage};

/// The logits (1 x C x H x W) of every `step`-th cell of every `step`-th row, cell by cell, and the class that lies at each
/// one's centre in a photo's label. Cells of padding, and those that count nowhere, are left out.
pub(super) fn labelled_cells(
    logits: &Array4<f32>,
    labels: &LabelImage,
    spec: &ModelSpec,
    step: usize,
) -> (Vec<f32>, Vec<u8>) {
    let at = preprocess::geometry(&spec.input.fit, labels.width, labels.height);
    let (_, classes, rows, columns) = logits.dim();
    let stride = f64::from(spec.output.stride);
    // The pixel at a cell's centre; none where the cell shows padding.
    let pixel = |cell: usize, side: u32, content: u32| {
        let pixel = (cell as f64 + 0.5) * stride * f64::from(side) / f64::from(content);
        (pixel < f64::from(side)).then_some(pixel as usize)
    };
    let plane = logits.index_axis(Axis(0), 0);
    let (mut values, mut truth) = (Vec::new(), Vec::new());
    for row in (0..rows).step_by(step) {
        let Some(y) = pixel(row, labels.height, at.content_height) else { break };
        for column in (0..columns).step_by(step) {
            let Some(x) = pixel(column, labels.width, at.content_width) else { break };
            let class = labels.data[y * labels.width as usize + x];
            if class != IGNORE && usize::from(class) < classes {
                values.extend((0..classes).map(|class| plane[[class, row, column]]));
                truth.push(class);
            }
        }
    }
    (values, truth)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clothseg::spec::{Fit, InputSpec, OutputSpec};

    #[test]
    fn a_cell_has_the_class_at_its_centre_and_padding_has_none() {
        // A photo of 8 x 4 pixels, seen at 16 x 8 and padded to 16 x 16, logits at stride 2: cells of one photo pixel.
        let fit = Fit::LongestSide { size: 16, multiple: 16 };
        let taxonomy = clothseg::Taxonomy::builtin("garments").unwrap();
        let spec = ModelSpec::new("a", taxonomy, InputSpec::imagenet(fit), OutputSpec::logits(2));
        let labels: Vec<u8> =
            (0..32).map(|pixel| if pixel == 18 { IGNORE } else { (pixel % 8 + pixel / 8 % 2) as u8 }).collect();
        let labels = LabelImage { width: 8, height: 4, data: labels };
        let logits =
            Array4::from_shape_fn((1, 21, 8, 8), |(_, class, row, column)| (100 * class + 10 * row + column) as f32);
        let (values, truth) = labelled_cells(&logits, &labels, &spec, 2);
        // Rows 0 and 2 of columns 0, 2, 4, 6; the ignored one at row 2, column 2 is left out.
        assert_eq!(truth, [0, 2, 4, 6, 0, 4, 6]);
        assert_eq!(values.len(), 7 * 21);
        assert_eq!((values[0], values[1], values[21], values[5 * 21]), (0.0, 100.0, 2.0, 24.0));
        let (values, truth) = labelled_cells(&logits, &labels, &spec, 1);
        assert_eq!((values.len(), truth.len()), (31 * 21, 31));
    }
}
