//! Random variations of examples, without tensors: everything here is a function of a seed, an epoch and a position.
//!
//! [`Augmentation::draw`] draws a [`Variation`]: where the crop lies ([`crop`]), how its colours change ([`color`]) and
//! what is hidden ([`erase`]). The numbers of all three are always drawn, in this order, so that one that is switched on
//! leaves the others as they were. Whether four photos share an example ([`mosaic`]), whether one looks closely at some
//! classes ([`close_up`]), and whether it is blurred or sharpened ([`focus`]), is drawn apart from that.

pub mod close_up;
pub mod color;
pub mod crop;
pub mod erase;
pub mod focus;
pub mod mosaic;

use clothseg::spec::Fit;
use image::RgbImage;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{LabelImage, Sample, Shown};
use crate::error::Result;

pub use close_up::CloseUp;
pub use color::{ColorJitter, Recoloring};
pub use crop::{Crop, Frame};
pub use erase::{Erasing, Patch};
pub use focus::{Focus, FocusJitter};
pub use mosaic::Mosaic;

/// How examples vary.
#[derive(Clone, Debug, PartialEq)]
pub struct Augmentation {
    /// The size that a whole photo has at scale 1: what inference uses.
    pub fit: Fit,
    /// Smallest and largest factor on that scale, drawn evenly in the logarithm.
    pub scale: (f64, f64),
    /// Largest factor between horizontal and vertical scale, minus 1.
    pub aspect_jitter: f64,
    /// Probability of a mirrored crop.
    pub flip: f64,
    /// Largest turn either way, in degrees.
    pub rotation_degrees: f64,
    /// How far colours vary.
    pub color: ColorJitter,
    /// What is hidden.
    pub erasing: Erasing,
    /// Probability that an example shows four photos.
    pub mosaic: f64,
    /// Which examples look closely at some classes; no tile of a mosaic does.
    pub close_ups: Vec<CloseUp>,
    /// How sharpness varies; in mosaics it does not.
    pub focus: FocusJitter,
}

/// One way to make an example of a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Variation {
    /// Where the crop lies.
    pub crop: Crop,
    /// How its colours change.
    pub recoloring: Recoloring,
    /// How its sharpness changes.
    pub focus: Option<Focus>,
    /// What is hidden.
    pub patch: Option<Patch>,
}

/// A picture and its label on the network's output grid.
#[derive(Clone, Debug)]
pub struct Example {
    /// [`Frame::width`] x [`Frame::height`].
    pub picture: RgbImage,
    /// [`Frame::grid`]; [`IGNORE`](super::IGNORE) outside the photo and where the picture is hidden.
    pub labels: LabelImage,
    /// What is known of which classes it shows, class by class; nothing where only the label tells.
    pub shown: Vec<Shown>,
}

/// The random numbers of one example of one epoch: the same on every machine and after every resume.
pub fn generator(seed: u64, epoch: usize, position: usize) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(((epoch as u64) << 32) | position as u64);
    generator
}

/// Tells the random numbers of mosaics from those of the example that it takes the place of.
const MOSAIC_SEED: u64 = 0x006d_6f73_6169_6300;

/// The same of close-ups.
const CLOSE_UP_SEED: u64 = 0x636c_6f73_652d_7570;

/// The same of sharpness.
const FOCUS_SEED: u64 = 0x666f_6375_7300_0000;

impl Augmentation {
    /// Whether the example at a position of an epoch is a mosaic, and the random numbers for all of its tiles.
    pub fn draw_mosaic(&self, seed: u64, epoch: usize, position: usize, frame: &Frame) -> Option<(Mosaic, ChaCha8Rng)> {
        let mut random = generator(seed ^ MOSAIC_SEED, epoch, position);
        let mosaic = Mosaic::draw(self.mosaic, frame, &mut random)?;
        Some((mosaic, random))
    }

    /// How photos vary in the tiles of a mosaic.
    pub fn in_tiles(&self) -> Self {
        Self {
            scale: (self.scale.0 * mosaic::SCALE, self.scale.1 * mosaic::SCALE),
            mosaic: 0.0,
            close_ups: Vec::new(),
            ..self.clone()
        }
    }

