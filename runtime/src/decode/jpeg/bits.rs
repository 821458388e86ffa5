//! The bits of entropy-coded data.

/// Reads bits, most significant first, without the zero bytes that follow each 0xff. At a marker it gives zeros; how
/// many of them were used is known at the end.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Next byte to load.
    at: usize,
    /// Loaded bits from the top; below the `held` ones there may be some of the byte at `at`.
    window: u64,
    held: u32,
    /// How many of those held are zeros made up behind the end.
    made_up: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, window: 0, held: 0, made_up: 0 }
    }

    /// Loads bits: at least 56 are held then.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if let Some(next) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            let next = u64::from_be_bytes(*next);
            if !has_byte_ff(next) {
                self.window |= next >> self.held;
                let loaded = (63 - self.held) / 8;
                self.at += loaded as usize;
                self.held += loaded * 8;
                return;
            }
        }
        self.refill_bytewise();
    }

    #[cold]
    fn refill_bytewise(&mut self) {
        while self.held < 56 {
            let byte = match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
                (Some(0xff), Some(0)) => {
                    self.at += 2;
                    0xff
                }
                (Some(0xff), _) | (None, _) => {
                    self.made_up = self.made_up.saturating_add(8);
                    0
                }
                (Some(byte), _) => {
                    self.at += 1;
                    *byte
                }
            };
            self.window |= u64::from(byte) << (56 - self.held);
            self.held += 8;
        }
    }

    /// Whether more was asked for than there is: what comes since is made up.
    pub(super) fn is_past_end(&self) -> bool {
        self.made_up > self.held
    }

    /// Whether a marker, or the end of the bytes, is in sight.
    pub(super) fn is_at_end(&self) -> bool {
        self.made_up > 0
    }

    /// Behind the last byte of which a bit was used.
    pub(super) fn position(&self) -> usize {
        let mut at = self.at;
        for _ in 0..self.held.saturating_sub(self.made_up) / 8 {
            at = at.saturating_sub(1);
            // The zero byte behind a byte 0xff is no data.
            if at > 0 && self.bytes.get(at) == Some(&0) && self.bytes.get(at - 1) == Some(&0xff) {
                at -= 1;
            }
        }
        at
    }

    /// The held bits, from the top.
    #[inline(always)]
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// Drops bits, of which as many must be held: at most 56 since the last refill.
    #[inline(always)]
    pub(super) fn consume(&mut self, bits: u32) {
        debug_assert!(bits <= self.held);
        self.window <<= bits;
        self.held = self.held.wrapping_sub(bits);
    }

    /// Reads up to 16 bits, of which as many must be held.
    #[inline(always)]
    pub(super) fn take(&mut self, bits: u32) -> u32 {
        // Two shifts: one of 64, for no bits, is not allowed.
        let value = (self.window >> 1 >> (63 - bits)) as u32;
        self.consume(bits);
        value
    }

    /// Where the marker stands that ends these data. Nothing when more bits were read than there are, or whole bytes
    /// are left.
    pub(super) fn end(&self) -> Option<usize> {
        let left = self.held.checked_sub(self.made_up)?;
        (left < 8 && self.bytes.get(self.at) == Some(&0xff)).then_some(self.at)
    }

    /// Steps over restart marker number 0 to 7, which must be here.
    pub(super) fn restart(&mut self, number: u8) -> Option<()> {
        let mut at = self.end()? + 1;
        while self.bytes.get(at) == Some(&0xff) {
            at += 1;
        }
        (*self.bytes.get(at)? == 0xd0 + number).then(|| *self = Self::new(self.bytes, at + 1))
    }
}

/// Whether any of the eight bytes is 0xff: the classic test for a zero byte, on the complement.
#[inline(always)]
fn has_byte_ff(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    (!word).wrapping_sub(ONES) & word & (ONES << 7) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_in_order_without_stuffing_and_end_at_the_marker() {
        let bytes = [0xa5, 0xff, 0x00, 0x01, 0xff, 0xd9, 9, 9, 9, 9, 9];
        let mut reader = BitReader::new(&bytes, 0);
        reader.refill();
        assert_eq!([reader.take(4), reader.take(8), reader.take(0), reader.take(5)], [0xa, 0x5f, 0, 0b11110]);
        assert_eq!(reader.end(), Some(4));
        reader.consume(7);
        assert_eq!(reader.end(), Some(4));
        reader.consume(1);
        assert_eq!(reader.end(), None, "a bit too many");
    }

    #[test]
    fn bytes_that_are_left_are_no_end_and_restarts_must_have_their_number() {
        let bytes = [1, 2, 0xff, 0xd3, 0x80, 0xff, 0xd9];
        let mut reader = BitReader::new(&bytes, 0);
        reader.refill();
        reader.consume(8);
        assert_eq!(reader.end(), None);
        reader.consume(3);
        assert_eq!(reader.restart(2), None);
        reader.restart(3).unwrap();
        reader.refill();
        assert_eq!(reader.take(1), 1);
        assert_eq!(reader.end(), Some(5));
    }
}
