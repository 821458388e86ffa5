//! When decoding has to be over.

use std::io::{self, BufRead, Cursor, Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

/// Bytes that a decoder gets between two looks at the clock. Few, since a byte may unpack to a thousand.
const STRETCH_BYTES: usize = 4096;

/// The point of time at which a photo has taken too long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// So long from now; never where that is beyond what a clock can say.
    pub(super) fn after(time: Duration) -> Self {
        Self(Instant::now().checked_add(time))
    }

    pub(super) fn has_passed(&self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }
}

/// Bytes in memory that cannot be read any more once the deadline has passed.
pub(super) struct TimedReader<'a> {
    bytes: Cursor<&'a [u8]>,
    deadline: Deadline,
    /// Bytes, and calls, since the last look at the clock.
    unwatched: usize,
}

impl<'a> TimedReader<'a> {
    pub(super) fn new(bytes: &'a [u8], deadline: Deadline) -> Self {
        Self { bytes: Cursor::new(bytes), deadline, unwatched: 0 }
    }

    fn check(&mut self) -> io::Result<()> {
        self.unwatched += 1;
        if self.unwatched < STRETCH_BYTES {
            return Ok(());
        }
        self.unwatched = 0;
        if self.deadline.has_passed() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl Read for TimedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        let stretch = buffer.len().min(STRETCH_BYTES);
        let count = self.bytes.read(&mut buffer[..stretch])?;
        self.unwatched += count;
        Ok(count)
    }
}

impl BufRead for TimedReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.check()?;
        let rest = self.bytes.fill_buf()?;
        Ok(&rest[..rest.len().min(STRETCH_BYTES)])
    }

    fn consume(&mut self, count: usize) {
        self.unwatched += count;
        self.bytes.consume(count);
    }
}

impl Seek for TimedReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}
