//! Whether a set of simplified arcs still bounds what it did, and where it does not. All tests are exact (whole numbers).

use std::cmp::Ordering;

use super::graph::{Graph, HalfEdge, Island};
use crate::regions::forest::OUTSIDE;

/// Outlines are checked row by row of this height (in the unit of the points): only what shares a row is compared.
const ROW: i64 = 256;

/// x and y in fractions of a pixel, neither more than 2^24: products fit in 64 bits.
pub(super) type Point = [i64; 2];

/// An arc and the index of one of its segments, or points.
pub(super) type Place = (usize, usize);

#[derive(Default)]
pub(super) struct Faults {
    /// Segments that cross, touch or overlap another, or belong to a ring turned inside out.
    pub segments: Vec<Place>,
    /// Islands that ended in another region, as a hole out of its exterior. Only looked for where there are no other
    /// faults.
    pub lost: Vec<usize>,
}

impl Faults {
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.lost.is_empty()
    }
}

/// `lines`: the points of each arc from end to end; closed ones have the first point again at the end.
///
/// Without faults the drawing has the faces of the pixel outlines: no two segments meet but in the point that they share,
/// the arms of each node go round it in their old order, each ring runs in its old sense, and each island lies in its
/// old region.
pub(super) fn faults(graph: &Graph, lines: &[&[Point]]) -> Faults {
    let mut faults = Faults::default();
    turned_rings(graph, lines, &mut faults.segments);
    twisted_nodes(graph, lines, &mut faults.segments);
    let rows = Rows::new(graph, lines);
    rows.clashes(&mut faults.segments);
    if faults.segments.is_empty() {
        let islands = graph.islands.iter().enumerate();
        faults.lost = islands.filter(|(_, island)| rows.is_lost(graph, island)).map(|(i, _)| i).collect();
    }
    faults
}

/// Finds the rings that are flat or run the other way round.
fn turned_rings(graph: &Graph, lines: &[&[Point]], found: &mut Vec<Place>) {
    let cross = |pair: &[Point]| i128::from(pair[0][0] * pair[1][1] - pair[1][0] * pair[0][1]);
    let areas: Vec<i128> = lines.iter().map(|line| line.windows(2).map(cross).sum()).collect();
    let area = |&edge: &HalfEdge| if edge.is_multiple_of(2) { areas[edge / 2] } else { -areas[edge / 2] };
    for piece in &graph.pieces {
        for (i, ring) in piece.rings.iter().enumerate() {
            let area: i128 = ring.iter().map(area).sum();
            if area == 0 || (i == 0) == (area < 0) {
                found.extend(ring.iter().flat_map(|edge| (1..lines[edge / 2].len()).map(move |k| (edge / 2, k - 1))));
            }
        }
    }
}

/// Finds the nodes whose arms no longer go clockwise round them.
fn twisted_nodes(graph: &Graph, lines: &[&[Point]], found: &mut Vec<Place>) {
    for node in &graph.nodes {
        // The node itself, the point next to it, and the segment between them.
        let arm = |edge: HalfEdge| {
            let (arc, end) = (edge / 2, lines[edge / 2].len() - 1);
            let [at, next, segment] = if edge.is_multiple_of(2) { [0, 1, 0] } else { [end, end - 1, end - 1] };
            (lines[arc][at], lines[arc][next], (arc, segment))
        };
        let arms: Vec<_> = node.arms.iter().flatten().map(|&edge| arm(edge)).collect();
        // From three ways to the next each, in clockwise order, two turns or all are to the right.
        let clockwise = |[a, b, c]: [usize; 3]| {
            let right = |a: usize, b: usize| turn(arms[a].1, arms[a].0, arms[b].1) < 0;
            [right(a, b), right(b, c), right(c, a)].into_iter().filter(|right| *right).count() > 1
        };
        if !(2..arms.len()).all(|i| clockwise([0, i - 1, i])) {
            found.extend(arms.iter().map(|arm| arm.2));
        }
    }
}

/// Positive where c lies to the right of the way from a to b (y points down).
fn turn(a: Point, b: Point, c: Point) -> i64 {
    (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])
}

#[derive(Clone, Copy)]
struct Segment {
    p: Point,
    q: Point,
    /// Names of the two points: segments that share a point name it alike.
    names: [usize; 2],
    place: Place,
}

impl Segment {
    /// Smallest and largest coordinate on one axis.
    fn span(&self, axis: usize) -> (i64, i64) {
        (self.p[axis].min(self.q[axis]), self.p[axis].max(self.q[axis]))
    }

    /// x (doubled) where it crosses the horizontal line at `y2` (doubled), as a fraction with a positive denominator.
    /// None where it does not; `y2` is odd, so that no end point lies on the line.
    fn crossing(&self, y2: i64) -> Option<(i64, i64)> {
        if (2 * self.p[1] < y2) == (2 * self.q[1] < y2) {
            return None;
        }
        let height = self.q[1] - self.p[1];
        let x = 2 * self.p[0] * height + (self.q[0] - self.p[0]) * (y2 - 2 * self.p[1]);
        Some((x * height.signum(), height.abs()))
    }
}

fn compare((a, b): (i64, i64), (c, d): (i64, i64)) -> Ordering {
    (i128::from(a) * i128::from(d)).cmp(&(i128::from(c) * i128::from(b)))
}

/// Segments sorted into rows, and in each row by their left end.
struct Rows {
    segments: Vec<Segment>,
    /// (row, left end, index of the segment), sorted.
    entries: Vec<(i64, i64, usize)>,
    /// Width of the widest segment of each row.
    widest: Vec<i64>,
    /// Index of the first segment of each arc, and their number at the end.
    of_arc: Vec<usize>,
}

