//! A description from the files of a Hugging Face folder: `config.json` has the classes, `preprocessor_config.json` what goes
//! in. What they ask for and this library does not do is refused by name: a photo prepared otherwise gives masks that are
//! quietly wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::check::mean_color;
use super::file::read_text;
use super::{ColorOrder, Fit, InputSpec, ModelSpec, OutputKind, OutputSpec};
use crate::error::{Error, Result};
use crate::taxonomy::{Class, Taxonomy};

pub(super) const CONFIG: &str = "config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";

/// Model types whose output is one of masks and queries, not of classes for each cell.
const OF_QUERIES: [&str; 5] = ["mask2former", "maskformer", "oneformer", "detr", "conditional_detr"];

/// What the two files beside a model describe; nothing where there is no `config.json` with classes.
pub(super) fn beside(model: &Path) -> Result<Option<ModelSpec>> {
    let folder = model.parent().unwrap_or(Path::new(""));
    let above = folder.file_name().filter(|name| *name == "onnx").and_then(|_| folder.parent());
    for folder in std::iter::once(folder).chain(above) {
        let config = folder.join(CONFIG);
        if config.is_file()
            && let Some(spec) = of_config(&config)?
        {
            return Ok(Some(spec));
        }
    }
    Ok(None)
}

/// What a `config.json` and the `preprocessor_config.json` beside it describe; nothing where it has no classes.
pub(super) fn of_config(path: &Path) -> Result<Option<ModelSpec>> {
    let config = json(path)?;
    let Some(labels) = config.get("id2label") else { return Ok(None) };
    let model_type = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
    if OF_QUERIES.contains(&model_type) {
        return bad(path, format!("'{model_type}' gives masks of queries, not a number for each class and cell"));
    }
    let taxonomy = Taxonomy { classes: classes(path, labels)?, groups: BTreeMap::new() };
    let preprocessor = path.with_file_name(PREPROCESSOR);
    if !preprocessor.is_file() {
        return bad(path, format!("{PREPROCESSOR} is missing beside it, which says what goes into the model"));
    }
    let input = input(&preprocessor, &json(&preprocessor)?)?;
    let output = OutputSpec { name: String::new(), kind: OutputKind::Logits, stride: 0, ..OutputSpec::logits(1) };
    let name = config.get("_name_or_path").and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = name.unwrap_or(if model_type.is_empty() { "model" } else { model_type });
    let mut spec = ModelSpec::new(name, taxonomy, input, output);
    spec.training = Map::from_iter([("description".to_owned(), Value::from("Hugging Face"))]);
    spec.taxonomy.validate().map_err(|error| in_file(path, error))?;
    // All else is said by the other file.
    spec.validate().map_err(|error| in_file(&preprocessor, error))?;
    Ok(Some(spec))
}

/// The file of a description that a folder stands for.
pub(super) fn in_folder(folder: &Path) -> PathBuf {
    folder.join(CONFIG)
}

fn json(path: &Path) -> Result<Value> {
    let text = read_text(path)?;
    serde_json::from_str(&text).map_err(|error| in_file(path, Error::BadSpec { reason: error.to_string() }))
}

fn bad<T>(path: &Path, reason: String) -> Result<T> {
    Err(in_file(path, Error::BadSpec { reason: format!("{reason}; write a description of the model") }))
}

/// The error with the file that is at fault.
pub(super) fn in_file(path: &Path, error: Error) -> Error {
    match error {
        Error::BadSpec { reason } => Error::BadSpec { reason: format!("{}: {reason}", path.display()) },
        error => error,
    }
}

/// Classes in the order of their numbers, which must be 0, 1, 2 ... Colours are made up: neighbours in number are far apart.
fn classes(path: &Path, labels: &Value) -> Result<Vec<Class>> {
    let Some(labels) = labels.as_object() else { return bad(path, "id2label is no object".into()) };
    let mut names = BTreeMap::new();
    for (number, name) in labels {
        let (Ok(number), Some(name)) = (number.parse::<usize>(), name.as_str()) else {
            return bad(path, format!("id2label has '{number}': {name}, and a number and a name are needed"));
        };
        names.insert(number, name);
    }
    if let Some(absent) = (0..names.len()).find(|number| !names.contains_key(number)) {
        return bad(path, format!("id2label has {} classes and none of number {absent}", names.len()));
    }
    // Data sets have the same name twice now and then.
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let class = |(number, name): (usize, &str)| {
        let times = seen.entry(name.to_lowercase()).and_modify(|times| *times += 1).or_insert(1);
        let name = if *times == 1 { name.to_owned() } else { format!("{name} {times}") };
        Class::new(name, color(number))
    };
    Ok(names.into_iter().map(class).collect())
}

/// The palette of PASCAL VOC, which goes on for any number.
fn color(number: usize) -> [u8; 3] {
    let mut color = [0_u8; 3];
    for bit in 0..8 {
        for (channel, value) in color.iter_mut().enumerate() {
            *value |= ((number >> (3 * bit + channel) & 1) as u8) << (7 - bit);
        }
    }
    color
}

