use std::time::Duration;

use serde::{Deserialize, Serialize};

use clothseg::Timings;

/// Where the time of one photo, or of many, went, in milliseconds of one thread. What stages of different photos do at the
/// same time counts for each.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StageTimings {
    /// Reading the file and hashing it.
    #[serde(rename = "read")]
    pub read_ms: f64,
    /// File to pixels.
    #[serde(rename = "decode")]
    pub decode_ms: f64,
    /// Resizing and normalising.
    #[serde(rename = "preprocess")]
    pub preprocess_ms: f64,
    /// The network.
    #[serde(rename = "inference")]
    pub inference_ms: f64,
    /// Network output to label map.
    #[serde(rename = "postprocess")]
    pub postprocess_ms: f64,
    /// Encoding and writing the results.
    #[serde(rename = "write")]
    pub write_ms: f64,
    /// Waiting for the next stage.
    #[serde(rename = "wait")]
    pub wait_ms: f64,
}

impl StageTimings {
    /// The stages that work, with their names.
    pub fn work(&self) -> [(&'static str, f64); 6] {
        [
            ("read", self.read_ms),
            ("decode", self.decode_ms),
            ("preprocess", self.preprocess_ms),
            ("network", self.inference_ms),
            ("postprocess", self.postprocess_ms),
            ("write", self.write_ms),
        ]
    }

    pub(super) fn add_network(&mut self, timings: Timings) {
        self.preprocess_ms += timings.preprocess_ms;
        self.inference_ms += timings.inference_ms;
        self.postprocess_ms += timings.postprocess_ms;
    }

    /// Calls what is left of `total` waiting.
    pub(super) fn with_total(mut self, total: Duration) -> Self {
        let work: f64 = self.work().iter().map(|(_, ms)| ms).sum();
        self.wait_ms = (milliseconds(total) - work).max(0.0);
        self
    }

    /// As many decimals as mean something.
    pub(super) fn rounded(self) -> Self {
        let round = |ms: f64| (ms * 1e3).round() / 1e3;
        Self {
            read_ms: round(self.read_ms),
            decode_ms: round(self.decode_ms),
            preprocess_ms: round(self.preprocess_ms),
            inference_ms: round(self.inference_ms),
            postprocess_ms: round(self.postprocess_ms),
            write_ms: round(self.write_ms),
            wait_ms: round(self.wait_ms),
        }
    }
}

impl std::ops::AddAssign for StageTimings {
    fn add_assign(&mut self, other: Self) {
        self.read_ms += other.read_ms;
        self.decode_ms += other.decode_ms;
        self.preprocess_ms += other.preprocess_ms;
        self.inference_ms += other.inference_ms;
        self.postprocess_ms += other.postprocess_ms;
        self.write_ms += other.write_ms;
        self.wait_ms += other.wait_ms;
    }
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
