//! A label map cut into polygons that share their borders.

use rayon::prelude::*;

use super::check::Point;
use super::graph::{Graph, HalfEdge, Piece};
use super::path::Limits;
use super::scan::{Borders, MAX_SIDE};
use super::simplify::simplify;
use super::smooth::{self, Field};
use super::{Polygon, PolygonOptions};

/// Points are whole multiples of 1 / UNIT px, so that the checks are exact; of less in photos of more than 2^20 px a
/// side, where `f32` holds no such fractions.
const UNIT: u32 = 16;

/// Between pixels there has to be room for points.
const LEAST_UNIT_OF_SMOOTH: i64 = 4;

/// A photo cut into polygons without gaps or overlaps: the border between two pieces is one line, and the polygons on
/// both sides have the same points on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Partition {
    /// Per arc its points from end to end; a closed one has the first point again at the end.
    arcs: Vec<Vec<[f32; 2]>>,
    pieces: Vec<Piece>,
}

/// Where the pixels that were scanned lie in the photo.
pub(super) struct Window {
    /// Their top left corner.
    pub origin: [u32; 2],
    /// The photo's.
    pub largest_side: u32,
}

impl Partition {
    /// `field`: what smooth outlines are made from.
    pub(super) fn new(mut borders: Borders, window: &Window, field: Option<&Field>, options: &PolygonOptions) -> Self {
        borders.absorb(options.min_area_px);
        let frame = [borders.width, borders.height];
        let graph = Graph::new(borders);
        // A power of two, at least 1: sides are at most 2^24.
        let unit = (MAX_SIDE / window.largest_side.max(1).next_power_of_two()).clamp(1, UNIT);
        let unit = i64::from(unit);
        let mut lines = match field.filter(|_| unit >= LEAST_UNIT_OF_SMOOTH) {
            Some(field) => smooth::outlines(&graph, field, unit, frame),
            None => graph.arcs.iter().map(|arc| arc.corners.iter().map(|&at| units(at, unit)).collect()).collect(),
        };
        if options.tolerance_px > 0.0 {
            let tolerance = options.tolerance_px * unit as f64;
            let limits = Limits { tolerance, step: tolerance.min(unit as f64) };
            lines = simplify(&graph, lines, units(frame, unit), limits);
        }
        let origin = units(window.origin, unit);
        #[allow(clippy::cast_precision_loss)] // whole numbers of at most 24 bits
        let to_f32 = |point: Point| [0, 1].map(|i| (point[i] + origin[i]) as f32 / unit as f32);
        let arcs = lines.into_par_iter().map(|line| line.into_iter().map(to_f32).collect()).collect();
        Self { arcs, pieces: graph.pieces }
    }

    /// The pieces of one class, largest first (pieces of one size in the order of their first pixel).
    pub fn polygons(&self, class: usize) -> Vec<Polygon> {
        let polygon = |piece: &Piece| {
            let mut rings = piece.rings.iter().map(|ring| self.ring(ring));
            #[expect(clippy::expect_used, reason = "a piece is made from the ring around it")]
            let exterior = rings.next().expect("a piece has an outer ring");
            Polygon { exterior, holes: rings.collect() }
        };
        self.pieces.iter().filter(|piece| usize::from(piece.class) == class).map(polygon).collect()
    }

    /// Starts at the leftmost of the topmost points.
    fn ring(&self, edges: &[HalfEdge]) -> Vec<[f32; 2]> {
        let mut points = Vec::new();
        for edge in edges {
            // The last point is the first one of the next arc.
            match &self.arcs[edge / 2][..] {
                [line @ .., _] if edge.is_multiple_of(2) => points.extend_from_slice(line),
                [_, line @ ..] => points.extend(line.iter().rev()),
                [] => (),
            }
        }
        let above = |a: &[f32; 2], b: &[f32; 2]| a[1].total_cmp(&b[1]).then(a[0].total_cmp(&b[0]));
        let first = (0..points.len()).min_by(|&a, &b| above(&points[a], &points[b]));
        points.rotate_left(first.unwrap_or(0));
        points
    }
}

fn units(at: [u32; 2], unit: i64) -> Point {
    at.map(|value| i64::from(value) * unit)
}
