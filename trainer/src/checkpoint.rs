//! The state of a run in one file, written whole or not at all.
//!
//! Layout: the eight bytes `CLOTHCK1`; the length of the header (u64, little-endian) and the header ([`State`] as JSON);
//! the length of the weights and the weights; the length of the optimiser's state and that state (both as Burn's pack).

use std::path::Path;

use burn::module::Module;
use burn::optim::{ModuleOptimizer, OptimizerRecord};
use burn::store::ModuleRecord;
use burn::tensor::Bytes;
use clothseg::batch::write_atomically;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::Network;

const MAGIC: &[u8; 8] = b"CLOTHCK1";

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Epoch that the next step belongs to, from 0.
    pub epoch: usize,
    /// Steps done in that epoch.
    pub step_in_epoch: usize,
    /// Steps done in the run.
    pub step: usize,
    /// Seconds of training so far, over all resumes.
    pub wall_s: f64,
    /// Best mean IoU on the validation data so far.
    pub best_mean_iou: Option<f64>,
    /// Scores of the last validation, for the model's description.
    #[serde(default)]
    pub scores: serde_json::Map<String, serde_json::Value>,
}

/// Writes a checkpoint.
pub fn save(path: &Path, state: &State, model: &Network, optimizer: &ModuleOptimizer) -> Result<()> {
    let fail = |cause: String| Error::file(path, format!("cannot be written: {cause}"));
    let header = serde_json::to_vec(state).map_err(|error| fail(error.to_string()))?;
    let weights = model.valid().into_record().into_bytes().map_err(|error| fail(error.to_string()))?;
    let moments = optimizer.to_record().into_bytes().map_err(|error| fail(error.to_string()))?;
    let mut bytes = MAGIC.to_vec();
    for part in [&header[..], &weights[..], &moments[..]] {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part);
    }
    Ok(write_atomically(path, &bytes)?)
}

/// A checkpoint as read.
pub struct Checkpoint {
    /// Where the run stood.
    pub state: State,
    weights: Vec<u8>,
    moments: Vec<u8>,
}

impl Checkpoint {
    /// Reads a checkpoint.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let fail = |cause: &str| Error::file(path, format!("is no whole checkpoint: {cause}"));
        let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(|| fail("it does not begin with CLOTHCK1"))?;
        let mut part = || {
            let (length, tail) = rest.split_first_chunk::<8>()?;
            let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
            let (part, tail) = tail.split_at_checked(length)?;
            rest = tail;
            Some(part)
        };
        let (Some(header), Some(weights), Some(moments)) = (part(), part(), part()) else {
            return Err(fail("it is cut off"));
        };
        let state = serde_json::from_slice(header).map_err(|error| fail(&error.to_string()))?;
        Ok(Self { state, weights: weights.to_vec(), moments: moments.to_vec() })
    }

    /// Puts the weights into a model of the same sizes.
    pub fn load_model(&self, path: &Path, model: Network) -> Result<Network> {
        ModuleRecord::from_bytes(Bytes::from_bytes_vec(self.weights.clone()))
            .and_then(|record| model.try_load_record(record))
            .map_err(|error| Error::file(path, format!("does not fit the config's network: {error}")))
    }

    /// Puts the moments into an optimiser.
    pub fn load_optimizer(&self, path: &Path, optimizer: ModuleOptimizer) -> Result<ModuleOptimizer> {
        let record = OptimizerRecord::from_bytes(Bytes::from_bytes_vec(self.moments.clone()));
        let record = record.map_err(|error| Error::file(path, error.to_string()))?;
        Ok(optimizer.load_record(record))
    }
}
