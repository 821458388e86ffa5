//! Photo to segmentation: the stages in order.

mod pool;
mod quality;
mod run;
mod segmentation;

use std::path::Path;
use std::sync::Arc;

use crate::decode::Detail;
use crate::digest;
use crate::engine::{self, BatchSize, Engine, EngineInfo, EngineOptions};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::spec::ModelSpec;
use crate::taxonomy::Taxonomy;

use pool::Pool;
pub use quality::Quality;
pub use segmentation::{ClassRegion, Segmentation, Timings};

/// An open model that segments photos.
///
/// One is enough for any number of photos and threads: threads may call it together, and as many runs of the network are
/// under way at once as it has sessions ([`EngineOptions::sessions`]). The other stages always run beside each other.
pub struct Segmenter {
    pool: Arc<Pool>,
    batch: BatchSize,
    spec: ModelSpec,
    taxonomy: Arc<Taxonomy>,
    info: EngineInfo,
    quality: Quality,
    cleans_up: bool,
    model_hash: Option<String>,
}

impl Segmenter {
    /// Opens an ONNX file that describes itself, or has a description beside it (see [`ModelSpec`]), on the best engine
    /// that is there.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::NotOnnx`], [`Error::MissingSpec`] and [`Error::BadSpec`] for the file;
    /// [`Error::ProviderUnavailable`] and [`Error::Engine`] for what should run it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &EngineOptions::default())
    }

    /// The same, on the engine that the options ask for.
    ///
    /// # Errors
    /// As [`Segmenter::open`].
    pub fn open_with(path: impl AsRef<Path>, options: &EngineOptions) -> Result<Self> {
        Self::open_model(&Model::open(path)?, options)
    }

    /// Opens a model that has been read already.
    ///
    /// # Errors
    /// [`Error::BadSpec`] when the description does not fit the model; [`Error::ProviderUnavailable`] and
    /// [`Error::Engine`] for what should run it.
    pub fn open_model(model: &Model, options: &EngineOptions) -> Result<Self> {
        let named = |error: Error| match (error, model.path()) {
            (Error::BadSpec { reason }, Some(path)) => {
                Error::BadSpec { reason: format!("that of {}: {reason}", path.display()) }
            }
            (error, _) => error,
        };
        let engines = engine::open_sessions(model.onnx(), model.spec(), options).map_err(named)?;
        let segmenter = Self::with_engines(engines)?;
        Ok(Self { model_hash: Some(digest::hex(model.onnx())), ..segmenter })
    }

    /// Puts the stages around an engine of one's own.
    ///
    /// # Errors
    /// [`Error::BadSpec`] when the engine's description makes no sense.
    pub fn with_engine(engine: Box<dyn Engine>) -> Result<Self> {
        Self::with_engines(vec![engine])
    }

    /// Puts the stages around several engines of one model, each of which runs one photo or batch at a time.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is none, or when they are not of one model; [`Error::BadSpec`] when its description
    /// makes no sense.
    pub fn with_engines(engines: Vec<Box<dyn Engine>>) -> Result<Self> {
        let Some(first) = engines.first() else {
            return Err(Error::Invalid("a segmenter needs an engine".into()));
        };
        let (spec, info, batch) = (first.spec().clone(), first.info().clone(), first.batch());
        if engines.iter().any(|engine| *engine.spec() != spec || engine.batch() != batch) {
            return Err(Error::Invalid("the engines of a segmenter must be of one model".into()));
        }
        spec.validate()?;
        if spec.output.stride == 0 {
            return Err(Error::BadSpec { reason: "the stride of an engine's output must be known".into() });
        }
        let taxonomy = Arc::new(spec.taxonomy.clone());
        Ok(Self {
            pool: Arc::new(Pool::new(engines)),
            batch,
            spec,
            taxonomy,
            info,
            quality: Quality::default(),
            cleans_up: true,
            model_hash: None,
        })
    }

    /// The same segmenter at another quality; it begins with [`Quality::Fast`].
    ///
    /// # Errors
    /// [`Error::Invalid`] when the model cannot be run so.
    pub fn with_quality(self, quality: Quality) -> Result<Self> {
        quality.check(&self.spec)?;
        Ok(Self { quality, ..self })
    }

    /// Another segmenter of another quality on the same engines: both wait for each other as threads of one do, and no weights are
    /// held twice.
    ///
    /// # Errors
    /// As [`Segmenter::with_quality`].
    pub fn at_quality(&self, quality: Quality) -> Result<Self> {
        quality.check(&self.spec)?;
        Ok(Self {
            pool: Arc::clone(&self.pool),
            batch: self.batch,
            spec: self.spec.clone(),
            taxonomy: Arc::clone(&self.taxonomy),
            info: self.info.clone(),
            quality,
            cleans_up: self.cleans_up,
            model_hash: self.model_hash.clone(),
        })
    }

    /// How much work it puts into a photo.
    pub fn quality(&self) -> Quality {
        self.quality
    }

    /// How much of a photo has to be decoded for its masks.
    pub fn detail(&self) -> Detail {
        Detail::EnoughFor(match self.quality {
            Quality::Fast => self.spec.input.fit,
            Quality::Best => self.spec.input.largest_fit(),
        })
    }

    /// The same segmenter with or without the clean-up of small and doubtful areas that the model's description asks for
    /// ([`OutputSpec::cleanup`](crate::spec::OutputSpec::cleanup)); it begins with.
    pub fn with_cleanup(self, cleans_up: bool) -> Self {
        Self { cleans_up, ..self }
    }

    /// Whether small and doubtful areas are cleaned up: it was not switched off, and the model's description says how.
    pub fn cleans_up(&self) -> bool {
        self.cleans_up && (self.spec.output.cleanup.is_some() || self.spec.output.small_regions.is_some())
    }

    /// BLAKE3 hash of the model file, in hexadecimal digits; nothing for an engine of one's own.
    pub fn model_hash(&self) -> Option<&str> {
        self.model_hash.as_deref()
    }

    /// What the model expects and returns.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// What runs the model.
    pub fn engine_info(&self) -> &EngineInfo {
        &self.info
    }

    /// Runs of the network that can be under way at once: more threads than this wait for each other there.
    pub fn sessions(&self) -> usize {
        self.pool.size()
    }

    /// How many photos one run of the network takes in [`Segmenter::segment_batch`].
    pub fn batch(&self) -> BatchSize {
        self.batch
    }
}
