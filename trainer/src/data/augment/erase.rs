//! Hides a rectangle under noise: Zhong, Zheng, Kang, Li and Yang, "Random Erasing Data Augmentation", 2020, with random
//! values a pixel.
//!
//! The cells under it become [`IGNORE`]: nobody can say what is there, and a net that is made to guess learns to paint
//! garments over whatever stands in front of them. What lies around it is learned without its help.

use rand::{Rng, RngCore};
use rand_chacha::ChaCha8Rng;

use super::Example;
use super::crop::Frame;
use crate::config::SMALLEST_ERASED_SHARE;
use crate::data::IGNORE;

/// Smallest and largest width over height, as in the paper; drawn evenly in the logarithm.
const ASPECT: (f64, f64) = (0.3, 1.0 / 0.3);

/// What is hidden.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Erasing {
    /// Probability that there is a rectangle.
    pub probability: f64,
    /// Largest share of the frame's area, drawn evenly from [`SMALLEST_ERASED_SHARE`] on.
    pub largest_share: f64,
}

/// A rectangle of noise, in frame pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
    noise: ChaCha8Rng,
}

impl Erasing {
    /// Nothing.
    pub const NONE: Self = Self { probability: 0.0, largest_share: SMALLEST_ERASED_SHARE };

    /// Draws a rectangle or none, with five random numbers; the noise is what comes after them.
    pub(super) fn draw(&self, frame: &Frame, random: &mut ChaCha8Rng) -> Option<Patch> {
        let is_hidden = random.random::<f64>() < self.probability;
        let share = SMALLEST_ERASED_SHARE + (self.largest_share - SMALLEST_ERASED_SHARE) * random.random::<f64>();
        let (low, high) = (ASPECT.0.ln(), ASPECT.1.ln());
        let aspect = (low + (high - low) * random.random::<f64>()).exp();
        let (frame_width, frame_height) = (f64::from(frame.width), f64::from(frame.height));
        let area = share * frame_width * frame_height;
        let width = (area * aspect).sqrt().round().clamp(1.0, frame_width);
        let height = (area / aspect).sqrt().round().clamp(1.0, frame_height);
        let left = ((frame_width - width + 1.0) * random.random::<f64>()) as u32;
        let top = ((frame_height - height + 1.0) * random.random::<f64>()) as u32;
        is_hidden.then(|| Patch { left, top, width: width as u32, height: height as u32, noise: random.clone() })
    }
}

impl Patch {
    /// Covers an example of a frame.
    pub(super) fn hide(&self, example: &mut Example, frame: &Frame) {
        let mut noise = self.noise.clone();
        let (from, length) = (3 * self.left as usize, 3 * self.width as usize);
        let rows = example.picture.chunks_exact_mut(3 * frame.width as usize);
        for row in rows.skip(self.top as usize).take(self.height as usize) {
            noise.fill_bytes(&mut row[from..from + length]);
        }
        let columns = example.labels.width.max(1);
        let covers = |cell: u32, start: u32, length: u32| {
            // Doubled, because the centres of cells lie between pixels.
            let center = (2 * cell + 1) * frame.output_stride;
            (2 * start..2 * (start + length)).contains(&center)
        };
        for (row, labels) in (0..).zip(example.labels.data.chunks_exact_mut(columns as usize)) {
            if covers(row, self.top, self.height) {
                let cells = (0..).zip(labels).filter(|(column, _)| covers(*column, self.left, self.width));
                cells.for_each(|(_, label)| *label = IGNORE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::LabelImage;
    use crate::data::augment::generator;
    use image::RgbImage;
    use proptest::prelude::*;

    const FRAME: Frame = Frame { width: 32, height: 48, output_stride: 2, pad: [9, 9, 9] };

    fn blank() -> Example {
        let (width, height) = FRAME.grid();
        let labels = LabelImage { width, height, data: vec![0; (width * height) as usize] };
        Example { picture: RgbImage::new(FRAME.width, FRAME.height), labels, shown: Vec::new() }
    }

    #[test]
    fn a_rectangle_hides_its_pixels_and_the_cells_whose_centres_it_covers() {
        let mut example = blank();
        // The cells' centres lie at 1, 3, 5 ...: columns 5 to 9 hold those of the cells 2, 3 and 4, rows 8 and 9 that of 4.
        Patch { left: 5, top: 8, width: 5, height: 2, noise: generator(0, 0, 0) }.hide(&mut example, &FRAME);
        for (x, y, pixel) in example.picture.enumerate_pixels() {
            let is_hidden = (5..10).contains(&x) && (8..10).contains(&y);
            assert!(is_hidden || pixel.0 == [0; 3], "{x} {y}");
        }
        let levels: Vec<u8> = example.picture.iter().copied().filter(|level| *level > 0).collect();
        assert!(levels.len() > 20 && levels.iter().any(|level| *level != levels[0]));
        let hidden: Vec<usize> = (0..16 * 24).filter(|cell| example.labels.data[*cell] == IGNORE).collect();
        assert_eq!(hidden, [4 * 16 + 2, 4 * 16 + 3, 4 * 16 + 4]);
    }

    proptest! {
        #[test]
        fn rectangles_lie_in_the_frame_and_have_their_share(seed: u64, largest_share in SMALLEST_ERASED_SHARE..0.5) {
            let erasing = Erasing { probability: 1.0, largest_share };
            let patch = erasing.draw(&FRAME, &mut generator(seed, 0, 0)).ok_or(TestCaseError::fail("none"))?;
            prop_assert!(patch.left + patch.width <= FRAME.width && patch.top + patch.height <= FRAME.height);
            let share = f64::from(patch.width * patch.height) / f64::from(FRAME.width * FRAME.height);
            // Sides are whole pixels, of which the smallest rectangle has 3.
            prop_assert!(share < 1.25 * largest_share + 0.01 && share > 0.7 * SMALLEST_ERASED_SHARE, "{share}");
            patch.hide(&mut blank(), &FRAME);
            prop_assert_eq!(Erasing { probability: 0.0, ..erasing }.draw(&FRAME, &mut generator(seed, 0, 0)), None);
        }
    }
}
