//! WebP files that are not what they say: cut off, filled up with zeros, or without metadata that they promise.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, ImageReader};

/// Where a WebP file says what it has besides pixels.
const FLAGS: usize = 20;
/// Of these flags EXIF and XMP.
const METADATA: u8 = 0b1100;

/// The file without the promise of metadata, where it makes one.
pub(super) fn without_metadata(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.get(8..16) != Some(b"WEBPVP8X") || bytes.get(FLAGS)? & METADATA == 0 {
        return None;
    }
    let mut bytes = bytes.to_vec();
    *bytes.get_mut(FLAGS)? &= !METADATA;
    Some(bytes)
}

/// Whether a file is shorter than it says.
pub(super) fn is_cut_off(bytes: &[u8]) -> bool {
    let said = bytes.strip_prefix(b"RIFF").and_then(|rest| rest.first_chunk()).map(|size| u32::from_le_bytes(*size));
    said.is_some_and(|size| u64::from(size) + 8 > bytes.len() as u64)
}

/// Zeros at the end of a lossy photo's data that may be what a broken download left. Fewer are taken as they are.
const MIN_ZEROS: usize = 4096;

/// The share of a lossy photo's data that is there, where the rest are zeros that nobody wrote.
///
/// A photo of one colour may end in tens of thousands of zeros, too, and needs them. Zeros that took the place of data are
/// spent slowly, so that some are left over: then the photo decodes without its last bytes, which no whole one does.
pub(super) fn share_before_zeros(bytes: &[u8]) -> Option<f64> {
    let data = lossy_data(bytes)?;
    let there = data.len() - data.iter().rev().take_while(|byte| **byte == 0).count();
    let shorter = data.get(..data.len().checked_sub(MIN_ZEROS)?).filter(|shorter| shorter.len() >= there)?;
    let size = u32::try_from(shorter.len()).ok()?;
    let riff_size = size.checked_add(12)?.checked_add(size % 2)?;
    let padding = if size % 2 == 1 { &[0][..] } else { &[] };
    let alone = [b"RIFF", &riff_size.to_le_bytes()[..], b"WEBPVP8 ", &size.to_le_bytes(), shorter, padding].concat();
    let decoder = ImageReader::with_format(Cursor::new(alone), ImageFormat::WebP).into_decoder().ok()?;
    DynamicImage::from_decoder(decoder).ok().map(|_| there as f64 / data.len() as f64)
}

/// The content of the chunk of a lossy photo; nothing where it is cut off, or the photo is lossless or moves.
fn lossy_data(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.get(12..)?;
    loop {
        let (kind, after) = rest.split_first_chunk::<4>()?;
        let (size, after) = after.split_first_chunk()?;
        let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
        if kind == b"VP8 " {
            return after.get(..size);
        }
        rest = after.get(size.checked_add(size % 2)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_of_a_lossy_photo_are_found_behind_other_chunks() {
        let file = b"RIFF\0\0\0\0WEBPALPH\x03\0\0\0abc\0VP8 \x02\0\0\0deEXIF";
        assert_eq!(lossy_data(file), Some(&b"de"[..]));
        assert_eq!(lossy_data(b"RIFF\0\0\0\0WEBPVP8 \x03\0\0\0de"), None);
        assert_eq!(lossy_data(b"RIFF\0\0\0\0WEBPVP8L\x02\0\0\0de"), None);
    }
}
