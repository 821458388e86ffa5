//! Sizes of pictures without decoding them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use clothseg::internals::upright_size;
use clothseg::{Limits, Photo};

use crate::error::{Error, Result};

/// What is read of a file at first, in bytes. Datasets hold many large ones.
const HEAD_BYTES: u64 = 256 << 10;

/// Width and height of an image file, upright as [`clothseg::Photo`] decodes it, from its head.
pub(super) fn image_dimensions(path: &Path) -> Result<(u32, u32)> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut head = Vec::new();
    file.take(HEAD_BYTES).read_to_end(&mut head).map_err(Error::io("read", path))?;
    // What turns a PNG may stand behind its pixels.
    let tells_all = (head.len() as u64) < HEAD_BYTES || !head.starts_with(b"\x89PNG");
    if let Some(size) = upright_size(&head).filter(|_| tells_all) {
        return Ok(size);
    }
    let whole = std::fs::read(path).map_err(Error::io("read", path))?;
    upright_size(&whole).ok_or_else(|| {
        let cause = Photo::from_bytes(&whole, &Limits::default()).err().map(|error| error.chain());
        Error::file(
            path,
            cause.unwrap_or_else(|| "has a size that cannot be told; save it again as PNG or JPEG".to_owned()),
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use image::{ImageEncoder, RgbImage};

    /// A JPEG file of 40 x 30 pixels with this EXIF orientation, behind `comment_bytes` of comments.
    fn jpeg(orientation: u8, comment_bytes: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new(&mut bytes);
        // One entry: tag 0x0112, type 3 (short), count 1.
        let exif = [b'I', b'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0];
        encoder.set_exif_metadata(exif.into()).unwrap();
        RgbImage::new(40, 30).write_with_encoder(encoder).unwrap();
        let comment = [&[0xff, 0xfe, 0xff, 0xff], [b'c'; 0xfffd].as_slice()].concat();
        let comments = comment.repeat(comment_bytes.div_ceil(comment.len()));
        [&bytes[..2], &comments, &bytes[2..]].concat()
    }

    #[test]
    fn sizes_are_those_of_the_decoded_photo() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (orientation, comment_bytes, expected) in
            [(1, 0, (40, 30)), (3, 0, (40, 30)), (6, 0, (30, 40)), (6, 2 * HEAD_BYTES as usize, (30, 40))]
        {
            std::fs::write(file.path(), jpeg(orientation, comment_bytes)).unwrap();
            assert_eq!(image_dimensions(file.path()).unwrap(), expected);
            let photo = Photo::open(file.path(), &Limits::default()).unwrap();
            assert_eq!((photo.width(), photo.height()), expected);
        }
        std::fs::write(file.path(), "no picture").unwrap();
        let error = image_dimensions(file.path()).unwrap_err().to_string();
        let told = error.split_once(&format!("{}: ", file.path().display())).unwrap().1;
        assert!(told.starts_with("not a readable photo: it is text"), "{error}");
    }
}
