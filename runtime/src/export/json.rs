use serde::Serialize;

use super::format::{Exporter, Needs};
use super::view::PhotoView;
use crate::engine::EngineInfo;
use crate::error::{Error, Result};
use crate::polygon::Polygon;
use crate::postprocess::PixelBox;

/// `NAME.json`: polygons, boxes, areas, confidence, timings. Written last: where it is, the others are.
pub(super) struct Json;

impl Exporter for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn about(&self) -> &'static str {
        "polygons with holes, bounding box, area, share of the photo and confidence of each class; size of the photo, model, \
         engine, timings in ms"
    }

    fn needs(&self) -> Needs {
        Needs { outlines: true, ..Needs::default() }
    }

    fn photo_suffixes(&self) -> &'static [&'static str] {
        &[".json"]
    }

    fn photo_files(&self, photo: &PhotoView<'_>) -> Result<Vec<Vec<u8>>> {
        Ok(vec![document(photo)?])
    }
}

#[derive(Serialize)]
struct Document<'a> {
    photo: &'a str,
    width: u32,
    height: u32,
    /// Only where it is so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    model: &'a str,
    engine: EngineJson<'a>,
    quality: &'static str,
    timings_ms: TimingsJson,
    classes: Vec<ClassJson<'a>>,
}

#[derive(Serialize)]
struct EngineJson<'a> {
    provider: &'static str,
    library: &'static str,
    version: &'a str,
    path: Option<&'a std::path::Path>,
}

#[derive(Serialize)]
struct TimingsJson {
    decode: f64,
    preprocess: f64,
    inference: f64,
    postprocess: f64,
}

#[derive(Serialize)]
struct ClassJson<'a> {
    index: usize,
    name: &'a str,
    area_px: u64,
    area_share: f64,
    confidence: f64,
    #[serde(rename = "box")]
    bounds: Option<PixelBox>,
    polygons: &'a [Polygon],
}

/// The segmentation as JSON: for each class asked for its area, share of the photo (0..1), confidence (0..1), bounding
/// box and polygons in photo pixels, and the photo, model, engine, quality (`fast` or `best`) and timings in milliseconds.
///
/// # Errors
/// [`Error::Encode`].
fn document(about: &PhotoView<'_>) -> Result<Vec<u8>> {
    let (segmenter, segmentation) = (about.segmenter, about.segmentation);
    let map = segmentation.label_map();
    let timings = segmentation.timings();
    let json = Document {
        photo: about.name,
        width: map.width(),
        height: map.height(),
        truncated: about.photo.is_truncated(),
        model: &segmenter.spec().name,
        engine: engine(segmenter.engine_info()),
        quality: segmenter.quality().name(),
        timings_ms: TimingsJson {
            decode: round(about.decode_ms, 3),
            preprocess: round(timings.preprocess_ms, 3),
            inference: round(timings.inference_ms, 3),
            postprocess: round(timings.postprocess_ms, 3),
        },
        classes: classes(about),
    };
    serde_json::to_vec(&json).map_err(|error| Error::Encode { what: "JSON", reason: error.to_string() })
}

fn engine(info: &EngineInfo) -> EngineJson<'_> {
    EngineJson {
        provider: info.provider.name(),
        library: info.library,
        version: &info.version,
        path: info.path.as_deref(),
    }
}

fn classes<'a>(about: &'a PhotoView<'_>) -> Vec<ClassJson<'a>> {
    let (table, segmentation) = (&about.taxonomy().classes, about.segmentation);
    let entry = |&index: &usize| {
        let name = table.get(index)?.name.as_str();
        let found = segmentation.regions().iter().find(|region| region.class == index);
        let outline = about.outlines.iter().find(|outline| outline.region.class == index);
        Some(ClassJson {
            index,
            name,
            area_px: found.map_or(0, |region| region.area_px),
            area_share: round(found.map_or(0.0, |region| region.area_share), 6),
            confidence: round(found.map_or(0.0, |region| f64::from(region.confidence)), 4),
            bounds: found.map(|region| region.bounds),
            polygons: outline.map_or(&[], |outline| outline.polygons.as_slice()),
        })
    };
    about.classes.iter().filter_map(entry).collect()
}

/// As many decimals as mean something.
fn round(value: f64, decimals: i32) -> f64 {
    let factor = 10_f64.powi(decimals);
    (value * factor).round() / factor
}
