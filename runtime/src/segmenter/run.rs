//! Photos through the network, one by one or in batches.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ndarray::{Array3, Array4, Axis, s};
use rayon::prelude::*;

use super::{Quality, Segmentation, Segmenter, Timings, quality};
use crate::decode::{Limits, Photo};
use crate::engine::BatchSize;
use crate::error::{Error, Result};
use crate::postprocess::{self, NetworkOutput};
use crate::preprocess::{self, Geometry};
use crate::spec::InputSpec;

/// A photo that is ready for the network.
struct Prepared {
    /// 1 x 3 x H x W.
    input: Array4<f32>,
    geometry: Geometry,
    /// The same at the larger size, where that is looked at, too.
    larger: Option<(Array4<f32>, Geometry)>,
    preprocess_ms: f64,
}

/// What the network gave for a photo, classes x rows x columns.
struct Raw {
    output: Array3<f32>,
    inference_ms: f64,
}

impl Segmenter {
    /// Reads the photo in this file, as far as the network needs it, and segments it at its own size.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::TooLarge`], [`Error::DecodeTimeout`] and [`Error::Decode`] for the file (see
    /// [`Limits::default`]); else as [`Segmenter::segment`].
    pub fn segment_file(&self, path: impl AsRef<Path>) -> Result<Segmentation> {
        self.segment(&Photo::open_with(path, &Limits::default(), self.detail())?)
    }

    /// Segments one photo at its own size.
    ///
    /// # Errors
    /// [`Error::Engine`] and [`Error::Output`] when the model fails.
    pub fn segment(&self, photo: &Photo) -> Result<Segmentation> {
        let prepared = self.prepare(photo)?;
        let mut raw = self.infer(&[&prepared])?;
        let raw = raw.pop().ok_or_else(|| Error::Output { reason: "no result for the photo".into() })?;
        self.finish(photo, &prepared, raw)
    }

    /// Segments photos, as [`Segmenter::segment`] does each of them, with as many in one run of the network as it takes
    /// ([`Segmenter::batch`]) and as have one input size. What the photos' numbers are does not depend on the company that
    /// they are in, beyond the rounding of the engine's other order of additions.
    ///
    /// All inputs and outputs of the network are held at once: give as many photos as one or a few runs take.
    ///
    /// # Errors
    /// Each photo's own, as [`Segmenter::segment`]. A batch that fails is tried again photo by photo.
    pub fn segment_batch(&self, photos: &[Photo]) -> Vec<Result<Segmentation>> {
        let mut results: Vec<Option<Result<Raw>>> = photos.iter().map(|_| None).collect();
        let prepared: Vec<Result<Prepared>> = photos.par_iter().map(|photo| self.prepare(photo)).collect();
        for run in self.runs(&prepared) {
            let inputs: Vec<&Prepared> = run.iter().filter_map(|&index| prepared[index].as_ref().ok()).collect();
            match self.infer(&inputs) {
                Ok(outputs) => run.iter().zip(outputs).for_each(|(&index, raw)| results[index] = Some(Ok(raw))),
                Err(error) if run.len() == 1 => results[run[0]] = Some(Err(error)),
                Err(_) => {
                    for (&index, input) in run.iter().zip(inputs) {
                        let raw = self.infer(&[input]);
                        results[index] = raw.map(|mut raw| raw.pop()).transpose();
                    }
                }
            }
        }
        let finish = |((photo, prepared), result): ((&Photo, Result<Prepared>), Option<Result<Raw>>)| {
            let prepared = prepared?;
            let lost = || Err(Error::Output { reason: "no result for the photo".into() });
            self.finish(photo, &prepared, result.unwrap_or_else(lost)?)
        };
        photos.par_iter().zip(prepared).zip(results).map(finish).collect()
    }

    fn prepare(&self, photo: &Photo) -> Result<Prepared> {
        let started = Instant::now();
        let (input, geometry) = preprocess::prepare(photo, &self.spec.input)?;
        let larger = self.larger_input(photo).map(|input| preprocess::prepare(photo, &input)).transpose()?;
        Ok(Prepared { input, geometry, larger, preprocess_ms: milliseconds_since(started) })
    }

    /// What the network looks at besides: nothing where the photo would have to be enlarged for it, as nothing more is seen then.
    fn larger_input(&self, photo: &Photo) -> Option<InputSpec> {
        let input = &self.spec.input;
        let is_seen = |side| self.quality == Quality::Best && photo.width().max(photo.height()) >= side;
        let fit = input.tta_fit().filter(|_| input.tta_long_side.is_some_and(is_seen))?;
        Some(InputSpec { fit, ..input.clone() })
    }

