//! Whether a set of simplified outlines is still valid, and where it is not. All tests are exact (whole numbers).

use std::cmp::Ordering;

/// Outlines are checked row by row of this height (in the unit of the points): only what shares a row is compared.
const ROW: i64 = 256;

pub(super) type Point = [i64; 2];

/// A simplified ring, the mask on the right hand.
pub(super) struct Outline {
    pub points: Vec<Point>,
    /// Per point: another ring has the same point, and the two may touch there.
    pub touch: Vec<bool>,
    /// Index of the piece that the ring belongs to.
    pub piece: usize,
    pub hole: bool,
}

impl Outline {
    pub fn previous(&self, k: usize) -> usize {
        k.checked_sub(1).unwrap_or(self.points.len() - 1)
    }

    pub fn next(&self, k: usize) -> usize {
        (k + 1) % self.points.len()
    }
}

/// A ring and the index of one of its points.
pub(super) type Place = (usize, usize);

#[derive(Default)]
pub(super) struct Faults {
    /// Segments (by their first point) that cross, touch or overlap another, or belong to a ring turned inside out.
    pub segments: Vec<Place>,
    /// Rings that ended on the wrong side of another ring, as a hole out of its exterior. Only looked for where there
    /// are no other faults.
    pub lost: Vec<usize>,
}

impl Faults {
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.lost.is_empty()
    }
}

/// `touches`: the pairs of points in which two rings meet.
pub(super) fn faults(outlines: &[Outline], touches: &[[Place; 2]]) -> Faults {
    let mut faults = Faults::default();
    for (ring, outline) in outlines.iter().enumerate() {
        let area = doubled_area(&outline.points);
        if area == 0 || outline.hole == (area > 0) {
            faults.segments.extend((0..outline.points.len()).map(|k| (ring, k)));
        }
    }
    for &[a, b] in touches {
        if !side_by_side(outlines, a, b) {
            faults
                .segments
                .extend([a, b].iter().flat_map(|&(ring, k)| [(ring, k), (ring, outlines[ring].previous(k))]));
        }
    }
    let rows = Rows::new(outlines);
    rows.clashes(outlines, &mut faults.segments);
    if faults.segments.is_empty() {
        faults.lost = (0..outlines.len()).filter(|&ring| rows.is_lost(outlines, ring)).collect();
    }
    faults
}

fn doubled_area(points: &[Point]) -> i64 {
    let [x, y] = points.first().copied().unwrap_or_default();
    points.windows(2).map(|pair| (pair[0][0] - x) * (pair[1][1] - y) - (pair[1][0] - x) * (pair[0][1] - y)).sum()
}

/// Positive where c lies to the right of the way from a to b (y points down).
fn turn(a: Point, b: Point, c: Point) -> i64 {
    (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])
}

/// Whether two rings that meet in a point still pass each other there as they do in the pixel outline: two rings of one
/// piece each on the mask side of the other, rings of different pieces each on the other side.
fn side_by_side(outlines: &[Outline], a: Place, b: Place) -> bool {
    let same_piece = outlines[a.0].piece == outlines[b.0].piece;
    let around = |(ring, k): Place| {
        let outline = &outlines[ring];
        let (from, to) = (outline.points[outline.previous(k)], outline.points[outline.next(k)]);
        // Walked backwards, a ring has the other side on its right.
        if same_piece { [from, outline.points[k], to] } else { [to, outline.points[k], from] }
    };
    let on_right = |[from, at, to]: [Point; 3], c: Point| {
        let (first, second) = (turn(from, at, c) > 0, turn(at, to, c) > 0);
        if turn(from, at, to) > 0 { first && second } else { first || second }
    };
    let (a, b) = (around(a), around(b));
    [b[0], b[2]].iter().all(|&c| on_right(a, c)) && [a[0], a[2]].iter().all(|&c| on_right(b, c))
}

#[derive(Clone, Copy)]
struct Segment {
    p: Point,
    q: Point,
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
}

impl Rows {
    fn new(outlines: &[Outline]) -> Self {
        let mut rows = Self { segments: Vec::new(), entries: Vec::new(), widest: Vec::new() };
        for (ring, outline) in outlines.iter().enumerate() {
            for (k, &p) in outline.points.iter().enumerate() {
                rows.push(Segment { p, q: outline.points[outline.next(k)], place: (ring, k) });
            }
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
    fn clashes(&self, outlines: &[Outline], found: &mut Vec<Place>) {
        for (i, &(row, _, segment)) in self.entries.iter().enumerate() {
            let a = &self.segments[segment];
            let (right, (top, bottom)) = (a.span(0).1, a.span(1));
            for &(_, _, other) in self.entries[i + 1..].iter().take_while(|other| other.0 == row && other.1 <= right) {
                let b = &self.segments[other];
                let (b_top, b_bottom) = b.span(1);
                if b_top <= bottom && top <= b_bottom && clash(outlines, a, b) {
                    found.extend([a.place, b.place]);
                }
            }
        }
    }

    /// Looks at the boundary of another ring next to the left of `ring`: a hole must see its own piece there, an
    /// exterior anything but the inside of a piece.
    fn is_lost(&self, outlines: &[Outline], ring: usize) -> bool {
        let outline = &outlines[ring];
        let segments = || {
            let ends = outline.points.iter().enumerate().map(|(k, &p)| (p, outline.points[outline.next(k)]));
            ends.map(|(p, q)| Segment { p, q, place: (ring, 0) })
        };
        let height = |s: &Segment| s.span(1).1 - s.span(1).0;
        let Some(steepest) = segments().max_by_key(height) else { return false };
        // Half way down the steepest segment, between two lines of the grid of points, where the ring is leftmost: what
        // lies further left is outside it.
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
            let segment = &self.segments[other];
            let Some(at) = segment.crossing(y2).filter(|_| segment.place.0 != ring) else { continue };
            if compare(at, x).is_lt() && nearest.is_none_or(|(best, _)| compare(at, best).is_gt()) {
                nearest = Some((at, segment));
            }
        }
        // To the right of a segment that goes up lies the mask.
        let seen = nearest.filter(|(_, s)| s.q[1] < s.p[1]).map(|(_, s)| outlines[s.place.0].piece);
        seen != outline.hole.then_some(outline.piece)
    }
}

fn clash(outlines: &[Outline], a: &Segment, b: &Segment) -> bool {
    let ((ring_a, k_a), (ring_b, k_b)) = (a.place, b.place);
    let shared = if ring_a == ring_b {
        let outline = &outlines[ring_a];
        if outline.next(k_a) == k_b {
            Some((a.p, a.q, b.q))
        } else if outline.next(k_b) == k_a {
            Some((b.p, b.q, a.q))
        } else {
            None
        }
    } else {
        let touches = |s: &Segment| {
            let outline = &outlines[s.place.0];
            [(s.p, s.q, outline.touch[s.place.1]), (s.q, s.p, outline.touch[outline.next(s.place.1)])]
        };
        let pairs = touches(a).into_iter().flat_map(|a| touches(b).map(|b| (a, b)));
        pairs.into_iter().find(|(a, b)| a.2 && b.2 && a.0 == b.0).map(|(a, b)| (a.1, a.0, b.1))
    };
    match shared {
        // They meet in `at`: they may not run on along each other.
        Some((from, at, to)) => {
            turn(from, at, to) == 0 && (from[0] - at[0]) * (to[0] - at[0]) + (from[1] - at[1]) * (to[1] - at[1]) > 0
        }
        None => meet(a, b),
    }
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
