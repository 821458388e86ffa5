//! How much of a JPEG is there, judged by its blocks: the end marker may be missing where all blocks are there, and be there where
//! blocks are missing. Nothing is transformed; coefficients are stepped over.

use super::bits::BitReader;
use super::huffman::{AcTable, Table};
use super::segments::{Marker, Segment, Segments, next_marker};
use super::{MAX_SCANS, Tables, read_huffman};
use crate::decode::deadline::Deadline;

/// How much is there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::decode) enum Extent {
    /// Every block. Where the end marker does not follow, this is the place where it belongs.
    Whole {
        /// Behind the last byte of the last scan.
        end: Option<usize>,
    },
    /// The data end before the last block.
    Cut {
        /// Share of the blocks that are there, or of the coefficients of a progressive JPEG, 0..1.
        share: f64,
        /// Behind the last byte that belongs to the photo: zeros may follow.
        end: usize,
    },
    /// It is damaged otherwise, or of a kind that is not looked into.
    Unknown,
}

/// Why a scan was not read to its end.
enum Stop {
    /// The data end.
    End,
    /// Something else is wrong.
    Damage,
}

/// Bytes between the last scan and the end marker that decoders step over.
const STRAY_BYTES: usize = 64;

/// Zeros at the end of a file that may be what a broken download left. Fewer are taken as they are.
const MIN_ZEROS: usize = 4096;
/// Zeros that a whole photo without an end mark may end in before others follow it.
const OWN_ZEROS: usize = 16;

/// Looks at all blocks.
///
/// Zeros in place of data are read as blocks, too. A photo of one colour may consist of them, and then it needs each; where no
/// end mark follows and some are left over, nobody wrote them.
pub(in crate::decode) fn extent(bytes: &[u8], deadline: &Deadline) -> Extent {
    let found = walk(bytes, deadline).unwrap_or(Extent::Unknown);
    let there = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
    match found {
        _ if bytes.len() - there < MIN_ZEROS => found,
        Extent::Whole { end: None } => found,
        Extent::Whole { end: Some(end) } if end <= there + OWN_ZEROS || end == bytes.len() => found,
        _ => walk(bytes.get(..there).unwrap_or(bytes), deadline).unwrap_or(Extent::Unknown),
    }
}

fn walk(bytes: &[u8], deadline: &Deadline) -> Option<Extent> {
    let mut segments = Segments::new(bytes)?;
    let mut tables = Tables::default();
    let mut interval = 0;
    let mut frame: Option<Frame> = None;
    let mut scans = 0;
    let cut = |share| Extent::Cut { share, end: bytes.len() };
    while !deadline.has_passed() {
        let Some(Segment { marker, body }) = segments.next() else {
            // Between two scans, or within the head of one.
            return frame.filter(|_| scans > 0).map(|frame| cut(frame.share(0.0)));
        };
        match marker {
            Marker::HUFFMAN => read_huffman(body, &mut tables)?,
            Marker::RESTART_INTERVAL => interval = u32::from(u16::from_be_bytes(*body.first_chunk()?)),
            Marker::START_OF_SCAN => {
                scans += 1;
                let frame = frame.as_mut().filter(|_| scans <= MAX_SCANS)?;
                let scan = Scan::read(body, frame)?;
                let mut walker = Walker { reader: BitReader::new(bytes, segments.at()), bytes, interval, deadline };
                match walker.scan(&scan, frame, &tables) {
                    Ok(()) => frame.add(&scan),
                    Err((Stop::End, done)) => {
                        return Some(cut(frame.share(scan.weight(frame) * done)));
                    }
                    Err((Stop::Damage, _)) => return None,
                }
                let end = walker.reader.position();
                match next_marker(bytes, end) {
                    Some((at, Marker::END)) if at - end < STRAY_BYTES && frame.shows_all() => {
                        return Some(Extent::Whole { end: None });
                    }
                    _ if frame.is_complete() => return Some(Extent::Whole { end: Some(end) }),
                    Some((at, _)) => segments.go_to(at),
                    None => return Some(cut(frame.share(0.0))),
                }
            }
            Marker::END => return frame.filter(|_| scans > 0).map(|frame| cut(frame.share(0.0))),
            Marker(kind @ 0xc0..=0xc2) if frame.is_none() => frame = Some(Frame::read(kind == 0xc2, body)?),
            _ if marker.is_frame() || !(marker.is_skippable() || marker == Marker::QUANTIZATION) => return None,
            _ => {}
        }
    }
    None
}

