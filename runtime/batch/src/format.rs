//! The formats by their names, and what is to be said about them.

use std::fmt;
use std::str::FromStr;

use clothseg::{Error, Result};
use clothseg::export::coco::CocoForm;
use clothseg::export::{CropMargin, MaskDepth};
use clothseg::polygon::PolygonOptions;

/// A kind of file that is written for a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Format {
    /// `NAME.CLASS.png`: one mask a class that is present.
    Masks,
    /// `NAME.CLASS.soft.png`: how likely each pixel is the class, for each class that is present.
    Soft,
    /// `NAME.CLASS.cutout.png`: each garment with alpha, at the photo's size.
    Cutout,
    /// `NAME.CLASS.crop.png`: the same, trimmed to its box.
    Crop,
    /// `NAME.labels.png`: class indices, with a palette of the class colours.
    Labels,
    /// `NAME.overlay.png`: the photo with tinted garments.
    Overlay,
    /// `NAME.svg`: outlines as paths.
    Svg,
    /// `NAME.labelme.json`: outlines for the annotation tool labelme.
    Labelme,
    /// `coco.json`: outlines of all photos of a run.
    Coco,
    /// `NAME.json`: polygons, boxes, areas, confidence, timings. Written last: where it is, the others are.
    Json,
}

impl Format {
    /// Every format, in the order in which they are written.
    pub const ALL: [Self; 10] = [
        Self::Masks,
        Self::Soft,
        Self::Cutout,
        Self::Crop,
        Self::Labels,
        Self::Overlay,
        Self::Svg,
        Self::Labelme,
        Self::Coco,
        Self::Json,
    ];

    /// What is written where nothing is asked for.
    pub const DEFAULT: [Self; 4] = [Self::Masks, Self::Labels, Self::Overlay, Self::Json];

    /// The name that users type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Masks => "masks",
            Self::Soft => "soft",
            Self::Cutout => "cutout",
            Self::Crop => "crop",
            Self::Labels => "labels",
            Self::Overlay => "overlay",
            Self::Svg => "svg",
            Self::Labelme => "labelme",
            Self::Coco => "coco",
            Self::Json => "json",
        }
    }

    /// Whether the photo's own pixels are in the file; without them a photo need not be decoded at its full size.
    pub fn needs_pixels(self) -> bool {
        matches!(self, Self::Overlay | Self::Cutout | Self::Crop)
    }

    /// Whether outlines are in the file.
    pub(super) fn needs_outlines(self) -> bool {
        matches!(self, Self::Svg | Self::Labelme | Self::Coco | Self::Json)
    }

    /// What stands between `NAME.CLASS` and `.png`, for formats with a file a class.
    pub(super) fn infix(self) -> Option<&'static str> {
        match self {
            Self::Masks => Some(""),
            Self::Soft => Some(".soft"),
            Self::Cutout => Some(".cutout"),
            Self::Crop => Some(".crop"),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Invalid(format!("unknown format '{text}'; there are: {names}"))
        })
    }
}

/// Where the alpha of cut-outs comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CutoutAlpha {
    /// The mask with smooth edges ([`smooth_edges`](clothseg::export::smooth_edges)).
    #[default]
    Smooth,
    /// The soft mask: how sure the network is.
    Soft,
    /// The mask: 0 or 255.
    Hard,
}

impl fmt::Display for CutoutAlpha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smooth => "smooth",
            Self::Soft => "soft",
            Self::Hard => "hard",
        })
    }
}

impl FromStr for CutoutAlpha {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "smooth" => Ok(Self::Smooth),
            "soft" => Ok(Self::Soft),
            "hard" => Ok(Self::Hard),
            _ => Err(Error::Invalid(format!("unknown alpha '{text}'; there are: smooth, soft, hard"))),
        }
    }
}

/// Which files are written for a photo, and how they are made.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OutputOptions {
    /// Files wanted.
    pub formats: Vec<Format>,
    /// Bits a pixel of masks.
    pub mask_depth: MaskDepth,
    /// Alpha of cut-outs and crops.
    pub cutout_alpha: CutoutAlpha,
    /// What stays round a crop.
    pub crop_margin: CropMargin,
    /// How COCO segmentations are written.
    pub coco: CocoForm,
    /// Whether an SVG links to its photo.
    pub svg_photo: bool,
    /// How closely polygons follow the masks.
    pub polygons: PolygonOptions,
}

impl Default for OutputOptions {
    fn default() -> Self {
        Self {
            formats: Format::DEFAULT.to_vec(),
            mask_depth: MaskDepth::default(),
            cutout_alpha: CutoutAlpha::default(),
            crop_margin: CropMargin::default(),
            coco: CocoForm::default(),
            svg_photo: false,
            polygons: PolygonOptions::default(),
        }
    }
}

impl OutputOptions {
    /// The same with these files.
    #[must_use]
    pub fn with_formats(mut self, formats: Vec<Format>) -> Self {
        self.formats = formats;
        self
    }

    /// The same with masks of this depth.
    #[must_use]
    pub fn with_mask_depth(mut self, mask_depth: MaskDepth) -> Self {
        self.mask_depth = mask_depth;
        self
    }

    /// The same with this alpha of cut-outs and crops.
    #[must_use]
    pub fn with_cutout_alpha(mut self, cutout_alpha: CutoutAlpha) -> Self {
        self.cutout_alpha = cutout_alpha;
        self
    }

    /// The same with this margin of crops.
    #[must_use]
    pub fn with_crop_margin(mut self, crop_margin: CropMargin) -> Self {
        self.crop_margin = crop_margin;
        self
    }

    /// The same with this form of COCO segmentations.
    #[must_use]
    pub fn with_coco(mut self, coco: CocoForm) -> Self {
        self.coco = coco;
        self
    }

    /// The same with a link to the photo in SVG, or not.
    #[must_use]
    pub fn with_svg_photo(mut self, svg_photo: bool) -> Self {
        self.svg_photo = svg_photo;
        self
    }

    /// The same with these polygons.
    #[must_use]
    pub fn with_polygons(mut self, polygons: PolygonOptions) -> Self {
        self.polygons = polygons;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_names_and_the_json_is_the_last() {
        for format in Format::ALL {
            assert_eq!(format.name().to_uppercase().parse::<Format>().unwrap(), format);
        }
        assert!(Format::ALL.is_sorted() && Format::ALL.last() == Some(&Format::Json));
        assert!("psd".parse::<Format>().unwrap_err().to_string().contains("labelme"));
    }
}
