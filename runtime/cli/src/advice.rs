//! What a user can do about an error or an engine: hints that name flags, scripts and packages, which the library cannot.

use clothseg::{EngineInfo, EngineOptions, Error, Provider};
use clothseg_batch::locate::{self, how_to_install};

/// The error with its causes, and what to do about it.
pub fn explain(error: &Error) -> String {
    match advice(error) {
        Some(advice) => format!("{}; {advice}", error.chain()),
        None => error.chain(),
    }
}

/// The same, after the name of the photo that it is about, which is said once.
pub fn explain_named(name: &str, error: &Error) -> String {
    let said = explain(error).replacen(&format!("cannot read {name}: "), "cannot read it: ", 1);
    format!("{name}: {said}")
}

/// The same of a model in this file. Most errors name the file that is at fault, which may be the description.
pub fn explain_of(model: Option<&std::path::Path>, error: &Error) -> String {
    match (model, explain(error)) {
        (Some(path), said) if !said.contains(&*path.to_string_lossy()) => format!("{}: {said}", path.display()),
        (_, said) => said,
    }
}

fn advice(error: &Error) -> Option<&'static str> {
    match error {
        Error::TooLarge { unit: "pixels", .. } => {
            Some("raise the limit with --max-megapixels if the source is trusted")
        }
        // Of what has no known share no part is read.
        Error::CutOff { percent: Some(_) } => Some("or do as much as there is with --allow-truncated"),
        Error::NoTensorrtCache => Some("name one with --trt-cache DIR"),
        Error::MissingSpec { .. } => Some("or name a description with --spec, or export the model with clothseg-train"),
        Error::NoOnnxRuntime { provider, .. } => provider.parse().ok().map(how_to_install),
        Error::ProviderUnavailable { provider, .. } => {
            provider.parse().ok().filter(|it| matches!(it, Provider::Cuda | Provider::Tensorrt)).map(how_to_install)
        }
        _ => None,
    }
}

/// Looks for what the options leave open: ONNX Runtime's library, and a folder for TensorRT's engines. Returns why libraries
/// in the usual places cannot be used.
pub fn complete(options: &mut EngineOptions) -> Vec<String> {
    if options.tensorrt.cache.is_none() {
        options.tensorrt.cache = locate::tensorrt_cache();
    }
    if options.library.is_some() {
        return Vec::new();
    }
    let search = locate::find_onnxruntime(options.provider);
    options.library = search.library;
    // The provider is the user's, and named elsewhere.
    let reason = |error: &Error| match error {
        Error::NoOnnxRuntime { reason, .. } => reason.clone(),
        error => error.chain(),
    };
    search.refused.iter().map(reason).collect()
}

/// What is said of an open engine besides its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remarks {
    /// What a user should know.
    pub note: Option<String>,
    /// What a user must know, even one who asked for silence.
    pub warning: Option<String>,
}

impl Remarks {
    /// `refused` is what [`complete`] returned.
    pub fn new(info: &EngineInfo, refused: &[String]) -> Self {
        let tried = if refused.is_empty() { String::new() } else { format!(" ({})", refused.join("; ")) };
        let falls_back = info.provider == Provider::Embedded && info.no_gpu.is_some();
        let note = info.note.as_ref().map(|note| match falls_back {
            true => format!("{note}{tried}; {}", how_to_install(Provider::Auto)),
            false => note.clone(),
        });
        let warning = info.no_gpu.as_deref().and_then(|reason| unused_gpu(locate::gpu_is_visible(), reason));
        Self { note, warning }
    }
}

/// The warning of an automatic choice that leaves a GPU unused; nothing where there is none.
fn unused_gpu(visible: bool, reason: &str) -> Option<String> {
    let how = how_to_install(Provider::Cuda);
    visible.then(|| format!("this machine has an NVIDIA GPU, and it is NOT used: {reason}; {how}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_unused_gpu_is_a_warning_and_an_absent_one_is_not() {
        let warning = unused_gpu(true, "the library has no CUDA").unwrap();
        assert!(warning.contains("NOT used: the library has no CUDA"));
        assert_eq!(unused_gpu(false, "the library has no CUDA"), None);
    }

    #[test]
    fn an_error_that_a_flag_helps_against_names_the_flag() {
        let large = Error::TooLarge { found: 2, limit: 1, unit: "pixels" };
        assert!(explain(&large).contains("--max-megapixels"));
        let missing = Error::NoOnnxRuntime { provider: "cuda", reason: "none".into() };
        assert!(explain(&missing).contains("onnxruntime-gpu"));
        assert_eq!(explain(&Error::Invalid("odd".into())), "odd");
    }
}
