//! Labelled photos: where they lie, what their labels mean, and how they become batches.
//!
//! A reader ([`folder`], [`ccp`]) finds [`Pair`]s of files and the names of the label's indices. A [`Mapping`] turns the
//! indices into classes of a [`clothseg::Taxonomy`]. A [`Dataset`] checks all of it once and then loads [`Sample`]s;
//! [`augment`] cuts crops from them and [`batch`] stacks these, beside the training step.

pub mod augment;
pub mod batch;
pub mod ccp;
pub mod dataset;
pub mod folder;
pub mod mapping;
mod parts;

use std::path::{Path, PathBuf};

use image::{ImageReader, RgbImage};

use crate::error::{Error, Result};

pub use augment::{Augmentation, Crop, Frame};
pub use batch::{Batch, Plan, Prefetch};
pub use dataset::{Dataset, Layout, OnDamage, Source};
pub use mapping::{Mapping, Target};

/// The label of a pixel that counts nowhere: not in a loss, not in a metric.
pub const IGNORE: u8 = 255;

/// A photo and its label on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The stem that both files share.
    pub stem: String,
    /// The photo.
    pub photo: PathBuf,
    /// The label: an 8-bit PNG whose pixel is an index into [`Listing::classes`].
    pub label: PathBuf,
}

/// What a reader finds.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Names of the label's indices, from 0.
    pub classes: Vec<String>,
    /// The complete pairs, sorted by stem.
    pub pairs: Vec<Pair>,
    /// Photos without a label, labels without a photo, stems of a split file without either: one line each.
    pub incomplete: Vec<String>,
}

/// One index a pixel, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelImage {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width * height` indices.
    pub data: Vec<u8>,
}

impl LabelImage {
    /// Reads an 8-bit PNG of indices (grey or palette: the stored index counts, not the colour).
    pub fn open(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(Error::io("read", path))?;
        let fail = |cause: String| Error::file(path, cause);
        let mut decoder = png::Decoder::new(std::io::BufReader::new(file));
        decoder.set_transformations(png::Transformations::IDENTITY);
        let mut reader = decoder.read_info().map_err(|error| fail(format!("is no readable PNG: {error}")))?;
        let info = reader.info();
        let (width, height, color, depth) = (info.width, info.height, info.color_type, info.bit_depth);
        let indexed = matches!(color, png::ColorType::Grayscale | png::ColorType::Indexed);
        if !indexed || depth != png::BitDepth::Eight {
            return Err(fail(format!("is a {color:?} PNG of {depth:?} bits; a label is 8-bit grey or palette")));
        }
        let Some(size) = reader.output_buffer_size() else {
            return Err(fail("is too large".to_owned()));
        };
        let mut data = vec![0; size];
        reader.next_frame(&mut data).map_err(|error| fail(format!("is damaged: {error}")))?;
        data.truncate(width as usize * height as usize);
        Ok(Self { width, height, data })
    }

    /// Width and height from the file's head.
    pub fn dimensions(path: &Path) -> Result<(u32, u32)> {
        image_dimensions(path)
    }
}

/// Width and height from an image file's head.
pub(crate) fn image_dimensions(path: &Path) -> Result<(u32, u32)> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(Error::io("read", path))?;
    reader.into_dimensions().map_err(|error| Error::file(path, format!("is no readable picture: {error}")))
}

/// A photo with its label in classes of the target taxonomy.
#[derive(Clone, Debug)]
pub struct Sample {
    /// RGB, upright.
    pub photo: RgbImage,
    /// Same size; target class or [`IGNORE`].
    pub labels: LabelImage,
}

/// Files of `folder` with one of the `extensions`, by stem.
pub(crate) fn files_by_stem(folder: &Path, extensions: &[&str]) -> Result<std::collections::BTreeMap<String, PathBuf>> {
    let mut files = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        let extension = path.extension().and_then(|text| text.to_str()).map(str::to_lowercase);
        let stem = path.file_stem().and_then(|text| text.to_str()).map(str::to_owned);
        if let (Some(extension), Some(stem)) = (extension, stem)
            && extensions.contains(&extension.as_str())
        {
            files.insert(stem, path);
        }
    }
    Ok(files)
}

/// Extensions of photos.
pub(crate) const PHOTO_EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "webp", "bmp"];

/// Column `name` of a CSV file of classes, in the order of the rows.
pub(crate) fn class_names(path: &Path) -> Result<Vec<String>> {
    let mut reader = csv::Reader::from_path(path).map_err(|error| Error::file(path, error.to_string()))?;
    let headers = reader.headers().map_err(|error| Error::file(path, error.to_string()))?;
    let Some(column) = headers.iter().position(|name| name.trim() == "name") else {
        return Err(Error::file(path, "has no column `name`"));
    };
    let mut names = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| Error::file(path, error.to_string()))?;
        names.push(record.get(column).unwrap_or_default().trim().to_owned());
    }
    if names.is_empty() || names.len() > usize::from(IGNORE) {
        return Err(Error::file(path, format!("names {} classes; 1 to 255 are possible", names.len())));
    }
    Ok(names)
}
