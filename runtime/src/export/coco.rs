//! COCO: one file for all photos of a run.
//!
//! Each photo's part ([`CocoPhoto`]) stands for itself and can be kept as a line of JSON; [`write_coco`] numbers the parts and
//! makes one file of them, whatever their number.

mod document;
pub(crate) mod run_length;

pub use document::{CocoInfo, write_coco};

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::format::{Exporter, Needs};
use super::outline::ClassOutline;
use super::view::{PhotoView, RunView};
use super::yolo::ring;
use crate::error::{Error, Result};
use crate::postprocess::LabelMap;

/// `coco.json`: outlines of all photos of a run.
pub(super) struct Coco;

impl Exporter for Coco {
    fn name(&self) -> &'static str {
        "coco"
    }

    fn about(&self) -> &'static str {
        "one file for all photos: one annotation per class and photo, with area and bounding box. `--coco polygons` (run lengths \
         where a class has holes), `rings` (polygons only, for Label Studio), `rle` or `counts` (uncompressed run lengths); \
         `iscrowd` is always 0"
    }

    fn needs(&self) -> Needs {
        Needs { outlines: true, parts: true, ..Needs::default() }
    }

    fn run_files(&self) -> &'static [&'static str] {
        &["coco.json"]
    }

    fn part(&self, photo: &PhotoView<'_>) -> Option<CocoPhoto> {
        Some(coco_photo(photo.name, photo.segmentation.label_map(), &photo.outlines, photo.options.coco))
    }

    fn run_file(&self, _: &str, run: &RunView<'_>, out: &mut dyn Write) -> Result<()> {
        write_coco(out, run.taxonomy, run.classes, &CocoInfo::new(run.model), run.parts)
    }
}

/// How COCO segmentations are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CocoForm {
    /// Polygons; run lengths for classes that COCO's polygons cannot express (those with holes).
    #[default]
    Polygons,
    /// Polygons only, for tools that read nothing else: each hole is joined to the outline by a cut of no width. Classes that are
    /// too small for an outline are left out.
    Rings,
    /// Compressed run lengths, exact to the pixel.
    Rle,
    /// The same run lengths as plain numbers, for tools that do not read the compressed form.
    Counts,
}

impl CocoForm {
    /// Every form.
    pub const ALL: [Self; 4] = [Self::Polygons, Self::Rings, Self::Rle, Self::Counts];

    /// The name that users type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Polygons => "polygons",
            Self::Rings => "rings",
            Self::Rle => "rle",
            Self::Counts => "counts",
        }
    }
}

impl fmt::Display for CocoForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CocoForm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|form| form.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Invalid(format!("unknown form of COCO segmentations '{text}'; there are: {names}"))
        })
    }
}

/// What one photo adds to a COCO file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CocoPhoto {
    /// The photo's path below the folder of photos, with `/` between its parts.
    pub file_name: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// One for each class that is present.
    pub annotations: Vec<CocoAnnotation>,
}

/// One class in a photo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CocoAnnotation {
    /// Class index.
    pub category_id: usize,
    /// Where it is.
    pub segmentation: CocoSegmentation,
    /// Pixels of its mask.
    pub area: u64,
    /// Left, top, width, height of its mask.
    pub bbox: [u32; 4],
    /// Always 0: the pixels are one garment, not a crowd that evaluations should ignore. Tools tell polygons and run
    /// lengths apart by the segmentation itself.
    pub iscrowd: u8,
    /// Mean probability of the class where it wins, 0..1.
    pub score: f64,
}

impl CocoPhoto {
    /// A photo of this size in pixels, with annotations of one's own.
    #[must_use]
    pub fn new(file_name: &str, width: u32, height: u32, annotations: Vec<CocoAnnotation>) -> Self {
        Self { file_name: file_name.to_owned(), width, height, annotations }
    }
}

impl CocoAnnotation {
    /// One garment, not a crowd, and of a certainty of 1. `area` is in pixels, `bbox` is left, top, width, height.
    #[must_use]
    pub fn new(category_id: usize, segmentation: CocoSegmentation, area: u64, bbox: [u32; 4]) -> Self {
        Self { category_id, segmentation, area, bbox, iscrowd: 0, score: 1.0 }
    }
}

/// Where a class is. COCO has no other ways to say it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CocoSegmentation {
    /// Rings `[x0, y0, x1, y1, ...]` in photo pixels, which have no holes.
    Polygons(Vec<Vec<f32>>),
    /// Run lengths down the columns.
    RunLengths {
        /// Height and width.
        size: [u32; 2],
        /// Pixels off, on, off ...
        counts: CocoCounts,
    },
}

/// Run lengths, in one of the two ways that COCO has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CocoCounts {
    /// In pycocotools' compressed form.
    Compressed(String),
    /// As they are.
    Plain(Vec<u32>),
}

/// What one photo adds to a COCO file: one annotation a class, with area and box of its mask.
///
/// In the form [`CocoForm::Polygons`] a class with holes still has run lengths, since COCO's polygons have none (all
/// rings of an annotation are filled), and so has a class whose pieces are all too small for an outline.
fn coco_photo(file_name: &str, map: &LabelMap, outlines: &[ClassOutline<'_>], form: CocoForm) -> CocoPhoto {
    let annotation = |outline: &ClassOutline<'_>| {
        let region = outline.region;
        let bounds = region.bounds;
        let segmentation = match form {
            CocoForm::Polygons => rings(outline).unwrap_or_else(|| run_lengths(map, region.class, form)),
            CocoForm::Rings => cut_rings(outline)?,
            CocoForm::Rle | CocoForm::Counts => run_lengths(map, region.class, form),
        };
        let bbox = [bounds.x, bounds.y, bounds.width, bounds.height];
        let score = (f64::from(region.confidence) * 1e4).round() / 1e4;
        Some(CocoAnnotation { score, ..CocoAnnotation::new(region.class, segmentation, region.area_px, bbox) })
    };
    CocoPhoto::new(file_name, map.width(), map.height(), outlines.iter().filter_map(annotation).collect())
}

/// The outline as COCO's polygons, if they can express it.
fn rings(outline: &ClassOutline<'_>) -> Option<CocoSegmentation> {
    let polygons = &outline.polygons;
    let can = !polygons.is_empty() && polygons.iter().all(|polygon| polygon.holes.is_empty());
    can.then(|| CocoSegmentation::Polygons(polygons.iter().map(|polygon| polygon.exterior.concat()).collect()))
}

/// The outline as rings without holes, if it has any.
fn cut_rings(outline: &ClassOutline<'_>) -> Option<CocoSegmentation> {
    let rings: Vec<Vec<f32>> = outline.polygons.iter().map(|polygon| ring(polygon).concat()).collect();
    (!rings.is_empty()).then_some(CocoSegmentation::Polygons(rings))
}

fn run_lengths(map: &LabelMap, class: usize, form: CocoForm) -> CocoSegmentation {
    let counts = run_length::counts(map, class);
    let counts = match form {
        CocoForm::Counts => CocoCounts::Plain(counts),
        CocoForm::Polygons | CocoForm::Rings | CocoForm::Rle => CocoCounts::Compressed(run_length::compress(&counts)),
    };
    CocoSegmentation::RunLengths { size: [map.height(), map.width()], counts }
}
