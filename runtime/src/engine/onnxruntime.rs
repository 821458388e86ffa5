//! ONNX Runtime, opened at run time. The only file that names `ort`.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ndarray::{Array4, ArrayView4};
use ort::ep::{self, ExecutionProvider, ExecutionProviderDispatch};
use ort::session::Session;
use ort::value::TensorRef;

use super::{Engine, EngineInfo, EngineOptions, Provider, locate, output_array};
use crate::error::{Error, Result};
use crate::spec::ModelSpec;

const NAME: &str = "ONNX Runtime";

/// The library of this process and its environment. `ort` keeps one for the whole process.
#[derive(Clone)]
pub(super) struct Runtime {
    environment: ort::environment::Environment,
    path: PathBuf,
}

static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

/// Loads the library that the options name, else the first that the usual places hold.
pub(super) fn load(options: &EngineOptions) -> Result<Runtime> {
    let mut loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let unavailable = |reason: String| Error::ProviderUnavailable { provider: options.provider.name(), reason };
    if let Some(runtime) = loaded.as_ref() {
        return match &options.library {
            Some(path) if !same_file(path, &runtime.path) => Err(unavailable(format!(
                "this process has loaded {} already and cannot load {} as well",
                runtime.path.display(),
                path.display()
            ))),
            _ => Ok(runtime.clone()),
        };
    }
    let runtime = match &options.library {
        // A bare name would be looked for in the system's folders, not here.
        Some(path) => load_file(&std::path::absolute(path).unwrap_or_else(|_| path.clone())).map_err(unavailable)?,
        None => load_first(options.provider).map_err(unavailable)?,
    };
    Ok(loaded.insert(runtime).clone())
}

fn load_first(provider: Provider) -> Result<Runtime, String> {
    let mut refused = Vec::new();
    for path in locate::candidates(provider) {
        match load_file(&path) {
            Ok(runtime) => return Ok(runtime),
            // The system's loader is asked by bare name; that it has none is no news.
            Err(reason) if path.components().count() > 1 => refused.push(reason),
            Err(_) => {}
        }
    }
    let tried = if refused.is_empty() { String::new() } else { format!(" ({})", refused.join("; ")) };
    Err(format!("no usable ONNX Runtime was found{tried}; {}", locate::how_to_install(provider)))
}

fn load_file(path: &Path) -> Result<Runtime, String> {
    probe(path)?;
    let environment = ort::init_from(path)
        .map_err(|error| error.to_string())?
        .with_name("clothseg")
        .with_telemetry(false)
        .build()
        .map_err(|error| format!("{}: {error}", path.display()))?;
    // A bare name was found by the system's loader, wherever that was.
    let resolved = if path.is_absolute() { std::fs::canonicalize(path).ok() } else { None };
    Ok(Runtime { environment, path: resolved.unwrap_or_else(|| path.to_owned()) })
}

/// Whether `ort` will take this library, and why not. It must not be asked first: once it has failed to load one file, it
/// takes every later one for loaded and calls into nothing (2.0.0-rc.14, its `OnceLock` counts an error as done).
fn probe(path: &Path) -> Result<(), String> {
    let fail = |cause: &dyn std::fmt::Display| format!("{}: {cause}", path.display());
    // SAFETY: a library that the user named, or one in a place for ONNX Runtime; its initialisers run here instead of in
    // `ort`, a moment later.
    let library = unsafe { libloading::Library::new(path) }.map_err(|error| fail(&error))?;
    type GetApiBase = unsafe extern "system" fn() -> *const ort::sys::OrtApiBase;
    // SAFETY: ONNX Runtime's C interface gives this function this type in every version.
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
    Ok(())
}

fn same_file(a: &Path, b: &Path) -> bool {
    std::fs::canonicalize(a).is_ok_and(|a| a == b) || a == b
}

/// CUDA where this library has it and a session starts on it, else the CPU.
pub(super) fn open_best(
    runtime: Runtime,
    onnx: &[u8],
    spec: &ModelSpec,
    options: &EngineOptions,
) -> Result<Box<dyn Engine>> {
    let mut note = None;
    if ep::CUDA::is_available().unwrap_or(false) {
        match start(runtime.clone(), onnx, spec, Provider::Cuda, options.threads) {
            Ok(engine) => return Ok(Box::new(engine)),
            Err(error) => note = Some(format!("CUDA is there but does not run, so the CPU is used: {error}")),
        }
    }
    let mut engine = start(runtime, onnx, spec, Provider::Cpu, options.threads)?;
    engine.info.note = note;
    Ok(Box::new(engine))
}

