//! The boxes of a file: which pictures are in it, where, and what is said of them.

use std::borrow::Cow;

use super::damaged;
use crate::error::{Error, Result};

/// Items that are looked at: a grid has its tiles, and its transparency as many.
const MAX_ITEMS: usize = 4096;

/// Most transforms of a picture: a crop, a rotation and a mirror.
const MAX_TRANSFORMS: usize = 3;

/// What is done to a picture before it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transform {
    /// A part of it.
    Crop {
        x: u32,
        y: u32,
        width: u32,
        height: u32,
    },
    /// So many quarter turns against the clock.
    Rotate(u8),
    MirrorTopBottom,
    MirrorLeftRight,
}

/// How colours are coded (ITU-T H.273).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cicp {
    pub(super) matrix: u16,
    pub(super) full_range: bool,
}

/// A picture, or a part of one.
#[derive(Debug, Clone, Default)]
pub(super) struct Item<'a> {
    pub(super) id: u32,
    pub(super) kind: [u8; 4],
    /// Width and height as stored.
    pub(super) size: Option<(u32, u32)>,
    pub(super) transforms: Vec<Transform>,
    pub(super) icc: Option<&'a [u8]>,
    pub(super) cicp: Option<Cicp>,
    /// Items that it is made of.
    pub(super) tiles: Vec<u32>,
    /// The item whose transparency it is.
    alpha_of: Option<u32>,
    is_alpha: bool,
    /// Whether its bytes are in the box `idat`, and not in the file.
    is_inside: bool,
    extents: Vec<(u64, u64)>,
}

/// A file's pictures.
#[derive(Debug)]
pub(super) struct Container<'a> {
    bytes: &'a [u8],
    inside: &'a [u8],
    pub(super) primary: u32,
    items: Vec<Item<'a>>,
}

