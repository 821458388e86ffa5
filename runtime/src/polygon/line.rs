//! Straight lines fitted to stretches of an outline.

use std::ops::{Add, Sub};

use super::check::Point;

/// Weight of the old position of a point against the two lines that it should lie on: only there to decide where along
/// two nearly parallel lines the point goes.
const INERTIA: f64 = 0.02;

/// A line through `point` with the unit normal `normal`.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub point: [f64; 2],
    pub normal: [f64; 2],
    /// Length of the outline.
    pub length: f64,
}

/// Integrals of 1, x, y, x^2, xy and y^2 along an outline.
#[derive(Clone, Copy, Default)]
pub(super) struct Moments([f64; 6]);

impl Moments {
    /// For each point, of the outline from the first point to there. Positions count from `origin`: large coordinates
    /// would cost precision.
    pub fn running(points: &[Point], origin: Point) -> Vec<Self> {
        let mut sum = Self::default();
        let sums = points.windows(2).map(|pair| {
            sum = sum + Self::of_edge([pair[0], pair[1]].map(|p| from_origin(p, origin)));
            sum
        });
        std::iter::once(Self::default()).chain(sums).collect()
    }

    fn of_edge([[ax, ay], [bx, by]]: [[f64; 2]; 2]) -> Self {
        let xx = (ax * ax + ax * bx + bx * bx) / 3.0;
        let yy = (ay * ay + ay * by + by * by) / 3.0;
        let xy = (2.0 * (ax * ay + bx * by) + ax * by + bx * ay) / 6.0;
        let (x, y) = ((ax + bx) / 2.0, (ay + by) / 2.0);
        Self([1.0, x, y, xx, xy, yy].map(|mean| mean * norm([bx - ax, by - ay])))
    }

    /// The line with the least squared distance from the outline.
    pub fn line(self) -> Line {
        let [length, x, y, ..] = self.0;
        let [half, xy, _, root] = self.spread();
        // The line runs along the eigenvector of the larger eigenvalue.
        let along = if half >= 0.0 { [half + root, xy] } else { [xy, root - half] };
        let size = norm(along);
        let normal = if size > 0.0 { [-along[1] / size, along[0] / size] } else { [0.0; 2] };
        Line { point: [x / length, y / length], normal, length }
    }

    /// Squared distance from that line, summed up along the outline.
    pub fn misfit(self) -> f64 {
        let [_, _, mean, root] = self.spread();
        (mean - root).max(0.0) * self.0[0]
    }

    /// Of the covariance matrix: half the difference of the diagonal, what is off the diagonal, and mean and half
    /// difference of the eigenvalues.
    fn spread(self) -> [f64; 4] {
        let [length, x, y, xx, xy, yy] = self.0;
        let (x, y) = (x / length, y / length);
        let [xx, xy, yy] = [xx / length - x * x, xy / length - x * y, yy / length - y * y];
        let half = (xx - yy) / 2.0;
        [half, xy, (xx + yy) / 2.0, norm([half, xy])]
    }
}

impl Add for Moments {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
}

impl Sub for Moments {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }
}

pub(super) fn from_origin(point: Point, origin: Point) -> [f64; 2] {
    [(point[0] - origin[0]) as f64, (point[1] - origin[1]) as f64]
}

/// Not `hypot`, which may differ between platforms.
fn norm([x, y]: [f64; 2]) -> f64 {
    (x * x + y * y).sqrt()
}

/// The point with the least squared distance from both lines, at most `limit` from `corner`. The longer line counts more,
/// as it is known better and an error in it weighs more.
pub(super) fn meeting_point(corner: [f64; 2], lines: [Line; 2], limit: f64) -> [f64; 2] {
    let (mut xx, mut xy, mut yy, mut right) = (INERTIA, 0.0, INERTIA, [0.0; 2]);
    let total = lines[0].length + lines[1].length;
    for Line { point, normal: [nx, ny], length, .. } in lines {
        let weight = length / total;
        let offset = nx * (point[0] - corner[0]) + ny * (point[1] - corner[1]);
        xx += weight * nx * nx;
        xy += weight * nx * ny;
        yy += weight * ny * ny;
        right[0] += weight * nx * offset;
        right[1] += weight * ny * offset;
    }
    let determinant = xx * yy - xy * xy;
    let step = [(yy * right[0] - xy * right[1]) / determinant, (xx * right[1] - xy * right[0]) / determinant];
    let scale = (limit / norm(step)).min(1.0);
    [corner[0] + step[0] * scale, corner[1] + step[1] * scale]
}
