//! Errors of the library as the exceptions of `clothseg._errors`.

use clothseg::{Error, Provider};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pyo3::import_exception!(clothseg._errors, ClothsegError);
pyo3::import_exception!(clothseg._errors, DecodeError);
pyo3::import_exception!(clothseg._errors, EngineError);
pyo3::import_exception!(clothseg._errors, ModelError);
pyo3::import_exception!(clothseg._errors, ReadError);
pyo3::import_exception!(clothseg._errors, TooLargeError);
pyo3::import_exception!(clothseg._errors, UnknownClassError);
pyo3::import_exception!(clothseg._errors, WriteError);

/// The exception for an error, with its causes in the message.
pub fn to_python(error: &Error) -> PyErr {
    let message = error.chain();
    match error {
        Error::Read { path, source } => ReadError::new_err((code(source), message, path.clone().into_os_string())),
        Error::Write { path, source } => WriteError::new_err((code(source), message, path.clone().into_os_string())),
        Error::Decode { .. } | Error::CutOff { .. } | Error::DecodeTimeout { .. } => DecodeError::new_err(message),
        Error::TooLarge { unit: "pixels", .. } => {
            TooLargeError::new_err(format!("{message}; raise max_megapixels if the source is trusted"))
        }
        Error::TooLarge { .. } => TooLargeError::new_err(message),
        Error::UnknownClass { name, nearest, known, groups } => {
            UnknownClassError::new_err((message, name.clone(), nearest.clone(), [&known[..], groups].concat()))
        }
        Error::MissingSpec { .. } | Error::NotOnnx { .. } | Error::BadSpec { .. } | Error::Output { .. } => {
            ModelError::new_err(message)
        }
        Error::NoOnnxRuntime { provider, .. } | Error::ProviderUnavailable { provider, .. } => {
            let advice = provider.parse().map(|provider| format!("; {}", how_to_install(provider))).unwrap_or_default();
            EngineError::new_err(format!("{message}{advice}"))
        }
        Error::Engine { .. } | Error::NoTensorrtCache => EngineError::new_err(message),
        // An argument that makes no sense.
        Error::Invalid(_) => PyValueError::new_err(message),
        _ => ClothsegError::new_err(message),
    }
}

fn code(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

fn how_to_install(provider: Provider) -> &'static str {
    match provider {
        Provider::Cuda | Provider::Tensorrt => {
            "pip install 'clothseg[gpu]', or name ONNX Runtime's library with library="
        }
        _ => "pip install 'clothseg[cpu]', or name ONNX Runtime's library with library=",
    }
}