struct Component {
    id: u8,
    /// Blocks in one unit of the interleaved stream, across and down.
    sampling: [u32; 2],
    /// Blocks that the photo covers, across and down.
    blocks: [u32; 2],
    /// Blocks of whole units in a row.
    blocks_in_row: u32,
    /// Progressive: for each block which coefficients are not zero so far.
    nonzero: Vec<u64>,
    /// For each coefficient the lowest bit that is there.
    low_bits: [u8; 64],
}

/// A coefficient of which nothing is there.
const NOTHING: u8 = u8::MAX;

struct Frame {
    is_progressive: bool,
    units: [u32; 2],
    components: Vec<Component>,
}

impl Frame {
    fn read(is_progressive: bool, body: &[u8]) -> Option<Self> {
        let (&[bits, high, low, wide_high, wide_low, count], specs) = body.split_first_chunk()?;
        let size = [[wide_high, wide_low], [high, low]].map(|side| u32::from(u16::from_be_bytes(side)));
        if bits != 8 || !(1..=4).contains(&count) || specs.len() != usize::from(count) * 3 || size.contains(&0) {
            return None;
        }
        let (specs, _) = specs.as_chunks::<3>();
        let sampling =
            |spec: &[u8; 3]| if count == 1 { [1, 1] } else { [u32::from(spec[1] >> 4), u32::from(spec[1] & 15)] };
        if specs.iter().any(|spec| sampling(spec).iter().any(|blocks| !(1..=4).contains(blocks))) {
            return None;
        }
        let largest = [0, 1].map(|axis| specs.iter().map(|spec| sampling(spec)[axis]).max().unwrap_or(1));
        let units = [0, 1].map(|axis: usize| size[axis].div_ceil(8 * largest[axis]));
        let component = |spec: &[u8; 3]| {
            let sampling = sampling(spec);
            let blocks = [0, 1].map(|axis: usize| (size[axis] * sampling[axis]).div_ceil(largest[axis]).div_ceil(8));
            let padded = [0, 1].map(|axis: usize| units[axis] * sampling[axis]);
            let nonzero = if is_progressive { vec![0; padded[0] as usize * padded[1] as usize] } else { Vec::new() };
            Component { id: spec[0], sampling, blocks, blocks_in_row: padded[0], nonzero, low_bits: [NOTHING; 64] }
        };
        Some(Self { is_progressive, units, components: specs.iter().map(component).collect() })
    }

    fn add(&mut self, scan: &Scan) {
        for part in &scan.parts {
            let low_bits = &mut self.components[part.component].low_bits;
            low_bits[scan.first as usize..=scan.last as usize].fill(scan.low_bit);
        }
    }

    /// Whether something is there of every coefficient. A progressive JPEG that ends with an end marker need not have the last
    /// bits.
    fn shows_all(&self) -> bool {
        self.components.iter().all(|component| component.low_bits.iter().all(|bit| *bit != NOTHING))
    }

    /// Whether every bit is there.
    fn is_complete(&self) -> bool {
        self.components.iter().all(|component| component.low_bits.iter().all(|bit| *bit == 0))
    }

    /// Share of the coefficients of which every bit is there, and `more`.
    fn share(&self, more: f64) -> f64 {
        let whole = self.components.iter().flat_map(|component| &component.low_bits).filter(|bit| **bit == 0).count();
        whole as f64 / (64 * self.components.len()) as f64 + more
    }
}

struct Part {
    component: usize,
    dc: usize,
    ac: usize,
}

