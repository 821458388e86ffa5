//! Photos beside each other: sessions, batches, and what threads may do with them.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(feature = "embedded")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use clothseg::engine::{BatchSize, Engine};
use clothseg::spec::{Fit, InputSpec, ModelSpec, OutputSpec};
use clothseg::{
    EngineInfo, EngineOptions, Error, Model, Photo, Provider, Quality, Result, Segmentation, Segmenter, Taxonomy,
};
use image::RgbImage;
use ndarray::{Array4, ArrayView4};

/// Answers with the class that the photo's mean brightness asks for, and remembers how it was asked.
struct Brightness {
    spec: ModelSpec,
    info: EngineInfo,
    batch: BatchSize,
    runs: Arc<AtomicUsize>,
    /// Where given, runs wait here for each other.
    meeting: Option<Arc<Barrier>>,
}

impl Brightness {
    fn new(batch: BatchSize) -> Self {
        let fit = Fit::LongestSide { size: 64, multiple: 16 };
        let input = InputSpec::imagenet(fit).with_normalization([0.0; 3], [1.0; 3]);
        let spec = ModelSpec::new("fake", Taxonomy::builtin("garments").unwrap(), input, OutputSpec::logits(4));
        let info = EngineInfo::new(Provider::Cpu, "fake", "1");
        Self { spec, info, batch, runs: Arc::default(), meeting: None }
    }
}

impl Engine for Brightness {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn batch(&self) -> BatchSize {
        self.batch
    }

    fn run(&mut self, input: ArrayView4<'_, f32>) -> Result<Array4<f32>> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        if let Some(meeting) = &self.meeting {
            meeting.wait();
        }
        let (photos, _, height, width) = input.dim();
        match self.batch {
            BatchSize::Exactly(expected) => assert_eq!(photos, expected),
            _ => assert!(photos <= self.batch.largest()),
        }
        // The top left pixel is never padding. White is refused, in any company.
        let levels: Vec<f32> = (0..photos).map(|photo| input[[photo, 0, 0, 0]] * 255.0).collect();
        if levels.contains(&255.0) {
            return Err(Error::Engine { engine: "fake", action: "run the model", reason: "too bright".into() });
        }
        let shape = (photos, self.spec.taxonomy.len(), height / 4, width / 4);
        Ok(Array4::from_shape_fn(
            shape,
            |(photo, class, ..)| if class as f32 == levels[photo].round() { 9.0 } else { 0.0 },
        ))
    }
}

fn photo(level: u8, width: u32, height: u32) -> Photo {
    Photo::from_rgb(RgbImage::from_pixel(width, height, image::Rgb([level; 3]))).unwrap()
}

fn only_class(segmentation: &Segmentation) -> usize {
    assert_eq!(segmentation.regions().len(), 1);
    segmentation.regions()[0].class
}

#[test]
fn what_threads_share_is_send_and_sync() {
    fn shared<T: Send + Sync>() {}
    shared::<Segmenter>();
    shared::<Segmentation>();
    shared::<Photo>();
    shared::<Model>();
    shared::<EngineOptions>();
    shared::<Error>();
}

#[test]
fn as_many_runs_are_under_way_as_there_are_engines() {
    // Each run ends only when another is under way too: with one session this would wait for ever.
    let meeting = Arc::new(Barrier::new(2));
    let engine = || -> Box<dyn Engine> {
        Box::new(Brightness { meeting: Some(Arc::clone(&meeting)), ..Brightness::new(BatchSize::UpTo(1)) })
    };
    let segmenter = Segmenter::with_engines(vec![engine(), engine()]).unwrap();
    assert_eq!(segmenter.sessions(), 2);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let segmenter = &segmenter;
            scope.spawn(move || {
                assert_eq!(only_class(&segmenter.segment(&photo(thread, 40, 30)).unwrap()), usize::from(thread))
            });
        }
    });
}

#[test]
fn an_engine_that_panics_comes_back_to_the_others() {
    struct Broken(Brightness);
    impl Engine for Broken {
        fn spec(&self) -> &ModelSpec {
            self.0.spec()
        }
        fn info(&self) -> &EngineInfo {
            self.0.info()
        }
        fn run(&mut self, _: ArrayView4<'_, f32>) -> Result<Array4<f32>> {
            panic!("broken")
        }
    }
    let segmenter = Segmenter::with_engine(Box::new(Broken(Brightness::new(BatchSize::UpTo(1))))).unwrap();
    for _ in 0..2 {
        let run = std::panic::AssertUnwindSafe(|| segmenter.segment(&photo(1, 8, 8)).is_ok());
        assert!(std::panic::catch_unwind(run).is_err());
    }
}

