//! Label map -> polygons with holes, in photo pixels.
//!
//! All classes are outlined at once. Where two pieces are neighbours, the border between them is one line, simplified
//! once and used by both: there are no gaps and no overlaps, background included.
//!
//! Outlines run along pixel edges, so that an unsimplified polygon covers exactly the pixels of its mask; as an option
//! they run between the pixels, where the classes' interpolated outputs are equal ([`Outline::Smooth`]). Pixels that
//! share an edge are one piece; pixels that only share a corner are two pieces that touch there. Where a piece touches
//! itself at a corner its outline is cut into an exterior and a hole (or two holes) that meet in that point, which is
//! what the OGC simple-features rules ask for: no ring ever visits a point twice.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::postprocess::{LabelMap, NetworkOutput, PixelBox};

mod check;
mod graph;
mod line;
mod partition;
mod path;
mod scan;
mod simplify;
mod smooth;

#[cfg(test)]
mod tests;

pub use partition::Partition;

use partition::Window;
use scan::{MAX_SIDE, Scan};
use smooth::Field;

/// One connected piece of a mask, in photo pixels: x to the right, y down, (0, 0) the top left corner of the photo.
///
/// Coordinates are pixel corners, not centres: the top left pixel is the square (0, 0), (1, 0), (1, 1), (0, 1). No ring
/// repeats its first point at the end; it is the leftmost of the topmost ones. Seen on screen the exterior runs
/// clockwise and holes run counter-clockwise (the mask is always on the right hand), so that the shoelace sum of
/// x0 * y1 - x1 * y0 is positive for the exterior.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Polygon {
    /// Outer ring, points `[x, y]`, at least three.
    pub exterior: Vec<[f32; 2]>,
    /// Holes, largest first: rings of at least three points `[x, y]`, inside the exterior.
    pub holes: Vec<Vec<[f32; 2]>>,
}

/// What outlines follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outline {
    /// The edges of pixels: exactly the mask.
    #[default]
    Pixels,
    /// The lines on which the network's interpolated output is equal for the classes on both sides: smooth, and finer
    /// than a pixel. Before simplification the centres of the pixels of the mask are inside, all others outside.
    Smooth,
}

impl Outline {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::Pixels, Self::Smooth];

    /// The name that users type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pixels => "pixels",
            Self::Smooth => "smooth",
        }
    }

    /// The tolerance in pixels that suits it: see [`PolygonOptions::tolerance_px`].
    pub fn default_tolerance_px(self) -> f64 {
        match self {
            // The pixels of a straight edge lie within 0.71 px of it whatever its slope: the least tolerance that tells
            // a staircase from a shape, and the most exact outline that is not one.
            Self::Pixels => 0.75,
            // Without a staircase, what is finer than a pixel is a shape.
            Self::Smooth => 0.25,
        }
    }
}

impl fmt::Display for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Outline {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|outline| outline.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Invalid(format!("unknown outline '{text}'; there are: {names}"))
        })
    }
}

/// How closely polygons follow the mask.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct PolygonOptions {
    /// How far, in photo pixels, a point of the exact outline may lie from the straight line that replaces it; 0 gives
    /// the exact outline. Below 0.71 staircases stay where outlines follow pixels.
    pub tolerance_px: f64,
    /// Pieces of fewer pixels become a part of the neighbour that they share the longest border with, the smallest
    /// first; so small holes are filled. 0 keeps all.
    pub min_area_px: f64,
    /// What outlines follow.
    pub outline: Outline,
}

impl PolygonOptions {
    /// The usual options for a kind of outline.
    #[must_use]
    pub fn of(outline: Outline) -> Self {
        Self { tolerance_px: outline.default_tolerance_px(), min_area_px: 16.0, outline }
    }
}

impl PolygonOptions {
    /// The same with this tolerance, in pixels.
    #[must_use]
    pub fn with_tolerance_px(mut self, tolerance_px: f64) -> Self {
        self.tolerance_px = tolerance_px;
        self
    }

    /// The same with this smallest area, in pixels.
    #[must_use]
    pub fn with_min_area_px(mut self, min_area_px: f64) -> Self {
        self.min_area_px = min_area_px;
        self
    }
}

impl Default for PolygonOptions {
    fn default() -> Self {
        Self::of(Outline::default())
    }
}

