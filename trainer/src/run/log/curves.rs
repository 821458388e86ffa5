//! Charts of runs, from their logs.

use std::path::{Path, PathBuf};

use super::chart::{Chart, Scale, Series};
use super::csv::{Row, read};
use crate::error::Result;

/// Draws `loss.png` and `scores.png` from the `log.csv` of a run's folder. A chart without any value is not written.
/// Returns the files.
pub fn run_charts(folder: &Path) -> Result<Vec<PathBuf>> {
    let rows = read(&folder.join("log.csv"))?;
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let charts = [("loss.png", loss_chart(&name, &rows)), ("scores.png", scores_chart(&name, &rows))];
    let written = charts.into_iter().filter(|(_, chart)| !chart.series.is_empty());
    written.map(|(file, chart)| write(chart, folder.join(file))).collect()
}

/// Draws `training-loss.png`, `validation-loss.png` and `mean-iou.png`: runs, name and `log.csv`, beside each other, the
/// best first in the legend. A chart without any value is not written. Returns the files.
pub fn compare_charts(runs: &[(String, PathBuf)], output: &Path) -> Result<Vec<PathBuf>> {
    let logs: Vec<(&str, Vec<Row>)> =
        runs.iter().map(|(name, log)| Ok((name.as_str(), read(log)?))).collect::<Result<_>>()?;
    let chart = |title: &str, y_label: &str, y_scale: Option<Scale>, series: Vec<Series>| Chart {
        title: title.to_owned(),
        x_label: "epoch".to_owned(),
        y_label: y_label.to_owned(),
        y_scale: y_scale.unwrap_or_else(|| Scale::fitting(&series)),
        y_range: None,
        series,
    };
    let loss = ranked(&logs, epoch_losses, f64::min);
    let valid = ranked(&logs, |rows| by_epoch(rows, |row| row.valid_loss), f64::min);
    let scores = ranked(&logs, |rows| by_epoch(rows, |row| row.scores.mean_iou), f64::max);
    let charts = [
        ("training-loss.png", chart("Training loss (in the legend: the lowest)", "weighted sum of terms", None, loss)),
        ("validation-loss.png", chart("Validation loss (in the legend: the lowest)", "cross entropy", None, valid)),
        ("mean-iou.png", chart("Validation (in the legend: the highest)", "mean IoU", Some(Scale::Linear), scores)),
    ];
    let written = charts.into_iter().filter(|(_, chart)| !chart.series.is_empty());
    written.map(|(file, chart)| write(chart, output.join(file))).collect()
}

/// A line a run, named by its best value (`best` is the least or the greatest of two), the best run first.
fn ranked(logs: &[(&str, Vec<Row>)], points: fn(&[Row]) -> Vec<(f64, f64)>, best: fn(f64, f64) -> f64) -> Vec<Series> {
    let mut ranked: Vec<(f64, Series)> = (logs.iter())
        .map(|(name, rows)| (name, points(rows)))
        .filter(|(_, points)| !points.is_empty())
        .map(|(name, points)| {
            let value = points.iter().map(|(_, y)| *y).fold(f64::NAN, best);
            (value, Series { name: format!("{value:.3}  {name}"), points })
        })
        .collect();
    let rises = best(0.0, 1.0) == 1.0;
    ranked.sort_by(|(a, _), (b, _)| if rises { b.total_cmp(a) } else { a.total_cmp(b) });
    ranked.into_iter().map(|(_, series)| series).collect()
}

fn write(chart: Chart, path: PathBuf) -> Result<PathBuf> {
    chart.write(&path)?;
    Ok(path)
}

/// The training loss with its terms, and the validation loss, by step.
fn loss_chart(name: &str, rows: &[Row]) -> Chart {
    let mut series = vec![
        Series { name: "validation: cross entropy".to_owned(), points: by_step(rows, |row| row.valid_loss) },
        Series { name: "training".to_owned(), points: by_step(rows, |row| row.loss) },
    ];
    let mut terms: Vec<&str> = Vec::new();
    for (term, _) in rows.iter().flat_map(Row::terms) {
        if !terms.contains(&term) {
            terms.push(term);
        }
    }
    // The only term of a loss is the loss, but for its weight.
    for term in terms.iter().filter(|_| terms.len() > 1) {
        let value = |row: &Row| row.terms().find(|(name, _)| name == term).map(|(_, value)| value);
        series.push(Series { name: format!("training: {term}"), points: by_step(rows, value) });
    }
    series.retain(|series| !series.points.is_empty());
    Chart {
        title: format!("{name}: loss"),
        x_label: "step".to_owned(),
        y_label: "loss".to_owned(),
        y_scale: Scale::fitting(&series),
        y_range: None,
        series,
    }
}

fn scores_chart(name: &str, rows: &[Row]) -> Chart {
    type Score = fn(&Row) -> Option<f64>;
    let scores: [(&str, Score); 5] = [
        ("mean IoU", |row| row.scores.mean_iou),
        ("mean IoU without background", |row| row.scores.mean_garment_iou),
        ("any-garment IoU", |row| row.scores.any_garment_iou),
        ("pixel accuracy", |row| row.scores.pixel_accuracy),
        ("mean of per-image IoU", |row| row.scores.study_mean_iou),
    ];
    let series = scores.map(|(name, score)| Series { name: name.to_owned(), points: by_epoch(rows, score) });
    Chart {
        title: format!("{name}: validation"),
        x_label: "epoch".to_owned(),
        y_label: "score".to_owned(),
        y_scale: Scale::Linear,
        y_range: Some((0.0, 1.0)),
        series: series.into_iter().filter(|series| !series.points.is_empty()).collect(),
    }
}