/// Opens the model on one provider, or says why not.
pub(super) fn open(
    runtime: Runtime,
    onnx: &[u8],
    spec: &ModelSpec,
    provider: Provider,
    threads: Option<usize>,
) -> Result<Box<dyn Engine>> {
    Ok(Box::new(start(runtime, onnx, spec, provider, threads)?))
}

fn start(
    runtime: Runtime,
    onnx: &[u8],
    spec: &ModelSpec,
    provider: Provider,
    threads: Option<usize>,
) -> Result<OnnxRuntime> {
    let failed = |error: &dyn std::fmt::Display| Error::Engine {
        engine: NAME,
        action: "load the model",
        reason: error.to_string(),
    };
    let mut builder = Session::builder(&runtime.environment).map_err(|error| failed(&error))?;
    if let Some(threads) = threads {
        builder = builder.with_intra_threads(threads.max(1)).map_err(|error| failed(&error))?;
    }
    let requested = execution_providers(provider);
    if !requested.is_empty() {
        builder = builder.with_execution_providers(requested).map_err(|error| unavailable(provider, &error))?;
    }
    let session = builder.commit_from_memory(onnx).map_err(|error| match provider {
        Provider::Cpu => failed(&error),
        _ => unavailable(provider, &error),
    })?;
    check_names(&session, spec)?;
    let info =
        EngineInfo { path: Some(runtime.path.clone()), ..EngineInfo::new(provider, NAME, version(&runtime.path)) };
    Ok(OnnxRuntime { session, spec: spec.clone(), info, _runtime: runtime })
}

/// `ort` registers in silence unless told to fail.
fn execution_providers(provider: Provider) -> Vec<ExecutionProviderDispatch> {
    let cuda = || ep::CUDA::default().build().error_on_failure();
    match provider {
        Provider::Cuda => vec![cuda()],
        Provider::Tensorrt => vec![ep::TensorRT::default().build().error_on_failure(), cuda()],
        Provider::Auto | Provider::Cpu | Provider::Embedded => Vec::new(),
    }
}

fn unavailable(provider: Provider, error: &dyn std::fmt::Display) -> Error {
    let reason = format!(
        "{error}; if the model runs on 'cpu', look to the GPU: it takes an NVIDIA GPU with its driver, NVIDIA's CUDA and \
         cuDNN libraries, and a GPU build of ONNX Runtime ({})",
        locate::how_to_install(provider)
    );
    Error::ProviderUnavailable { provider: provider.name(), reason }
}

/// A wrong name in a description is found when the model opens, not at the first photo.
fn check_names(session: &Session, spec: &ModelSpec) -> Result<()> {
    let names = |outlets: &[ort::value::Outlet]| -> Vec<String> {
        outlets.iter().map(|outlet| outlet.name().to_owned()).collect()
    };
    super::check_names(spec, &names(session.inputs()), &names(session.outputs()))
}

/// The library's version: in its file name, else as its build says.
fn version(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let numbers = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '.') && text.contains('.');
    if let Some((_, version)) = name.split_once(".so.").filter(|(_, version)| numbers(version)) {
        return version.to_owned();
    }
    let branch = ort::info().split("git-branch=").nth(1).and_then(|rest| rest.split(',').next());
    branch.map_or("unknown version".into(), |branch| branch.trim_start_matches("rel-").to_owned())
}

struct OnnxRuntime {
    session: Session,
    spec: ModelSpec,
    info: EngineInfo,
    /// Sessions end before their environment.
    _runtime: Runtime,
}

impl Engine for OnnxRuntime {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn run(&mut self, input: ArrayView4<'_, f32>) -> Result<Array4<f32>> {
        let failed =
            |error: ort::Error| Error::Engine { engine: NAME, action: "run the model", reason: error.to_string() };
        let input = input.as_standard_layout();
        let values = input.as_slice().unwrap_or_default();
        let tensor = TensorRef::from_array_view((input.shape().to_vec(), values)).map_err(failed)?;
        let outputs = self.session.run(ort::inputs![self.spec.input.name.as_str() => tensor]).map_err(failed)?;
        let output = outputs
            .get(&self.spec.output.name)
            .ok_or_else(|| Error::Output { reason: format!("there is no '{}'", self.spec.output.name) })?;
        let (shape, values) = output.try_extract_tensor::<f32>().map_err(failed)?;
        let shape: Vec<usize> = shape.iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect();
        output_array(&shape, values, &self.spec)
    }
}
