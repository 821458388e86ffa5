//! Random crops, without tensors: everything here is a function of a seed, an epoch and a position.

use clothseg::preprocess::{Region, resize_region};
use image::{Rgb, RgbImage, imageops};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{IGNORE, LabelImage, Sample};
use crate::error::Result;

/// The picture that the network gets, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Width of the input.
    pub width: u32,
    /// Height of the input.
    pub height: u32,
    /// Pixels of the input to a cell of the output, in each direction.
    pub output_stride: u32,
    /// Colour outside the photo.
    pub pad: [u8; 3],
}

impl Frame {
    /// Width and height of the output grid.
    pub fn grid(&self) -> (u32, u32) {
        (self.width / self.output_stride, self.height / self.output_stride)
    }
}

/// How crops vary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augmentation {
    /// The longest side that a whole photo has at scale 1, in pixels: what inference uses.
    pub longest_side: u32,
    /// Smallest and largest factor on that scale, drawn evenly in the logarithm.
    pub scale: (f64, f64),
    /// Largest factor between horizontal and vertical scale, minus 1.
    pub aspect_jitter: f64,
    /// Probability of a mirrored crop.
    pub flip: f64,
}

/// Where a crop lies: the frame's window in the photo, which may reach beyond it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// Left edge in photo pixels; negative where the window starts outside.
    pub left: f64,
    /// Top edge in photo pixels.
    pub top: f64,
    /// Frame pixels to a photo pixel, horizontally.
    pub scale_x: f64,
    /// Frame pixels to a photo pixel, vertically.
    pub scale_y: f64,
    /// Whether the crop is mirrored left to right.
    pub flip: bool,
}

/// A picture and its label on the network's output grid.
#[derive(Clone, Debug)]
pub struct Example {
    /// [`Frame::width`] x [`Frame::height`].
    pub picture: RgbImage,
    /// [`Frame::grid`]; [`IGNORE`] outside the photo.
    pub labels: LabelImage,
}

/// The random numbers of one example of one epoch: the same on every machine and after every resume.
pub fn generator(seed: u64, epoch: usize, position: usize) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(((epoch as u64) << 32) | position as u64);
    generator
}

impl Augmentation {
    /// Draws a crop of a photo of `width` x `height` that was `aspect` times as wide as high before it was squashed.
    pub fn draw(&self, size: (u32, u32), aspect: Option<f64>, frame: &Frame, random: &mut ChaCha8Rng) -> Crop {
        let (width, height) = (f64::from(size.0), f64::from(size.1));
        let true_width = aspect.map_or(width, |aspect| height * aspect);
        let base = f64::from(self.longest_side) / true_width.max(height);
        let (low, high) = (self.scale.0.ln(), self.scale.1.ln());
        let scale = base * (low + (high - low) * random.random::<f64>()).exp();
        let jitter = ((random.random::<f64>() * 2.0 - 1.0) * (1.0 + self.aspect_jitter).ln() / 2.0).exp();
        let scale_x = scale * jitter * true_width / width;
        let scale_y = scale / jitter;
        let place = |size: f64, window: f64, random: &mut ChaCha8Rng| (size - window) * random.random::<f64>();
        let left = place(width, f64::from(frame.width) / scale_x, random);
        let top = place(height, f64::from(frame.height) / scale_y, random);
        Crop { left, top, scale_x, scale_y, flip: random.random::<f64>() < self.flip }
    }
}

impl Crop {
    /// Cuts the crop out of a sample.
    pub fn cut(&self, sample: &Sample, frame: &Frame) -> Result<Example> {
        let mut picture = self.picture(&sample.photo, frame)?;
        let mut labels = self.labels(&sample.labels, frame);
        if self.flip {
            imageops::flip_horizontal_in_place(&mut picture);
            labels.data.chunks_exact_mut(labels.width as usize).for_each(<[u8]>::reverse);
        }
        Ok(Example { picture, labels })
    }

    fn picture(&self, photo: &RgbImage, frame: &Frame) -> Result<RgbImage> {
        let mut picture = RgbImage::from_pixel(frame.width, frame.height, Rgb(frame.pad));
        let across = covered(self.left, self.scale_x, photo.width(), frame.width);
        let down = covered(self.top, self.scale_y, photo.height(), frame.height);
        if let (Some(across), Some(down)) = (across, down) {
            let region = Region { left: across.start, top: down.start, width: across.length, height: down.length };
            let part = resize_region(photo, Some(region), across.pixels, down.pixels)?;
            imageops::replace(&mut picture, &part, i64::from(across.first), i64::from(down.first));
        }
        Ok(picture)
    }

    /// The label of the photo pixel under each cell's centre.
    fn labels(&self, labels: &LabelImage, frame: &Frame) -> LabelImage {
        let (width, height) = frame.grid();
        let stride = f64::from(frame.output_stride);
        let position = |cell: u32, start: f64, scale: f64, size: u32| {
            let at = (start + (f64::from(cell) + 0.5) * stride / scale).floor();
            (at >= 0.0 && at < f64::from(size)).then_some(at as usize)
        };
        let columns: Vec<Option<usize>> =
            (0..width).map(|cell| position(cell, self.left, self.scale_x, labels.width)).collect();
        let mut data = Vec::with_capacity(width as usize * height as usize);
        for cell in 0..height {
            let row = position(cell, self.top, self.scale_y, labels.height);
            data.extend(columns.iter().map(|column| match (row, column) {
                (Some(row), Some(column)) => labels.data[row * labels.width as usize + column],
                _ => IGNORE,
            }));
        }
        LabelImage { width, height, data }
    }
}

