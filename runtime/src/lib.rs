//! Cut garments out of photos: one exact mask or polygon per garment class, at the photo's own size.
//!
//! ```no_run
//! use clothseg::{EngineOptions, Limits, Photo, PolygonOptions, Segmenter};
//!
//! # fn main() -> clothseg::Result<()> {
//! let segmenter = Segmenter::open("models/garments-tiny.onnx".as_ref(), &EngineOptions::default())?;
//! let photo = Photo::open("photo.jpg".as_ref(), &Limits::default())?;
//! let segmentation = segmenter.segment(&photo)?;
//! let mask = segmentation.mask("pants")?; // 255 where there are pants
//! let outlines = segmentation.polygons("pants", &PolygonOptions::default())?;
//! # Ok(())
//! # }
//! ```
//!
//! The stages, each usable by itself: [`decode`] -> [`preprocess`] -> [`engine`] -> [`postprocess`] -> [`polygon`] and
//! [`export`]; [`Segmenter`] is all of them in order, [`batch`] is a [`Segmenter`] over folders.

#![deny(missing_docs)]

pub mod batch;
pub mod decode;
pub mod engine;
mod error;
pub mod export;
pub mod polygon;
pub mod postprocess;
pub mod preprocess;
mod segmenter;
pub mod spec;
pub mod taxonomy;

pub use decode::{Limits, Photo};
pub use engine::{Engine, EngineInfo, EngineOptions, Provider};
pub use error::{Error, Result};
pub use polygon::{Outline, Partition, Polygon, PolygonOptions};
pub use postprocess::{LabelMap, NetworkOutput, PixelBox};
pub use segmenter::{ClassRegion, Segmentation, Segmenter, Timings};
pub use spec::ModelSpec;
pub use taxonomy::{Class, Taxonomy};
