//! The tables of a sweep: a row for each choice of the last axis, a table for each combination of the others.

use std::fmt::Write as _;

use super::{Choice, Columns, RunResult, SweepConfig, TestScores};
use crate::evaluate::percent;
use crate::metrics::StudyScores;

/// The runs of one row: they differ in their seeds.
struct Row<'a> {
    title: &'a str,
    /// The published mean IoU over 2, 17 and 47 classes.
    published: Option<[f64; 3]>,
    runs: Vec<&'a RunResult>,
}

/// The tables as Markdown. With several seeds a figure is their mean, with the standard deviation behind it.
pub fn markdown_tables(sweep: &SweepConfig, results: &[RunResult]) -> String {
    let mut tables: Vec<(Vec<&Choice>, Vec<Row<'_>>)> = Vec::new();
    for choices in sweep.combinations() {
        let Some((last, others)) = choices.split_last() else { continue };
        let is_run = |result: &&RunResult| result.keys.iter().eq(choices.iter().map(|choice| &choice.key));
        let runs: Vec<&RunResult> = results.iter().filter(is_run).collect();
        if runs.is_empty() {
            continue;
        }
        let row = Row { title: &last.title, published: published(&choices), runs };
        let keys = |choices: &[&Choice]| choices.iter().map(|choice| choice.key.clone()).collect::<Vec<_>>();
        match tables.iter_mut().find(|(known, _)| keys(known) == keys(others)) {
            Some((_, rows)) => rows.push(row),
            None => tables.push((others.to_vec(), vec![row])),
        }
    }
    let mut text = String::new();
    for (others, rows) in &tables {
        let titles: Vec<&str> = others.iter().map(|choice| choice.title.as_str()).collect();
        if !titles.is_empty() {
            let _ = write!(text, "### {}\n\n", titles.join(", "));
        }
        let axis = sweep.axes.last().map_or("run", |axis| axis.name.as_str());
        match sweep.columns {
            Columns::Study => study_table(&mut text, axis, rows),
            Columns::Garments => garments_tables(&mut text, axis, sweep, rows),
        }
    }
    text
}

/// The published scores of a combination: of one of its choices, by the key of another.
fn published(choices: &[&Choice]) -> Option<[f64; 3]> {
    let of = |choice: &&Choice| choices.iter().find_map(|other| choice.published.get(&other.key).copied());
    choices.iter().find_map(of)
}

/// Appends a table of the study's scores on the first test.
fn study_table(text: &mut String, axis: &str, rows: &[Row<'_>]) {
    let weights = rows.iter().flat_map(|row| &row.runs).find_map(|run| run.parameters);
    if let Some(weights) = weights {
        let _ = write!(text, "{:.2} million weights. ", weights as f64 / 1e6);
    }
    let _ = writeln!(
        text,
        "Mean IoU by the study's protocol.\n\n\
         | {axis} | 2 classes | 17 classes | 47 classes | published 2 | 17 | 47 | runs | minutes a run |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    for row in rows {
        let figure = |score: fn(&StudyScores) -> Option<f64>| {
            mean_and_spread(&values(row, 0, |scores| score(&scores.study)), |value| format!("{value:.4}"))
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {:.1} |",
            row.title,
            figure(|scores| scores.two),
            figure(|scores| scores.seventeen),
            figure(|scores| scores.all),
            numbers(row.published).join(" | "),
            row.runs.len(),
            minutes(row),
        );
    }
    text.push('\n');
}

/// Appends a table of the sums of every test, and one of the classes for each test.
fn garments_tables(text: &mut String, axis: &str, sweep: &SweepConfig, rows: &[Row<'_>]) {
    let _ = write!(text, "| {axis} |");
    for test in &sweep.tests {
        let _ = write!(text, " {}: mean garment IoU | any-garment IoU |", test.title);
    }
    let _ = writeln!(text, " steps | minutes |\n| --- |{} ---: | ---: |", " ---: | ---: |".repeat(sweep.tests.len()));
    for row in rows {
        let _ = write!(text, "| {} |", row.title);
        for test in 0..sweep.tests.len() {
            let figure = |score: fn(&TestScores) -> Option<f64>| {
                mean_and_spread(&values(row, test, score), |value| percent(Some(value)))
            };
            let (mean, any) = (figure(|scores| scores.mean_garment_iou), figure(|scores| scores.any_garment_iou));
            let _ = write!(text, " {mean} | {any} |");
        }
        let steps = row.runs.first().map_or(0, |run| run.steps);
        let _ = writeln!(text, " {steps} | {:.1} |", minutes(row));
    }
    for (index, test) in sweep.tests.iter().enumerate() {
        class_table(text, axis, &test.title, index, rows);
    }
    text.push('\n');
}

/// Appends a table of the classes that the truth of a test shows.
fn class_table(text: &mut String, axis: &str, title: &str, test: usize, rows: &[Row<'_>]) {
    let first = rows.first().and_then(|row| row.runs.first()).and_then(|run| run.scores.get(test));
    let Some(first) = first else { return };
    let shown: Vec<usize> = (0..first.classes.len()).filter(|class| first.classes[*class].iou.is_some()).collect();
    let names: Vec<&str> = shown.iter().map(|class| first.classes[*class].name.as_str()).collect();
    let _ = writeln!(
        text,
        "\n### {title}, IoU of each class in percent\n\n{} photos.\n\n| {axis} | {} |\n| --- |{}",
        first.photos,
        names.join(" | "),
        " ---: |".repeat(names.len())
    );
    for row in rows {
        let figure = |class: &usize| {
            let of_class = |scores: &TestScores| scores.classes.get(*class).and_then(|class| class.iou);
            mean_and_spread(&values(row, test, of_class), |value| percent(Some(value)).replace(" %", ""))
        };
        let figures: Vec<String> = shown.iter().map(figure).collect();
        let _ = writeln!(text, "| {} | {} |", row.title, figures.join(" | "));
    }
}

/// A score of each of a row's runs on a test.
fn values(row: &Row<'_>, test: usize, score: impl Fn(&TestScores) -> Option<f64>) -> Vec<f64> {
    row.runs.iter().filter_map(|run| run.scores.get(test).and_then(&score)).collect()
}

fn minutes(row: &Row<'_>) -> f64 {
    row.runs.iter().map(|run| run.training_minutes).sum::<f64>() / row.runs.len().max(1) as f64
}

fn numbers(published: Option<[f64; 3]>) -> [String; 3] {
    published.map_or([const { String::new() }; 3], |scores| scores.map(|score| format!("{score:.4}")))
}

/// `0.1234`, or `0.1234 ± 0.0056` with the sample's standard deviation.
fn mean_and_spread(values: &[f64], show: impl Fn(f64) -> String) -> String {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    match values.len() {
        0 => "-".to_owned(),
        1 => show(mean),
        _ => {
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            format!("{} ± {}", show(mean), show((squares / (count - 1.0)).sqrt()))
        }
    }
}

/// One line for each run and test.
pub fn csv_table(sweep: &SweepConfig, results: &[RunResult]) -> String {
    let axes: Vec<&str> = sweep.axes.iter().map(|axis| axis.name.as_str()).collect();
    let mut text = format!(
        "run,{},seed,parameters,steps,training_minutes,test,photos,study_2,study_17,study_47,published_2,published_17,\
         published_47,mean_iou,mean_garment_iou,mean_dice,any_garment_iou,pixel_accuracy\n",
        axes.join(",")
    );
    let number = |value: Option<f64>| value.map(|value| format!("{value:.6}")).unwrap_or_default();
    let combinations = sweep.combinations();
    for result in results {
        let is_of = |choices: &&Vec<&Choice>| result.keys.iter().eq(choices.iter().map(|choice| &choice.key));
        let published = combinations.iter().find(is_of).and_then(|choices| published(choices));
        for (scores, test) in result.scores.iter().zip(&sweep.tests) {
            let StudyScores { two, seventeen, all } = scores.study;
            let sums = [
                scores.mean_iou,
                scores.mean_garment_iou,
                scores.mean_dice,
                scores.any_garment_iou,
                scores.pixel_accuracy,
            ];
            let _ = writeln!(
                text,
                "{},{},{},{},{},{:.1},\"{}\",{},{},{},{}",
                result.run,
                result.keys.join(","),
                result.seed,
                result.parameters.map(|count| count.to_string()).unwrap_or_default(),
                result.steps,
                result.training_minutes,
                test.title.replace('"', "\"\""),
                scores.photos,
                [two, seventeen, all].map(number).join(","),
                numbers(published).join(","),
                sums.map(number).join(",")
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::mean_and_spread;

    #[test]
    fn several_seeds_give_a_mean_and_the_samples_deviation() {
        let shown = |values: &[f64]| mean_and_spread(values, |value| format!("{value:.4}"));
        assert_eq!(shown(&[]), "-");
        assert_eq!(shown(&[0.25]), "0.2500");
        assert_eq!(shown(&[0.1, 0.2, 0.3]), "0.2000 ± 0.1000");
    }
}
