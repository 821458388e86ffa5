//! Photos from anywhere: decoded in full and as far as a network needs, or refused.
#![no_main]

use clothseg::preprocess::prepare;
use clothseg::spec::{Fit, InputSpec};
use clothseg::{Detail, Limits, Photo};
use libfuzzer_sys::fuzz_target;

const FIT: Fit = Fit::LongestSide { size: 8, multiple: 1 };

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { max_pixels: 1_000_000, ..Limits::default() };
    for detail in [Detail::Full, Detail::EnoughFor(FIT)] {
        let Ok(photo) = Photo::from_bytes_with(bytes, &limits, detail) else { continue };
        assert!(u64::from(photo.width()) * u64::from(photo.height()) <= limits.max_pixels);
        assert!(photo.is_reduced() || photo.rgb().dimensions() == (photo.width(), photo.height()));
        prepare(&photo, &InputSpec::imagenet(FIT)).expect("what is decoded can be resized");
    }
});