    /// Draws a variation of a photo of `width` x `height` that was `aspect` times as wide as high before it was squashed.
    pub fn draw(&self, size: (u32, u32), aspect: Option<f64>, frame: &Frame, random: &mut ChaCha8Rng) -> Variation {
        let crop = self.draw_crop(size, aspect, frame, random);
        let recoloring = self.color.draw(random);
        let patch = self.erasing.draw(frame, random);
        Variation { crop, recoloring, focus: None, patch }
    }

    /// The crop of the example at a position of an epoch, moved close to a class where that is drawn.
    pub fn close_up(
        &self,
        crop: Crop,
        of: &Sample,
        aspect: Option<f64>,
        frame: &Frame,
        at: [usize; 2],
        seed: u64,
    ) -> Crop {
        let mut random = generator(seed ^ CLOSE_UP_SEED, at[0], at[1]);
        let base = self.base_scale(of.photo.dimensions(), aspect);
        let close_up = CloseUp::choose(&self.close_ups, &mut random);
        close_up.and_then(|close_up| close_up.place(crop, of, base, frame, &mut random)).unwrap_or(crop)
    }

    /// How the sharpness of the example at a position of an epoch changes.
    pub fn focus(&self, at: [usize; 2], seed: u64) -> Option<Focus> {
        self.focus.draw(&mut generator(seed ^ FOCUS_SEED, at[0], at[1]))
    }

    /// Frame pixels to a photo pixel at scale 1, vertically, and how much more of them horizontally.
    fn base_scale(&self, size: (u32, u32), aspect: Option<f64>) -> (f64, f64) {
        let (width, height) = (f64::from(size.0), f64::from(size.1));
        let true_width = aspect.map_or(width, |aspect| height * aspect);
        match self.fit {
            Fit::LongestSide { size, .. } => (f64::from(size) / true_width.max(height), true_width / width),
            Fit::Stretch { width: to_width, height: to_height } => {
                let base = f64::from(to_height) / height;
                (base, f64::from(to_width) / width / base)
            }
        }
    }

    fn draw_crop(&self, size: (u32, u32), aspect: Option<f64>, frame: &Frame, random: &mut ChaCha8Rng) -> Crop {
        let (width, height) = (f64::from(size.0), f64::from(size.1));
        let (base, ratio) = self.base_scale(size, aspect);
        let (low, high) = (self.scale.0.ln(), self.scale.1.ln());
        let scale = base * (low + (high - low) * random.random::<f64>()).exp();
        let jitter = ((random.random::<f64>() * 2.0 - 1.0) * (1.0 + self.aspect_jitter).ln() / 2.0).exp();
        let scale_x = scale * jitter * ratio;
        let scale_y = scale / jitter;
        let place = |size: f64, window: f64, random: &mut ChaCha8Rng| (size - window) * random.random::<f64>();
        let left = place(width, f64::from(frame.width) / scale_x, random);
        let top = place(height, f64::from(frame.height) / scale_y, random);
        let flip = random.random::<f64>() < self.flip;
        let rotation_degrees = self.rotation_degrees * (random.random::<f64>() * 2.0 - 1.0);
        Crop { left, top, scale_x, scale_y, rotation_degrees, flip }
    }
}