/// Cuts a label map into polygons along pixel edges (whatever [`PolygonOptions::outline`] says: see [`partition_of`]).
///
/// `labels` holds the class index of each pixel, row by row, `width * height` of them; rows that are missing count as
/// outside. It takes one pass over the pixels, and memory in proportion to the length of the borders.
///
/// With a tolerance and a smallest area of 0 the polygons of a class cover exactly its pixels. Pieces that are too small
/// are given to neighbours first, so that the polygons always cover the photo. Then each border, from one point where
/// three or more pieces meet to the next, is simplified (Douglas-Peucker), and its points are moved, by at most the
/// tolerance and at most 1 px, to where straight lines fitted to the exact outline meet: a staircase becomes the edge
/// that it stands for, without the outward bias of a line through pixel corners. Points where pieces meet, and points on
/// the frame of the photo, stay. All polygons together are valid in the OGC sense: no ring crosses itself or another,
/// holes lie in their exterior, no ring is flat. Where simplification would break that, more of the exact outline is
/// kept.
///
/// Photos of up to 2^24 pixels a side are covered; more is beyond the whole numbers that `f32` can hold. Up to 2^20
/// points are multiples of 1/16 px, above of as much more as `f32` needs to hold them exactly.
#[must_use]
pub fn partition(labels: &[u8], width: u32, height: u32, options: &PolygonOptions) -> Partition {
    cut(labels, width, height, None, options)
}

/// Cuts a label map into polygons as `partition` does; with [`Outline::Smooth`] along the lines on which the output
/// that the map was made from is equal for the classes on both sides.
///
/// Smooth outlines lie within half a pixel of the pixel outlines and have their topology. Points where pieces meet go to
/// where their classes are equal, those on the frame slide along it, and small pieces, tolerance and validity are as in
/// `partition`. Photos of more than 2^22 pixels a side get pixel outlines: `f32` holds nothing in between.
#[must_use]
pub fn partition_of(map: &LabelMap, output: &NetworkOutput, options: &PolygonOptions) -> Partition {
    let field = match options.outline {
        Outline::Pixels => None,
        Outline::Smooth => Field::new(output, map.width(), map.height()),
    };
    cut(map.labels(), map.width(), map.height(), field.as_ref(), options)
}

fn cut(labels: &[u8], width: u32, height: u32, field: Option<&Field>, options: &PolygonOptions) -> Partition {
    let covered = [width, height].map(|side| side.min(MAX_SIDE));
    let mut scan = Scan::new(covered[0]);
    for row in labels.chunks_exact(width.max(1) as usize).take(if width > 0 { covered[1] as usize } else { 0 }) {
        scan.push(&row[..covered[0] as usize]);
    }
    let window = Window { origin: [0, 0], largest_side: covered[0].max(covered[1]) };
    Partition::new(scan.finish(), &window, field, options)
}

/// The pieces of one class of a label map, largest first, along pixel edges: as `partition`, with all other classes
/// taken as one. Neighbouring classes that are outlined one by one do not share the points of their borders.
///
/// Only pixels within `bounds` are looked at, in time proportional to its area; what lies outside it, or outside
/// `labels`, counts as another class.
#[must_use]
pub fn polygons(
    labels: &[u8],
    width: u32,
    height: u32,
    class: u8,
    bounds: PixelBox,
    options: &PolygonOptions,
) -> Vec<Polygon> {
    // From the first to one past the last pixel, and one more on each side: where the mask ends without being cut off by
    // the frame of the photo, its outline is as free as elsewhere.
    let clip = |start: u32, length: u32, side: u32| {
        let side = side.min(MAX_SIDE);
        let end = start.saturating_add(length).min(side);
        let start = start.min(end);
        ([start, end], [start.saturating_sub(1), (end + 1).min(side)])
    };
    let (columns, wide_columns) = clip(bounds.x, bounds.width, width);
    let (rows, wide_rows) = clip(bounds.y, bounds.height, height);
    if columns[0] == columns[1] || rows[0] == rows[1] {
        return Vec::new();
    }
    let mut scan = Scan::new(wide_columns[1] - wide_columns[0]);
    let mut mask = vec![0; (wide_columns[1] - wide_columns[0]) as usize];
    for y in wide_rows[0]..wide_rows[1] {
        mask.fill(0);
        if (rows[0]..rows[1]).contains(&y) {
            let start = y as usize * width as usize;
            // A label map that is too short ends in missing rows, not in a panic.
            let row = labels.get(start + columns[0] as usize..start + columns[1] as usize).unwrap_or_default();
            let inside = &mut mask[(columns[0] - wide_columns[0]) as usize..];
            inside.iter_mut().zip(row).for_each(|(value, label)| *value = u8::from(*label == class));
        }
        scan.push(&mask);
    }
    let largest_side = width.max(height).min(MAX_SIDE);
    let window = Window { origin: [wide_columns[0], wide_rows[0]], largest_side };
    Partition::new(scan.finish(), &window, None, options).polygons(1)
}
