//! Cuts the network's input out of a photo and its label: any place, scale and turn, mirrored or not.

use clothseg::preprocess::{Region, resize_region};
use image::{Rgb, RgbImage, imageops};

use super::Example;
use super::color::Recoloring;
use crate::data::{IGNORE, LabelImage, Sample};
use crate::error::Result;

/// Binary places of the fixed-point positions in a canvas.
const PLACES: u32 = 24;

/// Share of a photo's area from which on a crop counts as all of it, and shows what the photo is tagged with.
const WHOLE_SHARE: f64 = 0.95;

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

/// Where a crop lies: the frame's window in the photo, which may reach beyond it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// Left edge in photo pixels, before the turn; negative where the window starts outside.
    pub left: f64,
    /// Top edge in photo pixels, before the turn.
    pub top: f64,
    /// Frame pixels to a photo pixel, horizontally.
    pub scale_x: f64,
    /// Frame pixels to a photo pixel, vertically.
    pub scale_y: f64,
    /// How far the photo is turned counter-clockwise about the window's centre, in degrees. The turn follows the scaling,
    /// so that nothing is sheared.
    pub rotation_degrees: f64,
    /// Whether the crop is mirrored left to right, last of all.
    pub flip: bool,
}

impl Crop {
    /// Cuts the crop out of a sample.
    pub fn cut(&self, sample: &Sample, frame: &Frame) -> Result<Example> {
        self.cut_in_colors(sample, frame, &Recoloring::NONE)
    }

    /// As [`Crop::cut`], with the photo's colours changed; what lies outside the photo keeps the frame's colour, as at
    /// inference.
    pub(super) fn cut_in_colors(&self, sample: &Sample, frame: &Frame, recoloring: &Recoloring) -> Result<Example> {
        let (mut picture, mut labels) = if self.rotation_degrees == 0.0 {
            (self.upright_picture(&sample.photo, frame, recoloring)?, self.upright_labels(&sample.labels, frame))
        } else {
            let turn = Turn::new(self.rotation_degrees);
            // Resized upright first, where the filter can leave out nothing when it shrinks.
            let canvas = turn.canvas(frame);
            let beyond = |canvas: u32, frame: u32| (f64::from(canvas) - f64::from(frame)) / 2.0;
            let upright = Crop {
                left: self.left - beyond(canvas.width, frame.width) / self.scale_x,
                top: self.top - beyond(canvas.height, frame.height) / self.scale_y,
                ..*self
            };
            let canvas = upright.upright_picture(&sample.photo, &canvas, recoloring)?;
            (turn.picture(&canvas, frame), self.turned_labels(&sample.labels, frame, &turn))
        };
        if self.flip {
            imageops::flip_horizontal_in_place(&mut picture);
            labels.data.chunks_exact_mut(labels.width.max(1) as usize).for_each(<[u8]>::reverse);
        }
        let is_whole = || self.shown_share(sample.photo.dimensions(), frame) >= WHOLE_SHARE;
        let shown = sample.tags.as_ref().map(|tags| tags.shown(is_whole())).unwrap_or_default();
        Ok(Example { picture, labels, shown })
    }

    /// Share of a photo of `width` x `height` that the crop shows, before any turn.
    fn shown_share(&self, (width, height): (u32, u32), frame: &Frame) -> f64 {
        let share = |start, scale, photo, frame| {
            covered(start, scale, photo, frame).map_or(0.0, |covered| covered.length / f64::from(photo))
        };
        share(self.left, self.scale_x, width, frame.width) * share(self.top, self.scale_y, height, frame.height)
    }

    fn upright_picture(&self, photo: &RgbImage, frame: &Frame, recoloring: &Recoloring) -> Result<RgbImage> {
        let mut picture = RgbImage::from_pixel(frame.width, frame.height, Rgb(frame.pad));
        let across = covered(self.left, self.scale_x, photo.width(), frame.width);
        let down = covered(self.top, self.scale_y, photo.height(), frame.height);
        if let (Some(across), Some(down)) = (across, down) {
            let region = Region { left: across.start, top: down.start, width: across.length, height: down.length };
            let mut part = resize_region(photo, Some(region), across.pixels, down.pixels)?;
            recoloring.apply(&mut part);
            imageops::replace(&mut picture, &part, i64::from(across.first), i64::from(down.first));
        }
        Ok(picture)
    }

    /// The label of the photo pixel under each cell's centre.
    fn upright_labels(&self, labels: &LabelImage, frame: &Frame) -> LabelImage {
        let (width, height) = frame.grid();
        let stride = f64::from(frame.output_stride);
        let position = |cell: u32, start: f64, scale: f64, size: u32| {
            pixel(start + (f64::from(cell) + 0.5) * stride / scale, size)
        };
        let columns: Vec<Option<usize>> =
            (0..width).map(|cell| position(cell, self.left, self.scale_x, labels.width)).collect();
        let mut data = Vec::with_capacity(width as usize * height as usize);
        for cell in 0..height {
            let row = position(cell, self.top, self.scale_y, labels.height);
            data.extend(columns.iter().map(|column| label_at(labels, row, *column)));
        }
        LabelImage { width, height, data }
    }