    /// Which photos go through the network together: of one input size, or two, at most a batch, in order.
    fn runs(&self, prepared: &[Result<Prepared>]) -> Vec<Vec<usize>> {
        let mut runs: Vec<(_, Vec<usize>)> = Vec::new();
        for (index, prepared) in prepared.iter().enumerate() {
            let Ok(prepared) = prepared else { continue };
            let size = (prepared.input.dim(), prepared.larger.as_ref().map(|(input, _)| input.dim()));
            // The last run of a size is the one that may have room.
            match runs.iter_mut().rev().find(|(known, _)| *known == size) {
                Some((_, run)) if run.len() < self.batch.largest() => run.push(index),
                _ => runs.push((size, vec![index])),
            }
        }
        runs.into_iter().map(|(_, run)| run).collect()
    }

    /// The network's output for inputs of one size, or two, at most a batch of them.
    fn infer(&self, inputs: &[&Prepared]) -> Result<Vec<Raw>> {
        let first: Vec<&Array4<f32>> = inputs.iter().map(|input| &input.input).collect();
        let larger: Vec<&Array4<f32>> =
            inputs.iter().filter_map(|input| input.larger.as_ref()).map(|(input, _)| input).collect();
        let (mut outputs, mut ran_ms) = self.outputs(&first)?;
        if !larger.is_empty() {
            let (larger, more_ms) = self.outputs(&larger)?;
            ran_ms += more_ms;
            for ((output, larger), input) in outputs.iter_mut().zip(&larger).zip(inputs) {
                let Some((_, larger_at)) = &input.larger else { continue };
                let stride = self.spec.output.stride;
                quality::mean_of_sizes(output, &input.geometry, larger.view(), larger_at, stride)?;
            }
        }
        let inference_ms = ran_ms / inputs.len().max(1) as f64;
        Ok(outputs.into_iter().map(|output| Raw { output, inference_ms }).collect())
    }

    /// The network's output for each of some inputs of one size, at the segmenter's quality, and how long it ran.
    fn outputs(&self, inputs: &[&Array4<f32>]) -> Result<(Vec<Array3<f32>>, f64)> {
        let stacked = self.stack(inputs)?;
        let input = stacked.as_ref().map_or_else(|| inputs.first().map(|input| input.view()), |all| Some(all.view()));
        let Some(input) = input else { return Ok((Vec::new(), 0.0)) };
        let expected = input.dim().0;
        let (ran_ms, output) = self.pool.with(|engine| {
            // Waiting for other threads' photos is no part of this one's inference.
            let started = Instant::now();
            let output = quality::run(engine, input, self.quality);
            (milliseconds_since(started), output)
        });
        let output = output?;
        let found = output.dim().0;
        if found != expected {
            return Err(Error::Output { reason: format!("{found} results for {expected} photos") });
        }
        if expected == 1 {
            return Ok((vec![output.index_axis_move(Axis(0), 0)], ran_ms));
        }
        Ok((output.outer_iter().take(inputs.len()).map(|output| output.to_owned()).collect(), ran_ms))
    }

    /// Inputs side by side, filled up with zeros to a fixed batch; nothing where the one input will do as it is.
    fn stack(&self, inputs: &[&Array4<f32>]) -> Result<Option<Array4<f32>>> {
        let photos = match self.batch {
            BatchSize::Exactly(photos) => photos.max(inputs.len()),
            BatchSize::UpTo(_) => inputs.len(),
        };
        let Some(first) = inputs.first().filter(|_| photos > 1) else { return Ok(None) };
        let (_, channels, height, width) = first.dim();
        let mut stacked = Array4::zeros((photos, channels, height, width));
        for (index, input) in inputs.iter().enumerate() {
            stacked.slice_mut(s![index..=index, .., .., ..]).assign(input);
        }
        Ok(Some(stacked))
    }

    fn finish(&self, photo: &Photo, prepared: &Prepared, raw: Raw) -> Result<Segmentation> {
        let started = Instant::now();
        let mut output = NetworkOutput::new(raw.output, self.spec.output.clone(), prepared.geometry);
        if self.cleans_up {
            output.clean_up(&self.taxonomy);
        }
        let label_map = output.label_map(photo.width(), photo.height())?;
        let confidence = postprocess::mean_confidence(output.values(), output.spec(), output.geometry());
        let timings = Timings {
            preprocess_ms: prepared.preprocess_ms,
            inference_ms: raw.inference_ms,
            postprocess_ms: milliseconds_since(started),
        };
        Segmentation::new(Arc::clone(&self.taxonomy), label_map, output, &confidence, timings)
    }
}

fn milliseconds_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}