impl Rows {
    fn new(graph: &Graph, lines: &[&[Point]]) -> Self {
        let mut rows = Self { segments: Vec::new(), entries: Vec::new(), widest: Vec::new(), of_arc: vec![0] };
        let mut name = graph.nodes.len();
        for ((arc, line), graph_arc) in lines.iter().enumerate().zip(&graph.arcs) {
            let first = name;
            let last = graph_arc.ends.map_or(first, |[_, (node, _)]| node);
            let mut before = graph_arc.ends.map_or(first, |[(node, _), _]| node);
            for (k, pair) in line.windows(2).enumerate() {
                name += 1;
                let names = [before, if k + 2 == line.len() { last } else { name }];
                before = name;
                rows.push(Segment { p: pair[0], q: pair[1], names, place: (arc, k) });
            }
            rows.of_arc.push(rows.segments.len());
            name += 1;
        }
        rows.entries.sort_unstable();
        rows
    }

    fn push(&mut self, segment: Segment) {
        let ((top, bottom), (left, right)) = (segment.span(1), segment.span(0));
        for row in top / ROW..=bottom / ROW {
            let index = usize::try_from(row).unwrap_or(0);
            if self.widest.len() <= index {
                self.widest.resize(index + 1, 0);
            }
            self.widest[index] = self.widest[index].max(right - left);
            self.entries.push((row, left, self.segments.len()));
        }
        self.segments.push(segment);
    }

    /// Finds the segments that have more in common with another one than the end point that they may share.
    fn clashes(&self, found: &mut Vec<Place>) {
        for (i, &(row, _, segment)) in self.entries.iter().enumerate() {
            let a = &self.segments[segment];
            let (right, (top, bottom)) = (a.span(0).1, a.span(1));
            for &(_, _, other) in self.entries[i + 1..].iter().take_while(|other| other.0 == row && other.1 <= right) {
                let b = &self.segments[other];
                let (b_top, b_bottom) = b.span(1);
                if b_top <= bottom && top <= b_bottom && clash(a, b) {
                    found.extend([a.place, b.place]);
                }
            }
        }
    }

    /// Looks at the border next to the left of an island: the region on this side of it must be the one that the island
    /// lies in.
    fn is_lost(&self, graph: &Graph, island: &Island) -> bool {
        let segments = || island.arcs.iter().flat_map(|&arc| &self.segments[self.of_arc[arc]..self.of_arc[arc + 1]]);
        let height = |s: &&Segment| s.span(1).1 - s.span(1).0;
        let Some(steepest) = segments().max_by_key(height) else { return false };
        // Half way down the steepest segment, between two lines of the grid of points, where the island is leftmost:
        // what lies further left is outside it.
        let y2 = (steepest.p[1] + steepest.q[1]) | 1;
        let Some(x) = segments().filter_map(|s| s.crossing(y2)).min_by(|a, b| compare(*a, *b)) else { return true };
        let row = y2 / 2 / ROW;
        let end = self.entries.partition_point(|&(r, left, _)| (r, 2 * left * x.1) < (row, x.0));
        let widest = usize::try_from(row).ok().and_then(|row| self.widest.get(row)).copied().unwrap_or(0);
        let mut nearest: Option<((i64, i64), &Segment)> = None;
        for &(_, left, other) in self.entries[..end].iter().rev().take_while(|entry| entry.0 == row) {
            if nearest.is_some_and(|(best, _)| compare((2 * (left + widest), 1), best).is_lt()) {
                break;
            }
            // None of the island's own crosses to the left of it.
            let segment = &self.segments[other];
            let Some(at) = segment.crossing(y2).filter(|&at| compare(at, x).is_lt()) else { continue };
            if nearest.is_none_or(|(best, _)| compare(at, best).is_gt()) {
                nearest = Some((at, segment));
            }
        }
        // The right hand of a segment that goes up is on the side of the island, the left hand of one that goes down.
        let seen = nearest.map_or(OUTSIDE, |(_, s)| graph.arcs[s.place.0].sides[usize::from(s.q[1] < s.p[1])]);
        seen != island.around
    }
}

fn clash(a: &Segment, b: &Segment) -> bool {
    let ends = |s: &Segment| [(s.names[0], s.p, s.q), (s.names[1], s.q, s.p)];
    let mut pairs = ends(a).into_iter().flat_map(|a| ends(b).map(|b| (a, b))).filter(|(a, b)| a.0 == b.0).peekable();
    if pairs.peek().is_none() {
        return meet(a, b);
    }
    // They meet in `at`: they may not run on along each other.
    pairs.any(|((_, at, from), (_, _, to))| {
        turn(from, at, to) == 0 && (from[0] - at[0]) * (to[0] - at[0]) + (from[1] - at[1]) * (to[1] - at[1]) > 0
    })
}

/// Whether two segments have any point in common; their bounding boxes are known to overlap in rows.
fn meet(a: &Segment, b: &Segment) -> bool {
    let ends_apart = |s: &Segment, t: &Segment| {
        let (first, second) = (turn(s.p, s.q, t.p).signum(), turn(s.p, s.q, t.q).signum());
        first * second > 0
    };
    let apart = (0..2).any(|axis| a.span(axis).1 < b.span(axis).0 || b.span(axis).1 < a.span(axis).0);
    !apart && !ends_apart(a, b) && !ends_apart(b, a)
}
