//! Models whose input and output are not what this library's own models have: what the graph or the description says runs, and
//! everything else is refused on opening, by both engines.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(feature = "embedded")]

mod support;

use clothseg::spec::ModelSpec;
use clothseg::{Error, Model, Photo, Provider, Segmenter};
use support::interfaces::{self, Interface};

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

fn open(onnx: Vec<u8>, spec: ModelSpec, provider: Provider) -> clothseg::Result<Segmenter> {
    Segmenter::open_model(&Model::from_bytes(onnx, spec)?, &support::engine_options(provider))
}

#[test]
fn what_the_graph_or_the_description_says_plainly_runs_on_both_engines() {
    for provider in providers() {
        for Interface { name, onnx, spec } in interfaces::all() {
            let what = format!("{name} on {provider}");
            let segmenter = open(onnx, spec, provider).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(segmenter.spec().output.stride, 2, "{what}: the stride is found");
            let photo = Photo::from_rgb(support::drawn_photo(128, 96)).unwrap();
            for segmentation in
                [segmenter.segment(&photo), segmenter.segment_batch(std::slice::from_ref(&photo)).remove(0)]
            {
                let segmentation = segmentation.unwrap_or_else(|error| panic!("{what}: {error}"));
                let labels = segmentation.label_map().labels();
                let pants = u8::from(segmenter.spec().taxonomy.len() == 3) * 2;
                let at = |x: usize, y: usize| labels[y * 128 + x];
                assert_eq!([at(64, 24), at(64, 72), at(5, 5)], [1, pants, 0], "{what}");
                for region in segmentation.regions() {
                    assert!((0.5..=1.0).contains(&region.confidence), "{what}: {region:?}");
                }
                let soft = segmentation.soft_mask("shirt").unwrap();
                assert!(soft.get_pixel(64, 24)[0] > 127 && soft.get_pixel(5, 5)[0] < 128, "{what}");
            }
        }
    }
}

#[test]
fn everything_else_is_refused_on_opening_with_what_the_model_has() {
    for provider in providers() {
        for (Interface { name, onnx, spec }, word) in interfaces::refused() {
            match open(onnx, spec, provider) {
                Err(Error::BadSpec { reason }) => assert!(reason.contains(word), "{name} on {provider}: {reason}"),
                Err(error) => panic!("{name} on {provider}: {error}"),
                Ok(_) => panic!("{name} on {provider}: it was opened"),
            }
        }
    }
}

#[test]
fn a_threshold_moves_the_edge_of_one_channel() {
    for provider in providers() {
        let one = interfaces::all().into_iter().find(|interface| interface.name == "one sigmoid").unwrap();
        let mut areas = Vec::new();
        for threshold in [None, Some(0.999)] {
            let mut spec = one.spec.clone();
            spec.output.threshold = threshold;
            let segmenter = open(one.onnx.clone(), spec, provider).unwrap();
            let photo = Photo::from_rgb(support::drawn_photo(128, 96)).unwrap();
            let segmentation = segmenter.segment(&photo).unwrap();
            areas.push(segmentation.mask("shirt").unwrap().iter().filter(|level| **level > 0).count());
        }
        assert!(areas[0] > areas[1], "{areas:?}");
    }
}

#[test]
fn a_hugging_face_folder_is_a_description() {
    let folder = tempfile::tempdir().unwrap();
    let plain = interfaces::all().remove(0);
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    std::fs::create_dir(folder.path().join("onnx")).unwrap();
    write("onnx/model.onnx", &plain.onnx);
    write(
        "config.json",
        br#"{"model_type": "segformer", "id2label": {"0": "Background", "1": "shirt", "2": "pants"}}"#,
    );
    write(
        "preprocessor_config.json",
        br#"{"do_normalize": false, "size": {"height": 96, "width": 128}, "rescale_factor": 0.00392156862745098}"#,
    );
    for path in [folder.path().to_owned(), folder.path().join("onnx/model.onnx")] {
        let options = support::engine_options(Provider::Embedded);
        let segmenter = Segmenter::open_with(&path, &options).unwrap();
        let photo = Photo::from_rgb(support::drawn_photo(128, 96)).unwrap();
        assert_eq!(segmenter.segment(&photo).unwrap().mask("pants").unwrap().get_pixel(64, 72)[0], 255);
    }
    write("preprocessor_config.json", b"{\n\"size\": }");
    let error = Model::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("preprocessor_config.json") && error.contains("line 2"), "{error}");
}

#[test]
fn a_description_that_is_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let plain = interfaces::all().remove(0);
    std::fs::write(folder.path().join("net.onnx"), &plain.onnx).unwrap();
    let json = plain.spec.to_json().unwrap();
    let refused = |json: &str| {
        std::fs::write(folder.path().join("net.json"), json).unwrap();
        Model::open(folder.path().join("net.onnx")).unwrap_err().to_string()
    };
    for (change, word) in [
        (("\"mean\"", "\"meen\""), "mean"),
        (("\"logits\"", "\"scores\""), "line"),
        (("0.0", "123.675"), "divide them by 255"),
    ] {
        let text = refused(&json.replacen(change.0, change.1, 1));
        assert!(text.contains("net.json") && text.contains(word), "{text}");
    }
    let names = serde_json::json!(["background", "shirt"]);
    let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
    value["classes"] = names;
    let text = refused(&value.to_string());
    assert!(text.contains("net.json") && text.contains("classes[0] is \"background\""), "{text}");
    std::fs::write(folder.path().join("net.json"), format!("\u{feff}{json}")).unwrap();
    assert_eq!(Model::open(folder.path().join("net.onnx")).unwrap().spec(), &plain.spec);
    let wide: Vec<u8> = std::iter::once(0xfeff_u16).chain(json.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    std::fs::write(folder.path().join("net.json"), wide).unwrap();
    assert_eq!(Model::open(folder.path().join("net.onnx")).unwrap().spec(), &plain.spec);
}

#[test]
fn other_files_are_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Model::open(&path).unwrap_err().to_string()
    };
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n";
    for (name, bytes, word) in [
        ("model.onnx", &pointer[..], "git lfs pull"),
        ("model.pth", b"PK\x03\x04\0\0\0\0archive/data.pkl", "torch.onnx.export"),
        ("model.engine", b"\x10\0\0\0{\"stride\": 32}..", "TensorRT engine"),
        ("model.onnx", b"", "empty"),
        ("model.onnx", b"hello", "not an ONNX model"),
    ] {
        let text = refused(name, bytes);
        assert!(text.contains(word) && text.contains(name), "{name}: {text}");
    }
    let text = Model::open(folder.path()).unwrap_err().to_string();
    assert!(!text.is_empty());
}
