//! The picture grids of a study: photo, truth where there is one, and what each network with each loss makes of it.

use clothseg::engine::EngineOptions;
use clothseg::{Limits, Photo, Segmenter};

use super::{PlannedRun, StudyConfig};
use crate::config::resolve;
use crate::data::{Dataset, PHOTO_EXTENSIONS, files_by_stem};
use crate::error::Result;
use crate::evaluate::pictures::{Contestant, Shown, side_by_side, spread};

/// Writes `grid.png` (test photos with truth) to the runs' folder and `photos.png` (photos without) to the output, of the
/// runs whose models are there, one seed of each. A picture that is there is not drawn again with fewer models.
pub(super) fn write(config: &StudyConfig, runs: &[PlannedRun], engine: &EngineOptions) -> Result<()> {
    let models = models(config, runs, engine)?;
    // A study that goes on in another checkout has the results of earlier runs and not their models.
    let is_missing = |run: &&PlannedRun| config.result_path(&run.name).is_file() && !run.model_path().is_file();
    let missing = runs.iter().filter(is_missing).count();
    for (path, photos) in [
        (config.runs_folder().join("grid.png"), test_photos(config, runs)?),
        (config.output.join("photos.png"), free_photos(config)?),
    ] {
        if models.is_empty() || photos.is_empty() {
            continue;
        }
        if missing > 0 && path.is_file() {
            tracing::warn!(
                "kept as it is, for {missing} runs were done where their models are not: {}",
                path.display()
            );
            continue;
        }
        side_by_side(&path, &models, &photos)?;
    }
    Ok(())
}

fn models(config: &StudyConfig, runs: &[PlannedRun], engine: &EngineOptions) -> Result<Vec<Contestant>> {
    let mut models: Vec<Contestant> = Vec::new();
    for run in runs.iter().filter(|run| config.result_path(&run.name).is_file() && run.model_path().is_file()) {
        let caption = format!("{} {}", run.network, run.loss);
        if models.iter().all(|model| model.caption != caption) {
            models.push(Contestant { caption, segmenter: Segmenter::open_with(run.model_path(), engine)? });
        }
    }
    Ok(models)
}

fn test_photos(config: &StudyConfig, runs: &[PlannedRun]) -> Result<Vec<Shown>> {
    let Some(run) = runs.first().filter(|_| config.pictures > 0) else { return Ok(Vec::new()) };
    let test = Dataset::open(&resolve(&config.test), &run.config.target()?, run.config.data.on_damage)?;
    spread(&test, config.pictures).collect()
}

/// The photos that the config names, and those of the folders that it names.
fn free_photos(config: &StudyConfig) -> Result<Vec<Shown>> {
    let mut paths = Vec::new();
    for path in &config.photos {
        match path.is_dir() {
            true => paths.extend(files_by_stem(path, &PHOTO_EXTENSIONS)?.into_values()),
            false => paths.push(path.clone()),
        }
    }
    paths.iter().map(|path| Ok((Photo::open(path, &Limits::default())?.rgb().clone(), None))).collect()
}
