//! How much a pixel of each class counts in the loss, from how much of the training data the class fills.

use std::path::Path;

use clothseg_batch::write_atomically;
use serde::{Deserialize, Serialize};

use crate::config::{ClassWeightRule, ClassWeights};
pub use crate::data::ClassCount;
use crate::data::{Contents, Target};
use crate::error::{Error, Result};
use crate::run::RunFolder;

/// No class weighs more than this many times the median one: a class of a few hundred pixels would else drown all others
/// in each batch that shows it.
const LARGEST_TO_MEDIAN: f64 = 10.0;

/// Cui et al.'s beta.
const BETA: f64 = 0.999;

/// A weight for each class, above 0. With `C` classes that the data shows, and of a class the area `a` and the images `n`:
///
/// - inverse frequency: `sum(a) / (C a)`;
/// - median frequency: `median(f) / f`, where `f = a / n`;
/// - effective number: `w / mean(w)`, where `w = (1 - b) / (1 - b^n)` and `b` = 0.999;
/// - root frequency: `sqrt(median(a) / a)`.
///
/// A weight is at most ten times the median one. Classes that the data does not show have weight 1, which is never used.
pub fn weights(rule: ClassWeightRule, counts: &[ClassCount]) -> Vec<f32> {
    let shown: Vec<ClassCount> = counts.iter().copied().filter(|count| count.area > 0.0).collect();
    let all_area: f64 = shown.iter().map(|count| count.area).sum();
    let frequency = |count: &ClassCount| count.area / count.images;
    let effective = |count: &ClassCount| (1.0 - BETA) / (1.0 - BETA.powf(count.images));
    let median_frequency = median(shown.iter().map(frequency).collect());
    let median_area = median(shown.iter().map(|count| count.area).collect());
    let mean_effective = shown.iter().map(effective).sum::<f64>() / shown.len() as f64;
    let weight = |count: &ClassCount| match rule {
        ClassWeightRule::None => 1.0,
        ClassWeightRule::InverseFrequency => all_area / (shown.len() as f64 * count.area),
        ClassWeightRule::MedianFrequency => median_frequency / frequency(count),
        ClassWeightRule::EffectiveNumber => effective(count) / mean_effective,
        ClassWeightRule::RootFrequency => (median_area / count.area).sqrt(),
    };
    let largest = LARGEST_TO_MEDIAN * median(shown.iter().map(weight).collect());
    let weight = |count: &ClassCount| if count.area > 0.0 { weight(count).min(largest) as f32 } else { 1.0 };
    counts.iter().map(weight).collect()
}

/// The middle of the sorted values, or the mean of the two in the middle; 1 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 1.0,
        count if count % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// `class_weights.json` of a run: what a resume goes on with, even if the data has changed.
#[derive(Serialize, Deserialize)]
struct Table {
    rule: ClassWeightRule,
    classes: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    name: String,
    weight: f32,
    count: ClassCount,
}

/// The weights of a run's classes, background first, or nothing where all are 1. Those from data are made once, of the contents
/// of the training data, and written into the run's folder.
pub fn of_run(
    choice: &ClassWeights,
    folder: &RunFolder,
    resume: bool,
    contents: impl FnOnce() -> Result<Contents>,
    target: &Target,
) -> Result<Vec<f32>> {
    let rule = match choice {
        ClassWeights::List(weights) => {
            let mut weights = weights.clone();
            weights.resize(target.classes(), 1.0);
            return Ok(weights);
        }
        ClassWeights::Rule(ClassWeightRule::None) => return Ok(Vec::new()),
        ClassWeights::Rule(rule) => *rule,
    };
    let path = folder.class_weights();
    if resume && path.is_file() {
        return read(&path, target);
    }
    let contents = contents()?;
    let counts = contents.class_counts();
    let rows = target.taxonomy.classes.iter().zip(weights(rule, counts)).zip(counts.iter().copied());
    let rows = rows.map(|((class, weight), count)| Row { name: class.name.clone(), weight, count });
    let table = Table { rule, classes: rows.collect() };
    let text = serde_json::to_vec_pretty(&table).map_err(|error| Error::file(&path, error.to_string()))?;
    write_atomically(&path, &text)?;
    Ok(table.classes.into_iter().map(|row| row.weight).collect())
}

