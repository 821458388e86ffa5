//! `POST /v1/masks/{class}` and `POST /v1/cutouts/{class}`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::segment::query;
use crate::pictures;
use crate::problem::Problem;
use crate::state::Shared;
use crate::upload::Upload;
use crate::work::{self, Found};

type Class = Result<Path<String>, PathRejection>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    quality: Option<String>,
}

/// The mask of a class, a group or several of them.
pub async fn mask(State(state): State<Shared>, class: Class, request: Request) -> Result<Response, Problem> {
    picture(&state, class, request, false).await
}

/// The cut-out of a class, a group or several of them.
pub async fn cutout(State(state): State<Shared>, class: Class, request: Request) -> Result<Response, Problem> {
    picture(&state, class, request, true).await
}

async fn picture(state: &Shared, class: Class, request: Request, is_cutout: bool) -> Result<Response, Problem> {
    let Path(names) = class.map_err(|_| Problem::bad_request("path", "the path is not valid UTF-8"))?;
    let Query(asked) = query::<Parameters>(&request)?;
    let classes = work::classes(&state.engines.get(None)?.spec().taxonomy, &names)?;
    let quality = work::quality(state, asked.quality.as_deref())?;
    work::answer(state, request, move |state, Upload { photo, fields }| {
        super::no_fields(&fields)?;
        let found = Found::of(state, &photo, quality, is_cutout)?;
        let masked = found.masked(&classes)?;
        if is_cutout {
            pictures::cutout(&found.photo, &masked.segmentation, &classes)
        } else {
            pictures::mask(&masked.segmentation, &classes)
        }
    })
    .await
}
