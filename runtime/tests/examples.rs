//! The examples, run as their documentation says. `cargo test` builds them beside the tests.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../samples");

/// Standard output of an example; nothing where it was not built, which is so when this test is built alone.
fn run(example: &str, arguments: &[&str]) -> Option<String> {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap().join("examples");
    let binary: PathBuf = folder.join(format!("{example}{}", std::env::consts::EXE_SUFFIX));
    if !binary.is_file() {
        // ci/test runs all targets.
        assert!(std::env::var_os("CLOTHSEG_REQUIRE_ONNXRUNTIME").is_none(), "{} is not built", binary.display());
        eprintln!("skipped: {example} is not built");
        return None;
    }
    let output = Command::new(binary).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn segment_writes_a_mask_and_prints_outlines() {
    let folder = tempfile::tempdir().unwrap();
    let mask = folder.path().join("mask.png");
    let photo = Path::new(SAMPLES).join("hopper.jpg");
    let Some(text) = run("segment", &[photo.to_str().unwrap(), "skin", mask.to_str().unwrap()]) else { return };
    assert!(text.contains("points") && image::open(mask).unwrap().into_luma8().pixels().any(|pixel| pixel[0] == 255));
}

#[test]
fn parallel_names_the_classes_of_every_photo() {
    let photos = ["hopper.jpg", "astronaut.png"].map(|name| Path::new(SAMPLES).join(name));
    let Some(text) = run("parallel", &[photos[0].to_str().unwrap(), photos[1].to_str().unwrap()]) else { return };
    assert_eq!(text.lines().filter(|line| line.contains("background")).count(), 2, "{text}");
}
