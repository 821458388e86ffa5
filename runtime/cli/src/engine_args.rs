//! Flags on what runs the model, to options.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clothseg::{EngineOptions, Error, Model, ModelSpec, Provider, Quality};

/// Weights that sessions may hold together, unless the user says how many there are to be.
const SESSIONS_BYTES: u64 = 2 << 30;

/// A number of things of which there is at least one.
pub(crate) fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| format!("'{text}' is not a whole number from 1 on"))
}

/// More threads than any machine has cores only take time to start.
const MOST_THREADS: usize = 1024;

/// A number of things with a thread or more each.
pub(crate) fn thread_count(text: &str) -> Result<NonZeroUsize, String> {
    let number = count(text).ok().filter(|number| number.get() <= MOST_THREADS);
    number.ok_or_else(|| format!("'{text}' is not a whole number from 1 to {MOST_THREADS}"))
}

/// Whether a provider runs on a GPU.
pub fn is_gpu(provider: Provider) -> bool {
    matches!(provider, Provider::Cuda | Provider::Tensorrt)
}

/// Photos in work at a time where the user names no number. On a GPU one of them does nothing but wait for it; the others keep the
/// cores busy.
pub fn usual_jobs(on_gpu: bool) -> usize {
    std::thread::available_parallelism().map_or(1, usize::from) + usize::from(on_gpu)
}

/// Which description, engine and hardware.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineArgs {
    /// Description of a model whose file has none: a JSON file, a folder with Hugging Face's config.json, u2net-cloth or
    /// segformer-b2-clothes
    #[arg(long, value_name = "FILE|NAME", requires = "model")]
    pub spec: Option<String>,

    /// Execution provider: auto, cpu, cuda, tensorrt or embedded. One that is named runs, or fails with the reason
    #[arg(short, long, value_name = "NAME", default_value_t = Provider::Auto)]
    pub provider: Provider,

    /// fast, or best: test-time augmentation, the mean over the photo and its mirror image (and a larger size where the model
    /// names one), in at least twice the time
    #[arg(long, value_name = "NAME", default_value_t)]
    pub quality: Quality,

    /// Turn off the clean-up of small and doubtful regions that the model's description asks for
    #[arg(long, alias = "keep-specks")]
    pub no_cleanup: bool,

    /// ONNX Runtime's library, where it is not in one of the usual places
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,

    /// Threads of ONNX Runtime for one run of the network [default: the cores divided by the sessions]
    #[arg(long, value_name = "N", value_parser = thread_count)]
    pub threads: Option<NonZeroUsize>,

    /// Runs of the network at the same time; each has its own copy of the weights [default: on a CPU one per job, up to 2 GiB
    /// of weights; on a GPU one]
    #[arg(long, value_name = "N", value_parser = thread_count)]
    pub sessions: Option<NonZeroUsize>,

    /// Which GPU, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub device: u32,

    /// TensorRT calculates in 16 bits: faster, slightly less accurate at outlines
    #[arg(long)]
    pub fp16: bool,

    /// Folder where TensorRT keeps the engines that it has built [default: the user's cache folder]
    #[arg(long, value_name = "DIR")]
    pub trt_cache: Option<PathBuf>,
}

impl EngineArgs {
    /// What the engine needs to know. Flags that would have no effect are refused by name.
    pub fn options(&self) -> Result<EngineOptions, String> {
        if self.provider != Provider::Tensorrt {
            for (flag, given) in [("--fp16", self.fp16), ("--trt-cache", self.trt_cache.is_some())] {
                if given {
                    return Err(format!("{flag} is for TensorRT: add --provider tensorrt"));
                }
            }
        }
        let mut options = EngineOptions::default().with_provider(self.provider).with_device(self.device);
        options.library.clone_from(&self.library);
        options.threads = self.threads.map(NonZeroUsize::get);
        options.sessions = self.sessions.map_or(1, NonZeroUsize::get);
        options.tensorrt.fp16 = self.fp16;
        options.tensorrt.cache.clone_from(&self.trt_cache);
        Ok(options)
    }

    /// The options with sessions for so many photos at a time, where the user names no number of them. On a CPU whole photos side
    /// by side are the fastest: each has a session, and the cores are shared out over the sessions.
    pub fn with_sessions(&self, options: EngineOptions, model: &Model, photos: usize) -> EngineOptions {
        let fit = (SESSIONS_BYTES / (model.onnx().len() as u64).max(1)).max(1);
        let one_a_photo = photos.max(1).min(usize::try_from(fit).unwrap_or(usize::MAX));
        let by_itself = if is_gpu(options.provider) { 1 } else { one_a_photo };
        options.with_sessions(self.sessions.map_or(by_itself, NonZeroUsize::get))
    }

    /// Reads the model in this file, else the one that is carried along.
    pub fn model(&self, path: Option<&Path>) -> clothseg::Result<Model> {
        read_model(path, self.spec.as_deref())
    }
}

/// Reads the model in this file, else the one that is carried along. `spec` describes a file that does not do so itself: a JSON
/// file, or the name of a description that is carried along.
///
/// # Errors
/// Those of [`Model::open`]; [`Error::Invalid`] for an unknown name, and where no model is carried along.
pub fn read_model(path: Option<&Path>, spec: Option<&str>) -> clothseg::Result<Model> {
    if let Some(address) = path.and_then(Path::to_str).filter(|path| path.contains("://") && !Path::new(path).exists())
    {
        return Err(Error::Invalid(format!(
            "{address} is an address, and models are read from files: download it first"
        )));
    }
    match (path, spec) {
        (Some(path), Some(spec)) => Model::open_as(path, description(spec)?),
        (Some(path), None) => Model::open(path),
        (None, _) => built_in(),
    }
}

/// The description of this name that is carried along, else that in the file of this name.
fn description(name_or_file: &str) -> clothseg::Result<ModelSpec> {
    if let Some(json) = clothseg_models::description(name_or_file) {
        return ModelSpec::from_json(json);
    }
    let path = Path::new(name_or_file);
    // A name of one word that is no file is a misspelt name rather than a lost file.
    if path.extension().is_none() && !path.exists() {
        let names = clothseg_models::DESCRIPTIONS.map(|(name, _)| name).join(", ");
        return Err(Error::Invalid(format!(
            "there is no model description '{name_or_file}'; name a JSON file or one of: {names}"
        )));
    }
    ModelSpec::from_file(path)
}

#[cfg(feature = "default-model")]
fn built_in() -> clothseg::Result<Model> {
    Model::from_onnx(clothseg_models::GARMENTS)
}

#[cfg(not(feature = "default-model"))]
fn built_in() -> clothseg::Result<Model> {
    Err(Error::Invalid("this build carries no model: name one with --model FILE".into()))
}
