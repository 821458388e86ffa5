//! Train clothing segmentation networks and write them as ONNX for clothseg.

pub mod checkpoint;
pub mod config;
pub mod data;
mod error;
pub mod evaluate;
pub mod export;
pub mod log;
pub mod loss;
pub mod metrics;
pub mod model;
pub mod train;

pub use error::{Error, Result};
