//! A model file and its description, read once.

use std::borrow::Cow;
use std::path::Path;

use crate::error::{Error, Result};
use crate::spec::{ModelSpec, read_model};

/// An ONNX file and what it expects and returns. No engine is open yet: see
/// [`Segmenter::open_model`](crate::Segmenter::open_model).
#[derive(Debug, Clone)]
pub struct Model {
    onnx: Cow<'static, [u8]>,
    spec: ModelSpec,
}

impl Model {
    /// Reads an ONNX file that describes itself, or has a description beside it (see [`ModelSpec`]).
    ///
    /// # Errors
    /// [`Error::Read`](crate::Error::Read), [`Error::NotOnnx`](crate::Error::NotOnnx),
    /// [`Error::MissingSpec`](crate::Error::MissingSpec), [`Error::BadSpec`](crate::Error::BadSpec).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let onnx = read_model(path)?;
        let spec = ModelSpec::of_model(path, &onnx)?;
        Ok(Self { onnx: onnx.into(), spec })
    }

    /// Reads an ONNX file and describes it by `spec`, whatever it says of itself.
    ///
    /// # Errors
    /// [`Error::Read`](crate::Error::Read), [`Error::NotOnnx`](crate::Error::NotOnnx) and
    /// [`Error::BadSpec`](crate::Error::BadSpec).
    pub fn open_as(path: impl AsRef<Path>, spec: ModelSpec) -> Result<Self> {
        Self::from_bytes(read_model(path.as_ref())?, spec)
    }

    /// Takes the content of an ONNX file and its description.
    ///
    /// # Errors
    /// [`Error::NotOnnx`](crate::Error::NotOnnx) and [`Error::BadSpec`](crate::Error::BadSpec).
    pub fn from_bytes(onnx: impl Into<Cow<'static, [u8]>>, spec: ModelSpec) -> Result<Self> {
        let onnx = onnx.into();
        spec.validate()?;
        crate::onnx::Interface::of(&onnx)?;
        Ok(Self { onnx, spec })
    }

    /// Takes the content of an ONNX file that describes itself.
    ///
    /// # Errors
    /// [`Error::NotOnnx`](crate::Error::NotOnnx); [`Error::BadSpec`](crate::Error::BadSpec), where it has no description, too.
    pub fn from_onnx(onnx: impl Into<Cow<'static, [u8]>>) -> Result<Self> {
        let onnx = onnx.into();
        let spec = ModelSpec::from_onnx(&onnx)?
            .ok_or_else(|| Error::BadSpec { reason: "the ONNX file has none in its metadata".into() })?;
        Ok(Self { onnx, spec })
    }

    /// The content of the ONNX file.
    pub fn onnx(&self) -> &[u8] {
        &self.onnx
    }

    /// What the model expects and returns.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }
}
