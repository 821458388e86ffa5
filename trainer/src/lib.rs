//! Train clothing segmentation networks and write them as ONNX for clothseg.

#![forbid(unsafe_code)]

mod classes;
pub mod config;
pub mod counted;
pub mod data;
pub mod device;
mod error;
pub mod evaluate;
pub mod loss;
pub mod metrics;
pub mod model;
pub mod onnx;
pub mod run;
pub mod sweep;
mod text;
pub mod tools;
pub mod train;

pub use error::{Error, Result};

/// Options for the programs' allocator, jemalloc: keep the memory that a step frees for the next step, instead of giving it
/// back to the system and paying for fresh pages; use huge pages for it. Any free stretch may be cut up, however long: by
/// default those of more than 64 times what is asked for are left alone, and as they are never given back, every batch would
/// take fresh memory until there is none. A C string, for jemalloc's symbol `malloc_conf`.
pub const ALLOCATOR_OPTIONS: &[u8; 116] =
    b"oversize_threshold:0,dirty_decay_ms:-1,muzzy_decay_ms:-1,lg_extent_max_active_fit:30,thp:always,metadata_thp:always\0";
