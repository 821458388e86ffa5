//! Huffman codes of JPEG, and tables that step over several coefficients at once.

/// Codes up to this length are looked up at once.
const SHORT_BITS: u32 = 9;

/// Bits that one look at the stepping table may pass over. 8 KiB for each table: two of them fit the nearest cache.
const STEP_BITS: u32 = 12;

/// Bits of a code and its value together that are looked up at once.
const QUICK_BITS: u32 = 10;

/// In a step: the block ends there.
const BLOCK_END: u16 = 128;

/// A Huffman code (ITU-T T.81, annex C).
pub(super) struct Table {
    /// By the first bits: length << 8 | symbol; 0 = longer than [`SHORT_BITS`], or no code.
    short: Box<[u16; 1 << SHORT_BITS]>,
    /// By length: one past the last code, aligned to 16 bits.
    limits: [u32; 17],
    /// By length: index of the first symbol less the first code.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Table {
    /// `counts[i]` codes of i + 1 bits; nothing when there is no such code.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self {
            short: Box::new([0; 1 << SHORT_BITS]),
            limits: [0; 17],
            offsets: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut index) = (0_u32, 0_usize);
        for (length, count) in (1_u32..).zip(counts) {
            table.offsets[length as usize] = index as i32 - code as i32;
            for _ in 0..*count {
                let symbol = *symbols.get(index)?;
                if code >= 1 << length {
                    return None;
                }
                if length <= SHORT_BITS {
                    let first = (code << (SHORT_BITS - length)) as usize;
                    table.short[first..first + (1 << (SHORT_BITS - length))]
                        .fill((length as u16) << 8 | u16::from(symbol));
                }
                code += 1;
                index += 1;
            }
            table.limits[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Some(table)
    }

    /// The symbol at the top of the bits and the length of its code.
    #[inline(always)]
    pub(super) fn decode(&self, window: u64) -> Option<(u8, u32)> {
        let entry = self.short[(window >> (64 - SHORT_BITS)) as usize];
        if entry != 0 { Some((entry as u8, u32::from(entry >> 8))) } else { self.decode_long(window) }
    }

    #[cold]
    fn decode_long(&self, window: u64) -> Option<(u8, u32)> {
        let top = (window >> 48) as u32;
        let length = (SHORT_BITS + 1..=16).find(|length| top < self.limits[*length as usize])?;
        let index = (top >> (16 - length)) as i32 + self.offsets[length as usize];
        Some((*self.symbols.get(usize::try_from(index).ok()?)?, length))
    }
}

/// What one symbol of AC coefficients does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    /// The other coefficients of the block are zero.
    BlockEnd,
    /// So many zeros, then a value of so many bits; of 0 bits for sixteen zeros and nothing.
    Value { zeros: u8, bits: u32 },
}

impl Run {
    /// Nothing for a symbol that sequential JPEG does not have.
    #[inline(always)]
    fn of(symbol: u8) -> Option<Self> {
        match (symbol >> 4, symbol & 15) {
            (0, 0) => Some(Self::BlockEnd),
            (15, 0) => Some(Self::Value { zeros: 15, bits: 0 }),
            (_, 0) => None,
            (zeros, bits) => Some(Self::Value { zeros, bits: u32::from(bits) }),
        }
    }
}

/// Where steps lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// To this coefficient of the same block, by this many bits.
    To(u32, u32),
    /// Behind the block, by this many bits.
    End(u32),
    /// No whole symbol fits, or it would pass the end of the block: look at symbols one by one.
    Single,
}

/// A code of AC coefficients.
pub(super) struct AcTable {
    code: Table,
    /// By the next bits, for all whole symbols in them together: coefficients passed << 4 | bits. 0 = none fits.
    steps: Box<[u16; 1 << STEP_BITS]>,
    /// By the next bits, for a value of which they hold all: value << 16 | zeros before it << 8 | bits. 0 = look longer.
    quick: Box<[i32; 1 << QUICK_BITS]>,
}

impl AcTable {
    pub(super) fn new(code: Table) -> Self {
        let mut steps = Box::new([0; 1 << STEP_BITS]);
        for (bits, step) in steps.iter_mut().enumerate() {
            *step = step_of(&code, bits as u64);
        }
        let mut quick = Box::new([0; 1 << QUICK_BITS]);
        for (bits, entry) in quick.iter_mut().enumerate() {
            *entry = quick_value(&code, bits as u64);
        }
        Self { code, steps, quick }
    }

    /// The symbol at the top of the bits and the length of its code.
    #[inline(always)]
    pub(super) fn decode(&self, window: u64) -> Option<(Run, u32)> {
        let (symbol, length) = self.code.decode(window)?;
        Some((Run::of(symbol)?, length))
    }

    /// The symbol at the top of the bits, of whatever kind of scan, and the length of its code.
    pub(super) fn symbol(&self, window: u64) -> Option<(u8, u32)> {
        self.code.decode(window)
    }

    /// The value at the top of the bits, the zeros before it and the bits of all that; nothing when it is not so short,
    /// or no value.
    #[inline(always)]
    pub(super) fn quick_value(&self, window: u64) -> Option<(i32, u32, u32)> {
        let entry = self.quick[(window >> (64 - QUICK_BITS)) as usize];
        (entry != 0).then_some((entry >> 16, (entry >> 8) as u32 & 15, entry as u32 & 15))
    }

