//! Whether a photo's results have names that file systems take.

use std::path::Path;

use clothseg::export::class_file_names;
use clothseg::{Error, Result, Taxonomy};

use super::options::BatchOptions;

/// Bytes that a name has at most, on all systems in use.
const MAX_NAME_BYTES: usize = 255;

/// Bytes that a path has at most, its end mark not counted: Linux's; others have more, or less and fail by themselves.
const MAX_PATH_BYTES: usize = 4095;

/// Bytes of what is put behind a photo's stem in a review folder: `.photo.` and an extension.
const REVIEW_BYTES: usize = 16;

/// The longest of the suffixes that a run puts behind stems, in bytes.
pub(super) fn longest_suffix(options: &BatchOptions, taxonomy: &Taxonomy) -> usize {
    let class = class_file_names(taxonomy).iter().map(|name| name.len() + 1).max().unwrap_or_default();
    let suffixes = options.outputs.formats.iter().map(|format| format.exporter()).flat_map(|exporter| {
        let of_class = exporter.class_suffix_of(&options.outputs).map(|suffix| class + suffix.len());
        exporter.photo_suffixes().iter().map(|suffix| suffix.len()).chain(of_class)
    });
    suffixes.chain([REVIEW_BYTES]).max().unwrap_or_default()
}

/// Checks the names of a photo's results before anything is done for it.
///
/// # Errors
/// [`Error::Invalid`] says which is too long, and by how much.
pub(super) fn check(output: &Path, stem: &Path, suffix_bytes: usize) -> Result<()> {
    let stem = output.join(stem);
    let name = stem.file_name().map_or(0, |name| name.len()) + suffix_bytes;
    let too_long = |what: &str, bytes: usize, limit: usize, advice: &str| {
        Err(Error::Invalid(format!(
            "the {what} of its results would have {bytes} bytes, and at most {limit} are possible; {advice}"
        )))
    };
    if name > MAX_NAME_BYTES {
        return too_long("names", name, MAX_NAME_BYTES, "the name of a class is too long for a file's name");
    }
    let path = stem.as_os_str().len() + suffix_bytes;
    if path > MAX_PATH_BYTES {
        return too_long("paths", path, MAX_PATH_BYTES, "choose an output folder with a shorter path");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_that_are_too_long_are_known_before() {
        let mut taxonomy = Taxonomy::builtin("garments").unwrap();
        let mut options = BatchOptions::new("out", vec![1]);
        options.outputs.formats = vec!["masks".parse().unwrap(), "json".parse().unwrap()];
        let usual = longest_suffix(&options, &taxonomy);
        assert!((REVIEW_BYTES..75).contains(&usual), "{usual}");
        taxonomy.classes[1].name = "x".repeat(60);
        assert!(longest_suffix(&options, &taxonomy) >= usual);
        let stem = "n".repeat(180);
        check(Path::new("out"), Path::new(&stem), 75).unwrap();
        let name = check(Path::new("out"), Path::new(&stem), 76).unwrap_err();
        assert!(name.to_string().contains("256 bytes"), "{name}");
        let deep = "folder/".repeat(600);
        let path = check(Path::new(&deep), Path::new(&stem), 75).unwrap_err();
        assert!(path.to_string().contains("shorter path"), "{path}");
    }
}
