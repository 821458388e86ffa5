//! Changes of colour, put together to one affine map of RGB: a picture is gone through once, whatever changes.

use image::RgbImage;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Rows by columns.
type Matrix = [[f64; 3]; 3];

/// Share of red, green and blue in what is seen as brightness: W3C, "Filter Effects Module Level 1", `feColorMatrix`.
const LUMA: [f64; 3] = [0.213, 0.715, 0.072];
/// What turns hues by a right angle where the brightness stays: the factors of sin in `hueRotate` there.
const HUE: Matrix = [[-0.213, -0.715, 0.928], [0.143, 0.140, -0.283], [-0.787, 0.715, 0.072]];
/// Binary places of the fixed-point numbers that pixels are computed with.
const PLACES: u32 = 12;

/// How far colours vary. A factor with spread `s` is drawn evenly from `1 - s` to `1 + s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColorJitter {
    /// Spread of the factor on all levels.
    pub brightness: f64,
    /// Spread of the factor on the distance from the picture's mean brightness.
    pub contrast: f64,
    /// Spread of the factor on the distance from grey.
    pub saturation: f64,
    /// Largest turn of the hues either way, in degrees.
    pub hue_degrees: f64,
    /// Spread of a factor on each of red, green and blue: the light's colour.
    pub channel_gain: f64,
    /// Probability of a picture in greys.
    pub greyscale: f64,
}

/// One change of colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recoloring {
    /// Factor on each of red, green and blue, the brightness in it.
    gain: [f64; 3],
    /// Factor on the distance from the mean brightness.
    contrast: f64,
    /// Factor on the distance from grey.
    saturation: f64,
    hue_degrees: f64,
}

impl ColorJitter {
    /// No variation.
    pub const NONE: Self =
        Self { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue_degrees: 0.0, channel_gain: 0.0, greyscale: 0.0 };

    /// Draws a change, with eight random numbers.
    pub(super) fn draw(&self, random: &mut ChaCha8Rng) -> Recoloring {
        let mut either_way = |spread: f64| spread * (random.random::<f64>() * 2.0 - 1.0);
        let brightness = 1.0 + either_way(self.brightness);
        let contrast = 1.0 + either_way(self.contrast);
        let saturation = 1.0 + either_way(self.saturation);
        let hue_degrees = either_way(self.hue_degrees);
        let gain = [(); 3].map(|()| brightness * (1.0 + either_way(self.channel_gain)));
        let is_grey = random.random::<f64>() < self.greyscale;
        Recoloring { gain, contrast, saturation: if is_grey { 0.0 } else { saturation }, hue_degrees }
    }
}

impl Recoloring {
    /// No change.
    pub const NONE: Self = Self { gain: [1.0; 3], contrast: 1.0, saturation: 1.0, hue_degrees: 0.0 };

    /// Changes a picture: gains, then saturation and hue, then contrast, and only then to 0..=255.
    pub(super) fn apply(&self, picture: &mut RgbImage) {
        if *self == Self::NONE {
            return;
        }
        let (matrix, offset) = self.affine(mean(picture));
        let one = f64::from(1 << PLACES);
        let fixed = |value: f64| (value * one).round() as i32;
        let matrix = matrix.map(|row| row.map(fixed));
        let half = 1 << (PLACES - 1);
        let offset = fixed(offset) + half;
        for pixel in picture.as_chunks_mut::<3>().0 {
            let [red, green, blue] = pixel.map(i32::from);
            *pixel = matrix.map(|row| {
                let level = (row[0] * red + row[1] * green + row[2] * blue + offset) >> PLACES;
                level.clamp(0, 255) as u8
            });
        }
    }

    /// The matrix, and what is added to each channel, for a picture of a mean colour.
    fn affine(&self, mean: [f64; 3]) -> (Matrix, f64) {
        let (sine, cosine) = self.hue_degrees.to_radians().sin_cos();
        let matrix: Matrix = std::array::from_fn(|to| {
            std::array::from_fn(|from| {
                let identity = if to == from { 1.0 } else { 0.0 };
                let from_grey = cosine * (identity - LUMA[from]) + sine * HUE[to][from];
                (LUMA[from] + self.saturation * from_grey) * self.gain[from]
            })
        });
        let product = |one: &[f64; 3], other: &[f64; 3]| -> f64 { one.iter().zip(other).map(|(a, b)| a * b).sum() };
        let mean_brightness = product(&LUMA, &matrix.map(|row| product(&row, &mean)));
        (matrix.map(|row| row.map(|factor| self.contrast * factor)), (1.0 - self.contrast) * mean_brightness)
    }
}

