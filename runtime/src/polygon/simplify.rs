//! Fewer points without breaking anything: Douglas-Peucker on the corners of the pixel outline, refined wherever the
//! result would be invalid, then a fit of the points.

use std::collections::HashMap;

use super::Polygon;
use super::check::{Faults, Outline, Place, Point, faults};
use super::line::{Line, Moments, meeting_point};
use super::trace::{Corner, Piece};

/// Points are whole multiples of 1 / UNIT px, so that the checks are exact.
const UNIT: i64 = 16;

/// From this round of repairs on a faulty segment gets all of its corners back, so that repairs come to an end.
const PATIENCE: usize = 8;

/// How often, how far (in corners) and for how much less misfit kept corners are moved along the outline.
const SWEEPS: usize = 6;
const REACH: usize = 4;
const ENOUGH: f64 = 0.999;

/// Smallest and largest x and y.
type Bounds = [[u32; 2]; 2];

/// A ring and the corners that its simplified outline keeps.
struct Simplified<'a> {
    corners: &'a [Corner],
    /// Of the pixel edges before each corner.
    moments: Vec<Moments>,
    /// Indices of the kept corners, ascending, at least three.
    keep: Vec<usize>,
    /// Per kept corner: where it goes, in units.
    points: Vec<Point>,
    piece: usize,
    hole: bool,
}

/// `frame`: width and height of the photo. `pieces` in, as many polygons out, in the same order.
pub(super) fn simplify(pieces: &[Piece], frame: [u32; 2], tolerance: f64) -> Vec<Polygon> {
    let rings = pieces.iter().enumerate().flat_map(|(piece, p)| p.rings.iter().map(move |ring| (piece, ring)));
    let (mut rings, mut fixed): (Vec<_>, Vec<_>) = rings
        .map(|(piece, ring)| {
            let simplified = Simplified {
                corners: &ring.corners,
                moments: Moments::running(&ring.corners),
                keep: Vec::new(),
                points: Vec::new(),
                piece,
                hole: ring.area < 0,
            };
            (simplified, frame_ends(&ring.corners, frame))
        })
        .unzip();
    let touches = touches(&rings);
    for &(ring, corner) in touches.iter().flatten() {
        fixed[ring][corner] = true;
    }
    for (ring, fixed) in rings.iter_mut().zip(&fixed) {
        ring.start(fixed, tolerance);
    }
    repair(&mut rings, &touches);
    fit(&mut rings, &fixed, &touches, frame, tolerance.min(1.0));

    let mut polygons: Vec<Polygon> = Vec::with_capacity(pieces.len());
    for ring in &rings {
        let points = ring.points.iter().map(to_f32).collect();
        match polygons.last_mut() {
            Some(polygon) if ring.hole => polygon.holes.push(points),
            _ => polygons.push(Polygon { exterior: points, holes: Vec::new() }),
        }
    }
    polygons
}

#[allow(clippy::cast_precision_loss)] // 24 bits at most where UNIT fractions matter
fn to_f32(point: &Point) -> [f32; 2] {
    point.map(|value| (value as f64 / UNIT as f64) as f32)
}

/// Marks the ends of the edges that lie on the frame of the photo, so that a mask that is cut off there stays exact.
fn frame_ends(corners: &[Corner], [width, height]: [u32; 2]) -> Vec<bool> {
    let mut fixed = vec![false; corners.len()];
    for (i, a) in corners.iter().enumerate() {
        let next = (i + 1) % corners.len();
        let b = corners[next];
        if (a.x == b.x && (a.x == 0 || a.x == width)) || (a.y == b.y && (a.y == 0 || a.y == height)) {
            fixed[i] = true;
            fixed[next] = true;
        }
    }
    fixed
}

/// Pairs of (ring, corner) at one point: where two rings touch.
fn touches(rings: &[Simplified]) -> Vec<[Place; 2]> {
    let mut seen = HashMap::new();
    let mut touches = Vec::new();
    for (ring, corners) in rings.iter().map(|ring| ring.corners).enumerate() {
        for (i, corner) in corners.iter().enumerate().filter(|(_, corner)| corner.saddle) {
            if let Some(other) = seen.insert(corner.position(), (ring, i)) {
                touches.push([other, (ring, i)]);
            }
        }
    }
    touches
}

