use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

use crate::error::{Error, Result};

/// Endings that make a file in a folder a photo. A file named by itself is read whatever its name.
const PHOTO_ENDINGS: [&str; 9] = ["jpg", "jpeg", "jpe", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// One photo to segment and where its files go.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Input {
    /// The photo as its user names it.
    pub name: String,
    /// Where its bytes are.
    pub source: Source,
    /// Path of its files below the output folder, up to the first dot that is added: `a/b` for `a/b.labels.png`.
    pub stem: PathBuf,
}

/// Where a photo's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// Here; standard input was read.
    Bytes(Vec<u8>),
}

/// What was found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Inputs {
    /// The photos, each file once, in the order given and folders in the order of names.
    pub photos: Vec<Input>,
    /// Folders and files that could not be looked at.
    pub unreadable: Vec<(String, Error)>,
    /// Files in folders that are no photos by their name.
    pub skipped: usize,
}

/// Finds the photos that arguments name: files, folders (recursive; hidden ones and the output folder left out) and
/// `-` for standard input.
///
/// Below the output folder a folder's own tree is mirrored; a file named by a relative path keeps it, any other file
/// its name. No two photos get one stem: where they would, each keeps its ending (`b.jpg`, `b.png`), and what is
/// still the same is numbered.
///
/// # Errors
/// [`Error::Invalid`] when the output folder is one of the folders. What cannot be read stands in the result.
pub fn find_inputs(arguments: &[PathBuf], output: &Path, max_bytes: u64, stdin: &mut dyn Read) -> Result<Inputs> {
    let mut inputs = Inputs::default();
    let mut seen = HashSet::new();
    let output = std::fs::canonicalize(output).ok();
    for argument in arguments {
        if argument.as_os_str() == "-" {
            match read_all(stdin, max_bytes) {
                Ok(bytes) => {
                    let input = Input { name: "-".into(), source: Source::Bytes(bytes), stem: "stdin".into() };
                    inputs.photos.push(input);
                }
                Err(error) => inputs.unreadable.push(("-".into(), error)),
            }
        } else if argument.is_dir() {
            if output.is_some() && std::fs::canonicalize(argument).ok() == output {
                let folder = argument.display();
                return Err(Error::Invalid(format!("{folder} holds the photos; results need a folder of their own")));
            }
            find_in_folder(argument, output.as_deref(), &mut seen, &mut inputs);
        } else {
            add_file(argument.clone(), relative(argument), &mut seen, &mut inputs);
        }
    }
    make_stems_unique(&mut inputs.photos);
    Ok(inputs)
}

fn read_all(stdin: &mut dyn Read, max_bytes: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stdin
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| Error::Read { path: "standard input".into(), source })?;
    if bytes.len() as u64 > max_bytes {
        return Err(Error::TooLarge { found: bytes.len() as u64, limit: max_bytes, unit: "bytes" });
    }
    Ok(bytes)
}

fn find_in_folder(folder: &Path, output: Option<&Path>, seen: &mut HashSet<PathBuf>, inputs: &mut Inputs) {
    // Results of an earlier run are no photos.
    let is_output = |path: &Path| output.is_some_and(|output| std::fs::canonicalize(path).is_ok_and(|p| p == output));
    let hidden = |entry: &walkdir::DirEntry| {
        entry.depth() > 0 && entry.file_name().to_str().is_some_and(|name| name.starts_with('.'))
    };
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    for entry in walk.filter_entry(|entry| {
        !hidden(entry) && (entry.depth() == 0 || !entry.path().is_dir() || !is_output(entry.path()))
    }) {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => {}
            // A pipe or device would be waited for for ever.
            Ok(entry) if entry.file_type().is_file() && has_photo_ending(entry.path()) => {
                let below = entry.path().strip_prefix(folder).unwrap_or(entry.path()).to_owned();
                add_file(entry.into_path(), below, seen, inputs);
            }
            Ok(_) => inputs.skipped += 1,
            // A link that leads back up, or nowhere: no photo is lost by it.
            Err(error) if error.loop_ancestor().is_some() => {}
            Err(error) if error.path().is_some_and(|path| path.is_symlink() && !has_photo_ending(path)) => {}
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_owned();
                let source = error.into();
                inputs.unreadable.push((path.display().to_string(), Error::Read { path, source }));
            }
        }
    }
}

/// The files among the photos, by their one real path each.
pub(super) fn identities(photos: &[Input]) -> HashSet<PathBuf> {
    let path = |photo: &Input| match &photo.source {
        Source::File(path) => std::fs::canonicalize(path).ok(),
        Source::Bytes(_) => None,
    };
    photos.iter().filter_map(path).collect()
}

/// Adds a file unless it is there already under another name. `below` is its place below the output folder.
fn add_file(path: PathBuf, below: PathBuf, seen: &mut HashSet<PathBuf>, inputs: &mut Inputs) {
    let identity = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
    if seen.insert(identity) {
        let name = path.display().to_string();
        inputs.photos.push(Input { name, source: Source::File(path), stem: below });
    }
}

fn has_photo_ending(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| PHOTO_ENDINGS.contains(&ending.as_str()))
}

/// The path itself when it stays below the working directory, else the file name: results never leave the output
/// folder.
fn relative(path: &Path) -> PathBuf {
    let inside = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if inside {
        path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
    } else {
        path.file_name().map(PathBuf::from).unwrap_or_else(|| "photo".into())
    }
}

