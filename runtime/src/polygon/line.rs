//! Straight lines fitted to stretches of the pixel outline.

use std::ops::{Add, Sub};

use super::trace::Corner;

/// Weight of the old position of a point against the two lines that it should lie on: only there to decide where along
/// two nearly parallel lines the point goes.
const INERTIA: f64 = 0.02;

/// A line through `point` with the unit normal `normal`, in photo pixels.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub point: [f64; 2],
    pub normal: [f64; 2],
    /// Length of the pixel edges.
    pub length: f64,
    /// Squared distance from the line, summed up along the pixel edges.
    pub misfit: f64,
}

/// Integrals of 1, x, y, x^2, xy and y^2 along pixel edges.
#[derive(Clone, Copy, Default)]
pub(super) struct Moments([f64; 6]);

impl Moments {
    /// For each corner, and once more the first, of the edges from the first corner to there.
    pub fn running(corners: &[Corner]) -> Vec<Self> {
        let mut sum = Self::default();
        let next = corners.iter().cycle().skip(1);
        let sums = corners.iter().zip(next).map(|(a, b)| {
            sum = sum + Self::of_edge(a, b);
            sum
        });
        std::iter::once(Self::default()).chain(sums).collect()
    }

    fn of_edge(a: &Corner, b: &Corner) -> Self {
        let [[ax, ay], [bx, by]] = [a, b].map(|c| [f64::from(c.x), f64::from(c.y)]);
        let length = (bx - ax).abs() + (by - ay).abs();
        let xx = (ax * ax + ax * bx + bx * bx) / 3.0;
        let yy = (ay * ay + ay * by + by * by) / 3.0;
        // One of x and y is constant along the edge.
        let (x, y) = ((ax + bx) / 2.0, (ay + by) / 2.0);
        Self([1.0, x, y, xx, x * y, yy].map(|mean| mean * length))
    }

    /// The line with the least squared distance from the edges.
    pub fn line(self) -> Line {
        let [length, x, y, xx, xy, yy] = self.0;
        let mean = [x / length, y / length];
        let covariance = |sum: f64, a: f64, b: f64| sum / length - a * b;
        let xx = covariance(xx, mean[0], mean[0]);
        let xy = covariance(xy, mean[0], mean[1]);
        let yy = covariance(yy, mean[1], mean[1]);
        // The line runs along the eigenvector of the larger eigenvalue; the smaller one is the misfit.
        let half = (xx - yy) / 2.0;
        let root = norm([half, xy]);
        let along = if half >= 0.0 { [half + root, xy] } else { [xy, root - half] };
        let size = norm(along);
        let normal = if size > 0.0 { [-along[1] / size, along[0] / size] } else { [0.0; 2] };
        Line { point: mean, normal, length, misfit: ((xx + yy) / 2.0 - root).max(0.0) * length }
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
