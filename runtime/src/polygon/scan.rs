//! Rows of labels -> regions, and the corners of all borders between them, in one pass from top to bottom. What it holds
//! besides its result is a few rows.

use crate::regions::absorb::absorb;
use crate::regions::forest::{Forest, OUTSIDE};

/// Largest side, in pixels: beyond it `f32` cannot hold every corner.
pub(super) const MAX_SIDE: u32 = 1 << 24;

/// Where a border turns, or where more than two borders meet, in photo pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Corner {
    pub x: u32,
    pub y: u32,
    /// Around it: top left, top right, bottom right, bottom left.
    pub regions: [u32; 4],
    /// Index of the corner at the other end of the border that goes up from here, where one does.
    pub up: u32,
    /// The same downwards. To the right it is the next corner of the list, to the left the one before.
    pub down: u32,
}

impl Corner {
    pub fn position(&self) -> [u32; 2] {
        [self.x, self.y]
    }

    /// Whether a border goes up, to the right, down, to the left.
    pub fn arms(&self) -> [bool; 4] {
        std::array::from_fn(|i| self.regions[i] != self.regions[(i + 1) % 4])
    }
}

/// All borders of a label map, the frame of the photo among them.
pub(super) struct Borders {
    pub width: u32,
    pub height: u32,
    /// Row by row.
    pub corners: Vec<Corner>,
    pub regions: Forest,
}

impl Borders {
    /// Makes each region of fewer than `min_area` pixels a part of its neighbours: see [`absorb`].
    pub fn absorb(&mut self, min_area: f64) {
        if absorb(&mut self.regions, stretches(&self.corners), min_area) {
            self.name_roots();
        }
    }

    /// Names the root of each region at each corner.
    fn name_roots(&mut self) {
        for corner in &mut self.corners {
            corner.regions = corner.regions.map(|region| self.regions.root(region));
        }
    }
}

/// The stretches of border between corners: the regions on both sides, and the length in pixels.
fn stretches(corners: &[Corner]) -> impl Iterator<Item = (u32, u32, u32)> {
    corners.iter().enumerate().flat_map(move |(i, corner)| {
        let [_, right, down, _] = corner.arms();
        let [_, top_right, bottom_right, bottom_left] = corner.regions;
        let next = corners.get(i + 1).filter(|_| right);
        let across = next.map(|next| (top_right, bottom_right, next.x - corner.x));
        let along = down.then(|| (bottom_right, bottom_left, corners[corner.down as usize].y - corner.y));
        [across, along].into_iter().flatten()
    })
}

/// A run of pixels of one class. The last one of a row starts at its end and is [`OUTSIDE`].
#[derive(Clone, Copy)]
struct Run {
    start: u32,
    region: u32,
}

/// A row of pixels; without any, the outside.
#[derive(Default)]
struct Row {
    labels: Vec<u8>,
    /// Bit x is set where the pixels on the left and the right of the pixel corner x differ.
    vertical: Vec<u64>,
    runs: Vec<Run>,
}

/// Takes the rows of a label map one by one.
pub(super) struct Scan {
    width: u32,
    above: Row,
    below: Row,
    /// Bit x is set where pixel x of the two rows differs.
    horizontal: Vec<u64>,
    /// Per pixel corner of a row: the last corner above from which a border goes down.
    open: Vec<u32>,
    borders: Borders,
}

impl Scan {
    /// `width`: pixels a row.
    pub fn new(width: u32) -> Self {
        let words = vec![0; width as usize / 64 + 1];
        let row = || Row { vertical: words.clone(), ..Row::default() };
        let mut regions = Forest::default();
        regions.add(0);
        Self {
            width,
            above: row(),
            below: row(),
            horizontal: words.clone(),
            open: vec![0; width as usize + 1],
            borders: Borders { width, height: 0, corners: Vec::new(), regions },
        }
    }

    /// `labels`: as many as the width.
    pub fn push(&mut self, labels: &[u8]) {
        self.below.read(labels);
        self.find_regions();
        self.find_corners();
        std::mem::swap(&mut self.above, &mut self.below);
        self.borders.height += 1;
    }

    /// Closes the frame.
    pub fn finish(mut self) -> Borders {
        self.below.labels.clear();
        self.below.vertical.fill(0);
        self.below.runs.clear();
        self.find_corners();
        self.borders.name_roots();
        self.borders
    }

    /// Joins each run of the row to those of its class that it touches above, or starts a region.
    fn find_regions(&mut self) {
        let (above, below, regions) = (&self.above.runs, &mut self.below, &mut self.borders.regions);
        let mut first = 0;
        for i in 1..below.runs.len() {
            let (start, end) = (below.runs[i - 1].start, below.runs[i].start);
            let class = below.labels[start as usize];
            while above.get(first + 1).is_some_and(|run| run.start <= start) {
                first += 1;
            }
            let mut joined = None;
            for run in above[first..].iter().take_while(|run| run.start < end) {
                if regions.class[run.region as usize] == class {
                    let (root, other) = (regions.root(run.region), joined.map(|region| regions.root(region)));
                    let [into, from] = [root.min(other.unwrap_or(root)), root.max(other.unwrap_or(root))];
                    regions.join(into, from);
                    joined = Some(into);
                }
            }
            let region = joined.unwrap_or_else(|| regions.add(class));
            regions.pixels[region as usize] += u64::from(end - start);
            below.runs[i - 1].region = region;
        }
    }

