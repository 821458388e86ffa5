//! Scans: entropy-coded blocks into the planes of a frame.

use super::Tables;
use super::bits::BitReader;
use super::frame::{Component, Frame, Kind};
use super::huffman::{AcTable, Run, Step, Table, value};
use super::scale::{ZIGZAG, coefficients_needed, to_pixel};
use crate::decode::deadline::Deadline;

/// The head of a scan.
pub(super) struct Scan {
    parts: Vec<Part>,
    /// First and last coefficient.
    band: [u8; 2],
    /// Progressive: whether it adds a bit to what an earlier scan gave.
    refines: bool,
    /// Progressive: number of the lowest bit that it holds.
    low_bit: u8,
}

/// What a scan says of a component.
struct Part {
    component: usize,
    dc_slot: usize,
    ac_slot: usize,
}

impl Scan {
    /// Reads a start of scan.
    pub(super) fn read(body: &[u8], frame: &Frame) -> Option<Self> {
        let (&count, rest) = body.split_first()?;
        let (specs, &[first, last, bits]) = rest.split_last_chunk()?;
        if count == 0 || specs.len() != usize::from(count) * 2 {
            return None;
        }
        let mut parts: Vec<Part> = Vec::new();
        for spec in specs.chunks_exact(2) {
            let component = frame.components.iter().position(|component| component.id == spec[0])?;
            if parts.iter().any(|part| part.component == component) {
                return None;
            }
            parts.push(Part { component, dc_slot: usize::from(spec[1] >> 4), ac_slot: usize::from(spec[1] & 15) });
        }
        let valid = match frame.kind {
            Kind::Sequential => [first, last, bits] == [0, 63, 0],
            Kind::Progressive => (first == 0) == (last == 0) && last < 64 && bits & 15 < 14,
        };
        valid.then_some(Self { parts, band: [first, last], refines: bits >> 4 != 0, low_bit: bits & 15 })
    }

    /// Whether the reduced picture needs it: of a progressive frame only the means of the blocks.
    pub(super) fn is_needed(&self, frame: &Frame) -> bool {
        frame.kind == Kind::Sequential || self.band == [0, 0]
    }
}

/// Decodes the data of a scan; nothing at the first irregularity.
pub(super) fn decode(
    reader: &mut BitReader<'_>,
    scan: &Scan,
    frame: &mut Frame,
    tables: &Tables,
    restart_interval: u32,
    deadline: &Deadline,
) -> Option<()> {
    for part in &scan.parts {
        let component = &mut frame.components[part.component];
        // A component comes once, or bit by bit.
        let again = frame.kind == Kind::Progressive && scan.refines;
        if component.seen != again {
            return None;
        }
        component.seen = true;
    }
    let mut decoders = Vec::with_capacity(scan.parts.len());
    for part in &scan.parts {
        decoders.push(BlockDecoder::new(part, scan, frame, tables)?);
    }
    // The blocks of a lone component come row by row; of several, in units.
    let (units, lone) = match scan.parts.as_slice() {
        [part] => (frame.components[part.component].blocks, true),
        _ => (frame.units, false),
    };
    let mut until_restart = restart_interval;
    let mut restarts = 0_u8;
    for unit_y in 0..units[1] {
        if deadline.has_passed() || reader.is_past_end() {
            return None;
        }
        for unit_x in 0..units[0] {
            if restart_interval > 0 && until_restart == 0 {
                reader.restart(restarts)?;
                restarts = (restarts + 1) % 8;
                until_restart = restart_interval;
                decoders.iter_mut().for_each(|decoder| decoder.prediction = 0);
            }
            until_restart = until_restart.wrapping_sub(1);
            for (part, decoder) in scan.parts.iter().zip(&mut decoders) {
                let component = &mut frame.components[part.component];
                let [across, down] = if lone { [1, 1] } else { component.sampling };
                for y in 0..down {
                    for x in 0..across {
                        decoder.decode(reader, component, unit_x * across + x, unit_y * down + y)?;
                    }
                }
            }
        }
    }
    reader.end()?;
    Some(())
}

/// Decodes the blocks of one component in one scan.
struct BlockDecoder<'a> {
    dc: Option<&'a Table>,
    ac: Option<&'a AcTable>,
    /// Coefficients that the pixels need, in zigzag order.
    needed: u32,
    /// Mean of the block before.
    prediction: i32,
    low_bit: u8,
}

