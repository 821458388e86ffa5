//! Any label map becomes polygons of all classes that cover the photo once, whatever the options are.
//!
//! The first byte is the width, the next two choose the options, the others are the pixels (class = byte modulo 5).
#![no_main]

use clothseg::polygon::{PolygonOptions, partition};
use libfuzzer_sys::fuzz_target;

fn area(ring: &[[f32; 2]]) -> f64 {
    let next = ring.iter().cycle().skip(1);
    let sum: f64 = ring.iter().zip(next).map(|(a, b)| f64::from(a[0]) * f64::from(b[1]) - f64::from(b[0]) * f64::from(a[1])).sum();
    sum.abs() / 2.0
}

fuzz_target!(|bytes: &[u8]| {
    let [width, tolerance, least, pixels @ ..] = bytes else { return };
    let width = usize::from(width % 48) + 1;
    let height = pixels.len() / width;
    if height == 0 {
        return;
    }
    let labels: Vec<u8> = pixels[..width * height].iter().map(|byte| byte % 5).collect();
    let options = PolygonOptions {
        tolerance_px: f64::from(*tolerance) / 64.0,
        min_area_px: f64::from(*least) / 8.0,
        ..PolygonOptions::default()
    };
    let partition = partition(&labels, width as u32, height as u32, &options);
    let covered: f64 = (0..5)
        .flat_map(|class| partition.polygons(class))
        .map(|polygon| area(&polygon.exterior) - polygon.holes.iter().map(|hole| area(hole)).sum::<f64>())
        .sum();
    let whole = (width * height) as f64;
    assert!((covered - whole).abs() < 1e-3 * whole, "{covered} of {whole} pixels are covered");
});
