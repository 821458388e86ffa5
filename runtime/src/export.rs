//! Results to bytes: one file a format, no paths.

pub mod coco;
mod cutout;
mod json;
mod labelme;
mod masks;
mod outline;
mod overlay;
mod png;
mod svg;

pub use cutout::{CropMargin, crop_png, cutout_png, smooth_edges};
pub use json::{Document, document};
pub use labelme::labelme;
pub use masks::{MaskDepth, labels_png, mask_png, soft_png};
pub use outline::{ClassOutline, outlines};
pub use overlay::overlay_png;
pub use svg::svg;
