//! How files are made.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::Format;
use super::coco::CocoForm;
use super::cutout::CropMargin;
use super::masks::MaskDepth;
use crate::error::{Error, Result};
use crate::polygon::PolygonOptions;

/// Where the alpha of cut-outs comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CutoutAlpha {
    /// The mask with smooth edges.
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
#[derive(Debug, Clone, PartialEq, Serialize)]
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
