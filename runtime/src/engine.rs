//! Runs a model: ONNX Runtime where it is installed, the embedded engine elsewhere.

#[cfg(feature = "embedded")]
mod embedded;
mod locate;
mod onnxruntime;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use ndarray::{Array4, ArrayView4};

use crate::error::{Error, Result};
use crate::spec::ModelSpec;

/// A loaded model.
pub trait Engine: Send {
    /// What the model expects and returns.
    fn spec(&self) -> &ModelSpec;

    /// What runs it.
    fn info(&self) -> &EngineInfo;

    /// Runs the model.
    ///
    /// `input` is N x 3 x H x W, prepared by [`preprocess`](crate::preprocess); the result is
    /// N x classes x H/stride x W/stride.
    ///
    /// # Errors
    /// [`Error::Engine`] when the run fails, [`Error::Output`] when the result is no such tensor.
    fn run(&mut self, input: ArrayView4<'_, f32>) -> Result<Array4<f32>>;
}

/// Who does the arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Provider {
    /// CUDA where ONNX Runtime has it and it works, else ONNX Runtime on the CPU, else the embedded engine.
    #[default]
    Auto,
    /// ONNX Runtime on the CPU.
    Cpu,
    /// ONNX Runtime on an NVIDIA GPU through CUDA.
    Cuda,
    /// ONNX Runtime on an NVIDIA GPU through TensorRT. The first run of a model takes minutes, so `Auto` never takes it.
    Tensorrt,
    /// The engine built into this library. Needs nothing installed; slower.
    Embedded,
}

impl Provider {
    /// Every provider, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Auto, Self::Cpu, Self::Cuda, Self::Tensorrt, Self::Embedded];

    /// The name that users type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Tensorrt => "tensorrt",
            Self::Embedded => "embedded",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Provider {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|provider| provider.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Invalid(format!("unknown provider '{text}'; there are: {names}"))
        })
    }
}

/// How to open a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineOptions {
    /// Who does the arithmetic. What is asked for by name runs, or opening fails with the reason.
    pub provider: Provider,
    /// ONNX Runtime's library file; without it, the usual places are searched. A process loads one such library: the
    /// first that is opened stays.
    pub library: Option<PathBuf>,
    /// Threads of ONNX Runtime for one run; without it, one a core. The embedded engine has one thread.
    pub threads: Option<usize>,
}

/// What runs a model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineInfo {
    /// The provider that runs; never [`Provider::Auto`].
    pub provider: Provider,
    /// Name of the library, `ONNX Runtime` or `tract`.
    pub library: &'static str,
    /// Version of the library.
    pub version: String,
    /// The library's file, where it was loaded from one.
    pub path: Option<PathBuf>,
    /// What a user should know about the choice, such as how to get a faster engine.
    pub note: Option<String>,
}

impl EngineInfo {
    /// A description of an engine of one's own.
    pub fn new(provider: Provider, library: &'static str, version: impl Into<String>) -> Self {
        Self { provider, library, version: version.into(), path: None, note: None }
    }
}

impl fmt::Display for EngineInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {}", self.provider, self.library, self.version)?;
        if let Some(path) = &self.path {
            write!(f, ", {}", path.display())?;
        }
        f.write_str(")")
    }
}

/// Opens a model with the provider asked for.
///
/// # Errors
/// [`Error::ProviderUnavailable`] with the reason and what to do; [`Error::Engine`] when the model itself is at fault.
pub fn open(onnx: &[u8], spec: &ModelSpec, options: &EngineOptions) -> Result<Box<dyn Engine>> {
    spec.validate()?;
    match options.provider {
        Provider::Embedded => open_embedded(onnx, spec, None),
        Provider::Auto => {
            let missing = match onnxruntime::load(options) {
                Ok(runtime) => return onnxruntime::open_best(runtime, onnx, spec, options),
                Err(error) => error,
            };
            // A library named by the user is not replaced in silence by another engine.
            if options.library.is_some() || !cfg!(feature = "embedded") {
                return Err(missing);
            }
            let Error::ProviderUnavailable { reason, .. } = missing else { return Err(missing) };
            open_embedded(onnx, spec, Some(format!("ONNX Runtime would be many times faster, but {reason}")))
        }
        provider => onnxruntime::open(onnxruntime::load(options)?, onnx, spec, provider, options.threads),
    }
}

#[cfg(feature = "embedded")]
fn open_embedded(onnx: &[u8], spec: &ModelSpec, note: Option<String>) -> Result<Box<dyn Engine>> {
    Ok(Box::new(embedded::Tract::open(onnx, spec, note)?))
}

#[cfg(not(feature = "embedded"))]
fn open_embedded(_: &[u8], _: &ModelSpec, _: Option<String>) -> Result<Box<dyn Engine>> {
    Err(Error::ProviderUnavailable {
        provider: Provider::Embedded.name(),
        reason: "this build has no embedded engine; build with the feature 'embedded'".into(),
    })
}

/// The model must have the one input and the output that its description names.
fn check_names(spec: &ModelSpec, inputs: &[String], outputs: &[String]) -> Result<()> {
    let bad = |reason: String| Err(Error::BadSpec { reason });
    if inputs != std::slice::from_ref(&spec.input.name) {
        return bad(format!(
            "its one input is '{}', and the model's inputs are: {}",
            spec.input.name,
            inputs.join(", ")
        ));
    }
    if !outputs.contains(&spec.output.name) {
        return bad(format!(
            "its output is '{}', and the model's outputs are: {}",
            spec.output.name,
            outputs.join(", ")
        ));
    }
    Ok(())
}

/// Turns an engine's flat result into N x C x H x W.
fn output_array(shape: &[usize], values: &[f32], spec: &ModelSpec) -> Result<Array4<f32>> {
    let &[batch, classes, height, width] = shape else {
        let reason =
            format!("'{}' has shape {shape:?}, and batch x classes x height x width is needed", spec.output.name);
        return Err(Error::Output { reason });
    };
    if classes != spec.taxonomy.len() {
        let reason = format!("{classes} channels for {} classes", spec.taxonomy.len());
        return Err(Error::Output { reason });
    }
    Array4::from_shape_vec((batch, classes, height, width), values.to_vec())
        .map_err(|error| Error::Output { reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_names_are_read_in_any_case_and_unknown_ones_list_the_rest() {
        assert_eq!("TensorRT".parse::<Provider>().unwrap(), Provider::Tensorrt);
        let error = "gpu".parse::<Provider>().unwrap_err().to_string();
        assert!(error.contains("cuda") && error.contains("embedded"), "{error}");
    }
}
