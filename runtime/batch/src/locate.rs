//! Where ONNX Runtime's library may lie, and what else a program asks its surroundings so that the library need not.
//!
//! The library itself reads no environment and starts no process: it is told a file, or asks the system's loader.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use clothseg::{EngineOptions, Error, Provider, engine};

/// ONNX Runtime's wheels since 1.30 keep a device id and may report its use, unless this variable is `1` in the environment before
/// the library is loaded. A program sets it first, while it has no other thread.
pub const TELEMETRY_SWITCH: &str = "ORT_DISABLE_TELEMETRY";

/// What looking for ONNX Runtime came to.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Search {
    /// The library, loaded for this process; nothing where only the system's loader may have one.
    pub library: Option<PathBuf>,
    /// Libraries that lie in the usual places and cannot be used, each with the reason.
    pub refused: Vec<Error>,
}

/// Loads the first ONNX Runtime that the usual places hold: `ORT_DYLIB_PATH`, beside the program, what `ci/onnxruntime`
/// fetched (for a program inside a checkout), and the `onnxruntime` package of the active Python. Where a GPU is to be
/// used, one with CUDA comes first.
pub fn find_onnxruntime(provider: Provider) -> Search {
    let mut search = Search { library: engine::loaded_library(), refused: Vec::new() };
    if search.library.is_some() || provider == Provider::Embedded {
        return search;
    }
    for path in candidates(provider) {
        match engine::load_library(&path) {
            Ok(path) => {
                search.library = Some(path);
                break;
            }
            Err(error) => search.refused.push(error),
        }
    }
    search
}

/// Options for this provider, with the ONNX Runtime that [`find_onnxruntime`] finds and the user's cache folder for
/// TensorRT.
pub fn engine_options(provider: Provider) -> EngineOptions {
    let mut options = EngineOptions::default().with_provider(provider);
    options.library = find_onnxruntime(provider).library;
    options.tensorrt.cache = tensorrt_cache();
    options
}

/// One line for people who have no ONNX Runtime yet.
pub fn how_to_install(provider: Provider) -> &'static str {
    match provider {
        Provider::Cuda | Provider::Tensorrt => {
            "run ci/onnxruntime --gpu in a checkout, or 'pip install onnxruntime-gpu', or set ORT_DYLIB_PATH to its library"
        }
        _ => "run ci/onnxruntime in a checkout, or 'pip install onnxruntime', or set ORT_DYLIB_PATH to its library",
    }
}

/// Files that the dynamic loader may open, the best first.
fn candidates(provider: Provider) -> Box<dyn Iterator<Item = PathBuf>> {
    let wants_gpu = wants_gpu(provider);
    // Each place is looked at only when it is reached.
    let all = std::iter::once_with(named_by_the_environment)
        .chain(std::iter::once_with(beside_the_binary))
        .chain(std::iter::once_with(move || in_a_checkout(wants_gpu)))
        .chain(std::iter::once_with(in_the_active_python))
        .flatten();
    if !wants_gpu {
        return Box::new(all);
    }
    // One without CUDA must not hide one that has it.
    Box::new(preferred_first(all, |library| has_cuda(library)))
}

/// The preferred items as they come, then the others. Items are asked for one by one, as some cost a process.
fn preferred_first<T>(
    mut items: impl Iterator<Item = T>,
    is_preferred: impl Fn(&T) -> bool,
) -> impl Iterator<Item = T> {
    let mut others = VecDeque::new();
    std::iter::from_fn(move || {
        for item in items.by_ref() {
            if is_preferred(&item) {
                return Some(item);
            }
            others.push_back(item);
        }
        others.pop_front()
    })
}

/// Whether this process could use an NVIDIA GPU: its driver is here, and the user has not hidden it.
pub fn gpu_is_visible() -> bool {
    let driver = if cfg!(windows) {
        env::var_os("SystemRoot").is_some_and(|root| Path::new(&root).join("System32/nvcuda.dll").is_file())
    } else {
        // The second is Windows' own Linux.
        Path::new("/dev/nvidiactl").exists() || Path::new("/usr/lib/wsl/lib/libcuda.so.1").exists()
    };
    driver && !hides_gpus(env::var("CUDA_VISIBLE_DEVICES").ok().as_deref())
}

/// Whether this value of `CUDA_VISIBLE_DEVICES` leaves no GPU: it is empty, or its first entry is no GPU.
fn hides_gpus(devices: Option<&str>) -> bool {
    devices.is_some_and(|list| {
        let first = list.split(',').next().unwrap_or_default().trim();
        first.is_empty() || first.starts_with('-')
    })
}

fn wants_gpu(provider: Provider) -> bool {
    match provider {
        Provider::Cuda | Provider::Tensorrt => true,
        Provider::Auto => gpu_is_visible(),
        _ => false,
    }
}

