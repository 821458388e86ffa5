//! Where a description comes from: a text, an ONNX file, or files beside it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{METADATA_KEY, ModelSpec, check, hugging_face};
use crate::error::{Error, Result};
use crate::files::text;
use crate::onnx;

/// Largest model file read, in bytes: the limit of protobuf, in which ONNX is written.
const MAX_MODEL_BYTES: u64 = 2 << 30;

impl ModelSpec {
    /// Reads a description. A byte order mark before it is passed over.
    ///
    /// # Errors
    /// [`Error::BadSpec`] for text that is no description, for another version, and for values that make no sense.
    pub fn from_json(json: &str) -> Result<Self> {
        let json = json.trim_start_matches('\u{feff}');
        let failed = |error: serde_json::Error| Error::BadSpec { reason: error.to_string() };
        let value: Value = serde_json::from_str(json).map_err(failed)?;
        check::check_version(&value)?;
        check::check_classes(&value)?;
        // From the text, not from the value: then an error has its line.
        let mut spec: Self = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(json))
            .map_err(|error| Error::BadSpec { reason: error.to_string() })?;
        if value.pointer("/input/pad").is_none() {
            spec.input.pad = check::mean_color(&spec.input);
        }
        check::check_unknown_fields(&spec)?;
        spec.validate()?;
        Ok(spec)
    }

    /// Reads a description from a file: JSON, or the `config.json` of a Hugging Face folder, which the folder stands for, too.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::BadSpec`], which names the file.
    pub fn from_file(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { hugging_face::in_folder(path) } else { path.to_owned() };
        if file.file_name().is_some_and(|name| name == hugging_face::CONFIG)
            && let Some(spec) = hugging_face::of_config(&file)?
        {
            return Ok(spec);
        }
        Self::from_json(&read_text(&file)?).map_err(|error| hugging_face::in_file(&file, error))
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
        onnx::metadata(onnx, METADATA_KEY)?.map(|json| Self::from_json(&json)).transpose()
    }

    /// The same ONNX file with this description in its metadata, in place of any that it had.
    ///
    /// # Errors
    /// [`Error::NotOnnx`] for other bytes.
    pub fn embed_in_onnx(&self, onnx: &[u8]) -> Result<Vec<u8>> {
        onnx::with_metadata(onnx, METADATA_KEY, self.to_json()?)
    }

    /// The description of a model file: in its metadata, else in the sidecar `NAME.json`, else in the `config.json` and
    /// `preprocessor_config.json` of Hugging Face beside it (above it, where its folder is called `onnx`).
    ///
    /// # Errors
    /// [`Error::MissingSpec`] when there is none; else as [`ModelSpec::from_onnx`] and [`ModelSpec::from_file`].
    pub fn of_model(path: &Path, onnx: &[u8]) -> Result<Self> {
        if let Some(spec) = Self::from_onnx(onnx).map_err(|error| hugging_face::in_file(path, error))? {
            return Ok(spec);
        }
        let sidecar = sidecar_path(path);
        if sidecar.is_file() {
            return Self::from_file(&sidecar);
        }
        hugging_face::beside(path)?.ok_or(Error::MissingSpec { sidecar })
    }

    /// The description of a model file, without opening the model: see [`ModelSpec::of_model`].
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::NotOnnx`]; else as [`ModelSpec::of_model`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::of_model(path, &read_model(path)?)
    }
}

/// The text of a description, as any editor saves it.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    text::decode(bytes).map_err(|cause| Error::BadSpec { reason: format!("{} {cause}", path.display()) })
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
