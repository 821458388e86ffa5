//! How CUDA and TensorRT are set up.

use std::path::Path;

use ort::ep::cuda::ConvAlgorithmSearch;
use ort::ep::{self, ExecutionProvider, ExecutionProviderDispatch};

use crate::engine::binding::Binding;
use crate::engine::tensorrt::{Profile, engine_folder};
use crate::engine::{EngineOptions, Provider};
use crate::error::{Error, Result};
use crate::spec::Fit;

/// Whether this ONNX Runtime was built with what `provider` needs. It may still not start.
pub(super) fn are_in_library(provider: Provider) -> bool {
    let cuda = || ep::CUDA::is_available().unwrap_or(false);
    match provider {
        Provider::Cuda => cuda(),
        Provider::Tensorrt => cuda() && ep::TensorRT::is_available().unwrap_or(false),
        Provider::Auto | Provider::Cpu | Provider::Embedded => true,
    }
}

/// The providers to register, the first wins; none for the CPU, which is always there.
///
/// `ort` registers in silence unless told to fail.
pub(super) fn requested(
    onnx: &[u8],
    binding: &Binding,
    provider: Provider,
    options: &EngineOptions,
) -> Result<Vec<ExecutionProviderDispatch>> {
    let device = i32::try_from(options.device)
        .map_err(|_| Error::Invalid(format!("there is no GPU number {}", options.device)))?;
    let cuda = || {
        // A search by trial pays where every photo has one shape; with many shapes each of them would be tried anew.
        let search = match binding.spec.input.fit {
            Fit::Stretch { .. } => ConvAlgorithmSearch::Exhaustive,
            Fit::LongestSide { .. } => ConvAlgorithmSearch::Heuristic,
        };
        ep::CUDA::default().with_device_id(device).with_conv_algorithm_search(search).build().error_on_failure()
    };
    match provider {
        Provider::Cuda => Ok(vec![cuda()]),
        Provider::Tensorrt => Ok(vec![tensorrt(onnx, binding, device, options)?, cuda()]),
        Provider::Auto | Provider::Cpu | Provider::Embedded => Ok(Vec::new()),
    }
}

fn tensorrt(onnx: &[u8], binding: &Binding, device: i32, options: &EngineOptions) -> Result<ExecutionProviderDispatch> {
    let folder = engine_folder(onnx, binding, options)?;
    std::fs::create_dir_all(&folder).map_err(|source| Error::Write { path: folder.clone(), source })?;
    let engines = text(&folder)?;
    // What was learnt about this GPU's kernels serves every model.
    let timings = text(folder.parent().unwrap_or(&folder))?;
    let Profile { min, opt, max } = Profile::new(binding);
    let tensorrt = ep::TensorRT::default()
        .with_device_id(device)
        .with_fp16(options.tensorrt.fp16)
        .with_engine_cache(true)
        .with_engine_cache_path(engines)
        .with_timing_cache(true)
        .with_timing_cache_path(timings)
        .with_profile_min_shapes(min)
        .with_profile_opt_shapes(opt)
        .with_profile_max_shapes(max);
    Ok(tensorrt.build().error_on_failure())
}

/// A path as C's text; `ort` panics on a zero byte.
fn text(path: &Path) -> Result<String> {
    match path.to_str().filter(|text| !text.contains('\0')) {
        Some(text) => Ok(text.to_owned()),
        None => Err(Error::Invalid(format!("TensorRT cannot keep its engines in {}", path.display()))),
    }
}
