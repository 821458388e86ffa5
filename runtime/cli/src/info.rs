//! `--info`: the model and what runs it, for people and for programs.

use std::fmt::Write as _;

use clothseg::spec::{Fit, OutputKind, OutputSpec};
use clothseg::{EngineInfo, ModelSpec, Segmenter};
use serde_json::{Value, json};

use crate::advice::Remarks;

/// How to show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum InfoFormat {
    /// Lines for people.
    Text,
    /// One JSON object.
    Json,
}

/// The model and what runs it.
pub fn info(segmenter: &Segmenter, remarks: &Remarks, format: InfoFormat) -> String {
    match format {
        InfoFormat::Text => text(segmenter, remarks),
        InfoFormat::Json => json(segmenter, remarks),
    }
}

fn text(segmenter: &Segmenter, remarks: &Remarks) -> String {
    let (spec, engine) = (segmenter.spec(), segmenter.engine_info());
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut line = |key: &str, value: String| lines.push((format!("{}:", key.replace('_', " ")), value));
    line("model", format!("{} ({} classes)", spec.name, spec.taxonomy.len()));
    line("input", format!("'{}', {}", spec.input.name, fit(spec.input.fit)));
    line("output", format!("'{}', {}", spec.output.name, output(&spec.output)));
    for (key, value) in &spec.training {
        line(key, plain(value));
    }
    line("provider", engine.provider.name().to_owned());
    line("library", format!("{} {}", engine.library, engine.version));
    if let Some(path) = &engine.path {
        line("path", path.display().to_string());
    }
    for part in &engine.nodes {
        line("nodes", format!("{}: {}", part.provider, part.nodes));
    }
    line("quality", segmenter.quality().name().to_owned());
    line("clean-up", if segmenter.cleans_up() { "on" } else { "off" }.to_owned());
    line("threads", threads(engine, segmenter.sessions()));
    for (key, value) in [("note", &remarks.note), ("warning", &remarks.warning)] {
        if let Some(value) = value {
            line(key, value.clone());
        }
    }
    let width = lines.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
    lines.iter().fold(String::new(), |mut text, (key, value)| {
        let _ = writeln!(text, "{key:width$} {value}");
        text
    })
}

fn fit(fit: Fit) -> String {
    match fit {
        Fit::Stretch { width, height } => format!("photos are stretched to {width} x {height} pixels"),
        Fit::LongestSide { size, multiple: 1 } => format!("the longest side becomes {size} pixels"),
        Fit::LongestSide { size, multiple } => {
            format!("the longest side becomes {size} pixels, and both are padded to multiples of {multiple}")
        }
    }
}

fn output(output: &OutputSpec) -> String {
    let what = match output.kind {
        OutputKind::Logits => "logits",
        OutputKind::Probabilities => "probabilities",
        OutputKind::ClassMap => "a class map",
        _ => "numbers",
    };
    match output.stride {
        1 => format!("{what} for each pixel of the input"),
        stride => format!("{what} for each {stride} x {stride} pixels of the input"),
    }
}

/// A fact about the training, as a line: lists and tables without JSON's marks, and without what is not known.
fn plain(value: &Value) -> String {
    let inner = |value: &Value| match value {
        Value::Array(_) | Value::Object(_) => format!("({})", plain(value)),
        other => plain(other),
    };
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(inner).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let known = fields.iter().filter(|(_, value)| !value.is_null());
            known
                .map(|(key, value)| format!("{} {}", key.replace('_', " "), inner(value)))
                .collect::<Vec<_>>()
                .join(", ")
        }
        other => other.to_string(),
    }
}

fn threads(engine: &EngineInfo, sessions: usize) -> String {
    let threads = engine.threads.map_or_else(|| "one per core".into(), |threads| format!("{threads} per session"));
    format!("{threads}, {sessions} session{}", if sessions == 1 { "" } else { "s" })
}

fn json(segmenter: &Segmenter, remarks: &Remarks) -> String {
    let ModelSpec { name, taxonomy, input, output, training, .. } = segmenter.spec();
    let engine = segmenter.engine_info();
    let classes: Vec<&str> = taxonomy.classes.iter().map(|class| class.name.as_str()).collect();
    let document = json!({
        "model": name,
        "classes": classes,
        "groups": taxonomy.groups,
        "input": input,
        "output": output,
        "training": training,
        "provider": engine.provider,
        "library": engine.library,
        "version": engine.version,
        "path": engine.path,
        "nodes": engine.nodes,
        "quality": segmenter.quality().name(),
        "cleans_up": segmenter.cleans_up(),
        "threads": engine.threads,
        "sessions": segmenter.sessions(),
        "note": remarks.note,
        "warning": remarks.warning,
    });
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_told_without_the_marks_of_json() {
        let started = json!({"name": "a", "steps": 9, "calibrated": null, "started_from": {"name": "b"}, "trained_on": ["c", "d"]});
        assert_eq!(plain(&started), "name a, started from (name b), steps 9, trained on (c, d)");
        assert_eq!(plain(&json!(["c", 1.5])), "c, 1.5");
    }
}
