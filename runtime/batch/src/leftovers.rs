//! Files that a kill leaves behind.

use std::path::Path;
use std::time::{Duration, SystemTime};

use walkdir::WalkDir;

/// How the name of a file begins until it is whole and takes its own name.
pub(super) const TEMPORARY_PREFIX: &str = ".clothseg-";

/// No file takes this long to write.
const SURELY_DEAD: Duration = Duration::from_secs(15 * 60);

/// Removes what killed runs left in a folder of results. While other runs write there, only what is too old to be theirs.
///
/// What cannot be looked at or removed stays: it harms nobody.
pub(super) fn remove(folder: &Path, started: SystemTime, others_write: bool) {
    let newest = if others_write { started.checked_sub(SURELY_DEAD) } else { Some(started) };
    let Some(newest) = newest else { return };
    let is_temporary = |entry: &walkdir::DirEntry| {
        entry.file_type().is_file() && entry.file_name().to_str().is_some_and(|name| name.starts_with(TEMPORARY_PREFIX))
    };
    for entry in WalkDir::new(folder).into_iter().flatten().filter(is_temporary) {
        // A shard that starts in this moment may have made it since.
        let is_old = entry.metadata().ok().and_then(|facts| facts.modified().ok()).is_some_and(|time| time < newest);
        if is_old && std::fs::remove_file(entry.path()).is_ok() {
            tracing::info!("removed {}, which an earlier run left unfinished", entry.path().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_temporary_files_leave() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, age_s: u64| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = std::fs::File::create(path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age_s)).unwrap();
        };
        let names = || {
            let entries = WalkDir::new(folder.path()).sort_by_file_name().into_iter().flatten();
            let files = entries.filter(|entry| entry.file_type().is_file());
            files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        let started = SystemTime::now();
        file("a/.clothseg-old", 3600);
        file("a/.clothseg-young", 60);
        file("a/mask.png", 3600);
        remove(folder.path(), started, true);
        assert_eq!(names(), [".clothseg-young", "mask.png"]);
        remove(folder.path(), started - Duration::from_secs(100), false);
        assert_eq!(names(), [".clothseg-young", "mask.png"], "made since the run started");
        remove(folder.path(), started, false);
        assert_eq!(names(), ["mask.png"]);
    }
}
