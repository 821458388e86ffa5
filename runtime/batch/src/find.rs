use std::collections::HashMap;
use std::io::{BufRead, Read};
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

use super::inputs::{Folder, Inputs};
use super::shard::Shard;
use super::stems::has_photo_ending;
use clothseg::{Error, Result};

/// Finds the photos that arguments name: files, folders (recursive; hidden ones and the output folder left out) and
/// `-` for standard input. For more, see [`InputFinder`].
///
/// # Errors
/// [`Error::Invalid`] when the output folder is one of the folders. What cannot be read stands in the result.
pub fn find_inputs(arguments: &[PathBuf], output: &Path, max_bytes: u64, stdin: &mut dyn Read) -> Result<Inputs> {
    let mut finder = InputFinder::new(&[output]);
    for argument in arguments {
        if argument.as_os_str() == "-" {
            finder.add_bytes(stdin, max_bytes);
        } else {
            finder.add(argument)?;
        }
    }
    Ok(finder.finish(None))
}

/// Finds photos step by step.
///
/// Below the output folder a folder's own tree is mirrored; a file named by a relative path keeps it, any other file
/// its name. No two photos get one stem: where they would, each keeps its ending (`b.jpg`, `b.png`), and what is
/// still the same is numbered.
#[derive(Debug)]
pub struct InputFinder {
    /// Folders for results, by their real paths.
    outputs: Vec<PathBuf>,
    folders: HashMap<(PathBuf, PathBuf), SeenFolder>,
    inputs: Inputs,
}

#[derive(Debug, Clone)]
struct SeenFolder {
    index: u32,
    real_path: Option<PathBuf>,
}

impl InputFinder {
    /// `outputs` are the folders for results, which hold no photos whatever lies in them.
    pub fn new(outputs: &[&Path]) -> Self {
        let outputs = outputs.iter().filter_map(|path| std::fs::canonicalize(path).ok()).collect();
        Self { outputs, folders: HashMap::new(), inputs: Inputs::default() }
    }

    /// Adds a file, or a folder with all below it. What cannot be read stands in the result, or fails when its turn
    /// comes.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is a folder for results.
    pub fn add(&mut self, path: &Path) -> Result<()> {
        if !path.is_dir() {
            self.add_file(path, &relative(path), path.is_symlink());
        } else if self.is_output(path) {
            let folder = path.display();
            return Err(Error::Invalid(format!("{folder} holds the photos; results need a folder of their own")));
        } else {
            self.add_folder(path);
        }
        Ok(())
    }

    /// Adds the photo that a reader holds, such as standard input.
    pub fn add_bytes(&mut self, reader: &mut dyn Read, max_bytes: u64) {
        match read_all(reader, max_bytes) {
            Ok(bytes) => self.inputs.push_bytes(bytes),
            Err(error) => self.inputs.unreadable.push(("-".into(), error)),
        }
    }

    /// Adds the files and folders of a list: one path a line, or with `separator` 0 one before each NUL, for names with
    /// line ends in them. Relative paths are below the working directory. Empty lines are nothing.
    ///
    /// # Errors
    /// [`Error::Read`] when the list cannot be read, [`Error::Invalid`] as [`InputFinder::add`].
    pub fn add_list(&mut self, list: &mut dyn BufRead, separator: u8) -> Result<()> {
        let mut entry = Vec::new();
        loop {
            entry.clear();
            let read = list.read_until(separator, &mut entry);
            if read.map_err(|source| Error::Read { path: "the list of photos".into(), source })? == 0 {
                return Ok(());
            }
            let mut path = entry.strip_suffix(&[separator]).unwrap_or(&entry);
            if separator == b'\n' {
                path = path.strip_suffix(b"\r").unwrap_or(path);
            }
            if !path.is_empty() {
                self.add(&path_of_bytes(path))?;
            }
        }
    }

    /// The photos found, or those of one shard.
    pub fn finish(self, shard: Option<Shard>) -> Inputs {
        self.inputs.finish(shard)
    }