fn read(path: &Path, target: &Target) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let table: Table = serde_json::from_slice(&bytes).map_err(|error| Error::file(path, error.to_string()))?;
    let names = table.classes.iter().map(|row| &row.name);
    if !names.eq(target.taxonomy.classes.iter().map(|class| &class.name)) {
        return Err(Error::file(path, "has other classes than the config's taxonomy; delete it to count again"));
    }
    if !table.classes.iter().all(|row| row.weight > 0.0 && row.weight.is_finite()) {
        return Err(Error::file(path, "has a weight that is not above 0; delete it to count again"));
    }
    Ok(table.classes.into_iter().map(|row| row.weight).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(values: &[(f64, f64)]) -> Vec<ClassCount> {
        values.iter().map(|(area, images)| ClassCount { area: *area, images: *images }).collect()
    }

    /// Ten images: background fills 8 of them, shirt 1.5 in 5, hat 0.5 in 2; nobody wears a tie.
    const WARDROBE: [(f64, f64); 4] = [(8.0, 10.0), (1.5, 5.0), (0.5, 2.0), (0.0, 0.0)];

    #[test]
    fn inverse_frequency_by_hand() {
        // 10 / (3 * 8), 10 / (3 * 1.5), 10 / (3 * 0.5).
        let weights = weights(ClassWeightRule::InverseFrequency, &counts(&WARDROBE));
        assert_eq!(weights, [0.416_666_66, 2.222_222_3, 6.666_666_5, 1.0]);
    }

    #[test]
    fn median_frequency_by_hand() {
        // Frequencies 0.8, 0.3 and 0.25; the median is 0.3.
        let weights = weights(ClassWeightRule::MedianFrequency, &counts(&WARDROBE));
        assert_eq!(weights, [0.375, 1.0, 1.2, 1.0]);
    }

    #[test]
    fn effective_number_by_hand() {
        // 1 - 0.999^n is 0.001 at n = 1 and 0.001999 at n = 2: w = 1 and 1 / 1.999.
        let found = weights(ClassWeightRule::EffectiveNumber, &counts(&[(0.9, 2.0), (0.1, 1.0)]));
        let mean = (1.0 + 1.0 / 1.999) / 2.0;
        for (weight, expected) in found.iter().zip([1.0 / 1.999 / mean, 1.0 / mean]) {
            assert!((f64::from(*weight) - expected).abs() < 1e-6, "{weight} {expected}");
        }
    }

    #[test]
    fn root_frequency_by_hand() {
        // Areas 8, 1.5 and 0.5; the median is 1.5.
        let weights = weights(ClassWeightRule::RootFrequency, &counts(&WARDROBE));
        assert_eq!(weights, [0.1875_f32.sqrt(), 1.0, 3.0_f32.sqrt(), 1.0]);
    }

    #[test]
    fn a_rare_class_is_held_at_ten_medians() {
        let rare = [(5.0, 5.0), (1.0, 5.0), (1e-6, 1.0)];
        let found = weights(ClassWeightRule::InverseFrequency, &counts(&rare));
        assert!((found[2] - 10.0 * found[1]).abs() < 1e-4, "{found:?}");
    }

    #[test]
    fn a_choice_is_read_from_toml_and_a_wrong_one_explained() {
        #[derive(Deserialize)]
        struct Holder {
            weights: ClassWeights,
        }
        let read = |text: &str| toml::from_str::<Holder>(text).map(|holder| holder.weights);
        let rule = ClassWeights::Rule(ClassWeightRule::MedianFrequency);
        assert_eq!(read("weights = \"median-frequency\"").unwrap(), rule);
        assert_eq!(read("weights = [1, 2.5]").unwrap(), ClassWeights::List(vec![1.0, 2.5]));
        assert!(read("weights = \"median\"").unwrap_err().to_string().contains("effective-number"));
    }

    proptest! {
        #[test]
        fn weights_are_finite_above_nothing_and_fall_with_the_count(
            areas in prop::collection::vec((0.0..1.0_f64, 1_u32..1000), 1..20), rule in 1_usize..5
        ) {
            let rule = [
                ClassWeightRule::None,
                ClassWeightRule::InverseFrequency,
                ClassWeightRule::MedianFrequency,
                ClassWeightRule::EffectiveNumber,
                ClassWeightRule::RootFrequency,
            ][rule];
            let counts: Vec<ClassCount> = areas
                .iter()
                .map(|(share, images)| ClassCount { area: share * f64::from(*images), images: f64::from(*images) })
                .collect();
            let found = weights(rule, &counts);
            prop_assert_eq!(found.len(), counts.len());
            prop_assert!(found.iter().all(|weight| *weight > 0.0 && weight.is_finite()), "{:?}", found);
            let size = |count: &ClassCount| match rule {
                ClassWeightRule::InverseFrequency | ClassWeightRule::RootFrequency => count.area,
                ClassWeightRule::MedianFrequency => count.area / count.images,
                _ => count.images,
            };
            for (one, first) in counts.iter().zip(&found) {
                for (other, second) in counts.iter().zip(&found) {
                    let shown = one.area > 0.0 && other.area > 0.0;
                    prop_assert!(!shown || size(one) < size(other) || first <= second);
                }
            }
        }
    }
}