#[test]
fn a_batch_runs_photos_of_one_size_together_and_keeps_their_order() {
    let engine = Brightness::new(BatchSize::UpTo(3));
    let runs = Arc::clone(&engine.runs);
    let segmenter = Segmenter::with_engine(Box::new(engine)).unwrap();
    let photos: Vec<Photo> =
        (0..7).map(|level| if level % 2 == 0 { photo(level, 640, 480) } else { photo(level, 48, 64) }).collect();
    let results = segmenter.segment_batch(&photos);
    // Four wide photos in runs of 3 and 1, three tall ones in one.
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    for (level, (result, photo)) in results.iter().zip(&photos).enumerate() {
        let segmentation = result.as_ref().unwrap();
        assert_eq!(only_class(segmentation), level);
        assert_eq!(
            (segmentation.label_map().width(), segmentation.label_map().height()),
            (photo.width(), photo.height())
        );
    }
    assert!(segmenter.segment_batch(&[]).is_empty());
}

#[test]
fn a_photo_that_fails_costs_the_others_of_its_batch_nothing() {
    let segmenter = Segmenter::with_engine(Box::new(Brightness::new(BatchSize::UpTo(8)))).unwrap();
    let results = segmenter.segment_batch(&[photo(4, 9, 9), photo(255, 9, 9), photo(6, 9, 9)]);
    assert_eq!(only_class(results[0].as_ref().unwrap()), 4);
    assert!(results[1].as_ref().unwrap_err().to_string().contains("too bright"));
    assert_eq!(only_class(results[2].as_ref().unwrap()), 6);
}

#[test]
fn a_fixed_batch_is_filled_up() {
    let segmenter = Segmenter::with_engine(Box::new(Brightness::new(BatchSize::Exactly(2)))).unwrap();
    assert_eq!(only_class(&segmenter.segment(&photo(7, 20, 20)).unwrap()), 7);
    let photos = [1, 2, 3].map(|level| photo(level, 20, 20));
    let classes: Vec<usize> =
        segmenter.segment_batch(&photos).iter().map(|r| only_class(r.as_ref().unwrap())).collect();
    assert_eq!(classes, [1, 2, 3]);
}

#[test]
fn engines_of_two_models_make_no_segmenter() {
    let other = Brightness::new(BatchSize::UpTo(2));
    let engines: Vec<Box<dyn Engine>> = vec![Box::new(Brightness::new(BatchSize::UpTo(1))), Box::new(other)];
    assert!(matches!(Segmenter::with_engines(engines), Err(Error::Invalid(_))));
    assert!(matches!(Segmenter::with_engines(Vec::new()), Err(Error::Invalid(_))));
}

/// The engines that are here, on two sessions with batches of up to 3.
fn real_segmenters() -> Vec<Segmenter> {
    let model = Model::from_bytes(support::color_model(), support::color_spec()).unwrap();
    let open =
        |provider| Segmenter::open_model(&model, &support::engine_options(provider).with_sessions(2).with_max_batch(3));
    let mut segmenters = vec![open(Provider::Embedded).unwrap()];
    match open(Provider::Cpu) {
        Ok(segmenter) => segmenters.push(segmenter),
        Err(error) if std::env::var_os("CLOTHSEG_REQUIRE_ONNXRUNTIME").is_none() => eprintln!("skipped: {error}"),
        Err(error) => panic!("{error}"),
    }
    segmenters
}

#[test]
fn batches_and_sessions_of_a_real_engine_give_what_one_by_one_gives() {
    let photos: Vec<Photo> = [(301, 200), (96, 128), (300, 200), (640, 427), (128, 96), (500, 333)]
        .map(|(width, height)| Photo::from_rgb(support::drawn_photo(width, height)).unwrap())
        .into();
    for segmenter in real_segmenters() {
        assert_eq!((segmenter.sessions(), segmenter.batch()), (2, BatchSize::UpTo(3)));
        let single: Vec<Segmentation> = photos.iter().map(|photo| segmenter.segment(photo).unwrap()).collect();
        // The second run of a shape writes its output elsewhere.
        assert_eq!(segmenter.segment(&photos[5]).unwrap().network_output(), single[5].network_output());
        let batched = segmenter.segment_batch(&photos);
        let threaded = std::thread::scope(|scope| {
            let runs: Vec<_> = photos.iter().map(|photo| scope.spawn(|| segmenter.segment(photo).unwrap())).collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect::<Vec<_>>()
        });
        for ((single, batched), threaded) in single.iter().zip(&batched).zip(&threaded) {
            let logits = single.network_output().values();
            for other in [batched.as_ref().unwrap(), threaded] {
                let difference = (&other.network_output().values() - &logits).mapv(f32::abs);
                assert!(difference.iter().all(|difference| *difference <= 1e-4), "{}", segmenter.engine_info());
                assert_eq!(other.label_map(), single.label_map());
            }
        }
    }
}

