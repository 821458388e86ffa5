//! How results lead to their photo.

use std::path::{Component, Path, PathBuf};

use super::inputs::Source;

/// The path from the folder of a photo's results to the photo, with `/` between its parts. Absolute where there is no way,
/// such as to another drive. A photo from standard input has none: it is looked for beside the results as `stdin`.
pub(super) fn path_to(source: &Source, stem: &Path) -> String {
    let Source::File(photo) = source else { return "stdin".into() };
    let folder = stem.parent().unwrap_or(Path::new(""));
    let (Ok(to), Ok(from)) = (std::fs::canonicalize(photo), std::fs::canonicalize(folder)) else {
        return photo.display().to_string();
    };
    let path = relative(&from, &to).unwrap_or(to);
    path.components()
        .map(|part| match part {
            Component::RootDir => String::new(),
            part => part.as_os_str().to_string_lossy().into_owned(),
        })
        .collect::<Vec<_>>()
        .join("/")
}

/// The way from a folder to a file, both absolute; none where they have no root in common.
fn relative(folder: &Path, file: &Path) -> Option<PathBuf> {
    let shared = folder.components().zip(file.components()).take_while(|(a, b)| a == b).count();
    (shared > 0).then(|| {
        let up = folder.components().skip(shared).map(|_| Component::ParentDir);
        up.chain(file.components().skip(shared)).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_a_photo_goes_up_and_down() {
        let way = |folder: &str, file: &str| relative(Path::new(folder), Path::new(file));
        assert_eq!(way("/w/out/shop", "/w/shop/a.jpg"), Some("../../shop/a.jpg".into()));
        assert_eq!(way("/w", "/w/shop/a.jpg"), Some("shop/a.jpg".into()));
        assert_eq!(way("/w/out", "/a.jpg"), Some("../../a.jpg".into()));
        assert_eq!(path_to(&Source::Bytes([].into()), Path::new("out/stdin")), "stdin");
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("out")).unwrap();
        std::fs::write(folder.path().join("a b&ü.jpg"), b"").unwrap();
        let source = Source::File(folder.path().join("a b&ü.jpg"));
        assert_eq!(path_to(&source, &folder.path().join("out/a")), "../a b&ü.jpg");
    }
}
