//! All routes: one table, from which the router is made and with which the OpenAPI document is compared.

mod about;
mod pictures;
mod remove;
mod segment;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
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
        // `upload` has the limit on bytes; without this, forms would have another one of 2 MiB.
        .layer(DefaultBodyLimit::disable())
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

/// Options are read from the query string; other fields of the form are refused rather than ignored.
fn no_fields(fields: &[(String, String)]) -> Result<(), Problem> {
    match fields.first() {
        None => Ok(()),
        Some((name, _)) => {
            let detail = format!("the form has a field '{name}' besides 'file'; put options into the query string");
            Err(Problem::bad_request("form", detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use clap::Parser;
    use clothseg::engine::Engine;
    use clothseg::ndarray::{Array4, ArrayView4};
    use clothseg::spec::{Fit, InputSpec, OutputSpec};
    use clothseg::{EngineInfo, ModelSpec, Provider, Segmenter, Taxonomy};
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use tokio::time::Instant;

    use super::*;
    use crate::engines::Engines;
    use crate::options::Options;
    use crate::state::State;

    /// Finds nothing in any photo.
    struct Blind(ModelSpec, EngineInfo);

    impl Engine for Blind {
        fn spec(&self) -> &ModelSpec {
            &self.0
        }

        fn info(&self) -> &EngineInfo {
            &self.1
        }

        fn run(&mut self, input: ArrayView4<'_, f32>) -> clothseg::Result<Array4<f32>> {
            let (photos, _, height, width) = input.dim();
            Ok(Array4::zeros((photos, self.0.taxonomy.len(), height / 4, width / 4)))
        }
    }

    fn state() -> Shared {
        let input = InputSpec::imagenet(Fit::LongestSide { size: 64, multiple: 32 });
        let spec = ModelSpec::new("blind", Taxonomy::builtin("garments").unwrap(), input, OutputSpec::logits(4));
        let engine = Blind(spec, EngineInfo::new(Provider::Cpu, "blind", "1"));
        let options = Options::try_parse_from(["clothseg-serve", "--jobs", "1"]).unwrap();
        let engines = Engines::of(Segmenter::with_engine(Box::new(engine)).unwrap(), &options).unwrap();
        State::new(engines, options.limits.limits(), Default::default(), 1)
    }

    #[tokio::test]
    async fn a_panic_in_an_answer_is_500_and_counted() {
        let state = state();
        let broken = || async { panic!("on purpose") };
        let route: MethodRouter<Shared> =
            get(move || -> std::pin::Pin<Box<dyn Future<Output = String> + Send>> { Box::pin(broken()) });
        let router = finished(Router::new().route("/broken", route), Arc::clone(&state));
        let request = Request::builder().uri("/broken").header("host", "localhost").body(Body::empty()).unwrap();
        let response = TowerToHyperService::new(router).call(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let counted = state.metrics_text();
        assert!(counted.contains("clothseg_requests_total{route=\"/broken\",status=\"500\"} 1\n"), "{counted}");
        assert!(counted.contains("clothseg_requests_in_flight 0\n"), "{counted}");
    }

    #[tokio::test]
    async fn a_panic_in_the_work_is_500_and_gives_its_place_back() {
        let state = state();
        let deadline = Instant::now() + Duration::from_secs(60);
        let place = state.enter().unwrap();
        let result: Result<(), Problem> = state.work(place, deadline, |_| panic!("on purpose")).await;
        assert_eq!(result.unwrap_err().status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!((state.places_taken(), state.running()), (0, 0));
    }

    #[tokio::test]
    async fn what_waits_too_long_is_503_and_what_takes_too_long_goes_on() {
        let state = state();
        let soon = Instant::now() + Duration::from_millis(20);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let (slow, waiting) = (state.enter().unwrap(), state.enter().unwrap());
        assert!(state.enter().is_err(), "one in work and one that waits");
        let slow = state.work(slow, soon, move |_| ended.recv().map_err(|_| Problem::bad_request("gone", "gone")));
        assert_eq!(slow.await.unwrap_err().status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!((state.places_taken(), state.running()), (2, 1), "the work keeps its place");
        let waited = state.work(waiting, soon, |_| Ok(())).await;
        assert_eq!(waited.unwrap_err().status(), StatusCode::SERVICE_UNAVAILABLE);
        end.send(()).unwrap();
        while state.running() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(state.places_taken(), 0);
    }
}
