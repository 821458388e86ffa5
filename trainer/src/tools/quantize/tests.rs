#![allow(clippy::unwrap_used)]

use clothseg::Limits;
use ndarray::array;

use super::*;

#[test]
fn agreement_counts_cells_and_difference_numbers() {
    let mut comparison = Comparison::default();
    let float = array![[[1.0, 5.0]], [[2.0, 0.0]]];
    let other = array![[[3.0, 5.0]], [[2.0, 0.0]]];
    comparison.add(float.view(), other.view());
    assert_eq!(comparison.agreement(), 0.5);
    assert_eq!(comparison.difference(), 1.0, "the root of 4 / 4");
}

#[test]
fn the_default_model_in_8_bits_says_nearly_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let model = root.join("models/garments-lite0.onnx");
    let mut photos: Vec<PathBuf> =
        std::fs::read_dir(root.join("samples")).unwrap().map(|entry| entry.unwrap().path()).collect();
    photos.retain(|path| path.extension().is_some_and(|extension| extension == "jpg" || extension == "png"));
    photos.sort();
    let open = |path: &PathBuf| Ok(Photo::open(path, &Limits::default())?);
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("int8.onnx");
    let done = quantize(&model, photos.iter().map(open), &output, &EngineOptions::default()).unwrap();
    // Three portraits, on which the model wavers: on street photos more cells agree (see the card).
    assert!(done.agreement > 0.85 && done.convolutions > 10, "{done:?}");
    // The float model's weights are stored in 16 bits.
    assert!(done.bytes * 5 < done.float_bytes * 3, "{done:?}");
    // It describes itself, and runs as any model does.
    let segmenter = clothseg::Segmenter::open_with(&output, &EngineOptions::default()).unwrap();
    assert_eq!(segmenter.spec().name, "garments-lite0-int8");
    assert_eq!(segmenter.spec().training["quantised"]["photos"], photos.len());
    assert!(segmenter.segment(&open(&photos[0]).unwrap()).unwrap().regions().len() > 1);
    let none = quantize(&model, Vec::new(), &output, &EngineOptions::default());
    assert!(matches!(none, Err(Error::Export { .. })));
    let tensorrt = EngineOptions::default().with_provider(Provider::Tensorrt);
    assert!(quantize(&model, Vec::new(), &output, &tensorrt).unwrap_err().to_string().contains("for CPUs"));
}
