//! The likeliest class of each pixel among those that it may be.
//!
//! The network's numbers are interpolated to the photo's size as the runtime does it (bilinear, half-pixel centres), one row
//! at a time: besides the labels there are the numbers of one row of cells a thread.

use std::ops::Range;

use clothseg::postprocess::NetworkOutput;
use clothseg::spec::OutputKind;
use ndarray::ArrayView3;
use rayon::prelude::*;

use super::weak::{Allowed, Place};
use crate::data::{IGNORE, LabelImage};

/// How likely one of the classes of a box must be at some pixel of it, among the classes that may be there.
const LEAST_IN_BOX: f32 = 0.1;

/// Pixels of a box that no pixel had a class of get one where it is at least this likely, over the likeliest of them.
const NEAR_LIKELIEST: f32 = 0.8;

/// Labels of a photo of `width` x `height`: the likeliest of the classes that are `allowed`, and [`IGNORE`] where it is less likely
/// than `least` among them. Every box has one of its classes somewhere.
///
/// # Errors
/// The first box of which no pixel looks like one of its classes.
pub(super) fn labels<'a>(
    output: &NetworkOutput,
    (width, height): (u32, u32),
    allowed: &'a Allowed,
    least: f64,
) -> Result<LabelImage, &'a Place> {
    let scores = Scores::new(output, width, height);
    let mut data = vec![IGNORE; width as usize * height as usize];
    data.par_chunks_mut((width as usize).max(1)).zip(0..height).for_each(|(labels, row)| {
        scores.row(row, 0..width, allowed, |column, likely, total| {
            let (class, most) = likeliest(likely.iter().copied());
            if total > 0.0 && f64::from(most / total) >= least {
                labels[column as usize] = class;
            }
        });
    });
    let mut labels = LabelImage { width, height, data };
    // From the largest to the smallest: a small one keeps what it gets.
    let mut boxes: Vec<&Place> = allowed.boxes.iter().collect();
    boxes.sort_by_key(|place| std::cmp::Reverse(place.area()));
    for place in boxes {
        if !has_one(&labels, place) {
            put_one(&scores, &mut labels, place, allowed)?;
        }
    }
    Ok(labels)
}

/// Whether a pixel of a box has one of its classes.
fn has_one(labels: &LabelImage, place: &Place) -> bool {
    place.rows().any(|row| {
        let first = row as usize * labels.width as usize;
        place.columns().any(|column| place.classes.contains(&labels.data[first + column as usize]))
    })
}

/// Gives the pixels of a box that look most like one of its classes that class.
fn put_one<'a>(
    scores: &Scores<'_>,
    labels: &mut LabelImage,
    place: &'a Place,
    allowed: &Allowed,
) -> Result<(), &'a Place> {
    let mut found = Vec::with_capacity(place.area() as usize);
    for row in place.rows() {
        scores.row(row, place.columns(), allowed, |_, likely, total| {
            let of_box = |class: &u8| likely.get(usize::from(*class)).copied().unwrap_or(0.0);
            let share = if total > 0.0 { place.classes.iter().map(of_box).sum::<f32>() / total } else { 0.0 };
            let (best, _) = likeliest(place.classes.iter().map(of_box));
            found.push((share, place.classes[usize::from(best)]));
        });
    }
    let most = found.iter().map(|(share, _)| *share).fold(0.0, f32::max);
    if most < LEAST_IN_BOX {
        return Err(place);
    }
    let least = (NEAR_LIKELIEST * most).max(LEAST_IN_BOX);
    let pixels = place.rows().flat_map(|row| place.columns().map(move |column| (row, column)));
    for ((row, column), (share, class)) in pixels.zip(found) {
        if share >= least {
            labels.data[row as usize * labels.width as usize + column as usize] = class;
        }
    }
    Ok(())
}

/// Place and value of the largest number; of equal ones the first.
fn likeliest(likely: impl Iterator<Item = f32>) -> (u8, f32) {
    let first = (0, f32::NEG_INFINITY);
    (0..=u8::MAX).zip(likely).fold(first, |most, this| if this.1 > most.1 { this } else { most })
}

/// The network's numbers at the photo's pixels.
struct Scores<'a> {
    values: ArrayView3<'a, f32>,
    kind: OutputKind,
    rows: Vec<Between>,
    columns: Vec<Between>,
}

/// The two cells that a pixel lies between, and the weight of the second.
#[derive(Clone, Copy)]
struct Between {
    cells: [usize; 2],
    second: f32,
}

