//! All routes: one table, from which the router is made and with which the OpenAPI document is compared.

mod about;
mod pictures;
mod remove;
mod segment;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};

use crate::guard::guard;
use crate::page;
use crate::problem::Problem;
use crate::state::Shared;

/// Path, method in lower case, and what answers.
type Route = (&'static str, &'static str, MethodRouter<Shared>);

/// The API and what watches it.
pub fn api() -> Vec<Route> {
    vec![
        ("/v1/segment", "post", post(segment::segment)),
        ("/v1/masks/{class}", "post", post(pictures::mask)),
        ("/v1/cutouts/{class}", "post", post(pictures::cutout)),
        ("/api/remove", "post", post(remove::remove)),
        ("/v1/classes", "get", get(about::classes)),
        ("/v1/model", "get", get(about::model)),
        ("/openapi.json", "get", get(about::openapi)),
        ("/healthz", "get", get(about::healthz)),
        ("/readyz", "get", get(about::readyz)),
        ("/metrics", "get", get(about::metrics)),
    ]
}

/// Everything, with what happens around every request.
pub fn router(state: Shared) -> Router {
    let routes = api().into_iter().map(|(path, _, route)| (path, route)).chain(page::routes());
    let router = routes.fold(Router::new(), |router, (path, route)| router.route(path, route));
    finished(router, state)
}

fn finished(router: Router<Shared>, state: Shared) -> Router {
    router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(from_fn_with_state(Arc::clone(&state), guard))
        .with_state(state)
}

async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here; /openapi.json lists what there is")
}

async fn method_not_allowed(request: Request) -> Problem {
    let detail = match request.uri().path() {
        "/api/remove" => "send the photo with POST, in the field 'file' of a form; nothing is fetched from a URL",
        _ => "this path has other methods; /openapi.json lists them",
    };
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail)
}

/// Options stand in the query: a field that nobody reads would be a wish that nobody fulfils.
fn no_fields(fields: &[(String, String)]) -> Result<(), Problem> {
    match fields.first() {
        None => Ok(()),
        Some((name, _)) => {
            let detail = format!("the form has a field '{name}' besides 'file'; options belong into the query");
            Err(Problem::bad_request("form", detail))
        }
    }
}
