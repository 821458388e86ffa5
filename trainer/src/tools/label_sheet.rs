//! A sheet of training photos and the labels that a network learns from them.

use std::path::Path;

use clothseg::Taxonomy;

use crate::config::Config;
use crate::data::{Dataset, resolve};
use crate::error::Result;
use crate::evaluate::pictures::{CELL_PX, Shown, spread};
use crate::run::log::grid::{Cell, Grid, GridRow, Labels};

/// Photos beside each other.
const PHOTOS_PER_ROW: usize = 4;

/// Draws `photos` training photos of each source of a config, with their labels in the classes of the network, into a PNG
/// file.
pub fn draw_labels(config: &Config, output: &Path, photos: usize) -> Result<()> {
    let target = config.target()?;
    let mut shown = Vec::new();
    for source in resolve(&config.data.train) {
        let dataset = Dataset::open(&[source], &target, config.data.on_damage)?;
        shown.push(spread(&dataset, photos).map(|shown| Ok(small(shown?))).collect::<Result<Vec<_>>>()?);
    }
    label_sheet(output, &target.taxonomy, &shown)
}

/// A photo with no more of the photo than a sheet shows.
fn small((photo, labels): Shown) -> Shown {
    let (width, height) = CELL_PX;
    let fits = photo.width() <= 2 * width || photo.height() <= 2 * height;
    let photo = match fits {
        true => photo,
        false => image::DynamicImage::ImageRgb8(photo).thumbnail(2 * width, 2 * height).into_rgb8(),
    };
    (photo, labels)
}

/// Draws photos with their labels into a PNG file, some photos a row; each of `sources` begins a row.
fn label_sheet(path: &Path, taxonomy: &Taxonomy, sources: &[Vec<Shown>]) -> Result<()> {
    let rows = sources.iter().flat_map(|photos| photos.chunks(PHOTOS_PER_ROW));
    let rows = rows.map(|photos| GridRow { caption: None, cells: photos.iter().flat_map(with_labels).collect() });
    let columns = (0..PHOTOS_PER_ROW).flat_map(|_| ["photo".to_owned(), "labels".to_owned()]).collect();
    Grid { columns, rows: rows.collect(), taxonomy, cell_px: CELL_PX }.write(path)
}

/// A photo, and its labels over it.
fn with_labels((photo, labels): &Shown) -> [Cell<'_>; 2] {
    let tinted = labels.as_ref().map_or(Cell::Empty, |labels| Cell::Tinted(photo, Labels::from(labels)));
    [Cell::Photo(photo), tinted]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use image::RgbImage;

    use super::*;
    use crate::data::LabelImage;

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
