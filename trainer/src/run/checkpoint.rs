//! The state of a run in one file, written whole or not at all.
//!
//! Layout: the eight bytes `CLOTHCK2`; the length of the header (u64, little-endian) and the header ([`State`] as JSON);
//! the length of the weights and the weights; the length of the optimiser's state and that state; the length of the moving
//! average of the weights, 0 where there is none, and that average (all three as Burn's pack); then the eight bytes
//! `+BLAKE3+` and the BLAKE3 hash of all before them. Checkpoints of earlier versions end without these, and those versions
//! do not look at what follows the average.

use std::ffi::OsStr;
use std::path::Path;

use burn::module::Module;
use burn::optim::{ModuleOptimizer, OptimizerRecord};
use burn::store::ModuleRecord;
use burn::tensor::Bytes;
use clothseg_batch::write_atomically;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::Network;

const MAGIC: &[u8; 8] = b"CLOTHCK2";
/// What checkpoints without an average began with.
const MAGIC_1: &[u8; 8] = b"CLOTHCK1";
/// What the hash of the contents follows.
const HASH_MARK: &[u8; 8] = b"+BLAKE3+";

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
    /// The best value of `train.best_by` on the validation data so far.
    pub best_score: Option<f64>,
    /// Epochs that were done when it was reached.
    pub best_epoch: usize,
    /// Scores of the best validation, for the model's description.
    #[serde(default)]
    pub scores: serde_json::Map<String, serde_json::Value>,
}

/// Writes a checkpoint. `average` is the moving average of the weights, where the run keeps one.
pub fn save(
    path: &Path,
    state: &State,
    model: &Network,
    optimizer: &ModuleOptimizer,
    average: Option<&Network>,
) -> Result<()> {
    let fail = |cause: String| Error::file(path, format!("cannot be written: {cause}"));
    let pack = |model: Network| model.into_record().into_bytes().map_err(|error| fail(error.to_string()));
    let header = serde_json::to_vec(state).map_err(|error| fail(error.to_string()))?;
    let weights = pack(model.valid())?;
    let moments = optimizer.to_record().into_bytes().map_err(|error| fail(error.to_string()))?;
    let average = average.cloned().map(pack).transpose()?;
    let average = average.as_ref().map_or(&[][..], |average| &average[..]);
    let mut bytes = MAGIC.to_vec();
    for part in [&header[..], &weights[..], &moments[..], average] {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part);
    }
    bytes.extend(checksum(&bytes));
    Ok(write_atomically(path, &bytes)?)
}

/// What follows `contents` at the end of the file.
fn checksum(contents: &[u8]) -> Vec<u8> {
    [&HASH_MARK[..], blake3::hash(contents).as_bytes()].concat()
}

/// A checkpoint as read.
pub struct Checkpoint {
    /// Where the run stood.
    pub state: State,
    weights: Vec<u8>,
    moments: Vec<u8>,
    average: Vec<u8>,
}

impl Checkpoint {
    /// Reads a checkpoint.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        if bytes.starts_with(MAGIC_1) {
            let cause = "was written by an earlier version (CLOTHCK1) and cannot be resumed; train again, or export it with \
                         that version";
            return Err(Error::file(path, cause));
        }
        let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(|| damaged(path, "it does not begin with CLOTHCK2"))?;
        let mut part = || {
            let (length, tail) = rest.split_first_chunk::<8>()?;
            let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
            let (part, tail) = tail.split_at_checked(length)?;
            rest = tail;
            Some(part)
        };
        let (Some(header), Some(weights), Some(moments), Some(average)) = (part(), part(), part(), part()) else {
            return Err(damaged(path, "it is cut off"));
        };
        // Checkpoints of earlier versions end here.
        if !rest.is_empty() && rest != checksum(&bytes[..bytes.len() - rest.len()]) {
            return Err(damaged(path, "its contents are not those that were written"));
        }
        let state = serde_json::from_slice(header).map_err(|error| damaged(path, &error.to_string()))?;
        Ok(Self { state, weights: weights.to_vec(), moments: moments.to_vec(), average: average.to_vec() })
    }

    /// Puts what is to be used into a model of the same sizes: the average where the run kept one, else the weights.
    pub fn load_model(&self, path: &Path, model: Network) -> Result<Network> {
        load(path, if self.average.is_empty() { &self.weights } else { &self.average }, model)
    }

    /// Puts the weights themselves into a model of the same sizes, to train on.
    pub fn load_weights(&self, path: &Path, model: Network) -> Result<Network> {
        load(path, &self.weights, model)
    }

    /// Puts the average, where the run kept one, into a model of the same sizes.
    pub fn load_average(&self, path: &Path, model: Network) -> Result<Option<Network>> {
        (!self.average.is_empty()).then(|| load(path, &self.average, model)).transpose()
    }

    /// Puts the moments into an optimiser.
    pub fn load_optimizer(&self, path: &Path, optimizer: ModuleOptimizer) -> Result<ModuleOptimizer> {
        let record = OptimizerRecord::from_bytes(Bytes::from_bytes_vec(self.moments.clone()));
        let record = record.map_err(|error| Error::file(path, error.to_string()))?;
        Ok(optimizer.load_record(record))
    }
}

/// The error of a file that is no whole checkpoint, with what to do by its name.
fn damaged(path: &Path, cause: &str) -> Error {
    let remedy = match path.file_name().and_then(OsStr::to_str) {
        Some("best.ckpt") => "the last checkpoint may be whole: take it with `export --last`",
        // The best one holds the whole state too, of the end of an earlier epoch.
        Some("last.ckpt") => {
            "copy the run's best.ckpt over it to go on after the best epoch, or start anew in another run folder; `export` \
             without --last takes best.ckpt"
        }
        _ => "take another checkpoint",
    };
    Error::file(path, format!("is damaged, or not a checkpoint: {cause}; {remedy}"))
}

fn load(path: &Path, weights: &[u8], model: Network) -> Result<Network> {
    ModuleRecord::from_bytes(Bytes::from_bytes_vec(weights.to_vec()))
        .and_then(|record| model.try_load_record(record))
        .map_err(|error| Error::file(path, format!("does not fit the config's network: {error}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_checkpoint_is_refused_with_the_reason() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = |bytes: &[u8]| {
            std::fs::write(file.path(), bytes).unwrap();
            Checkpoint::open(file.path()).err().unwrap().to_string()
        };
        assert!(refused(b"CLOTHCK1 and more").contains("earlier version"));
        assert!(refused(b"PK").contains("does not begin with CLOTHCK2"));
        assert!(refused(b"CLOTHCK2\x02\0\0\0\0\0\0\0{}").contains("cut off"));
        assert!(refused(&[b"CLOTHCK2", [255; 8].as_slice(), b"{}"].concat()).contains("cut off"));
        assert!(refused(&[parts().as_slice(), b"more"].concat()).contains("not those that were written"));
    }

    /// A state and nothing else, without a checksum.
    fn parts() -> Vec<u8> {
        let header = serde_json::to_vec(&State::default()).unwrap();
        let length = (header.len() as u64).to_le_bytes();
        [&MAGIC[..], &length, &header, &[0; 24]].concat()
    }

    #[test]
    fn a_checksum_covers_every_byte_and_may_be_missing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let opens = |bytes: &[u8]| {
            std::fs::write(file.path(), bytes).unwrap();
            Checkpoint::open(file.path()).is_ok()
        };
        assert!(opens(&parts()));
        let whole = [parts(), checksum(&parts())].concat();
        assert!(opens(&whole));
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 4;
            assert!(!opens(&flipped), "{place}");
        }
    }
}
