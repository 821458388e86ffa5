//! Flags on masks, to options.

use std::path::Path;

use clap::Args;
use clothseg::export::{Background, CutoutFile};
use clothseg::masks::{DEFAULT_MIN_SHARE, Length, MaskOptions, MergedClass};
use clothseg::{Limits, Photo, Taxonomy};

/// What becomes of masks and cut-outs, in the order of the flags.
#[derive(Debug, Args)]
#[command(next_help_heading = "Masks")]
pub struct MaskArgs {
    /// One mask of all chosen classes: their scores are combined before the largest wins
    #[arg(long, conflicts_with = "merge_groups")]
    pub merge: bool,

    /// One mask for each group named in --classes, such as lower, combined in the same way
    #[arg(long, requires = "classes")]
    pub merge_groups: bool,

    /// Fill holes that are of no chosen class
    #[arg(long)]
    pub fill_holes: bool,

    /// Keep the largest piece of each class
    #[arg(long)]
    pub largest: bool,

    /// Smallest share of the photo, in per cent, that a class must have to be reported; 0 reports all
    #[arg(long, value_name = "%", allow_negative_numbers = true, default_value_t = Percent(DEFAULT_MIN_SHARE * 100.0))]
    pub min_share: Percent,

    /// Let masks grow by pixels (15) or per cent of the longer side (0.5%); shrink by less than 0 (-3)
    #[arg(long, value_name = "PX|%", allow_hyphen_values = true, default_value_t)]
    pub grow: Length,

    /// Half the width of a soft edge of masks and cut-outs: pixels or per cent of the longer side
    #[arg(long, value_name = "PX|%", allow_hyphen_values = true, default_value_t)]
    pub feather: Length,

    /// Invert masks and the alpha of cut-outs
    #[arg(long)]
    pub invert: bool,

    /// What is behind cutout and crop in place of alpha: a colour (white, #rrggbb or r,g,b) or a picture that covers the photo
    #[arg(long, value_name = "COLOUR|FILE")]
    pub background: Option<String>,

    /// Remove the colour of the old background from soft edges, with alpha too; with --background this is always done
    #[arg(long)]
    pub decontaminate: bool,

    /// Kind of file for cutout and crop: png, jpeg (on white without --background) or webp (without loss)
    #[arg(long, value_name = "KIND", default_value_t)]
    pub cutout_file: CutoutFile,
}

/// A share in per cent, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percent(pub f64);

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::str::FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value = text.trim().trim_end_matches('%').trim_end().parse().ok();
        let value = value.filter(|value| (0.0..=100.0).contains(value));
        value.map(Self).ok_or_else(|| format!("'{text}' is no share: write per cent, 0 to 100"))
    }
}

impl MaskArgs {
    /// The steps on masks. `names` are the classes and groups that were asked for, `classes` what they stand for.
    pub fn mask_options(
        &self,
        taxonomy: &Taxonomy,
        names: &[String],
        classes: &[usize],
    ) -> clothseg::Result<MaskOptions> {
        let mut merge = Vec::new();
        if self.merge {
            // One name that was asked for is the name of what it stands for.
            let name = match names {
                [name] => name.trim().to_owned(),
                _ => "merged".to_owned(),
            };
            let found: Vec<usize> = classes.iter().copied().filter(|class| *class > 0).collect();
            merge.push(MergedClass::new(name, found));
        } else if self.merge_groups {
            for name in names {
                let members = taxonomy.resolve(name)?;
                if members.len() > 1 {
                    merge.push(MergedClass::new(name.trim(), members));
                }
            }
        }
        let options = MaskOptions::default()
            .with_merge(merge)
            .with_fill_holes(self.fill_holes)
            .with_largest(self.largest)
            .with_min_share(self.min_share.0 / 100.0)
            .with_grow(self.grow)
            .with_feather(self.feather)
            .with_invert(self.invert);
        options.validate()?;
        options.classes(taxonomy, classes)?;
        Ok(options)
    }

    /// The background asked for, read once for all photos.
    pub fn background(&self, limits: &Limits) -> Result<Option<Background>, String> {
        let Some(text) = &self.background else { return Ok(None) };
        let color = match text.parse::<Background>() {
            Ok(color) => return Ok(Some(color)),
            Err(error) => error,
        };
        let path = Path::new(text);
        if !path.is_file() {
            return Err(format!("--background: {color}, or a file; there is no file of this name"));
        }
        let named = |error: clothseg::Error| format!("--background {text}: {}", error.chain());
        let picture = Photo::open(path, limits).map_err(named)?;
        Background::picture(picture.srgb().into_owned()).map(Some).map_err(named)
    }
}
