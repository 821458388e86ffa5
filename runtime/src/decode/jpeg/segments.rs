//! The segments of a JPEG stream and what can be read from them without decoding.

use memchr::memchr;

/// The second byte of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marker(pub(super) u8);

impl Marker {
    pub(super) const HUFFMAN: Self = Self(0xc4);
    const ARITHMETIC: Self = Self(0xcc);
    const JPEG_EXTENSION: Self = Self(0xc8);
    pub(super) const END: Self = Self(0xd9);
    pub(super) const START_OF_SCAN: Self = Self(0xda);
    pub(super) const QUANTIZATION: Self = Self(0xdb);
    pub(super) const RESTART_INTERVAL: Self = Self(0xdd);
    const EXIF: Self = Self(0xe1);
    const ICC: Self = Self(0xe2);
    pub(super) const ADOBE: Self = Self(0xee);
    const COMMENT: Self = Self(0xfe);

    /// Whether it starts a frame, of whatever kind.
    pub(super) fn is_frame(self) -> bool {
        matches!(self.0, 0xc0..=0xcf) && ![Self::HUFFMAN, Self::ARITHMETIC, Self::JPEG_EXTENSION].contains(&self)
    }

    /// Whether its segment says nothing about the pixels.
    pub(super) fn is_skippable(self) -> bool {
        matches!(self.0, 0xe0..=0xef) || self == Self::COMMENT
    }

    pub(super) fn is_restart(self) -> bool {
        matches!(self.0, 0xd0..=0xd7)
    }

    fn has_body(self) -> bool {
        !matches!(self.0, 0xd0..=0xd9 | 0x01)
    }
}

/// A marker with what follows it.
pub(super) struct Segment<'a> {
    pub(super) marker: Marker,
    /// Without the length.
    pub(super) body: &'a [u8],
}

/// Walks the segments. Behind a start of scan it stands at entropy-coded data, which must be decoded or skipped.
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Segments<'a> {
    /// Nothing when the bytes do not start as a JPEG.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes.starts_with(&[0xff, 0xd8]).then_some(Self { bytes, at: 2 })
    }

    /// Position in the bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// The segment here; nothing when there is none, or it is cut off.
    pub(super) fn next(&mut self) -> Option<Segment<'a>> {
        let mut rest = self.bytes.get(self.at..)?.strip_prefix(&[0xff])?;
        while let Some(after_fill) = rest.strip_prefix(&[0xff]) {
            rest = after_fill;
        }
        let (&marker, rest) = rest.split_first()?;
        let marker = Marker(marker);
        if !marker.has_body() {
            self.at = self.bytes.len() - rest.len();
            return Some(Segment { marker, body: &[] });
        }
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
        let body = rest.get(2..length)?;
        self.at = self.bytes.len() - rest.len() + length;
        Some(Segment { marker, body })
    }

    /// Goes to the marker behind the entropy-coded data that starts here.
    pub(super) fn skip_entropy_coded(&mut self) -> Option<()> {
        loop {
            let (at, marker) = next_marker(self.bytes, self.at)?;
            self.at = at;
            if !marker.is_restart() {
                return Some(());
            }
            self.at += 2;
        }
    }
}

/// The next marker in entropy-coded data at or behind `from`, and its position.
pub(super) fn next_marker(bytes: &[u8], mut from: usize) -> Option<(usize, Marker)> {
    loop {
        let at = from + memchr(0xff, bytes.get(from..)?)?;
        match *bytes.get(at + 1)? {
            0 => from = at + 2,    // a byte of data that looks like a marker's first one
            0xff => from = at + 1, // fill
            marker => return Some((at, Marker(marker))),
        }
    }
}

/// What a JPEG says about its pixels besides them.
#[derive(Debug, Default)]
pub(in crate::decode) struct Metadata {
    /// Width and height as stored, not turned.
    pub(in crate::decode) size: Option<(u32, u32)>,
    /// Number of components: 1 for grey.
    pub(in crate::decode) components: u8,
    /// The first EXIF block, from its TIFF header on.
    pub(in crate::decode) exif: Option<Vec<u8>>,
    /// The ICC profile, put together from its parts.
    pub(in crate::decode) icc: Option<Vec<u8>>,
}

/// Reads the segments before the first scan. What is damaged there is left out: the pixels may be well.
pub(in crate::decode) fn metadata(bytes: &[u8]) -> Metadata {
    let mut found = Metadata::default();
    let mut icc_parts: Vec<(u8, u8, &[u8])> = Vec::new();
    let Some(mut segments) = Segments::new(bytes) else { return found };
    while let Some(Segment { marker, body }) = segments.next() {
        if marker == Marker::START_OF_SCAN || marker == Marker::END {
            break;
        }
        if let (true, Some(&[_, high, low, wide_high, wide_low, components])) = (marker.is_frame(), body.first_chunk())
        {
            let side = |bytes| u32::from(u16::from_be_bytes(bytes));
            // The first counts, as for those who decode it.
            if found.size.is_none() {
                found.size = Some((side([wide_high, wide_low]), side([high, low])));
                found.components = components;
            }
        } else if let (Marker::EXIF, Some(exif)) = (marker, body.strip_prefix(b"Exif\0\0")) {
            found.exif.get_or_insert_with(|| exif.to_vec());
        } else if let (Marker::ICC, Some([number, total, part @ ..])) = (marker, body.strip_prefix(b"ICC_PROFILE\0")) {
            icc_parts.push((*number, *total, part));
        }
    }
    icc_parts.sort_by_key(|(number, ..)| *number);
    // Parts are numbered from 1 and each says how many there are.
    let complete = icc_parts
        .iter()
        .zip(1..)
        .all(|((number, total, _), expected)| *number == expected && usize::from(*total) == icc_parts.len());
    if complete && !icc_parts.is_empty() {
        found.icc = Some(icc_parts.iter().flat_map(|(.., part)| part.iter().copied()).collect());
    }
    found
}

/// What Adobe's segment says of the colours: 0 = as they are, 1 = YCbCr.
pub(super) fn adobe_transform(body: &[u8]) -> Option<u8> {
    body.strip_prefix(b"Adobe")?.get(6).copied()
}

/// How the data behind the first start of scan end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum Ending {
    /// There is no start of scan where one should be: whatever is wrong, the decoder names it better.
    NoScan,
    /// No end marker follows.
    CutOff,
    /// An end marker follows after this many scans.
    Whole {
        /// Scans up to it.
        scans: usize,
    },
}

/// Looks for the end marker. The full decoder fills the missing part of a cut-off JPEG with grey and reports success,
/// which would pass for a photo.
pub(in crate::decode) fn ending(bytes: &[u8]) -> Ending {
    let mut segments = match Segments::new(bytes) {
        Some(segments) => segments,
        None => return Ending::NoScan,
    };
    // Walk the segments to the scan: an EXIF thumbnail before it has an end marker of its own.
    loop {
        match segments.next() {
            Some(Segment { marker: Marker::START_OF_SCAN, .. }) => break,
            Some(_) => {}
            None if bytes.get(segments.at()).is_some_and(|byte| *byte != 0xff) => return Ending::NoScan,
            None => return Ending::CutOff,
        }
    }
    let (mut at, mut scans) = (segments.at(), 1);
    while let Some((found, marker)) = next_marker(bytes, at) {
        match marker {
            Marker::END => return Ending::Whole { scans },
            Marker::START_OF_SCAN => scans += 1,
            _ => {}
        }
        at = found + 2;
    }
    Ending::CutOff
}
