//! Small regions become a part of their neighbours.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::forest::{Forest, OUTSIDE};
use super::longest_border;

/// For each small region its neighbours and the length of a stretch of border with each, in pixels; a neighbour may be listed
/// many times, and by the name of a region that has become a part of it.
type Neighbours = Vec<Vec<(u32, u64)>>;

/// Gives each region of fewer than `min_area` pixels to the neighbour that it shares the longest border with (of equal
/// ones the largest, then the first), the smallest region first, until none is left; a region grows by what it takes.
/// Regions of one class that come to touch by an edge become one. Tells whether anything has changed. `stretches` of border are
/// the regions on both sides and the length in pixels.
pub(crate) fn absorb(regions: &mut Forest, stretches: impl Iterator<Item = (u32, u32, u32)>, min_area: f64) -> bool {
    #[allow(clippy::cast_possible_truncation)] // as there are regions
    let roots: Vec<u32> = (1..regions.len() as u32).filter(|&region| regions.root(region) == region).collect();
    let small = |pixels: u64| (pixels as f64) < min_area;
    let size = |&region: &u32| Reverse((regions.pixels[region as usize], region));
    let mut queue: BinaryHeap<_> = roots.iter().map(size).filter(|size| small(size.0.0)).collect();
    if queue.is_empty() {
        return false;
    }
    // Large regions are never taken from the queue: theirs are not asked for.
    let is_small = (0..regions.len()).map(|region| small(regions.pixels[region])).collect::<Vec<_>>();
    let mut neighbours = neighbours(stretches, &is_small);
    while let Some(Reverse((pixels, region))) = queue.pop() {
        // It may have grown or gone since it was put there.
        if regions.root(region) != region || regions.pixels[region as usize] != pixels {
            continue;
        }
        let around = lengths(regions, region, &neighbours[region as usize]);
        let ranked = around.iter().map(|&(other, length)| (other, (length, regions.pixels[other as usize])));
        let Some(target) = longest_border(ranked) else { continue };
        join(regions, &mut neighbours, target, region);
        let class = regions.class[target as usize];
        for (other, _) in around.into_iter().filter(|&(other, _)| other != target) {
            if regions.class[other as usize] == class {
                join(regions, &mut neighbours, target, other);
            }
        }
        if small(regions.pixels[target as usize]) {
            queue.push(Reverse((regions.pixels[target as usize], target)));
        }
    }
    true
}

fn neighbours(stretches: impl Iterator<Item = (u32, u32, u32)>, is_small: &[bool]) -> Neighbours {
    let mut neighbours = vec![Vec::new(); is_small.len()];
    for (a, b, length) in stretches.filter(|&(a, b, _)| a != OUTSIDE && b != OUTSIDE) {
        for (region, other) in [(a, b), (b, a)].into_iter().filter(|&(region, _)| is_small[region as usize]) {
            neighbours[region as usize].push((other, u64::from(length)));
        }
    }
    neighbours
}

/// The neighbours as they are now, each once, with the length of the whole border.
fn lengths(regions: &mut Forest, region: u32, neighbours: &[(u32, u64)]) -> Vec<(u32, u64)> {
    let mut now: Vec<_> = neighbours.iter().map(|&(other, length)| (regions.root(other), length)).collect();
    now.retain(|&(other, _)| other != region);
    now.sort_unstable();
    now.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        kept.1 += if same { next.1 } else { 0 };
        same
    });
    now
}

fn join(regions: &mut Forest, neighbours: &mut Neighbours, into: u32, other: u32) {
    regions.join(into, other);
    let mut short = std::mem::take(&mut neighbours[other as usize]);
    let long = &mut neighbours[into as usize];
    if long.len() < short.len() {
        std::mem::swap(long, &mut short);
    }
    long.append(&mut short);
}
