//! What the results of a run follow from, other than the photos, as a hash that a later run can compare with its own.

use clothseg::export::OutputOptions;
use clothseg::internals::digest;
use clothseg::{Error, ModelSpec, Quality, Result, Segmenter};
use serde::Serialize;

use super::options::BatchOptions;

/// What a hash of [`Settings`] begins with. Another way of hashing them needs another number. Earlier versions hashed text of
/// another form, without such a beginning.
const VERSION: &str = "v3-";

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

/// The hash of all that results follow from, other than the photo. After a hyphen stands the hash of what garments are found and
/// what masks are made of them, without formats and how their files look.
///
/// # Errors
/// [`Error::Encode`].
pub(super) fn fingerprint(segmenter: &Segmenter, options: &BatchOptions) -> Result<String> {
    let mut outputs = options.outputs.clone();
    outputs.formats.sort_unstable();
    outputs.formats.dedup();
    let hash_of = |outputs: OutputOptions| {
        let settings = Settings {
            library: env!("CARGO_PKG_VERSION"),
            model: segmenter.model_hash(),
            spec: segmenter.spec(),
            quality: segmenter.quality(),
            cleanup: segmenter.cleans_up(),
            classes: &options.classes,
            outputs,
        };
        let bytes = serde_json::to_vec(&settings);
        let bytes = bytes.map_err(|error| Error::Encode { what: "options of the run", reason: error.to_string() })?;
        Ok(digest::hex(&bytes))
    };
    let masks = OutputOptions::default().with_formats(Vec::new()).with_masks(outputs.masks.clone());
    Ok(format!("{VERSION}{}-{}", hash_of(outputs)?, hash_of(masks)?))
}

/// Whether runs of these two hashes find the same garments in a photo, so that files of both belong together.
pub(super) fn share_segmentation(one: &str, other: &str) -> bool {
    let segmentation = |options: &str| options.strip_prefix(VERSION)?.split_once('-').map(|(_, hash)| hash.to_owned());
    segmentation(one).is_some_and(|hash| segmentation(other) == Some(hash))
}

/// Whether a hash was made as this version makes it, so that another one means other settings.
pub(super) fn is_comparable(options: &str) -> bool {
    options.starts_with(VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_tell_other_formats_from_other_garments() {
        assert!(share_segmentation("v3-a-c", "v3-b-c") && share_segmentation("v3-a-c", "v3-a-c"));
        assert!(!share_segmentation("v3-a-c", "v3-a-d") && !share_segmentation("v2-a", "v2-a"));
    }
}
