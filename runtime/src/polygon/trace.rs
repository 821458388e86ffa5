//! Border following along pixel edges.

use std::collections::HashMap;

use super::PixelBox;

/// Largest side, in pixels: beyond it f32 cannot hold every corner, and products of coordinates could overflow.
const MAX_SIDE: u32 = 1 << 24;

/// One bit a pixel of the bounding box, set where the pixel has the class.
pub(super) struct Bits {
    words: Vec<u64>,
    words_per_row: usize,
    width: u32,
    height: u32,
    /// Top left pixel of the box in the photo.
    origin: [u32; 2],
}

/// A turn of the outline, in photo pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Corner {
    pub x: u32,
    pub y: u32,
    /// Two pixels of the mask meet here by their corners only.
    pub saddle: bool,
}

impl Corner {
    #[allow(clippy::cast_precision_loss)] // at most MAX_SIDE
    pub fn to_f32(self) -> [f32; 2] {
        [self.x as f32, self.y as f32]
    }

    pub fn position(self) -> [u32; 2] {
        [self.x, self.y]
    }
}

/// A closed outline: its corners, and no point twice.
pub(super) struct Ring {
    pub corners: Vec<Corner>,
    /// Enclosed area in pixels; negative for a hole.
    pub area: i64,
}

impl Ring {
    fn new(corners: Vec<Corner>) -> Self {
        // Edges alternate between horizontal and vertical: the area is the sum over the vertical ones of x * dy.
        let next = corners.iter().cycle().skip(1);
        let area = corners.iter().zip(next).map(|(a, b)| i64::from(a.x) * (i64::from(b.y) - i64::from(a.y)));
        Self { area: area.sum(), corners }
    }
}

/// One 4-connected piece of the mask.
pub(super) struct Piece {
    pub pixels: u64,
    /// The exterior, then the holes, largest first.
    pub rings: Vec<Ring>,
}

impl Bits {
    pub fn of_class(labels: &[u8], width: u32, height: u32, class: u8, bounds: PixelBox) -> Self {
        let clip = |start: u32, length: u32, side: u32| {
            let side = side.min(MAX_SIDE);
            (start.min(side), length.min(side.saturating_sub(start)))
        };
        let (x, box_width) = clip(bounds.x, bounds.width, width);
        let (y, box_height) = clip(bounds.y, bounds.height, height);
        let box_height = if box_width == 0 { 0 } else { box_height };
        let words_per_row = (box_width as usize).div_ceil(64);
        let mut words = vec![0; words_per_row * box_height as usize];
        if words_per_row > 0 {
            for (row, words) in (y as usize..).zip(words.chunks_exact_mut(words_per_row)) {
                let start = row * width as usize + x as usize;
                // A label map that is too short ends in missing rows, not in a panic.
                let row = labels.get(start..start + box_width as usize).unwrap_or_default();
                for (word, pixels) in words.iter_mut().zip(row.chunks(64)) {
                    *word = matches(pixels, class);
                }
            }
        }
        Self { words, words_per_row, width: box_width, height: box_height, origin: [x, y] }
    }

    /// False outside the box; a coordinate of -1 arrives here as `u32::MAX`.
    fn get(&self, x: u32, y: u32) -> bool {
        x < self.width && y < self.height && self.words[self.index(x, y)] >> (x % 64) & 1 == 1
    }

    fn index(&self, x: u32, y: u32) -> usize {
        y as usize * self.words_per_row + x as usize / 64
    }
}