#[test]
fn onnx_runtime_says_where_its_nodes_run() {
    let segmenters = real_segmenters();
    assert_eq!(segmenters[0].engine_info().nodes, []);
    let Some(segmenter) = segmenters.get(1) else { return };
    let info = segmenter.engine_info();
    assert_eq!(info.nodes.len(), 1, "{info:?}");
    assert_eq!((info.nodes[0].provider.as_str(), info.nodes[0].nodes), ("CPUExecutionProvider", 1));
    assert!(info.threads.is_some_and(|threads| threads >= 1));
}

/// Answers class 1 where the input is bright, and class 2 left of the middle whatever is there: a network that the side
/// matters to.
struct Lopsided(ModelSpec, EngineInfo);

impl Lopsided {
    fn new(multiple: u32, stride: u32) -> Self {
        let fit = Fit::LongestSide { size: 64, multiple };
        let input = InputSpec::imagenet(fit).with_normalization([0.0; 3], [1.0; 3]);
        let spec = ModelSpec::new("fake", Taxonomy::builtin("garments").unwrap(), input, OutputSpec::logits(stride));
        Self(spec, EngineInfo::new(Provider::Cpu, "fake", "1"))
    }
}

impl Engine for Lopsided {
    fn spec(&self) -> &ModelSpec {
        &self.0
    }

    fn info(&self) -> &EngineInfo {
        &self.1
    }

    fn run(&mut self, input: ArrayView4<'_, f32>) -> Result<Array4<f32>> {
        let (photos, _, height, width) = input.dim();
        let shape = (photos, self.0.taxonomy.len(), height / 4, width / 4);
        Ok(Array4::from_shape_fn(shape, |(photo, class, y, x)| match class {
            1 => 8.0 * input[[photo, 0, y * 4, x * 4]],
            2 if x < width / 8 => 3.0,
            0 => 1.0,
            _ => 0.0,
        }))
    }
}

#[test]
fn the_best_quality_takes_the_mean_with_the_mirror_image() {
    // Bright on the right, from cell 11 on; 60 of 64 columns, so that there is padding.
    let bright = |x, _| image::Rgb([if x >= 44 { 255 } else { 0 }; 3]);
    let photo = Photo::from_rgb(RgbImage::from_fn(60, 64, bright)).unwrap();
    let segment = |quality| {
        let segmenter = Segmenter::with_engine(Box::new(Lopsided::new(16, 4))).unwrap();
        segmenter.with_quality(quality).unwrap().segment(&photo).unwrap()
    };
    let (fast, best) = (segment(Quality::Fast), segment(Quality::Best));
    assert_eq!(fast.label_map().labels()[..3], [2; 3], "the network's quirk");
    // 3 and 0 left of the middle, 0 and 3 right of it: 1.5 everywhere is still above 1, and below what is bright.
    let values = best.network_output().values();
    assert!(values.slice(ndarray::s![2, .., ..]).iter().all(|value| *value == 1.5));
    // What is seen stays where it is, to the column.
    assert_eq!(best.mask_of(&[1]), fast.mask_of(&[1]));
    assert_eq!(values.slice(ndarray::s![1, .., ..]), fast.network_output().values().slice(ndarray::s![1, .., ..]));
}

#[test]
fn the_best_quality_goes_through_batches_too() {
    for batch in [BatchSize::UpTo(8), BatchSize::Exactly(2)] {
        let engine = Brightness::new(batch);
        let runs = Arc::clone(&engine.runs);
        let segmenter = Segmenter::with_engine(Box::new(engine)).unwrap().with_quality(Quality::Best).unwrap();
        let photos = [1, 2, 3].map(|level| photo(level, 64, 64));
        let found: Vec<usize> =
            segmenter.segment_batch(&photos).iter().map(|result| only_class(result.as_ref().unwrap())).collect();
        assert_eq!(found, [1, 2, 3]);
        let expected = if batch == BatchSize::UpTo(8) { 2 } else { 4 };
        assert_eq!(runs.load(Ordering::SeqCst), expected, "each run and its mirror image");
    }
}