impl<'a> Scores<'a> {
    fn new(output: &'a NetworkOutput, width: u32, height: u32) -> Self {
        let (_, rows, columns) = output.values().dim();
        let (stride, at) = (output.spec().stride, output.geometry());
        Self {
            values: output.values(),
            kind: output.spec().kind,
            rows: between(height, at.content_height, stride, rows),
            columns: between(width, at.content_width, stride, columns),
        }
    }

    /// Hands to `work` each of the `columns` of a row, how likely each class is there (0 for those that it may not be), and the
    /// sum of that, which counts all classes where something may be there that no class names.
    fn row(&self, row: u32, columns: Range<u32>, allowed: &Allowed, mut work: impl FnMut(u32, &[f32], f32)) {
        let classes = self.values.dim().0;
        let Between { cells: [above, below], second } = self.rows[row as usize];
        let cells = self.values.dim().2;
        let mut across = Vec::with_capacity(cells * classes);
        for cell in 0..cells {
            across.extend((0..classes).map(|class| {
                let (one, other) = (self.values[[class, above, cell]], self.values[[class, below, cell]]);
                one + (other - one) * second
            }));
        }
        let boxes: Vec<&Place> = allowed.boxes.iter().filter(|place| place.rows().contains(&row)).collect();
        let mut cuts: Vec<u32> = boxes.iter().flat_map(|place| [place.edges[0], place.edges[2]]).collect();
        cuts.extend([columns.start, columns.end]);
        cuts.retain(|cut| (columns.start..=columns.end).contains(cut));
        cuts.sort_unstable();
        cuts.dedup();
        let mut likely = vec![0.0; classes];
        for span in cuts.windows(2) {
            let mut may_be = allowed.anywhere.clone();
            may_be.resize(classes, false);
            for place in boxes.iter().filter(|place| place.columns().contains(&span[0])) {
                place.classes.iter().for_each(|class| may_be[usize::from(*class)] = true);
            }
            for column in span[0]..span[1] {
                let Between { cells: [left, right], second } = self.columns[column as usize];
                let (one, other) = (&across[left * classes..][..classes], &across[right * classes..][..classes]);
                let values = one.iter().zip(other).map(|(one, other)| one + (other - one) * second);
                likely.iter_mut().zip(values).for_each(|(to, value)| *to = value);
                let total = self.weigh(&mut likely, &may_be, allowed.has_unknown);
                work(column, &likely, total);
            }
        }
    }

    /// Turns the numbers of a pixel into how likely each class is, over a common divisor, and returns their sum.
    fn weigh(&self, numbers: &mut [f32], may_be: &[bool], has_unknown: bool) -> f32 {
        let counted = numbers.iter().zip(may_be).filter(|(_, may_be)| has_unknown || **may_be);
        let largest = counted.map(|(number, _)| *number).fold(f32::NEG_INFINITY, f32::max);
        let mut total = 0.0;
        for (number, may_be) in numbers.iter_mut().zip(may_be) {
            let likely = match self.kind {
                _ if !may_be && !has_unknown => 0.0,
                OutputKind::Logits => (*number - largest).exp(),
                // Probabilities, or a class map's zeros and ones.
                _ => number.max(0.0),
            };
            total += likely;
            *number = if *may_be { likely } else { 0.0 };
        }
        total
    }
}

/// Where each of `pixels` lies between cells, of which only those with `content` count.
fn between(pixels: u32, content: u32, stride: u32, cells: usize) -> Vec<Between> {
    let last = (content.div_ceil(stride.max(1)) as usize).clamp(1, cells.max(1)) - 1;
    let scale = f64::from(content) / f64::from(pixels.max(1)) / f64::from(stride.max(1));
    let place = |pixel: u32| {
        let position = ((f64::from(pixel) + 0.5) * scale - 0.5).clamp(0.0, last as f64);
        let first = position.floor() as usize;
        Between { cells: [first, (first + 1).min(last)], second: (position - first as f64) as f32 }
    };
    (0..pixels).map(place).collect()
}

impl Place {
    fn columns(&self) -> Range<u32> {
        self.edges[0]..self.edges[2]
    }

    fn rows(&self) -> Range<u32> {
        self.edges[1]..self.edges[3]
    }

