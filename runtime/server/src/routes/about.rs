//! What is said of the model and of the server.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use clothseg::ClassKind;
use clothseg::export::Format;
use serde_json::{Value, json};

use crate::openapi;
use crate::problem::Problem;
use crate::state::Shared;

/// A JSON document.
fn document(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// The classes and groups of the model.
pub async fn classes(State(state): State<Shared>) -> Result<Response, Problem> {
    let taxonomy = &state.engines.get(None)?.spec().taxonomy;
    let class = |(index, class): (usize, &clothseg::Class)| {
        let kind = match class.kind {
            _ if index == 0 => "background",
            ClassKind::Person => "person",
            _ => "garment",
        };
        json!({ "index": index, "name": class.name, "aliases": class.aliases, "color": class.color, "kind": kind })
    };
    let classes: Vec<Value> = taxonomy.classes.iter().enumerate().map(class).collect();
    Ok(document(&json!({ "classes": classes, "groups": taxonomy.groups })))
}

/// The model, what runs it, and what requests may ask for.
pub async fn model(State(state): State<Shared>) -> Result<Response, Problem> {
    let segmenter = state.engines.get(None)?;
    let (spec, engine, limits) = (segmenter.spec(), segmenter.engine_info(), &state.limits);
    Ok(document(&json!({
        "name": spec.name,
        "hash": segmenter.model_hash(),
        "classes": spec.taxonomy.len(),
        "provider": engine.provider,
        "library": engine.library,
        "version": engine.version,
        "threads": engine.threads,
        "sessions": segmenter.sessions(),
        "jobs": state.engines.jobs,
        "batch": state.engines.batch,
        "quality": segmenter.quality().name(),
        "qualities": state.engines.qualities(),
        "formats": Format::ALL.iter().map(|format| format.name()).collect::<Vec<_>>(),
        "limits": {
            "max_bytes": limits.max_bytes,
            "max_pixels": limits.photo.max_pixels,
            "request_seconds": limits.request_time.as_secs_f64(),
        },
        "server": env!("CARGO_PKG_VERSION"),
    })))
}

/// The description of the API.
pub async fn openapi() -> Response {
    document(&openapi::document())
}

/// The server is up.
pub async fn healthz() -> Response {
    document(&json!({ "status": "ok" }))
}

/// The model is open: it is before the server listens, and a server that stops accepts nobody.
pub async fn readyz() -> Response {
    document(&json!({ "status": "ready" }))
}

/// Counters for Prometheus.
pub async fn metrics(State(state): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics_text()).into_response()
}