    fn is_output(&self, path: &Path) -> bool {
        !self.outputs.is_empty() && std::fs::canonicalize(path).is_ok_and(|path| self.outputs.contains(&path))
    }

    fn add_folder(&mut self, folder: &Path) {
        let hidden = |entry: &walkdir::DirEntry| {
            entry.depth() > 0 && entry.file_name().to_str().is_some_and(|name| name.starts_with('.'))
        };
        let mut walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
        while let Some(entry) = walk.next() {
            match entry {
                // Results of an earlier run are no photos.
                Ok(entry) if entry.file_type().is_dir() && (hidden(&entry) || self.is_output(entry.path())) => {
                    walk.skip_current_dir();
                }
                Ok(entry) if entry.file_type().is_dir() || hidden(&entry) => {}
                // A pipe or device would be waited for for ever.
                Ok(entry) if entry.file_type().is_file() && has_photo_ending(entry.path()) => {
                    let below = entry.path().strip_prefix(folder).unwrap_or(entry.path());
                    self.add_file(entry.path(), below, entry.path_is_symlink());
                }
                Ok(_) => self.inputs.skipped += 1,
                // A link that leads back up, or nowhere: no photo is lost by it.
                Err(error) if error.loop_ancestor().is_some() => {}
                Err(error) if error.path().is_some_and(|path| path.is_symlink() && !has_photo_ending(path)) => {}
                Err(error) => {
                    let path = error.path().unwrap_or(folder).to_owned();
                    self.unreadable(&path, error.into());
                }
            }
        }
    }

    fn unreadable(&mut self, path: &Path, source: std::io::Error) {
        self.inputs.unreadable.push((path.display().to_string(), Error::Read { path: path.to_owned(), source }));
    }

    /// Adds one file. `place` is its path below the output folder.
    fn add_file(&mut self, path: &Path, place: &Path, is_link: bool) {
        let (Some(name), Some(above)) = (path.file_name(), path.parent()) else {
            let nameless = std::io::Error::new(std::io::ErrorKind::NotFound, "the path names no file");
            return self.unreadable(path, nameless);
        };
        let folder = self.folder(above, place.parent().unwrap_or(Path::new("")));
        // One look at the folder serves all its files, unless one is a link to elsewhere.
        let real_path = if is_link { std::fs::canonicalize(path).ok() } else { folder.real_path.map(|f| f.join(name)) };
        self.inputs.push_file(folder.index, name, &real_path.unwrap_or_else(|| path.to_owned()));
    }

    fn folder(&mut self, path: &Path, place: &Path) -> SeenFolder {
        let key = (path.to_owned(), place.to_owned());
        if let Some(folder) = self.folders.get(&key) {
            return folder.clone();
        }
        let here = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let real_path = std::fs::canonicalize(here).ok();
        let index = self.inputs.push_folder(Folder { path: path.to_owned(), place: place.to_owned() });
        self.folders.entry(key).or_insert(SeenFolder { index, real_path }).clone()
    }
}

fn read_all(reader: &mut dyn Read, max_bytes: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| Error::Read { path: "standard input".into(), source })?;
    if bytes.len() as u64 > max_bytes {
        return Err(Error::TooLarge { found: bytes.len() as u64, limit: max_bytes, unit: "bytes" });
    }
    Ok(bytes)
}

#[cfg(unix)]
fn path_of_bytes(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::OsStr::from_bytes(bytes).into()
}