fn input(path: &Path, json: &Value) -> Result<InputSpec> {
    let is = |key: &str, otherwise: bool| json.get(key).and_then(Value::as_bool).unwrap_or(otherwise);
    if is("do_center_crop", false) || is("do_pad", false) && json.get("pad_size").is_some_and(|size| !size.is_null()) {
        return bad(path, "it cuts or pads photos (do_center_crop, do_pad), which is not done here".into());
    }
    if !is("do_resize", true) {
        return bad(path, "do_resize is false, and the size of the model's input is needed".into());
    }
    let fit = fit(path, json.get("size"))?;
    let scale = match json.get("rescale_factor") {
        _ if !is("do_rescale", true) => 1.0,
        None | Some(Value::Null) => 1.0 / 255.0,
        Some(factor) => match factor.as_f64().filter(|factor| *factor > 0.0) {
            Some(factor) => factor,
            None => return bad(path, format!("rescale_factor is {factor}, and a number above 0 is needed")),
        },
    };
    let normalizes = is("do_normalize", true);
    let numbers = |key: &str, otherwise: f64| -> Result<[f32; 3]> {
        if !normalizes {
            return Ok([(otherwise / (255.0 * scale)) as f32; 3]);
        }
        let value = json.get(key);
        let each: Option<Vec<f64>> = match value {
            Some(Value::Array(values)) => values.iter().map(Value::as_f64).collect(),
            Some(value) => value.as_f64().map(|value| vec![value; 3]),
            None => None,
        };
        match each.as_deref() {
            // (pixel * scale - mean) / std, with the pixel as a share of 255.
            Some(&[a, b, c]) => Ok([a, b, c].map(|value| (value / (255.0 * scale)) as f32)),
            _ => bad(path, format!("{key} is {}, and three numbers are needed", value.unwrap_or(&Value::Null))),
        }
    };
    let (mean, std) = (numbers("image_mean", 0.0)?, numbers("image_std", 1.0)?);
    let color = if is("do_flip_channel_order", false) { ColorOrder::Bgr } else { ColorOrder::Rgb };
    let input = InputSpec { name: String::new(), color, mean, std, ..InputSpec::imagenet(fit) };
    Ok(InputSpec { pad: mean_color(&input), ..input })
}

/// `{"height": h, "width": w}`, or a number for both.
fn fit(path: &Path, size: Option<&Value>) -> Result<Fit> {
    let side = |value: Option<&Value>| value.and_then(Value::as_u64).and_then(|side| u32::try_from(side).ok());
    let sides = match size {
        Some(Value::Object(size)) => side(size.get("height")).zip(side(size.get("width"))),
        size => side(size).zip(side(size)),
    };
    match sides {
        Some((height, width)) => Ok(Fit::Stretch { width, height }),
        None => bad(path, format!("size is {}, and a height and a width are needed", size.unwrap_or(&Value::Null))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(config: &str, preprocessor: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(CONFIG), config).unwrap();
        std::fs::write(folder.path().join(PREPROCESSOR), preprocessor).unwrap();
        folder
    }

    const LABELS: &str = r#"{"model_type": "segformer", "id2label": {"10": "hat", "0": "background", "1": "shirt",
        "2": "a", "3": "b", "4": "c", "5": "d", "6": "e", "7": "f", "8": "g", "9": "shirt"}}"#;

    fn spec(config: &str, preprocessor: &str) -> Result<Option<ModelSpec>> {
        beside(&folder(config, preprocessor).path().join("model.onnx"))
    }

    #[test]
    fn classes_are_in_the_order_of_their_numbers_and_no_name_is_there_twice() {
        let spec = spec(LABELS, r#"{"size": 512, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#);
        let spec = spec.unwrap().unwrap();
        let names: Vec<&str> = spec.taxonomy.classes.iter().map(|class| class.name.as_str()).collect();
        assert_eq!((names[1], names[9], names[10]), ("shirt", "shirt 2", "hat"));
        assert_eq!(spec.input.fit, Fit::Stretch { width: 512, height: 512 });
        assert_eq!((spec.output.stride, spec.input.pad), (0, [128; 3]));
    }

    #[test]
    fn scale_mean_and_deviation_are_brought_to_shares_of_255() {
        let preprocessor = r#"{"size": {"height": 8, "width": 16}, "do_rescale": false, "do_flip_channel_order": true,
            "image_mean": [127.5, 0, 255], "image_std": [127.5, 255, 1]}"#;
        let input = spec(LABELS, preprocessor).unwrap().unwrap().input;
        assert_eq!(input.mean, [0.5, 0.0, 1.0]);
        assert_eq!(input.std, [0.5, 1.0, 1.0 / 255.0]);
        assert_eq!((input.color, input.fit), (ColorOrder::Bgr, Fit::Stretch { width: 16, height: 8 }));
        let plain = spec(LABELS, r#"{"size": {"height": 8, "width": 16}, "do_normalize": false}"#);
        let plain = plain.unwrap().unwrap().input;
        assert_eq!((plain.mean, plain.std), ([0.0; 3], [1.0; 3]));
    }

    #[test]
    fn what_is_asked_for_and_not_done_is_refused_with_the_file() {
        let refused = |config: &str, preprocessor: &str| spec(config, preprocessor).unwrap_err().to_string();
        let text = refused(LABELS, r#"{"size": {"shortest_edge": 512}}"#);
        assert!(text.contains(PREPROCESSOR) && text.contains("shortest_edge"), "{text}");
        assert!(refused(LABELS, r#"{"size": 9, "do_center_crop": true}"#).contains("do_center_crop"));
        assert!(refused(LABELS, r#"{"size": 9, "image_mean": [0.5]}"#).contains("image_mean"));
        assert!(refused(r#"{"id2label": {"0": "a", "2": "b"}}"#, "{}").contains("none of number 1"));
        assert!(refused(r#"{"model_type": "mask2former", "id2label": {"0": "a"}}"#, "{}").contains("queries"));
        assert_eq!(spec(r#"{"model_type": "bert"}"#, "{}").unwrap(), None);
    }

    #[test]
    fn a_model_in_the_folder_onnx_has_its_description_above() {
        let folder = folder(LABELS, r#"{"size": 9, "do_normalize": false}"#);
        std::fs::create_dir(folder.path().join("onnx")).unwrap();
        assert!(beside(&folder.path().join("onnx/model.onnx")).unwrap().is_some());
        assert_eq!(color(1), [128, 0, 0]);
    }
}
