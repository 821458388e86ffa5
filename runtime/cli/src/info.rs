//! `--info`: the model and what runs it, for people and for programs.

use std::fmt::Write as _;

use clothseg::{EngineInfo, ModelSpec, Segmenter};
use serde_json::json;

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
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "{:9} {value}", format!("{key}:"));
    };
    line("model", &format!("{} ({} classes)", spec.name, spec.taxonomy.len()));
    line("input", &format!("'{}', {:?}", spec.input.name, spec.input.fit));
    line("output", &format!("'{}', {:?} at stride {}", spec.output.name, spec.output.kind, spec.output.stride));
    for (key, value) in &spec.training {
        line(key, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    line("provider", engine.provider.name());
    line("library", &format!("{} {}", engine.library, engine.version));
    if let Some(path) = &engine.path {
        line("path", &path.display().to_string());
    }
    for part in &engine.nodes {
        line("nodes", &format!("{}: {}", part.provider, part.nodes));
    }
    line("quality", segmenter.quality().name());
    line("clean-up", if segmenter.cleans_up() { "on" } else { "off" });
    line("threads", &threads(engine, segmenter.sessions()));
    for (key, value) in [("note", &remarks.note), ("warning", &remarks.warning)] {
        if let Some(value) = value {
            line(key, value);
        }
    }
    text
}

fn threads(engine: &EngineInfo, sessions: usize) -> String {
    let threads = engine.threads.map_or_else(|| "one a core".into(), |threads| format!("{threads} a session"));
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