/// Whether the CUDA provider lies beside the library.
fn has_cuda(library: &Path) -> bool {
    let provider = format!("{}onnxruntime_providers_cuda{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    library.parent().is_some_and(|folder| folder.join(provider).is_file())
}

fn named_by_the_environment() -> Vec<PathBuf> {
    let named = env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()).map(PathBuf::from);
    // Relative to the working directory where such a file is, else a name for the system's loader.
    let absolute = |path: PathBuf| if path.exists() { std::path::absolute(&path).unwrap_or(path) } else { path };
    named.map(absolute).into_iter().collect()
}

/// The folder of the running program, and `lib` beside it.
fn beside_the_binary() -> Vec<PathBuf> {
    let Some(folder) = env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned)) else {
        return Vec::new();
    };
    [folder.clone(), folder.join("lib")].iter().flat_map(|folder| libraries_in(folder)).collect()
}

/// What `ci/onnxruntime` fetched, when the running program lies in a checkout's target folder.
///
/// Only the program's own parents are searched, never the working directory: a library is code.
fn in_a_checkout(wants_gpu: bool) -> Vec<PathBuf> {
    let Ok(binary) = env::current_exe() else { return Vec::new() };
    let Some(root) = binary.ancestors().find(|folder| folder.join("ci/onnxruntime").is_file()) else {
        return Vec::new();
    };
    let flavours = if wants_gpu { ["gpu", "cpu"] } else { ["cpu", "gpu"] };
    let folder = root.join(".cache/onnxruntime");
    flavours.iter().flat_map(|flavour| libraries_in(&folder.join(flavour))).collect()
}

/// The `onnxruntime` package of the active virtual environment, else of the Python on the path.
fn in_the_active_python() -> Vec<PathBuf> {
    // Asking for the place of the package does not import it.
    // The working directory is taken off the path: photos come with any files beside them, and a library is code.
    const WHERE: &str = "import sys; sys.path[:] = [p for p in sys.path if p not in ('', '.')]; \
                         import importlib.util as u; s = u.find_spec('onnxruntime'); \
                         print(s.submodule_search_locations[0] if s else '')";
    let python = ["VIRTUAL_ENV", "CONDA_PREFIX"]
        .iter()
        .filter_map(env::var_os)
        .map(|root| Path::new(&root).join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python3" }))
        .find(|python| python.is_file())
        .unwrap_or_else(|| PathBuf::from(if cfg!(windows) { "python" } else { "python3" }));
    match Command::new(python).args(["-c", WHERE]).stdin(std::process::Stdio::null()).output() {
        Ok(output) if output.status.success() => {
            let place = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if place.is_empty() { Vec::new() } else { libraries_in(&Path::new(&place).join("capi")) }
        }
        _ => Vec::new(),
    }
}

/// Where TensorRT keeps its engines if the user names no other folder; nothing where there is no cache folder.
pub fn tensorrt_cache() -> Option<PathBuf> {
    user_cache().map(|folder| folder.join("clothseg/tensorrt"))
}

/// The user's folder for what can be made anew.
fn user_cache() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if cfg!(windows) {
        absolute("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        absolute("HOME").map(|home| home.join("Library/Caches"))
    } else {
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))
    }
}

/// ONNX Runtime libraries in a folder, `libonnxruntime.so.1.32.0` and the like; the newest name first.
fn libraries_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.file_name().is_some_and(is_library)).collect();
    found.sort_by_key(|path| std::cmp::Reverse(numbers(path)));
    found
}

/// The numbers in a file name, so that 1.9 comes before 1.32.
fn numbers(path: &Path) -> Vec<u64> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

fn is_library(name: &OsStr) -> bool {
    let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(env::consts::DLL_PREFIX)) else { return false };
    let Some(rest) = rest.strip_prefix("onnxruntime") else { return false };
    match env::consts::DLL_SUFFIX {
        // Linux appends the version to the suffix, macOS puts it before.
        ".so" => rest == ".so" || rest.starts_with(".so."),
        suffix => rest.ends_with(suffix) && !rest.starts_with('_'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_preferred_comes_first_and_nothing_is_asked_for_too_early() {
        let asked = std::cell::Cell::new(0);
        let items = (1..=5).inspect(|_| asked.set(asked.get() + 1));
        let mut sorted = preferred_first(items, |item| item % 2 == 0);
        assert_eq!((sorted.next(), asked.get()), (Some(2), 2));
        assert_eq!(sorted.collect::<Vec<_>>(), [4, 1, 3, 5]);
    }

    #[test]
    fn a_user_can_hide_the_gpus() {
        assert!([Some(""), Some("-1"), Some(" -1,0")].into_iter().all(hides_gpus));
        assert!(![None, Some("0"), Some("1,-1"), Some("GPU-8932f937")].into_iter().any(hides_gpus));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn only_the_library_itself_is_taken_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so.1.32.0",
            "libonnxruntime_providers_shared.so",
            "onnxruntime_pybind11_state.so",
            "libother.so",
        ] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        let names: Vec<_> =
            libraries_in(folder.path()).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["libonnxruntime.so.1.32.0", "libonnxruntime.so.1.9.0"]);
        assert!(libraries_in(&folder.path().join("absent")).is_empty());
    }
}
