//! The picture grids of a study: photo, truth where there is one, and what each network with each loss makes of it.

use clothseg::engine::EngineOptions;

use super::{PlannedRun, StudyConfig};
use crate::error::Result;

/// Writes the grids, of the runs whose models are there.
pub(super) fn write(_config: &StudyConfig, _runs: &[PlannedRun], _engine: &EngineOptions) -> Result<()> {
    Ok(())
}