/// Turns the places into stems: without ending where that is unique, with it where not, numbered as the last resort.
fn make_stems_unique(photos: &mut [Input]) {
    let bare = |path: &Path| {
        let bare = path.with_extension("");
        if has_photo_ending(path) && !is_taken(&bare) { bare } else { path.to_owned() }
    };
    let mut sharing: HashMap<String, usize> = HashMap::new();
    for photo in photos.iter() {
        *sharing.entry(key(&bare(&photo.stem))).or_default() += 1;
    }
    let mut taken: HashSet<String> = HashSet::new();
    for photo in photos {
        let shortened = bare(&photo.stem);
        let stem = if sharing[&key(&shortened)] == 1 { shortened } else { photo.stem.clone() };
        let mut unique = stem.clone();
        let mut number = 2;
        while is_taken(&unique) || !taken.insert(key(&unique)) {
            unique = with_suffix(&stem, &format!("-{number}"));
            number += 1;
        }
        photo.stem = unique;
    }
}

/// Whether `STEM.json` is another file's name: that of the run's COCO file, or that of labelme's file of another photo.
fn is_taken(stem: &Path) -> bool {
    let name = key(stem);
    name == "coco" || name.ends_with(".labelme")
}

/// Two paths that differ in case are one file on some systems.
fn key(path: &Path) -> String {
    path.to_string_lossy().to_lowercase()
}

/// The same path with text after its last part.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stems(arguments: &[PathBuf], output: &Path) -> Vec<String> {
        let inputs = find_inputs(arguments, output, 1000, &mut &b"photo"[..]).unwrap();
        inputs.photos.iter().map(|photo| photo.stem.to_string_lossy().replace('\\', "/")).collect()
    }

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        folder
    }

    #[test]
    fn a_folder_is_mirrored_and_what_is_no_photo_or_hidden_is_left_out() {
        let folder = tree(&["b.JPG", "a/c.png", "a/notes.txt", ".git/x.jpg", "a/d.e.webp"]);
        assert_eq!(stems(&[folder.path().into()], Path::new("absent")), ["a/c", "a/d.e", "b"]);
        let inputs = find_inputs(&[folder.path().into()], Path::new("absent"), 9, &mut &b""[..]).unwrap();
        assert_eq!(inputs.skipped, 1);
    }

    #[test]
    fn two_photos_never_share_a_stem() {
        let folder = tree(&["b.jpg", "b.png", "B.webp", "x/b.jpg", "y/c.jpg", "z/c.jpg"]);
        let at = |name: &str| folder.path().join(name);
        assert_eq!(stems(&[folder.path().into()], Path::new("o")), ["B.webp", "b.jpg", "b.png", "x/b", "y/c", "z/c"]);
        assert_eq!(stems(&[at("y/c.jpg"), at("z/c.jpg")], Path::new("o")), ["c.jpg", "c.jpg-2"]);
        assert_eq!(stems(&["-".into(), "-".into()], Path::new("o")), ["stdin", "stdin-2"]);
    }

    #[test]
    fn a_photo_gets_no_name_that_another_file_of_the_run_has() {
        let folder = tree(&["coco.jpg", "a.labelme.jpg", "b/coco.jpg", "coco"]);
        assert_eq!(stems(&[folder.path().into()], Path::new("o")), ["a.labelme.jpg", "b/coco", "coco.jpg"]);
        assert_eq!(stems(&[folder.path().join("coco")], Path::new("o")), ["coco-2"]);
    }

    #[test]
    fn one_file_named_twice_is_done_once() {
        let folder = tree(&["a.jpg"]);
        assert_eq!(stems(&[folder.path().join("a.jpg"), folder.path().into()], Path::new("o")).len(), 1);
    }

    #[test]
    fn results_of_an_earlier_run_inside_the_folder_are_no_photos() {
        let folder = tree(&["a.jpg", "out/a.overlay.png"]);
        assert_eq!(stems(&[folder.path().into()], &folder.path().join("out")), ["a"]);
    }

    #[test]
    fn the_folder_of_the_photos_is_no_output_folder() {
        let folder = tree(&["a.jpg"]);
        let error = find_inputs(&[folder.path().into()], folder.path(), 9, &mut &b""[..]).unwrap_err();
        assert!(error.to_string().contains("a folder of their own"), "{error}");
    }

    #[test]
    fn standard_input_over_the_limit_is_named_and_the_rest_goes_on() {
        let inputs = find_inputs(&["-".into(), "a.jpg".into()], Path::new("o"), 3, &mut &b"photo"[..]).unwrap();
        assert_eq!((inputs.photos.len(), inputs.unreadable.len()), (1, 1));
    }

    #[test]
    fn a_path_never_leaves_the_output_folder() {
        assert_eq!(relative(Path::new("./a/b.jpg")), Path::new("a/b.jpg"));
        for outside in ["../a/b.jpg", "/a/b.jpg", "a/../../b.jpg"] {
            assert_eq!(relative(Path::new(outside)), Path::new("b.jpg"), "{outside}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_kept_so_that_it_can_be_reported() {
        assert_eq!(stems(&["absent.jpg".into()], Path::new("o")), ["absent"]);
    }
}
