//! Cut garments out of photos: one exact mask or polygon per garment class, at the photo's own size.
//!
//! ```
//! use clothseg::{EngineOptions, Limits, Photo, PolygonOptions, Segmenter};
//!
//! # fn main() -> clothseg::Result<()> {
//! let segmenter = Segmenter::open("../models/garments-lite0.onnx".as_ref(), &EngineOptions::default())?;
//! let enough = segmenter.detail(); // for masks; Photo::open for pixels, too
//! let photo = Photo::open_with("../samples/hopper.jpg".as_ref(), &Limits::default(), enough)?;
//! let segmentation = segmenter.segment(&photo)?;
//! let mask = segmentation.mask("dress")?; // 255 where there is a dress
//! let outlines = segmentation.polygons("dress", &PolygonOptions::default())?;
//! # assert!(mask.pixels().any(|pixel| pixel[0] == 255) && !outlines.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! Many photos: [`EngineOptions::sessions`] lets threads that share a [`Segmenter`] run the network beside each other, and
//! [`Segmenter::segment_batch`] puts several photos into one run. The crate `clothseg-batch` does all of it for folders.
//!
//! The stages, each usable by itself: [`decode`] -> [`preprocess`] -> [`engine`] -> [`postprocess`] -> [`polygon`] and
//! [`export`]; [`Segmenter`] is all of them in order.

#![deny(missing_docs)]

pub mod decode;
mod digest;
pub mod engine;
mod error;
pub mod export;
mod model;
mod onnx;
pub mod polygon;
pub mod postprocess;
pub mod preprocess;
mod segmenter;
pub mod spec;
pub mod taxonomy;

pub use decode::{Detail, Limits, Photo};
pub use engine::{BatchSize, Engine, EngineInfo, EngineOptions, Provider, TensorrtOptions};
pub use error::{Error, Result};
pub use model::Model;
pub use polygon::{Outline, Partition, Polygon, PolygonOptions};
pub use postprocess::{LabelMap, NetworkOutput, PixelBox};
pub use segmenter::{ClassRegion, Quality, Segmentation, Segmenter, Timings};
pub use spec::ModelSpec;
pub use taxonomy::{Class, Taxonomy};

/// What the other packages of this project need besides: no part of the public interface, and free to change at any time.
#[doc(hidden)]
pub mod internals {
    pub use crate::decode::{Plan, ReducedPlan};

    /// Hashes that name bytes.
    pub mod digest {
        pub use crate::digest::*;
    }
}
