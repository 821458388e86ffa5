//! Photos with what several models make of them, side by side.

use std::path::Path;

use clothseg::{Photo, Segmentation, Segmenter, Taxonomy};
use image::RgbImage;

use crate::data::{Dataset, LabelImage};
use crate::error::{Error, Result};
use crate::log::grid::{Cell, Grid, GridRow, Labels};

/// Largest width and height of a cell, in pixels.
const CELL_PX: (u32, u32) = (150, 190);

/// Photos beside each other in a sheet of labels.
const SHEET_PHOTOS: usize = 4;

/// A model, and what the picture calls it.
pub struct Contestant {
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

/// The same with no more of the photo than a sheet shows.
pub fn small((photo, labels): Shown) -> Shown {
    let (width, height) = CELL_PX;
    let fits = photo.width() <= 2 * width || photo.height() <= 2 * height;
    let photo = match fits {
        true => photo,
        false => image::DynamicImage::ImageRgb8(photo).thumbnail(2 * width, 2 * height).into_rgb8(),
    };
    (photo, labels)
}

/// Draws a row a photo (photo, truth where any photo has one, each model's prediction) into a PNG file. All models must
/// have the same classes.
pub fn side_by_side(path: &Path, models: &[Contestant], photos: &[Shown]) -> Result<()> {
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

/// Draws photos with their labels into a PNG file, some photos a row; each of `sources` begins a row.
pub fn label_sheet(path: &Path, taxonomy: &Taxonomy, sources: &[Vec<Shown>]) -> Result<()> {
    let rows = sources.iter().flat_map(|photos| photos.chunks(SHEET_PHOTOS));
    let rows = rows.map(|photos| GridRow { caption: None, cells: photos.iter().flat_map(with_labels).collect() });
    let columns = (0..SHEET_PHOTOS).flat_map(|_| ["photo".to_owned(), "labels".to_owned()]).collect();
    Grid { columns, rows: rows.collect(), taxonomy, cell_px: CELL_PX }.write(path)
}

/// A photo, and its labels over it.
fn with_labels((photo, labels): &Shown) -> [Cell<'_>; 2] {
    let tinted = labels.as_ref().map_or(Cell::Empty, |labels| Cell::Tinted(photo, Labels::from(labels)));
    [Cell::Photo(photo), tinted]
}

fn predict(models: &[Contestant], photo: &RgbImage) -> Result<Vec<Segmentation>> {
    let photo = Photo::from_rgb(photo.clone())?;
    models.iter().map(|model| Ok(model.segmenter.segment(&photo)?)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shown(width: u32, height: u32, class: u8) -> Shown {
        let data = vec![class; (width * height) as usize];
        (RgbImage::from_pixel(width, height, image::Rgb([40; 3])), Some(LabelImage { width, height, data }))
    }

    #[test]
    fn a_sheet_has_a_row_for_each_source_and_four_photos_a_row() {
        let taxonomy = Taxonomy::builtin("garments").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let height = |sources: &[Vec<Shown>]| {
            let path = folder.path().join("sheet.png");
            label_sheet(&path, &taxonomy, sources).unwrap();
            image::image_dimensions(path).unwrap().1
        };
        let photos = |count| vec![shown(90, 120, 1); count];
        let (one, two, three) =
            (height(&[photos(4)]), height(&[photos(4), photos(1)]), height(&[photos(5), photos(4)]));
        assert!(two > one && two - one == three - two, "{one} {two} {three}");
    }

    #[test]
    fn a_large_photo_shrinks_and_keeps_its_labels() {
        let (photo, labels) = small(shown(1500, 1000, 2));
        assert_eq!((photo.dimensions(), photo.get_pixel(0, 0).0), ((300, 200), [40; 3]));
        assert_eq!(labels.unwrap().width, 1500);
        assert_eq!(small(shown(200, 900, 2)).0.dimensions(), (200, 900));
    }
}
