//! The OpenAPI document. It is written by hand; a test compares it with the routes.

use clothseg::Quality;
use clothseg::export::Format;
use serde_json::{Map, Value, json};

use crate::files::ZIP;

/// The description of the API, OpenAPI 3.1.
pub fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "clothseg-serve",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Cuts garments out of photos: masks, polygons and cut-outs of each class",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths(),
        "components": { "schemas": { "Problem": problem() } },
    })
}

fn paths() -> Value {
    let classes = query(
        "classes",
        "Classes, aliases or groups with commas between, or `all` for every class but the background; default: all garments",
        &text(),
    );
    let quality = query(
        "quality",
        "`best` is slower: the mean over the photo and its mirror image",
        &json!({
            "type": "string", "enum": [Quality::Fast.name(), Quality::Best.name()],
        }),
    );
    let tolerance = query(
        "tolerance",
        "How far, in pixels, a polygon may be from its outline",
        &json!({
            "type": "number", "minimum": 0, "maximum": 1000,
        }),
    );
    let class = json!({
        "name": "class", "in": "path", "required": true, "schema": text(),
        "description": "A class, an alias or a group, or several with commas between",
    });
    let picture = |summary: &str| {
        operation(summary, &json!([class, quality]), Some(&photo(&json!({}))), &json!({ "image/png": {} }))
    };
    let only_mask = json!({ "om": { "type": "boolean", "description": "Answer with the mask" } });
    let json_answer = json!({ "application/json": { "schema": { "type": "object" } } });
    let about = |summary: &str| operation(summary, &json!([]), None, &json_answer);
    json!({
        "/v1/segment": { "post": operation(
            "Segments a photo. What is one file is sent as it is; several files, and `zip`, are sent as an archive",
            &json!([classes, format(), quality, tolerance]),
            Some(&photo(&json!({}))),
            &json!({ "application/json": {}, "image/png": {}, "image/svg+xml": {}, "application/zip": {} }),
        ) },
        "/v1/masks/{class}": { "post": picture("The mask of a class: 255 is the class") },
        "/v1/cutouts/{class}": { "post": picture("The photo with alpha: everything but the class is transparent") },
        "/api/remove": { "post": operation(
            "The form of rembg's server: a cut-out of all garments, or their mask",
            &json!([]),
            Some(&photo(&only_mask)),
            &json!({ "image/png": {} }),
        ) },
        "/v1/classes": { "get": about("The classes and groups of the model") },
        "/v1/model": { "get": about("The model, what runs it, and the limits") },
        "/openapi.json": { "get": about("This document") },
        "/healthz": { "get": about("Whether the server is up") },
        "/readyz": { "get": about("Whether it takes photos") },
        "/metrics": { "get": operation("Counters for Prometheus", &json!([]), None, &json!({ "text/plain": {} })) },
    })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn query(name: &str, description: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema })
}

fn format() -> Value {
    let names: Vec<&str> = Format::ALL.iter().map(|format| format.name()).chain([ZIP]).collect();
    let description = format!(
        "One of {}, or several with commas between. `{ZIP}` is {} in an archive",
        names.join(", "),
        Format::DEFAULT.map(Format::name).join(", "),
    );
    json!({
        "name": "format", "in": "query", "required": false, "description": description,
        "schema": { "type": "array", "items": { "type": "string", "enum": names }, "default": ["json"] },
        "style": "form", "explode": false,
    })
}

/// A photo as it is, or in a form with further fields.
fn photo(fields: &Value) -> Value {
    let mut properties = Map::from_iter([("file".to_owned(), json!({ "type": "string", "format": "binary" }))]);
    properties.extend(fields.as_object().cloned().unwrap_or_default());
    let form = json!({ "schema": { "type": "object", "required": ["file"], "properties": properties } });
    let content = json!({ "multipart/form-data": form, "image/*": {}, "application/octet-stream": {} });
    json!({ "required": true, "description": "JPEG, PNG, WebP, AVIF, BMP, GIF or TIFF", "content": content })
}

fn operation(summary: &str, parameters: &Value, body: Option<&Value>, answer: &Value) -> Value {
    let problem = json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
    let mut operation = json!({
        "summary": summary,
        "responses": {
            "200": { "description": "Done", "content": answer },
            "default": { "description": "What is wrong, and what to do about it", "content": problem },
        },
    });
    if parameters.as_array().is_some_and(|parameters| !parameters.is_empty()) {
        operation["parameters"] = parameters.clone();
    }
    if let Some(body) = body {
        operation["requestBody"] = body.clone();
    }
    operation
}

fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["title", "status", "code", "detail"],
        "properties": {
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "code": { "type": "string", "description": "The kind of error, for programs" },
            "detail": { "type": "string", "description": "What is wrong and what to do about it, for people" },
            "nearest": { "type": ["string", "null"], "description": "The most similar class, where one is unknown" },
            "known": { "type": "array", "items": { "type": "string" } },
            "limit": { "type": "integer" },
            "unit": { "type": "string" },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::routes;

    #[test]
    fn the_document_has_the_routes_and_nothing_else() {
        let document = document();
        let documented: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| item.as_object().unwrap().keys().map(|method| (path.clone(), method.clone())))
            .collect();
        let routes = routes::api().into_iter().map(|(path, method, _)| (path.to_owned(), method.to_owned()));
        assert_eq!(documented, routes.collect());
    }

    #[test]
    fn every_format_is_in_it() {
        let document = document().to_string();
        for format in Format::ALL {
            assert!(document.contains(&format!("\"{format}\"")), "{format}");
        }
    }
}
