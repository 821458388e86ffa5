//! Label map -> polygons with holes, in photo pixels.
//!
//! Outlines run along pixel edges, so that an unsimplified polygon covers exactly the pixels of its mask. Pixels that
//! share an edge are one piece; pixels that only share a corner are two pieces that touch there. Where a piece touches
//! itself at a corner its outline is cut into an exterior and a hole (or two holes) that meet in that point, which is
//! what the OGC simple-features rules ask for: no ring ever visits a point twice.

use crate::postprocess::PixelBox;

mod check;
mod line;
mod simplify;
mod trace;

#[cfg(test)]
mod tests;

/// One connected piece of a mask, in photo pixels: x to the right, y down, (0, 0) the top left corner of the photo.
///
/// Coordinates are pixel corners, not centres: the top left pixel is the square (0, 0), (1, 0), (1, 1), (0, 1). No ring
/// repeats its first point at the end. Seen on screen the exterior runs clockwise and holes run counter-clockwise (the
/// mask is always on the right hand), so that the shoelace sum of x0 * y1 - x1 * y0 is positive for the exterior.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Polygon {
    /// Outer ring, points `[x, y]`, at least three.
    pub exterior: Vec<[f32; 2]>,
    /// Holes, largest first: rings of at least three points `[x, y]`, inside the exterior.
    pub holes: Vec<Vec<[f32; 2]>>,
}

/// How closely polygons follow the mask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PolygonOptions {
    /// How far, in photo pixels, a corner of the pixel outline may lie from the straight line that replaces it; 0 gives
    /// the exact pixel outline. Below 0.71 staircases stay.
    pub tolerance_px: f64,
    /// Pieces of fewer pixels are dropped, and holes that enclose a smaller area are filled. 0 keeps all.
    pub min_area_px: f64,
}

impl Default for PolygonOptions {
    fn default() -> Self {
        // The pixels of a straight edge lie within 0.71 px of it whatever its slope: the least tolerance that tells a
        // staircase from a shape, and the most exact outline that is not one.
        Self { tolerance_px: 0.75, min_area_px: 16.0 }
    }
}

/// The pieces of one class of a label map, largest first (pieces of one size in the order of their first pixel).
///
/// `labels` holds the class index of each pixel, row by row, `width * height` of them. Only pixels within `bounds` are
/// looked at, in time proportional to its area; what lies outside it, or outside `labels`, counts as another class.
///
/// With a tolerance of 0 the polygons cover exactly the pixels of the class. Otherwise each outline is simplified
/// (Douglas-Peucker) and its points are then moved, by at most the tolerance and at most 1 px, to where straight
/// lines fitted to the pixel edges meet: a staircase becomes the edge that it stands for, without the outward bias
/// of a line through pixel corners. Where the mask is cut off by the frame of the photo the points stay on the frame.
/// All polygons of the answer together are valid in the OGC sense: no ring crosses itself or another, holes lie in
/// their exterior, no ring is flat. Where simplification would break that, more of the pixel outline is kept.
///
/// Photos of up to 2^24 pixels a side are covered; more is beyond the whole numbers that `f32` can hold.
#[must_use]
pub fn polygons(
    labels: &[u8],
    width: u32,
    height: u32,
    class: u8,
    bounds: PixelBox,
    options: &PolygonOptions,
) -> Vec<Polygon> {
    let bits = trace::Bits::of_class(labels, width, height, class, bounds);
    let pieces = trace::pieces(&bits, options.min_area_px);
    if options.tolerance_px > 0.0 {
        return simplify::simplify(&pieces, [width, height], options.tolerance_px);
    }
    pieces
        .iter()
        .map(|piece| polygon(piece.rings.iter().map(|ring| ring.corners.iter().map(|corner| corner.to_f32()))))
        .collect()
}

/// The first ring is the exterior.
fn polygon<R: Iterator<Item = [f32; 2]>>(rings: impl Iterator<Item = R>) -> Polygon {
    let mut rings = rings.map(Iterator::collect::<Vec<_>>);
    Polygon { exterior: rings.next().unwrap_or_default(), holes: rings.collect() }
}