    /// Steps from coefficient `at` (1 to 63) over as many symbols as one look shows.
    #[inline(always)]
    pub(super) fn step(&self, window: u64, at: u32) -> Step {
        let entry = self.steps[(window >> (64 - STEP_BITS)) as usize];
        let (next, bits) = (at + u32::from(entry >> 4), u32::from(entry & 15));
        if next < 64 && entry != 0 {
            Step::To(next, bits)
        } else if next == 64 || (128..192).contains(&next) {
            Step::End(bits)
        } else {
            Step::Single
        }
    }
}

fn quick_value(code: &Table, bits: u64) -> i32 {
    let window = bits << (64 - QUICK_BITS);
    match code.decode(window).and_then(|(symbol, length)| Some((Run::of(symbol)?, length))) {
        Some((Run::Value { zeros, bits }, length)) if bits > 0 && length + bits <= QUICK_BITS => {
            let raw = (window << length >> (64 - bits)) as u32;
            value(raw, bits) << 16 | i32::from(zeros) << 8 | (length + bits) as i32
        }
        _ => 0,
    }
}

/// The value of so many bits (ITU-T T.81, figure F.12): the first bit is 0 for a negative one. Signs are as good as
/// random: no branch.
#[inline(always)]
pub(super) fn value(raw: u32, bits: u32) -> i32 {
    let positive = raw as i32;
    let sign = (positive - (1 << bits >> 1)) >> 31;
    positive + (sign & (1 - (1 << bits)))
}

/// All whole symbols in the first [`STEP_BITS`] bits.
fn step_of(code: &Table, bits: u64) -> u16 {
    let window = bits << (64 - STEP_BITS);
    let (mut used, mut passed) = (0, 0);
    while let Some((symbol, length)) = code.decode(window << used) {
        let (advance, length) = match Run::of(symbol) {
            Some(Run::BlockEnd) => (BLOCK_END, length),
            Some(Run::Value { zeros, bits }) => (u16::from(zeros) + 1, length + bits),
            None => break,
        };
        if used + length > STEP_BITS || (advance != BLOCK_END && passed + advance > 63) {
            break;
        }
        used += length;
        passed += advance;
        if passed >= BLOCK_END || used == STEP_BITS {
            break;
        }
    }
    passed << 4 | used as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 -> end of block, 10 -> no zeros and 1 bit, 110 -> sixteen zeros, 1110 + ... up to 16 bits -> 2 zeros, 3 bits.
    fn table() -> AcTable {
        let mut counts = [0; 16];
        (counts[0], counts[1], counts[2], counts[15]) = (1, 1, 1, 1);
        AcTable::new(Table::new(&counts, &[0x00, 0x01, 0xf0, 0x23]).unwrap())
    }

    fn window(bits: &str) -> u64 {
        u64::from_str_radix(bits, 2).unwrap() << (64 - bits.len())
    }

    #[test]
    fn codes_of_every_length_are_found_and_others_are_not() {
        let table = table();
        assert_eq!(table.decode(window("0111")), Some((Run::BlockEnd, 1)));
        assert_eq!(table.decode(window("101")), Some((Run::Value { zeros: 0, bits: 1 }, 2)));
        assert_eq!(table.decode(window("1110000000000000")), Some((Run::Value { zeros: 2, bits: 3 }, 16)));
        assert_eq!(table.decode(window("1110000000000001")), None);
    }

    #[test]
    fn a_step_takes_all_whole_symbols_up_to_the_end_of_the_block() {
        let table = table();
        // Two values of one bit, sixteen zeros, the end: 3 + 3 + 3 + 1 bits.
        assert_eq!(table.step(window("101100110011"), 1), Step::End(10));
        // Four values fill the 12 bits.
        assert_eq!(table.step(window("101100101100"), 5), Step::To(9, 12));
        // The block is full after the four values: its end is not coded.
        assert_eq!(table.step(window("101100101100"), 60), Step::End(12));
        // It is full before: what follows belongs to the next block.
        assert_eq!(table.step(window("101100101100"), 61), Step::Single);
        assert_eq!(table.step(window("101100110011"), 46), Step::Single);
        assert_eq!(table.step(window("111000000000"), 1), Step::Single);
    }

    #[test]
    fn a_short_value_is_found_at_once() {
        let table = table();
        assert_eq!(table.quick_value(window("1010000000")), Some((1, 0, 3)));
        assert_eq!(table.quick_value(window("1000000000")), Some((-1, 0, 3)));
        for other in ["0000000000", "1100000000", "1110000000"] {
            assert_eq!(table.quick_value(window(other)), None, "{other}");
        }
        assert_eq!([(0, 0), (0, 3), (3, 3), (4, 3), (7, 3)].map(|(raw, bits)| value(raw, bits)), [0, -7, -4, 4, 7]);
    }

    #[test]
    fn codes_that_cannot_be_are_refused() {
        let mut counts = [0; 16];
        counts[0] = 3;
        assert!(Table::new(&counts, &[1, 2, 3]).is_none(), "three codes of one bit");
        counts[0] = 2;
        assert!(Table::new(&counts, &[1]).is_none(), "a symbol is missing");
    }
}