impl Simplified<'_> {
    fn corner(&self, i: usize) -> [f64; 2] {
        let corner = self.corners[i % self.corners.len()];
        [f64::from(corner.x), f64::from(corner.y)]
    }

    /// Corner indices of segment k: from the first to the second, which may run past the number of corners.
    fn segment(&self, k: usize) -> (usize, usize) {
        let end = self.keep.get(k + 1).copied().unwrap_or(self.keep[0] + self.corners.len());
        (self.keep[k], end)
    }

    /// The corner strictly between two that lies farthest from the straight line segment between them, and its distance.
    fn farthest(&self, (from, to): (usize, usize)) -> Option<(usize, f64)> {
        let (a, b) = (self.corner(from), self.corner(to));
        let along = [b[0] - a[0], b[1] - a[1]];
        let length2 = along[0] * along[0] + along[1] * along[1];
        let distance2 = |i: usize| {
            let c = self.corner(i);
            let d = [c[0] - a[0], c[1] - a[1]];
            let t = if length2 > 0.0 { (d[0] * along[0] + d[1] * along[1]) / length2 } else { 0.0 };
            let t = t.clamp(0.0, 1.0);
            (d[0] - t * along[0]).powi(2) + (d[1] - t * along[1]).powi(2)
        };
        let farthest = (from + 1..to).map(|i| (i, distance2(i))).max_by(|a, b| a.1.total_cmp(&b.1));
        farthest.map(|(i, distance2)| (i, distance2.sqrt()))
    }

    /// The line fitted to the pixel edges between two corners.
    fn line(&self, (from, to): (usize, usize)) -> Line {
        let n = self.corners.len();
        let (from, to) = (from % n, from % n + (to - from));
        let turns = if to > n { self.moments[n] + self.moments[to - n] } else { self.moments[to] };
        (turns - self.moments[from]).line()
    }

    /// Whether one line may replace the pixel edges between two corners: it is the fitted line that counts, the line from
    /// corner to corner only has to be near.
    fn fits(&self, segment: (usize, usize), tolerance: f64) -> bool {
        let near = |(_, distance)| distance <= tolerance + tolerance.min(1.0);
        self.farthest(segment).is_none_or(near) && self.deviation(segment) <= tolerance
    }

    /// Distance of the farthest corner from the line fitted to the pixel edges between two corners. Of a straight edge of
    /// any slope that is at most 0.71 px, where a line through two corners can be twice as far from others.
    fn deviation(&self, (from, to): (usize, usize)) -> f64 {
        let Line { point, normal, .. } = self.line((from, to));
        let distance = |c: [f64; 2]| ((c[0] - point[0]) * normal[0] + (c[1] - point[1]) * normal[1]).abs();
        (from..=to).map(|i| distance(self.corner(i))).fold(0.0, f64::max)
    }

    /// Douglas-Peucker between the fixed corners, or between two corners far apart where fewer than two are fixed.
    fn start(&mut self, fixed: &[bool], tolerance: f64) {
        let n = self.corners.len();
        self.keep = (0..n).filter(|&i| fixed[i]).collect();
        if self.keep.is_empty() {
            // The corner farthest from any one is an extreme of the outline, which the best outline keeps too.
            self.keep.extend(self.farthest((0, n)).map(|(i, _)| i));
        }
        if let [only] = self.keep[..] {
            self.keep.extend(self.farthest((only, only + n)).map(|(i, _)| i % n));
            self.keep.sort_unstable();
        }
        let mut open: Vec<_> = (0..self.keep.len()).map(|k| self.segment(k)).collect();
        while let Some(segment) = open.pop() {
            if !self.fits(segment, tolerance)
                && let Some((i, _)) = self.farthest(segment)
            {
                self.keep.push(i % n);
                open.extend([(segment.0, i), (i, segment.1)]);
            }
        }
        self.keep.sort_unstable();
        (0..SWEEPS).any(|_| !self.tune(fixed, tolerance));
        if self.keep.len() < 3 {
            // A line would be left of it: the widest point on either side makes it an area again.
            let more: Vec<_> = (0..self.keep.len()).filter_map(|k| self.farthest(self.segment(k))).collect();
            self.add(more.into_iter().map(|(i, _)| i));
        }
        self.reset();
    }

    /// Drops kept corners that are not needed, and moves the others along the outline to where the lines on both sides
    /// fit best: the farthest corner is often not the one where an edge ends. Tells whether anything changed.
    fn tune(&mut self, fixed: &[bool], tolerance: f64) -> bool {
        let n = self.corners.len();
        let mut changed = false;
        let mut k = 0;
        while k < self.keep.len() {
            // One turn ahead, so that the corner before is not negative.
            let from = if k > 0 { self.keep[k - 1] + n } else { self.keep[self.keep.len() - 1] };
            let (at, to) = (self.keep[k] + n, self.segment(k).1 + n);
            if fixed[self.keep[k]] {
                k += 1;
            } else if self.keep.len() > 3 && self.fits((from, to), tolerance) {
                self.keep.remove(k);
                changed = true;
            } else {
                if let Some(better) = self.better(from, at, to, tolerance) {
                    changed = true;
                    self.keep[k] = better % n;
                    if better / n != at / n {
                        // Past the start of the ring: the rest has to wait for the next sweep.
                        self.keep.sort_unstable();
                        return true;
                    }
                }
                k += 1;
            }
        }
        changed
    }

    /// The corner near `at`, between two others, where the lines on both sides fit clearly better than at `at`.
    fn better(&self, from: usize, at: usize, to: usize, tolerance: f64) -> Option<usize> {
        let misfit = |i: usize| self.line((from, i)).misfit + self.line((i, to)).misfit;
        let near = (at - REACH.min(at)).max(from + 1)..(at + REACH + 1).min(to);
        let (best, least) = near.map(|i| (i, misfit(i))).min_by(|a, b| a.1.total_cmp(&b.1))?;
        let better = least < misfit(at) * ENOUGH;
        (better && self.fits((from, best), tolerance) && self.fits((best, to), tolerance)).then_some(best)
    }

    fn add(&mut self, corners: impl Iterator<Item = usize>) {
        let n = self.corners.len();
        self.keep.extend(corners.map(|i| i % n));
        self.keep.sort_unstable();
        self.keep.dedup();
    }

    /// Every point to its corner.
    fn reset(&mut self) {
        self.points = (0..self.keep.len()).map(|k| self.unmoved(k)).collect();
    }

    fn unmoved(&self, k: usize) -> Point {
        self.corners[self.keep[k]].position().map(|value| i64::from(value) * UNIT)
    }

    /// Smallest and largest position of the corners of segment k.
    fn bounds(&self, k: usize) -> Bounds {
        let (from, to) = self.segment(k);
        bounds((from..=to).map(|i| self.corners[i % self.corners.len()].position()))
    }
}

