use super::*;
use crate::error::Error;

fn spec() -> ModelSpec {
    let fit = Fit::LongestSide { size: 192, multiple: 32 };
    let taxonomy = Taxonomy::builtin("garments").unwrap();
    ModelSpec::new("test", taxonomy, InputSpec::imagenet(fit), OutputSpec::logits(2))
}

/// A ModelProto with ir_version 8, an empty graph and one foreign metadata entry.
fn onnx() -> Vec<u8> {
    crate::onnx::with_metadata(&[0x08, 8, 0x3a, 0], "author", "somebody".into()).unwrap()
}

#[test]
fn json_has_the_documented_form() {
    let json: Value = serde_json::from_str(&spec().to_json().unwrap()).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["classes"][0]["name"], "background");
    assert_eq!(json["input"]["fit"]["longest-side"]["size"], 192);
    assert_eq!(json["output"]["kind"], "logits");
    assert!(json["groups"]["lower"].is_array());
}

#[test]
fn unknown_fields_survive_and_an_unknown_version_is_refused() {
    let mut json: Value = serde_json::from_str(&spec().to_json().unwrap()).unwrap();
    json["shop"] = "x".into();
    json["input"]["gamma"] = 2.into();
    json["classes"][1]["sku"] = 7.into();
    let read = ModelSpec::from_json(&json.to_string()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&read.to_json().unwrap()).unwrap(), json);
    json["version"] = 2.into();
    assert!(ModelSpec::from_json(&json.to_string()).unwrap_err().to_string().contains("version 2"));
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for (pointer, value) in [
        ("/input/std/1", Value::from(0.0)),
        ("/input/fit/longest-side/multiple", 0.into()),
        ("/input/fit/longest-side/size", 1_000_000.into()),
        ("/output/stride", 65.into()),
        ("/input/mean/0", 123.675.into()),
        ("/input/std/0", 58.395.into()),
        ("/input/std/0", 1e-5.into()),
        ("/classes", Value::Array(vec![])),
    ] {
        let mut json: Value = serde_json::from_str(&spec().to_json().unwrap()).unwrap();
        *json.pointer_mut(pointer).unwrap() = value;
        assert!(matches!(ModelSpec::from_json(&json.to_string()), Err(Error::BadSpec { .. })), "{pointer}");
    }
}

#[test]
fn a_field_that_is_missing_is_named_with_its_place() {
    let mut json: Value = serde_json::from_str(&spec().to_json().unwrap()).unwrap();
    json["input"].as_object_mut().unwrap().remove("color");
    let error = ModelSpec::from_json(&serde_json::to_string_pretty(&json).unwrap()).unwrap_err().to_string();
    assert!(error.contains("input: missing field `color` at line"), "{error}");
}

#[test]
fn a_spec_goes_into_onnx_metadata_and_comes_out_again() {
    let mut spec = spec();
    assert_eq!(ModelSpec::from_onnx(&onnx()).unwrap(), None);
    let once = spec.embed_in_onnx(&onnx()).unwrap();
    assert_eq!(ModelSpec::from_onnx(&once).unwrap().unwrap(), spec);
    spec.name = "second".into();
    let twice = spec.embed_in_onnx(&once).unwrap();
    assert_eq!(ModelSpec::from_onnx(&twice).unwrap().unwrap().name, "second");
    assert_eq!(twice.len(), once.len() + 2, "the first description is replaced, not kept");
    assert!(twice.starts_with(&onnx()), "everything else stays as it was");
}

#[test]
fn other_bytes_are_no_onnx() {
    for bytes in [&b"hello, this is text"[..], &[], &[0x3a, 0xff, 0xff], &[0x08, 8]] {
        assert!(matches!(ModelSpec::from_onnx(bytes), Err(Error::NotOnnx { .. })), "{bytes:?}");
    }
}

#[test]
fn the_sidecar_is_read_when_the_file_has_no_spec() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("net.onnx");
    assert!(matches!(ModelSpec::of_model(&model, &onnx()), Err(Error::MissingSpec { .. })));
    std::fs::write(folder.path().join("net.json"), spec().to_json().unwrap()).unwrap();
    assert_eq!(ModelSpec::of_model(&model, &onnx()).unwrap(), spec());
}

#[test]
fn names_may_be_left_out_and_log_probabilities_are_scores() {
    let mut json: Value = serde_json::from_str(&spec().to_json().unwrap()).unwrap();
    json["input"].as_object_mut().unwrap().remove("name");
    json["output"].as_object_mut().unwrap().remove("name");
    json["output"]["kind"] = "log-probabilities".into();
    json["input"]["color"] = "bgr".into();
    let read = ModelSpec::from_json(&json.to_string()).unwrap();
    assert_eq!((read.input.name.as_str(), read.output.name.as_str()), ("", ""));
    assert_eq!((read.output.kind, read.input.color), (OutputKind::Logits, ColorOrder::Bgr));
}

#[test]
fn the_descriptions_carried_along_are_valid_and_answer_to_common_names() {
    for (name, json) in clothseg_models::DESCRIPTIONS {
        let spec = ModelSpec::from_json(json).unwrap();
        assert_eq!(spec.name, name);
        let found = |text: &str| -> Vec<String> {
            let classes = spec.taxonomy.resolve(text).unwrap();
            classes.iter().map(|&class| spec.taxonomy.classes[class].name.clone()).collect()
        };
        for text in ["shirt", "pants", "dress", "upper", "lower", "full-body", "garment"] {
            assert!(!found(text).is_empty() && !found(text).contains(&spec.taxonomy.classes[0].name), "{name}: {text}");
        }
    }
    assert!(clothseg_models::description("u2net").is_none());
    assert!(clothseg_models::description("U2net-Cloth").is_some());
}

#[test]
fn slips_of_the_pen_are_named_and_unknown_fields_kept() {
    let json: Value = serde_json::from_str(&spec().to_json().unwrap()).unwrap();
    let read = |pointer: &str, field: &str, value: Value| {
        let mut json = json.clone();
        json.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert(field.to_owned(), value);
        ModelSpec::from_json(&json.to_string()).map_err(|error| error.to_string())
    };
    assert!(read("/output", "strides", 4.into()).unwrap_err().contains("'output.stride' may be meant"));
    assert!(read("/input", "pads", 4.into()).unwrap_err().contains("'input.pad' may be meant"));
    assert!(read("", "version", "1".into()).unwrap_err().contains("version \"1\", and the number 1 is needed"));
    assert!(read("", "version", 99.into()).unwrap_err().contains("update clothseg"));
    assert!(ModelSpec::from_json("[]").unwrap_err().to_string().contains("no object with version"));
    assert_eq!(read("/output", "sharpness", 4.into()).unwrap().output.extra["sharpness"], 4);
    assert_eq!(read("/input", "color", "BGR".into()).unwrap().input.color, ColorOrder::Bgr);
}
