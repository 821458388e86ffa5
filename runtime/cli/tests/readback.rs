//! Every format, read by the tools that it is for: see `readback.py`.

#![allow(clippy::unwrap_used)]
#![cfg(all(feature = "embedded", feature = "default-model"))]

mod support;

use std::path::Path;
use std::process::Command;

use support::TestEnv;

/// Names a Python that has the tools; `ci/readback` makes one and sets it.
const PYTHON: &str = "CLOTHSEG_READBACK_PYTHON";

#[test]
fn every_format_is_read_back_by_its_own_tools() {
    let Some(python) = std::env::var_os(PYTHON) else {
        eprintln!("skipped: {PYTHON} names no Python with pycocotools, labelme and resvg; ci/readback does");
        return;
    };
    let env = TestEnv::new();
    env.photo("in/drawn.png");
    support::ring_photo(120, 90).save(env.path("in/ring.png")).unwrap();
    let samples = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples"));
    for sample in ["astronaut.png", "hopper.jpg"] {
        env.write(&format!("in/{sample}"), &std::fs::read(samples.join(sample)).unwrap());
    }
    // Real photos for the model that finds garments, drawn ones for the model that finds colours.
    let all = "masks,soft,cutout,crop,labels,parse,overlay,svg,labelme,yolo,coco,json";
    let runs = [
        ("exact", "0", vec!["--format", all]),
        ("smooth", "0.75", vec!["--format", all, "--crop-margin", "3"]),
        ("rle", "1.5", vec!["--format", "masks,labels,svg,labelme,coco", "--coco", "rle", "--mask-depth", "1"]),
        ("counts", "0", vec!["--format", "masks,labels,cutout,coco", "--coco", "counts", "--cutout-alpha", "hard"]),
    ];
    let mut folders = Vec::new();
    for (name, tolerance, flags) in runs {
        let flags = [&flags[..], &["--tolerance", tolerance, "--min-area", "0", "--quiet"]].concat();
        let (real, drawn) = (format!("{name}-real"), format!("{name}-drawn"));
        let photos =
            [&["in/astronaut.png", "in/hopper.jpg", "--provider", "embedded", "-o", &real], &flags[..]].concat();
        env.run_plain(&photos).expect(0, &[]);
        env.run(&[&["in/drawn.png", "in/ring.png", "-o", &drawn], &flags[..]].concat()).expect(0, &[]);
        folders.extend([real, drawn].map(|folder| format!("{folder}:{tolerance}")));
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/readback.py");
    let output = Command::new(python).arg(script).args(&folders).current_dir(env.path("")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    eprintln!("{said}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Each form was there to be read, not only one of them.
    for form in ["'polygons'", "'str'", "'list'", "'mask'", "'polygon'"] {
        assert!(said.contains(form), "no {form} in: {said}");
    }
}