fn bounds(points: impl Iterator<Item = [u32; 2]>) -> Bounds {
    points.fold([[u32::MAX; 2], [0; 2]], |[low, high], p| {
        [[low[0].min(p[0]), low[1].min(p[1])], [high[0].max(p[0]), high[1].max(p[1])]]
    })
}

fn check(rings: &[Simplified], touches: &[[Place; 2]]) -> Faults {
    let mut outlines: Vec<Outline> = rings
        .iter()
        .map(|ring| Outline {
            points: ring.points.clone(),
            touch: vec![false; ring.points.len()],
            piece: ring.piece,
            hole: ring.hole,
        })
        .collect();
    let place = |(ring, corner): Place| (ring, rings[ring].keep.partition_point(|&i| i < corner));
    let touches: Vec<_> = touches.iter().map(|touch| touch.map(place)).collect();
    for &(ring, k) in touches.iter().flatten() {
        outlines[ring].touch[k] = true;
    }
    faults(&outlines, &touches)
}

/// Gives corners back wherever the outlines are at fault. It ends, as the full pixel outline has no fault.
fn repair(rings: &mut [Simplified], touches: &[[Place; 2]]) {
    for round in 0.. {
        let mut faults = check(rings, touches);
        if faults.is_empty() {
            return;
        }
        if !faults.lost.is_empty() {
            faults.segments = segments_around(rings, &faults.lost);
        }
        faults.segments.sort_unstable();
        faults.segments.dedup();
        let mut any = false;
        for places in faults.segments.chunk_by(|a, b| a.0 == b.0) {
            let ring = &mut rings[places[0].0];
            let mut more = Vec::new();
            for &(_, k) in places {
                let segment = ring.segment(k);
                if round < PATIENCE {
                    more.extend(ring.farthest(segment).map(|(i, _)| i));
                } else {
                    more.extend(segment.0 + 1..segment.1);
                }
            }
            any |= !more.is_empty();
            ring.add(more.into_iter());
            ring.reset();
        }
        if !any {
            // Not to be expected; the pixel outline is right in any case.
            for ring in rings.iter_mut() {
                ring.keep = (0..ring.corners.len()).collect();
                ring.reset();
            }
            return;
        }
    }
}

