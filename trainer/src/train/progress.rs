//! What the log says of the steps since its last line.

use std::time::Instant;

use super::StepLoss;

/// Sums since the last line of the log.
pub(super) struct Progress {
    pub(super) start: Instant,
    pub(super) steps: usize,
    pub(super) images: usize,
    pub(super) loss: f64,
    pub(super) terms: Vec<f64>,
    pub(super) gradient_norm: f64,
}

impl Progress {
    pub(super) fn new(terms: usize) -> Self {
        Self { start: Instant::now(), steps: 0, images: 0, loss: 0.0, terms: vec![0.0; terms], gradient_norm: 0.0 }
    }

    pub(super) fn add(&mut self, loss: &StepLoss, images: usize) {
        self.steps += 1;
        self.images += images;
        self.loss += loss.weighted;
        self.gradient_norm += loss.gradient_norm;
        for (sum, term) in self.terms.iter_mut().zip(&loss.terms) {
            *sum += term;
        }
    }
}
