//! The library of ONNX Runtime: found, checked and loaded once a process.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::engine::{EngineOptions, Provider};
use crate::error::{Error, Result};

/// The library of this process and its environment. `ort` keeps one for the whole process.
#[derive(Clone)]
pub(in crate::engine) struct Runtime {
    pub(super) environment: ort::environment::Environment,
    pub(super) path: PathBuf,
    pub(super) version: String,
}

static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

/// Loads the library that the options name, else the system's.
pub(in crate::engine) fn load(options: &EngineOptions) -> Result<Runtime> {
    let mut loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let missing = |reason: String| Error::NoOnnxRuntime { provider: options.provider.name(), reason };
    if let Some(runtime) = loaded.as_ref() {
        return match &options.library {
            Some(path) if !same_file(path, &runtime.path) => Err(missing(format!(
                "this process has loaded {} already and cannot load {} as well",
                runtime.path.display(),
                path.display()
            ))),
            _ => Ok(runtime.clone()),
        };
    }
    let runtime = match &options.library {
        // A bare name would be looked for in the system's folders, not here.
        Some(path) => load_file(&std::path::absolute(path).unwrap_or_else(|_| path.clone())).map_err(missing)?,
        None => load_system().map_err(missing)?,
    };
    Ok(loaded.insert(runtime).clone())
}

/// Loads the ONNX Runtime in this file for the whole process, unless one is loaded already, and returns its real path.
///
/// # Errors
/// [`Error::NoOnnxRuntime`] when the file is none that can be used, or another one is loaded.
pub fn load_library(path: &Path) -> Result<PathBuf> {
    let options = EngineOptions { provider: Provider::Cpu, library: Some(path.to_owned()), ..EngineOptions::default() };
    load(&options).map(|runtime| runtime.path)
}

/// The ONNX Runtime that this process has loaded, if any.
pub fn loaded_library() -> Option<PathBuf> {
    let loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    loaded.as_ref().map(|runtime| runtime.path.clone())
}

/// By bare names: the system's loader knows its folders.
fn load_system() -> Result<Runtime, String> {
    let name = format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let names = if cfg!(target_os = "linux") { vec![format!("{name}.1"), name] } else { vec![name] };
    let mut tried = names.iter().map(|name| load_file(Path::new(name)));
    tried
        .find_map(Result::ok)
        .ok_or_else(|| format!("the system's loader finds no ONNX Runtime ({})", names.join(", ")))
}

fn load_file(path: &Path) -> Result<Runtime, String> {
    let version = probe(path)?;
    let environment = ort::init_from(path)
        .map_err(|error| error.to_string())?
        .with_name("clothseg")
        .with_telemetry(false)
        .build()
        .map_err(|error| format!("{}: {error}", path.display()))?;
    // A bare name was found by the system's loader, wherever that was.
    let resolved = if path.is_absolute() { std::fs::canonicalize(path).ok() } else { None };
    let path = resolved.unwrap_or_else(|| path.to_owned());
    Ok(Runtime { environment, path, version })
}

/// The version of this library, or why `ort` will not take it. It must not be asked first: once it has failed to load one file, it
/// takes every later one for loaded and calls into nothing (2.0.0-rc.14, its `OnceLock` counts an error as done).
fn probe(path: &Path) -> Result<String, String> {
    let fail = |cause: &dyn std::fmt::Display| format!("{}: {cause}", path.display());
    // SAFETY: a library that the user named, or one in a place for ONNX Runtime; its initialisers run here instead of in
    // `ort`, a moment later.
    let library = unsafe { libloading::Library::new(path) }.map_err(|error| fail(&error))?;
    type GetApiBase = unsafe extern "system" fn() -> *const ort::sys::OrtApiBase;
    // SAFETY: ONNX Runtime's C interface gives this function this type in every version, and an `OrtApiBase` that lives as
    // long as the library; `GetVersionString` returns a constant C string. The library stays open until after the copy.
    let version = unsafe {
        let get_api_base = library
            .get::<GetApiBase>(c"OrtGetApiBase")
            .map_err(|_| fail(&"it is no ONNX Runtime (no OrtGetApiBase)"))?;
        let base = get_api_base();
        if base.is_null() {
            return Err(fail(&"OrtGetApiBase returns nothing"));
        }
        std::ffi::CStr::from_ptr(((*base).GetVersionString)()).to_string_lossy().into_owned()
    };
    let minor: u32 = version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(0);
    if minor < ort::MINOR_VERSION {
        return Err(fail(&format!("it is version {version}, and 1.{} or later is needed", ort::MINOR_VERSION)));
    }
    // `ort` opens the same file; unloading it in between would run its initialisers twice.
    std::mem::forget(library);
    Ok(version)
}

fn same_file(a: &Path, b: &Path) -> bool {
    std::fs::canonicalize(a).is_ok_and(|a| a == b) || a == b
}
