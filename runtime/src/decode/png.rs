//! The chunks of a PNG, and what is wrong with them.

/// A chunk of a PNG that is there to its end.
struct Chunk<'a> {
    kind: [u8; 4],
    /// Kind and content.
    whole: &'a [u8],
    checksum: u32,
}

impl<'a> Chunk<'a> {
    fn content(&self) -> &'a [u8] {
        self.whole.get(4..).unwrap_or_default()
    }

    fn is_sound(&self) -> bool {
        crc32fast::hash(self.whole) == self.checksum
    }

    /// Whether the pixels cannot be read without it.
    fn is_critical(&self) -> bool {
        self.kind[0].is_ascii_uppercase()
    }
}

/// The chunks, up to the first that is cut off.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (whole, after) = after.split_at_checked(length.checked_add(4)?)?;
        let (checksum, after) = after.split_first_chunk()?;
        rest = after;
        Some(Chunk { kind: *whole.first_chunk()?, whole, checksum: u32::from_be_bytes(*checksum) })
    })
}

/// Whether what there is of the pixels is what was written.
pub(super) fn pixels_are_sound(bytes: &[u8]) -> bool {
    chunks(bytes).all(|chunk| &chunk.kind != b"IDAT" || chunk.is_sound())
}

/// The EXIF block, which may stand behind the pixels.
pub(super) fn exif(bytes: &[u8]) -> Option<&[u8]> {
    chunks(bytes).find(|chunk| &chunk.kind == b"eXIf").map(|chunk| chunk.content())
}

/// What is wrong with a PNG that is not read, as far as its chunks tell it.
pub(super) fn fault(bytes: &[u8]) -> Option<String> {
    if chunks(bytes).next().is_some_and(|chunk| &chunk.kind == b"CgBI") {
        let reason =
            "this kind of PNG is not read (Apple's CgBI, made for iPhone apps); save it as an ordinary PNG or JPEG";
        return Some(reason.into());
    }
    let before_pixels = chunks(bytes).take_while(|chunk| &chunk.kind != b"IDAT");
    before_pixels.into_iter().find(|chunk| chunk.is_critical() && !chunk.is_sound()).map(|chunk| {
        let kind = String::from_utf8_lossy(&chunk.kind);
        format!("damaged: the checksum of its chunk {kind} is wrong; copy or download it again")
    })
}
