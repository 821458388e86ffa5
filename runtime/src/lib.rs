//! Cut garments out of photos: one exact mask or polygon per garment class, at the photo's own size.

#![deny(missing_docs)]

pub mod decode;
mod error;
pub mod preprocess;
pub mod spec;
pub mod taxonomy;

pub use decode::{Limits, Photo};
pub use error::{Error, Result};
pub use spec::ModelSpec;
pub use taxonomy::{Class, Taxonomy};
