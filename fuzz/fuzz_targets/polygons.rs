//! Any label map becomes polygons of all classes that cover the photo once, whatever the options are.
//!
//! The first byte is the width, the next two choose the options, the others are the pixels (class = byte modulo 5).
#![no_main]

mod cover;

use clothseg::polygon::{PolygonOptions, partition};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [width, tolerance, least, pixels @ ..] = bytes else { return };
    let width = usize::from(width % 48) + 1;
    let height = pixels.len() / width;
    if height == 0 {
        return;
    }
    let labels: Vec<u8> = pixels[..width * height].iter().map(|byte| byte % 5).collect();
    let options = PolygonOptions::default().with_tolerance_px(f64::from(*tolerance) / 64.0).with_min_area_px(f64::from(*least) / 8.0);
    let partition = partition(&labels, width as u32, height as u32, &options);
    cover::assert_cover(&partition, 5, width * height);
});