impl<'a> BlockDecoder<'a> {
    fn new(part: &Part, scan: &Scan, frame: &Frame, tables: &'a Tables) -> Option<Self> {
        let sequential = frame.kind == Kind::Sequential;
        let dc = tables.dc.get(part.dc_slot)?.as_ref();
        let ac = if sequential { Some(tables.ac.get(part.ac_slot)?.as_ref()?) } else { None };
        if dc.is_none() && !scan.refines {
            return None;
        }
        let needed = coefficients_needed(frame.components[part.component].cell) as u32;
        Some(Self { dc: dc.filter(|_| !scan.refines), ac, needed, prediction: 0, low_bit: scan.low_bit })
    }

    #[inline(always)]
    fn decode(&mut self, reader: &mut BitReader<'_>, component: &mut Component, x: u32, y: u32) -> Option<()> {
        let block = (y * component.blocks_in_row + x) as usize;
        reader.refill();
        let Some(dc) = self.dc else {
            component.means[block] |= (reader.take(1) as i32) << self.low_bit;
            return Some(());
        };
        let (bits, length) = dc.decode(reader.window())?;
        reader.consume(length);
        if bits > 15 {
            return None;
        }
        self.prediction = self.prediction.wrapping_add(value(reader.take(u32::from(bits)), u32::from(bits)));
        let Some(ac) = self.ac else {
            component.means[block] = self.prediction.wrapping_shl(u32::from(self.low_bit));
            return Some(());
        };
        if self.needed == 1 {
            step_over(reader, ac, 1)?;
            component.plane[block] = mean_to_pixel(self.prediction, component.quantization[0]);
            return Some(());
        }
        let mut coefficients = [0.0; 64];
        coefficients[0] = self.prediction as f32 * f32::from(component.quantization[0]);
        let varied = read_coefficients(reader, ac, self.needed, &component.quantization, &mut coefficients)?;
        let [across, down] = component.cell.map(|side| side as usize);
        let stride = component.stride();
        let cell = component.plane.get_mut(y as usize * down * stride + x as usize * across..)?;
        if varied {
            (component.transform)(&coefficients, cell, stride);
        } else {
            let pixel = mean_to_pixel(self.prediction, component.quantization[0]);
            cell.chunks_mut(stride).take(down).for_each(|row| row[..across].fill(pixel));
        }
        Some(())
    }
}

/// The pixel of a block of which only the mean is known.
#[inline(always)]
pub(super) fn mean_to_pixel(mean: i32, quantization: u16) -> u8 {
    to_pixel(mean as f32 * f32::from(quantization) / 8.0)
}

/// Reads the coefficients from the second on, dequantizes the `needed` first ones, and steps over the others. Gives
/// whether there were any.
#[inline(always)]
fn read_coefficients(
    reader: &mut BitReader<'_>,
    ac: &AcTable,
    needed: u32,
    quantization: &[u16; 64],
    coefficients: &mut [f32; 64],
) -> Option<bool> {
    let mut at = 1;
    let mut put = |at: u32, value: i32| {
        let place = usize::from(*ZIGZAG.get(at as usize)?);
        coefficients[place & 63] = value as f32 * f32::from(quantization[at as usize & 63]);
        Some(())
    };
    'block: while at < needed {
        reader.refill();
        // Five values of up to 10 bits are within the 56 that are held.
        for _ in 0..5 {
            let Some((value, zeros, bits)) = ac.quick_value(reader.window()) else {
                reader.refill();
                let (run, length) = ac.decode(reader.window())?;
                reader.consume(length);
                let Run::Value { zeros, bits } = run else { return Some(at > 1) };
                at += u32::from(zeros);
                put(at, value(reader.take(bits), bits))?;
                at += 1;
                continue 'block;
            };
            reader.consume(bits);
            at += zeros;
            put(at, value)?;
            at += 1;
            if at >= needed {
                break 'block;
            }
        }
    }
    if at < 64 {
        step_over(reader, ac, at)?;
    }
    Some(true)
}

/// Steps over the coefficients of a block from number `at` (below 64) on.
#[inline(always)]
pub(super) fn step_over(reader: &mut BitReader<'_>, ac: &AcTable, mut at: u32) -> Option<()> {
    loop {
        reader.refill();
        // Four steps of up to 12 bits are within the 56 that are held.
        for _ in 0..4 {
            match ac.step(reader.window(), at) {
                Step::To(next, bits) => {
                    reader.consume(bits);
                    at = next;
                }
                Step::End(bits) => {
                    reader.consume(bits);
                    return Some(());
                }
                Step::Single => {
                    reader.refill();
                    let (run, length) = ac.decode(reader.window())?;
                    let Run::Value { zeros, bits } = run else {
                        reader.consume(length);
                        return Some(());
                    };
                    reader.consume(length + bits);
                    at += u32::from(zeros) + 1;
                    match at {
                        64 => return Some(()),
                        65.. => return None,
                        _ => break,
                    }
                }
            }
        }
    }
}
