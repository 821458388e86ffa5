//! Flags about files to options.

use clap::Args;
use clothseg::export::coco::CocoForm;
use clothseg::export::{CropMargin, CutoutAlpha, Format, MaskDepth, OutputOptions};
use clothseg::internals::files::list;
use clothseg::{Outline, PolygonOptions};

/// Which files are written and how they are made.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
pub struct FormatArgs {
    #[arg(help = format!("Files to write for each photo: {}", Format::names()), short, long = "format", alias = "formats", value_name = "NAMES", default_values_t = [Formats::default()])]
    pub formats: Vec<Formats>,

    /// Bits per pixel of masks: 8 (255 = class) or 1
    #[arg(long, value_name = "BITS", default_value_t)]
    pub mask_depth: MaskDepth,

    /// Alpha of cutout and crop: smooth (the mask with smooth edges), soft (the soft mask) or hard (the mask)
    #[arg(long, value_name = "KIND", default_value_t)]
    pub cutout_alpha: CutoutAlpha,

    /// Margin around a crop: pixels (12) or per cent of the longer side (5%)
    #[arg(long, value_name = "PX|%", allow_negative_numbers = true, default_value_t)]
    pub crop_margin: CropMargin,

    /// Segmentations in coco.json: polygons, rings (polygons only, for Label Studio), rle (compressed) or counts (run lengths as numbers)
    #[arg(long, value_name = "FORM", default_value_t)]
    pub coco: CocoForm,

    /// Link to the photo in each SVG, so that it is shown
    #[arg(long)]
    pub svg_photo: bool,

    /// What polygons follow: pixels (the edges of the masks) or smooth (the network's borders between pixels)
    #[arg(long, value_name = "KIND", default_value_t)]
    pub outline: Outline,

    /// How far, in pixels, a polygon may be from its outline; 0 keeps every point [default: 0.75 for pixels, 0.25 for smooth]
    #[arg(long, value_name = "PX", allow_negative_numbers = true)]
    pub tolerance: Option<f64>,

    /// Pieces of fewer pixels count as a part of their neighbour in polygons
    #[arg(long, value_name = "PX", allow_negative_numbers = true, default_value_t = PolygonOptions::default().min_area_px)]
    pub min_area: f64,
}

impl FormatArgs {
    /// The same as options. Numbers that make no sense are refused by name.
    pub fn output_options(&self) -> Result<OutputOptions, String> {
        let tolerance_px = self.tolerance.unwrap_or_else(|| self.outline.default_tolerance_px());
        for (flag, value) in [("--tolerance", tolerance_px), ("--min-area", self.min_area)] {
            if !value.is_finite() || value < 0.0 {
                return Err(format!("{flag} {value}: a number of pixels, 0 or more, is needed"));
            }
        }
        let polygons = PolygonOptions::of(self.outline).with_tolerance_px(tolerance_px).with_min_area_px(self.min_area);
        Ok(OutputOptions::default()
            .with_formats(self.formats.iter().flat_map(|formats| formats.0.iter().copied()).collect())
            .with_mask_depth(self.mask_depth)
            .with_cutout_alpha(self.cutout_alpha)
            .with_crop_margin(self.crop_margin)
            .with_coco(self.coco)
            .with_svg_photo(self.svg_photo)
            .with_polygons(polygons))
    }

    /// Refuses formats that would have nothing in them.
    pub fn check_classes(&self, classes: &[usize]) -> Result<(), String> {
        let mut formats = self.formats.iter().flat_map(|formats| &formats.0);
        match formats.find(|format| format.holds_nothing_of(classes)) {
            Some(format) => {
                Err(format!("--format {}: its files have no background; ask for other classes", format.name()))
            }
            None => Ok(()),
        }
    }
}

/// Names of formats between commas.
#[derive(Debug, Clone)]
pub struct Formats(pub(crate) Vec<Format>);

impl Default for Formats {
    fn default() -> Self {
        Self(Format::DEFAULT.to_vec())
    }
}

impl std::fmt::Display for Formats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.iter().map(|format| format.exporter().name()).collect::<Vec<_>>().join(","))
    }
}

impl std::str::FromStr for Formats {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let format = |name: &String| name.parse().map_err(|error: clothseg::Error| error.to_string());
        list::parse(text)?.iter().map(format).collect::<Result<_, _>>().map(Self)
    }
}
