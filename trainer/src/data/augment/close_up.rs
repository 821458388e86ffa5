//! Crops of chosen classes: a share of the examples looks at a pixel of one of some classes, at a scale of its own.
//!
//! Random crops show a small class as seldom as its area says, and a head as small as it stands in a photo of a whole
//! person. Isensee et al., "nnU-Net", Nature Methods 18, 2021, lets a third of the crops hold a class in the same way.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::crop::{Crop, Frame};
use crate::data::{LabelImage, Sample};

/// The pixel lies between these shares of the frame's width and height: not at its rim, where nothing round it is seen.
const PLACES: (f64, f64) = (0.15, 0.85);

/// How often, how close and at which classes an example looks.
#[derive(Clone, Debug, PartialEq)]
pub struct CloseUp {
    /// Probability that an example is one; where the photo shows none of the classes, it stays as it was.
    pub share: f64,
    /// Class indices, each as likely as any other that the photo shows.
    pub classes: Vec<u8>,
    /// Smallest and largest factor on the scale of inference, drawn evenly in the logarithm.
    pub scale: (f64, f64),
}

impl CloseUp {
    /// Which of `close_ups` an example is, if any, with one random number.
    pub(super) fn choose<'c>(close_ups: &'c [CloseUp], random: &mut ChaCha8Rng) -> Option<&'c CloseUp> {
        let mut left = random.random::<f64>();
        close_ups.iter().find(|close_up| {
            left -= close_up.share;
            left < 0.0
        })
    }

    /// `crop` moved to a pixel of the classes and scaled; turn, mirroring and the ratio of its scales stay. `base` is the
    /// scale of inference, in frame pixels to a photo pixel, vertically; `ratio` how much more it is horizontally.
    pub(super) fn place(
        &self,
        crop: Crop,
        sample: &Sample,
        (base, ratio): (f64, f64),
        frame: &Frame,
        random: &mut ChaCha8Rng,
    ) -> Option<Crop> {
        let (column, row) = pixel(&self.classes, &sample.labels, random)?;
        let (low, high) = (self.scale.0.ln(), self.scale.1.ln());
        let factor = (low + (high - low) * random.random::<f64>()).exp();
        let drawn = (crop.scale_x / ratio * crop.scale_y).sqrt();
        let scale_x = crop.scale_x * base * factor / drawn;
        let scale_y = crop.scale_y * base * factor / drawn;
        let mut place = || PLACES.0 + (PLACES.1 - PLACES.0) * random.random::<f64>();
        let photo =
            |index: u32, photo: u32, labels: u32| (f64::from(index) + 0.5) * f64::from(photo) / f64::from(labels);
        let x = photo(column, sample.photo.width(), sample.labels.width);
        let y = photo(row, sample.photo.height(), sample.labels.height);
        let left = x - place() * f64::from(frame.width) / scale_x;
        let top = y - place() * f64::from(frame.height) / scale_y;
        Some(Crop { left, top, scale_x, scale_y, ..crop })
    }
}

/// Column and row of a pixel of one of `classes`: first the class is drawn, of those that there are, then the pixel.
fn pixel(classes: &[u8], labels: &LabelImage, random: &mut ChaCha8Rng) -> Option<(u32, u32)> {
    let mut counts = [0_usize; 256];
    labels.data.iter().for_each(|label| counts[usize::from(*label)] += 1);
    let shown: Vec<u8> = classes.iter().copied().filter(|class| counts[usize::from(*class)] > 0).collect();
    if shown.is_empty() {
        return None;
    }
    let class = shown[random.random_range(0..shown.len())];
    let which = random.random_range(0..counts[usize::from(class)]);
    let (index, _) = (0_u32..).zip(&labels.data).filter(|(_, label)| **label == class).nth(which)?;
    Some((index % labels.width, index / labels.width))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use image::RgbImage;

    use super::super::generator;
    use super::*;

    const FRAME: Frame = Frame { width: 32, height: 48, output_stride: 2, pad: [0; 3] };
    const CROP: Crop = Crop { left: 0.0, top: 0.0, scale_x: 1.0, scale_y: 0.25, rotation_degrees: 3.0, flip: true };

    /// Class 5 at one pixel, class 6 in a row, else background; the photo is twice as large as its label.
    fn sample() -> Sample {
        let (width, height) = (20, 30);
        let mut labels = LabelImage { width, height, data: vec![0; 600] };
        labels.data[20 * 7 + 11] = 5;
        labels.data[20 * 29..].fill(6);
        Sample { photo: RgbImage::new(2 * width, 2 * height), labels, tags: None }
    }

    fn close_up(share: f64, classes: &[u8]) -> CloseUp {
        CloseUp { share, classes: classes.to_vec(), scale: (2.0, 4.0) }
    }

    #[test]
    fn the_pixel_lies_in_the_crop_at_the_scale_asked_for() {
        for position in 0..50 {
            let random = &mut generator(1, 0, position);
            let crop = close_up(1.0, &[5, 9]).place(CROP, &sample(), (0.5, 4.0), &FRAME, random).unwrap();
            assert!((crop.scale_x / crop.scale_y - 4.0).abs() < 1e-9);
            let factor = crop.scale_y / 0.5;
            assert!((2.0..=4.0).contains(&factor), "{factor}");
            let x = (23.0 - crop.left) * crop.scale_x / 32.0;
            let y = (15.0 - crop.top) * crop.scale_y / 48.0;
            assert!((0.149..0.851).contains(&x) && (0.149..0.851).contains(&y), "{x} {y}");
            assert!(crop.flip && crop.rotation_degrees == 3.0);
        }
    }

    #[test]
    fn every_class_that_the_photo_shows_is_as_likely() {
        let mut single = 0;
        for position in 0..400 {
            let random = &mut generator(2, 0, position);
            let (column, row) = pixel(&[5, 6, 8], &sample().labels, random).unwrap();
            assert!((column, row) == (11, 7) || row == 29, "{column} {row}");
            single += usize::from(row == 7);
        }
        assert!((160..240).contains(&single), "{single}");
        assert_eq!(pixel(&[8], &sample().labels, &mut generator(0, 0, 0)), None);
    }

    #[test]
    fn shares_are_shares_of_all_examples() {
        let close_ups = [close_up(0.2, &[1]), close_up(0.3, &[2])];
        let mut counts = [0; 3];
        for position in 0..2000 {
            let chosen = CloseUp::choose(&close_ups, &mut generator(3, 1, position));
            counts[chosen.map_or(0, |close_up| usize::from(close_up.classes[0]))] += 1;
        }
        assert!((930..1070).contains(&counts[0]) && (340..460).contains(&counts[1]), "{counts:?}");
        assert_eq!(CloseUp::choose(&[], &mut generator(0, 0, 0)), None);
    }
}