    /// The same for a turned photo.
    fn turned_labels(&self, labels: &LabelImage, frame: &Frame, turn: &Turn) -> LabelImage {
        let (width, height) = frame.grid();
        let stride = f64::from(frame.output_stride);
        let (middle_x, middle_y) = (f64::from(frame.width) / 2.0, f64::from(frame.height) / 2.0);
        let centers = |cells: u32| (0..cells).map(move |cell| (f64::from(cell) + 0.5) * stride);
        let mut data = Vec::with_capacity(width as usize * height as usize);
        for y in centers(height) {
            data.extend(centers(width).map(|x| {
                let [x, y] = turn.source([x - middle_x, y - middle_y]);
                let column = pixel(self.left + (x + middle_x) / self.scale_x, labels.width);
                let row = pixel(self.top + (y + middle_y) / self.scale_y, labels.height);
                label_at(labels, row, column)
            }));
        }
        LabelImage { width, height, data }
    }
}

/// The pixel that a position lies in, where that is inside.
fn pixel(position: f64, size: u32) -> Option<usize> {
    let position = position.floor();
    (position >= 0.0 && position < f64::from(size)).then_some(position as usize)
}

fn label_at(labels: &LabelImage, row: Option<usize>, column: Option<usize>) -> u8 {
    match (row, column) {
        (Some(row), Some(column)) => labels.data[row * labels.width as usize + column],
        _ => IGNORE,
    }
}

/// A turn about the frame's centre.
struct Turn {
    sine: f64,
    cosine: f64,
}

impl Turn {
    fn new(degrees: f64) -> Self {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        Self { sine, cosine }
    }

