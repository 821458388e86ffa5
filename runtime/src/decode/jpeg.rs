//! JPEG: what its segments say, and decoding at 1/2, 1/4 or 1/8 of its size.
//!
//! A JPEG stores blocks of 8 x 8 frequencies. A small picture needs only the lowest of them: the others are stepped
//! over without being looked at, several at a time, and are never transformed. Names of the standard (ITU-T T.81) are
//! kept where it has one.
//!
//! The decoder here answers for streams that it understands from the first marker to the last, without one
//! irregularity; it returns nothing for any other, which the full decoder then reads or refuses.

mod bits;
mod extent;
mod frame;
mod huffman;
mod picture;
mod scale;
mod scan;
mod segments;

pub(super) use extent::{Extent, extent};
pub(super) use segments::{Ending, Metadata, ending, metadata};

use image::RgbImage;

use super::deadline::Deadline;
use bits::BitReader;
use frame::{Frame, Kind};
use huffman::{AcTable, Table};
use scan::Scan;
use segments::{Marker, Segment, Segments};

/// Scans a JPEG may have. Encoders write about 10 and optimisers up to about 20; each costs a pass over the photo.
pub(super) const MAX_SCANS: usize = 100;

/// The Huffman tables that a stream has defined so far.
#[derive(Default)]
struct Tables {
    dc: [Option<Table>; 4],
    ac: [Option<AcTable>; 4],
}

/// More than Huffman tables of all slots take, and one in the making.
const TABLES_BYTES: u64 = 80 << 10;

/// Bytes that [`decode_reduced`] holds at the most, told by the segments before the first scan; nothing for what it would
/// leave to the full decoder there.
pub(super) fn held_bytes(bytes: &[u8], divisor: u32, enough: [u32; 2]) -> Option<u64> {
    let mut segments = Segments::new(bytes)?;
    loop {
        let Segment { marker, body } = segments.next()?;
        if marker.is_frame() {
            let frame = Frame::read(Kind::of(marker)?, body, divisor, enough)?;
            return Some(TABLES_BYTES + frame.held_bytes() + picture::held_bytes(&frame));
        }
        if matches!(marker, Marker::START_OF_SCAN | Marker::END) {
            return None;
        }
    }
}

/// Decodes at 1 / `divisor` (2, 4 or 8) of the size, sides rounded up: each pixel stands for a square of `divisor` x
/// `divisor` pixels, of which the last of a row and of a column may lie partly beyond the photo. Where a file holds
/// colour at less than its size, it may come out coarser than light, but not below `enough` pixels across and down.
///
/// Nothing for what the full decoder should see: damage, more than [`MAX_SCANS`] scans, a passed deadline, and kinds
/// that are not handled here (arithmetic coding, lossless, 12 bit, CMYK, progressive at other than 1/8).
pub(super) fn decode_reduced(bytes: &[u8], divisor: u32, enough: [u32; 2], deadline: &Deadline) -> Option<RgbImage> {
    let mut segments = Segments::new(bytes)?;
    let mut quantization = [None; 4];
    let mut tables = Tables::default();
    let mut adobe_transform = None;
    let mut restart_interval = 0;
    let mut frame: Option<Frame> = None;
    let mut scans = 0;
    // Segments cost time, too: tables may come by the million.
    while !deadline.has_passed() {
        let Segment { marker, body } = segments.next()?;
        match marker {
            // A table that changes between scans is legal and rare.
            Marker::QUANTIZATION if scans == 0 => frame::read_quantization(body, &mut quantization)?,
            Marker::HUFFMAN => read_huffman(body, &mut tables)?,
            Marker::RESTART_INTERVAL => restart_interval = u32::from(u16::from_be_bytes(*body.first_chunk()?)),
            Marker::ADOBE => adobe_transform = segments::adobe_transform(body).or(adobe_transform),
            Marker::START_OF_SCAN => {
                scans += 1;
                let frame = frame.as_mut().filter(|_| scans <= MAX_SCANS)?;
                if scans == 1 {
                    frame.set_quantization(&quantization)?;
                    frame.make_planes();
                }
                let scan = Scan::read(body, frame)?;
                if scan.is_needed(frame) {
                    let mut reader = BitReader::new(bytes, segments.at());
                    scan::decode(&mut reader, &scan, frame, &tables, restart_interval, deadline)?;
                    segments.go_to(reader.end()?);
                } else {
                    segments.skip_entropy_coded()?;
                }
            }
            Marker::END => return picture::compose(frame?, adobe_transform),
            _ if marker.is_frame() && frame.is_none() => {
                frame = Some(Frame::read(Kind::of(marker)?, body, divisor, enough)?);
            }
            _ if marker.is_frame() || marker == Marker::QUANTIZATION || !marker.is_skippable() => return None,
            _ => {}
        }
    }
    None
}

fn read_huffman(mut body: &[u8], tables: &mut Tables) -> Option<()> {
    while let Some((head, rest)) = body.split_first_chunk::<17>() {
        let [class_and_slot, counts @ ..] = head;
        let total = counts.iter().map(|count| usize::from(*count)).sum();
        let (values, rest) = rest.split_at_checked(total)?;
        let table = Table::new(counts, values)?;
        let slot = usize::from(class_and_slot & 15);
        match class_and_slot >> 4 {
            0 => *tables.dc.get_mut(slot)? = Some(table),
            1 => *tables.ac.get_mut(slot)? = Some(AcTable::new(table)),
            _ => return None,
        }
        body = rest;
    }
    body.is_empty().then_some(())
}

#[cfg(test)]
mod tests;
