//! Blurred and sharpened pictures.
//!
//! A head that is cut out of a photo of a whole person is enlarged and blurred; in a portrait it is sharp. A network that never saw blurred
//! garments and sharp heads tells them apart by that.

use image::{RgbImage, imageops};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// How often examples are blurred or sharpened, and how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FocusJitter {
    /// Probability of a blurred picture.
    pub blur: f64,
    /// Probability of a sharpened picture, which is not blurred.
    pub sharpen: f64,
    /// Smallest and largest standard deviation of the blur, and of that which sharpening takes away, in pixels of the network's input;
    /// drawn evenly in the logarithm.
    pub sigma_px: (f64, f64),
}

/// One change of sharpness: what a picture has that its blurred copy lacks is multiplied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Focus {
    /// Standard deviation of the blur, in pixels.
    sigma_px: f64,
    /// Factor on the detail: 0 blurs, above 1 sharpens.
    detail: f64,
}

/// Largest factor on the detail.
const MOST_DETAIL: f64 = 4.0;

impl FocusJitter {
    /// No variation.
    pub const NONE: Self = Self { blur: 0.0, sharpen: 0.0, sigma_px: (0.5, 2.0) };

    /// Draws a change, with three random numbers.
    pub(super) fn draw(&self, random: &mut ChaCha8Rng) -> Option<Focus> {
        let which = random.random::<f64>();
        let (low, high) = (self.sigma_px.0.ln(), self.sigma_px.1.ln());
        let sigma_px = (low + (high - low) * random.random::<f64>()).exp();
        let more = 1.0 + (MOST_DETAIL - 1.0) * random.random::<f64>();
        let detail = if which < self.blur { 0.0 } else { more };
        (which < self.blur + self.sharpen).then_some(Focus { sigma_px, detail })
    }
}

impl Focus {
    /// Changes a picture. The blur is three box filters of at least 3 pixels, so that its least standard deviation is 1.4.
    pub(super) fn apply(&self, picture: &mut RgbImage) {
        let blurred = imageops::fast_blur(picture, self.sigma_px as f32);
        if self.detail == 0.0 {
            *picture = blurred;
            return;
        }
        let detail = self.detail as f32;
        for (level, base) in picture.iter_mut().zip(blurred.iter()) {
            let base = f32::from(*base);
            // To the nearest level; a cast keeps it within 0 and 255.
            *level = (base + detail * (f32::from(*level) - base) + 0.5) as u8;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::augment::generator;
    use image::Rgb;

    /// Largest distance of neighbours in a row.
    fn contrast(picture: &RgbImage) -> u8 {
        let rows = picture.as_raw().chunks_exact(3 * picture.width() as usize);
        rows.flat_map(|row| row.iter().zip(&row[3..]).map(|(a, b)| a.abs_diff(*b))).max().unwrap()
    }

    fn edges() -> RgbImage {
        RgbImage::from_fn(48, 32, |x, _| Rgb([if x / 8 % 2 == 0 { 100 } else { 150 }; 3]))
    }

    #[test]
    fn blurring_flattens_edges_and_sharpening_raises_them_and_neither_moves_flat_areas() {
        let focused = |detail| {
            let mut picture = edges();
            Focus { sigma_px: 1.5, detail }.apply(&mut picture);
            picture
        };
        assert_eq!(focused(1.0), edges());
        let largest = |picture: &RgbImage| *picture.iter().max().unwrap();
        assert!(contrast(&edges()) == 50 && contrast(&focused(0.0)) < 25 && contrast(&focused(3.0)) > 75);
        assert!(largest(&focused(0.0)) <= 150 && largest(&focused(3.0)) > 160);
        let mut flat = RgbImage::from_pixel(20, 10, Rgb([7, 130, 255]));
        Focus { sigma_px: 2.0, detail: 3.0 }.apply(&mut flat);
        assert!(flat.pixels().all(|pixel| pixel.0 == [7, 130, 255]));
    }

    #[test]
    fn pictures_are_blurred_and_sharpened_as_often_as_asked_for() {
        let jitter = FocusJitter { blur: 0.3, sharpen: 0.2, sigma_px: (0.5, 2.0) };
        let (mut blurred, mut sharpened) = (0, 0);
        for position in 0..2000 {
            let Some(Focus { sigma_px, detail }) = jitter.draw(&mut generator(4, 0, position)) else { continue };
            assert!((0.5..=2.0).contains(&sigma_px) && (0.0..=MOST_DETAIL).contains(&detail));
            *(if detail == 0.0 { &mut blurred } else { &mut sharpened }) += 1;
        }
        assert!((540..660).contains(&blurred) && (340..460).contains(&sharpened), "{blurred} {sharpened}");
        assert_eq!(FocusJitter::NONE.draw(&mut generator(4, 0, 0)), None);
    }
}
