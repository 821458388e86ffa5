//! What every loss needs of the logits, in one pass over them forward and one backward.
//!
//! For each image: the sum of `-w log p` over its pixels (cross entropy), the sum of `-w (1 - p)^gamma log p` (focal loss),
//! where `p` is the softmax of the true class and `w` that class's weight in that image; and for each class the sum of its softmax over all
//! pixels that count (`P`) and over those that are of it (`I`). Dice, IoU and Tversky losses are ratios of `I`, `P` and
//! the counts of the labels. Pixels of an index without a class count nowhere.
//!
//! A pixel may be one of several classes, a set of them: its `p` is the sum of theirs and its `w` their mean. It is in no sum
//! `I`, in no `P` of the set's classes, and in `P` of all others, for which it is a false alarm.

use std::ops::Range;
use std::sync::Arc;

use pulp::{Arch, Simd};
use rayon::prelude::*;

use super::output::Parts;
use super::tile::with_scratch;

/// Pixels of a block: softmaxes of a block stay in the first-level cache.
const BLOCK: usize = 128;

/// Sizes and constants.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentationSums {
    /// Images.
    pub batch: usize,
    /// Channels of the logits.
    pub classes: usize,
    /// Pixels of an image.
    pub pixels: usize,
    /// Sets of classes: the label `classes + index` is one of the classes of set `index`.
    pub sets: Arc<[Vec<u8>]>,
    /// Weight of each class, then of each set, in the first sum, image by image: `(N, C + S)`.
    pub entropy_weights: Vec<f32>,
    /// Weight of each class, then of each set, in the second sum, image by image: `(N, C + S)`.
    pub focal_weights: Vec<f32>,
    /// Exponent of the focal loss; without it that sum stays 0.
    pub gamma: Option<f32>,
}

/// What belongs to one image.
#[derive(Clone, Copy)]
struct Image<'a> {
    logits: &'a [f32],
    labels: &'a [u8],
    entropy_weights: &'a [f32],
    focal_weights: &'a [f32],
}

/// Columns before the classes': cross entropy and focal loss.
pub const PIXEL_SUMS: usize = 2;

impl SegmentationSums {
    /// Columns of a row of sums: two, then `P` of each class, then `I` of each class.
    pub fn columns(&self) -> usize {
        PIXEL_SUMS + 2 * self.classes
    }

    fn blocks(&self) -> usize {
        self.pixels.div_ceil(BLOCK)
    }

