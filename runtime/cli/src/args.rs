//! Flags to options.

use std::path::PathBuf;

use clap::Parser;
use clothseg::export::{Format, OutputOptions};
use clothseg::internals::files::list;
use clothseg::{Limits, Outline, PolygonOptions, Provider, Taxonomy};

use crate::batch_args::BatchArgs;
use crate::engine_args::{EngineArgs, is_gpu};
use crate::format_args::FormatArgs;
use crate::generate::Generated;
use crate::info::InfoFormat;
use crate::mask_args::MaskArgs;
use crate::watch_args::WatchArgs;

/// Cuts garments out of photos: a mask and polygons for each class, at the photo's own size.
#[derive(Debug, Parser)]
#[command(name = "clothseg-run", version, arg_required_else_help = true, after_help = format!("Examples:\n{EXAMPLES}\n\n{}\nExit status: {EXIT_STATUS}", files()))]
pub struct Args {
    /// Photos, folders (with all below them), patterns such as 'photos/*.jpg', or '-' for standard input
    #[arg(value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,

    /// Classes, aliases or groups, such as shirt,pants or lower; all is every class but the background. By default all
    /// garments. A name that holds commas is found as it is, or in quotation marks
    #[arg(short, long, value_name = "NAMES")]
    pub classes: Vec<String>,

    /// Folder for the results; the tree of an input folder is mirrored in it
    #[arg(short, long, value_name = "DIR", default_value = "clothseg-out")]
    pub output: PathBuf,

    /// ONNX model, or a folder with model.onnx in it; the built-in one without it
    #[arg(short, long, value_name = "FILE")]
    pub model: Option<PathBuf>,

    #[command(flatten)]
    pub files: FormatArgs,

    #[command(flatten)]
    pub masks: MaskArgs,

    /// Largest photo that is read, in megapixels
    #[arg(long, help_heading = None::<&str>, value_name = "N", value_parser = megapixels, default_value_t = Limits::default().max_pixels / 1_000_000)]
    pub max_megapixels: u64,

    /// Process truncated photos as far as they go, with grey for what is missing, and flag them for review
    #[arg(long)]
    pub allow_truncated: bool,

    #[command(flatten)]
    pub many: BatchArgs,

    #[command(flatten)]
    pub watch: WatchArgs,

    /// Show the model's classes and groups, and stop
    #[arg(long, help_heading = None::<&str>)]
    pub list_classes: bool,

    /// Show the model and what runs it, and stop; --info=json for programs
    #[arg(long, help_heading = None::<&str>, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text", hide_possible_values = true)]
    pub info: Option<InfoFormat>,

    /// Write this to standard output, and stop: man (the man page), or a completion script: complete-bash, complete-zsh,
    /// complete-fish, complete-powershell or complete-elvish
    #[arg(long, help_heading = None::<&str>, value_name = "KIND", hide_possible_values = true, exclusive = true)]
    pub generate: Option<Generated>,

    /// Print errors and warnings only
    #[arg(short, long, help_heading = None::<&str>)]
    pub quiet: bool,

    #[command(flatten)]
    pub engine: EngineArgs,
}

fn megapixels(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("'{text}' is not a whole number of megapixels"))
}

/// Command lines, one on each line.
pub const EXAMPLES: &str = "  clothseg-run photo.jpg --classes shirt,pants
  clothseg-run photos/ -o cutouts --format masks,json
  clothseg-run photos/ -o cutouts --format masks,json --resume
  clothseg-run inbox/ -o cutouts --watch
  find photos -name '*.jpg' -mtime -1 -print0 | clothseg-run --files-from - --null
  clothseg-run --list-classes";

/// What is written for a photo, format by format.
pub fn files() -> String {
    let mut text = String::from("Files for photo.jpg, by format (masks, labels, overlay and json by default):\n");
    for format in Format::ALL {
        let exporter = format.exporter();
        let of_classes = exporter.class_suffix().map(|suffix| format!("photo.CLASS{suffix}"));
        let of_photo = exporter.photo_suffixes().iter().map(|suffix| format!("photo{suffix}"));
        let of_run = exporter.run_files().iter().map(|name| format!("{name} for all photos"));
        let files: Vec<String> = of_classes.into_iter().chain(of_photo).chain(of_run).collect();
        text.push_str(&format!("  {:8} {}\n", format.name(), files.join(", ")));
    }
    text.push_str("manifest.jsonl has a line for each photo.\n");
    text
}

/// What the program's exit status says.
pub const EXIT_STATUS: &str = "\
0 all done, 1 some photos failed, 2 wrong usage or nothing can run,
130 stopped by Ctrl-C or SIGTERM: the first finishes the photos that have begun, the second
stops at once. With --watch, which nothing else ends, the first gives 0 or 1.";

impl Args {
    /// The classes and groups asked for, by their names; none for all.
    pub fn class_names(&self, taxonomy: &Taxonomy) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        for text in &self.classes {
            let parsed = list::parse_names(text, |name| taxonomy.resolve(name).is_ok());
            names.extend(parsed.map_err(|cause| format!("--classes '{text}' {cause}"))?);
        }
        Ok(names)
    }

    /// Sentences on flags that change nothing: no file of the formats asked for, or not how this provider runs.
    pub fn without_effect(&self, provider: Provider) -> Vec<String> {
        const CUT_OUTS: &[&str] = &["cutout", "crop"];
        let (masks, files, usual) = (&self.masks, &self.files, OutputOptions::default());
        let outlined = Format::ALL.iter().filter(|format| format.exporter().needs().outlines);
        let outlined: Vec<&str> = outlined.map(|format| format.name()).collect();
        let given = [
            ("--mask-depth", files.mask_depth != usual.mask_depth, &["masks"][..]),
            ("--feather", masks.feather != usual.masks.feather, &["masks", "cutout", "crop"]),
            ("--invert", masks.invert, &["masks", "soft", "cutout", "crop"]),
            ("--background", masks.background.is_some(), CUT_OUTS),
            ("--decontaminate", masks.decontaminate, CUT_OUTS),
            ("--cutout-file", masks.cutout_file != usual.cutout_file, CUT_OUTS),
            ("--cutout-alpha", files.cutout_alpha != usual.cutout_alpha, CUT_OUTS),
            ("--crop-margin", files.crop_margin != usual.crop_margin, &["crop"]),
            ("--svg-photo", files.svg_photo, &["svg"]),
            ("--coco", files.coco != usual.coco, &["coco"]),
            ("--outline", files.outline != Outline::default(), &outlined),
            ("--tolerance", files.tolerance.is_some(), &outlined),
            ("--min-area", files.min_area != PolygonOptions::default().min_area_px, &outlined),
        ];
        let is_written = |name: &&str| files.formats.iter().flat_map(|formats| &formats.0).any(|it| it.name() == *name);
        let without = given.into_iter().filter(|(_, given, formats)| *given && !formats.iter().any(is_written));
        let formats =
            |names: &[&str]| names.iter().map(|name| format!("--format {name}")).collect::<Vec<_>>().join(" or ");
        let mut lines: Vec<String> =
            without.map(|(flag, _, names)| format!("{flag} has no effect without {}", formats(names))).collect();
        if self.engine.device != 0 && !is_gpu(provider) {
            lines.push(format!("--device has no effect: provider '{provider}' does not run on a GPU"));
        }
        lines
    }

    /// What a photo may cost.
    pub fn limits(&self) -> Limits {
        let pixels = self.max_megapixels.saturating_mul(1_000_000);
        Limits::default().with_max_pixels(pixels).with_allow_truncated(self.allow_truncated)
    }
}
