//! What files are, told by their bytes and their names, and how texts and lists in them are read: one rule for all packages of this
//! project, which use it through `internals`.

pub mod kind;
pub mod list;
pub mod text;
pub(crate) mod tiff;

use std::path::Path;

/// Extensions, in lower case, of photos that are read. Other files are looked into.
pub const PHOTO_EXTENSIONS: &[&str] = &[
    "jpg",
    "jpeg",
    "jpe",
    "jfif",
    "pjpeg",
    "pjp",
    "png",
    "apng",
    "webp",
    "bmp",
    "dib",
    "gif",
    "tif",
    "tiff",
    #[cfg(feature = "avif")]
    "avif",
    #[cfg(feature = "heic")]
    "heic",
    #[cfg(feature = "heic")]
    "heif",
    #[cfg(feature = "heic")]
    "hif",
];

/// Files and folders that systems and network drives leave among photos, beside hidden ones, in lower case.
const SYSTEM_NAMES: [&str; 17] = [
    "thumbs.db",
    "thumbs.db:encryptable",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "picasa.ini",
    "icon\r",
    "@eadir",
    "@recycle",
    "@recently-snapshot",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "system volume information",
    "network trash folder",
    "lost+found",
    "__macosx",
];

/// What network drives write beside a photo.
const SYSTEM_SUFFIXES: [&str; 2] = ["@synoeastream", "@synoresource"];

/// Whether a file or folder is a system's own, or hidden: such as `._a.jpg` and `.DS_Store` of macOS, `Thumbs.db` of Windows, and
/// `@eaDir` of a network drive. They hold no photos of their user's.
pub fn is_of_system(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with('.')
        || SYSTEM_NAMES.contains(&name.as_str())
        || SYSTEM_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// Whether a name has the extension of a photo that is read.
pub fn has_photo_extension(path: &Path) -> bool {
    extension(path).is_some_and(|extension| PHOTO_EXTENSIONS.contains(&extension.as_str()))
}

/// The extension in lower case.
fn extension(path: &Path) -> Option<String> {
    path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systems_leave_is_told_by_its_name() {
        for name in [
            "._a.jpg",
            ".DS_Store",
            "THUMBS.DB",
            "Desktop.ini",
            "@eaDir",
            "__MACOSX",
            "#recycle",
            ".Trashes",
            "$RECYCLE.BIN",
        ] {
            assert!(is_of_system(name), "{name}");
        }
        assert!(is_of_system("a.jpg@SynoEAStream") && is_of_system("Icon\r"));
        for name in ["a.jpg", "thumbs.jpg", "desktop", "@a.png", "icon", "_macosx", "#1.jpg"] {
            assert!(!is_of_system(name), "{name}");
        }
        assert!(has_photo_extension(Path::new("a/b.PJPEG")) && !has_photo_extension(Path::new("a.jpg/b")));
    }
}
