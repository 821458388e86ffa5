//! What became of each photo.

use std::fmt;
use std::path::PathBuf;

use clothseg::{ClassRegion, Result};
use serde::{Deserialize, Serialize};

use crate::timings::StageTimings;

/// How one photo ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The photo as its user names it.
    pub name: String,
    /// What became of it, or what went wrong.
    pub result: Result<Ended>,
}

/// What became of a photo that did not fail.
#[derive(Debug)]
#[non_exhaustive]
pub enum Ended {
    /// It was done.
    Done(Done),
    /// An earlier run had done it.
    Skipped {
        /// Why somebody should look at its result.
        review: Vec<Reason>,
    },
}

/// A photo that is done.
#[derive(Debug)]
#[non_exhaustive]
pub struct Done {
    /// Files written.
    pub files: Vec<PathBuf>,
    /// Classes wanted and found.
    pub regions: Vec<ClassRegion>,
    /// Why somebody should look at the result.
    pub review: Vec<Reason>,
    /// Where the time went.
    pub timings: StageTimings,
}

/// Why somebody should look at a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// None of the classes wanted is in the photo.
    NothingFound,
    /// The network is less sure of the garments than is asked for.
    LowConfidence,
    /// A garment reaches the edge of the photo: part of it may be missing.
    CutByFrame,
    /// The file is cut off, and what was missing of the photo is grey.
    Truncated,
}

impl Reason {
    /// The name, as it stands in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::NothingFound => "nothing-found",
            Self::LowConfidence => "low-confidence",
            Self::CutByFrame => "cut-by-frame",
            Self::Truncated => "truncated",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
