//! What a model expects and returns.

use std::path::{Path, PathBuf};

use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::taxonomy::Taxonomy;

/// Version of the description that this crate writes and reads.
pub const SPEC_VERSION: u32 = 1;

/// Key of the description in the metadata of an ONNX file.
pub const METADATA_KEY: &str = "clothseg.spec";

/// Largest model file read, in bytes: the limit of protobuf, in which ONNX is written.
const MAX_MODEL_BYTES: u64 = 2 << 30;

/// Largest input side that a description may ask for.
const MAX_SIDE_PX: u32 = 8192;

/// What a model expects and returns, beside its weights (which must be in the same file): JSON in the metadata of the ONNX file (key [`METADATA_KEY`]), or a file
/// `NAME.json` beside `NAME.onnx` for a model made elsewhere.
///
/// Fields that this version does not know are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// Version of the description, [`SPEC_VERSION`].
    pub version: u32,
    /// Name of the model.
    pub name: String,
    /// Classes in channel order (0 = background) and groups of them.
    #[serde(flatten)]
    pub taxonomy: Taxonomy,
    /// What goes in.
    pub input: InputSpec,
    /// What comes out.
    pub output: OutputSpec,
    /// Free facts on how the model was made: data, metrics, licence, date.
    #[serde(default)]
    pub training: Map<String, Value>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The input tensor: float32, N x 3 x H x W, value = (pixel / 255 - mean) / std.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputSpec {
    /// Name of the input in the graph.
    pub name: String,
    /// Channel order.
    pub color: ColorOrder,
    /// Mean a channel, in 0..1 units.
    pub mean: [f32; 3],
    /// Standard deviation a channel, in 0..1 units.
    pub std: [f32; 3],
    /// How a photo is brought to the network's size.
    pub fit: Fit,
    /// Colour of the padding, red, green, blue.
    pub pad: [u8; 3],
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Channel order of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ColorOrder {
    /// Red, green, blue.
    Rgb,
}

/// How a photo is brought to the network's size. Sampling has half-pixel centres (align_corners = false).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// To exactly this size; the aspect ratio is not kept.
    Stretch {
        /// Width of the input in pixels.
        width: u32,
        /// Height of the input in pixels.
        height: u32,
    },
    /// The longest side becomes `size`, the aspect ratio is kept, and the right and the bottom are padded until both
    /// sides are multiples of `multiple`.
    LongestSide {
        /// Longest side in pixels.
        size: u32,
        /// What both sides of the tensor are multiples of.
        multiple: u32,
    },
}

/// The output tensor: float32, N x classes x H/stride x W/stride.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSpec {
    /// Name of the output in the graph.
    pub name: String,
    /// What the numbers are.
    pub kind: OutputKind,
    /// Input pixels for each output cell, a side.
    pub stride: u32,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What the numbers of an output are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputKind {
    /// Unbounded scores; softmax over the classes gives probabilities.
    Logits,
    /// Probabilities already.
    Probabilities,
}

impl InputSpec {
    /// RGB with ImageNet's mean and deviation, padded with the mean colour, input name `input`.
    pub fn imagenet(fit: Fit) -> Self {
        Self {
            name: "input".into(),
            color: ColorOrder::Rgb,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            fit,
            pad: [124, 116, 104],
            extra: Map::new(),
        }
    }
}

impl OutputSpec {
    /// Logits at `stride` under the name `logits`.
    pub fn logits(stride: u32) -> Self {
        Self { name: "logits".into(), kind: OutputKind::Logits, stride, extra: Map::new() }
    }
}

impl ModelSpec {
    /// A description of the current version without training facts.
    pub fn new(name: impl Into<String>, taxonomy: Taxonomy, input: InputSpec, output: OutputSpec) -> Self {
        Self {
            version: SPEC_VERSION,
            name: name.into(),
            taxonomy,
            input,
            output,
            training: Map::new(),
            extra: Map::new(),
        }
    }

