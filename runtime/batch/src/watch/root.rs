//! The watched folder, and what of it a run would look at.

use std::path::{Component, Path, PathBuf};

use clothseg::internals::files::is_of_system;
use clothseg::{Error, Result};

/// How names end while programs fetch or copy a file, which bear another name when they are whole.
const UNFINISHED: [&str; 7] = [".part", ".partial", ".crdownload", ".download", ".filepart", ".tmp", ".temp"];

/// Whether this is the name of a file that is not whole.
pub(super) fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    UNFINISHED.iter().any(|ending| name.ends_with(ending))
}

/// The watched folder.
pub(super) struct Root {
    /// As its user names it.
    pub(super) given: PathBuf,
    /// Its real path; those of the system's news begin with it.
    pub(super) real: PathBuf,
    /// The real paths of the folders for results.
    pub(super) outputs: Vec<PathBuf>,
}

impl Root {
    pub(super) fn open(folder: &Path, outputs: &[&Path]) -> Result<Self> {
        let real_path =
            |path: &Path| std::fs::canonicalize(path).map_err(|source| Error::Read { path: path.to_owned(), source });
        let real = real_path(folder)?;
        std::fs::read_dir(&real).map_err(|source| Error::Read { path: folder.to_owned(), source })?;
        let outputs = outputs.iter().map(|path| real_path(path)).collect::<Result<Vec<_>>>()?;
        if let Some(output) = outputs.iter().find(|output| real.starts_with(output)) {
            let (folder, output) = (folder.display(), output.display());
            return Err(Error::Invalid(format!(
                "the watched folder {folder} lies in the folder for results {output}, and results would be taken for photos; \
                 choose a folder for results beside it or in it"
            )));
        }
        Ok(Self { given: folder.to_owned(), real, outputs })
    }

    /// The path that a path of the system's news has as its user would write it, where a run would look at it: below the watched
    /// folder, not hidden, and not among results.
    pub(super) fn admitted(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(&self.real).ok().filter(|below| !below.as_os_str().is_empty())?;
        let is_hidden = |part: Component<'_>| is_of_system(&part.as_os_str().to_string_lossy());
        let is_result = |path: &Path| self.outputs.iter().any(|output| path.starts_with(output));
        let hides = below.components().any(is_hidden) || is_result(path);
        // The way there may lead through a link.
        let elsewhere =
            || path.parent().and_then(|above| above.canonicalize().ok()).is_some_and(|above| is_result(&above));
        (!hides && !elsewhere()).then(|| self.given.join(below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_of_what_a_run_would_look_at() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        for name in ["in/a", "in/out/x", "out"] {
            std::fs::create_dir_all(base.join(name)).unwrap();
        }
        let given = base.join("in/../in");
        let root = Root::open(&given, &[&base.join("in/out"), &base.join("out")]).unwrap();
        let admits = |name: &str| root.admitted(&base.join(name)).is_some();
        assert_eq!(root.admitted(&base.join("in/a/b.jpg")), Some(given.join("a/b.jpg")));
        assert!(admits("in/c.jpg") && admits("in/outer/c.jpg") && admits("in/gone/c.jpg"));
        for name in [
            "in/.c.jpg",
            "in/.git/c.jpg",
            "in/out/c.png",
            "in/out/x/c.png",
            "in/out",
            "in",
            "elsewhere/c.jpg",
            "in/Thumbs.db",
        ] {
            assert!(!admits(name), "{name}");
        }
        assert!(is_unfinished(Path::new("in/c.jpg.PART")) && !is_unfinished(Path::new("in/part.jpg")));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(base.join("out"), base.join("in/link")).unwrap();
            assert!(!admits("in/link/c.png"));
        }
    }

    #[test]
    fn a_folder_among_results_is_not_watched() {
        let folder = tempfile::tempdir().unwrap();
        let inbox = folder.path().join("in");
        std::fs::create_dir(&inbox).unwrap();
        for output in [folder.path(), &inbox] {
            let error = Root::open(&inbox, &[output]).err().unwrap();
            assert!(error.to_string().contains("lies in the folder for results"), "{error}");
        }
        assert!(Root::open(&folder.path().join("absent"), &[]).is_err());
        std::fs::write(folder.path().join("file.jpg"), b"x").unwrap();
        assert!(Root::open(&folder.path().join("file.jpg"), &[]).is_err());
    }
}