    fn image<'a>(&'a self, logits: &'a [f32], labels: &'a [u8], image: usize) -> Image<'a> {
        let floats = self.classes * self.pixels;
        let labels_known = self.classes + self.sets.len();
        let weights = |weights: &'a [f32]| &weights[image * labels_known..][..labels_known];
        Image {
            logits: &logits[image * floats..][..floats],
            labels: &labels[image * self.pixels..][..self.pixels],
            entropy_weights: weights(&self.entropy_weights),
            focal_weights: weights(&self.focal_weights),
        }
    }

    fn check(&self, logits: &[f32], labels: &[u8]) {
        assert_eq!(logits.len(), self.batch * self.classes * self.pixels);
        assert_eq!(labels.len(), self.batch * self.pixels);
        let labels_known = self.classes + self.sets.len();
        assert_eq!(self.entropy_weights.len(), self.batch * labels_known);
        assert_eq!(self.focal_weights.len(), self.batch * labels_known);
        assert!(self.sets.iter().flatten().all(|class| usize::from(*class) < self.classes));
    }

    /// Rows of [`SegmentationSums::columns`] sums, one an image.
    pub fn forward(&self, logits: &[f32], labels: &[u8]) -> Vec<f32> {
        self.check(logits, labels);
        // A fixed split, whatever the threads: the sums repeat to the bit.
        let parts = 8.min(self.blocks()).max(1);
        let of_parts: Vec<Vec<f64>> = (0..self.batch * parts)
            .into_par_iter()
            .map(|unit| {
                let (image, part) = (unit / parts, unit % parts);
                let image = self.image(logits, labels, image);
                let mut sums = vec![0.0_f64; self.columns()];
                with_scratch([self.classes * BLOCK], |[softmax]| {
                    for block in self.blocks() * part / parts..self.blocks() * (part + 1) / parts {
                        add_block(self, image, block * BLOCK, softmax, &mut sums);
                    }
                });
                sums
            })
            .collect();
        let mut sums = Vec::with_capacity(self.batch * self.columns());
        for of_image in of_parts.chunks_exact(parts) {
            sums.extend((0..self.columns()).map(|column| of_image.iter().map(|part| part[column]).sum::<f64>() as f32));
        }
        sums
    }

    #[inline(always)]
    fn add_block(&self, image: Image<'_>, start: usize, softmax: &mut [f32], sums: &mut [f64]) {
        let Image { logits, labels, .. } = image;
        let count = BLOCK.min(self.pixels - start);
        let labels = &labels[start..start + count];
        let logs = self.softmax(logits, start, count, softmax);
        let mut valid = [0.0_f32; BLOCK];
        for (valid, label) in valid.iter_mut().zip(labels) {
            *valid = f32::from(u8::from(usize::from(*label) < self.classes));
        }
        for (class, softmax) in softmax.chunks_exact(BLOCK).enumerate() {
            let mut lanes = [0.0_f32; 16];
            for (softmax, valid) in softmax.as_chunks::<16>().0.iter().zip(valid.as_chunks::<16>().0) {
                for lane in 0..16 {
                    lanes[lane] += softmax[lane] * valid[lane];
                }
            }
            sums[PIXEL_SUMS + class] += f64::from(lanes.iter().sum::<f32>());
        }
        for (pixel, label) in labels.iter().enumerate() {
            let class = usize::from(*label);
            if class < self.classes {
                let log = logs[pixel] - logits[class * self.pixels + start + pixel];
                let probability = softmax[class * BLOCK + pixel];
                sums[0] += f64::from(image.entropy_weights[class] * log);
                if let Some(gamma) = self.gamma {
                    let factor = (1.0 - probability).max(0.0).powf(gamma);
                    sums[1] += f64::from(image.focal_weights[class] * log * factor);
                }
                sums[PIXEL_SUMS + self.classes + class] += f64::from(probability);
            } else if let Some(set) = self.sets.get(class - self.classes) {
                self.add_pixel_of_set(image, class, set, pixel, softmax, sums);
            }
        }
    }

    /// A pixel of one of several classes, with the softmaxes of its block.
    fn add_pixel_of_set(
        &self,
        image: Image<'_>,
        label: usize,
        set: &[u8],
        pixel: usize,
        softmax: &[f32],
        sums: &mut [f64],
    ) {
        let at = |class: usize| softmax[class * BLOCK + pixel];
        let probability = probability_of(set, at);
        let log = -probability.ln();
        sums[0] += f64::from(image.entropy_weights[label] * log);
        if let Some(gamma) = self.gamma {
            sums[1] += f64::from(image.focal_weights[label] * log * (1.0 - probability).max(0.0).powf(gamma));
        }
        for class in (0..self.classes).filter(|class| !set.contains(&(*class as u8))) {
            sums[PIXEL_SUMS + class] += f64::from(at(class));
        }
    }

    /// Fills `softmax` (classes x `BLOCK`) and returns the logarithm of the sum of exponentials of each pixel.
    #[inline(always)]
    fn softmax(&self, logits: &[f32], start: usize, count: usize, softmax: &mut [f32]) -> [f32; BLOCK] {
        let row = |class: usize| &logits[class * self.pixels + start..][..count];
        let mut largest = [f32::NEG_INFINITY; BLOCK];
        for class in 0..self.classes {
            for (largest, logit) in largest.iter_mut().zip(row(class)) {
                *largest = largest.max(*logit);
            }
        }
        let mut sums = [0.0_f32; BLOCK];
        for (class, to) in softmax.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            for (to, (logit, largest)) in to.iter_mut().zip(row(class).iter().zip(&largest)) {
                *to = exponential(logit - largest);
            }
            to[count..].fill(0.0);
            for (sum, value) in sums.iter_mut().zip(to.iter()) {
                *sum += value;
            }
        }
        let mut logs = [0.0_f32; BLOCK];
        for pixel in 0..count {
            logs[pixel] = sums[pixel].ln() + largest[pixel];
            sums[pixel] = 1.0 / sums[pixel];
        }
        for to in softmax.as_chunks_mut::<BLOCK>().0 {
            for (to, factor) in to.iter_mut().zip(&sums) {
                *to *= factor;
            }
        }
        logs
    }

    /// The gradient of the logits, from the gradients of the sums (rows of [`SegmentationSums::columns`]).
    pub fn backward(&self, logits: &[f32], labels: &[u8], gradient: &[f32]) -> Vec<f32> {
        self.check(logits, labels);
        assert_eq!(gradient.len(), self.batch * self.columns());
        let width = 64 * BLOCK;
        Parts::every(self.batch, self.classes, self.pixels, width).filled(|image, part, output| {
            let gradient = &gradient[image * self.columns()..][..self.columns()];
            let image = self.image(logits, labels, image);
            let first = part * width;
            with_scratch([self.classes * BLOCK, self.classes * BLOCK], |[softmax, kept]| {
                for start in (first..self.pixels.min(first + width)).step_by(BLOCK) {
                    let count = BLOCK.min(self.pixels - start);
                    gradient_block(self, image, start..start + count, [&mut *softmax, &mut *kept], gradient);
                    for (class, values) in softmax.chunks_exact(BLOCK).enumerate() {
                        output[class].write(start - first, &values[..count]);
                    }
                }
            });
        })
    }

    /// Fills the first of two buffers, classes x `BLOCK`, with a block's gradients. With `g_c = dL/dp_c`, `dL/dz_c = p_c (g_c - sum_k p_k g_k)`; the
    /// terms of the true class are added in closed form, which for cross entropy is `w (p - y)`.
    #[inline(always)]
    fn gradient_block(
        &self,
        image: Image<'_>,
        pixels: Range<usize>,
        [softmax, kept]: [&mut [f32]; 2],
        gradient: &[f32],
    ) {
        let classes = self.classes;
        let (logits, start, count) = (image.logits, pixels.start, pixels.len());
        let labels = &image.labels[pixels];
        let logs = self.softmax(logits, start, count, softmax);
        let has_sets = !self.sets.is_empty() && labels.iter().any(|label| self.set(*label).is_some());
        if has_sets {
            kept.copy_from_slice(softmax);
        }
        let of_region = &gradient[PIXEL_SUMS..PIXEL_SUMS + classes];
        let of_overlap = &gradient[PIXEL_SUMS + classes..];
        // dL/dp_y * p_y of the true class beyond what `of_region` gives, then the mean of dL/dp under p.
        let mut of_truth = [0.0_f32; BLOCK];
        for (pixel, label) in labels.iter().enumerate() {
            let class = usize::from(*label);
            if class < classes {
                let probability = softmax[class * BLOCK + pixel];
                let mut of_pixels = image.entropy_weights[class] * gradient[0];
                if let Some(gamma) = self.gamma {
                    let log = logits[class * self.pixels + start + pixel] - logs[pixel];
                    of_pixels += image.focal_weights[class] * gradient[1] * focal_slope(gamma, probability, log);
                }
                of_truth[pixel] = of_overlap[class] * probability - of_pixels;
            }
        }
        let mut mean = of_truth;
        for (of_region, softmax) in of_region.iter().zip(softmax.chunks_exact(BLOCK)) {
            for (mean, softmax) in mean.iter_mut().zip(softmax) {
                *mean += of_region * softmax;
            }
        }
        for (of_region, softmax) in of_region.iter().zip(softmax.chunks_exact_mut(BLOCK)) {
            for (softmax, mean) in softmax.iter_mut().zip(&mean) {
                *softmax *= of_region - mean;
            }
        }
        for (pixel, label) in labels.iter().enumerate() {
            let class = usize::from(*label);
            if class < classes {
                softmax[class * BLOCK + pixel] += of_truth[pixel];
            } else {
                softmax[pixel..].iter_mut().step_by(BLOCK).for_each(|value| *value = 0.0);
            }
        }
        if has_sets {
            for (pixel, label) in labels.iter().enumerate() {
                if let Some(set) = self.set(*label) {
                    let to = softmax[pixel..].iter_mut().step_by(BLOCK);
                    self.gradient_of_set(
                        image,
                        usize::from(*label),
                        set,
                        |class| kept[class * BLOCK + pixel],
                        gradient,
                        to,
                    );
                }
            }
        }
    }

    /// The set that a label stands for, if it is none of a class.
    fn set(&self, label: u8) -> Option<&[u8]> {
        usize::from(label).checked_sub(self.classes).and_then(|index| self.sets.get(index)).map(Vec::as_slice)
    }

    /// The gradient of one pixel of a set `S`, whose softmaxes are `p`. With `P = sum(p_c, c in S)`, the terms of the pixel
    /// have the gradient `slope (p_c - [c in S] p_c / P)`, and those of regions that of the classes outside of `S`.
    fn gradient_of_set<'a>(
        &self,
        image: Image<'_>,
        label: usize,
        set: &[u8],
        p: impl Fn(usize) -> f32,
        gradient: &[f32],
        to: impl Iterator<Item = &'a mut f32>,
    ) {
        let probability = probability_of(set, &p);
        let mut slope = image.entropy_weights[label] * gradient[0];
        if let Some(gamma) = self.gamma {
            slope += image.focal_weights[label] * gradient[1] * focal_slope(gamma, probability, probability.ln());
        }
        let is_member = |class: usize| set.contains(&(class as u8));
        let of_region = |class: usize| if is_member(class) { 0.0 } else { gradient[PIXEL_SUMS + class] };
        let mean: f32 = (0..self.classes).map(|class| of_region(class) * p(class)).sum();
        for (class, to) in to.take(self.classes).enumerate() {
            let share = if is_member(class) { 1.0 / probability } else { 0.0 };
            *to = p(class) * (of_region(class) - mean + slope * (1.0 - share));
        }
    }
}

