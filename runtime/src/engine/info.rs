//! What is said of an open engine.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::Provider;

/// What runs a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// How the graph's nodes are shared out, most nodes first, as ONNX Runtime tells it; empty for other libraries.
    pub nodes: Vec<ProviderNodes>,
    /// Threads of one run; nothing where the library decides (ONNX Runtime: one a physical core).
    pub threads: Option<usize>,
    /// What a user should know about the choice, such as how to get a faster engine.
    pub note: Option<String>,
    /// Why [`Provider::Auto`] took no GPU; nothing where it did, or where a provider was named. A program that sees a GPU
    /// should tell its user.
    pub no_gpu: Option<String>,
}

/// Nodes of a graph that one provider of ONNX Runtime runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProviderNodes {
    /// ONNX Runtime's name of the provider, such as `CPUExecutionProvider`.
    pub provider: String,
    /// Number of nodes.
    pub nodes: usize,
}

impl ProviderNodes {
    /// So many nodes of a provider.
    pub fn new(provider: impl Into<String>, nodes: usize) -> Self {
        Self { provider: provider.into(), nodes }
    }
}

impl EngineInfo {
    /// A description of an engine of one's own.
    pub fn new(provider: Provider, library: &'static str, version: impl Into<String>) -> Self {
        Self {
            provider,
            library,
            version: version.into(),
            path: None,
            nodes: Vec::new(),
            threads: None,
            note: None,
            no_gpu: None,
        }
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