/// The segments that may have jumped over one of the `lost` rings: the ring then lies between the segment and the
/// corners that it left out, and so in the bounding box of these.
fn segments_around(rings: &[Simplified], lost: &[usize]) -> Vec<Place> {
    const ROW: u32 = 16;
    let mut rows: HashMap<u32, Vec<(usize, Bounds)>> = HashMap::new();
    for &ring in lost {
        let simplified = &rings[ring];
        let bounds = bounds(simplified.keep.iter().map(|&i| simplified.corners[i].position()));
        for row in bounds[0][1] / ROW..=bounds[1][1] / ROW {
            rows.entry(row).or_default().push((ring, bounds));
        }
    }
    let mut found = Vec::new();
    for (r, ring) in rings.iter().enumerate() {
        for k in 0..ring.keep.len() {
            let (from, to) = ring.segment(k);
            if to - from < 2 {
                continue;
            }
            let [low, high] = ring.bounds(k);
            let mut near = (low[1] / ROW..=high[1] / ROW).filter_map(|row| rows.get(&row)).flatten();
            if near.any(|(lost, [l, h])| *lost != r && (0..2).all(|i| low[i] <= h[i] && l[i] <= high[i])) {
                found.push((r, k));
            }
        }
    }
    found
}

/// Moves each point that is not fixed to where the lines fitted to its two segments meet, by at most `limit` px; where
/// that would make the outlines invalid, points stay.
fn fit(rings: &mut [Simplified], fixed: &[Vec<bool>], touches: &[[Place; 2]], frame: [u32; 2], limit: f64) {
    for (ring, fixed) in rings.iter_mut().zip(fixed) {
        let lines: Vec<_> = (0..ring.keep.len()).map(|k| ring.line(ring.segment(k))).collect();
        for k in 0..ring.keep.len() {
            let corner = ring.keep[k];
            if !fixed[corner] {
                let before = lines[k.checked_sub(1).unwrap_or(lines.len() - 1)];
                let point = meeting_point(ring.corner(corner), [before, lines[k]], limit);
                #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
                let units = |axis: usize| (point[axis].clamp(0.0, f64::from(frame[axis])) * UNIT as f64).round() as i64;
                ring.points[k] = [units(0), units(1)];
            }
        }
    }
    loop {
        let faults = check(rings, touches);
        let mut any = false;
        for (ring, k) in faults.segments.iter().copied() {
            let ring = &mut rings[ring];
            for k in [k, (k + 1) % ring.keep.len()] {
                let unmoved = ring.unmoved(k);
                any |= ring.points[k] != unmoved;
                ring.points[k] = unmoved;
            }
        }
        if !any {
            if !faults.is_empty() {
                rings.iter_mut().for_each(Simplified::reset);
            }
            return;
        }
    }
}
