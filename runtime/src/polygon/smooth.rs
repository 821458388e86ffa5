//! Outlines between pixels: where the interpolated outputs of two classes are equal.
//!
//! Every edge between two pixels of different regions lies across the line between their centres. The two classes swap
//! places somewhere on that line, and that is the point where the outline crosses it. Joined in the order of the pixel
//! edges these points stay within the squares between four pixel centres, one stretch in each, or a star round a node:
//! marching squares for any number of classes, on the grid of pixel centres. So the outlines have the topology of the
//! pixel outlines, none crosses another, and every pixel centre stays in its own region.

use ndarray::ArrayView3;
use rayon::prelude::*;

use super::check::Point;
use super::graph::{Arc, Graph, Node};
use crate::postprocess::NetworkOutput;
use crate::regions::forest::OUTSIDE;

/// Steps of Newton's method towards a point where three classes are equal.
const STEPS: usize = 4;

/// From a corner of pixels up, to the right, down, to the left.
const WAYS: [[i64; 2]; 4] = [[0, -1], [1, 0], [0, 1], [-1, 0]];

/// The network's output as a function of the place in the photo, in photo pixels: bilinear between cell centres.
pub(super) struct Field<'a> {
    values: ArrayView3<'a, f32>,
    /// Cells a pixel, and the index of the last cell, along x and y.
    scale: [f64; 2],
    last: [f64; 2],
}

impl<'a> Field<'a> {
    /// None where there is no output to interpolate.
    pub fn new(output: &'a NetworkOutput, width: u32, height: u32) -> Option<Self> {
        let values = output.values();
        let (_, cells_down, cells_across) = values.dim();
        let (geometry, stride) = (output.geometry(), f64::from(output.spec().stride.max(1)));
        let content = [geometry.content_width, geometry.content_height].map(f64::from);
        let cells = [cells_across, cells_down].map(|cells| cells as f64);
        // Cells that hold only padding are no part of the photo.
        let last = [0, 1].map(|i| (content[i] / stride).ceil().min(cells[i]) - 1.0);
        let scale = [content[0] / f64::from(width) / stride, content[1] / f64::from(height) / stride];
        let usable = last.iter().chain(&scale).all(|value| value.is_finite() && *value >= 0.0);
        (usable && !values.is_empty()).then_some(Self { values, scale, last })
    }

    /// By how much class `a` is ahead of class `b`; `at` is counted in cells, from the centre of the first.
    fn lead(&self, [a, b]: [u8; 2], at: [f64; 2]) -> f64 {
        let [(left, right, across), (top, bottom, down)] = [0, 1].map(|i| {
            let at = at[i].clamp(0.0, self.last[i]);
            let first = at.floor();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within the cells
            let cells = (first as usize, (first + 1.0).min(self.last[i]) as usize);
            (cells.0, cells.1, at - first)
        });
        let value = |class: u8, y: usize, x: usize| self.values.get([usize::from(class), y, x]).copied();
        let cell = |y, x| f64::from(value(a, y, x).unwrap_or(0.0)) - f64::from(value(b, y, x).unwrap_or(0.0));
        let (upper_left, lower_left) = (cell(top, left), cell(bottom, left));
        let (upper_right, lower_right) = (cell(top, right), cell(bottom, right));
        let left = upper_left + (lower_left - upper_left) * down;
        let right = upper_right + (lower_right - upper_right) * down;
        left + (right - left) * across
    }

    /// A place in the photo, in cells.
    fn cells(&self, place: [f64; 2]) -> [f64; 2] {
        [0, 1].map(|i| place[i] * self.scale[i] - 0.5)
    }

    /// Where, on the way from one pixel centre to a neighbouring one, the class of the first is caught up by that of the
    /// second, 0..1. Along that way the output is linear from cell to cell, so that the answer is exact.
    fn crossing(&self, classes: [u8; 2], from: [f64; 2], to: [f64; 2]) -> f64 {
        let (from, to) = (self.cells(from), self.cells(to));
        let axis = usize::from(from[0] == to[0]);
        let length = to[axis] - from[axis];
        let lead = |t: f64| self.lead(classes, [0, 1].map(|i| from[i] + (to[i] - from[i]) * t));
        // Cell centres strictly between the two.
        let (low, high) = (from[axis].min(to[axis]), from[axis].max(to[axis]));
        let mut bends: Vec<f64> = Vec::new();
        let mut bend = low.floor() + 1.0;
        while bend < high {
            bends.push((bend - from[axis]) / length);
            bend += 1.0;
        }
        if length < 0.0 {
            bends.reverse();
        }
        let (mut before, mut ahead) = (0.0, lead(0.0));
        for t in bends.into_iter().chain([1.0]) {
            let next = lead(t);
            if next <= 0.0 || t >= 1.0 {
                let root = before + (t - before) * ahead / (ahead - next);
                // Where neither is ahead at any time, or a small region was given to a neighbour, there is none.
                return if root.is_finite() { root.clamp(0.0, 1.0) } else { 0.5 };
            }
            (before, ahead) = (t, next);
        }
        0.5
    }
}

/// Outlines in the making.
struct Smooth<'a, 'f> {
    graph: &'a Graph,
    field: &'a Field<'f>,
    /// Points a pixel: even, at least 4.
    unit: i64,
    /// The bottom right corner of the photo, in pixels.
    frame: [i64; 2],
}

/// The outline of each arc from end to end: points in 1 / `unit` px. `unit` is even and at least 4.
pub(super) fn outlines(graph: &Graph, field: &Field, unit: i64, frame: [u32; 2]) -> Vec<Vec<Point>> {
    let smooth = Smooth { graph, field, unit, frame: frame.map(i64::from) };
    let nodes: Vec<Point> = graph.nodes.par_iter().map(|node| smooth.node(node)).collect();
    graph.arcs.par_iter().map(|arc| smooth.arc(arc, &nodes)).collect()
}

