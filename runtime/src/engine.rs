//! Runs a model: ONNX Runtime where it is installed, the embedded engine elsewhere.

mod binding;
#[cfg(feature = "embedded")]
mod embedded;
mod form;
mod info;
mod onnxruntime;
mod options;
mod placement;
mod tensorrt;
mod trial;

use ndarray::{Array4, ArrayView4};

use crate::error::{Error, Result};
use crate::onnx::Interface;
use crate::spec::ModelSpec;

use binding::Binding;
pub use info::{EngineInfo, ProviderNodes};
pub use onnxruntime::{load_library, loaded_library};
pub use options::{EngineOptions, Provider, TensorrtOptions};
pub use tensorrt::slow_start;

/// A loaded model.
pub trait Engine: Send {
    /// What the model expects and returns.
    fn spec(&self) -> &ModelSpec;

    /// What runs it.
    fn info(&self) -> &EngineInfo;

    /// Runs the model.
    ///
    /// `input` is N x 3 x H x W, prepared by [`preprocess`](crate::preprocess), with N as [`Engine::batch`] allows; the
    /// result is N x classes x H/stride x W/stride.
    ///
    /// # Errors
    /// [`Error::Engine`] when the run fails, [`Error::Output`] when the result is no such tensor.
    fn run(&mut self, input: ArrayView4<'_, f32>) -> Result<Array4<f32>>;

    /// How many photos one run takes; one unless an engine says otherwise.
    fn batch(&self) -> BatchSize {
        BatchSize::UpTo(1)
    }
}

/// How many photos one run of a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchSize {
    /// Any number up to this one.
    UpTo(usize),
    /// Always this number: the model's batch is fixed. Runs of fewer photos are filled up.
    Exactly(usize),
}

impl BatchSize {
    /// Most photos of one run, 1 or more.
    pub fn largest(self) -> usize {
        let (Self::UpTo(photos) | Self::Exactly(photos)) = self;
        photos.max(1)
    }
}

/// Opens a model once with the provider asked for.
///
/// # Errors
/// As [`open_sessions`].
pub fn open(onnx: &[u8], spec: &ModelSpec, options: &EngineOptions) -> Result<Box<dyn Engine>> {
    let mut sessions = open_sessions(onnx, spec, &EngineOptions { sessions: 1, ..options.clone() })?;
    sessions.pop().ok_or_else(|| Error::Invalid("no session was opened".into()))
}

/// Opens a model with the provider asked for, [`EngineOptions::sessions`] times, so that as many runs can be under way at
/// once. All of them have the same [`Engine::spec`], in which the graph's names are filled in, and the same
/// [`Engine::info`].
///
/// A model that does not describe itself is run once, on a drawn picture: what does not fit its description is found here, not
/// at the first photo.
///
/// # Errors
/// [`Error::BadSpec`] when the description does not fit the model; [`Error::ProviderUnavailable`] with the reason and
/// what to do; [`Error::Engine`] when the model itself is at fault; [`Error::NotOnnx`] when its weights are in another file.
pub fn open_sessions(onnx: &[u8], spec: &ModelSpec, options: &EngineOptions) -> Result<Vec<Box<dyn Engine>>> {
    spec.validate()?;
    crate::model::external::refuse(onnx)?;
    let binding = Binding::new(spec, &Interface::of(onnx)?, options.max_batch)?;
    // What a model says of itself was checked when it was written.
    if spec.output.stride > 0 && ModelSpec::from_onnx(onnx)?.as_ref() == Some(spec) {
        return open_bound(onnx, &binding, options);
    }
    let mut sessions = open_bound(onnx, &binding, options)?;
    let Some(first) = sessions.first_mut() else { return Ok(sessions) };
    let stride = trial::run(first.as_mut(), &binding)?;
    if stride == spec.output.stride {
        return Ok(sessions);
    }
    let mut binding = binding;
    binding.spec.output.stride = stride;
    Ok(sessions.into_iter().map(|engine| trial::with_spec(engine, binding.spec.clone())).collect())
}

fn open_bound(onnx: &[u8], binding: &Binding, options: &EngineOptions) -> Result<Vec<Box<dyn Engine>>> {
    match options.provider {
        Provider::Embedded => open_embedded(onnx, binding, options, None),
        Provider::Auto => {
            let missing = match onnxruntime::load(options) {
                Ok(runtime) => return onnxruntime::open_best(&runtime, onnx, binding, options),
                Err(error) => error,
            };
            // A library named by the user is not replaced in silence by another engine.
            if options.library.is_some() || !cfg!(feature = "embedded") {
                return Err(missing);
            }
            let Error::NoOnnxRuntime { reason, .. } = missing else { return Err(missing) };
            open_embedded(onnx, binding, options, Some(reason))
        }
        provider => onnxruntime::open(&onnxruntime::load(options)?, onnx, binding, provider, options),
    }
}

/// `missing` says why ONNX Runtime, which would have been taken, is not.
#[cfg(feature = "embedded")]
fn open_embedded(
    onnx: &[u8],
    binding: &Binding,
    options: &EngineOptions,
    missing: Option<String>,
) -> Result<Vec<Box<dyn Engine>>> {
    let mut first = embedded::Tract::open(onnx, binding)?;
    if let Some(reason) = missing {
        first.info.note = Some(format!("ONNX Runtime would be many times faster, but {reason}"));
        first.info.no_gpu = Some(reason);
    }
    Ok((0..options.sessions.max(1)).map(|_| Box::new(first.clone()) as Box<dyn Engine>).collect())
}

#[cfg(not(feature = "embedded"))]
fn open_embedded(_: &[u8], _: &Binding, _: &EngineOptions, _: Option<String>) -> Result<Vec<Box<dyn Engine>>> {
    Err(Error::ProviderUnavailable {
        provider: Provider::Embedded.name(),
        reason: "this build has no embedded engine; build with the feature 'embedded'".into(),
    })
}