    fn area(&self) -> u64 {
        self.columns().len() as u64 * self.rows().len() as u64
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clothseg::preprocess::geometry;
    use clothseg::spec::{Fit, OutputSpec};
    use ndarray::Array3;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Four classes, 8 x 8 cells of 4 x 4 pixels; a photo of 32 x 32 pixels is as large as the input.
    fn output(value: impl FnMut((usize, usize, usize)) -> f32) -> NetworkOutput {
        let at = geometry(&Fit::Stretch { width: 32, height: 32 }, 32, 32);
        NetworkOutput::new(Array3::from_shape_fn((4, 8, 8), value), OutputSpec::logits(4), at)
    }

    fn allowed(anywhere: [bool; 4], boxes: Vec<Place>) -> Allowed {
        Allowed { anywhere: anywhere.to_vec(), boxes, has_unknown: false }
    }

    fn place(edges: [u32; 4], classes: &[u8]) -> Place {
        Place { name: "it".to_owned(), edges, classes: classes.to_vec() }
    }

    #[test]
    fn where_all_is_allowed_labels_are_the_runtimes() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        for size in [(32, 32), (57, 45), (13, 100)] {
            let output = output(|_| random.random_range(-3.0..3.0));
            let labels = labels(&output, size, &allowed([true; 4], Vec::new()), 0.0).unwrap();
            assert_eq!(labels.data, output.label_map(size.0, size.1).unwrap().labels());
        }
    }

    #[test]
    fn the_likeliest_of_the_allowed_classes_is_taken_however_unlikely_it_is_beside_others() {
        // The third class by far, then the second, then the rest.
        let output = output(|(class, ..)| [0.0, 20.0, 200.0, 0.0][class]);
        let of = |allowed: &Allowed, least| labels(&output, (32, 32), allowed, least).unwrap().data[0];
        assert_eq!(of(&allowed([true; 4], Vec::new()), 0.9), 2);
        let tagged = allowed([true, true, false, false], Vec::new());
        assert_eq!(of(&tagged, 0.99), 1);
        assert_eq!(of(&allowed([true, false, false, true], Vec::new()), 0.6), IGNORE);
        // Something that no class names may be what the third class is taken for.
        assert_eq!(of(&Allowed { has_unknown: true, ..tagged }, 0.6), IGNORE);
    }

    #[test]
    fn probabilities_count_as_they_are() {
        let at = geometry(&Fit::Stretch { width: 32, height: 32 }, 32, 32);
        let mut spec = OutputSpec::logits(4);
        spec.kind = OutputKind::Probabilities;
        let values = Array3::from_shape_fn((4, 8, 8), |(class, ..)| [0.1, 0.3, 0.6, 0.0][class]);
        let output = NetworkOutput::new(values, spec, at);
        let tagged = allowed([true, true, false, false], Vec::new());
        let of = |least| labels(&output, (32, 32), &tagged, least).unwrap().data[7];
        assert_eq!((of(0.74), of(0.76)), (1, IGNORE));
    }

    #[test]
    fn a_class_of_boxes_lies_in_its_boxes_alone() {
        let output = output(|(class, ..)| [0.0, 0.0, 9.0, 0.0][class]);
        let boxes = vec![place([4, 8, 12, 16], &[2]), place([30, 0, 32, 32], &[2, 3])];
        let labels = labels(&output, (32, 32), &allowed([true, false, false, false], boxes), 0.5).unwrap();
        let inside = |x: u32, y: u32| ((4..12).contains(&x) && (8..16).contains(&y)) || x >= 30;
        let expected = (0..32).flat_map(|y| (0..32).map(move |x| if inside(x, y) { 2 } else { 0 }));
        assert_eq!(labels.data, expected.collect::<Vec<u8>>());
    }

    #[test]
    fn a_class_with_a_box_is_there_where_it_is_likeliest() {
        // Background by 1.5, but in one column of cells, where it is by 0.5.
        let output = output(|(class, _, column)| match (class, column) {
            (0, 4) => 0.5,
            (0, _) => 1.5,
            _ => 0.0,
        });
        let boxes = vec![place([8, 8, 32, 12], &[1, 3])];
        let labels = labels(&output, (32, 32), &allowed([true, false, false, false], boxes), 0.5).unwrap();
        let has = |x: usize, y: usize| labels.data[y * 32 + x] == 1;
        assert!(has(17, 8) && has(18, 11) && !has(17, 7) && !has(17, 12) && !has(12, 9) && !has(28, 9));
    }

    #[test]
    fn a_box_that_looks_like_nothing_of_its_classes_is_named() {
        let output = output(|(class, ..)| if class == 0 { 9.0 } else { 0.0 });
        let boxes = vec![place([0, 0, 8, 8], &[0]), place([8, 8, 32, 12], &[1])];
        let allowed = allowed([true, false, false, false], boxes);
        assert_eq!(labels(&output, (32, 32), &allowed, 0.5).unwrap_err().classes, [1]);
    }
}