/// How likely a pixel is one of the classes of a set; above 0.
fn probability_of(set: &[u8], softmax: impl Fn(usize) -> f32) -> f32 {
    set.iter().map(|class| softmax(usize::from(*class))).sum::<f32>().clamp(f32::MIN_POSITIVE, 1.0)
}

#[pulp::with_simd(add_block = Arch::new())]
#[inline(always)]
fn add_block_with_simd<'a, S: Simd>(
    _simd: S,
    job: &'a SegmentationSums,
    image: Image<'a>,
    start: usize,
    softmax: &'a mut [f32],
    sums: &'a mut [f64],
) {
    job.add_block(image, start, softmax, sums);
}

#[pulp::with_simd(gradient_block = Arch::new())]
#[inline(always)]
fn gradient_block_with_simd<'a, S: Simd>(
    _simd: S,
    job: &'a SegmentationSums,
    image: Image<'a>,
    pixels: Range<usize>,
    buffers: [&'a mut [f32]; 2],
    gradient: &'a [f32],
) {
    job.gradient_block(image, pixels, buffers, gradient);
}

/// `-p` times the derivative of `-(1 - p)^gamma log p`.
#[inline(always)]
fn focal_slope(gamma: f32, probability: f32, log: f32) -> f32 {
    let rest = (1.0 - probability).max(0.0);
    let slope = rest.powf(gamma);
    if gamma > 0.0 && rest > 0.0 { slope - gamma * rest.powf(gamma - 1.0) * probability * log } else { slope }
}

/// `e^x` for `x <= 0`, to 2 units in the last place: `2^n` times the series of `e^r` to the sixth power, `|r| <= ln 2 / 2`
/// (Cephes' expf). Plain arithmetic, so that the compiler makes vectors of it.
#[inline(always)]
fn exponential(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    // Not by `max`, which would make a number of what is none.
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let series = 1.987_569_2e-4;
    let series = series * r + 1.398_199_9e-3;
    let series = series * r + 8.333_452e-3;
    let series = series * r + 4.166_579_6e-2;
    let series = series * r + 0.166_666_66;
    let series = series * r + 0.5;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    (series * r * r + r + 1.0) * power
}

#[cfg(test)]
mod tests {
    use super::exponential;

    #[test]
    fn the_exponential_is_exact_to_a_few_bits() {
        for step in 0..80_000 {
            let x = -(step as f32) * 1e-3;
            let expected = f64::from(x).exp();
            assert!((f64::from(exponential(x)) - expected).abs() <= 3e-7 * expected, "{x}");
        }
        assert_eq!(exponential(0.0), 1.0);
    }
}
