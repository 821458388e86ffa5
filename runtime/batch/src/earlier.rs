//! Files that earlier runs have made among the photos of this one.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;

use super::journal;
use super::manifest::manifests_in;
use super::review::REVIEW_SUFFIX;
use super::stems::record_path;
use clothseg::internals::digest::{self, Key};
use clothseg::internals::files::PHOTO_EXTENSIONS;

/// The results that the manifests of the folders seen so far name.
#[derive(Debug, Default)]
pub(super) struct EarlierFiles {
    files: HashSet<Key>,
    folders: HashSet<Key>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    files: Vec<File<'a>>,
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
}

impl EarlierFiles {
    /// Notes what the manifests in a folder, and in those above it, name. One that cannot be read, or is none of ours, names
    /// nothing.
    pub(super) fn look_into(&mut self, folder: &Path) {
        // What is above a folder that was seen was seen, too.
        for folder in folder.ancestors() {
            if !self.folders.insert(key(folder)) {
                return;
            }
            self.read_manifests(folder);
        }
    }

    fn read_manifests(&mut self, folder: &Path) {
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        for manifest in manifests_in(here) {
            // Older lines name files, too, that may be there still.
            let _ = journal::for_each_line(&manifest, |_, line| {
                for file in serde_json::from_slice::<Line<'_>>(line).map_or_else(|_| Vec::new(), |line| line.files) {
                    self.files.insert(key(&folder.join(&*file.path)));
                }
            });
        }
    }

    /// Whether an earlier run has made this file, or put it into a review folder.
    pub(super) fn contains(&self, path: &Path) -> bool {
        self.lists(path) || is_for_review(path)
    }

    /// Whether a manifest lists this file.
    pub(super) fn lists(&self, path: &Path) -> bool {
        self.files.contains(&key(path))
    }
}

fn key(path: &Path) -> Key {
    digest::key(record_path(path).as_bytes())
}

/// Whether it is one of the two files of a photo in a review folder, and the other is beside it.
fn is_for_review(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    if let Some(stem) = name.strip_suffix(REVIEW_SUFFIX) {
        let is_photo = |extension: &str| path.with_file_name(format!("{stem}.photo.{extension}")).is_file();
        return PHOTO_EXTENSIONS.iter().any(|extension| is_photo(extension) || is_photo(&extension.to_uppercase()));
    }
    let stem = name.rsplit_once('.').and_then(|(stem, _)| stem.strip_suffix(".photo"));
    stem.is_some_and(|stem| path.with_file_name(format!("{stem}{REVIEW_SUFFIX}")).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_by_the_manifest_and_photos_for_review_by_their_pair() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let lines = r#"{"files":[{"path":"a.labels.png","bytes":1}]}
{"files":[{"path":"b/c.shirt.png","bytes":1}],"odd":1}
no JSON
"#;
        std::fs::write(at("manifest-1-of-2.jsonl"), lines).unwrap();
        for name in ["x.photo.JPG", "x.review.png", "y.photo.jpg", "z.review.png"] {
            std::fs::write(at(name), b"").unwrap();
        }
        let mut earlier = EarlierFiles::default();
        earlier.look_into(folder.path());
        let found =
            ["a.labels.png", "b/c.shirt.png", "a.jpg", "x.photo.JPG", "x.review.png", "y.photo.jpg", "z.review.png"]
                .map(|name| earlier.contains(&at(name)));
        assert_eq!(found, [true, true, false, true, true, false, false]);
    }
}
