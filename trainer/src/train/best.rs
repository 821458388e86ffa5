//! Which epoch was best.

use super::Validation;
use crate::config::BestBy;

impl BestBy {
    /// The score of a validation; [`None`] where nothing was counted.
    pub fn score(self, validation: &Validation) -> Option<f64> {
        let scores = validation.scores();
        match self {
            BestBy::MeanIou => scores.mean_iou,
            BestBy::MeanGarmentIou => scores.mean_garment_iou,
            BestBy::StudyMeanIou => scores.study_mean_iou,
            BestBy::ValidLoss => validation.cross_entropy(),
        }
    }

    /// Whether `score` is better than the best so far. Equal is not better, and neither is what is no number.
    pub fn is_better(self, score: Option<f64>, best: Option<f64>) -> bool {
        match (score, best) {
            (Some(score), Some(best)) if self == BestBy::ValidLoss => score < best,
            (Some(score), Some(best)) => score > best,
            (Some(score), None) => !score.is_nan(),
            (None, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_iou_and_less_loss_is_better() {
        for (by, better, worse) in [(BestBy::MeanGarmentIou, 0.5, 0.4), (BestBy::ValidLoss, 0.4, 0.5)] {
            assert!(by.is_better(Some(better), Some(worse)) && !by.is_better(Some(worse), Some(better)));
            assert!(by.is_better(Some(worse), None) && !by.is_better(Some(worse), Some(worse)));
            assert!(!by.is_better(None, None) && !by.is_better(None, Some(worse)));
            assert!(!by.is_better(Some(f64::NAN), None) && !by.is_better(Some(f64::NAN), Some(worse)));
        }
    }
}
