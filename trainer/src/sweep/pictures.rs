//! The picture grids of a sweep: photo, truth where there is one, and the prediction of each run's model.

use clothseg::engine::EngineOptions;
use clothseg::{Limits, Photo, Segmenter};

use super::{PlannedRun, SweepConfig};
use crate::counted::counted;
use crate::data::{Dataset, photos_of, resolve};
use crate::error::Result;
use crate::evaluate::pictures::{CaptionedModel, Shown, side_by_side, spread};

/// Writes `grid.png` (test photos with truth) to the runs' folder and `photos.png` (photos without) to the output, of the
/// runs whose models are there, one seed of each. A picture that is there is not drawn again with fewer models.
pub(super) fn write(sweep: &SweepConfig, runs: &[PlannedRun], engine: &EngineOptions) -> Result<()> {
    if sweep.pictures == 0 && sweep.photos.is_empty() {
        return Ok(());
    }
    let models = models(sweep, runs, engine)?;
    // A sweep that goes on in another checkout has the results of earlier runs and not their models.
    let is_missing = |run: &&PlannedRun| sweep.result_path(&run.name).is_file() && !run.model_path().is_file();
    let missing = runs.iter().filter(is_missing).count();
    for (path, photos) in [
        (sweep.runs_folder().join("grid.png"), test_photos(sweep, runs)?),
        (sweep.output.join("photos.png"), free_photos(sweep)?),
    ] {
        if models.is_empty() || photos.is_empty() {
            continue;
        }
        if missing > 0 && path.is_file() {
            let path = path.display();
            let models = counted(missing, "run has no model in its folder", "runs have no model in their folders");
            tracing::warn!("{path} is kept as it is: {models}");
            continue;
        }
        side_by_side(&path, &models, &photos)?;
    }
    Ok(())
}

fn models(sweep: &SweepConfig, runs: &[PlannedRun], engine: &EngineOptions) -> Result<Vec<CaptionedModel>> {
    let mut models: Vec<CaptionedModel> = Vec::new();
    for run in runs.iter().filter(|run| sweep.result_path(&run.name).is_file() && run.model_path().is_file()) {
        let caption = run.keys.join(" ");
        if models.iter().all(|model| model.caption != caption) {
            models.push(CaptionedModel { caption, segmenter: Segmenter::open_with(run.model_path(), engine)? });
        }
    }
    Ok(models)
}

fn test_photos(sweep: &SweepConfig, runs: &[PlannedRun]) -> Result<Vec<Shown>> {
    let run = runs.first().filter(|_| sweep.pictures > 0);
    let Some((run, test)) = run.zip(sweep.tests.first()) else { return Ok(Vec::new()) };
    let test = Dataset::open(&resolve(&test.sources), &run.config.target()?, run.config.data.on_damage)?;
    spread(&test, sweep.pictures).collect()
}

/// The photos that the config names, and those of the folders that it names.
fn free_photos(sweep: &SweepConfig) -> Result<Vec<Shown>> {
    let mut paths = Vec::new();
    for path in &sweep.photos {
        match path.is_dir() {
            true => paths.extend(photos_of(path)?.into_values()),
            false => paths.push(path.clone()),
        }
    }
    paths.iter().map(|path| Ok((Photo::open(path, &Limits::default())?.rgb().clone(), None))).collect()
}
