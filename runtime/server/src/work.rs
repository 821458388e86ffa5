//! A photo's way: bytes to a segmentation, with the time of each stage counted.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use clothseg::internals::files::kind::{HEAD_BYTES, Kind};
use clothseg::internals::files::list;
use clothseg::masks::{MaskOptions, Masked};
use clothseg::{Detail, Photo, Quality, Segmentation, Segmenter, Taxonomy};

use crate::problem::Problem;
use crate::sending::Sending;
use crate::state::{Shared, State};
use crate::upload::{self, Upload};

/// A file that an answer consists of.
pub struct File {
    /// Its media type.
    pub media_type: &'static str,
    /// Its content.
    pub content: Vec<u8>,
}

/// Takes a place, reads the upload, and makes the answer of it on a thread that may take its time.
pub async fn answer(
    state: &Shared,
    request: Request,
    make: impl FnOnce(&State, Upload) -> Result<File, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let deadline = tokio::time::Instant::now() + state.limits.request_time;
    let place = state.enter()?;
    let upload = upload::read(&state.limits, request, deadline).await?;
    state.metrics.uploaded(upload.photo.len());
    let file = state.work(Arc::clone(&place), deadline, move |state| make(state, upload)).await?;
    let send_until = tokio::time::Instant::now() + state.limits.request_time;
    let body = Body::new(Sending::new(file.content.into(), send_until, place));
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(file.media_type))], body).into_response())
}

/// A photo and what was found in it.
pub struct Found<'a> {
    /// What segmented it.
    pub segmenter: &'a Segmenter,
    /// The photo.
    pub photo: Photo,
    /// What decoding took.
    pub decode_ms: f64,
    segmentation: Segmentation,
}

impl<'a> Found<'a> {
    /// Decodes and segments a photo. All pixels are decoded only where they are needed.
    pub fn of(state: &'a State, photo: &Bytes, quality: Option<Quality>, needs_pixels: bool) -> Result<Self, Problem> {
        let segmenter = state.engines.get(quality)?;
        let detail = if needs_pixels { Detail::Full } else { segmenter.detail() };
        let started = Instant::now();
        let photo = Photo::from_bytes_with(photo, &state.limits.photo, detail);
        let photo = photo.map_err(|error| Problem::of(&error))?;
        let decoded = started.elapsed();
        state.metrics.stage("decode", decoded);
        let started = Instant::now();
        let segmented = state.engines.segment(segmenter, photo);
        state.metrics.stage("segment", started.elapsed());
        let (photo, segmentation) = segmented.map_err(|error| Problem::of(&error))?;
        Ok(Self { segmenter, photo, decode_ms: decoded.as_secs_f64() * 1e3, segmentation })
    }

    /// The segmentation with classes that are too small left out, as `clothseg-run` does.
    pub fn masked(&self, classes: &[usize]) -> Result<Masked<'_>, Problem> {
        let masked = self.segmentation.with_masks(classes, &MaskOptions::default());
        masked.map_err(|error| Problem::of(&error))
    }
}

/// Class indices of a name, an alias or a group, or several of them with commas between; `all` is every class but the background.
///
/// # Errors
/// 422 for an unknown one.
pub fn classes(taxonomy: &Taxonomy, names: &str) -> Result<Vec<usize>, Problem> {
    let names = list::parse_names(names, |name| taxonomy.resolve(name.trim()).is_ok()).map_err(|cause| {
        Problem::bad_request("classes", format!("the list of classes {cause}; leave it out for all garments"))
    })?;
    taxonomy.resolve_all(&names).map_err(|error| Problem::of(&error))
}

/// The quality of a name.
///
/// # Errors
/// 400 for an unknown one, and for one that the model cannot be run at.
pub fn quality(state: &State, name: Option<&str>) -> Result<Option<Quality>, Problem> {
    let quality = name.map(str::parse::<Quality>).transpose();
    let quality = quality.map_err(|error| Problem::bad_request("quality", error.to_string()))?;
    state.engines.get(quality)?;
    Ok(quality)
}

/// The name that a photo has in results: nothing of the client's, as it may end up in paths.
pub fn photo_name(content: &[u8]) -> String {
    let extension = match Kind::of(&content[..content.len().min(HEAD_BYTES)]) {
        Kind::Photo(format) => format.extension(),
        _ => "bin",
    };
    format!("photo.{extension}")
}