/// Names are text on this system; what is none names no file, and fails when its turn comes.
#[cfg(not(unix))]
fn path_of_bytes(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// The path itself when it stays below the working directory, else the file name: results never leave the output
/// folder.
fn relative(path: &Path) -> PathBuf {
    let inside = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if inside {
        path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
    } else {
        path.file_name().map(PathBuf::from).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::inputs::Source;
    use super::*;

    fn stems_of(inputs: &Inputs) -> Vec<String> {
        inputs.iter().map(|photo| photo.stem.to_string_lossy().replace('\\', "/")).collect()
    }

    fn stems(arguments: &[PathBuf], output: &Path) -> Vec<String> {
        stems_of(&find_inputs(arguments, output, 1000, &mut &b"photo"[..]).unwrap())
    }

    fn listed(list: &[u8], separator: u8) -> Vec<String> {
        let mut finder = InputFinder::new(&[]);
        finder.add_list(&mut &list[..], separator).unwrap();
        finder.finish(None).iter().map(|photo| photo.name).collect()
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
        let folder = tree(&["b.JPG", "a/c.png", "a/notes.txt", ".git/x.jpg", "a/.y.jpg", "a/d.e.webp"]);
        assert_eq!(stems(&[folder.path().into()], Path::new("absent")), ["a/c", "a/d.e", "b"]);
        let inputs = find_inputs(&[folder.path().into()], Path::new("absent"), 9, &mut &b""[..]).unwrap();
        assert_eq!(inputs.skipped, 1);
        assert_eq!(inputs.get(0).unwrap().source, Source::File(folder.path().join("a/c.png")));
        assert_eq!(inputs.get(3), None);
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
    fn one_file_named_twice_is_done_once() {
        let folder = tree(&["a.jpg"]);
        let twice = [folder.path().join("a.jpg"), folder.path().into(), folder.path().join("./a.jpg")];
        assert_eq!(stems(&twice, Path::new("o")).len(), 1);
    }

    #[test]
    #[cfg(unix)]
    fn a_link_to_a_photo_is_that_photo_and_a_loop_ends() {
        let folder = tree(&["a.jpg", "in/b.jpg"]);
        std::os::unix::fs::symlink(folder.path().join("a.jpg"), folder.path().join("z.jpg")).unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("in/up")).unwrap();
        assert_eq!(stems(&[folder.path().into()], Path::new("o")), ["a", "in/b"]);
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
        assert_eq!((inputs.len(), inputs.unreadable.len()), (1, 1));
    }

    #[test]
    fn a_path_never_leaves_the_output_folder() {
        assert_eq!(relative(Path::new("./a/b.jpg")), Path::new("a/b.jpg"));
        for outside in ["../a/b.jpg", "/a/b.jpg", "a/../../b.jpg"] {
            assert_eq!(relative(Path::new(outside)), Path::new("b.jpg"), "{outside}");
        }
        let inputs = find_inputs(&["absent/..".into()], Path::new("o"), 9, &mut &b""[..]).unwrap();
        assert_eq!((inputs.len(), inputs.unreadable.len()), (0, 1));
    }

    #[test]
    fn a_file_that_is_not_there_is_kept_so_that_it_can_be_reported() {
        assert_eq!(stems(&["absent.jpg".into()], Path::new("o")), ["absent"]);
    }

    #[test]
    fn lists_hold_any_name() {
        assert_eq!(listed(b"a b.jpg\r\n\n- c.jpg\nlast", b'\n'), ["a b.jpg", "- c.jpg", "last"]);
        assert_eq!(listed(b"two\nlines.jpg\0b.jpg\0", 0), ["two\nlines.jpg", "b.jpg"]);
        assert_eq!(listed(b"", b'\n').len(), 0);
    }

    #[test]
    fn shards_share_the_photos_out_without_changing_their_stems() {
        let folder = tree(&["a/b.jpg", "a/b.png", "c.jpg", "d/e.jpg", "d/f.jpg", "g.jpg"]);
        let mut shared: Vec<String> = Vec::new();
        for index in 1..=3 {
            let mut finder = InputFinder::new(&[]);
            finder.add(folder.path()).unwrap();
            shared.extend(stems_of(&finder.finish(Some(Shard::new(index, 3).unwrap()))));
        }
        shared.sort();
        assert_eq!(shared, stems(&[folder.path().into()], Path::new("o")));
    }
}
