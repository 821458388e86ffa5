//! One arc with fewer points: Douglas-Peucker, and a fit of what is left.

use super::check::Point;
use super::line::{Line, Moments, from_origin, meeting_point};

/// How often, how far (in points) and for how much less misfit kept points are moved along the outline.
const SWEEPS: usize = 6;
const REACH: usize = 4;
const ENOUGH: f64 = 0.999;

/// How far, in units of the points, simplification may go.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Distance of a point from the line that replaces it.
    pub tolerance: f64,
    /// Distance by which a point may be moved.
    pub step: f64,
}

/// An exact outline and the points of it that the simplified one keeps.
pub(super) struct Path {
    /// The exact outline from end to end; where it is closed the first point comes again at the end.
    points: Vec<Point>,
    /// Closed and without a node: its first point is no different from any other.
    free: bool,
    /// Up to each point.
    moments: Vec<Moments>,
    /// Indices of the kept points, ascending, both ends among them. Closed outlines keep at least three points, of which
    /// the first counts once.
    keep: Vec<usize>,
    /// Per kept point: where it goes.
    pub placed: Vec<Point>,
}

impl Path {
    pub fn new(points: Vec<Point>, free: bool, limits: Limits) -> Self {
        let keep = vec![0, points.len().saturating_sub(1)];
        let mut path = Self { points, free, moments: Vec::new(), keep, placed: Vec::new() };
        path.start(limits);
        path
    }

    /// Index of the last point.
    fn end(&self) -> usize {
        self.points.len().saturating_sub(1)
    }

    fn is_closed(&self) -> bool {
        self.points.first() == self.points.last()
    }

    fn position(&self, i: usize) -> [f64; 2] {
        from_origin(self.points[i], self.points[0])
    }

    pub fn segments(&self) -> usize {
        self.keep.len() - 1
    }

    /// Indices of the ends of a segment of the simplified outline.
    fn segment(&self, k: usize) -> (usize, usize) {
        (self.keep[k], self.keep[k + 1])
    }

    /// The exact outline that segment k replaces.
    pub fn replaced(&self, k: usize) -> &[Point] {
        &self.points[self.keep[k]..=self.keep[k + 1]]
    }

    /// The point strictly between two that lies farthest from the straight line segment between them, and its distance.
    fn farthest(&self, (from, to): (usize, usize)) -> Option<(usize, f64)> {
        let (a, b) = (self.position(from), self.position(to));
        let along = [b[0] - a[0], b[1] - a[1]];
        let length2 = along[0] * along[0] + along[1] * along[1];
        let inverse = if length2 > 0.0 { 1.0 / length2 } else { 0.0 };
        let distance2 = |i: usize| {
            let c = self.position(i);
            let d = [c[0] - a[0], c[1] - a[1]];
            let t = ((d[0] * along[0] + d[1] * along[1]) * inverse).clamp(0.0, 1.0);
            let d = [d[0] - t * along[0], d[1] - t * along[1]];
            d[0] * d[0] + d[1] * d[1]
        };
        let farthest = (from + 1..to).map(|i| (i, distance2(i))).max_by(|a, b| a.1.total_cmp(&b.1));
        farthest.map(|(i, distance2)| (i, distance2.sqrt()))
    }

    /// The line fitted to the outline between two points.
    fn line(&self, (from, to): (usize, usize)) -> Line {
        (self.moments[to] - self.moments[from]).line()
    }

    /// Whether one line may replace the outline between two points: it is the fitted line that counts, the line from
    /// point to point only has to be near. The pixel corners of a straight edge of any slope lie at most 0.71 px from the
    /// fitted line, where a line through two of them can be twice as far from others.
    fn fits(&self, segment: (usize, usize), limits: Limits) -> bool {
        let (from, to) = segment;
        if to - from < 2 {
            return true;
        }
        let Line { point, normal, .. } = self.line(segment);
        let distance = |c: [f64; 2]| ((c[0] - point[0]) * normal[0] + (c[1] - point[1]) * normal[1]).abs();
        let near = |(_, distance)| distance <= limits.tolerance + limits.step;
        (from..=to).all(|i| distance(self.position(i)) <= limits.tolerance) && self.farthest(segment).is_none_or(near)
    }

    fn start(&mut self, limits: Limits) {
        if self.free
            && let Some((extreme, _)) = self.farthest((0, self.end()))
        {
            // The point farthest from any one is an extreme of the outline, which the best outline keeps too.
            self.begin_at(extreme);
        } else {
            self.begin_at(0);
        }
        self.divide(limits);
        (0..SWEEPS).any(|_| !self.tune(limits));
        if self.free {
            // Now that others are known, the extreme is a point like them.
            self.begin_at(self.keep[self.keep.len() / 2]);
            (0..SWEEPS).any(|_| !self.tune(limits));
        }
        if self.is_closed() && self.keep.len() < 4 {
            // A line would be left of it: the widest point on either side makes it an area again.
            let more: Vec<_> = (0..self.segments()).filter_map(|k| self.farthest(self.segment(k))).collect();
            self.add(more.into_iter().map(|(i, _)| i));
        }
        self.reset();
    }

