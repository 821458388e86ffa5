//! `POST /api/remove`: the form of rembg's server, so that its clients can switch.

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

use crate::pictures;
use crate::problem::Problem;
use crate::state::Shared;
use crate::upload::Upload;
use crate::work::{self, Found};

/// Fields of rembg's form that have no counterpart here. They are accepted, and named in a header of the answer.
const IGNORED: [&str; 8] = ["model", "a", "af", "ab", "ae", "ppm", "bgc", "extras"];

/// Cuts all garments out of a photo; with `om` the answer is their mask.
pub async fn remove(State(state): State<Shared>, request: Request) -> Result<Response, Problem> {
    if request.uri().query().is_some_and(|query| !query.is_empty()) {
        return Err(Problem::bad_request("query", "options of /api/remove are fields of the form, as in rembg"));
    }
    let (send, ignored) = tokio::sync::oneshot::channel();
    let answer = work::answer(&state, request, move |state, Upload { photo, fields }| {
        let Parameters { only_mask, ignored } = Parameters::of(&fields)?;
        // Nobody waits for it once the request has gone.
        let _ = send.send(ignored);
        let found = Found::of(state, &photo, None, !only_mask)?;
        let classes = found.segmenter.spec().taxonomy.garments();
        let masked = found.masked(&classes)?;
        if only_mask {
            pictures::mask(&masked.segmentation, &classes)
        } else {
            pictures::cutout(&found.photo, &masked.segmentation, &classes)
        }
    });
    let mut answer = answer.await?;
    let ignored = ignored.await.unwrap_or_default().join(",");
    if let Some(value) = HeaderValue::from_str(&ignored).ok().filter(|value| !value.is_empty()) {
        answer.headers_mut().insert(HeaderName::from_static("x-clothseg-ignored"), value);
    }
    Ok(answer)
}

/// What the form says besides the photo.
#[derive(Debug, Default, PartialEq)]
struct Parameters {
    only_mask: bool,
    ignored: Vec<&'static str>,
}

impl Parameters {
    fn of(fields: &[(String, String)]) -> Result<Self, Problem> {
        let mut asked = Self::default();
        for (name, text) in fields {
            if name == "om" {
                asked.only_mask = truth(text)?;
            } else if let Some(name) = IGNORED.iter().find(|known| *known == name) {
                asked.ignored.push(name);
            } else {
                return Err(Problem::bad_request("form", format!("the form has an unknown field '{name}'")));
            }
        }
        Ok(asked)
    }
}

/// The ways in which clients of rembg write yes and no.
fn truth(text: &str) -> Result<bool, Problem> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "on" | "yes" | "t" | "y" => Ok(true),
        "false" | "0" | "off" | "no" | "f" | "n" => Ok(false),
        _ => Err(Problem::bad_request("form", "'om' is true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(fields: &[(&str, &str)]) -> Result<Parameters, Problem> {
        Parameters::of(&fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect::<Vec<_>>())
    }

    #[test]
    fn the_form_of_rembg_is_understood() {
        assert_eq!(asked(&[]).unwrap(), Parameters::default());
        assert!(asked(&[("om", "True")]).unwrap().only_mask);
        assert_eq!(asked(&[("model", "/etc/passwd"), ("a", "true")]).unwrap().ignored, ["model", "a"]);
        for odd in [("om", "maybe"), ("url", "http://localhost/")] {
            assert_eq!(asked(&[odd]).unwrap_err().status().as_u16(), 400, "{odd:?}");
        }
    }
}
