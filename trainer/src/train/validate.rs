//! Scores on the network's own grid, after each epoch. `eval` scores what ships, at the photo's size.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use clothseg::preprocess::geometry;

use crate::config::Config;
use crate::data::augment::Example;
use crate::data::{Batch, Crop, Dataset, Frame, LabelSets, Sample};
use crate::device::cpu;
use crate::error::Result;
use crate::metrics::{Confusion, PerImage};
use crate::model::Network;
use crate::run::log::Scores;

/// Counts over a dataset.
#[derive(Clone, Debug)]
pub struct Validation {
    /// All pixels of all examples.
    pub confusion: Confusion,
    /// The study's score.
    pub per_image: PerImage,
    cross_entropy_sum: f64,
    pixels: u64,
}

impl Validation {
    fn new(confusion: Confusion) -> Self {
        Self { per_image: PerImage::new(confusion.classes()), confusion, cross_entropy_sum: 0.0, pixels: 0 }
    }

    /// Mean cross entropy a pixel.
    pub fn cross_entropy(&self) -> Option<f64> {
        (self.pixels > 0).then(|| self.cross_entropy_sum / self.pixels as f64)
    }

    /// All scores.
    pub fn scores(&self) -> Scores {
        Scores {
            mean_iou: self.confusion.mean_iou(),
            mean_garment_iou: self.confusion.mean_garment_iou(),
            any_garment_iou: self.confusion.any_garment_iou(),
            pixel_accuracy: self.confusion.pixel_accuracy(),
            study_mean_iou: self.per_image.mean(),
        }
    }

    /// The scores as facts for a model's description.
    pub fn facts(&self) -> serde_json::Map<String, serde_json::Value> {
        let scores = self.scores();
        [
            ("mean_iou", scores.mean_iou),
            ("mean_garment_iou", scores.mean_garment_iou),
            ("any_garment_iou", scores.any_garment_iou),
            ("pixel_accuracy", scores.pixel_accuracy),
            ("study_mean_iou", scores.study_mean_iou),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name.to_owned(), ((value * 1e4).round() / 1e4).into())))
        .collect()
    }
}

/// Runs a model in evaluation mode over a dataset; photos are fitted as at inference.
pub fn validate(model: &Network, dataset: &Dataset, config: &Config, device: &Device) -> Result<Validation> {
    let (taxonomy, sets) = (config.target()?.taxonomy, dataset.sets());
    let none = Confusion::of(&taxonomy, sets);
    // One at a time on a GPU, which has work for all its cores in one.
    let parallel = *device == cpu();
    let mut validation = Validation::new(none.clone());
    dataset.for_each(
        parallel,
        |sample| {
            let example = whole(&sample, config)?;
            let (labels, prediction, cross_entropy_sum) = evaluated(model, &example, config, sets, device);
            let mut confusion = none.clone();
            confusion.add(&labels, &prediction);
            Ok((confusion, cross_entropy_sum))
        },
        |(confusion, cross_entropy_sum)| {
            validation.per_image.add(&confusion);
            validation.pixels += confusion.total();
            validation.confusion.merge(&confusion);
            validation.cross_entropy_sum += cross_entropy_sum;
        },
    )?;
    Ok(validation)
}

/// A whole photo with its label, fitted as at inference.
pub(super) fn whole(sample: &Sample, config: &Config) -> Result<Example> {
    let (width, height) = sample.photo.dimensions();
    let at = geometry(&config.input_spec().fit, width, height);
    let frame = Frame { width: at.tensor_width, height: at.tensor_height, ..config.frame() };
    let whole = Crop {
        left: 0.0,
        top: 0.0,
        scale_x: f64::from(at.content_width) / f64::from(width),
        scale_y: f64::from(at.content_height) / f64::from(height),
        rotation_degrees: 0.0,
        flip: false,
    };
    whole.cut(sample, &frame)
}

/// On the output grid: the true classes, the likeliest ones, and the sum of the cross entropy.
pub(super) fn evaluated(
    model: &Network,
    example: &Example,
    config: &Config,
    sets: &LabelSets,
    device: &Device,
) -> (Vec<u8>, Vec<u8>, f64) {
    let batch = Batch::stack(std::slice::from_ref(example), &config.input_spec());
    let log_probabilities = log_softmax(model.evaluate(batch.picture_tensor(device)), 1);
    let (prediction, cross_entropy_sum) = read(log_probabilities, &batch.labels, sets);
    (batch.labels, prediction, cross_entropy_sum)
}

/// The likeliest class of each cell of `(1, C, H, W)`, and the sum of the cross entropy over the cells that count: `-log` of
/// the summed probability of the classes that a cell may be.
fn read(log_probabilities: Tensor<4>, labels: &[u8], sets: &LabelSets) -> (Vec<u8>, f64) {
    let values: Vec<f32> = log_probabilities.into_data().iter::<f32>().collect();
    let (cells, classes) = (labels.len(), sets.classes());
    let at = |class: usize, cell: usize| values[class * cells + cell];
    let likeliest =
        |cell: usize| (1..classes).fold(0, |best, class| if at(class, cell) > at(best, cell) { class } else { best });
    let prediction = (0..cells).map(|cell| likeliest(cell) as u8).collect();
    let cross_entropy = |(cell, label): (usize, &u8)| match usize::from(*label) {
        label if label < classes => Some(-f64::from(at(label, cell))),
        _ => {
            let members = sets.members(*label);
            let probability: f64 = members.iter().map(|class| f64::from(at(usize::from(*class), cell)).exp()).sum();
            (!members.is_empty()).then(|| -probability.max(f64::MIN_POSITIVE).ln())
        }
    };
    let sum = labels.iter().enumerate().filter_map(cross_entropy).sum();
    (prediction, sum)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::testing::{cut_off, write_noise};
    use crate::data::{OnDamage, Target};

    #[test]
    fn a_photo_that_is_cut_off_is_left_out_of_all_sums() {
        let root = tempfile::tempdir().unwrap();
        let text = include_str!("../../configs/garments-tiny.toml");
        let config: Config = toml::from_str(&text.replace("width = 0.25", "width = 0.0625")).unwrap();
        let target = Target::builtin("garments").unwrap();
        let model = config.network(target.classes()).init(&cpu(), 1);
        let of = |split: &str, stems: &[&str], on_damage| {
            let source = write_noise(root.path(), split, stems);
            if stems.contains(&"b") {
                cut_off(root.path(), split, "b");
            }
            let dataset = Dataset::open(&[source], &target, on_damage).unwrap();
            validate(&model, &dataset, &config, &cpu())
        };
        let whole = of("whole", &["a", "c"], OnDamage::Refuse).unwrap();
        let cut = of("cut", &["a", "b", "c"], OnDamage::Skip).unwrap();
        assert_eq!((&cut.confusion, &cut.per_image), (&whole.confusion, &whole.per_image));
        assert!(cut.cross_entropy().is_some() && cut.cross_entropy() == whole.cross_entropy());
        let error = of("cut", &["a", "b", "c"], OnDamage::Refuse).unwrap_err().to_string();
        assert!(error.contains("b.png"), "{error}");
    }
}
