//! What is known of each photo of a run: one JSON line each.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::fingerprint::fingerprint;
use super::journal;
use super::options::BatchOptions;
use super::outcome::Reason;
use super::shard::Shard;
use super::timings::StageTimings;
use clothseg::Result;
use clothseg::export::coco::CocoPhoto;
use clothseg::postprocess::PixelBox;
use clothseg::{ClassRegion, Segmenter};

/// One line of a manifest. Of several lines of one `stem` the last counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// How the photo ended.
    pub status: Status,
    /// The photo that was read.
    pub input: InputRecord,
    /// Path of its files below the output folder, up to the first dot that is added.
    pub stem: String,
    /// Width of the photo in pixels; nothing where it could not be decoded.
    pub width: Option<u32>,
    /// Height of the photo in pixels.
    pub height: Option<u32>,
    /// The model that ran.
    pub model: ModelRecord,
    /// Hash of all that the results follow from, other than the photo: model, description, classes, formats, options,
    /// version of this library. Two runs of one hash give the same files, but for what the rounding of another provider or
    /// batch does. The part behind the last hyphen is of what garments are found alone.
    pub options: String,
    /// What ran the model.
    pub engine: EngineRecord,
    /// Classes wanted and found.
    pub classes: Vec<ClassRecord>,
    /// Why somebody should look at the result; empty when nothing is odd.
    pub review: Vec<Reason>,
    /// Where the time went.
    pub timings_ms: StageTimings,
    /// The photo's files: those written, and those of earlier runs that stay beside them; the earlier ones where it is replacing.
    pub files: Vec<FileRecord>,
    /// What the photo adds to the run's COCO file, where that is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coco: Option<CocoPhoto>,
    /// What went wrong.
    pub error: Option<String>,
    /// When the photo ended, in milliseconds since 1970.
    pub finished_unix_ms: u64,
}

/// How a photo ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// All its files are in place.
    Done,
    /// It has no results; `error` says why.
    Failed,
    /// Other results are about to be written over those of an earlier run. It is the last line of a photo only where the
    /// run was killed at that moment.
    Replacing,
}

/// A photo as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InputRecord {
    /// Its path below the folder that was given, as all results name it.
    pub path: String,
    /// Size of the file.
    pub bytes: Option<u64>,
    /// When the file was last written, in nanoseconds since 1970.
    pub modified_unix_ns: Option<i64>,
    /// BLAKE3 hash of its content, in hexadecimal digits.
    pub blake3: Option<String>,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelRecord {
    /// Its name.
    pub name: String,
    /// BLAKE3 hash of its file; nothing for an engine of one's own.
    pub blake3: Option<String>,
}

/// What ran a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EngineRecord {
    /// Name of the provider.
    pub provider: String,
    /// Name of the library.
    pub library: String,
    /// Version of the library.
    pub version: String,
}

/// One class in a photo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClassRecord {
    /// Class index.
    pub index: usize,
    /// Class name.
    pub name: String,
    /// Number of pixels.
    pub area_px: u64,
    /// Share of the photo, 0..1.
    pub area_share: f64,
    /// Mean probability of the class where it wins, 0..1.
    pub confidence: f64,
    /// The smallest rectangle that holds it.
    #[serde(rename = "box")]
    pub bounds: PixelBox,
}

/// One file of results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileRecord {
    /// Path below the output folder.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

impl ClassRecord {
    pub(super) fn new(region: &ClassRegion) -> Self {
        let round = |value: f64, decimals: f64| (value * decimals).round() / decimals;
        Self {
            index: region.class,
            name: region.name.clone(),
            area_px: region.area_px,
            area_share: round(region.area_share, 1e6),
            confidence: round(f64::from(region.confidence), 1e4),
            bounds: region.bounds,
        }
    }
}

/// What all lines of a run share.
pub(super) struct RunFacts {
    model: ModelRecord,
    engine: EngineRecord,
    /// See [`Record::options`].
    pub(super) options: String,
}

impl RunFacts {
    pub(super) fn new(segmenter: &Segmenter, options: &BatchOptions) -> Result<Self> {
        let engine = segmenter.engine_info();
        Ok(Self {
            model: ModelRecord {
                name: segmenter.spec().name.clone(),
                blake3: segmenter.model_hash().map(str::to_owned),
            },
            engine: EngineRecord {
                provider: engine.provider.name().into(),
                library: engine.library.into(),
                version: engine.version.clone(),
            },
            options: fingerprint(segmenter, options)?,
        })
    }

    /// A line with nothing of its own but the photo's name.
    pub(super) fn record(&self, status: Status, input: InputRecord, stem: String) -> Record {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Record {
            status,
            input,
            stem,
            width: None,
            height: None,
            model: self.model.clone(),
            options: self.options.clone(),
            engine: self.engine.clone(),
            classes: Vec::new(),
            review: Vec::new(),
            timings_ms: StageTimings::default(),
            files: Vec::new(),
            coco: None,
            error: None,
            finished_unix_ms: now.as_millis() as u64,
        }
    }
}

/// Where a run, or one shard of it, keeps its manifest.
pub fn manifest_path(output: &Path, shard: Option<Shard>) -> PathBuf {
    output.join(format!("manifest{}.jsonl", shard.map(Shard::suffix).unwrap_or_default()))
}

/// All manifests in an output folder: that of whole runs and those of shards, in the order of names.
pub(super) fn manifests_in(output: &Path) -> Vec<PathBuf> {
    let is_manifest = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name == "manifest.jsonl" || (name.starts_with("manifest-") && name.ends_with(".jsonl") && name.contains("-of-"))
    };
    let entries = std::fs::read_dir(output).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_manifest).collect();
    found.sort();
    found
}

/// Reads a manifest, line after line, older lines of a photo included. Lines that are damaged are left out.
///
/// # Errors
/// [`Error::Read`](clothseg::Error::Read).
pub fn read_manifest(path: &Path) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    journal::for_each_line(path, |_, line| records.extend(serde_json::from_slice::<Record>(line).ok()))?;
    Ok(records)
}
