//! The tags of a TIFF's first directory, which EXIF blocks have, too.

use image::metadata::Orientation;

/// A directory of tags, in either byte order, of TIFF or BigTIFF.
pub(crate) struct Tiff<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    /// BigTIFF has numbers of twice the size.
    wide: bool,
    first_entry: usize,
    entries: usize,
}

const BYTE: u16 = 1;
const SHORT: u16 = 3;
const LONG: u16 = 4;
const LONG8: u16 = 16;

impl<'a> Tiff<'a> {
    /// Nothing where the bytes are no TIFF, or their first directory is not in them.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let (big_endian, wide) = match bytes.first_chunk()? {
            b"II*\0" => (false, false),
            b"MM\0*" => (true, false),
            b"II+\0" => (false, true),
            b"MM\0+" => (true, true),
            _ => return None,
        };
        let mut tiff = Self { bytes, big_endian, wide, first_entry: 0, entries: 0 };
        let at = usize::try_from(if wide { tiff.number(8, 8)? } else { tiff.number(4, 4)? }).ok()?;
        let count_bytes = if wide { 8 } else { 2 };
        tiff.entries = usize::try_from(tiff.number(at, count_bytes)?).ok()?;
        tiff.first_entry = at.checked_add(count_bytes)?;
        Some(tiff)
    }

    /// Whether there is such a tag.
    pub(crate) fn has(&self, tag: u16) -> bool {
        self.find(tag).is_some()
    }

    /// The first value of a tag that has whole numbers, whatever their size.
    pub(crate) fn value(&self, tag: u16) -> Option<u64> {
        let at = self.find(tag)?;
        let kind = u16::try_from(self.number(at + 2, 2)?).ok()?;
        let (count_bytes, value_bytes) = if self.wide { (8, 8) } else { (4, 4) };
        let size = match kind {
            BYTE => 1,
            SHORT => 2,
            LONG => 4,
            LONG8 => 8,
            _ => return None,
        };
        let count = usize::try_from(self.number(at + 4, count_bytes)?).ok()?;
        let value_at = at + 4 + count_bytes;
        // What is longer stands elsewhere.
        let value_at = match count.checked_mul(size)? {
            0 => return None,
            bytes if bytes <= value_bytes => value_at,
            _ => usize::try_from(self.number(value_at, value_bytes)?).ok()?,
        };
        self.number(value_at, size)
    }

    /// Which way up the photo is; nothing where no tag says so, or none that makes sense.
    pub(crate) fn orientation(&self) -> Option<Orientation> {
        const ORIENTATION: u16 = 274;
        Orientation::from_exif(u8::try_from(self.value(ORIENTATION)?).ok()?)
    }

    fn find(&self, tag: u16) -> Option<usize> {
        let entry_bytes = if self.wide { 20 } else { 12 };
        // What is cut off ends the search.
        let places = (0..self.entries).map_while(|entry| {
            let at = entry.checked_mul(entry_bytes)?.checked_add(self.first_entry)?;
            Some((at, self.number(at, 2)?))
        });
        places.into_iter().find(|(_, found)| *found == u64::from(tag)).map(|(at, _)| at)
    }

    /// A number of 1, 2, 4 or 8 bytes.
    fn number(&self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(size)?)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if self.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory whose second tag is the orientation, of this kind of number.
    fn block(big_endian: bool, kind: u16, value: u32) -> Vec<u8> {
        let short = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let long = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut bytes = if big_endian { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
        bytes.extend(long(8));
        bytes.extend(short(2));
        for (tag, kind, value) in [(256, SHORT, 7), (274, kind, value)] {
            bytes.extend(short(tag));
            bytes.extend(short(kind));
            bytes.extend(long(1));
            let mut place = match kind {
                BYTE => vec![value as u8],
                SHORT => short(value as u16).to_vec(),
                _ => long(value).to_vec(),
            };
            place.resize(4, 0);
            bytes.extend(place);
        }
        bytes
    }

    #[test]
    fn an_orientation_is_read_as_byte_short_or_long_in_either_order() {
        for big_endian in [false, true] {
            for kind in [BYTE, SHORT, LONG] {
                for value in 1..=8 {
                    let bytes = block(big_endian, kind, value);
                    let found = Tiff::new(&bytes).unwrap().orientation();
                    assert_eq!(found, Orientation::from_exif(value as u8), "{big_endian} {kind}");
                }
            }
            for (kind, value) in [(SHORT, 0), (SHORT, 9), (LONG, 262), (2, 6)] {
                assert_eq!(Tiff::new(&block(big_endian, kind, value)).unwrap().orientation(), None);
            }
        }
    }

    #[test]
    fn what_is_cut_off_or_no_directory_says_nothing() {
        let whole = block(false, SHORT, 6);
        for length in 0..whole.len() - 2 {
            assert_eq!(Tiff::new(&whole[..length]).and_then(|tiff| tiff.orientation()), None, "{length}");
        }
        let far = [b"II*\0".as_slice(), &[0xff; 4]].concat();
        assert!(Tiff::new(&far).is_none() && Tiff::new(b"II*").is_none() && Tiff::new(b"Exif").is_none());
    }

    #[test]
    fn wide_directories_are_read_too() {
        let mut bytes = b"MM\0+\0\x08\0\0".to_vec();
        bytes.extend(16_u64.to_be_bytes());
        bytes.extend(1_u64.to_be_bytes());
        bytes.extend([0x01, 0x12, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Tiff::new(&bytes).unwrap().orientation(), Some(Orientation::Rotate270));
    }
}
