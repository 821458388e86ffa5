//! PNG files whose end is missing: copies and downloads that were broken off.

/// What a PNG begins with.
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Length and kind before a chunk's data, and the checksum behind it, in bytes.
const HEAD_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;

/// The chunk that ends a file, without checksum.
const END: [u8; HEAD_BYTES + CHECKSUM_BYTES] = *b"\0\0\0\0IEND\0\0\0\0";

/// A file that is cut off, with an end put behind what is there: its pixels may be complete. Checksums are not made. [`None`] for
/// a file with its end, and for what is no PNG.
pub(super) fn completed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = bytes.strip_prefix(SIGNATURE)?;
    while let Some((length, kind)) = head(rest) {
        let Some(after) = length.checked_add(HEAD_BYTES + CHECKSUM_BYTES).and_then(|bytes| rest.get(bytes..)) else {
            break;
        };
        if kind == *b"IEND" {
            return None;
        }
        rest = after;
    }
    let mut whole = bytes[..bytes.len() - rest.len()].to_vec();
    // Of a chunk of pixels that is cut off, what is there; its length may not say more.
    if let Some((length, kind)) = head(rest).filter(|(_, kind)| kind == b"IDAT") {
        let data = &rest[HEAD_BYTES..];
        let data = &data[..data.len().min(length)];
        whole.extend((data.len() as u32).to_be_bytes()); // at most the chunk's own u32
        whole.extend(kind);
        whole.extend(data);
        whole.extend([0; CHECKSUM_BYTES]);
    }
    whole.extend(END);
    Some(whole)
}

/// Length and kind of the chunk that begins here.
fn head(bytes: &[u8]) -> Option<(usize, [u8; 4])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_be_bytes(*length)).ok()?, *rest.first_chunk()?))
}
