//! The open model, at each quality that it can be run at.

use std::num::NonZeroUsize;

use clothseg::{EngineOptions, Error, Model, Photo, Provider, Quality, Segmentation, Segmenter};
use clothseg_cli::advice::{self, Remarks};

use crate::batcher::Batcher;
use crate::options::Options;
use crate::problem::Problem;

/// Weights that sessions may hold together, unless the user says how many there are to be.
const SESSIONS_BYTES: u64 = 2 << 30;

/// Photos in one run of the network on a GPU, unless the user says otherwise.
const GPU_BATCH: usize = 8;

/// The open model.
pub struct Engines {
    fast: Segmenter,
    best: Option<Segmenter>,
    usual: Quality,
    batcher: Option<Batcher>,
    /// Photos in work at a time.
    pub jobs: usize,
    /// Photos in one run of the network, at most.
    pub batch: usize,
}

impl Engines {
    /// Reads the model that the options name and opens it. Returns what a user should know about it, too.
    pub fn open(options: &Options) -> Result<(Self, Remarks), String> {
        let mut engine_options = options.engine.options()?;
        let named = |error: Error| match (&options.model, advice::explain(&error)) {
            (Some(path), said) if !said.contains(&*path.to_string_lossy()) => format!("{}: {said}", path.display()),
            (_, said) => said,
        };
        let model = options.engine.model(options.model.as_deref()).map_err(named)?;
        engine_options = sized(engine_options, options, &model);
        let refused = advice::complete(&mut engine_options);
        if let Some(line) = clothseg::engine::slow_start(model.onnx(), model.spec(), &engine_options).map_err(named)? {
            tracing::info!("{line}");
        }
        let segmenter = Segmenter::open_model(&model, &engine_options).map_err(named)?;
        let remarks = Remarks::new(segmenter.engine_info(), &refused);
        let segmenter = segmenter.with_cleanup(!options.engine.no_cleanup);
        Self::of(segmenter, options).map(|engines| (engines, remarks)).map_err(named)
    }

    /// Takes an open model.
    pub fn of(segmenter: Segmenter, options: &Options) -> clothseg::Result<Self> {
        let usual = options.engine.quality;
        let fast = segmenter.at_quality(Quality::Fast)?;
        let best = segmenter.at_quality(Quality::Best);
        // One that is asked for must be there.
        let best = if usual == Quality::Best { Some(best?) } else { best.ok() };
        let on_gpu = is_gpu(fast.engine_info().provider);
        let batch = options.limits.batch.map_or(if on_gpu { GPU_BATCH } else { 1 }, NonZeroUsize::get);
        let batch = batch.min(fast.batch().largest().max(1));
        let batcher = if batch > 1 { Some(Batcher::start(&fast, best.as_ref(), batch)?) } else { None };
        Ok(Self { jobs: jobs(options, on_gpu), batch, fast, best, usual, batcher })
    }

    /// The segmenter of a quality; of the usual one where a request names none.
    pub fn get(&self, quality: Option<Quality>) -> Result<&Segmenter, Problem> {
        match quality.unwrap_or(self.usual) {
            Quality::Best => self.best.as_ref().ok_or_else(|| {
                let reason = match self.fast.at_quality(Quality::Best) {
                    Err(Error::Invalid(reason)) => reason,
                    _ => "the model cannot be run at the quality `best`".into(),
                };
                Problem::bad_request("quality", reason)
            }),
            _ => Ok(&self.fast),
        }
    }

    /// Qualities that a request may name.
    pub fn qualities(&self) -> Vec<&'static str> {
        [Some(&self.fast), self.best.as_ref()].into_iter().flatten().map(|one| one.quality().name()).collect()
    }

    /// Segments a photo, with others that wait where that pays.
    pub fn segment(&self, segmenter: &Segmenter, photo: Photo) -> clothseg::Result<(Photo, Segmentation)> {
        match &self.batcher {
            Some(batcher) => batcher.segment(photo, segmenter.quality()),
            None => segmenter.segment(&photo).map(|segmentation| (photo, segmentation)),
        }
    }
}

/// Sessions and batches for so many photos at a time: on a CPU whole photos side by side are the fastest.
fn sized(engine_options: EngineOptions, options: &Options, model: &Model) -> EngineOptions {
    let on_named_gpu = is_gpu(engine_options.provider);
    let fit = (SESSIONS_BYTES / (model.onnx().len() as u64).max(1)).max(1);
    let one_a_job = jobs(options, on_named_gpu).min(usize::try_from(fit).unwrap_or(usize::MAX));
    let by_itself = if on_named_gpu { 1 } else { one_a_job };
    let batch = options.limits.batch.map_or(GPU_BATCH, NonZeroUsize::get);
    engine_options.with_sessions(options.engine.sessions.map_or(by_itself, NonZeroUsize::get)).with_max_batch(batch)
}

/// Photos in work at a time. On a GPU one of them does nothing but wait for it; the others keep the cores busy.
fn jobs(options: &Options, on_gpu: bool) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    options.limits.jobs.map_or_else(|| cores() + usize::from(on_gpu), NonZeroUsize::get)
}

fn is_gpu(provider: Provider) -> bool {
    matches!(provider, Provider::Cuda | Provider::Tensorrt)
}
