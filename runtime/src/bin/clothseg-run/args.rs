//! Flags to options.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Parser;
use clothseg::{EngineOptions, Limits, Provider};

use crate::format_args::FormatArgs;

/// Cuts garments out of photos: a mask and polygons for each class, at the photo's own size.
#[derive(Debug, Parser)]
#[command(name = "clothseg-run", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Args {
    /// Photos, folders (with all below them) or '-' for standard input
    #[arg(value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,

    /// Classes, aliases or groups, such as shirt,pants or lower; all classes without it
    #[arg(short, long, value_name = "NAMES", value_delimiter = ',')]
    pub classes: Vec<String>,

    /// Folder for the results; the tree of an input folder is mirrored in it
    #[arg(short, long, value_name = "DIR", default_value = "clothseg-out")]
    pub output: PathBuf,

    /// ONNX model that describes itself; the built-in one without it
    #[arg(short, long, value_name = "FILE")]
    pub model: Option<PathBuf>,

    /// Who does the arithmetic: auto, cpu, cuda, tensorrt or embedded. What is named runs or fails with the reason
    #[arg(short, long, value_name = "NAME", default_value_t = Provider::Auto)]
    pub provider: Provider,

    /// ONNX Runtime's library, where it is not in one of the usual places
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,

    /// Threads of ONNX Runtime for one photo; one a core without it
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,

    #[command(flatten)]
    pub files: FormatArgs,

    /// Largest photo that is read, in megapixels
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_pixels / 1_000_000)]
    pub max_megapixels: u64,

    /// Show the model's classes and groups, and stop
    #[arg(long)]
    pub list_classes: bool,

    /// Show the model and what runs it, and stop
    #[arg(long)]
    pub info: bool,

    /// Say nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  clothseg-run photo.jpg --classes shirt,pants
  clothseg-run photos/ -o cutouts --format masks,json
  clothseg-run --list-classes

Files for photo.jpg: photo.CLASS.png (mask, 255 = class), photo.labels.png (class index),
photo.overlay.png, photo.json (polygons, boxes, areas, confidence); with --format also photo.CLASS.soft.png,
photo.CLASS.cutout.png, photo.CLASS.crop.png, photo.svg, photo.labelme.json and coco.json for all photos.
Exit status: 0 all done, 1 some photos failed, 2 wrong usage or nothing can run.";

impl Args {
    /// What the engine needs to know.
    pub fn engine_options(&self) -> EngineOptions {
        EngineOptions {
            provider: self.provider,
            library: self.library.clone(),
            threads: self.threads.map(NonZeroUsize::get),
        }
    }

    /// What a photo may cost.
    pub fn limits(&self) -> Limits {
        Limits { max_pixels: self.max_megapixels.saturating_mul(1_000_000), ..Limits::default() }
    }
}
