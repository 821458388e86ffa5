//! Four photos in one example: Bochkovskiy, Wang and Liao, "YOLOv4: Optimal Speed and Accuracy of Object Detection", 2020,
//! section 3.3.
//!
//! Each is a crop at half the scale, so that a tile shows about as much of a person as an example without tiles: more
//! garments to a step, smaller, and beside other people and backgrounds than their own.

use image::{RgbImage, imageops};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::Example;
use super::crop::Frame;
use crate::data::LabelImage;
use crate::data::tags::{Shown, joined};

/// Scale of the photos in tiles, on that of a photo in an example of its own.
pub const SCALE: f64 = 0.5;

/// Where the four meet lies between these shares of the frame's width and height.
const MEETING: (f64, f64) = (0.35, 0.65);

/// Where four tiles meet, in cells of the output grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mosaic {
    column: u32,
    row: u32,
}

impl Mosaic {
    /// Draws with the probability `probability` where tiles meet, with three random numbers.
    pub fn draw(probability: f64, frame: &Frame, random: &mut ChaCha8Rng) -> Option<Self> {
        let is_tiled = random.random::<f64>() < probability;
        let (columns, rows) = frame.grid();
        let mut meeting = |cells: u32| {
            let share = MEETING.0 + (MEETING.1 - MEETING.0) * random.random::<f64>();
            (f64::from(cells) * share).round() as u32
        };
        let mosaic = Self { column: meeting(columns), row: meeting(rows) };
        let is_whole = (1..columns).contains(&mosaic.column) && (1..rows).contains(&mosaic.row);
        (is_tiled && is_whole).then_some(mosaic)
    }

    /// The tiles' frames: top left, top right, bottom left, bottom right.
    pub fn frames(&self, frame: &Frame) -> [Frame; 4] {
        let (left, top) = (self.column * frame.output_stride, self.row * frame.output_stride);
        let tile = |width, height| Frame { width, height, ..*frame };
        let (right, bottom) = (frame.width - left, frame.height - top);
        [tile(left, top), tile(right, top), tile(left, bottom), tile(right, bottom)]
    }

    /// Lays examples of [`Mosaic::frames`] into one of `frame`.
    pub fn join(&self, tiles: &[Example], frame: &Frame) -> Example {
        let (columns, rows) = frame.grid();
        let mut picture = RgbImage::new(frame.width, frame.height);
        let mut labels = LabelImage { width: columns, height: rows, data: vec![0; columns as usize * rows as usize] };
        let corners = [(0, 0), (self.column, 0), (0, self.row), (self.column, self.row)];
        for (tile, (column, row)) in tiles.iter().zip(corners) {
            let [x, y] = [column, row].map(|cell| i64::from(cell * frame.output_stride));
            imageops::replace(&mut picture, &tile.picture, x, y);
            let (width, column) = (tile.labels.width as usize, column as usize);
            let rows = labels.data.chunks_exact_mut(columns as usize).skip(row as usize);
            for (to, from) in rows.zip(tile.labels.data.chunks_exact(width.max(1))) {
                to[column..column + width].copy_from_slice(from);
            }
        }
        let shown: Vec<&[Shown]> = tiles.iter().map(|tile| &tile.shown[..]).collect();
        Example { picture, labels, shown: joined(&shown) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::augment::generator;
    use image::Rgb;

    const FRAME: Frame = Frame { width: 32, height: 48, output_stride: 4, pad: [9; 3] };

    #[test]
    fn tiles_cover_the_frame_and_keep_their_labels() {
        for position in 0..50 {
            let mosaic = Mosaic::draw(1.0, &FRAME, &mut generator(1, 0, position)).unwrap();
            let tiles: Vec<Example> = (1_u8..)
                .zip(mosaic.frames(&FRAME))
                .map(|(class, frame)| {
                    let (width, height) = frame.grid();
                    let picture = RgbImage::from_pixel(frame.width, frame.height, Rgb([class; 3]));
                    let data = vec![class; width as usize * height as usize];
                    Example { picture, labels: LabelImage { width, height, data }, shown: Vec::new() }
                })
                .collect();
            let joined = mosaic.join(&tiles, &FRAME);
            assert_eq!((joined.labels.width, joined.labels.height), (8, 12));
            for (index, class) in (0..).zip(&joined.labels.data) {
                let (column, row) = (index % 8, index / 8);
                let expected = 1 + u8::from(column >= mosaic.column) + 2 * u8::from(row >= mosaic.row);
                assert_eq!(*class, expected, "{mosaic:?} {index}");
                for (x, y) in [(0, 0), (3, 3)] {
                    assert_eq!(joined.picture.get_pixel(4 * column + x, 4 * row + y).0, [expected; 3]);
                }
            }
        }
    }

    #[test]
    fn there_are_as_many_as_asked_for_and_none_where_the_grid_is_one_cell() {
        let drawn = |probability, frame: &Frame| {
            (0..1000)
                .filter(|position| Mosaic::draw(probability, frame, &mut generator(1, 0, *position)).is_some())
                .count()
        };
        assert_eq!((drawn(0.0, &FRAME), drawn(1.0, &FRAME)), (0, 1000));
        assert!(drawn(0.25, &FRAME).abs_diff(250) < 50);
        assert_eq!(drawn(1.0, &Frame { width: 4, ..FRAME }), 0);
    }
}
