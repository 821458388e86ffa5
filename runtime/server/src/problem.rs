//! What goes wrong with a request, as `application/problem+json` (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use clothseg::Error;
use serde_json::{Map, Value, json};

/// An answer that is an error. `code` is for programs, `detail` for people: what is wrong and what to do about it.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    /// Further members.
    members: Map<String, Value>,
    retry_after_s: Option<u64>,
}

impl Problem {
    /// An error of this kind.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), members: Map::new(), retry_after_s: None }
    }

    /// 400: the request makes no sense.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 413: more bytes than are allowed.
    pub fn too_many_bytes(limit: u64) -> Self {
        let detail = format!("the upload is larger than {limit} bytes; send a smaller photo");
        let problem = Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_bytes", detail);
        problem.with("limit", json!(limit)).with("unit", json!("bytes"))
    }

    /// 503: there is too much to do.
    pub fn busy(detail: impl Into<String>, retry_after_s: u64) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail);
        Self { retry_after_s: Some(retry_after_s), ..problem }
    }

    /// 500: a fault of ours. What exactly goes to the log, not to the client.
    pub fn internal(stage: &str, reason: &str) -> Self {
        tracing::error!(stage, reason, "a request broke down");
        let detail = format!("{stage} failed; the server's log says why");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// The same with a further member.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    /// Its status.
    #[cfg(test)]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong with the photo or with what was asked of it; everything else is a fault of ours.
    pub fn of(error: &Error) -> Self {
        let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
        match error {
            Error::UnknownClass { name, nearest, known, groups } => {
                let hint = nearest.as_ref().map_or_else(String::new, |nearest| format!("; did you mean '{nearest}'?"));
                let problem = Self::new(unprocessable, "unknown_class", format!("there is no class '{name}'{hint}"));
                problem.with("nearest", json!(nearest)).with("known", json!([&known[..], groups].concat()))
            }
            Error::TooLarge { limit, unit: "bytes", .. } => Self::too_many_bytes(*limit),
            Error::TooLarge { found, limit, unit } => {
                let detail = format!("the photo has {found} {unit}, and at most {limit} are allowed");
                let problem = Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_pixels", detail);
                problem.with("limit", json!(limit)).with("unit", json!(unit))
            }
            Error::CutOff { .. } => Self::new(unprocessable, "cut_off", error.chain()),
            Error::Decode { .. } => Self::new(unprocessable, "not_a_photo", error.chain()),
            Error::DecodeTimeout { limit } => {
                let detail = format!("decoding took longer than {limit:?}; send a smaller photo, or another format");
                Self::new(unprocessable, "decoding_too_slow", detail)
            }
            error => Self::internal("segmentation", &error.chain()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, code, detail, mut members, retry_after_s } = self;
        members.insert("title".into(), json!(status.canonical_reason().unwrap_or("Error")));
        members.insert("status".into(), json!(status.as_u16()));
        members.insert("code".into(), json!(code));
        members.insert("detail".into(), json!(detail));
        let mut response = (status, Value::Object(members).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_class_names_the_nearest() {
        let taxonomy = clothseg::Taxonomy::builtin("garments").unwrap();
        let problem = Problem::of(&taxonomy.resolve("pnats").unwrap_err());
        assert_eq!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(problem.members["nearest"], "pants");
        assert!(problem.detail.contains("did you mean 'pants'?"));
    }

    #[test]
    fn a_fault_of_ours_tells_the_client_no_path() {
        let error = Error::Read { path: "/secret/model.onnx".into(), source: std::io::ErrorKind::NotFound.into() };
        let problem = Problem::of(&error);
        assert_eq!(problem.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!problem.detail.contains("secret"));
    }

    #[test]
    fn a_photo_that_is_cut_off_is_a_fault_of_what_was_sent() {
        let problem = Problem::of(&Error::CutOff { percent: Some(40) });
        assert_eq!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert!(problem.detail.contains("40 %"), "{}", problem.detail);
    }

    #[test]
    fn what_is_busy_says_when_to_come_back() {
        let response = Problem::busy("all places are taken", 7).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
