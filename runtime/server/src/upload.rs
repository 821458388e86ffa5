//! The upload of a request: a photo as it is, or in a form.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::{Instant, timeout_at};

use crate::options::Limits;
use crate::problem::Problem;

/// Bytes that a form may have besides the photo.
const FORM_BYTES: u64 = 64 << 10;
/// Most fields of a form.
const FIELDS: usize = 32;
/// Longest text of a field.
const TEXT_BYTES: usize = 1 << 10;

/// What was uploaded.
#[derive(Debug)]
pub struct Upload {
    /// The photo's file.
    pub photo: Bytes,
    /// The other fields of a form: name and text.
    pub fields: Vec<(String, String)>,
}

/// Reads the upload of a request, within the limits on bytes and time, and until `deadline` at the latest.
///
/// # Errors
/// 400 for a form that is none, 408 for a slow one, 413, 415.
pub async fn read(limits: &Limits, request: Request, deadline: Instant) -> Result<Upload, Problem> {
    let started = Instant::now();
    let is_form = kind(request.headers())?;
    let most = if is_form { limits.max_bytes.saturating_add(FORM_BYTES) } else { limits.max_bytes };
    if announced(request.headers()).is_some_and(|bytes| bytes > most) {
        return Err(Problem::too_many_bytes(limits.max_bytes));
    }
    let upload = async {
        let most_here = usize::try_from(most).unwrap_or(usize::MAX);
        if is_form {
            form(limits, request.map(|body| Body::new(Limited::new(body, most_here)))).await
        } else {
            let body = Limited::new(request.into_body(), most_here).collect().await;
            let photo = body.map_err(|error| unread(limits, error.as_ref()))?.to_bytes();
            Ok(Upload { photo, fields: Vec::new() })
        }
    };
    let end = deadline.min(started + limits.body_time);
    timeout_at(end, upload).await.map_err(|_| slow(end - started))?
}

/// Whether the upload is a form; 415 where it is neither that nor a photo.
fn kind(headers: &HeaderMap) -> Result<bool, Problem> {
    let unsupported = |detail: &str| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", detail);
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(unsupported("the upload is compressed; send the photo's file as it is"));
    }
    let text = match headers.get(header::CONTENT_TYPE) {
        Some(value) => value.to_str().unwrap_or("?").to_ascii_lowercase(),
        None => return Ok(false),
    };
    match text.split(';').next().unwrap_or_default().trim() {
        "multipart/form-data" => Ok(true),
        "application/octet-stream" => Ok(false),
        kind if kind.starts_with("image/") => Ok(false),
        _ => Err(unsupported(
            "send a photo as it is, with Content-Type image/jpeg or application/octet-stream, or in the field 'file' of a form \
             (multipart/form-data)",
        )),
    }
}

/// The length that the client has announced.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn form(limits: &Limits, request: Request) -> Result<Upload, Problem> {
    let refused = |error: MultipartError| unread(limits, &error);
    let mut form = match Multipart::from_request(request, &()).await {
        Ok(form) => form,
        Err(error) => return Err(Problem::bad_request("form", error.body_text())),
    };
    let (mut photo, mut fields) = (None, Vec::new());
    while let Some(field) = form.next_field().await.map_err(refused)? {
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" && photo.is_none() {
            photo = Some(field.bytes().await.map_err(refused)?);
        } else if name == "file" {
            return Err(Problem::bad_request("form", "there are two fields 'file'; send one photo per request"));
        } else if fields.len() == FIELDS {
            return Err(Problem::bad_request("form", "there are more than 32 fields besides 'file'"));
        } else {
            let text = text(limits, &name, field).await?;
            fields.push((name, text));
        }
    }
    let missing = || Problem::bad_request("no_file", "the form has no field 'file' with a photo");
    let photo = photo.ok_or_else(missing)?;
    if photo.len() as u64 > limits.max_bytes {
        return Err(Problem::too_many_bytes(limits.max_bytes));
    }
    Ok(Upload { photo, fields })
}

/// A field that is text, and short.
async fn text(limits: &Limits, name: &str, mut field: Field<'_>) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| unread(limits, &error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > TEXT_BYTES {
            break;
        }
    }
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() <= TEXT_BYTES);
    text.ok_or_else(|| {
        Problem::bad_request("form", format!("the field '{name}' is no short text; the photo goes into 'file'"))
    })
}

/// Why an upload could not be read: it was too large, or broke off, or is no form.
fn unread(limits: &Limits, error: &(dyn std::error::Error + 'static)) -> Problem {
    let mut cause = Some(error);
    let mut said = String::new();
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return Problem::too_many_bytes(limits.max_bytes);
        }
        said = error.to_string();
        cause = error.source();
    }
    Problem::bad_request("upload", format!("the upload could not be read: {said}"))
}

fn slow(limit: Duration) -> Problem {
    let detail = format!("the upload did not arrive within {:.1} s", limit.as_secs_f64());
    Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_upload", detail)
}
