//! Folders from the library, around an engine of one's own.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use clothseg::engine::Engine;
use clothseg::export::OutputOptions;
use clothseg::spec::{Fit, InputSpec, ModelSpec, OutputSpec};
use clothseg::{EngineInfo, Error, Provider, Result, Segmenter, Taxonomy};
use clothseg_batch::{self as batch, BatchOptions, Cancel, Ended, Inputs, Reason, Status, Stop, WorkOptions};
use ndarray::{Array4, ArrayView4};

/// Finds shirts everywhere, and breaks down at photos that are as wide as this.
struct Fragile {
    spec: ModelSpec,
    info: EngineInfo,
    breaking_width: usize,
}

impl Engine for Fragile {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn run(&mut self, input: ArrayView4<'_, f32>) -> Result<Array4<f32>> {
        let (batch, _, height, width) = input.dim();
        assert_ne!(width, self.breaking_width, "an engine with a bug");
        let shape = (batch, self.spec.taxonomy.len(), height / 4, width / 4);
        Ok(Array4::from_shape_fn(shape, |(_, class, ..)| if class == 1 { 5.0 } else { 0.0 }))
    }
}

fn segmenter(breaking_width: usize) -> Segmenter {
    let fit = Fit::LongestSide { size: 64, multiple: 32 };
    let taxonomy = Taxonomy::builtin("garments").unwrap();
    let spec = ModelSpec::new("fragile", taxonomy, InputSpec::imagenet(fit), OutputSpec::logits(4));
    let info = EngineInfo::new(Provider::Cpu, "fake", "1");
    Segmenter::with_engine(Box::new(Fragile { spec, info, breaking_width })).unwrap()
}

/// Photos `00.png` and so on; the third one is narrow: 32 pixels for the network, where the others have 64.
fn photos(folder: &Path, count: usize) {
    std::fs::create_dir_all(folder).unwrap();
    for number in 0..count {
        let width = if number == 2 { 16 } else { 64 };
        image::RgbImage::new(width, 64).save(folder.join(format!("{number:02}.png"))).unwrap();
    }
}

fn found(folder: &Path, options: &BatchOptions) -> Inputs {
    batch::find_inputs(&[folder.into()], &options.output, 1 << 20, &mut std::io::empty()).unwrap()
}

fn options(folder: &Path) -> BatchOptions {
    let outputs = OutputOptions::default().with_formats(vec!["labels".parse().unwrap()]);
    BatchOptions::new(folder.join("out"), vec![1, 2]).with_outputs(outputs)
}

#[test]
fn an_engine_that_breaks_down_costs_one_photo() {
    let folder = tempfile::tempdir().unwrap();
    photos(&folder.path().join("in"), 6);
    for batch_size in [1, 4] {
        let work = WorkOptions::of_jobs(3).with_batch(batch_size).with_network_runs(1);
        let options = options(folder.path()).with_work(work);
        let inputs = found(&folder.path().join("in"), &options);
        let mut failed = Vec::new();
        let mut done = 0;
        let summary =
            batch::run(&segmenter(32), &inputs, &options, &Cancel::new(), &mut |outcome| match outcome.result {
                Ok(Ended::Done(photo)) => {
                    done += 1;
                    assert_eq!((photo.files.len(), photo.review), (1, vec![Reason::CutByFrame]));
                }
                Ok(_) => panic!("nothing was done before"),
                Err(error) => failed.push((outcome.name, error)),
            });
        let summary = summary.unwrap();
        assert_eq!((done, summary.done, summary.failed, summary.to_review, summary.stopped), (5, 5, 1, 5, None));
        assert!(failed[0].0.ends_with("02.png") && failed[0].1.to_string().contains("broke down"), "{failed:?}");
        let records = batch::read_manifest(&batch::manifest_path(&options.output, None)).unwrap();
        let last = records.iter().rfind(|record| record.stem == "02").unwrap();
        assert_eq!((last.status, last.model.blake3.as_deref()), (Status::Failed, None));
    }
}

#[test]
fn a_cancelled_run_finishes_what_is_in_work_and_another_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    photos(&folder.path().join("in"), 30);
    let options = options(folder.path()).with_work(WorkOptions::of_jobs(2)).with_resume(true);
    let inputs = found(&folder.path().join("in"), &options);
    let cancel = Cancel::new();
    let mut ended = 0;
    let summary = batch::run(&segmenter(0), &inputs, &options, &cancel, &mut |_| {
        ended += 1;
        if ended == 3 {
            cancel.clone().cancel();
        }
    });
    let summary = summary.unwrap();
    assert_eq!(summary.stopped, Some(Stop::Cancelled));
    assert!((3..=5).contains(&summary.done) && summary.done == ended, "{summary:?}");
    assert_eq!(summary.done + summary.not_begun, 30);

    let skipped = AtomicUsize::new(0);
    let last = batch::run(&segmenter(0), &inputs, &options, &Cancel::new(), &mut |outcome| {
        skipped.fetch_add(usize::from(matches!(outcome.result, Ok(Ended::Skipped { .. }))), Ordering::Relaxed);
    });
    let last = last.unwrap();
    assert_eq!((last.skipped, last.done, last.stopped), (summary.done, 30 - summary.done, None));
    assert_eq!(skipped.into_inner(), summary.done);
    // Whatever order they ended in, the lines can be had in that of the photos.
    let stems: Vec<String> = batch::last_records(&options.output, &inputs).unwrap().map(|record| record.stem).collect();
    assert_eq!(stems, (0..30).map(|number| format!("{number:02}")).collect::<Vec<_>>());
}

#[test]
fn a_run_that_cannot_keep_its_manifest_says_so_before_the_first_photo() {
    let folder = tempfile::tempdir().unwrap();
    photos(&folder.path().join("in"), 1);
    let options = options(folder.path());
    std::fs::create_dir_all(options.output.join("manifest.jsonl")).unwrap();
    let inputs = found(&folder.path().join("in"), &options);
    let report = &mut |_| panic!("no photo is begun");
    let error = batch::run(&segmenter(0), &inputs, &options, &Cancel::new(), report).unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error}");
}
