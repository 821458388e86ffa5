//! Photo to segmentation: the stages in order.

mod pool;
mod run;

use std::path::Path;
use std::sync::Arc;

use image::GrayImage;

use crate::batch::content_hash;
use crate::engine::{self, BatchSize, Engine, EngineInfo, EngineOptions};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::polygon::{self, Polygon, PolygonOptions};
use crate::postprocess::{LabelMap, NetworkOutput, PixelBox};
use crate::spec::ModelSpec;
use crate::taxonomy::Taxonomy;

use pool::Pool;

/// An open model that segments photos.
///
/// One is enough for any number of photos and threads: threads may call it together, and as many runs of the network are
/// under way at once as it has sessions ([`EngineOptions::sessions`]). The other stages always run beside each other.
pub struct Segmenter {
    pool: Pool,
    batch: BatchSize,
    spec: ModelSpec,
    taxonomy: Arc<Taxonomy>,
    info: EngineInfo,
    model_hash: Option<String>,
}

impl Segmenter {
    /// Opens an ONNX file that describes itself, or has a description beside it (see [`ModelSpec`]).
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::NotOnnx`], [`Error::MissingSpec`] and [`Error::BadSpec`] for the file;
    /// [`Error::ProviderUnavailable`] and [`Error::Engine`] for what should run it.
    pub fn open(path: &Path, options: &EngineOptions) -> Result<Self> {
        Self::open_model(&Model::open(path)?, options)
    }

    /// Opens the model that this library carries, trained by this project: whole garments, small and quick.
    ///
    /// # Errors
    /// As [`Segmenter::open`].
    #[cfg(feature = "default-model")]
    pub fn open_default(options: &EngineOptions) -> Result<Self> {
        Self::open_model(&Model::built_in()?, options)
    }

    /// Opens a model that has been read already.
    ///
    /// # Errors
    /// [`Error::BadSpec`] when the description does not fit the model; [`Error::ProviderUnavailable`] and
    /// [`Error::Engine`] for what should run it.
    pub fn open_model(model: &Model, options: &EngineOptions) -> Result<Self> {
        let segmenter = Self::with_engines(engine::open_sessions(model.onnx(), model.spec(), options)?)?;
        Ok(Self { model_hash: Some(content_hash(model.onnx())), ..segmenter })
    }

    /// What the model that this library carries expects and returns; opens no engine.
    ///
    /// # Errors
    /// [`Error::BadSpec`].
    #[cfg(feature = "default-model")]
    pub fn default_spec() -> Result<ModelSpec> {
        Model::built_in().map(|model| model.spec().clone())
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
        let taxonomy = Arc::new(spec.taxonomy.clone());
        Ok(Self { pool: Pool::new(engines), batch, spec, taxonomy, info, model_hash: None })
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

/// Where the time of one photo went, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Timings {
    /// Resizing and normalising.
    pub preprocess_ms: f64,
    /// The network; of a batch the photo's share.
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

    /// The mask of several classes by index, as [`Segmentation::mask`].
    pub fn mask_of(&self, classes: &[usize]) -> GrayImage {
        let table: [u8; 256] = std::array::from_fn(|class| if classes.contains(&class) { 255 } else { 0 });
        let values = self.label_map.labels().iter().map(|label| table[usize::from(*label)]).collect();
        GrayImage::from_raw(self.label_map.width(), self.label_map.height(), values).unwrap_or_default()
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