    /// Finds the corners between the two rows.
    fn find_corners(&mut self) {
        match (self.above.labels.is_empty(), self.below.labels.is_empty()) {
            (false, false) => differences(&self.above.labels, &self.below.labels, &mut self.horizontal),
            (outside_above, outside_below) => {
                fill_first(&mut self.horizontal, self.width, outside_above != outside_below)
            }
        }
        let (mut above, mut below) = (Cursor::new(&self.above.runs), Cursor::new(&self.below.runs));
        let corners = &mut self.borders.corners;
        let mut carry = 0;
        for (i, &right) in self.horizontal.iter().enumerate() {
            let (up, down, left) = (self.above.vertical[i], self.below.vertical[i], right << 1 | carry);
            carry = right >> 63;
            let straight = (up & down & !left & !right) | (left & right & !up & !down);
            let mut bits = (up | down | left | right) & !straight;
            while bits != 0 {
                #[allow(clippy::cast_possible_truncation)] // as for regions
                let (x, index) = (64 * i as u32 + bits.trailing_zeros(), corners.len() as u32);
                let lowest = bits & bits.wrapping_neg();
                bits ^= lowest;
                let ((top_left, top_right), (bottom_left, bottom_right)) = (above.sides(x), below.sides(x));
                let open = &mut self.open[x as usize];
                let regions = [top_left, top_right, bottom_right, bottom_left];
                corners.push(Corner { x, y: self.borders.height, regions, up: *open, down: index });
                if up & lowest != 0 {
                    corners[*open as usize].down = index;
                }
                if down & lowest != 0 {
                    *open = index;
                }
            }
        }
    }
}

impl Row {
    fn read(&mut self, labels: &[u8]) {
        self.labels.clear();
        self.labels.extend_from_slice(labels);
        let end = labels.len();
        differences(&labels[1.min(end)..], &labels[..end.saturating_sub(1)], &mut self.vertical);
        // From pixels to the pixel corners on their right; both ends of the row are a part of the frame.
        let mut carry = 1;
        for word in &mut self.vertical {
            let top = *word >> 63;
            *word = *word << 1 | carry;
            carry = top;
        }
        self.vertical[end / 64] |= 1 << (end % 64);
        self.runs.clear();
        for (i, &word) in self.vertical.iter().enumerate() {
            let mut bits = word;
            while bits != 0 {
                #[allow(clippy::cast_possible_truncation)] // a row has at most MAX_SIDE pixels
                self.runs.push(Run { start: 64 * i as u32 + bits.trailing_zeros(), region: OUTSIDE });
                bits &= bits - 1;
            }
        }
    }
}

/// Looks up, for pixel corners from left to right, the regions on both sides of each in a row of pixels.
struct Cursor<'a> {
    runs: &'a [Run],
    /// Number of runs that start to the left of the last corner looked up.
    before: usize,
}

impl<'a> Cursor<'a> {
    fn new(runs: &'a [Run]) -> Self {
        Self { runs, before: 0 }
    }

    fn sides(&mut self, x: u32) -> (u32, u32) {
        while self.runs.get(self.before).is_some_and(|run| run.start < x) {
            self.before += 1;
        }
        let left = self.before.checked_sub(1).map_or(OUTSIDE, |run| self.runs[run].region);
        let right = self.runs.get(self.before).filter(|run| run.start == x).map_or(left, |run| run.region);
        (left, right)
    }
}

/// Sets the first `count` bits to `value` and the others to 0.
fn fill_first(words: &mut [u64], count: u32, value: bool) {
    words.fill(0);
    if value {
        words[..count as usize / 64].fill(u64::MAX);
        words[count as usize / 64] = (1 << (count % 64)) - 1;
    }
}

/// Sets bit x where `a[x]` and `b[x]` differ, and clears all others.
fn differences(a: &[u8], b: &[u8], words: &mut [u64]) {
    // Most pixels are like their neighbours: comparing 64 of them is one call.
    let mut pairs = a.chunks(64).zip(b.chunks(64)).map(|(a, b)| if a == b { 0 } else { differing(a, b) });
    words.fill_with(|| pairs.next().unwrap_or(0));
}

/// Bit i is set where `a[i]` and `b[i]` (at most 64 of them) differ: eight pixels at a time in one word.
fn differing(a: &[u8], b: &[u8]) -> u64 {
    const LOW7: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let ((a_eights, a_rest), (b_eights, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut word = 0;
    for (i, (a, b)) in a_eights.iter().zip(b_eights).enumerate() {
        let difference = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        // The top bit of each byte that is not zero ...
        let set = (((difference & LOW7) + LOW7) | difference) & !LOW7;
        // ... and those eight bits gathered in the top byte of a product.
        word |= ((set >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i);
    }
    for (i, (a, b)) in (8 * a_eights.len()..).zip(a_rest.iter().zip(b_rest)) {
        word |= u64::from(a != b) << i;
    }
    word
}
