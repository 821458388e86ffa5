//! Fewer points without breaking anything: every arc by itself, then all of them together refined wherever the result
//! would be invalid.

use std::collections::HashMap;

use rayon::prelude::*;

use super::check::{Faults, Place, Point, faults};
use super::graph::Graph;
use super::path::{Limits, Path};

/// From this round of repairs on a faulty segment gets all of its points back, so that repairs come to an end.
const PATIENCE: usize = 8;

/// Smallest and largest x and y.
type Bounds = [Point; 2];

/// `outlines`: the exact outline of each arc, all of them together valid; as many simplified ones out. `frame`: the
/// bottom right corner of the photo. Ends of arcs stay where they are.
pub(super) fn simplify(graph: &Graph, outlines: Vec<Vec<Point>>, frame: Point, limits: Limits) -> Vec<Vec<Point>> {
    let arcs = outlines.into_par_iter().zip(&graph.arcs);
    let mut paths: Vec<Path> = arcs.map(|(points, arc)| Path::new(points, arc.ends.is_none(), limits)).collect();
    repair(graph, &mut paths);
    fit(graph, &mut paths, frame, limits);
    paths.into_iter().map(|path| path.placed).collect()
}

fn check(graph: &Graph, paths: &[Path]) -> Faults {
    let lines: Vec<&[Point]> = paths.iter().map(|path| path.placed.as_slice()).collect();
    faults(graph, &lines)
}

/// Gives points back wherever the outlines are at fault. It ends, as the exact outlines have no fault.
fn repair(graph: &Graph, paths: &mut [Path]) {
    for round in 0.. {
        let mut faults = check(graph, paths);
        if faults.is_empty() {
            return;
        }
        if !faults.lost.is_empty() {
            faults.segments = segments_around(graph, paths, &faults.lost);
        }
        faults.segments.sort_unstable();
        faults.segments.dedup();
        let mut any = false;
        for places in faults.segments.chunk_by(|a, b| a.0 == b.0) {
            any |= paths[places[0].0].refine(places.iter().map(|&(_, k)| k), round >= PATIENCE);
        }
        if !any {
            // Not to be expected; the exact outlines are right in any case.
            paths.iter_mut().for_each(Path::give_up);
            return;
        }
    }
}

/// The segments that may have jumped over one of the `lost` islands: the island then lies between the segment and the
/// points that it left out, and so in the bounding box of these.
fn segments_around(graph: &Graph, paths: &[Path], lost: &[usize]) -> Vec<Place> {
    const ROW: i64 = 256;
    let mut rows: HashMap<i64, Vec<(usize, Bounds)>> = HashMap::new();
    let mut island_of = vec![usize::MAX; paths.len()];
    for &island in lost {
        let arcs = &graph.islands[island].arcs;
        arcs.iter().for_each(|&arc| island_of[arc] = island);
        let bounds = bounds(arcs.iter().flat_map(|&arc| &paths[arc].placed));
        for row in bounds[0][1] / ROW..=bounds[1][1] / ROW {
            rows.entry(row).or_default().push((island, bounds));
        }
    }
    let mut found = Vec::new();
    for (arc, path) in paths.iter().enumerate() {
        for k in 0..path.segments() {
            let replaced = path.replaced(k);
            if replaced.len() < 3 {
                continue;
            }
            let [low, high] = bounds(replaced.iter());
            let mut near = (low[1] / ROW..=high[1] / ROW).filter_map(|row| rows.get(&row)).flatten();
            let overlap = |[l, h]: Bounds| (0..2).all(|i| low[i] <= h[i] && l[i] <= high[i]);
            if near.any(|&(island, bounds)| island != island_of[arc] && overlap(bounds)) {
                found.push((arc, k));
            }
        }
    }
    found
}

fn bounds<'a>(points: impl Iterator<Item = &'a Point>) -> Bounds {
    points.fold([[i64::MAX; 2], [0; 2]], |[low, high], p| {
        [[low[0].min(p[0]), low[1].min(p[1])], [high[0].max(p[0]), high[1].max(p[1])]]
    })
}

/// Moves points to where fitted lines meet; where that would make the outlines invalid, points stay.
fn fit(graph: &Graph, paths: &mut [Path], frame: Point, limits: Limits) {
    paths.par_iter_mut().for_each(|path| path.fit(limits, frame));
    loop {
        let faults = check(graph, paths);
        let mut any = false;
        for &(arc, k) in &faults.segments {
            any |= paths[arc].put_back(k);
            any |= paths[arc].put_back(k + 1);
        }
        if !any {
            if !faults.is_empty() {
                let all = |path: &mut Path| (0..=path.segments()).for_each(|k| _ = path.put_back(k));
                paths.iter_mut().for_each(all);
            }
            return;
        }
    }
}
