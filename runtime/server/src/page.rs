//! The page: files that the program carries.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use crate::state::Shared;

/// Path, media type and content of each file.
const FILES: [(&str, &str, &[u8]); 4] = [
    ("/", "text/html; charset=utf-8", include_bytes!("../page/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_bytes!("../page/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_bytes!("../page/page.js")),
    ("/sample.jpg", "image/jpeg", SAMPLE),
];

/// The sample photo, a portrait in uniform; public domain.
pub const SAMPLE: &[u8] = include_bytes!("../page/sample.jpg");

/// The routes of the page.
pub fn routes() -> impl Iterator<Item = (&'static str, MethodRouter<Shared>)> {
    FILES.into_iter().map(|(path, media_type, content)| (path, get(async move || file(media_type, content))))
}

fn file(media_type: &'static str, content: &'static [u8]) -> Response {
    ([(header::CONTENT_TYPE, media_type)], content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_nobody_else() {
        for (path, media_type, content) in FILES {
            if media_type.starts_with("text/") {
                let text = std::str::from_utf8(content).unwrap();
                let outside = text.replace("http://www.w3.org/2000/svg", "");
                assert!(!outside.contains("http://") && !outside.contains("https://"), "{path}");
                assert!(!text.contains(" style=") && !text.contains("eval("), "{path}: the policy forbids it");
            }
        }
    }

    #[test]
    fn the_sample_is_the_one_whose_terms_are_known() {
        let original = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/hopper.jpg");
        assert!(std::fs::read(original).unwrap() == SAMPLE);
    }
}