/// Bit i is set where `pixels[i]` (of at most 64) equals `class`: eight pixels at a time in one word.
fn matches(pixels: &[u8], class: u8) -> u64 {
    const LOW7: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let (eights, rest) = pixels.as_chunks::<8>();
    let mut word = 0;
    for (i, eight) in eights.iter().enumerate() {
        let difference = u64::from_le_bytes(*eight) ^ u64::from_le_bytes([class; 8]);
        // The top bit of each byte that is zero ...
        let zero = !(((difference & LOW7) + LOW7) | difference | LOW7);
        // ... and those eight bits gathered in the top byte of a product.
        word |= ((zero >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i);
    }
    for (i, &pixel) in (8 * eights.len()..).zip(rest) {
        word |= u64::from(pixel == class) << i;
    }
    word
}

/// Horizontal runs of set pixels in raster order, joined into 4-connected pieces by union-find.
struct Runs {
    start: Vec<u32>,
    /// One past the last column.
    end: Vec<u32>,
    /// Index of the first run of each row, and the number of runs at the end.
    row: Vec<usize>,
    /// Union-find; a root is the first run of its piece.
    parent: Vec<usize>,
}

impl Runs {
    fn of(bits: &Bits) -> Self {
        let mut runs = Self { start: Vec::new(), end: Vec::new(), row: vec![0], parent: Vec::new() };
        for words in bits.words.chunks_exact(bits.words_per_row.max(1)) {
            let mut before = 0;
            for (i, &word) in words.iter().enumerate() {
                let after = words.get(i + 1).copied().unwrap_or(0);
                push_bits(&mut runs.start, word & !(word << 1 | before), i);
                push_bits(&mut runs.end, word & !(word >> 1 | after << 63), i);
                before = word >> 63;
            }
            let first = runs.row.last().copied().unwrap_or(0);
            // The ends so far are last columns.
            runs.end[first..].iter_mut().for_each(|end| *end += 1);
            runs.row.push(runs.start.len());
        }
        runs.parent = (0..runs.start.len()).collect();
        for rows in 0..runs.row.len().saturating_sub(2) {
            runs.join(runs.row[rows], runs.row[rows + 1], runs.row[rows + 2]);
        }
        runs
    }

    /// Joins the runs `above .. below` with those of the next row, `below .. end`, that they overlap.
    fn join(&mut self, mut above: usize, below: usize, end: usize) {
        let mut b = below;
        while above < below && b < end {
            if self.start[above] < self.end[b] && self.start[b] < self.end[above] {
                let (one, other) = (self.root(above), self.root(b));
                self.parent[one.max(other)] = one.min(other);
            }
            if self.end[above] < self.end[b] {
                above += 1;
            } else {
                b += 1;
            }
        }
    }

    fn root(&mut self, mut run: usize) -> usize {
        while self.parent[run] != run {
            self.parent[run] = self.parent[self.parent[run]];
            run = self.parent[run];
        }
        run
    }
}

fn push_bits(columns: &mut Vec<u32>, mut word: u64, word_index: usize) {
    while word != 0 {
        #[allow(clippy::cast_possible_truncation)] // a row has at most MAX_SIDE pixels
        columns.push(word_index as u32 * 64 + word.trailing_zeros());
        word &= word - 1;
    }
}

/// All pieces of at least `min_area` pixels, largest first, without the holes that are smaller.
///
/// Each ring has at least one edge with the mask on its right and none on its left, and these edges are the starts of
/// the runs: going through the runs and following each start that no earlier ring has passed finds every ring once,
/// and the run says which piece the ring belongs to.
pub(super) fn pieces(bits: &Bits, min_area: f64) -> Vec<Piece> {
    let mut runs = Runs::of(bits);
    let mut pixels = vec![0u64; runs.start.len()];
    for run in 0..runs.start.len() {
        pixels[runs.root(run)] += u64::from(runs.end[run] - runs.start[run]);
    }
    let mut passed = vec![0; bits.words.len()];
    let mut piece_of_root = vec![0; runs.start.len()];
    let mut pieces: Vec<Piece> = Vec::new();
    for y in 0..bits.height {
        for run in runs.row[y as usize]..runs.row[y as usize + 1] {
            let (x, root) = (runs.start[run], runs.root(run));
            let done = passed[bits.index(x, y)] >> (x % 64) & 1 == 1;
            if done || too_small(pixels[root], min_area) {
                continue;
            }
            if root == run {
                piece_of_root[root] = pieces.len();
                pieces.push(Piece { pixels: pixels[root], rings: Vec::new() });
            }
            let rings = split(follow(bits, &mut passed, x, y)).into_iter().map(Ring::new);
            pieces[piece_of_root[root]]
                .rings
                .extend(rings.filter(|ring| !too_small(ring.area.unsigned_abs(), min_area)));
        }
    }
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.pixels));
    for piece in &mut pieces {
        // The exterior, the only ring with a positive area, comes first; then the most negative area.
        piece.rings.sort_by_key(|ring| if ring.area > 0 { i64::MIN } else { ring.area });
    }
    pieces
}

#[allow(clippy::cast_precision_loss)]
fn too_small(pixels: u64, min_area: f64) -> bool {
    (pixels as f64) < min_area
}

/// Follows the outline that goes up the left side of pixel (x, y) of the box, the mask on the right hand, and marks the
/// left sides that it passes. Where pixels meet by a corner only it stays with its pixel.
fn follow(bits: &Bits, passed: &mut [u64], x: u32, y: u32) -> Vec<Corner> {
    // Per direction (up, right, down, left): the step, and from a point to the pixels ahead on the left and right.
    const STEP: [(i32, i32); 4] = [(0, -1), (1, 0), (0, 1), (-1, 0)];
    const AHEAD_LEFT: [(i32, i32); 4] = [(-1, -1), (0, -1), (0, 0), (-1, 0)];
    const AHEAD_RIGHT: [(i32, i32); 4] = [(0, -1), (0, 0), (-1, 0), (-1, -1)];
    let mut corners = Vec::new();
    let (start, mut at, mut direction) = ((x, y + 1), (x, y + 1), 0);
    loop {
        if direction == 0 {
            passed[bits.index(at.0, at.1 - 1)] |= 1 << (at.0 % 64);
        }
        at = (at.0.wrapping_add_signed(STEP[direction].0), at.1.wrapping_add_signed(STEP[direction].1));
        let mask = |(dx, dy): (i32, i32)| bits.get(at.0.wrapping_add_signed(dx), at.1.wrapping_add_signed(dy));
        let (left, right) = (mask(AHEAD_LEFT[direction]), mask(AHEAD_RIGHT[direction]));
        if !right || left {
            corners.push(Corner { x: at.0 + bits.origin[0], y: at.1 + bits.origin[1], saddle: left && !right });
            direction = (direction + if right { 3 } else { 1 }) % 4;
        }
        if at == start && direction == 0 {
            return corners;
        }
    }
}

/// Cuts an outline that touches itself into rings that visit no point twice.
///
/// It touches itself only at saddles, at most twice at each, and never passes two of them alternately (the two stretches
/// would have to cross): so each second visit closes a loop on top of the stack.
fn split(outline: Vec<Corner>) -> Vec<Vec<Corner>> {
    if outline.iter().filter(|corner| corner.saddle).count() < 2 {
        return vec![outline];
    }
    let mut first_visit = HashMap::new();
    let mut stack = Vec::with_capacity(outline.len());
    let mut rings = Vec::new();
    for corner in outline {
        let first = if corner.saddle { first_visit.insert(corner.position(), stack.len()) } else { None };
        if let Some(first) = first {
            let mut ring = vec![corner];
            ring.extend(stack.drain(first + 1..));
            rings.push(ring);
        } else {
            stack.push(corner);
        }
    }
    rings.push(stack);
    rings
}
