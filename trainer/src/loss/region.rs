//! Losses that are ratios of regions: Dice, mean IoU, Tversky.
//!
//! For one class let `I = sum(p y)`, `P = sum(p)` and `Y = sum(y)`, sums over the pixels that count of one image (or of the
//! whole batch), `p` the softmax and `y` 1 where the class is true. A region loss is 1 minus the mean over classes (and
//! images) of a ratio of these.

use burn::tensor::{Tensor, TensorData};

use super::{Sums, Targets};
use crate::config::{AbsentClasses, Over};

/// The ratio, `s` being [`RegionConfig::smooth`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Region {
    /// `(2 I + s) / (P + Y + s)`: Milletari, Navab and Ahmadi, "V-Net", 2016, without their squares, as in the study.
    Dice,
    /// `(I + s) / (P + Y - I + s)`: the soft Jaccard index of Rahman and Wang, "Optimizing Intersection-Over-Union in Deep
    /// Neural Networks for Image Segmentation", 2016.
    MeanIou,
    /// `(I + s) / (I + a (P - I) + b (Y - I) + s)`: Salehi, Erdogmus and Gholipour, "Tversky Loss Function for Image
    /// Segmentation Using 3D Fully Convolutional Deep Networks", 2017.
    Tversky {
        /// Alpha: weight of a false alarm, `a`.
        false_alarms: f64,
        /// Beta: weight of a miss, `b`.
        misses: f64,
    },
}

/// How a region loss takes its means.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionConfig {
    /// Added to both parts of the ratio, in pixels.
    pub smooth: f64,
    /// What the sums go over.
    pub over: Over,
    /// What happens to absent classes.
    pub absent: AbsentClasses,
    /// Weight of each class in the mean; 1 where it is empty.
    pub class_weights: Vec<f32>,
}

impl Region {
    /// `1 - mean(ratio)` as a `(1)` tensor in 0 to 1; 0 where there is no class to count.
    pub fn loss(self, sums: &Sums, targets: &Targets, config: &RegionConfig) -> Tensor<1> {
        let over = |sums: &Tensor<2>| match config.over {
            Over::Image => sums.clone(),
            Over::Batch => sums.clone().sum_dim(0),
        };
        let (overlap, predicted, truth) = (over(&sums.overlap), over(&sums.predicted), over(&targets.counts));
        let (missed, smooth) = (self.missed(&overlap, &predicted, &truth), config.smooth);
        // 1 - ratio, as the part of the denominator that the numerator lacks: no difference of nearly equal numbers.
        let whole = match self {
            Region::Dice => overlap.mul_scalar(2.0).add(missed.clone()),
            _ => overlap.add(missed.clone()),
        };
        weighted_mean(missed.div(whole.add_scalar(smooth)), &truth, config)
    }

    /// Denominator less numerator.
    fn missed(self, overlap: &Tensor<2>, predicted: &Tensor<2>, truth: &Tensor<2>) -> Tensor<2> {
        let alarms = predicted.clone().sub(overlap.clone());
        let misses = truth.clone().sub(overlap.clone());
        match self {
            Region::Dice | Region::MeanIou => alarms.add(misses),
            Region::Tversky { false_alarms, misses: weight } => {
                alarms.mul_scalar(false_alarms).add(misses.mul_scalar(weight))
            }
        }
    }
}

