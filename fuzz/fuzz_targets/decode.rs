//! Photos from anywhere: decoded in full and at every size that a JPEG can be reduced to, or refused.
#![no_main]

use clothseg::preprocess::prepare;
use clothseg::spec::{Fit, InputSpec};
use clothseg::{Detail, Limits, Photo};
use libfuzzer_sys::fuzz_target;

/// A network for which the decoder reduces a photo to 1 / `divisor` of its size: it needs a little less than half of what is
/// left, since sides are rounded.
fn fit(longest: u32, divisor: u32) -> Fit {
    Fit::LongestSide { size: (longest / (2 * divisor)).saturating_sub(1).max(1), multiple: 1 }
}

fn decode(bytes: &[u8], detail: Detail, fit: Fit) -> Option<Photo> {
    let limits = Limits::default().with_max_pixels(1_000_000);
    let photo = Photo::from_bytes_with(bytes, &limits, detail).ok()?;
    assert!(u64::from(photo.width()) * u64::from(photo.height()) <= limits.max_pixels);
    assert!(photo.is_reduced() || photo.rgb().dimensions() == (photo.width(), photo.height()));
    prepare(&photo, &InputSpec::imagenet(fit)).expect("what is decoded can be resized");
    Some(photo)
}

fuzz_target!(|bytes: &[u8]| {
    let full = decode(bytes, Detail::Full, fit(64, 1));
    let longest = full.as_ref().map_or(64, |photo| photo.width().max(photo.height()));
    for divisor in [8, 4, 2] {
        let fit = fit(longest, divisor);
        let Some(photo) = decode(bytes, Detail::EnoughFor(fit), fit) else { continue };
        if photo.is_reduced() {
            let most = [photo.width(), photo.height()].map(|side| side.div_ceil(2));
            assert!(photo.rgb().width() <= most[0] && photo.rgb().height() <= most[1]);
        }
        if let Some(full) = &full {
            assert_eq!((photo.width(), photo.height()), (full.width(), full.height()));
        }
    }
});
