//! A photo's way: bytes to a segmentation, with the time of each stage counted.

use std::time::Instant;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use clothseg::masks::{MaskOptions, Masked};
use clothseg::{Detail, Photo, Quality, Segmentation, Segmenter, Taxonomy};

use crate::problem::Problem;
use crate::state::{Shared, State};
use crate::upload::{self, Upload};

/// A file that an answer consists of.
pub struct File {
    /// Its media type.
    pub media_type: &'static str,
    /// Its content.
    pub content: Vec<u8>,
}

impl IntoResponse for File {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type))], self.content).into_response()
    }
}

/// Takes a place, reads the upload, and makes the answer of it on a thread that may take its time.
pub async fn answer(
    state: &Shared,
    request: Request,
    make: impl FnOnce(&State, Upload) -> Result<File, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let deadline = tokio::time::Instant::now() + state.limits.request_time;
    let place = state.enter()?;
    let upload = upload::read(&state.limits, request).await?;
    state.metrics.uploaded(upload.photo.len());
    let file = state.work(place, deadline, move |state| make(state, upload)).await?;
    Ok(file.into_response())
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

/// The word for all classes but the background.
const ALL: &str = "all";

/// Class indices of a name, an alias or a group, or several of them with commas between; `all` is every class but the background.
///
/// # Errors
/// 422 for an unknown one.
pub fn classes(taxonomy: &Taxonomy, names: &str) -> Result<Vec<usize>, Problem> {
    // Names may hold commas themselves.
    if let Ok(classes) = taxonomy.resolve(names) {
        return Ok(classes);
    }
    if names.eq_ignore_ascii_case(ALL) {
        return Ok((1..taxonomy.len()).collect());
    }
    let names: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Err(Problem::bad_request("classes", "'classes' names no class; leave it out for all garments"));
    }
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
    let extension = match content {
        [0xFF, 0xD8, ..] => "jpg",
        [0x89, b'P', ..] => "png",
        [b'R', b'I', b'F', b'F', ..] => "webp",
        [b'G', b'I', b'F', ..] => "gif",
        [b'B', b'M', ..] => "bmp",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "avif",
        _ => "tif",
    };
    format!("photo.{extension}")
}
