//! The study's tables: one a network, a row a loss, with the published figures beside ours.

use std::fmt::Write as _;

use super::{LossEntry, NetworkEntry, RunResult, StudyConfig};
use crate::metrics::StudyScores;

/// One table a network as Markdown. With several seeds a figure is their mean, with the standard deviation behind it.
pub fn markdown_tables(config: &StudyConfig, results: &[RunResult]) -> String {
    let mut text = String::new();
    for network in &config.networks {
        let rows: Vec<String> = config.losses.iter().filter_map(|loss| row(network, loss, results)).collect();
        if rows.is_empty() {
            continue;
        }
        let weights = results.iter().find(|result| result.network == network.key).map_or(0, |result| result.parameters);
        let _ = writeln!(
            text,
            "### {}\n\n{:.2} million weights. Mean IoU by the study's protocol.\n\n\
             | loss | 2 classes | 17 classes | 47 classes | published 2 | 17 | 47 | runs | minutes a run |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n{}",
            network.title,
            weights as f64 / 1e6,
            rows.concat()
        );
    }
    text
}

fn row(network: &NetworkEntry, loss: &LossEntry, results: &[RunResult]) -> Option<String> {
    let runs: Vec<&RunResult> =
        results.iter().filter(|result| result.network == network.key && result.loss == loss.key).collect();
    if runs.is_empty() {
        return None;
    }
    let figure = |score: fn(&StudyScores) -> Option<f64>| {
        let values: Vec<f64> = runs.iter().filter_map(|run| score(&run.study)).collect();
        mean_and_spread(&values)
    };
    let published = loss.published.get(&network.key);
    let published = published.map_or([const { String::new() }; 3], |scores| scores.map(|score| format!("{score:.4}")));
    let minutes = runs.iter().map(|run| run.training_minutes).sum::<f64>() / runs.len() as f64;
    Some(format!(
        "| {} | {} | {} | {} | {} | {} | {minutes:.1} |\n",
        loss.title,
        figure(|scores| scores.two),
        figure(|scores| scores.seventeen),
        figure(|scores| scores.all),
        published.join(" | "),
        runs.len(),
    ))
}

/// `0.1234`, or `0.1234 ± 0.0056` with the sample's standard deviation.
fn mean_and_spread(values: &[f64]) -> String {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    match values.len() {
        0 => "-".to_owned(),
        1 => format!("{mean:.4}"),
        _ => {
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            format!("{mean:.4} ± {:.4}", (squares / (count - 1.0)).sqrt())
        }
    }
}

/// One line a run.
pub fn csv_table(config: &StudyConfig, results: &[RunResult]) -> String {
    let mut text = String::from(
        "run,network,loss,seed,parameters,steps,training_minutes,study_2,study_17,study_47,\
         published_2,published_17,published_47,mean_iou,mean_dice,any_garment_iou,pixel_accuracy\n",
    );
    let number = |value: Option<f64>| value.map(|value| format!("{value:.6}")).unwrap_or_default();
    for result in results {
        let published = config
            .losses
            .iter()
            .find(|loss| loss.key == result.loss)
            .and_then(|loss| loss.published.get(&result.network))
            .map_or([const { String::new() }; 3], |scores| scores.map(|score| format!("{score:.4}")));
        let StudyScores { two, seventeen, all } = result.study;
        let scores = [two, seventeen, all].map(number);
        let sums = [result.mean_iou, result.mean_dice, result.any_garment_iou, result.pixel_accuracy].map(number);
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{:.1},{},{},{}",
            result.run,
            result.network,
            result.loss,
            result.seed,
            result.parameters,
            result.steps,
            result.training_minutes,
            scores.join(","),
            published.join(","),
            sums.join(",")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::mean_and_spread;

    #[test]
    fn several_seeds_give_a_mean_and_the_samples_deviation() {
        assert_eq!(mean_and_spread(&[]), "-");
        assert_eq!(mean_and_spread(&[0.25]), "0.2500");
        assert_eq!(mean_and_spread(&[0.1, 0.2, 0.3]), "0.2000 ± 0.1000");
    }
}
