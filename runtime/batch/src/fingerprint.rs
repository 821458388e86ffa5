//! What the results of a run follow from, other than the photos, as a hash that a later run can compare with its own.

use clothseg::export::OutputOptions;
use clothseg::internals::digest;
use clothseg::{Error, ModelSpec, Quality, Result, Segmenter};
use serde::Serialize;

use super::options::BatchOptions;

/// What a hash of [`Settings`] begins with. Another way of hashing them needs another number. Earlier versions hashed text of
/// another form, without such a beginning.
const VERSION: &str = "v2-";

/// Everything that a photo's files follow from besides the photo. The library's options are serialised whole, so that none
/// that is added later can be forgotten here.
#[derive(Serialize)]
struct Settings<'a> {
    library: &'static str,
    model: Option<&'a str>,
    spec: &'a ModelSpec,
    quality: Quality,
    cleanup: bool,
    classes: &'a [usize],
    outputs: OutputOptions,
}

/// The hash of all that results follow from, other than the photo.
///
/// # Errors
/// [`Error::Encode`].
pub(super) fn fingerprint(segmenter: &Segmenter, options: &BatchOptions) -> Result<String> {
    let mut outputs = options.outputs.clone();
    outputs.formats.sort_unstable();
    outputs.formats.dedup();
    let settings = Settings {
        library: env!("CARGO_PKG_VERSION"),
        model: segmenter.model_hash(),
        spec: segmenter.spec(),
        quality: segmenter.quality(),
        cleanup: segmenter.cleans_up(),
        classes: &options.classes,
        outputs,
    };
    let bytes = serde_json::to_vec(&settings)
        .map_err(|error| Error::Encode { what: "options of the run", reason: error.to_string() })?;
    Ok(format!("{VERSION}{}", digest::hex(&bytes)))
}

/// Whether a hash was made as this version makes it, so that another one means other settings.
pub(super) fn is_comparable(options: &str) -> bool {
    options.starts_with(VERSION)
}