/// The mean of `values` `(N, C)` over images and classes, weighted by class.
fn weighted_mean(values: Tensor<2>, truth: &Tensor<2>, config: &RegionConfig) -> Tensor<1> {
    let [images, classes] = values.dims();
    let mut weights = match config.class_weights.is_empty() {
        true => Tensor::ones([images, classes], &truth.device()),
        false => {
            let weights = TensorData::new(config.class_weights.clone(), [1, classes]);
            Tensor::<2>::from_data(weights, &truth.device()).expand([images, classes])
        }
    };
    if config.absent == AbsentClasses::Skip {
        weights = weights.mul(truth.clone().greater_elem(0.0).float());
    }
    let total = weights.clone().sum().clamp_min(1e-6);
    values.mul(weights).sum().div(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::IGNORE;
    use burn::tensor::Device;
    use clothseg_kernels::PixelWeights;

    const TVERSKY: Region = Region::Tversky { false_alarms: 0.3, misses: 0.7 };

    fn config(absent: AbsentClasses, smooth: f64) -> RegionConfig {
        RegionConfig { smooth, over: Over::Image, absent, class_weights: Vec::new() }
    }

    /// Class 0 has probabilities 0.8 and 0.4, class 1 the rest, class 2 none.
    fn value(region: Region, labels: &[u8], config: &RegionConfig) -> f32 {
        let device = Device::default();
        let targets = Targets::from_indices(labels, [1, 1, 2], 3, &[], &device);
        let probabilities = Tensor::<4>::from_floats([[[[0.8, 0.4]], [[0.2, 0.6]], [[1e-20, 1e-20]]]], &device);
        let sums = Sums::new(probabilities.log(), &targets, &PixelWeights::ones(1, 3), None);
        region.loss(&sums, &targets, config).into_scalar()
    }

    fn expect(value: f32, expected: f32) {
        assert!((value - expected).abs() < 1e-6, "{value} {expected}");
    }

    #[test]
    fn mean_iou_is_the_soft_jaccard_of_each_class() {
        // Class 0: I 0.8, P 1.2, Y 1; class 1: I 0.6, P 0.8, Y 1.
        let skip = |smooth| config(AbsentClasses::Skip, smooth);
        expect(value(Region::MeanIou, &[0, 1], &skip(1e-9)), 1.0 - (0.8 / 1.4 + 0.6 / 1.2) / 2.0);
        expect(value(Region::MeanIou, &[0, 1], &skip(1.0)), 1.0 - (1.8 / 2.4 + 1.6 / 2.2) / 2.0);
    }

    #[test]
    fn dice_and_tversky_are_their_ratios() {
        let skip = config(AbsentClasses::Skip, 0.01);
        expect(value(Region::Dice, &[0, 1], &skip), 1.0 - (1.61 / 2.21 + 1.21 / 1.81) / 2.0);
        let zero = 0.81 / (0.8 + 0.3 * 0.4 + 0.7 * 0.2 + 0.01);
        let one = 0.61 / (0.6 + 0.3 * 0.2 + 0.7 * 0.4 + 0.01);
        expect(value(TVERSKY, &[0, 1], &skip), 1.0 - (zero + one) / 2.0);
        let half = Region::Tversky { false_alarms: 0.5, misses: 0.5 };
        let without = config(AbsentClasses::Skip, 1e-9);
        expect(value(half, &[0, 1], &without), value(Region::Dice, &[0, 1], &without));
    }

    #[test]
    fn absent_classes_are_left_out_or_counted() {
        // Both pixels are class 0; class 1 is predicted with 0.8 in all and absent, class 2 is right to be empty.
        let present = 1.0 - (1.2 + 1.0) / (2.0 + 1.0);
        expect(value(Region::MeanIou, &[0, 0], &config(AbsentClasses::Skip, 1.0)), present);
        let counted = (present + (1.0 - 1.0 / 1.8) + 0.0) / 3.0;
        expect(value(Region::MeanIou, &[0, 0], &config(AbsentClasses::Count, 1.0)), counted);
    }

    #[test]
    fn classes_are_weighted_in_the_mean() {
        let weighted = RegionConfig { class_weights: vec![0.1, 1.0, 1.0], ..config(AbsentClasses::Skip, 1e-9) };
        let [zero, one] = [1.0 - 0.8 / 1.4, 1.0 - 0.6 / 1.2];
        expect(value(Region::MeanIou, &[0, 1], &weighted), (0.1 * zero + one) / 1.1);
    }

    #[test]
    fn the_batch_can_be_taken_as_one_image() {
        let device = Device::default();
        let targets = Targets::from_indices(&[0, 1], [2, 1, 1], 2, &[], &device);
        let probabilities = Tensor::<4>::from_floats([[[[0.8]], [[0.2]]], [[[0.4]], [[0.6]]]], &device);
        let sums = Sums::new(probabilities.log(), &targets, &PixelWeights::ones(2, 2), None);
        let over = |over| RegionConfig { over, ..config(AbsentClasses::Skip, 1e-9) };
        let batch: f32 = Region::MeanIou.loss(&sums, &targets, &over(Over::Batch)).into_scalar();
        expect(batch, 1.0 - (0.8 / 1.4 + 0.6 / 1.2) / 2.0);
        let image: f32 = Region::MeanIou.loss(&sums, &targets, &over(Over::Image)).into_scalar();
        expect(image, 1.0 - (0.8 + 0.6) / 2.0);
    }

    #[test]
    fn ignored_pixels_count_neither_as_truth_nor_as_prediction() {
        let skip = |smooth| config(AbsentClasses::Skip, smooth);
        expect(value(Region::MeanIou, &[0, IGNORE], &skip(1e-9)), 1.0 - 0.8 / 1.0);
        for region in [Region::MeanIou, Region::Dice, TVERSKY] {
            assert_eq!(value(region, &[IGNORE, IGNORE], &skip(1.0)), 0.0);
        }
    }
}
