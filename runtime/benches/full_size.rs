//! Logits to class indices at a photo's size, as one process, for `ci/bench runtime`.
//!
//! `full_size write PHOTO FILE` runs the built-in model on a photo, writes its logits (float32, class after class, row after
//! row) and prints their shape; `full_size run FILE CLASSES ROWS COLUMNS WIDTH HEIGHT` prints `seconds S` of one run and
//! `memory_mb M` beyond what was there before.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Instant;

use clothseg::postprocess::NetworkOutput;
use clothseg::preprocess::Geometry;
use clothseg::spec::OutputSpec;
use clothseg::{EngineOptions, Limits, Model, Photo, Segmenter};
use ndarray::Array3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["write", photo, file] => write(photo, file),
        ["run", file, sizes @ ..] => run(file, sizes),
        _ => eprintln!("this benchmark is run by `ci/bench runtime full-size`"),
    }
}

fn write(photo: &str, file: &str) {
    let mut options = EngineOptions::default();
    options.library = std::env::var_os("ORT_DYLIB_PATH").map(Into::into);
    let segmenter = Segmenter::open_model(&Model::from_onnx(clothseg_models::GARMENTS).unwrap(), &options).unwrap();
    let photo = Photo::open(photo, &Limits::default()).unwrap();
    let segmentation = segmenter.segment(&photo).unwrap();
    let values = segmentation.network_output().values();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(file, bytes).unwrap();
    let (classes, rows, columns) = values.dim();
    println!("{classes} {rows} {columns}");
}

fn run(file: &str, sizes: &[&str]) {
    let sizes: Vec<usize> = sizes.iter().map(|size| size.parse().unwrap()).collect();
    let &[classes, rows, columns, width, height] = sizes.as_slice() else { panic!("five sizes are needed") };
    let bytes = std::fs::read(file).unwrap();
    let values = bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    let geometry = Geometry {
        content_width: columns as u32,
        content_height: rows as u32,
        tensor_width: columns as u32,
        tensor_height: rows as u32,
    };
    let values = Array3::from_shape_vec((classes, rows, columns), values).unwrap();
    let output = NetworkOutput::new(values, OutputSpec::logits(1), geometry);
    output.label_map(64, 64).unwrap();
    let before_kib = peak_kib();
    let started = Instant::now();
    let map = output.label_map(width as u32, height as u32).unwrap();
    println!("seconds {}", started.elapsed().as_secs_f64());
    println!("memory_mb {}", (peak_kib() - before_kib) / 1024.0);
    assert_eq!(map.labels().len(), width * height);
}

/// The largest memory that this process has had, on Linux.
fn peak_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or_default()
}
