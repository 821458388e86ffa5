//! How sure the network is of each class.

use ndarray::ArrayView3;
use pulp::{Arch, Simd};
use rayon::prelude::*;

use super::cells::{LANES, Planes, content_cells, larger};
use super::exponential::exp;
use crate::geometry::Geometry;
use crate::spec::{OutputKind, OutputSpec};

/// How sure the network is of each class, 0..1: the mean, over the output cells that the class wins, of its probability
/// (softmax of the logits, with the maximum subtracted so that it cannot overflow). A class that wins no cell, but may
/// win pixels between cells, has its largest probability. Cells of pure padding do not count.
///
/// `output` is classes x H/stride x W/stride.
pub fn mean_confidence(output: ArrayView3<'_, f32>, spec: &OutputSpec, geometry: &Geometry) -> Vec<f32> {
    let (classes, height, width) = output.dim();
    let standard = output.as_standard_layout();
    #[expect(clippy::expect_used, reason = "ndarray's standard layout is a slice")]
    let values = standard.as_slice().expect("an array in standard layout is a slice");
    let planes = Planes::new(values, (classes, height, width));
    let rows = content_cells(geometry.content_height, spec.stride, height);
    let columns = content_cells(geometry.content_width, spec.stride, width);
    if output.is_empty() {
        return vec![0.0; classes];
    }
    let of_row = |y: usize| confidence_of_row(planes, y, columns, spec.kind);
    let none = || vec![Sum::default(); classes];
    let add = |mut a: Vec<Sum>, b: Vec<Sum>| {
        a.iter_mut().zip(b).for_each(|(a, b)| a.add(b));
        a
    };
    // In the order of the rows, so that the same photo gives the same number every time.
    let by_row: Vec<Vec<Sum>> = (0..rows).into_par_iter().map(of_row).collect();
    by_row.into_iter().fold(none(), add).into_iter().map(Sum::mean).collect()
}

/// The cells that one class wins, and its probabilities.
#[derive(Clone, Copy, Default)]
struct Sum {
    probability: f64,
    cells: u32,
    largest: f32,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.probability += other.probability;
        self.cells += other.cells;
        self.largest = larger(self.largest, other.largest);
    }

    fn mean(self) -> f32 {
        if self.cells == 0 { self.largest } else { (self.probability / f64::from(self.cells)) as f32 }
    }
}

#[pulp::with_simd(confidence_of_row = Arch::new())]
#[inline(always)]
fn confidence_of_row_with_simd<'a, S: Simd>(
    _simd: S,
    planes: Planes<'a>,
    y: usize,
    columns: usize,
    kind: OutputKind,
) -> Vec<Sum> {
    let row = |class: usize| &planes.row(class, y)[..columns];
    let mut best = vec![f32::NEG_INFINITY; columns];
    let mut winner = vec![0_u32; columns];
    for class in 0..planes.classes {
        for ((best, winner), &value) in best.iter_mut().zip(&mut winner).zip(row(class)) {
            *winner = if value > *best { class as u32 } else { *winner };
            *best = larger(*best, value);
        }
    }
    // Of logits the exponentials, class after class, which their sum makes probabilities.
    let mut exponentials = Vec::new();
    let mut scale = vec![1.0_f32; columns];
    if kind == OutputKind::Logits {
        exponentials.resize(planes.classes * columns, 0.0_f32);
        scale.fill(0.0);
        for (class, exponentials) in exponentials.chunks_exact_mut(columns).enumerate() {
            let cells = exponentials.iter_mut().zip(scale.iter_mut()).zip(best.iter().zip(row(class)));
            for ((exponential, total), (best, value)) in cells {
                *exponential = exp(value - best);
                *total += *exponential;
            }
        }
        scale.iter_mut().for_each(|total| *total = 1.0 / *total);
    }
    let mut sums = vec![Sum::default(); planes.classes];
    for (class, sum) in sums.iter_mut().enumerate() {
        let values = if kind == OutputKind::Logits { &exponentials[class * columns..][..columns] } else { row(class) };
        sum.largest = largest_product(values, &scale);
    }
    for ((winner, best), scale) in winner.iter().zip(&best).zip(&scale) {
        let sum = &mut sums[*winner as usize];
        sum.probability += f64::from(if kind == OutputKind::Logits { *scale } else { *best });
        sum.cells += 1;
    }
    sums
}

/// The largest product of two numbers side by side, or 0 if all are less. In lanes: a plain search is not vectorised.
#[inline(always)]
fn largest_product(values: &[f32], factors: &[f32]) -> f32 {
    let mut largest = [0.0_f32; 2 * LANES];
    let blocks = values.chunks(2 * LANES).zip(factors.chunks(2 * LANES));
    for (values, factors) in blocks {
        for ((largest, value), factor) in largest.iter_mut().zip(values).zip(factors) {
            *largest = larger(*largest, value * factor);
        }
    }
    largest.into_iter().fold(0.0, larger)
}
