//! The borders of a label map as a planar graph: arcs between nodes, each with the region on either side, and the rings
//! of arcs that go round each region.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::scan::{Borders, Corner};
use crate::regions::forest::{OUTSIDE, root};

/// An arc and a way along it: twice the index of the arc, and one more for the way back.
pub(super) type HalfEdge = usize;

/// Where three or four arcs meet, or a corner of the frame.
pub(super) struct Node {
    pub at: [u32; 2],
    /// Around it: top left, top right, bottom right, bottom left.
    pub regions: [u32; 4],
    /// What leaves it up, to the right, down, to the left.
    pub arms: [Option<HalfEdge>; 4],
}

/// A node and the index of one of its arms.
pub(super) type End = (usize, usize);

/// A border between two regions.
pub(super) struct Arc {
    /// Its pixel corners, turns only, from end to end. Where it is closed the first one comes again at the end.
    pub corners: Vec<[u32; 2]>,
    /// The regions on its left and on its right.
    pub sides: [u32; 2],
    /// Where it starts and ends; none where it is closed and meets no other arc.
    pub ends: Option<[End; 2]>,
    /// Index of the first corner that it passes.
    first: usize,
}

/// A region with its outlines.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub class: u8,
    pub pixels: u64,
    /// The exterior, then the holes, largest first, with the region on the right hand. No ring visits a node twice.
    pub rings: Vec<Vec<HalfEdge>>,
}

/// Arcs that hang together.
pub(super) struct Island {
    pub arcs: Vec<usize>,
    /// The region around them.
    pub around: u32,
}

pub(super) struct Graph {
    pub nodes: Vec<Node>,
    pub arcs: Vec<Arc>,
    /// Largest first, those of one size in the order of their first pixel.
    pub pieces: Vec<Piece>,
    pub islands: Vec<Island>,
    /// Per region.
    pub class: Vec<u8>,
}

impl Graph {
    pub fn new(borders: Borders) -> Self {
        let mut walk = Walk::new(&borders);
        let mut nodes = walk.nodes();
        let arcs = walk.arcs();
        for (arc, ends) in arcs.iter().enumerate().filter_map(|(i, arc)| Some((i, arc.ends?))) {
            for (way, (node, arm)) in ends.into_iter().enumerate() {
                nodes[node].arms[arm] = Some(2 * arc + way);
            }
        }
        let islands = islands(&arcs, nodes.len(), &borders.corners);
        let mut graph = Self { nodes, arcs, pieces: Vec::new(), islands, class: Vec::new() };
        graph.pieces = graph.find_pieces(&borders);
        graph.class = borders.regions.class;
        graph
    }

    /// The region on the right hand.
    fn region(&self, edge: HalfEdge) -> u32 {
        self.arcs[edge / 2].sides[1 - edge % 2]
    }

    /// The next one round the region on the right hand: at a node it stays with the nearest pixel of that region.
    fn next(&self, edge: HalfEdge) -> HalfEdge {
        let Some(ends) = self.arcs[edge / 2].ends else { return edge };
        let (node, arm) = ends[1 - edge % 2];
        // To the right of the way here, straight on, to the left.
        let ways = [3, 2, 1].map(|turn| self.nodes[node].arms[(arm + turn) % 4]);
        ways.into_iter().flatten().next().unwrap_or(edge ^ 1)
    }

    fn find_pieces(&self, borders: &Borders) -> Vec<Piece> {
        let mut rings: HashMap<u32, Vec<(i64, Vec<HalfEdge>)>> = HashMap::new();
        let mut used = vec![false; 2 * self.arcs.len()];
        for edge in 0..used.len() {
            let region = self.region(edge);
            if used[edge] || region == OUTSIDE {
                continue;
            }
            let mut walk = vec![edge];
            let mut at = self.next(edge);
            while at != edge {
                walk.push(at);
                at = self.next(at);
            }
            walk.iter().for_each(|&edge| used[edge] = true);
            let with_area = self.split(walk).into_iter().map(|ring| (self.area(&ring), ring));
            rings.entry(region).or_default().extend(with_area);
        }
        let mut pieces: Vec<_> = rings.into_iter().collect();
        let pixels = |region: u32| borders.regions.pixels[region as usize];
        pieces.sort_unstable_by_key(|&(region, _)| (Reverse(pixels(region)), region));
        let piece = |(region, mut rings): (u32, Vec<(i64, Vec<HalfEdge>)>)| {
            // The exterior, the only ring with a positive area, comes first; then the most negative area.
            rings.sort_by_key(|&(area, _)| if area > 0 { i64::MIN } else { area });
            let rings = rings.into_iter().map(|(_, ring)| ring).collect();
            Piece { class: borders.regions.class[region as usize], pixels: pixels(region), rings }
        };
        pieces.into_iter().map(piece).collect()
    }

    /// Cuts a walk round a region that touches itself into rings that visit no node twice.
    ///
    /// It touches itself only where four arcs meet, at most twice at each, and never passes two such nodes alternately
    /// (the two stretches would have to cross): so each second visit closes a loop on top of the stack.
    fn split(&self, walk: Vec<HalfEdge>) -> Vec<Vec<HalfEdge>> {
        let start = |edge: HalfEdge| self.arcs[edge / 2].ends.map(|ends| ends[edge % 2].0);
        let crossing = |node: &usize| self.nodes[*node].arms.iter().all(Option::is_some);
        let mut first_visit = HashMap::new();
        let mut stack = Vec::with_capacity(walk.len());
        let mut rings = Vec::new();
        for edge in walk {
            if let Some(node) = start(edge).filter(crossing)
                && let Some(first) = first_visit.insert(node, stack.len())
            {
                rings.push(stack.split_off(first));
                first_visit.insert(node, first);
            }
            stack.push(edge);
        }
        rings.push(stack);
        rings
    }

