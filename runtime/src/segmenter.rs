//! Photo to segmentation: the stages in order.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use image::GrayImage;
use ndarray::Axis;

use crate::decode::Photo;
use crate::engine::{self, Engine, EngineInfo, EngineOptions};
use crate::error::{Error, Result};
use crate::polygon::{self, Polygon, PolygonOptions};
use crate::postprocess::{self, LabelMap, NetworkOutput, PixelBox};
use crate::preprocess;
use crate::spec::{ModelSpec, read_model};
use crate::taxonomy::Taxonomy;

/// The default model, carried by builds with the feature `default-model`.
#[cfg(feature = "default-model")]
const DEFAULT_MODEL: &[u8] = include_bytes!("../../models/garments-tiny.onnx");

/// An open model that segments photos.
///
/// One is enough for any number of photos and threads: only the run of the network itself is one at a time.
pub struct Segmenter {
    engine: Mutex<Box<dyn Engine>>,
    spec: ModelSpec,
    taxonomy: Arc<Taxonomy>,
    info: EngineInfo,
}

impl Segmenter {
    /// Opens an ONNX file that describes itself (see [`ModelSpec`]).
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::NotOnnx`], [`Error::MissingSpec`] and [`Error::BadSpec`] for the file;
    /// [`Error::ProviderUnavailable`] and [`Error::Engine`] for what should run it.
    pub fn open(path: &Path, options: &EngineOptions) -> Result<Self> {
        let onnx = read_model(path)?;
        let spec = ModelSpec::of_model(path, &onnx)?;
        Self::with_engine(engine::open(&onnx, &spec, options)?)
    }

    /// Opens the model that this library carries, trained by this project: whole garments, small and quick.
    ///
    /// # Errors
    /// As [`Segmenter::open`].
    #[cfg(feature = "default-model")]
    pub fn open_default(options: &EngineOptions) -> Result<Self> {
        Self::with_engine(engine::open(DEFAULT_MODEL, &Self::default_spec()?, options)?)
    }

    /// What the model that this library carries expects and returns; opens no engine.
    ///
    /// # Errors
    /// [`Error::BadSpec`].
    #[cfg(feature = "default-model")]
    pub fn default_spec() -> Result<ModelSpec> {
        ModelSpec::from_onnx(DEFAULT_MODEL)?
            .ok_or_else(|| Error::BadSpec { reason: "the built-in model has none".into() })
    }

    /// Puts the stages around an engine of one's own.
    ///
    /// # Errors
    /// [`Error::BadSpec`] when the engine's description makes no sense.
    pub fn with_engine(engine: Box<dyn Engine>) -> Result<Self> {
        let (spec, info) = (engine.spec().clone(), engine.info().clone());
        spec.validate()?;
        let taxonomy = Arc::new(spec.taxonomy.clone());
        Ok(Self { engine: Mutex::new(engine), spec, taxonomy, info })
    }

    /// What the model expects and returns.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// What runs the model.
    pub fn engine_info(&self) -> &EngineInfo {
        &self.info
    }

    /// Segments one photo at its own size.
    ///
    /// # Errors
    /// [`Error::Engine`] and [`Error::Output`] when the model fails.
    pub fn segment(&self, photo: &Photo) -> Result<Segmentation> {
        let started = Instant::now();
        let (input, geometry) = preprocess::prepare(photo, &self.spec.input)?;
        let prepared = Instant::now();
        let (waited, output) = {
            let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
            // Waiting for other threads' photos is no part of this one's inference.
            (Instant::now(), engine.run(input.view())?)
        };
        let ran = Instant::now();
        if output.dim().0 != 1 {
            return Err(Error::Output { reason: format!("{} results for one photo", output.dim().0) });
        }
        let output = NetworkOutput::new(output.index_axis_move(Axis(0), 0), self.spec.output.clone(), geometry);
        let label_map = output.label_map(photo.width(), photo.height())?;
        let confidence = postprocess::mean_confidence(output.values(), output.spec(), output.geometry());
        let timings = Timings {
            preprocess_ms: milliseconds(prepared - started),
            inference_ms: milliseconds(ran - waited),
            postprocess_ms: milliseconds(ran.elapsed()),
        };
        Segmentation::new(Arc::clone(&self.taxonomy), label_map, output, &confidence, timings)
    }
}

fn milliseconds(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Where the time of one photo went, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Timings {
    /// Resizing and normalising.
    pub preprocess_ms: f64,
    /// The network.
    pub inference_ms: f64,
    /// Interpolation, argmax, confidence.
    pub postprocess_ms: f64,
}

/// One class in a photo.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClassRegion {
    /// Class index.
    pub class: usize,
    /// Class name.
    pub name: String,
    /// Number of pixels.
    pub area_px: u64,
    /// Share of the photo, 0..1.
    pub area_share: f64,
    /// The smallest rectangle that holds them all.
    pub bounds: PixelBox,
    /// Mean probability of the class where it wins, 0..1.
    pub confidence: f32,
}

/// What is where in a photo.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmentation {
    taxonomy: Arc<Taxonomy>,
    label_map: LabelMap,
    output: NetworkOutput,
    regions: Vec<ClassRegion>,
    timings: Timings,
}

impl Segmentation {
    fn new(
        taxonomy: Arc<Taxonomy>,
        label_map: LabelMap,
        output: NetworkOutput,
        confidence: &[f32],
        timings: Timings,
    ) -> Result<Self> {
        let total_px = f64::from(label_map.width()) * f64::from(label_map.height());
        let mut regions = Vec::new();
        for extent in label_map.extents() {
            let class = usize::from(extent.class);
            let known = taxonomy.classes.get(class);
            let name = known.ok_or_else(|| Error::Output { reason: format!("class {class} is unknown") })?.name.clone();
            regions.push(ClassRegion {
                class,
                name,
                area_px: extent.area_px,
                area_share: extent.area_px as f64 / total_px,
                bounds: extent.bounds,
                confidence: confidence.get(class).copied().unwrap_or_default(),
            });
        }
        Ok(Self { taxonomy, label_map, output, regions, timings })
    }

    /// The class of every pixel.
    pub fn label_map(&self) -> &LabelMap {
        &self.label_map
    }

    /// What the network gave, at its own size: softer and finer things than the label map can be made from it.
    pub fn network_output(&self) -> &NetworkOutput {
        &self.output
    }

    /// The classes present, background included, in index order.
    pub fn regions(&self) -> &[ClassRegion] {
        &self.regions
    }

    /// Where the time went.
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// The mask of a class, an alias or a group, at the photo's size: 255 = yes, 0 = no.
    ///
    /// # Errors
    /// [`Error::UnknownClass`].
    pub fn mask(&self, name: &str) -> Result<GrayImage> {
        let classes = self.taxonomy.resolve(name)?;
        Ok(self.mask_of(&classes))
    }

    /// How likely each pixel is a class, an alias or a group, at the photo's size: 255 = surely. See
    /// [`postprocess::soft_mask`].
    ///
    /// # Errors
    /// [`Error::UnknownClass`].
    pub fn soft_mask(&self, name: &str) -> Result<GrayImage> {
        let classes = self.taxonomy.resolve(name)?;
        self.output.soft_mask(self.label_map.width(), self.label_map.height(), &classes)
    }

    /// The mask of several classes by index, as [`Segmentation::mask`].
    pub fn mask_of(&self, classes: &[usize]) -> GrayImage {
        self.label_map.mask(classes)
    }

    /// The outlines of a class, an alias or a group, in photo pixels; each class of a group for itself.
    ///
    /// # Errors
    /// [`Error::UnknownClass`].
    pub fn polygons(&self, name: &str, options: &PolygonOptions) -> Result<Vec<Polygon>> {
        let classes = self.taxonomy.resolve(name)?;
        let present = self.regions.iter().filter(|region| classes.contains(&region.class));
        Ok(present.flat_map(|region| self.polygons_of(region, options)).collect())
    }

    /// The outlines of one class that is present.
    pub fn polygons_of(&self, region: &ClassRegion, options: &PolygonOptions) -> Vec<Polygon> {
        let map = &self.label_map;
        polygon::polygons(map.labels(), map.width(), map.height(), region.class as u8, region.bounds, options)
    }
}