struct Scan {
    parts: Vec<Part>,
    first: u32,
    last: u32,
    refines: bool,
    low_bit: u8,
}

impl Scan {
    /// Nothing where it does not fit what came before it.
    fn read(body: &[u8], frame: &Frame) -> Option<Self> {
        let (&count, rest) = body.split_first()?;
        let (specs, &[first, last, bits]) = rest.split_last_chunk()?;
        let (specs, odd) = specs.as_chunks::<2>();
        if count == 0 || specs.len() != usize::from(count) || !odd.is_empty() || first > last || last > 63 {
            return None;
        }
        let mut parts: Vec<Part> = Vec::new();
        for [id, tables] in specs {
            let component = frame.components.iter().position(|component| component.id == *id)?;
            if parts.iter().any(|part| part.component == component) {
                return None;
            }
            parts.push(Part { component, dc: usize::from(tables >> 4), ac: usize::from(tables & 15) });
        }
        let (high_bit, low_bit) = (bits >> 4, bits & 15);
        let is_possible = match frame.is_progressive {
            true => (first == 0 && last == 0) || (first > 0 && count == 1),
            false => [first, last, bits] == [0, 63, 0],
        };
        let expected = if high_bit == 0 { NOTHING } else { high_bit };
        let follows = parts.iter().all(|part| {
            let low_bits = &frame.components[part.component].low_bits;
            low_bits[usize::from(first)..=usize::from(last)].iter().all(|bit| *bit == expected)
        });
        let scan = Self { parts, first: u32::from(first), last: u32::from(last), refines: high_bit > 0, low_bit };
        (is_possible && follows).then_some(scan)
    }

    /// Its share of all that makes a photo, if it is the last of its coefficients.
    fn weight(&self, frame: &Frame) -> f64 {
        let coefficients = (self.last - self.first + 1) as usize * self.parts.len();
        if self.low_bit > 0 { 0.0 } else { coefficients as f64 / (64 * frame.components.len()) as f64 }
    }
}

struct Walker<'a> {
    reader: BitReader<'a>,
    bytes: &'a [u8],
    /// Units from one restart to the next; 0 for none.
    interval: u32,
    deadline: &'a Deadline,
}