    /// Enclosed area in pixels; negative for a hole.
    fn area(&self, ring: &[HalfEdge]) -> i64 {
        // Edges alternate between horizontal and vertical: the area is the sum over the vertical ones of x * dy.
        let strip = |pair: &[[u32; 2]]| i64::from(pair[0][0]) * (i64::from(pair[1][1]) - i64::from(pair[0][1]));
        let along = |&edge: &HalfEdge| {
            let sum: i64 = self.arcs[edge / 2].corners.windows(2).map(strip).sum();
            if edge.is_multiple_of(2) { sum } else { -sum }
        };
        ring.iter().map(along).sum()
    }
}

/// Follows borders from corner to corner.
struct Walk<'a> {
    borders: &'a Borders,
    /// Per corner the index of the node that it is.
    node: Vec<Option<u32>>,
    passed: Vec<bool>,
}

impl<'a> Walk<'a> {
    fn new(borders: &'a Borders) -> Self {
        let on_frame = |position: u32, side: u32| position == 0 || position == side;
        let is_node = |corner: &Corner| {
            let of_frame = on_frame(corner.x, borders.width) && on_frame(corner.y, borders.height);
            of_frame || corner.arms().into_iter().filter(|arm| *arm).count() > 2
        };
        let mut count = 0;
        let mut number = |corner: &Corner| {
            is_node(corner).then(|| {
                count += 1;
                count - 1
            })
        };
        let node = borders.corners.iter().map(&mut number).collect();
        Self { borders, node, passed: vec![false; borders.corners.len()] }
    }

    fn nodes(&self) -> Vec<Node> {
        let corners = self.borders.corners.iter().zip(&self.node).filter(|(_, node)| node.is_some());
        corners.map(|(corner, _)| Node { at: corner.position(), regions: corner.regions, arms: [None; 4] }).collect()
    }

    fn arcs(&mut self) -> Vec<Arc> {
        let corners = &self.borders.corners;
        let mut arcs = Vec::new();
        // Both ends of an arc are starts of it: of those, the first is taken.
        let mut arrived = HashSet::new();
        for (i, corner) in corners.iter().enumerate() {
            let arms = if self.node[i].is_some() { corner.arms() } else { [false; 4] };
            for (arm, _) in arms.into_iter().enumerate().filter(|(_, there)| *there) {
                if !arrived.remove(&(i, arm)) {
                    let (arc, end) = self.arc(i, arm);
                    arcs.push(arc);
                    arrived.insert(end);
                }
            }
        }
        for (i, corner) in corners.iter().enumerate() {
            // The first corner of a closed border is a top left one.
            if self.node[i].is_none() && !self.passed[i] && corner.arms() == [false, true, true, false] {
                arcs.push(self.arc(i, 1).0);
            }
        }
        arcs
    }

    /// Follows a border to the next node or, where there is none, once around. Also says at which corner and arm it ends.
    fn arc(&mut self, start: usize, arm: usize) -> (Arc, (usize, usize)) {
        let all = &self.borders.corners;
        let (mut at, mut direction, mut first) = (start, arm, start);
        let mut corners = vec![all[at].position()];
        loop {
            let ahead = [all[at].up as usize, at + 1, all[at].down as usize, at.wrapping_sub(1)];
            at = ahead[direction];
            first = first.min(at);
            self.passed[at] = true;
            let back = (direction + 2) % 4;
            let arms = all[at].arms();
            let way = (0..4).find(|&way| arms[way] && way != back).filter(|_| self.node[at].is_none() && at != start);
            if way != Some(direction) {
                corners.push(all[at].position());
            }
            let Some(way) = way else {
                let node = |corner: usize| self.node[corner].map(|node| node as usize);
                let ends = node(start).zip(node(at)).map(|(from, to)| [(from, arm), (to, back)]);
                let sides = [all[start].regions[arm], all[start].regions[(arm + 1) % 4]];
                return (Arc { corners, sides, ends, first }, (at, back));
            };
            direction = way;
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // there are no more nodes than corners of pixels
fn islands(arcs: &[Arc], nodes: usize, corners: &[Corner]) -> Vec<Island> {
    let mut parent: Vec<u32> = (0..nodes as u32).collect();
    for [(from, _), (to, _)] in arcs.iter().filter_map(|arc| arc.ends) {
        let (from, to) = (root(&mut parent, from as u32), root(&mut parent, to as u32));
        parent[from.max(to) as usize] = from.min(to);
    }
    let mut number = HashMap::new();
    let mut islands: Vec<(usize, Vec<usize>)> = Vec::new();
    for (i, arc) in arcs.iter().enumerate() {
        let new = islands.len();
        let island =
            arc.ends.map_or(new, |[(node, _), _]| *number.entry(root(&mut parent, node as u32)).or_insert(new));
        if island == new {
            islands.push((arc.first, Vec::new()));
        }
        let (first, arcs) = &mut islands[island];
        *first = arc.first.min(*first);
        arcs.push(i);
    }
    // The first corner of an island has nothing of it above and to the left.
    islands.into_iter().map(|(first, arcs)| Island { arcs, around: corners[first].regions[0] }).collect()
}
