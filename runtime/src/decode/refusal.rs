//! What is wrong with a file that a decoder gave up, in words that say what to do.

use std::io::ErrorKind;

use image::{ImageError, ImageFormat};

use super::{png, tiff, webp};
use crate::error::Error;

/// The error about a file of which this is the decoder's.
pub(super) fn refusal(bytes: &[u8], format: ImageFormat, source: ImageError) -> Error {
    if ends_early(&source) || webp::is_cut_off(bytes) {
        return Error::CutOff { percent: None };
    }
    let named = match format {
        ImageFormat::Tiff => tiff::unread_cause(bytes).map(|cause| tiff::not_read(&cause)),
        ImageFormat::Png => png::fault(bytes),
        ImageFormat::Bmp => bmp_fault(bytes),
        _ => None,
    };
    match (named, &source) {
        (Some(reason), _) => Error::Decode { reason, source: None },
        (None, ImageError::Unsupported(_)) => {
            let reason = "this kind of file is not read; save it as an ordinary PNG or JPEG".into();
            Error::Decode { reason, source: Some(source.into()) }
        }
        _ => Error::Decode { reason: "damaged".into(), source: Some(source.into()) },
    }
}

/// Whether a decoder says that there are too few bytes.
pub(super) fn ends_early(error: &ImageError) -> bool {
    let is_end = |error: &std::io::Error| error.kind() == ErrorKind::UnexpectedEof;
    if let ImageError::IoError(error) = error {
        return is_end(error);
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(is_end) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What of a BMP is not read.
fn bmp_fault(bytes: &[u8]) -> Option<String> {
    const COMPRESSION: usize = 30;
    let inside = match u32::from_le_bytes(*bytes.get(COMPRESSION..)?.first_chunk()?) {
        4 => "JPEG",
        5 => "PNG",
        _ => return None,
    };
    Some(format!("this kind of BMP is not read ({inside} inside); save it as an ordinary PNG or JPEG"))
}
