//! Planes to a picture.

use std::borrow::Cow;

use image::RgbImage;

use super::frame::{Component, Frame, Kind};
use super::scan::mean_to_pixel;

/// Puts the planes together; nothing when a component never came.
pub(super) fn compose(mut frame: Frame, adobe_transform: Option<u8>) -> Option<RgbImage> {
    if frame.components.iter().any(|component| !component.seen) {
        return None;
    }
    if frame.kind == Kind::Progressive {
        for component in &mut frame.components {
            let step = component.quantization[0];
            for (pixel, mean) in component.plane.iter_mut().zip(&component.means) {
                *pixel = mean_to_pixel(*mean, step);
            }
        }
    }
    let [width, height] = frame.reduced;
    let planes: Vec<_> = frame.components.iter().map(|component| fitted(component, &frame)).collect();
    let mut pixels = vec![0; 3 * width as usize * height as usize];
    let to_rgb: fn([u8; 3]) -> [u8; 3] = if is_rgb(&frame, adobe_transform)? { |rgb| rgb } else { ycbcr_to_rgb };
    for (y, row) in pixels.chunks_exact_mut(3 * width as usize).enumerate() {
        let rows: Vec<&[u8]> = planes.iter().map(|(plane, stride)| &plane[y * stride..]).collect();
        match rows.as_slice() {
            [grey] => row.chunks_exact_mut(3).zip(*grey).for_each(|(pixel, value)| pixel.fill(*value)),
            [first, second, third] => {
                let values = first.iter().zip(*second).zip(*third);
                for (pixel, ((first, second), third)) in row.chunks_exact_mut(3).zip(values) {
                    pixel.copy_from_slice(&to_rgb([*first, *second, *third]));
                }
            }
            _ => return None,
        }
    }
    RgbImage::from_raw(width, height, pixels)
}

/// Bytes a column that [`fitted`] has at hand: where it lies between others, and a sum.
const BYTES_PER_COLUMN: u64 = (size_of::<(usize, usize, u32)>() + size_of::<u32>()) as u64;

/// Bytes that [`compose`] holds at the most, the frame not counted.
pub(super) fn held_bytes(frame: &Frame) -> u64 {
    let [width, height] = frame.reduced.map(u64::from);
    let enlarged = frame.components.iter().filter(|component| frame.factor(component) != [1, 1]).count() as u64;
    (3 + enlarged) * width * height + BYTES_PER_COLUMN * (width + 1)
}

/// Whether three components are red, green and blue: as the full decoder tells it.
fn is_rgb(frame: &Frame, adobe_transform: Option<u8>) -> Option<bool> {
    let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
    match adobe_transform {
        _ if ids == *b"RGB" => Some(true),
        None | Some(1) => Some(false),
        Some(0) => Some(true),
        Some(_) => None,
    }
}

/// ITU-T T.871: full-range BT.601, in 16 bits of fraction.
#[inline(always)]
fn ycbcr_to_rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let y = (i32::from(y) << 16) + (1 << 15);
    let (cb, cr) = (i32::from(cb) - 128, i32::from(cr) - 128);
    let to_u8 = |value: i32| (value >> 16).clamp(0, 255) as u8;
    [to_u8(y + 91_881 * cr), to_u8(y - 22_554 * cb - 46_802 * cr), to_u8(y + 116_130 * cb)]
}

/// The plane of a component at the size of the finest one, and its width.
fn fitted<'a>(component: &'a Component, frame: &Frame) -> (Cow<'a, [u8]>, usize) {
    let factor = frame.factor(component);
    if factor == [1, 1] {
        return (Cow::Borrowed(&component.plane), component.stride());
    }
    let [width, height] = frame.reduced.map(|side| side as usize);
    let stride = component.stride();
    // Columns and rows that belong to the photo; beyond them an encoder may have put anything.
    let last = [width.div_ceil(factor[0]), height.div_ceil(factor[1])].map(|count| count.saturating_sub(1));
    let columns: Vec<_> = (0..width).map(|x| neighbours(x, factor[0], last[0])).collect();
    let mut fitted = Vec::with_capacity(width * height);
    let mut row = vec![0_u32; last[0] + 1];
    for y in 0..height {
        let (above, below, share) = neighbours(y, factor[1], last[1]);
        let rows = component.plane[above * stride..].iter().zip(&component.plane[below * stride..]);
        for (value, (above, below)) in row.iter_mut().zip(rows) {
            *value = u32::from(*above) * (WHOLE - share) + u32::from(*below) * share;
        }
        fitted.extend(columns.iter().map(|&(left, right, share)| {
            ((row[left] * (WHOLE - share) + row[right] * share + WHOLE * WHOLE / 2) / (WHOLE * WHOLE)) as u8
        }));
    }
    (Cow::Owned(fitted), width)
}

/// Shares are so many parts of a whole: exact for factors up to 8.
const WHOLE: u32 = 16;

/// The two pixels of a plane between whose centres pixel `at` of one `factor` times as large lies, and the share of the
/// second in parts of [`WHOLE`].
fn neighbours(at: usize, factor: usize, last: usize) -> (usize, usize, u32) {
    // In half pixels of the large plane: centres are at odd numbers.
    let center = (2 * at + 1).saturating_sub(factor);
    let first = (center / (2 * factor)).min(last);
    let share = (center % (2 * factor)) as u32 * WHOLE / (2 * factor as u32);
    (first, (first + 1).min(last), share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_formula() {
        assert_eq!(ycbcr_to_rgb([128, 128, 128]), [128; 3]);
        assert_eq!(ycbcr_to_rgb([76, 85, 255]), [254, 0, 0]);
        assert_eq!(ycbcr_to_rgb([255, 0, 0]), [76, 255, 28]);
    }

    #[test]
    fn pixels_between_centres_are_mixed() {
        assert_eq!(neighbours(0, 2, 9), (0, 1, 0));
        assert_eq!(neighbours(1, 2, 9), (0, 1, 4));
        assert_eq!(neighbours(2, 2, 9), (0, 1, 12));
        assert_eq!(neighbours(19, 2, 9), (9, 9, 4));
    }
}