impl Variation {
    /// Makes the example.
    pub fn apply(&self, sample: &Sample, frame: &Frame) -> Result<Example> {
        let mut example = self.crop.cut_in_colors(sample, frame, &self.recoloring)?;
        if let Some(focus) = &self.focus {
            focus.apply(&mut example.picture);
        }
        if let Some(patch) = &self.patch {
            patch.hide(&mut example, frame);
        }
        Ok(example)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::IGNORE;
    use image::Rgb;

    const FRAME: Frame = Frame { width: 32, height: 48, output_stride: 2, pad: [9, 9, 9] };
    const STILL: Augmentation = Augmentation {
        fit: Fit::LongestSide { size: 48, multiple: 16 },
        scale: (1.0, 1.0),
        aspect_jitter: 0.0,
        flip: 0.0,
        rotation_degrees: 0.0,
        color: ColorJitter::NONE,
        erasing: Erasing::NONE,
        mosaic: 0.0,
        close_ups: Vec::new(),
        focus: FocusJitter::NONE,
    };
    const ALL: Augmentation = Augmentation {
        scale: (0.5, 2.0),
        aspect_jitter: 0.3,
        flip: 0.5,
        rotation_degrees: 180.0,
        color: ColorJitter {
            brightness: 0.3,
            contrast: 0.3,
            saturation: 0.5,
            hue_degrees: 20.0,
            channel_gain: 0.1,
            greyscale: 0.2,
        },
        erasing: Erasing { probability: 0.5, largest_share: 0.3 },
        fit: Fit::LongestSide { size: 48, multiple: 16 },
        mosaic: 0.0,
        close_ups: Vec::new(),
        focus: FocusJitter::NONE,
    };

    fn sample(width: u32, height: u32) -> Sample {
        let photo = RgbImage::from_fn(width, height, |x, y| Rgb([(x * 2) as u8, (y * 2) as u8, 120]));
        let data = (0..width * height).map(|index| (index / 7 % 5) as u8).collect();
        Sample { photo, labels: LabelImage { width, height, data }, tags: None }
    }

    #[test]
    fn a_photo_is_stretched_to_what_inference_stretches_it_to() {
        let augmentation = Augmentation { fit: Fit::Stretch { width: 32, height: 48 }, ..STILL };
        let crop = augmentation.draw((64, 24), None, &FRAME, &mut generator(0, 0, 0)).crop;
        assert_eq!((crop.scale_x, crop.scale_y, crop.left, crop.top), (0.5, 2.0, 0.0, 0.0));
    }

    #[test]
    fn crops_from_before_there_was_more_than_crops_repeat() {
        // Drawn by the program of commit 2037bae.
        let augmentation = Augmentation { scale: (0.5, 2.0), aspect_jitter: 0.3, flip: 0.5, ..STILL };
        let variation = augmentation.draw((90, 120), Some(0.7), &FRAME, &mut generator(7, 3, 11));
        let Crop { left, top, scale_x, scale_y, rotation_degrees, flip } = variation.crop;
        assert_eq!([left, top], [13.695296510895728, 9.341550836820186]);
        assert_eq!([scale_x, scale_y], [0.5352738295167415, 0.5839337437138074]);
        assert!(rotation_degrees == 0.0 && !flip);
        assert_eq!((variation.recoloring, variation.patch), (Recoloring::NONE, None));
        // All of it together moves the crop no more than before.
        let all = ALL.draw((90, 120), Some(0.7), &FRAME, &mut generator(7, 3, 11));
        assert_eq!(Crop { rotation_degrees: 0.0, ..all.crop }, variation.crop);
    }

    #[test]
    fn a_squashed_photo_is_stretched_back() {
        let crop = STILL.draw((100, 100), Some(0.5), &FRAME, &mut generator(0, 0, 0)).crop;
        assert!((crop.scale_y - 0.48).abs() < 1e-9 && (crop.scale_x - 0.24).abs() < 1e-9, "{crop:?}");
    }

    #[test]
    fn the_same_position_draws_the_same_example() {
        let sample = sample(100, 120);
        let make = |epoch, position| {
            let variation = ALL.draw((100, 120), None, &FRAME, &mut generator(3, epoch, position));
            let example = variation.apply(&sample, &FRAME).unwrap();
            (variation, example.picture, example.labels)
        };
        assert_eq!(make(1, 2), make(1, 2));
        assert_ne!(make(1, 2).0, make(1, 3).0);
        assert_ne!(make(1, 2).0, make(2, 2).0);
    }

    #[test]
    fn colours_change_no_label_and_hiding_changes_only_what_it_hides() {
        let sample = sample(100, 120);
        let mut hidden = 0;
        for position in 0..40 {
            let variation = ALL.draw((100, 120), None, &FRAME, &mut generator(5, 0, position));
            let all = variation.apply(&sample, &FRAME).unwrap();
            let plain = variation.crop.cut(&sample, &FRAME).unwrap();
            assert_eq!(all.picture.dimensions(), (FRAME.width, FRAME.height));
            for (cell, (all, plain)) in all.labels.data.iter().zip(&plain.labels.data).enumerate() {
                hidden += usize::from(all != plain);
                assert!(all == plain || (*all == IGNORE && variation.patch.is_some()), "{position} {cell}");
            }
        }
        assert!(hidden > 500, "{hidden}");
    }
}