#[test]
fn another_quality_of_a_segmenter_runs_on_the_same_engines() {
    let engine = Brightness::new(BatchSize::UpTo(8));
    let runs = Arc::clone(&engine.runs);
    let fast = Segmenter::with_engine(Box::new(engine)).unwrap();
    let best = fast.at_quality(Quality::Best).unwrap();
    assert_eq!((fast.quality(), best.quality(), best.sessions()), (Quality::Fast, Quality::Best, 1));
    for (segmenter, expected) in [(&fast, 1), (&best, 3), (&fast, 4)] {
        assert_eq!(only_class(&segmenter.segment(&photo(1, 64, 64)).unwrap()), 1);
        assert_eq!(runs.load(Ordering::SeqCst), expected, "runs of the one engine");
    }
}

#[test]
fn the_best_quality_looks_at_the_larger_size_where_the_description_names_one() {
    let segment = |quality, tta_long_side| {
        let mut engine = Brightness::new(BatchSize::UpTo(8));
        engine.spec.input.tta_long_side = tta_long_side;
        let runs = Arc::clone(&engine.runs);
        let segmenter = Segmenter::with_engine(Box::new(engine)).unwrap().with_quality(quality).unwrap();
        // All of one size small; large, the first may be of another, and the last is not enlarged.
        let photos = [photo(1, 640, 540), photo(2, 640, 640), photo(3, 64, 64)];
        let results = segmenter.segment_batch(&photos);
        let classes: Vec<usize> = results.iter().map(|result| only_class(result.as_ref().unwrap())).collect();
        assert_eq!(classes, [1, 2, 3]);
        for result in &results {
            let segmentation = result.as_ref().unwrap();
            assert_eq!(segmentation.network_output().values().dim(), (23, 16, 16));
            let class = only_class(segmentation);
            assert!(
                segmentation.network_output().values().slice(ndarray::s![class, .., ..]).iter().all(|it| *it == 9.0)
            );
        }
        (runs.load(Ordering::SeqCst), segmenter.detail())
    };
    let enough = |size| clothseg::Detail::EnoughFor(Fit::LongestSide { size, multiple: 16 });
    assert_eq!(segment(Quality::Fast, Some(96)), (1, enough(64)));
    assert_eq!(segment(Quality::Best, None), (2, enough(64)));
    // 96 x 81 and 96 x 96 are both 96 x 96 in whole 16s.
    assert_eq!(segment(Quality::Best, Some(96)), (6, enough(96)));
    // 112 x 95 is 112 x 96.
    assert_eq!(segment(Quality::Best, Some(112)), (10, enough(112)));
}

#[test]
fn a_larger_size_that_is_none_is_refused() {
    for (tta_long_side, expected) in [(64, "must be above 64"), (1 << 20, "at most")] {
        let mut engine = Brightness::new(BatchSize::UpTo(1));
        engine.spec.input.tta_long_side = Some(tta_long_side);
        let Err(error) = Segmenter::with_engine(Box::new(engine)) else { panic!("accepted {tta_long_side}") };
        assert!(error.to_string().contains(expected), "{error}");
    }
    let mut engine = Brightness::new(BatchSize::UpTo(1));
    engine.spec.input.fit = Fit::Stretch { width: 64, height: 64 };
    engine.spec.input.tta_long_side = Some(96);
    assert!(Segmenter::with_engine(Box::new(engine)).is_err());
}

#[test]
fn the_best_quality_is_refused_where_mirrored_cells_would_lie_between_cells() {
    let segmenter = |quality| Segmenter::with_engine(Box::new(Lopsided::new(2, 4))).unwrap().with_quality(quality);
    assert!(segmenter(Quality::Fast).is_ok());
    let Err(error) = segmenter(Quality::Best) else { panic!("accepted") };
    assert!(error.to_string().contains("use `fast`"), "{error}");
    assert!("fine".parse::<Quality>().unwrap_err().to_string().contains("fast or best"));
    assert_eq!("BEST".parse::<Quality>().unwrap(), Quality::Best);
}