/// Mean red, green and blue.
fn mean(picture: &RgbImage) -> [f64; 3] {
    let (pixels, _) = picture.as_chunks::<3>();
    let mut sums = [0_u64; 3];
    for pixel in pixels {
        sums.iter_mut().zip(pixel).for_each(|(sum, level)| *sum += u64::from(*level));
    }
    sums.map(|sum| sum as f64 / pixels.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::augment::generator;
    use image::Rgb;
    use proptest::prelude::*;

    fn after(recoloring: Recoloring, pixels: &[[u8; 3]]) -> Vec<[u8; 3]> {
        let mut picture = RgbImage::from_fn(pixels.len() as u32, 1, |x, _| Rgb(pixels[x as usize]));
        recoloring.apply(&mut picture);
        picture.pixels().map(|pixel| pixel.0).collect()
    }

    #[test]
    fn each_change_does_what_its_formula_says() {
        let none = Recoloring::NONE;
        let pixels = [[200, 100, 0], [0, 100, 200]];
        assert_eq!(after(Recoloring { gain: [1.5, 0.5, 2.0], ..none }, &pixels), [[255, 50, 0], [0, 50, 255]]);
        // 0.213 * 200 + 0.715 * 100 = 114.1; 0.715 * 100 + 0.072 * 200 = 85.9.
        assert_eq!(after(Recoloring { saturation: 0.0, ..none }, &pixels), [[114; 3], [86; 3]]);
        assert_eq!(after(Recoloring { saturation: 0.5, ..none }, &pixels), [[157, 107, 57], [43, 93, 143]]);
        // The mean brightness is 100.
        assert_eq!(after(Recoloring { contrast: 0.5, ..none }, &pixels), [[150, 100, 50], [50, 100, 150]]);
        assert_eq!(after(Recoloring { contrast: 2.0, ..none }, &pixels), [[255, 100, 0], [0, 100, 255]]);
        // A half turn: twice the brightness (42.6 and 21.45 here), less the pixel.
        let half_turn = Recoloring { hue_degrees: 180.0, ..none };
        assert_eq!(after(half_turn, &[[200, 0, 0], [0, 30, 0]]), [[0, 85, 85], [43, 13, 43]]);
        // A quarter turn: 0.143 * 100 = 14.3 in green, the brightness 21.3 in each.
        assert_eq!(after(Recoloring { hue_degrees: 90.0, ..none }, &[[100, 0, 0]]), [[0, 36, 0]]);
    }

    #[test]
    fn greyscale_comes_as_often_as_it_should() {
        let jitter = ColorJitter { greyscale: 0.25, ..ColorJitter::NONE };
        let grey = |position| jitter.draw(&mut generator(1, 0, position)) != Recoloring::NONE;
        let count = (0..1000).filter(|position| grey(*position)).count();
        assert!((200..300).contains(&count), "{count}");
    }

    proptest! {
        #[test]
        fn spreads_are_kept_and_greys_stay_grey(seed: u64, level: u8) {
            let jitter = ColorJitter {
                brightness: 0.25,
                contrast: 0.5,
                saturation: 1.0,
                hue_degrees: 30.0,
                channel_gain: 0.0,
                greyscale: 0.5,
            };
            let recoloring = jitter.draw(&mut generator(seed, 0, 0));
            // One colour has no contrast, and grey neither hue nor saturation: only the brightness is left.
            let [pixel, _] = after(recoloring, &[[level; 3]; 2])[..] else { unreachable!() };
            let gain = recoloring.gain[0];
            prop_assert!((0.75..=1.25).contains(&gain));
            prop_assert!((0.5..=1.5).contains(&recoloring.contrast));
            prop_assert!((0.0..=2.0).contains(&recoloring.saturation));
            prop_assert!(recoloring.hue_degrees.abs() <= 30.0);
            let expected = (f64::from(level) * gain).min(255.0);
            for channel in pixel {
                prop_assert!((f64::from(channel) - expected).abs() < 1.0, "{pixel:?}, expected {expected}");
            }
        }

        #[test]
        fn hue_and_saturation_keep_the_brightness(hue_degrees in -180.0..180.0, saturation in 0.0..2.0) {
            let recoloring = Recoloring { hue_degrees, saturation, ..Recoloring::NONE };
            let (matrix, offset) = recoloring.affine([0.0; 3]);
            for from in 0..3 {
                let brightness: f64 = (0..3).map(|to| LUMA[to] * matrix[to][from]).sum();
                prop_assert!((brightness - LUMA[from]).abs() < 2e-3, "{brightness}");
            }
            prop_assert_eq!(offset, 0.0);
        }
    }
}
