//! Polygons to pixels, to the bit as pycocotools does it (`rleFrPoly` in maskApi.c), so that a label here is the label
//! there.
//!
//! Coordinates are in pixels, (0, 0) the top left corner of the top left pixel, so that a pixel's centre lies at halves.
//! Corners are rounded to fifths of a pixel. A column is crossed at its centre, and a crossing is rounded to the next
//! row whose centre lies below; in each column every other stretch between crossings is inside (even-odd).

use std::ops::Range;

use super::runs::{Runs, Size};
use crate::counted::counted;

/// Steps to a pixel that corners are rounded to.
const STEPS: i64 = 5;

/// Fewest and most of what [`most_steps`] gives: 4096 cost nothing, and 4 million 16 MB.
const MOST_STEPS: [u64; 2] = [1 << 12, 1 << 22];

/// The pixels inside one or more polygons (their union), each a closed ring of `[x, y]`.
///
/// Coordinates are finite and not far outside the picture; see [`check`].
pub fn fill(polygons: &[Vec<[f64; 2]>], size: Size) -> Runs {
    Runs::union(polygons.iter().flat_map(|polygon| inside(polygon, size)).collect())
}

/// What is wrong with the polygons of a region: fewer than 3 corners, a corner further outside than the picture is wide
/// or high, or outlines so long that filling them would cost more than any picture of a garment needs.
pub fn check(polygons: &[Vec<[f64; 2]>], size: Size) -> Result<(), String> {
    polygons.iter().try_for_each(|polygon| check_corners(polygon, size))?;
    // An edge crosses at most |dx| + 1 columns.
    let steps: f64 =
        polygons.iter().flat_map(|polygon| edges(polygon)).map(|[from, to]| (to[0] - from[0]).abs() + 1.0).sum();
    let most = most_steps(size);
    if steps > most as f64 {
        return Err(format!(
            "has polygons that go {steps:.0} pixels to and fro, corners counted as one; at most {most} are possible in a \
             picture of {size}"
        ));
    }
    Ok(())
}

/// Why polygons that [`check`] has passed hold nothing; [`None`] where they hold pixels.
pub fn emptiness(polygons: &[Vec<[f64; 2]>], size: Size) -> Option<&'static str> {
    let numbers = || polygons.iter().flatten().flatten();
    // Of whole numbers it is the first pixel.
    let are_shares = numbers().all(|at| (0.0..=1.0).contains(at)) && numbers().any(|at| at.fract() != 0.0);
    if size.pixels() > 1 && are_shares {
        return Some("has corners of 0 to 1 only, as shares of width and height are; pixels were expected");
    }
    let has_room = |polygon: &Vec<[f64; 2]>| has_room(polygon, size);
    let has_pixels = polygons.iter().any(has_room) || fill(polygons, size).area_px() > 0;
    (!has_pixels).then_some("has no pixel")
}

/// Whether a polygon lies in the picture and has room for a circle of one pixel's radius, so that filling it need not be tried: the
/// radius of the largest circle in a simple polygon is at least its area over its length.
fn has_room(polygon: &[[f64; 2]], size: Size) -> bool {
    let (width, height) = (f64::from(size.width()), f64::from(size.height()));
    let doubled: f64 = edges(polygon).map(|[[x, y], [next_x, next_y]]| x * next_y - next_x * y).sum();
    let length: f64 = edges(polygon).map(|[from, to]| (to[0] - from[0]).hypot(to[1] - from[1])).sum();
    polygon.iter().all(|[x, y]| (0.0..=width).contains(x) && (0.0..=height).contains(y)) && doubled.abs() / 2.0 > length
}

/// The longest outlines of a region, in columns crossed: 16 times the pixels, within bounds. A line that fills a picture
/// and comes no nearer than a pixel to itself is about as long as there are pixels.
fn most_steps(size: Size) -> u64 {
    let [fewest, most] = MOST_STEPS;
    (16 * u64::from(size.pixels())).clamp(fewest, most)
}

fn check_corners(polygon: &[[f64; 2]], size: Size) -> Result<(), String> {
    if polygon.len() < 3 {
        return Err(format!("has a polygon of {}", counted(polygon.len(), "corner", "corners")));
    }
    let near = |at: f64, side: u32| (-f64::from(side)..=2.0 * f64::from(side)).contains(&at);
    match polygon.iter().find(|[x, y]| !near(*x, size.width()) || !near(*y, size.height())) {
        Some([x, y]) => {
            Err(format!("has the corner ({x}, {y}), far outside the picture of {} x {}", size.width(), size.height()))
        }
        None => Ok(()),
    }
}

/// From and to, the last one back to the first corner.
fn edges<T: Copy>(corners: &[T]) -> impl Iterator<Item = [T; 2]> {
    corners.iter().zip(corners.iter().cycle().skip(1)).map(|(from, to)| [*from, *to])
}

fn inside(polygon: &[[f64; 2]], size: Size) -> Vec<Range<u32>> {
    // Towards zero, as C casts.
    let step = |value: f64| (STEPS as f64 * value + 0.5) as i64;
    let corners: Vec<[i64; 2]> = polygon.iter().map(|[x, y]| [step(*x), step(*y)]).collect();
    let mut crossings = Vec::new();
    for [from, to] in edges(&corners) {
        cross(from, to, size, &mut crossings);
    }
    crossings.sort_unstable();
    // A ring crosses each column an even number of times.
    crossings.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect()
}

/// Adds the positions from which on an edge changes inside to outside, one for each column centre that it crosses.
///
/// A column's centre lies between the steps 5 x + 2 and 5 x + 3. The edge is walked in unit steps along its longer axis,
/// with the other coordinate rounded, and the crossing lies at the upper of the two steps beside the centre.
fn cross(from: [i64; 2], to: [i64; 2], size: Size, crossings: &mut Vec<u32>) {
    let (dx, dy) = ((to[0] - from[0]).abs(), (to[1] - from[1]).abs());
    let flat = dx >= dy;
    let backwards = if flat { from[0] > to[0] } else { from[1] > to[1] };
    let ([left, top], [right, bottom]) = if backwards { (to, from) } else { (from, to) };
    let slope = if flat { (bottom - top) as f64 / dx as f64 } else { (right - left) as f64 / dy as f64 };
    let rounded = |start: i64, walked: i64| (start as f64 + slope * walked as f64 + 0.5) as i64;
    let first = (left.min(right) + 2).div_euclid(STEPS).max(0);
    let last = (left.max(right) - 3).div_euclid(STEPS).min(i64::from(size.width()) - 1);
    for column in first..=last {
        let before = column * STEPS + 2;
        let y = if flat {
            rounded(top, before - left).min(rounded(top, before + 1 - left))
        } else {
            top + walk_until(dy, |walked| (rounded(left, walked) > before) == (slope > 0.0)) - 1
        };
        let row = ((y as f64 + 0.5) / STEPS as f64 - 0.5).clamp(0.0, f64::from(size.height())).ceil();
        crossings.push(column as u32 * size.height() + row as u32);
    }
}

/// The first step, of at most `most`, from which on `done` holds.
fn walk_until(most: i64, done: impl Fn(i64) -> bool) -> i64 {
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low) / 2;
        if done(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

#[cfg(test)]
mod tests;
