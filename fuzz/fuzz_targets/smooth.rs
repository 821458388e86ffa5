//! Any output of a network becomes smooth polygons of all classes that cover the photo once, whatever the options are; without
//! a tolerance every pixel centre lies in the polygons of its class.
//!
//! The first two bytes are the photo's size, the third the network's, the fourth its kind, the next two choose the options,
//! the others are logits (i8 / 4; over and over where there are too few).
#![no_main]

mod cover;

use clothseg::polygon::{Outline, PolygonOptions, partition_of};
use clothseg::preprocess::geometry;
use clothseg::spec::{Fit, OutputSpec};
use clothseg::LabelMap;
use clothseg::polygon::Partition;
use clothseg::postprocess::NetworkOutput;
use libfuzzer_sys::fuzz_target;
use ndarray::Array3;

/// The output for a photo of `size`, and its number of classes.
fn output(size: [u32; 2], side: u8, kind: u8, logits: &[u8]) -> (NetworkOutput, usize) {
    let (stride, classes) = (1 << (kind & 3), usize::from(kind >> 2 & 3) + 1);
    let side = u32::from(side % 64) + 1;
    let fit = match kind >> 4 & 3 {
        0 => Fit::Stretch { width: side, height: u32::from(kind) % side + 1 },
        multiple => Fit::LongestSide { size: side, multiple: 1 << multiple },
    };
    let at = geometry(&fit, size[0], size[1]);
    let cells = [at.tensor_height, at.tensor_width].map(|side| side.div_ceil(stride) as usize);
    let mut logits = logits.iter().cycle().map(|byte| f32::from(*byte as i8) / 4.0);
    let values = Array3::from_shape_simple_fn((classes, cells[0], cells[1]), || logits.next().unwrap_or_default());
    (NetworkOutput::new(values, OutputSpec::logits(stride), at), classes)
}

/// Asserts that of each class the pixel centres within its polygons are its pixels.
fn assert_centres(partition: &Partition, map: &LabelMap, classes: usize) {
    let (width, height) = (map.width() as usize, map.height() as usize);
    for class in 0..classes {
        // Per row the places where an edge passes the line through the centres: in pairs, between which is inside.
        let mut crossings = vec![Vec::new(); height];
        for polygon in partition.polygons(class) {
            for ring in std::iter::once(&polygon.exterior).chain(&polygon.holes) {
                for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
                    let ([a, b], [low, high]) = ([a, b].map(|p| p.map(f64::from)), [a[1].min(b[1]), a[1].max(b[1])]);
                    for y in (f64::from(low) - 0.5).ceil() as usize..(f64::from(high) - 0.5).ceil().max(0.0) as usize {
                        let share = (y as f64 + 0.5 - a[1]) / (b[1] - a[1]);
                        crossings[y].push(a[0] + (b[0] - a[0]) * share);
                    }
                }
            }
        }
        for (y, crossings) in crossings.iter().enumerate() {
            for x in 0..width {
                let centre = x as f64 + 0.5;
                let inside = crossings.iter().filter(|crossing| **crossing < centre).count() % 2 == 1;
                let is_class = usize::from(map.labels()[y * width + x]) == class;
                assert_eq!(inside, is_class, "class {class} at {x}, {y}: {crossings:?}");
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [width, height, side, kind, tolerance, least, logits @ ..] = bytes else { return };
    let size = [width, height].map(|side| u32::from(side % 64) + 1);
    let (output, classes) = output(size, *side, *kind, logits);
    let map = output.label_map(size[0], size[1]).expect("the numbers are finite and of the right shape");
    let (tolerance_px, min_area_px) = (f64::from(*tolerance) / 64.0, f64::from(*least) / 8.0);
    let options = PolygonOptions::of(Outline::Smooth).with_tolerance_px(tolerance_px).with_min_area_px(min_area_px);
    let partition = partition_of(&map, &output, &options);
    cover::assert_cover(&partition, classes, map.labels().len());
    let exact = options.with_tolerance_px(0.0).with_min_area_px(0.0);
    assert_centres(&partition_of(&map, &output, &exact), &map, classes);
});