/// The part of the frame, along one axis, that the photo covers.
struct Covered {
    /// First frame pixel, and how many.
    first: u32,
    pixels: u32,
    /// The same in photo pixels.
    start: f64,
    length: f64,
}

fn covered(start: f64, scale: f64, photo: u32, frame: u32) -> Option<Covered> {
    let first = (-start * scale).round().clamp(0.0, f64::from(frame)) as u32;
    let last = ((f64::from(photo) - start) * scale).round().clamp(0.0, f64::from(frame)) as u32;
    let pixels = last.checked_sub(first).filter(|pixels| *pixels > 0)?;
    let from = (start + f64::from(first) / scale).clamp(0.0, f64::from(photo));
    let to = (start + f64::from(last) / scale).clamp(0.0, f64::from(photo));
    (to > from).then_some(Covered { first, pixels, start: from, length: to - from })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame { width: 32, height: 48, output_stride: 2, pad: [9, 9, 9] };
    const STILL: Augmentation = Augmentation { longest_side: 48, scale: (1.0, 1.0), aspect_jitter: 0.0, flip: 0.0 };

    /// Left half red with class 1, right half blue with class 2.
    fn halves(width: u32, height: u32) -> Sample {
        let photo = RgbImage::from_fn(width, height, |x, _| Rgb(if x < width / 2 { [255, 0, 0] } else { [0, 0, 255] }));
        let data = (0..width * height).map(|index| if index % width < width / 2 { 1 } else { 2 }).collect();
        Sample { photo, labels: LabelImage { width, height, data } }
    }

    /// Each cell's class must be that of the colour under it, wherever the colour is pure.
    fn assert_label_follows_picture(example: &Example) -> usize {
        let stride = FRAME.output_stride;
        let mut pure = 0;
        for (index, class) in example.labels.data.iter().enumerate() {
            let (x, y) = (index as u32 % example.labels.width * stride, index as u32 / example.labels.width * stride);
            let pixels =
                [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)].map(|(x, y)| example.picture.get_pixel(x, y).0);
            let expected = match pixels[0] {
                [255, 0, 0] => 1,
                [0, 0, 255] => 2,
                [9, 9, 9] => IGNORE,
                _ => continue,
            };
            if pixels.iter().all(|pixel| *pixel == pixels[0]) {
                pure += 1;
                assert_eq!(*class, expected, "cell {index}");
            }
        }
        pure
    }

    #[test]
    fn picture_and_label_agree_under_every_crop() {
        let sample = halves(90, 120);
        let augmentation = Augmentation { scale: (0.5, 2.0), aspect_jitter: 0.3, flip: 0.5, ..STILL };
        for position in 0..50 {
            let mut random = generator(7, 0, position);
            let crop = augmentation.draw((90, 120), None, &FRAME, &mut random);
            let example = crop.cut(&sample, &FRAME).unwrap();
            assert_eq!(example.picture.dimensions(), (32, 48));
            assert_eq!((example.labels.width, example.labels.height), (16, 24));
            assert!(assert_label_follows_picture(&example) > 100, "{crop:?}");
        }
    }

    #[test]
    fn flipping_mirrors_both() {
        let crop = Crop { left: 0.0, top: 0.0, scale_x: 1.0, scale_y: 1.0, flip: true };
        let example = crop.cut(&halves(32, 48), &FRAME).unwrap();
        assert_eq!(example.picture.get_pixel(0, 0).0, [0, 0, 255]);
        assert_eq!(example.labels.data[0], 2);
        assert_eq!(assert_label_follows_picture(&example), 16 * 24);
    }

    #[test]
    fn outside_the_photo_is_pad_and_ignored() {
        let crop = Crop { left: -16.0, top: 0.0, scale_x: 1.0, scale_y: 1.0, flip: false };
        let example = crop.cut(&halves(32, 48), &FRAME).unwrap();
        assert_eq!(example.picture.get_pixel(15, 0).0, [9, 9, 9]);
        assert_eq!(example.picture.get_pixel(16, 0).0, [255, 0, 0]);
        assert_eq!(example.labels.data[..9], [255, 255, 255, 255, 255, 255, 255, 255, 1]);
    }

    #[test]
    fn a_squashed_photo_is_stretched_back() {
        let crop = STILL.draw((100, 100), Some(0.5), &FRAME, &mut generator(0, 0, 0));
        assert!((crop.scale_y - 0.48).abs() < 1e-9 && (crop.scale_x - 0.24).abs() < 1e-9, "{crop:?}");
    }

    #[test]
    fn the_same_position_draws_the_same_crop() {
        let draw = |epoch, position| STILL.draw((500, 700), None, &FRAME, &mut generator(3, epoch, position));
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }
}