impl Walker<'_> {
    /// Steps over a scan. Fails with the share of it that is there.
    fn scan(&mut self, scan: &Scan, frame: &mut Frame, tables: &Tables) -> Result<(), (Stop, f64)> {
        let (units, is_lone) = match scan.parts.as_slice() {
            [part] => (frame.components[part.component].blocks, true),
            _ => (frame.units, false),
        };
        let is_progressive = frame.is_progressive;
        let (mut until_restart, mut restarts, mut skipped_blocks) = (self.interval, 0_u8, 0_u32);
        let total = f64::from(units[0]) * f64::from(units[1]);
        for unit_y in 0..units[1] {
            if self.deadline.has_passed() {
                return Err((Stop::Damage, 0.0));
            }
            for unit_x in 0..units[0] {
                let stopped = |stop| (stop, (f64::from(unit_y) * f64::from(units[0]) + f64::from(unit_x)) / total);
                if self.interval > 0 && until_restart == 0 {
                    self.restart(restarts).map_err(stopped)?;
                    (restarts, until_restart, skipped_blocks) = ((restarts + 1) % 8, self.interval, 0);
                }
                until_restart = until_restart.wrapping_sub(1);
                for part in &scan.parts {
                    let component = &mut frame.components[part.component];
                    let [across, down] = if is_lone { [1, 1] } else { component.sampling };
                    for block in 0..across * down {
                        let (x, y) = (unit_x * across + block % across, unit_y * down + block / across);
                        let done = if is_progressive {
                            let nonzero = component.nonzero.get_mut((y * component.blocks_in_row + x) as usize);
                            nonzero
                                .and_then(|nonzero| self.progressive(scan, part, tables, nonzero, &mut skipped_blocks))
                        } else {
                            self.sequential(part, tables)
                        };
                        if done.is_none() || self.reader.is_past_end() {
                            return Err(stopped(self.why()));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Why the reader cannot go on.
    fn why(&self) -> Stop {
        if !self.reader.is_at_end() {
            return Stop::Damage;
        }
        match next_marker(self.bytes, self.reader.position()) {
            None | Some((_, Marker::END)) => Stop::End,
            Some(_) => Stop::Damage,
        }
    }

    /// Goes behind the restart marker of this number; bytes before it are stepped over.
    fn restart(&mut self, number: u8) -> Result<(), Stop> {
        match next_marker(self.bytes, self.reader.position()) {
            Some((at, Marker(marker))) if marker == 0xd0 + number => {
                self.reader = BitReader::new(self.bytes, at + 2);
                Ok(())
            }
            None | Some((_, Marker::END)) => Err(Stop::End),
            Some(_) => Err(Stop::Damage),
        }
    }

    fn mean(&mut self, table: &Table) -> Option<()> {
        self.reader.refill();
        let (bits, length) = table.decode(self.reader.window())?;
        if bits > 15 {
            return None;
        }
        self.reader.consume(length + u32::from(bits));
        Some(())
    }

    fn sequential(&mut self, part: &Part, tables: &Tables) -> Option<()> {
        self.mean(tables.dc.get(part.dc)?.as_ref()?)?;
        super::scan::step_over(&mut self.reader, tables.ac.get(part.ac)?.as_ref()?, 1)
    }

    fn bit(&mut self) -> u32 {
        self.reader.refill();
        self.reader.take(1)
    }

    /// A block of a progressive scan. `skipped` is the number of blocks to come of which the scan says nothing new.
    fn progressive(
        &mut self,
        scan: &Scan,
        part: &Part,
        tables: &Tables,
        nonzero: &mut u64,
        skipped: &mut u32,
    ) -> Option<()> {
        if scan.first == 0 {
            if scan.refines {
                self.bit();
                return Some(());
            }
            return self.mean(tables.dc.get(part.dc)?.as_ref()?);
        }
        let table = tables.ac.get(part.ac)?.as_ref()?;
        if *skipped > 0 {
            self.refine(scan, scan.first, *nonzero);
        } else if !self.coefficients(scan, table, nonzero, skipped)? {
            return Some(());
        }
        *skipped -= 1;
        Some(())
    }

    /// The coefficients of a block that a scan says something new of. Gives whether it says nothing new of the last ones, and
    /// of blocks that follow.
    fn coefficients(&mut self, scan: &Scan, table: &AcTable, nonzero: &mut u64, skipped: &mut u32) -> Option<bool> {
        let mut at = scan.first;
        while at <= scan.last {
            self.reader.refill();
            let (symbol, length) = table.symbol(self.reader.window())?;
            self.reader.consume(length);
            let (zeros, bits) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            if bits == 0 && zeros < 15 {
                *skipped = (1 << zeros) + self.reader.take(zeros);
                self.refine(scan, at, *nonzero);
                return Some(true);
            }
            if scan.refines && bits > 1 {
                return None;
            }
            self.reader.consume(bits);
            at = if scan.refines { self.pass(at, scan.last, zeros, *nonzero) } else { at + zeros };
            if bits > 0 {
                if at > scan.last {
                    return None;
                }
                *nonzero |= 1 << at;
            }
            at += 1;
        }
        Some(false)
    }

    /// Passes so many coefficients that are zero, and a bit for each that is not.
    fn pass(&mut self, mut at: u32, last: u32, mut zeros: u32, nonzero: u64) -> u32 {
        while at <= last {
            if nonzero >> at & 1 == 1 {
                self.bit();
            } else if zeros == 0 {
                break;
            } else {
                zeros -= 1;
            }
            at += 1;
        }
        at
    }

    /// Passes a bit for each coefficient from `at` on that is not zero.
    fn refine(&mut self, scan: &Scan, at: u32, nonzero: u64) {
        if scan.refines {
            self.pass(at, scan.last, u32::MAX, nonzero);
        }
    }
}
