//! Photos with what several models make of them, side by side.

use std::path::Path;

use clothseg::{Photo, Segmentation, Segmenter};
use image::RgbImage;

use crate::data::{Dataset, LabelImage};
use crate::error::{Error, Result};
use crate::run::log::grid::{Cell, Grid, GridRow, Labels};

/// Largest width and height of a cell, in pixels.
pub(crate) const CELL_PX: (u32, u32) = (150, 190);

/// A model, and what the picture calls it.
pub struct CaptionedModel {
    /// Stands above its column.
    pub caption: String,
    /// The model.
    pub segmenter: Segmenter,
}

/// A photo, and its true label where there is one.
pub type Shown = (RgbImage, Option<LabelImage>);

/// `count` photos of a dataset with their labels, evenly spread over it, one after another; fewer where some are damaged and to
/// be skipped.
pub fn spread(dataset: &Dataset, count: usize) -> impl Iterator<Item = Result<Shown>> + '_ {
    let count = count.min(dataset.len());
    let sound = (0..count).filter_map(move |index| dataset.load_unsquashed(index * dataset.len() / count).transpose());
    sound.map(|sample| sample.map(|sample| (sample.photo, Some(sample.labels))))
}

/// Draws a row a photo (photo, truth where any photo has one, each model's prediction) into a PNG file. All models must
/// have the same classes.
pub fn side_by_side(path: &Path, models: &[CaptionedModel], photos: &[Shown]) -> Result<()> {
    let Some(first) = models.first() else {
        return Err(Error::picture(path.display().to_string(), "there is no model to draw".to_owned()));
    };
    let taxonomy = &first.segmenter.spec().taxonomy;
    if let Some(other) = models.iter().find(|model| model.segmenter.spec().taxonomy.classes != taxonomy.classes) {
        let cause = format!("the classes of {} are not those of {}", other.caption, first.caption);
        return Err(Error::picture(path.display().to_string(), cause));
    }
    let predictions =
        photos.iter().map(|(photo, _)| predict(models, photo)).collect::<Result<Vec<Vec<Segmentation>>>>()?;
    let has_truth = photos.iter().any(|(_, truth)| truth.is_some());
    let rows = photos.iter().zip(&predictions).map(|((photo, truth), predictions)| {
        let mut cells = vec![Cell::Photo(photo)];
        if has_truth {
            cells.push(truth.as_ref().map_or(Cell::Empty, |truth| Cell::Tinted(photo, Labels::from(truth))));
        }
        cells.extend(predictions.iter().map(|found| Cell::Tinted(photo, Labels::from(found.label_map()))));
        GridRow { caption: None, cells }
    });
    let mut columns = vec!["photo".to_owned()];
    columns.extend(has_truth.then(|| "truth".to_owned()));
    columns.extend(models.iter().map(|model| model.caption.clone()));
    Grid { columns, rows: rows.collect(), taxonomy, cell_px: CELL_PX }.write(path)
}

fn predict(models: &[CaptionedModel], photo: &RgbImage) -> Result<Vec<Segmentation>> {
    let photo = Photo::from_rgb(photo.clone())?;
    models.iter().map(|model| Ok(model.segmenter.segment(&photo)?)).collect()
}
