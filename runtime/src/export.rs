//! Results in the formats of other tools, as bytes: one file a format behind one trait, and one list of them,
//! [`Format::ALL`]. Nothing here knows folders: `clothseg-batch` writes the files.
//!
//! ```no_run
//! use clothseg::export::{Format, OutputOptions, PhotoView};
//! use clothseg::{Limits, Photo, Segmenter};
//!
//! # fn main() -> clothseg::Result<()> {
//! let segmenter = Segmenter::open("garments.onnx")?;
//! let photo = Photo::open("photo.jpg", &Limits::default())?;
//! let segmentation = segmenter.segment(&photo)?;
//! let classes = segmenter.spec().taxonomy.resolve("garment")?;
//! let options = OutputOptions::default();
//! let view = PhotoView::new(&segmenter, &photo, &segmentation, &classes, &options);
//! let svg = "svg".parse::<Format>()?.exporter().photo_files(&view)?.remove(0);
//! # Ok(())
//! # }
//! ```

mod background;
pub mod coco;
mod cutout;
mod format;
mod json;
mod labelme;
mod masks;
mod names;
mod options;
mod outline;
mod overlay;
mod parse;
mod pictures;
mod png;
mod svg;
mod view;
mod yolo;

pub use background::Background;
pub use cutout::CropMargin;
pub use format::{Exporter, Format, Needs};
pub use masks::MaskDepth;
pub use names::class_file_names;
pub use options::{CutoutAlpha, CutoutFile, OutputOptions};
pub use outline::ClassOutline;
pub use overlay::overlay_png;
pub use view::{ClassView, PhotoView, RunView};

/// Results as pixels instead of files, for the Python package: no part of the public interface.
#[doc(hidden)]
pub mod pixels {
    pub use super::cutout::smooth_edges;
    pub use super::overlay::overlay_rgb;
}