    /// What is seen at `[x, y]` from the centre, y downwards, before the turn lies here.
    fn source(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.cosine * x - self.sine * y, self.sine * x + self.cosine * y]
    }

    /// The smallest upright frame of the same centre that holds the turned one, with a rim to interpolate in.
    fn canvas(&self, frame: &Frame) -> Frame {
        let (width, height) = (f64::from(frame.width), f64::from(frame.height));
        let (sine, cosine) = (self.sine.abs(), self.cosine.abs());
        // By whole pixels to each side, so that what need not be interpolated is not; rounding errors are no pixels.
        let side = |length: f64, frame: f64| (frame + 2.0 * (((length - frame) / 2.0 - 1e-6).ceil() + 1.0)) as u32;
        Frame {
            width: side(width * cosine + height * sine, width),
            height: side(width * sine + height * cosine, height),
            ..*frame
        }
    }

    /// The frame out of its canvas: bilinear between pixel centres, in 256ths of a pixel. The canvas' rim holds the
    /// neighbours of every pixel.
    fn picture(&self, canvas: &RgbImage, frame: &Frame) -> RgbImage {
        let (pixels, _) = canvas.as_chunks::<3>();
        let columns = canvas.width() as usize;
        let middle = |pixels: u32| (f64::from(pixels) - 1.0) / 2.0;
        let fixed = |position: f64| (position * f64::from(1 << PLACES)).round() as i64;
        let step = [fixed(self.cosine), fixed(self.sine)];
        let mut picture = RgbImage::new(frame.width, frame.height);
        for (y, row) in (0..).zip(picture.chunks_exact_mut(3 * frame.width.max(1) as usize)) {
            let [x, y] = self.source([-middle(frame.width), f64::from(y) - middle(frame.height)]);
            let half = 1 << (PLACES - 9);
            let mut at = [fixed(x + middle(canvas.width())) + half, fixed(y + middle(canvas.height())) + half];
            for to in row.as_chunks_mut::<3>().0 {
                let [column, row] = at.map(|position| (position >> PLACES) as usize);
                let [right, down] = at.map(|position| (position >> (PLACES - 8)) as u32 & 255);
                at = [at[0] + step[0], at[1] + step[1]];
                let [above, below] = [row, row + 1].map(|row| &pixels[row * columns + column..][..2]);
                *to = std::array::from_fn(|channel| {
                    let mix = |row: &[[u8; 3]]| {
                        u32::from(row[0][channel]) * (256 - right) + u32::from(row[1][channel]) * right
                    };
                    ((mix(above) * (256 - down) + mix(below) * down + (1 << 15)) >> 16) as u8
                });
            }
        }
        picture
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
    use crate::data::Augmentation;
    use crate::data::augment::{ColorJitter, Erasing, FocusJitter, generator};
    use clothseg::spec::Fit;

    const FRAME: Frame = Frame { width: 32, height: 48, output_stride: 2, pad: [9, 9, 9] };
    const STILL: Crop = Crop { left: 0.0, top: 0.0, scale_x: 1.0, scale_y: 1.0, rotation_degrees: 0.0, flip: false };

    /// Left half red with class 1, right half blue with class 2.
    fn halves(width: u32, height: u32) -> Sample {
        let photo = RgbImage::from_fn(width, height, |x, _| Rgb(if x < width / 2 { [255, 0, 0] } else { [0, 0, 255] }));
        let data = (0..width * height).map(|index| if index % width < width / 2 { 1 } else { 2 }).collect();
        Sample { photo, labels: LabelImage { width, height, data }, tags: None }
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
        for (rotation_degrees, least_pure) in [(0.0, 100), (15.0, 100), (180.0, 100)] {
            let augmentation = Augmentation {
                fit: Fit::LongestSide { size: 48, multiple: 16 },
                scale: (0.5, 2.0),
                aspect_jitter: 0.3,
                flip: 0.5,
                rotation_degrees,
                color: ColorJitter::NONE,
                erasing: Erasing::NONE,
                mosaic: 0.0,
                close_ups: Vec::new(),
                focus: FocusJitter::NONE,
            };
            for position in 0..100 {
                let mut random = generator(7, 0, position);
                let crop = augmentation.draw((90, 120), None, &FRAME, &mut random).crop;
                let example = crop.cut(&sample, &FRAME).unwrap();
                assert_eq!(example.picture.dimensions(), (32, 48));
                assert_eq!((example.labels.width, example.labels.height), (16, 24));
                let pure = assert_label_follows_picture(&example);
                assert!(pure > least_pure, "{crop:?}: {pure}");
            }
        }
    }

    #[test]
    fn flipping_mirrors_both() {
        let crop = Crop { flip: true, ..STILL };
        let example = crop.cut(&halves(32, 48), &FRAME).unwrap();
        assert_eq!(example.picture.get_pixel(0, 0).0, [0, 0, 255]);
        assert_eq!(example.labels.data[0], 2);
        assert_eq!(assert_label_follows_picture(&example), 16 * 24);
    }

    #[test]
    fn outside_the_photo_is_pad_and_ignored() {
        let crop = Crop { left: -16.0, ..STILL };
        let example = crop.cut(&halves(32, 48), &FRAME).unwrap();
        assert_eq!(example.picture.get_pixel(15, 0).0, [9, 9, 9]);
        assert_eq!(example.picture.get_pixel(16, 0).0, [255, 0, 0]);
        assert_eq!(example.labels.data[..9], [255, 255, 255, 255, 255, 255, 255, 255, 1]);
    }

    #[test]
    fn a_quarter_turn_moves_every_pixel_and_a_half_turn_is_two_mirrors() {
        let frame = Frame { width: 32, height: 32, output_stride: 1, ..FRAME };
        let photo = RgbImage::from_fn(32, 32, |x, y| Rgb([(x * 8) as u8, (y * 8) as u8, 50]));
        let labels =
            LabelImage { width: 32, height: 32, data: (0..32 * 32).map(|index| (index % 251) as u8).collect() };
        let sample = Sample { photo: photo.clone(), labels: labels.clone(), tags: None };
        let class = |x: u32, y: u32| labels.data[(y * 32 + x) as usize];
        let turned = |rotation_degrees| Crop { rotation_degrees, ..STILL }.cut(&sample, &frame).unwrap();
        let (quarter, half) = (turned(90.0), turned(180.0));
        for (index, (x, y)) in (0..32).flat_map(|y| (0..32).map(move |x| (x, y))).enumerate() {
            // Counter-clockwise: the top right corner comes to the top left.
            assert_eq!(quarter.picture.get_pixel(x, y), photo.get_pixel(31 - y, x));
            assert_eq!(quarter.labels.data[index], class(31 - y, x));
            assert_eq!(half.picture.get_pixel(x, y), photo.get_pixel(31 - x, 31 - y));
            assert_eq!(half.labels.data[index], class(31 - x, 31 - y));
        }
    }

    #[test]
    fn a_turn_keeps_a_straight_ramp_straight() {
        // Levels that rise by 2 a pixel to the right, turned by 30 degrees: they rise by 2 cos 30 and 2 sin 30, because
        // bilinear interpolation is exact on a plane.
        let frame = Frame { width: 32, height: 32, ..FRAME };
        let photo = RgbImage::from_fn(96, 96, |x, _| Rgb([(2 * x) as u8; 3]));
        let labels = LabelImage { width: 96, height: 96, data: vec![0; 96 * 96] };
        let crop = Crop { left: 32.0, top: 32.0, rotation_degrees: 30.0, ..STILL };
        let picture = crop.cut(&Sample { photo, labels, tags: None }, &frame).unwrap().picture;
        for (x, y, level) in picture.enumerate_pixels() {
            let (dx, dy) = (f64::from(x) - 15.5, f64::from(y) - 15.5);
            let expected = 2.0 * (47.5 + 0.75_f64.sqrt() * dx - 0.5 * dy);
            assert!((f64::from(level.0[0]) - expected).abs() <= 1.0, "{x} {y}: {level:?}, expected {expected}");
        }
    }
}