impl<'a> Container<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut rest = Reader(bytes);
        while let Some((kind, body)) = rest.next_box() {
            match (&kind, body) {
                (b"meta", Some(body)) => {
                    return Self::read_meta(bytes, body).ok_or_else(|| damaged("its boxes make no sense"))?;
                }
                (_, Some(_)) => {}
                (_, None) => return Err(Error::CutOff { percent: None }),
            }
        }
        Err(if rest.0.is_empty() {
            damaged("no picture is in it, or only a film")
        } else {
            Error::CutOff { percent: None }
        })
    }

    fn read_meta(bytes: &'a [u8], meta: &'a [u8]) -> Option<Result<Self>> {
        let mut found = Self { bytes, inside: &[], primary: 0, items: Vec::new() };
        let mut boxes = Reader(meta.get(4..)?);
        let (mut locations, mut references, mut properties) = (None, None, None);
        while let Some((kind, body)) = boxes.next_box() {
            let Some(body) = body else { return Some(Err(Error::CutOff { percent: None })) };
            match &kind {
                b"pitm" => {
                    let (version, mut body) = full_box(body)?;
                    found.primary = body.number(if version == 0 { 2 } else { 4 })? as u32;
                }
                b"iinf" => found.read_items(body)?,
                b"iloc" => locations = Some(body),
                b"iref" => references = Some(body),
                b"iprp" => properties = Some(body),
                b"idat" => found.inside = body,
                _ => {}
            }
        }
        found.read_locations(locations?)?;
        if let Some(references) = references {
            found.read_references(references)?;
        }
        found.read_properties(properties?)?;
        Some(Ok(found))
    }

    pub(super) fn item(&self, id: u32) -> Option<&Item<'a>> {
        self.items.iter().find(|item| item.id == id)
    }

    fn item_mut(&mut self, id: u32) -> Option<&mut Item<'a>> {
        self.items.iter_mut().find(|item| item.id == id)
    }

    /// The transparency of an item.
    pub(super) fn alpha_of(&self, id: u32) -> Option<&Item<'a>> {
        self.items.iter().find(|item| item.is_alpha && item.alpha_of == Some(id))
    }

    /// The bytes of an item, put together.
    pub(super) fn data(&self, item: &Item<'_>) -> Result<Cow<'a, [u8]>> {
        let whole = if item.is_inside { self.inside } else { self.bytes };
        let part = |&(offset, length): &(u64, u64)| {
            let start = usize::try_from(offset).ok()?;
            // A length of 0 is all that follows.
            let end = if length == 0 { whole.len() } else { start.checked_add(usize::try_from(length).ok()?)? };
            whole.get(start..end)
        };
        let parts: Option<Vec<&[u8]>> = item.extents.iter().map(part).collect();
        match parts.ok_or(Error::CutOff { percent: None })?.as_slice() {
            [] => Err(damaged("a picture has no bytes")),
            [one] => Ok(Cow::Borrowed(one)),
            // Extents may overlap: their sum is bounded by what a file may be.
            several if several.iter().map(|part| part.len()).sum::<usize>() > self.bytes.len() => {
                Err(damaged("pieces of a picture overlap"))
            }
            several => Ok(Cow::Owned(several.concat())),
        }
    }

    fn read_items(&mut self, body: &'a [u8]) -> Option<()> {
        let (version, mut body) = full_box(body)?;
        body.number(if version == 0 { 2 } else { 4 })?;
        while let Some((kind, entry)) = body.next_box() {
            let (version, mut entry) = full_box(entry?)?;
            if kind == *b"infe" && version >= 2 && self.items.len() < MAX_ITEMS {
                let id = entry.number(if version == 2 { 2 } else { 4 })? as u32;
                entry.number(2)?;
                let kind = *entry.0.first_chunk()?;
                self.items.push(Item { id, kind, ..Item::default() });
            }
        }
        Some(())
    }

    fn read_locations(&mut self, body: &'a [u8]) -> Option<()> {
        let (version, mut body) = full_box(body)?;
        let sizes = body.number(2)? as usize;
        let [offset_bytes, length_bytes, base_bytes, index_bytes] =
            [sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15];
        let has_known_sizes = [offset_bytes, length_bytes, base_bytes].iter().all(|bytes| matches!(bytes, 0 | 4 | 8));
        if !has_known_sizes {
            return None;
        }
        let count = body.number(if version < 2 { 2 } else { 4 })?;
        let mut all = 0;
        for _ in 0..count {
            let id = body.number(if version < 2 { 2 } else { 4 })? as u32;
            let method = if version == 0 { 0 } else { body.number(2)? & 15 };
            body.number(2)?;
            let base = body.number(base_bytes)?;
            let extents = body.number(2)?;
            // Places of no bytes cost none, and there could be any number of them.
            all += extents;
            if all > MAX_ITEMS as u64 {
                return None;
            }
            let mut places = Vec::new();
            for _ in 0..extents {
                if version > 0 {
                    body.number(index_bytes)?;
                }
                let offset = base.checked_add(body.number(offset_bytes)?)?;
                places.push((offset, body.number(length_bytes)?));
            }
            if let Some(item) = self.item_mut(id).filter(|_| method < 2) {
                (item.is_inside, item.extents) = (method == 1, places);
            }
        }
        Some(())
    }

    fn read_references(&mut self, body: &'a [u8]) -> Option<()> {
        let (version, mut body) = full_box(body)?;
        let id_bytes = if version == 0 { 2 } else { 4 };
        while let Some((kind, reference)) = body.next_box() {
            let mut reference = Reader(reference?);
            let from = reference.number(id_bytes)? as u32;
            let count = reference.number(2)?;
            let to =
                (0..count).map(|_| reference.number(id_bytes).map(|id| id as u32)).collect::<Option<Vec<u32>>>()?;
            if let Some(item) = self.item_mut(from) {
                match &kind {
                    b"dimg" => item.tiles = to,
                    b"auxl" => item.alpha_of = to.first().copied(),
                    _ => {}
                }
            }
        }
        Some(())
    }

    fn read_properties(&mut self, body: &'a [u8]) -> Option<()> {
        let mut boxes = Reader(body);
        let mut properties: Vec<([u8; 4], &'a [u8])> = Vec::new();
        while let Some((kind, body)) = boxes.next_box() {
            match &kind {
                b"ipco" => {
                    let mut inner = Reader(body?);
                    while let Some((kind, body)) = inner.next_box() {
                        properties.push((kind, body?));
                    }
                }
                b"ipma" => self.associate(body?, &properties)?,
                _ => {}
            }
        }
        Some(())
    }

    fn associate(&mut self, body: &'a [u8], properties: &[([u8; 4], &'a [u8])]) -> Option<()> {
        let is_wide = body.get(3)? & 1 == 1;
        let (version, mut body) = full_box(body)?;
        for _ in 0..body.number(4)? {
            let id = body.number(if version == 0 { 2 } else { 4 })? as u32;
            for _ in 0..body.number(1)? {
                // The first bit says that it must be understood.
                let number = if is_wide { body.number(2)? & 0x7fff } else { body.number(1)? & 0x7f };
                let property = (number as usize).checked_sub(1).and_then(|index| properties.get(index));
                if let (Some(item), Some((kind, body))) = (self.item_mut(id), property) {
                    item.add(kind, body)?;
                }
            }
        }
        Some(())
    }
}

