//! AVIF: AV1 stills in ISO's boxes (ISO/IEC 23008-12 and AVIF 1.1), decoded by a Rust port of dav1d.

mod boxes;
mod picture;

use image::metadata::Orientation;
use image::{DynamicImage, GenericImage, RgbaImage, imageops};

use super::Limits;
use super::deadline::Deadline;
use super::full::Pixels;
use super::profile;
use crate::error::{Error, Result};
use boxes::{Container, Item, Transform};

/// Tiles that a picture may be put together from: more than any encoder makes of what is within the limits.
const MAX_TILES: usize = 1024;

/// Width and height as shown, from the boxes alone; nothing where they do not say it.
pub(super) fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let container = Container::read(bytes).ok()?;
    let item = container.item(container.primary)?;
    Some(item.transforms.iter().fold(item.size?, |(across, down), transform| match *transform {
        Transform::Crop { width, height, .. } => (width, height),
        Transform::Rotate(1 | 3) => (down, across),
        _ => (across, down),
    }))
}

/// Decodes the picture that a file is for.
pub(super) fn decode(bytes: &[u8], limits: &Limits, deadline: &Deadline) -> Result<Pixels> {
    let container = Container::read(bytes)?;
    let item = container.item(container.primary).ok_or_else(|| damaged("the picture that it is for is missing"))?;
    if let Some(size) = item.size {
        limits.check_pixels(size)?;
    }
    let job = Job { container: &container, limits, deadline };
    // A decoder that breaks down costs a photo, not the program.
    let decoded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job.upright(item)));
    let image = decoded.unwrap_or_else(|_| Err(damaged("the decoder broke down")))?;
    if deadline.has_passed() {
        return Err(limits.timed_out());
    }
    let mut rgb = super::full::flatten_on_white(image);
    let icc = item.icc.map(<[u8]>::to_vec).and_then(|icc| profile::adopt(icc, false, &mut rgb));
    Ok(Pixels { rgb, icc, is_cut_off: false })
}

fn damaged(reason: &str) -> Error {
    Error::Decode { reason: format!("damaged AVIF: {reason}"), source: None }
}

struct Job<'a> {
    container: &'a Container<'a>,
    limits: &'a Limits,
    deadline: &'a Deadline,
}

impl Job<'_> {
    fn upright(&self, item: &Item<'_>) -> Result<DynamicImage> {
        let mut rgba = self.pixels(item)?;
        if let Some(alpha) = self.container.alpha_of(item.id) {
            let alpha = self.pixels(alpha)?;
            if alpha.dimensions() != rgba.dimensions() {
                return Err(damaged("its transparency has another size"));
            }
            for (pixel, alpha) in rgba.pixels_mut().zip(alpha.pixels()) {
                pixel.0[3] = alpha.0[0];
            }
        }
        let mut image = DynamicImage::from(rgba);
        for transform in &item.transforms {
            if self.deadline.has_passed() {
                return Err(self.limits.timed_out());
            }
            match *transform {
                Transform::Crop { x, y, width, height } => image = image.crop_imm(x, y, width, height),
                Transform::Rotate(0) => {}
                Transform::Rotate(1) => image.apply_orientation(Orientation::Rotate270),
                Transform::Rotate(2) => image.apply_orientation(Orientation::Rotate180),
                Transform::Rotate(_) => image.apply_orientation(Orientation::Rotate90),
                Transform::MirrorTopBottom => imageops::flip_vertical_in_place(&mut image),
                Transform::MirrorLeftRight => imageops::flip_horizontal_in_place(&mut image),
            }
        }
        Ok(image)
    }

    /// The pixels as they are stored.
    fn pixels(&self, item: &Item<'_>) -> Result<RgbaImage> {
        if self.deadline.has_passed() {
            return Err(self.limits.timed_out());
        }
        let data = self.container.data(item)?;
        match &item.kind {
            b"av01" => picture::decode(&data, item.cicp, self.limits),
            b"grid" => self.grid(item, &data),
            kind => Err(damaged(&format!("it holds a picture of the kind {}", String::from_utf8_lossy(kind)))),
        }
    }

    /// A picture of tiles, row by row; those on the right and at the bottom may reach beyond it.
    fn grid(&self, item: &Item<'_>, data: &[u8]) -> Result<RgbaImage> {
        let bad = || damaged("its grid of tiles makes no sense");
        let (&[_, flags, rows, columns], rest) = data.split_first_chunk().ok_or_else(bad)?;
        let number = |at: usize| -> Option<u32> {
            if flags & 1 == 1 {
                return Some(u32::from_be_bytes(*rest.get(at * 4..)?.first_chunk()?));
            }
            Some(u32::from(u16::from_be_bytes(*rest.get(at * 2..)?.first_chunk()?)))
        };
        let (width, height) = number(0).zip(number(1)).ok_or_else(bad)?;
        self.limits.check_pixels((width, height))?;
        let (rows, columns) = (u32::from(rows) + 1, u32::from(columns) + 1);
        let tiles = &item.tiles;
        if tiles.len() != rows as usize * columns as usize || tiles.len() > MAX_TILES || width == 0 || height == 0 {
            return Err(bad());
        }
        let mut whole = RgbaImage::new(width, height);
        let mut tile_size = None;
        for (tile, number) in tiles.iter().zip(0..) {
            let tile = self.container.item(*tile).filter(|tile| tile.kind == *b"av01").ok_or_else(bad)?;
            let tile = self.pixels(tile)?;
            let (across, down) = *tile_size.get_or_insert(tile.dimensions());
            let (x, y) = (number % columns * across, number / columns * down);
            if tile.dimensions() != (across, down) || x >= width || y >= height {
                return Err(bad());
            }
            let part = imageops::crop_imm(&tile, 0, 0, across.min(width - x), down.min(height - y));
            whole.copy_from(&*part, x, y).map_err(|_| bad())?;
        }
        let covers = tile_size.is_some_and(|(across, down)| across * columns >= width && down * rows >= height);
        if covers { Ok(whole) } else { Err(bad()) }
    }
}

#[cfg(test)]
mod tests;
