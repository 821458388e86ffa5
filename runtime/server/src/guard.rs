//! Around every request: the check of who asks, headers, counters, a log line, and 500 for a panic.

use std::panic::AssertUnwindSafe;

use axum::extract::{MatchedPath, Request, State as FromState};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::time::Instant;

use crate::problem::Problem;
use crate::request_body;
use crate::state::Shared;

/// Nothing from elsewhere, no frames, no forms that go elsewhere.
const POLICY: &str = "default-src 'none'; img-src 'self' blob: data:; connect-src 'self'; script-src 'self'; style-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The headers of every answer.
const HEADERS: [(header::HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// What happens around every request.
pub async fn guard(FromState(state): FromState<Shared>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let in_flight = state.metrics.in_flight();
    let method = request.method().clone();
    // What the client wrote is not logged and not counted by: it could be anything.
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let expects_continue = request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let (body, mut rest) = request_body::lend(body);
    let request = Request::from_parts(parts, body);
    let answer = AssertUnwindSafe(checked(&state, request, next)).catch_unwind().await;
    let mut response = answer.unwrap_or_else(|_| {
        Problem::internal("the request", "a panic; this is a bug, please report it").into_response()
    });
    if let Ok(rest) = rest.try_recv() {
        rest.drain(expects_continue).await;
    }
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    drop(in_flight);
    let (status, took) = (response.status().as_u16(), started.elapsed());
    state.metrics.answered(&route, status, took);
    log(&method, &route, status, took.as_secs_f64() * 1e3);
    response
}

/// The answer, where the client may ask at all.
async fn checked(state: &Shared, request: Request, next: Next) -> Response {
    let headers = request.headers();
    // Health checks of some load balancers. A browser, whose page may be a stranger's, sends a Host always.
    let is_without_host = request.version() == Version::HTTP_10 && !headers.contains_key(header::HOST);
    if is_without_host && !headers.contains_key(header::ORIGIN) {
        return next.run(request).await;
    }
    let origin = match state.access.check(headers, request.uri().authority()) {
        Ok(origin) => origin,
        Err(problem) => return problem.into_response(),
    };
    let Some(origin) = origin else {
        let mut response = next.run(request).await;
        // Other sites may not embed what this one answers.
        let own = HeaderValue::from_static("same-origin");
        response.headers_mut().insert("cross-origin-resource-policy", own);
        return response;
    };
    let asks_first = request.method() == Method::OPTIONS;
    let mut response = if asks_first { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    if asks_first {
        allow(headers);
    } else {
        headers
            .insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after, x-clothseg-ignored"));
    }
    response
}

fn allow(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
}

fn log(method: &Method, route: &str, status: u16, ms: f64) {
    let ms = (ms * 10.0).round() / 10.0;
    // Those who watch the server ask all the time.
    if matches!(route, "/healthz" | "/readyz" | "/metrics") && status == 200 {
        tracing::debug!(%method, route, status, ms, "answered");
    } else {
        tracing::info!(%method, route, status, ms, "answered");
    }
}
