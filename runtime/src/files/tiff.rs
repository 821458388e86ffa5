//! The tags of a TIFF's directories. EXIF blocks have such a directory, too.

use image::metadata::Orientation;

/// A directory of tags, in either byte order, of TIFF or BigTIFF.
pub(crate) struct Tiff<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    /// BigTIFF has numbers of twice the size.
    wide: bool,
    /// Where it starts.
    at: u64,
    first_entry: usize,
    entries: usize,
}

/// Where the values of a tag are.
struct Place {
    at: usize,
    count: usize,
    /// Bytes of each.
    size: usize,
    is_of_numbers: bool,
}

const BYTE: u16 = 1;
const SHORT: u16 = 3;
const LONG: u16 = 4;
const SIGNED_BYTE: u16 = 6;
const UNDEFINED: u16 = 7;
const SIGNED_SHORT: u16 = 8;
const SIGNED_LONG: u16 = 9;
const LONG8: u16 = 16;

const NEW_SUBFILE_TYPE: u16 = 254;
const IMAGE_WIDTH: u16 = 256;

/// Entries of a directory that are looked at: as many as a TIFF can have, and fewer than a BigTIFF may claim.
const MAX_ENTRIES: u64 = 65_535;
/// Directories among which the photo is looked for.
const MAX_PAGES: usize = 100;
/// Values of one tag that are read.
const MAX_VALUES: usize = 1 << 20;

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
        let tiff = Self { bytes, big_endian, wide, at: 0, first_entry: 0, entries: 0 };
        let at = if wide { tiff.number(8, 8)? } else { tiff.number(4, 4)? };
        tiff.directory(at)
    }

    /// The directory of the photo: the first of a whole picture. Smaller copies and masks of it may come before it.
    pub(crate) fn of_photo(bytes: &'a [u8]) -> Option<Self> {
        const SMALLER: u64 = 1;
        const MASK: u64 = 4;
        let is_photo = |page: &Self| {
            page.value(NEW_SUBFILE_TYPE).is_none_or(|kind| kind & (SMALLER | MASK) == 0) && page.has(IMAGE_WIDTH)
        };
        let pages = std::iter::successors(Self::new(bytes), Self::next);
        pages.take(MAX_PAGES).find(is_photo).or_else(|| Self::new(bytes))
    }

    /// The directory that starts here.
    fn directory(&self, at: u64) -> Option<Self> {
        let start = usize::try_from(at).ok()?;
        let count_bytes = if self.wide { 8 } else { 2 };
        let entries = usize::try_from(self.number(start, count_bytes)?.min(MAX_ENTRIES)).ok()?;
        Some(Self { at, first_entry: start.checked_add(count_bytes)?, entries, ..*self })
    }

    /// The directory after this one.
    fn next(&self) -> Option<Self> {
        let (entry_bytes, place_bytes) = if self.wide { (20, 8) } else { (12, 4) };
        let end = self.entries.checked_mul(entry_bytes)?.checked_add(self.first_entry)?;
        self.directory(self.number(end, place_bytes)?).filter(|next| next.at > 0)
    }

    /// Where the directory starts.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Whether the file is a BigTIFF.
    pub(crate) fn is_wide(&self) -> bool {
        self.wide
    }

    /// The bytes of a number of 2, 4 or 8 bytes, as the file orders them; those above are dropped.
    pub(crate) fn bytes_of(&self, number: u64, size: usize) -> Vec<u8> {
        let mut bytes = number.to_le_bytes()[..size.min(8)].to_vec();
        if self.big_endian {
            bytes.reverse();
        }
        bytes
    }

    /// Whether there is such a tag.
    pub(crate) fn has(&self, tag: u16) -> bool {
        self.find(tag).is_some()
    }

    /// The first value of a tag that has whole numbers, whatever their size. Negative ones come out as large ones.
    pub(crate) fn value(&self, tag: u16) -> Option<u64> {
        let Place { at, size, .. } = self.place(tag).filter(|place| place.is_of_numbers)?;
        self.number(at, size)
    }

    /// All values of such a tag; nothing where there are too many.
    pub(crate) fn values(&self, tag: u16) -> Option<Vec<u64>> {
        let Place { at, count, size, .. } =
            self.place(tag).filter(|place| place.is_of_numbers && place.count <= MAX_VALUES)?;
        (0..count).map(|index| self.number(at.checked_add(index.checked_mul(size)?)?, size)).collect()
    }

    /// The content of a tag of bytes.
    pub(crate) fn content(&self, tag: u16) -> Option<&'a [u8]> {
        let Place { at, count, .. } = self.place(tag).filter(|place| place.size == 1)?;
        self.bytes.get(at..at.checked_add(count)?)
    }

    /// Where the values of a tag are.
    fn place(&self, tag: u16) -> Option<Place> {
        let at = self.find(tag)?;
        let kind = u16::try_from(self.number(at + 2, 2)?).ok()?;
        let (count_bytes, value_bytes) = if self.wide { (8, 8) } else { (4, 4) };
        let size = match kind {
            BYTE | SIGNED_BYTE | UNDEFINED => 1,
            SHORT | SIGNED_SHORT => 2,
            LONG | SIGNED_LONG => 4,
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
        Some(Place { at: value_at, count, size, is_of_numbers: kind != UNDEFINED })
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
                BYTE | SIGNED_BYTE => vec![value as u8],
                SHORT | SIGNED_SHORT => short(value as u16).to_vec(),
                _ => long(value).to_vec(),
            };
            place.resize(4, 0);
            bytes.extend(place);
        }
        bytes
    }

    #[test]
    fn an_orientation_is_read_as_any_whole_number_in_either_order() {
        for big_endian in [false, true] {
            for kind in [BYTE, SHORT, LONG, SIGNED_BYTE, SIGNED_SHORT, SIGNED_LONG] {
                for value in 1..=8 {
                    let bytes = block(big_endian, kind, value);
                    let found = Tiff::new(&bytes).unwrap().orientation();
                    assert_eq!(found, Orientation::from_exif(value as u8), "{big_endian} {kind}");
                }
            }
            for (kind, value) in [(SHORT, 0), (SHORT, 9), (LONG, 262), (2, 6), (UNDEFINED, 6), (SIGNED_SHORT, 0xfffa)] {
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

    /// Pages with a width and a kind of picture, each followed by the next.
    fn pages(kinds: &[u32]) -> Vec<u8> {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        for (page, kind) in kinds.iter().enumerate() {
            bytes.extend(2_u16.to_le_bytes());
            for (tag, value) in [(NEW_SUBFILE_TYPE, *kind), (IMAGE_WIDTH, 7)] {
                bytes.extend([tag.to_le_bytes(), LONG.to_le_bytes()].concat());
                bytes.extend([1, value].map(u32::to_le_bytes).concat());
            }
            let next = if page + 1 < kinds.len() { bytes.len() as u32 + 4 } else { 0 };
            bytes.extend(next.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn the_photo_is_the_first_page_that_is_no_preview_and_no_mask() {
        let page = |kinds: &[u32]| (Tiff::of_photo(&pages(kinds)).unwrap().at() - 8) / 30;
        assert_eq!([page(&[0, 0]), page(&[1, 0]), page(&[1, 4, 2, 0]), page(&[1, 1])], [0, 1, 2, 0]);
        let mut turning = pages(&[1, 1]);
        let end = turning.len() - 4;
        turning[end..].copy_from_slice(&8_u32.to_le_bytes());
        assert_eq!(Tiff::of_photo(&turning).unwrap().at(), 8, "pages in a circle");
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
