//! What an argument stands for that names no file as it stands.

use std::path::{Path, PathBuf};

use clothseg::Error;

/// What an argument is.
pub(super) enum Argument {
    /// A path, whatever is there.
    Path,
    /// A pattern, and the files and folders that it matches: shells of Windows leave that to the program.
    Matches(Vec<PathBuf>),
    /// Something that is not read.
    Refused(Error),
}

/// Looks at an argument. What exists is a path, whatever its name looks like.
pub(super) fn read(path: &Path) -> Argument {
    if let Some(error) = refused(path) {
        return Argument::Refused(error);
    }
    let Some(text) = path.to_str().filter(|_| std::fs::symlink_metadata(path).is_err()) else { return Argument::Path };
    match () {
        () if text.contains(['*', '?', '[']) => matches(text),
        () if has_braces(text) => no_match("braces are no pattern here".into()),
        () => Argument::Path,
    }
}

/// Whether it looks like `{a,b}.jpg`, which some shells expand, and only where it is not quoted.
fn has_braces(text: &str) -> bool {
    let inside = text.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    inside.is_some_and(|(names, _)| names.contains(','))
}

fn no_match(cause: String) -> Argument {
    Argument::Refused(Error::Invalid(format!("there is no such file, and {cause}")))
}

/// Why something that names no file is not read, if it is the address of a photo.
pub(super) fn refused(path: &Path) -> Option<Error> {
    let text = path.to_str().filter(|_| std::fs::symlink_metadata(path).is_err())?;
    Some(Error::Invalid(match scheme(text)? {
        "file" => "it is an address of a file; name the file by its path".into(),
        "data" => "it is data in an address; write the photo to a file first, and name that".into(),
        _ => {
            "it is an address, and photos are read from files; download it first, such as with: curl -LO ADDRESS".into()
        }
    }))
}

/// The scheme of an address, such as `https`.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    // A shell or Path may have made one slash of two.
    let is_address =
        rest.starts_with("//") || ["data", "http", "https"].contains(&scheme.to_ascii_lowercase().as_str());
    (is_scheme && is_address).then_some(scheme)
}

fn matches(pattern: &str) -> Argument {
    let options = glob::MatchOptions {
        case_sensitive: !cfg!(windows),
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    // By itself it would stand for folders alone.
    let files_too = if Path::new(pattern).ends_with("**") {
        format!("{}/*", pattern.trim_end_matches('/'))
    } else {
        pattern.into()
    };
    match glob::glob_with(&files_too, options) {
        Err(error) => no_match(format!("it is not a complete pattern of names: {error}")),
        Ok(paths) => match paths.flatten().collect::<Vec<_>>() {
            paths if paths.is_empty() && has_braces(pattern) => {
                no_match("no file name matches this pattern, in which braces are characters like others".into())
            }
            paths if paths.is_empty() => no_match("no file name matches this pattern".into()),
            paths => Argument::Matches(paths),
        },
    }
}

/// A path of a list. Where nothing is there, but it is without blanks and quotation marks around it, it is meant so.
pub(super) fn listed(path: PathBuf) -> PathBuf {
    if std::fs::symlink_metadata(&path).is_ok() {
        return path;
    }
    let trimmed = path.to_str().map(str::trim).map(|text| {
        let quoted = |mark| text.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark));
        PathBuf::from(quoted('"').or_else(|| quoted('\'')).unwrap_or(text))
    });
    trimmed.filter(|trimmed| std::fs::symlink_metadata(trimmed).is_ok()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_paths() {
        for address in
            ["https://a.org/b.jpg", "HTTP://a", "s3://bucket/a.jpg", "file:///a.jpg", "data:image/png;base64,x"]
        {
            assert!(scheme(address).is_some(), "{address}");
        }
        for path in ["C:\\a.jpg", "C:/a.jpg", "a.jpg", "a b://c", "12:30.jpg", "./https:/a", "photo:1.jpg"] {
            assert!(scheme(path).is_none(), "{path}");
        }
        let Argument::Refused(error) = read(Path::new("https://a.org/b.jpg")) else { panic!("taken") };
        assert!(error.to_string().contains("download it first"), "{error}");
    }

    #[test]
    fn patterns_are_matched_and_names_that_look_like_them_are_paths() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a.jpg", "b.jpg", "[c].jpg", ".d.jpg", "in/e.jpg"] {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), b"x").unwrap();
        }
        let names = |pattern: &str| match read(&at(pattern)) {
            Argument::Matches(paths) => {
                paths.iter().map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string()).collect()
            }
            Argument::Path => vec!["path".to_owned()],
            Argument::Refused(error) => vec![error.to_string()],
        };
        assert_eq!(names("[ab].jpg"), ["a.jpg", "b.jpg"]);
        assert_eq!(names("?.jpg"), ["a.jpg", "b.jpg"]);
        assert_eq!(names("*"), ["[c].jpg", "a.jpg", "b.jpg", "in"]);
        assert_eq!(names("**/e.jpg").len(), 1);
        assert!(names("**").contains(&"a.jpg".to_owned()) && names("**").contains(&"in/e.jpg".to_owned()));
        assert_eq!(names("in/**/"), ["in/e.jpg"]);
        assert_eq!([names("[c].jpg"), names("absent.jpg")], [["path"], ["path"]]);
        assert!(
            names("*.png")[0].contains("no file name matches") && names("[.png")[0].contains("not a complete pattern")
        );
        assert!(names("{a,b}.jpg")[0].contains("braces are no pattern"));
        assert!(names("{a,b}*.jpg")[0].contains("braces are characters like others"));
        assert_eq!(names("{a}.jpg"), ["path"]);
    }

    #[test]
    fn blanks_and_quotation_marks_of_a_list_are_taken_off_where_that_leads_to_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b.jpg");
        std::fs::write(&path, b"x").unwrap();
        for form in [format!("\"{}\"", path.display()), format!("  {}\t", path.display()), path.display().to_string()] {
            assert_eq!(listed(form.into()), path);
        }
        assert_eq!(listed("\"absent\"".into()), Path::new("\"absent\""));
    }
}
