//! What a user chooses about the engine.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;

use crate::error::{Error, Result};

/// The execution provider: what runs the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Provider {
    /// CUDA where ONNX Runtime has it and it works, else ONNX Runtime on the CPU, else the embedded engine.
    #[default]
    Auto,
    /// ONNX Runtime on the CPU.
    Cpu,
    /// ONNX Runtime on an NVIDIA GPU through CUDA.
    Cuda,
    /// ONNX Runtime on an NVIDIA GPU through TensorRT. The first opening of a model takes minutes (see
    /// [`slow_start`](super::slow_start)), so `Auto` never takes it.
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

/// How to open a model: [`EngineOptions::default`] with what differs, such as
/// `EngineOptions::default().with_provider(Provider::Cpu).with_sessions(2)`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineOptions {
    /// The execution provider. What is asked for by name runs, or opening fails with the reason.
    pub provider: Provider,
    /// ONNX Runtime's library file; without it, the system's loader is asked for it by its usual name. A process loads one
    /// such library: the first that is opened stays.
    pub library: Option<PathBuf>,
    /// Threads of ONNX Runtime for one run; without it, one a core shared out over the sessions. The embedded engine has
    /// one thread a session.
    pub threads: Option<usize>,
    /// Runs that may be under way at once, 1 or more. Each session of ONNX Runtime holds the weights for itself; those of
    /// the embedded engine share them. Where [`Provider::Auto`] finds a GPU there is one session: they would wait for each
    /// other there.
    pub sessions: usize,
    /// Most photos of one run, 1 or more, where the model's batch is free.
    pub max_batch: usize,
    /// Which GPU, counted from 0, for CUDA and TensorRT.
    pub device: u32,
    /// What TensorRT alone needs to know.
    pub tensorrt: TensorrtOptions,
}

impl Default for EngineOptions {
    /// The best provider, one session on every core, batches of up to 8.
    fn default() -> Self {
        Self {
            provider: Provider::Auto,
            library: None,
            threads: None,
            sessions: 1,
            max_batch: 8,
            device: 0,
            tensorrt: TensorrtOptions::default(),
        }
    }
}

impl EngineOptions {
    /// The same with this provider.
    #[must_use]
    pub fn with_provider(mut self, provider: Provider) -> Self {
        self.provider = provider;
        self
    }

    /// The same with this file of ONNX Runtime.
    #[must_use]
    pub fn with_library(mut self, library: impl Into<PathBuf>) -> Self {
        self.library = Some(library.into());
        self
    }

    /// The same with so many threads for one run.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The same with so many runs at once.
    #[must_use]
    pub fn with_sessions(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self
    }

    /// The same with at most so many photos in one run.
    #[must_use]
    pub fn with_max_batch(mut self, max_batch: usize) -> Self {
        self.max_batch = max_batch;
        self
    }

    /// The same on this GPU.
    #[must_use]
    pub fn with_device(mut self, device: u32) -> Self {
        self.device = device;
        self
    }

    /// The same with these options of TensorRT.
    #[must_use]
    pub fn with_tensorrt(mut self, tensorrt: TensorrtOptions) -> Self {
        self.tensorrt = tensorrt;
        self
    }
}

/// How TensorRT builds and keeps its engines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorrtOptions {
    /// Whether to calculate in 16 bits: faster, and a little off (a pixel at an outline may change sides).
    pub fp16: bool,
    /// Folder for built engines, needed for [`Provider::Tensorrt`]. Each model, size, precision and version has a folder of
    /// its own in it.
    pub cache: Option<PathBuf>,
}

impl TensorrtOptions {
    /// The same in 16 bits, or not.
    #[must_use]
    pub fn with_fp16(mut self, fp16: bool) -> Self {
        self.fp16 = fp16;
        self
    }

    /// The same with this folder for built engines.
    #[must_use]
    pub fn with_cache(mut self, cache: impl Into<PathBuf>) -> Self {
        self.cache = Some(cache.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_names_are_read_in_any_case_and_unknown_ones_list_the_rest() {
        assert_eq!("TensorRT".parse::<Provider>().unwrap(), Provider::Tensorrt);
        let error = "gpu".parse::<Provider>().unwrap_err().to_string();
        assert!(error.contains("cuda") && error.contains("embedded"), "{error}");
        for provider in Provider::ALL {
            assert_eq!(serde_json::to_value(provider).unwrap(), provider.name());
        }
    }
}