    /// Reads a description.
    ///
    /// # Errors
    /// [`Error::BadSpec`] for text that is no description, for another version, and for values that make no sense.
    pub fn from_json(json: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(json).map_err(|error| Error::BadSpec { reason: error.to_string() })?;
        match value.get("version").and_then(Value::as_u64) {
            Some(version) if version == u64::from(SPEC_VERSION) => {}
            Some(version) => {
                let reason = format!("version {version}, and this program reads {SPEC_VERSION}; update clothseg");
                return Err(Error::BadSpec { reason });
            }
            None => return Err(Error::BadSpec { reason: "no field 'version'".into() }),
        }
        let spec: Self = serde_json::from_value(value).map_err(|error| Error::BadSpec { reason: error.to_string() })?;
        spec.validate()?;
        Ok(spec)
    }

    /// The description as JSON on several lines.
    ///
    /// # Errors
    /// [`Error::Encode`] when a number in it has no JSON form.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|error| Error::Encode { what: "model description", reason: error.to_string() })
    }

    /// The description in an ONNX file's metadata, if it has one.
    ///
    /// # Errors
    /// [`Error::NotOnnx`] for other bytes, [`Error::BadSpec`] for a description that cannot be used.
    pub fn from_onnx(onnx: &[u8]) -> Result<Option<Self>> {
        let mut found = None;
        for field in top_level_fields(onnx)? {
            if let Some(entry) = field.metadata()?.filter(|entry| entry.key == METADATA_KEY) {
                found = Some(entry.value);
            }
        }
        found.map(|json| Self::from_json(&json)).transpose()
    }

    /// The same ONNX file with this description in its metadata, in place of any that it had.
    ///
    /// # Errors
    /// [`Error::NotOnnx`] for other bytes.
    pub fn embed_in_onnx(&self, onnx: &[u8]) -> Result<Vec<u8>> {
        let entry = MetadataEntry { key: METADATA_KEY.into(), value: self.to_json()? };
        let mut out = Vec::with_capacity(onnx.len() + entry.value.len() + 64);
        for field in top_level_fields(onnx)? {
            if field.metadata()?.is_none_or(|old| old.key != METADATA_KEY) {
                out.extend_from_slice(field.bytes);
            }
        }
        // Protobuf fields may stand in any order, so the new entry goes to the end and the graph is not touched.
        prost::encoding::message::encode(METADATA_FIELD, &entry, &mut out);
        Ok(out)
    }

    /// The description of a model file: in its metadata, else in the sidecar `NAME.json`.
    ///
    /// # Errors
    /// [`Error::MissingSpec`] when there is neither; else as [`ModelSpec::from_onnx`] and [`ModelSpec::from_json`].
    pub fn of_model(path: &Path, onnx: &[u8]) -> Result<Self> {
        if let Some(spec) = Self::from_onnx(onnx)? {
            return Ok(spec);
        }
        let sidecar = sidecar_path(path);
        match std::fs::read_to_string(&sidecar) {
            Ok(json) => Self::from_json(&json),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::MissingSpec { sidecar }),
            Err(source) => Err(Error::Read { path: sidecar, source }),
        }
    }

    /// The description of a model file, without opening the model: see [`ModelSpec::of_model`].
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::NotOnnx`]; else as [`ModelSpec::of_model`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::of_model(path, &read_model(path)?)
    }

    /// Checks that the values make sense.
    ///
    /// # Errors
    /// [`Error::BadSpec`] names the first fault.
    pub fn validate(&self) -> Result<()> {
        self.taxonomy.validate()?;
        let bad = |reason: String| Err(Error::BadSpec { reason });
        let sides = match self.input.fit {
            Fit::Stretch { width, height } => [width, height],
            Fit::LongestSide { size, multiple } => [size, multiple],
        };
        if let Some(side) = sides.into_iter().find(|side| !(1..=MAX_SIDE_PX).contains(side)) {
            return bad(format!("an input side of {side} pixels; 1 to {MAX_SIDE_PX} are possible"));
        }
        if !self.input.std.iter().all(|std| std.is_finite() && *std > 0.0) {
            return bad(format!("input.std {:?} must be above 0", self.input.std));
        }
        if !self.input.mean.iter().all(|mean| mean.is_finite()) {
            return bad(format!("input.mean {:?} must be finite", self.input.mean));
        }
        if !(1..=64).contains(&self.output.stride) {
            return bad(format!("output.stride {} must be 1 to 64", self.output.stride));
        }
        Ok(())
    }
}

/// Reads a model file within the limits of the format.
pub(crate) fn read_model(path: &Path) -> Result<Vec<u8>> {
    let read_error = |source| Error::Read { path: path.to_owned(), source };
    let size_bytes = std::fs::metadata(path).map_err(read_error)?.len();
    if size_bytes > MAX_MODEL_BYTES {
        return Err(Error::NotOnnx { reason: format!("{size_bytes} bytes, and such a file has at most 2 GiB") });
    }
    std::fs::read(path).map_err(read_error)
}

/// `NAME.json` beside `NAME.onnx`.
fn sidecar_path(model: &Path) -> PathBuf {
    model.with_extension("json")
}

/// ONNX ModelProto: the graph and the metadata entries, by field number.
const GRAPH_FIELD: u32 = 7;
const METADATA_FIELD: u32 = 14;

/// ONNX StringStringEntryProto.
#[derive(Clone, PartialEq, Message)]
struct MetadataEntry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// One field of the outermost protobuf message.
struct Field<'a> {
    number: u32,
    /// Key, length and content.
    bytes: &'a [u8],
    /// Content without key and length, where the field has a length.
    content: &'a [u8],
}

impl Field<'_> {
    fn metadata(&self) -> Result<Option<MetadataEntry>> {
        if self.number != METADATA_FIELD {
            return Ok(None);
        }
        MetadataEntry::decode(self.content)
            .map(Some)
            .map_err(|error| Error::NotOnnx { reason: format!("its metadata is damaged: {error}") })
    }
}

/// The fields of the outermost message, in order. Only keys and lengths are read: the weights are stepped over.
fn top_level_fields(onnx: &[u8]) -> Result<Vec<Field<'_>>> {
    let damaged = |error: prost::DecodeError| Error::NotOnnx { reason: error.to_string() };
    let mut rest = onnx;
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let start = rest;
        let (number, wire_type) = decode_key(&mut rest).map_err(damaged)?;
        let mut content = rest;
        skip_field(wire_type, number, &mut rest, DecodeContext::default()).map_err(damaged)?;
        if wire_type == WireType::LengthDelimited {
            decode_varint(&mut content).map_err(damaged)?;
        }
        let content = &content[..content.len() - rest.len()];
        fields.push(Field { number, bytes: &start[..start.len() - rest.len()], content });
    }
    if fields.iter().any(|field| field.number == GRAPH_FIELD) {
        Ok(fields)
    } else {
        Err(Error::NotOnnx { reason: "it holds no graph".into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ModelSpec {
        let fit = Fit::LongestSide { size: 192, multiple: 32 };
        let taxonomy = Taxonomy::builtin("garments").unwrap();
        ModelSpec::new("test", taxonomy, InputSpec::imagenet(fit), OutputSpec::logits(2))
    }

    /// A ModelProto with ir_version 8, an empty graph and one foreign metadata entry.
    fn onnx() -> Vec<u8> {
        let mut bytes = vec![0x08, 8, 0x3a, 0];
        let entry = MetadataEntry { key: "author".into(), value: "somebody".into() };
        prost::encoding::message::encode(METADATA_FIELD, &entry, &mut bytes);
        bytes
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
            ("/output/stride", 0.into()),
            ("/classes", Value::Array(vec![])),
        ] {
            let mut json: Value = serde_json::from_str(&spec().to_json().unwrap()).unwrap();
            *json.pointer_mut(pointer).unwrap() = value;
            assert!(matches!(ModelSpec::from_json(&json.to_string()), Err(Error::BadSpec { .. })), "{pointer}");
        }
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
}
