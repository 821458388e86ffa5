//! Models made elsewhere, with the descriptions that the library carries and with those of their users.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(feature = "embedded")]

mod support;

use clothseg::{Error, Model, ModelSpec, Photo, Provider, Segmenter};
use support::foreign;

/// A description that is carried along.
fn described(name: &str) -> ModelSpec {
    ModelSpec::from_json(clothseg_models::description(name).unwrap()).unwrap()
}

/// The engines to test with: the embedded one, and ONNX Runtime where it is (in ci/test it must be).
fn providers() -> Vec<Provider> {
    let cpu = support::engine_options(Provider::Cpu);
    match clothseg::engine::open(&support::color_model(), &support::color_spec(), &cpu) {
        Ok(_) => vec![Provider::Embedded, Provider::Cpu],
        Err(error) if std::env::var_os("CLOTHSEG_REQUIRE_ONNXRUNTIME").is_none() => {
            eprintln!("skipped with ONNX Runtime: {error}");
            vec![Provider::Embedded]
        }
        Err(error) => panic!("{error}"),
    }
}

/// Classes in a drawn photo (red square above, blue one below): in the red one, in the blue one, beside them.
fn classes(onnx: Vec<u8>, spec: ModelSpec, provider: Provider) -> [String; 3] {
    let model = Model::from_bytes(onnx, spec).unwrap();
    let options = support::engine_options(provider);
    let segmenter = Segmenter::open_model(&model, &options).unwrap();
    let photo = Photo::from_rgb(support::drawn_photo(301, 200)).unwrap();
    let segmentation = segmenter.segment(&photo).unwrap();
    for region in segmentation.regions() {
        assert!((0.3..=1.0).contains(&region.confidence), "{region:?}");
    }
    assert_eq!(segmentation.mask("shirt").unwrap().get_pixel(150, 50)[0], 255);
    let labels = segmentation.label_map().labels();
    let name = |x: usize, y: usize| segmenter.spec().taxonomy.classes[usize::from(labels[y * 301 + x])].name.clone();
    [name(150, 50), name(150, 150), name(5, 5)]
}

#[test]
fn u2net_for_clothes_runs_with_the_description_carried_along() {
    for provider in providers() {
        let spec = described("u2net-cloth");
        let found = classes(foreign::u2net_cloth(), spec, provider);
        assert_eq!(found, ["upper body", "lower body", "background"], "{provider}");
    }
}

#[test]
fn segformer_for_clothes_runs_with_the_description_carried_along() {
    for provider in providers() {
        let spec = described("segformer-b2-clothes");
        let found = classes(foreign::segformer_clothes(), spec, provider);
        assert_eq!(found, ["Upper-clothes", "Pants", "Background"], "{provider}");
    }
}

#[test]
fn the_named_output_of_several_is_the_one_that_counts() {
    for provider in providers() {
        let mut spec = described("u2net-cloth");
        spec.output.name = "d3".into();
        let onnx = foreign::u2net_cloth();
        let options = support::engine_options(provider);
        let segmenter = Segmenter::open_model(&Model::from_bytes(onnx, spec).unwrap(), &options).unwrap();
        assert_eq!((segmenter.spec().input.name.as_str(), segmenter.spec().output.name.as_str()), ("image", "d3"));
        let photo = Photo::from_rgb(support::drawn_photo(64, 64)).unwrap();
        let labels = segmenter.segment(&photo).unwrap();
        assert_ne!(labels.label_map().labels()[16 * 64 + 32], 1, "the opposite of a red square is no upper body");
    }
}

#[test]
fn a_description_that_does_not_fit_the_model_is_refused_on_opening() {
    let refused = |onnx: Vec<u8>, name: &str| {
        let model = Model::from_bytes(onnx, described(name)).unwrap();
        let options = support::engine_options(Provider::Embedded);
        match Segmenter::open_model(&model, &options) {
            Err(error @ Error::BadSpec { .. }) => error.to_string(),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it was opened"),
        }
    };
    assert!(refused(foreign::u2net_cloth(), "segformer-b2-clothes").contains("'pixel_values'"));
    let text = refused(foreign::segformer_clothes(), "u2net-cloth");
    assert!(text.contains("4 classes") && text.contains("18 channels"), "{text}");
}
