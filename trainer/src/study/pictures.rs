//! The picture grids of a study: photo, truth where there is one, and what each network with each loss makes of it.

use clothseg::engine::EngineOptions;
use clothseg::{Limits, Photo, Segmentation, Segmenter};
use image::RgbImage;

use super::{PlannedRun, StudyConfig};
use crate::config::resolve;
use crate::data::{Dataset, LabelImage, PHOTO_EXTENSIONS, files_by_stem};
use crate::error::Result;
use crate::log::grid::{Cell, Grid, GridRow, Labels};

/// Largest width and height of a picture in a grid, in pixels.
const CELL_PX: (u32, u32) = (150, 190);

/// A model, and what the grid calls it.
struct Model {
    caption: String,
    segmenter: Segmenter,
}

/// Writes `grid.png` (test photos with truth) to the runs' folder and `photos.png` (photos without) to the output, of the
/// runs whose models are there, one seed of each.
pub(super) fn write(config: &StudyConfig, runs: &[PlannedRun], engine: &EngineOptions) -> Result<()> {
    let models = models(config, runs, engine)?;
    let Some(first) = models.first() else { return Ok(()) };
    let taxonomy = first.segmenter.spec().taxonomy.clone();
    for (path, photos, has_truth) in [
        (config.runs_folder().join("grid.png"), test_photos(config, runs)?, true),
        (config.output.join("photos.png"), free_photos(config)?, false),
    ] {
        if photos.is_empty() {
            continue;
        }
        let found: Vec<Vec<Segmentation>> =
            photos.iter().map(|(photo, _)| predictions(&models, photo)).collect::<Result<_>>()?;
        let rows = photos.iter().zip(&found).map(|((photo, truth), found)| {
            let mut cells = vec![Cell::Photo(photo)];
            cells.extend(truth.as_ref().map(|truth| Cell::Tinted(photo, Labels::from(truth))));
            cells.extend(found.iter().map(|found| Cell::Tinted(photo, Labels::from(found.label_map()))));
            GridRow { caption: None, cells }
        });
        let mut columns = vec!["photo".to_owned()];
        columns.extend(has_truth.then(|| "truth".to_owned()));
        columns.extend(models.iter().map(|model| model.caption.clone()));
        Grid { columns, rows: rows.collect(), taxonomy: &taxonomy, cell_px: CELL_PX }.write(&path)?;
    }
    Ok(())
}

fn models(config: &StudyConfig, runs: &[PlannedRun], engine: &EngineOptions) -> Result<Vec<Model>> {
    let mut models: Vec<Model> = Vec::new();
    for run in runs.iter().filter(|run| config.result_path(&run.name).is_file() && run.model_path().is_file()) {
        let caption = format!("{} {}", run.network, run.loss);
        if models.iter().all(|model| model.caption != caption) {
            models.push(Model { caption, segmenter: Segmenter::open(&run.model_path(), engine)? });
        }
    }
    Ok(models)
}

fn predictions(models: &[Model], photo: &RgbImage) -> Result<Vec<Segmentation>> {
    let photo = Photo::from_rgb(photo.clone())?;
    models.iter().map(|model| Ok(model.segmenter.segment(&photo)?)).collect()
}

/// Photos of the test data, evenly spread, with their truth.
fn test_photos(config: &StudyConfig, runs: &[PlannedRun]) -> Result<Vec<(RgbImage, Option<LabelImage>)>> {
    let Some(run) = runs.first().filter(|_| config.pictures > 0) else { return Ok(Vec::new()) };
    let test = Dataset::open(&resolve(&config.test), &run.config.target()?, run.config.data.on_damage)?;
    let count = config.pictures.min(test.len());
    (0..count)
        .map(|index| test.load(index * test.len() / count).map(|sample| (sample.photo, Some(sample.labels))))
        .collect()
}

/// The photos that the config names, and those of the folders that it names.
fn free_photos(config: &StudyConfig) -> Result<Vec<(RgbImage, Option<LabelImage>)>> {
    let mut paths = Vec::new();
    for path in &config.photos {
        match path.is_dir() {
            true => paths.extend(files_by_stem(path, &PHOTO_EXTENSIONS)?.into_values()),
            false => paths.push(path.clone()),
        }
    }
    paths.iter().map(|path| Ok((Photo::open(path, &Limits::default())?.rgb().clone(), None))).collect()
}
