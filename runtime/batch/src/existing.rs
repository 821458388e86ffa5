//! What is where a result is to be: photos of the run are never written over or removed, through links neither. Nor are files
//! beside photos that no run wrote, such as labels made by hand.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::inputs::Identities;
use super::manifest::{Record, Status};
use super::stems::record_path;

/// What has the name of a result already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// Nothing.
    Nothing,
    /// A photo of the run, or a link to one.
    Photo,
    /// A file beside photos that no run wrote, as far as is known.
    Foreign,
    /// Anything else, such as a result of an earlier run.
    Other,
}

/// Which files earlier runs wrote, of those that are asked for.
#[derive(Debug)]
pub(super) enum OwnFiles {
    /// Every one that is there.
    All,
    /// These, as [`record_path`] writes their paths; none where there are none.
    These(HashSet<String>),
}

impl OwnFiles {
    /// The files of an earlier run's record below its output folder. A run that was broken off may have written any.
    pub(super) fn of(record: Option<&Record>, is_written: bool, output: &Path) -> Self {
        match record {
            Some(record) if record.status == Status::Done => {
                Self::These(record.files.iter().map(|file| record_path(&output.join(&file.path))).collect())
            }
            _ if is_written => Self::All,
            _ => Self::These(HashSet::new()),
        }
    }
}

/// A folder of results.
///
/// Most results are new, and most folders of results hold no photo. So the folder is resolved once, and each name costs one
/// look; only links, and files in a folder that holds photos, are followed to their real paths. In a folder that was empty when
/// the run began nothing is looked for.
pub(super) struct ResultFolder<'a> {
    photos: &'a Identities,
    is_new: bool,
    may_hold_photos: bool,
    ours: OwnFiles,
}

impl<'a> ResultFolder<'a> {
    /// `ours` is looked at only where the folder may hold photos.
    pub(super) fn new(folder: &Path, photos: &'a Identities, ours: impl FnOnce() -> OwnFiles) -> Self {
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        // Of one that cannot be resolved, such as one that is not there yet, nothing is known.
        let may_hold_photos = fs::canonicalize(here).map_or(true, |real_path| photos.are_in(&real_path));
        let ours = if may_hold_photos { ours() } else { OwnFiles::All };
        Self { photos, is_new: false, may_hold_photos, ours }
    }

    /// One that was empty when the run began, or was not there. What lies in it by now is of other photos.
    pub(super) fn of_new(photos: &'a Identities) -> Self {
        Self { photos, is_new: true, may_hold_photos: false, ours: OwnFiles::All }
    }

    /// Whether there may be files in it that no run wrote, and that must stay.
    pub(super) fn may_hold_foreign(&self) -> bool {
        self.may_hold_photos && matches!(self.ours, OwnFiles::These(_))
    }

    fn is_foreign(&self, path: &Path) -> bool {
        self.may_hold_photos && matches!(&self.ours, OwnFiles::These(files) if !files.contains(&record_path(path)))
    }

    /// Whether a run is known to have written `path`, or it lies where nothing else does.
    pub(super) fn may_remove(&self, path: &Path) -> bool {
        !self.may_hold_photos || matches!(&self.ours, OwnFiles::These(files) if files.contains(&record_path(path)))
    }

    /// What `path`, a name in this folder, stands for at this moment.
    pub(super) fn existing(&self, path: &Path) -> Existing {
        if self.is_new {
            return Existing::Nothing;
        }
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Existing::Nothing,
            Ok(metadata) if !metadata.is_symlink() && !self.may_hold_photos => Existing::Other,
            _ => match fs::canonicalize(path) {
                Ok(real_path) if self.photos.contains(&real_path) => Existing::Photo,
                _ if self.is_foreign(path) => Existing::Foreign,
                _ => Existing::Other,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Two folders, `in` with `a.png`, which is a photo of the run, and `b.png`, which is none, and `out` with `a.png`.
    fn tree() -> (tempfile::TempDir, PathBuf, Identities) {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        for name in ["in/a.png", "in/b.png", "out/a.png"] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), b"x").unwrap();
        }
        let mut photos = Identities::default();
        photos.insert(&root.join("in/a.png"));
        (folder, root, photos)
    }

    #[test]
    fn photos_are_told_from_results_beside_them_and_elsewhere() {
        let (_folder, root, photos) = tree();
        let at = |folder: &str, name: &str| {
            let folder = root.join(folder);
            ResultFolder::new(&folder, &photos, || OwnFiles::All).existing(&folder.join(name))
        };
        assert_eq!(
            [at("in", "a.png"), at("in", "b.png"), at("in", "c.png")],
            [Existing::Photo, Existing::Other, Existing::Nothing]
        );
        assert_eq!([at("out", "a.png"), at("out", "c.png")], [Existing::Other, Existing::Nothing]);
        assert_eq!([at("absent", "a.png"), at("out/../in", "a.png")], [Existing::Nothing, Existing::Photo]);
        // Where nothing was when the run began nothing is looked for.
        assert_eq!(ResultFolder::of_new(&photos).existing(&root.join("out/a.png")), Existing::Nothing);
    }

    #[test]
    fn files_beside_photos_are_nobodys_results_until_a_run_wrote_them() {
        let (_folder, root, photos) = tree();
        let at = |folder: &str, name: &str| {
            let folder = root.join(folder);
            ResultFolder::new(&folder, &photos, || OwnFiles::These(HashSet::new())).existing(&folder.join(name))
        };
        assert_eq!(
            [at("in", "a.png"), at("in", "b.png"), at("in", "c.png"), at("out", "a.png")],
            [Existing::Photo, Existing::Foreign, Existing::Nothing, Existing::Other]
        );
    }

    #[test]
    #[cfg(unix)]
    fn links_are_followed_of_files_and_of_folders() {
        use std::os::unix::fs::symlink;
        let (_folder, root, photos) = tree();
        symlink(root.join("in/a.png"), root.join("out/to-photo.png")).unwrap();
        symlink(root.join("in/b.png"), root.join("out/to-other.png")).unwrap();
        symlink(root.join("in/gone.png"), root.join("out/to-nothing.png")).unwrap();
        symlink(root.join("in"), root.join("linked")).unwrap();
        let at = |folder: &str, name: &str| {
            let folder = root.join(folder);
            ResultFolder::new(&folder, &photos, || OwnFiles::All).existing(&folder.join(name))
        };
        assert_eq!(at("out", "to-photo.png"), Existing::Photo);
        assert_eq!(at("out", "to-other.png"), Existing::Other);
        assert_eq!(at("out", "to-nothing.png"), Existing::Other, "a link that leads nowhere is there all the same");
        assert_eq!([at("linked", "a.png"), at("linked", "b.png")], [Existing::Photo, Existing::Other]);
    }
}
