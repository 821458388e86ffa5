//! How files are made.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::Format;
use super::background::Background;
use super::coco::CocoForm;
use super::cutout::CropMargin;
use super::masks::MaskDepth;
use crate::error::{Error, Result};
use crate::masks::MaskOptions;
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

/// The kind of file that cut-outs and crops are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CutoutFile {
    /// PNG, with alpha unless there is a background.
    #[default]
    Png,
    /// JPEG of quality 92. It has no alpha: where no background is asked for, white is behind it.
    Jpeg,
    /// WebP without loss, with alpha unless there is a background. At most 16383 pixels a side.
    Webp,
}

impl CutoutFile {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Png, Self::Jpeg, Self::Webp];

    /// The name that users type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
        }
    }
}

impl fmt::Display for CutoutFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CutoutFile {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.to_ascii_lowercase();
        let name = if text == "jpg" { "jpeg" } else { &text };
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Invalid(format!("unknown kind of file '{text}' for cut-outs; there are: {names}"))
        })
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
    /// What becomes of masks. [`Segmentation::with_masks`](crate::Segmentation::with_masks) takes the steps that change label
    /// maps; `clothseg-batch` calls it.
    pub masks: MaskOptions,
    /// What lies behind cut-outs and crops; without it they have alpha.
    pub background: Option<Background>,
    /// Whether the colours of soft edges are freed of what lay behind them, with alpha too. Before a background they are.
    pub decontaminate: bool,
    /// The kind of file that cut-outs and crops are.
    pub cutout_file: CutoutFile,
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
            masks: MaskOptions::default(),
            background: None,
            decontaminate: false,
            cutout_file: CutoutFile::default(),
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

    /// The same with these steps on masks.
    #[must_use]
    pub fn with_masks(mut self, masks: MaskOptions) -> Self {
        self.masks = masks;
        self
    }

    /// The same with this background of cut-outs and crops, or with alpha.
    #[must_use]
    pub fn with_background(mut self, background: Option<Background>) -> Self {
        self.background = background;
        self
    }

    /// The same with clean colours at soft edges, or as they are.
    #[must_use]
    pub fn with_decontaminate(mut self, decontaminate: bool) -> Self {
        self.decontaminate = decontaminate;
        self
    }

    /// The same with this kind of file for cut-outs and crops.
    #[must_use]
    pub fn with_cutout_file(mut self, cutout_file: CutoutFile) -> Self {
        self.cutout_file = cutout_file;
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