impl<'a> Item<'a> {
    fn add(&mut self, kind: &[u8; 4], body: &'a [u8]) -> Option<()> {
        let mut reader = Reader(body);
        // There is one of each at most, by the standard.
        let is_transform = matches!(kind, b"irot" | b"imir" | b"clap");
        if is_transform && self.transforms.len() == MAX_TRANSFORMS {
            return None;
        }
        match kind {
            b"ispe" => {
                reader.number(4)?;
                self.size = Some((reader.number(4)? as u32, reader.number(4)? as u32));
            }
            b"irot" => self.transforms.push(Transform::Rotate(reader.number(1)? as u8 & 3)),
            b"imir" if reader.number(1)? & 1 == 0 => self.transforms.push(Transform::MirrorTopBottom),
            b"imir" => self.transforms.push(Transform::MirrorLeftRight),
            b"clap" => self.transforms.extend(clean_aperture(self.size?, &mut reader)),
            b"auxC" => self.is_alpha = body.get(4..)?.starts_with(b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"),
            b"colr" => match body.split_first_chunk()? {
                (b"prof" | b"rICC", icc) => self.icc = Some(icc),
                (b"nclx", &[_, _, _, _, high, low, range, ..]) => {
                    self.cicp = Some(Cicp { matrix: u16::from_be_bytes([high, low]), full_range: range & 0x80 != 0 });
                }
                _ => {}
            },
            _ => {}
        }
        Some(())
    }
}

/// The part of a picture that is shown; nothing where it is no whole number of pixels within the picture.
fn clean_aperture((width, height): (u32, u32), reader: &mut Reader<'_>) -> Option<Transform> {
    let mut fraction = || -> Option<f64> {
        let (above, below) = (reader.number(4)? as u32 as i32, reader.number(4)? as u32 as i32);
        (below > 0).then(|| f64::from(above) / f64::from(below))
    };
    let [across, down, shift_x, shift_y] = [fraction()?, fraction()?, fraction()?, fraction()?];
    let x = (f64::from(width) - across) / 2.0 + shift_x;
    let y = (f64::from(height) - down) / 2.0 + shift_y;
    let is_inside = [x, y, across, down].iter().all(|value| value.fract() == 0.0 && *value >= 0.0)
        && across >= 1.0
        && down >= 1.0
        && x + across <= f64::from(width)
        && y + down <= f64::from(height);
    is_inside.then_some(Transform::Crop { x: x as u32, y: y as u32, width: across as u32, height: down as u32 })
}

/// A box with version and flags: the version, and what follows.
fn full_box(body: &[u8]) -> Option<(u8, Reader<'_>)> {
    Some((*body.first()?, Reader(body.get(4..)?)))
}

/// Bytes that are read from front to back.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A big-endian number of at most eight bytes.
    fn number(&mut self, bytes: usize) -> Option<u64> {
        let (number, rest) = self.0.split_at_checked(bytes.min(8))?;
        self.0 = rest;
        Some(number.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// The next box: its kind and its body, or nothing for the body where it is cut off.
    fn next_box(&mut self) -> Option<([u8; 4], Option<&'a [u8]>)> {
        let (size, rest) = self.0.split_first_chunk::<4>()?;
        let (kind, mut rest) = rest.split_first_chunk::<4>()?;
        let mut length = u64::from(u32::from_be_bytes(*size)).checked_sub(8);
        match u32::from_be_bytes(*size) {
            0 => length = Some(rest.len() as u64),
            1 => {
                let (large, behind) = rest.split_first_chunk::<8>()?;
                (length, rest) = (u64::from_be_bytes(*large).checked_sub(16), behind);
            }
            _ => {}
        }
        let body = length.and_then(|length| rest.split_at_checked(usize::try_from(length).ok()?));
        self.0 = body.map_or(&[], |(_, rest)| rest);
        Some((*kind, body.map(|(body, _)| body)))
    }
}
