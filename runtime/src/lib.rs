//! Cut garments out of photos: one exact mask or polygon per garment class, at the photo's own size.
//!
//! ```no_run
//! use clothseg::Segmenter;
//!
//! # fn main() -> clothseg::Result<()> {
//! let mask = Segmenter::open("garments.onnx")?.segment_file("photo.jpg")?.mask("pants")?;
//! # Ok(())
//! # }
//! ```
//!
//! The mask is a [`GrayImage`] of the photo's size: 255 where there are pants. A [`Segmenter`] is opened once and serves any
//! number of photos and threads; a [`Segmentation`] has masks, soft masks, polygons, areas and confidences of all classes:
//!
//! ```no_run
//! use clothseg::{EngineOptions, PolygonOptions, Segmenter};
//!
//! # fn main() -> clothseg::Result<()> {
//! let options = EngineOptions::default().with_library("libonnxruntime.so.1.32.0");
//! let segmenter = Segmenter::open_with("garments.onnx", &options)?;
//! let segmentation = segmenter.segment_file("photo.jpg")?;
//! for region in segmentation.regions() {
//!     println!("{}: {} pixels, confidence {:.2}", region.name, region.area_px, region.confidence);
//! }
//! let outlines = segmentation.polygons("lower", &PolygonOptions::default())?; // skirts, pants, shorts ...
//! # Ok(())
//! # }
//! ```
//!
//! # Engines
//! Models run on ONNX Runtime (1.24 or later), which is opened at run time: the file that [`EngineOptions::library`] names,
//! else what the system's loader finds. With the feature `embedded` there is an engine that needs nothing installed, too.
//! The library reads no environment variables and starts no processes.
//!
//! # Many photos
//! [`EngineOptions::sessions`] lets threads that share a [`Segmenter`] run the network beside each other, and
//! [`Segmenter::segment_batch`] puts several photos into one run. The crate `clothseg-batch` does all of it for folders.
//!
//! # Modules
//! [`spec`] describes models, [`masks`] merges, fills and grows masks, [`export`] writes results in the formats of other tools, and [`engine`] is for engines of
//! one's own. Types of other crates in signatures are re-exported: [`GrayImage`] and [`RgbImage`] of `image`, and
//! [`ndarray`] and [`serde_json`].

#![deny(missing_docs)]

mod decode;
mod digest;
pub mod engine;
mod error;
pub mod export;
mod files;
mod geometry;
pub mod masks;
mod merge;
mod model;
mod onnx;
#[doc(hidden)]
pub mod polygon;
#[doc(hidden)]
pub mod postprocess;
#[doc(hidden)]
pub mod preprocess;
mod regions;
mod segmenter;
pub mod spec;
mod taxonomy;

pub use image::{GrayImage, RgbImage};
pub use {ndarray, serde_json};

pub use decode::{Detail, Limits, Photo};
pub use engine::{EngineInfo, EngineOptions, Provider};
pub use error::{Error, Result};
pub use model::Model;
pub use polygon::{Outline, Polygon, PolygonOptions};
pub use postprocess::{LabelMap, PixelBox};
pub use segmenter::{ClassRegion, Quality, Segmentation, Segmenter, Timings};
pub use spec::ModelSpec;
pub use taxonomy::{Class, ClassKind, Taxonomy};

/// What the other packages of this project need besides: no part of the public interface, and free to change at any time.
/// The same holds for the hidden modules `polygon`, `postprocess` and `preprocess`.
#[doc(hidden)]
pub mod internals {
    pub use crate::decode::{Plan, ReducedPlan, upright_size};

    /// Connected regions, for the parts of garments in training labels.
    pub mod regions {
        pub use crate::regions::{NONE, beside, label, longest_border};
    }

    /// COCO's compressed run lengths, for the trainer's readers.
    pub mod run_length {
        pub use crate::export::coco::run_length::{compress, decompress};
    }

    /// What files are by their bytes and names, and how texts and lists are read.
    pub mod files {
        pub use crate::files::{PHOTO_EXTENSIONS, has_photo_extension, is_of_system, kind, list, text};
    }

    /// Hashes that name bytes.
    pub mod digest {
        pub use crate::digest::*;
    }
}