    /// Makes a point of a closed outline its first one.
    fn begin_at(&mut self, first: usize) {
        let end = self.end();
        if first != 0 && first != end {
            self.points.pop();
            self.points.rotate_left(first);
            self.points.push(self.points[0]);
            self.keep.iter_mut().for_each(|i| *i = (*i + end - first) % end);
            self.add([0, end].into_iter());
        }
        self.moments = Moments::running(&self.points, self.points[0]);
    }

    /// Douglas-Peucker.
    fn divide(&mut self, limits: Limits) {
        let end = self.end();
        self.keep = vec![0, end];
        let mut open = vec![(0, end)];
        while let Some(segment) = open.pop() {
            // A closed outline needs a second point in any case.
            let whole = self.is_closed() && segment == (0, end);
            if (whole || !self.fits(segment, limits))
                && let Some((i, _)) = self.farthest(segment)
            {
                self.keep.push(i);
                open.extend([(segment.0, i), (i, segment.1)]);
            }
        }
        self.keep.sort_unstable();
    }

    /// Drops kept points that are not needed, and moves the others along the outline to where the lines on both sides
    /// fit best: the farthest point is often not the one where an edge ends. Tells whether anything changed.
    fn tune(&mut self, limits: Limits) -> bool {
        let least = if self.is_closed() { 4 } else { 2 };
        let mut changed = false;
        let mut k = 1;
        while k + 1 < self.keep.len() {
            let (from, at, to) = (self.keep[k - 1], self.keep[k], self.keep[k + 1]);
            if self.keep.len() > least && self.fits((from, to), limits) {
                self.keep.remove(k);
                changed = true;
                continue;
            }
            if let Some(better) = self.better(from, at, to, limits) {
                self.keep[k] = better;
                changed = true;
            }
            k += 1;
        }
        changed
    }

    /// The point near `at`, between two others, where the lines on both sides fit clearly better than at `at`.
    fn better(&self, from: usize, at: usize, to: usize, limits: Limits) -> Option<usize> {
        let [before, after] = [self.moments[from], self.moments[to]];
        let misfit = |i: usize| (self.moments[i] - before).misfit() + (after - self.moments[i]).misfit();
        let near = at.saturating_sub(REACH).max(from + 1)..(at + REACH + 1).min(to);
        let (best, least) = near.map(|i| (i, misfit(i))).min_by(|a, b| a.1.total_cmp(&b.1))?;
        let better = least < misfit(at) * ENOUGH;
        (better && self.fits((from, best), limits) && self.fits((best, to), limits)).then_some(best)
    }

    fn add(&mut self, points: impl Iterator<Item = usize>) {
        self.keep.extend(points);
        self.keep.sort_unstable();
        self.keep.dedup();
    }

    /// Every kept point to its place in the exact outline.
    fn reset(&mut self) {
        self.placed = self.keep.iter().map(|&i| self.points[i]).collect();
    }

    /// Keeps one more point of each of the segments, or all of their points. Tells whether there were any; afterwards
    /// every point is in its place in the exact outline.
    pub fn refine(&mut self, segments: impl Iterator<Item = usize>, all: bool) -> bool {
        let mut more = Vec::new();
        for segment in segments.map(|k| self.segment(k)) {
            if all {
                more.extend(segment.0 + 1..segment.1);
            } else {
                more.extend(self.farthest(segment).map(|(i, _)| i));
            }
        }
        let any = !more.is_empty();
        self.add(more.into_iter());
        self.reset();
        any
    }

    /// The exact outline.
    pub fn give_up(&mut self) {
        self.keep = (0..self.points.len()).collect();
        self.reset();
    }

    /// Moves each point that is not an end to where the lines fitted to its two segments meet, within the frame.
    pub fn fit(&mut self, limits: Limits, frame: Point) {
        let lines: Vec<_> = (0..self.segments()).map(|k| self.line(self.segment(k))).collect();
        for (k, pair) in (1..).zip(lines.windows(2)) {
            self.placed[k] = self.meeting_point(k, [pair[0], pair[1]], limits, frame);
        }
        if let (true, [first, .., last]) = (self.free, &lines[..]) {
            let point = self.meeting_point(0, [*last, *first], limits, frame);
            self.place(0, point);
        }
    }

    fn meeting_point(&self, k: usize, lines: [Line; 2], limits: Limits, frame: Point) -> Point {
        let point = meeting_point(self.position(self.keep[k]), lines, limits.step);
        #[allow(clippy::cast_possible_truncation)] // near a point of the outline
        let units = |axis: usize| (self.points[0][axis] + point[axis].round() as i64).clamp(0, frame[axis]);
        [units(0), units(1)]
    }

    /// Puts a kept point back to its place in the exact outline. Tells whether it was elsewhere.
    pub fn put_back(&mut self, k: usize) -> bool {
        let exact = self.points[self.keep[k]];
        let moved = self.placed[k] != exact;
        self.place(k, exact);
        moved
    }

    fn place(&mut self, k: usize, point: Point) {
        let last = self.placed.len() - 1;
        self.placed[k] = point;
        if self.free && (k == 0 || k == last) {
            self.placed[0] = point;
            self.placed[last] = point;
        }
    }
}
