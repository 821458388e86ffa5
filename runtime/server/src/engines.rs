//! The open model, at each quality that it can be run at.

use std::num::NonZeroUsize;

use clothseg::{Error, Photo, Quality, Segmentation, Segmenter};
use clothseg_cli::advice::{self, Remarks};
use clothseg_cli::{is_gpu, usual_jobs};

use crate::batcher::Batcher;
use crate::options::Options;
use crate::problem::Problem;

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
        let named = |error: Error| advice::explain_of(options.model.as_deref(), &error);
        let model = options.engine.model(options.model.as_deref()).map_err(named)?;
        let at_a_time = jobs(options, is_gpu(engine_options.provider), 1);
        let batch = options.limits.batch.map_or(GPU_BATCH, NonZeroUsize::get);
        engine_options = options.engine.with_sessions(engine_options, &model, at_a_time).with_max_batch(batch);
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
        Ok(Self { jobs: jobs(options, on_gpu, batch), batch, fast, best, usual, batcher })
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

/// Photos in work at a time. Those that run through a GPU together must all be in work.
fn jobs(options: &Options, on_gpu: bool, batch: usize) -> usize {
    let usual = || usual_jobs(on_gpu).max(if batch > 1 { batch + 1 } else { 1 });
    options.limits.jobs.map_or_else(usual, NonZeroUsize::get)
}
