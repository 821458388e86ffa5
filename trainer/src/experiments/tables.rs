//! The tables of a series: a row an experiment.

use std::fmt::Write as _;

use super::{ExperimentResult, ExperimentsConfig};
use crate::evaluate::percent;

/// All scores as Markdown: the sums of every test, then the classes of each.
pub fn markdown_tables(series: &ExperimentsConfig, results: &[(String, ExperimentResult)]) -> String {
    let mut text = String::from("| experiment |");
    for test in &series.tests {
        let _ = write!(text, " {}: mean garment IoU | any-garment IoU |", test.title);
    }
    let _ = writeln!(text, " steps | minutes |\n| --- |{} ---: | ---: |", " ---: | ---: |".repeat(series.tests.len()));
    for (title, result) in results {
        let _ = write!(text, "| {title} |");
        for scores in &result.scores {
            let _ = write!(text, " {} | {} |", percent(scores.mean_garment_iou), percent(scores.any_garment_iou));
        }
        let _ = writeln!(text, " {} | {:.1} |", result.steps, result.training_minutes);
    }
    for (index, test) in series.tests.iter().enumerate() {
        let Some(first) = results.first().and_then(|(_, result)| result.scores.get(index)) else { continue };
        let shown: Vec<usize> = (0..first.classes.len()).filter(|class| first.classes[*class].iou.is_some()).collect();
        let names: Vec<&str> = shown.iter().map(|class| first.classes[*class].name.as_str()).collect();
        let _ = writeln!(
            text,
            "\n### {}, IoU of each class in percent\n\n{} photos.\n\n| experiment | {} |\n| --- |{}",
            test.title,
            first.photos,
            names.join(" | "),
            " ---: |".repeat(names.len())
        );
        for (title, result) in results {
            let classes = result.scores.get(index).map(|scores| &scores.classes[..]).unwrap_or_default();
            let figures: Vec<String> = (shown.iter())
                .map(|class| percent(classes.get(*class).and_then(|class| class.iou)).replace(" %", ""))
                .collect();
            let _ = writeln!(text, "| {title} | {} |", figures.join(" | "));
        }
    }
    text
}