impl Smooth<'_, '_> {
    fn arc(&self, arc: &Arc, nodes: &[Point]) -> Vec<Point> {
        let mut points = Vec::new();
        if !arc.sides.contains(&OUTSIDE) {
            for pair in arc.corners.windows(2) {
                let [[x, y], to] = [pair[0], pair[1]].map(|corner| corner.map(i64::from));
                let (way, steps) =
                    ([(to[0] - x).signum(), (to[1] - y).signum()], (to[0] - x).abs() + (to[1] - y).abs());
                let place = |i: i64| [x + i * way[0], y + i * way[1]];
                points.extend((0..steps).map(|i| self.crossing(place(i), way, arc.sides)));
            }
        }
        match arc.ends {
            Some([(from, _), (to, _)]) => {
                points.insert(0, nodes[from]);
                points.push(nodes[to]);
            }
            None => points.extend(points.first().copied()),
        }
        points
    }

    /// Where the outline crosses the line between the centres of the two pixels beside a pixel edge, which goes from a
    /// corner one step along `way`. `sides`: the regions on the left and the right of it.
    fn crossing(&self, from: [i64; 2], way: [i64; 2], sides: [u32; 2]) -> Point {
        let half = self.unit / 2;
        let normal = [-way[1], way[0]];
        let middle = [0, 1].map(|i| from[i] as f64 + way[i] as f64 / 2.0);
        let centre = |side: f64| [0, 1].map(|i| middle[i] + side * normal[i] as f64);
        let classes = sides.map(|region| self.graph.class[region as usize]);
        let t = self.field.crossing(classes, centre(-0.5), centre(0.5));
        // Never in a pixel centre: that is where outlines could meet.
        #[allow(clippy::cast_possible_truncation)]
        let offset = (((t - 0.5) * self.unit as f64).round() as i64).clamp(1 - half, half - 1);
        [0, 1].map(|i| from[i] * self.unit + way[i] * half + normal[i] * offset)
    }

    /// Corners of the frame stay, other nodes of the frame slide along it; nodes between four pixel centres go to where
    /// their three classes are equal, or to the middle of their arms.
    fn node(&self, node: &Node) -> Point {
        let at = node.at.map(i64::from);
        let unmoved = at.map(|value| value * self.unit);
        let on_frame = [0, 1].map(|i| at[i] == 0 || at[i] == self.frame[i]);
        if on_frame == [true; 2] {
            return unmoved;
        }
        let sides = |arm: usize| [node.regions[arm], node.regions[(arm + 1) % 4]];
        let inner = (0..4).filter(|&arm| node.arms[arm].is_some() && !sides(arm).contains(&OUTSIDE));
        let arms: Vec<Point> = inner.map(|arm| self.crossing(at, WAYS[arm], sides(arm))).collect();
        if on_frame != [false; 2] {
            let along = usize::from(on_frame[0]);
            let mut point = unmoved;
            point[along] = arms.first().map_or(unmoved[along], |crossing| crossing[along]);
            return point;
        }
        let count = arms.len().max(1) as f64;
        let offset = |i: usize| arms.iter().map(|arm| (arm[i] - unmoved[i]) as f64).sum::<f64>() / count;
        let middle = [offset(0), offset(1)].map(|offset| offset / self.unit as f64);
        let offset = if arms.len() == 3 { self.triple_point(node, middle) } else { middle };
        let most = self.unit / 2 - 1;
        #[allow(clippy::cast_possible_truncation)]
        let units = |i: usize| ((offset[i] * self.unit as f64).round() as i64).clamp(-most, most);
        [unmoved[0] + units(0), unmoved[1] + units(1)]
    }

    /// Where the three classes round a node are equal, by Newton's method from `start` on; both are distances from the
    /// node in pixels, at most half a pixel a side. `start` where there is no such point near.
    fn triple_point(&self, node: &Node, start: [f64; 2]) -> [f64; 2] {
        let mut classes = node.regions.map(|region| self.graph.class[region as usize]).to_vec();
        classes.sort_unstable();
        classes.dedup();
        let [a, b, c] = classes[..] else { return start };
        let centres = [[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]];
        let leads = |classes: [u8; 2]| {
            let place = |offset: [f64; 2]| [0, 1].map(|i| f64::from(node.at[i]) + offset[i]);
            centres.map(|centre| self.field.lead(classes, self.field.cells(place(centre))))
        };
        let leads = [leads([a, b]), leads([a, c])];
        let mut at = start;
        for _ in 0..STEPS {
            let [(f, fx, fy), (g, gx, gy)] = leads.map(|corners| bilinear(corners, at));
            let determinant = fx * gy - fy * gx;
            let step = [(f * gy - g * fy) / determinant, (g * fx - f * gx) / determinant];
            if !step.iter().all(|step| step.is_finite()) {
                return start;
            }
            at = [0, 1].map(|i| (at[i] - step[i]).clamp(-0.5, 0.5));
        }
        at
    }
}

/// Value and slopes, at a place within half a pixel of the middle, of what is given at four pixel centres: top left, top
/// right, bottom right, bottom left.
fn bilinear([top_left, top_right, bottom_right, bottom_left]: [f64; 4], [x, y]: [f64; 2]) -> (f64, f64, f64) {
    let (right, down) = (x + 0.5, y + 0.5);
    let (across_top, across_bottom) = (top_right - top_left, bottom_right - bottom_left);
    let (top, bottom) = (top_left + across_top * right, bottom_left + across_bottom * right);
    (top + (bottom - top) * down, across_top + (across_bottom - across_top) * down, bottom - top)
}