fn by_step(rows: &[Row], value: impl Fn(&Row) -> Option<f64>) -> Vec<(f64, f64)> {
    rows.iter().filter_map(|row| Some((row.step as f64, value(row)?))).collect()
}

fn by_epoch(rows: &[Row], value: impl Fn(&Row) -> Option<f64>) -> Vec<(f64, f64)> {
    rows.iter().filter_map(|row| Some((row.epoch as f64, value(row)?))).collect()
}

/// The mean training loss of each epoch: a row counts by its steps.
fn epoch_losses(rows: &[Row]) -> Vec<(f64, f64)> {
    let mut epochs: Vec<(usize, f64, f64)> = Vec::new();
    let mut before = 0;
    for row in rows.iter().filter(|row| row.kind == "train") {
        let steps = row.step.saturating_sub(before) as f64;
        before = row.step;
        let Some(loss) = row.loss else { continue };
        match epochs.last_mut().filter(|(epoch, ..)| *epoch == row.epoch) {
            Some((_, sum, weight)) => (*sum, *weight) = (*sum + loss * steps, *weight + steps),
            None => epochs.push((row.epoch, loss * steps, steps)),
        }
    }
    epochs.retain(|(_, _, weight)| *weight > 0.0);
    epochs.into_iter().map(|(epoch, sum, weight)| (epoch as f64, sum / weight)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::csv::{CsvLog, Scores};
    use super::*;

    fn train(epoch: usize, step: usize, loss: f64) -> Row {
        let loss_terms = format!("ce={loss} miou={}", loss / 2.0);
        Row { kind: "train", epoch, step, loss: Some(loss), loss_terms, ..Row::default() }
    }

    fn valid(epoch: usize, step: usize, mean_iou: f64) -> Row {
        let scores = Scores { mean_iou: Some(mean_iou), ..Scores::default() };
        Row { kind: "valid", epoch, step, valid_loss: Some(1.0 - mean_iou), scores, ..Row::default() }
    }

    fn log(folder: &Path, rows: &[Row]) -> PathBuf {
        let path = folder.join("log.csv");
        let mut log = CsvLog::open(&path).unwrap();
        rows.iter().for_each(|row| log.write(row).unwrap());
        path
    }

    #[test]
    fn an_epochs_loss_weighs_rows_by_their_steps() {
        let rows = [train(1, 3, 4.0), train(1, 4, 2.0), valid(1, 4, 0.2), train(2, 8, 1.5)];
        assert_eq!(epoch_losses(&rows), [(1.0, 3.5), (2.0, 1.5)]);
    }

    #[test]
    fn the_loss_chart_has_a_line_for_each_term() {
        let rows = [train(1, 4, 2.0), valid(1, 4, 0.25), train(2, 8, 1.0)];
        let chart = loss_chart("run", &rows);
        let names: Vec<&str> = chart.series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, ["validation: cross entropy", "training", "training: ce", "training: miou"]);
        assert_eq!(chart.series[0].points, [(4.0, 0.75)]);
        assert_eq!(chart.series[3].points, [(4.0, 1.0), (8.0, 0.5)]);
    }

    #[test]
    fn a_run_gets_the_charts_that_it_has_values_for() {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), &[]);
        assert!(run_charts(folder.path()).unwrap().is_empty());
        log(folder.path(), &[train(1, 4, 2.0)]);
        assert_eq!(run_charts(folder.path()).unwrap(), [folder.path().join("loss.png")]);
        log(folder.path(), &[valid(1, 4, 0.5)]);
        let written = run_charts(folder.path()).unwrap();
        assert_eq!(written.len(), 2);
        assert!(image::open(&written[1]).unwrap().width() > 0);
    }

    #[test]
    fn runs_are_compared_best_first() {
        let folder = tempfile::tempdir().unwrap();
        let runs: Vec<(String, PathBuf)> = [0.2, 0.6, 0.4]
            .into_iter()
            .map(|score| {
                let run = folder.path().join(score.to_string());
                std::fs::create_dir(&run).unwrap();
                (score.to_string(), log(&run, &[train(1, 4, 3.0 - score), valid(1, 4, score), valid(2, 8, 0.1)]))
            })
            .collect();
        let output = folder.path().join("charts");
        let written = compare_charts(&runs, &output).unwrap();
        let names: Vec<_> = written.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["training-loss.png", "validation-loss.png", "mean-iou.png"]);
        assert!(written.iter().all(|path| image::open(path).unwrap().width() > 0));
        let logs: Vec<(&str, Vec<Row>)> =
            runs.iter().map(|(name, path)| (name.as_str(), read(path).unwrap())).collect();
        let names = |series: Vec<Series>| series.into_iter().map(|series| series.name).collect::<Vec<_>>();
        let scores = ranked(&logs, |rows| by_epoch(rows, |row| row.scores.mean_iou), f64::max);
        assert_eq!(names(scores), ["0.600  0.6", "0.400  0.4", "0.200  0.2"]);
        assert_eq!(names(ranked(&logs, epoch_losses, f64::min)), ["2.400  0.6", "2.600  0.4", "2.800  0.2"]);
        assert!(compare_charts(&[("gone".into(), folder.path().join("gone.csv"))], &output).is_err());
    }
}
