use std::collections::HashMap;
use std::io::{BufRead, Read};
use std::path::{Component, Path, PathBuf};

use image::ImageFormat;
use walkdir::WalkDir;

use super::argument::{self, Argument};
use super::earlier::EarlierFiles;
use super::inputs::{Folder, Inputs};
use super::shard::Shard;
use clothseg::internals::files::kind::{Format, HEAD_BYTES, Kind};
use clothseg::internals::files::{has_photo_extension, is_of_system, text};
use clothseg::{Error, Result};

/// Finds the photos that arguments name: files, folders (with all below them) and `-` for standard input. For more, see
/// [`InputFinder`].
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
/// What a file in a folder is, its bytes say: a photo whatever its name; a kind that is not read, which is named as such; or
/// something else, which is counted. Files and folders that are hidden or a system's own, output folders and results of earlier
/// runs are left out.
///
/// Below the output folder a folder's own tree is mirrored; a file named by a relative path keeps it, any other file
/// its name. No two photos get one stem: where they would, each keeps its extension (`b.jpg`, `b.png`), and what is
/// still the same is numbered.
#[derive(Debug)]
pub struct InputFinder {
    /// Folders for results, by their real paths.
    outputs: Vec<PathBuf>,
    folders: HashMap<(PathBuf, PathBuf), SeenFolder>,
    earlier: EarlierFiles,
    /// Files that were named, and that a manifest lists as results.
    named_results: Vec<PathBuf>,
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
        Self {
            outputs,
            folders: HashMap::new(),
            earlier: EarlierFiles::default(),
            named_results: Vec::new(),
            inputs: Inputs::default(),
        }
    }

    /// Adds a file, a folder with all below it, or what a pattern such as `photos/*.jpg` matches. What cannot be read stands in
    /// the result, or fails when its turn comes.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is a folder for results.
    pub fn add(&mut self, path: &Path) -> Result<()> {
        match argument::read(path) {
            Argument::Path => self.add_path(path),
            Argument::Matches(paths) => paths.iter().try_for_each(|path| match path.is_dir() {
                true => self.add_path(path),
                false => {
                    self.earlier.look_into(path.parent().unwrap_or(path));
                    self.add_found(path, &relative(path), path.is_symlink());
                    Ok(())
                }
            }),
            Argument::Refused(error) => {
                self.inputs.unreadable.push((path.display().to_string(), error));
                Ok(())
            }
        }
    }

    fn add_path(&mut self, path: &Path) -> Result<()> {
        if path.is_dir() && self.is_output(path) {
            let folder = path.display();
            return Err(Error::Invalid(format!("{folder} holds the photos; results need a folder of their own")));
        }
        if path.is_dir() {
            self.add_folder(path);
        } else if is_named_pipe(path) {
            let cause = "it is a pipe; name - and let it be standard input, such as with: clothseg-run - < PIPE";
            self.inputs.unreadable.push((path.display().to_string(), Error::Invalid(cause.into())));
        } else if self.is_listed_result(path) {
            self.named_results.push(path.to_owned());
        } else {
            self.add_named(path);
        }
        Ok(())
    }

    /// Adds a file that its user named, whatever it is.
    fn add_named(&mut self, path: &Path) {
        // Of no other file one look tells what it is: a pipe of a shell is read once.
        match path.is_file().then(|| kind_of(path)) {
            Some(Ok(Kind::Unread(unread))) => {
                self.inputs.unreadable.push((path.display().to_string(), unread.error()));
            }
            _ => self.add_file(path, &relative(path), path.is_symlink()),
        }
    }

    /// Whether a manifest beside a file, or in a folder above, lists it among results. The name of a picture of them has two dots.
    fn is_listed_result(&mut self, path: &Path) -> bool {
        if path.file_stem().is_none_or(|stem| Path::new(stem).extension().is_none()) {
            return false;
        }
        self.earlier.look_into(path.parent().unwrap_or(path));
        self.earlier.lists(path)
    }

    /// Adds the photo that a reader holds, such as standard input.
    pub fn add_bytes(&mut self, reader: &mut dyn Read, max_bytes: u64) {
        match read_all(reader, max_bytes) {
            Ok(bytes) => self.inputs.push_bytes(bytes),
            Err(error) => self.inputs.unreadable.push(("-".into(), error)),
        }
    }

    /// Adds the files and folders of a list: one path a line, or with `separator` 0 one before each NUL, for names with
    /// line ends in them. Relative paths are below the working directory. Blank lines are nothing; a byte order mark and
    /// UTF-16, as some programs write, are understood, and so are blanks and quotation marks around a path.
    ///
    /// # Errors
    /// [`Error::Read`] when the list cannot be read, [`Error::Invalid`] for one that is no text, and as [`InputFinder::add`].
    pub fn add_list(&mut self, list: &mut dyn BufRead, separator: u8) -> Result<()> {
        let mut bytes = Vec::new();
        let read = list.read_to_end(&mut bytes);
        read.map_err(|source| Error::Read { path: "the list of photos".into(), source })?;
        let list = text::without_mark(&bytes).map_err(|cause| Error::Invalid(format!("the list of photos {cause}")))?;
        // Line ends of old programs, where there are no others.
        let separator = if separator == b'\n' && !list.contains(&b'\n') { b'\r' } else { separator };
        for path in list.split(|byte| *byte == separator) {
            let path = if separator == b'\n' { path.strip_suffix(b"\r").unwrap_or(path) } else { path };
            let is_blank = if separator == 0 { path.is_empty() } else { path.trim_ascii().is_empty() };
            if !is_blank {
                let path = argument::listed(path_of_bytes(path));
                match argument::refused(&path) {
                    Some(error) => self.inputs.unreadable.push((path.to_string_lossy().into_owned(), error)),
                    // A list names files: one that has gone is no pattern.
                    None => self.add_path(&path)?,
                }
            }
        }
        Ok(())
    }

    /// Adds a file of a folder, where it is a photo. `place` is its path below the output folder.
    #[cfg(feature = "watch")]
    pub(super) fn add_at(&mut self, path: &Path, place: &Path) {
        self.earlier.look_into(path.parent().unwrap_or(path));
        self.add_found(path, place, path.is_symlink());
    }

    /// The photos found by now, for a round of a watch.
    #[cfg(feature = "watch")]
    pub(super) fn finish_beside(self, others: &mut super::given_stems::GivenStems) -> Inputs {
        self.inputs.finish_beside(others)
    }

    /// The photos found, or those of one shard. Results of earlier runs that were named are photos only where nothing else was
    /// named: among photos it was a shell that named them, for a pattern such as `*.png`.
    pub fn finish(mut self, shard: Option<Shard>) -> Inputs {
        let results = std::mem::take(&mut self.named_results);
        if self.inputs.is_empty() {
            results.iter().for_each(|path| self.add_named(path));
        } else if let Some(first) = results.first() {
            let (count, first) = (results.len(), first.display());
            tracing::warn!(
                "{count} of the files named are results of an earlier run, which a manifest there lists, and are left out, such as \
                 {first}; they are taken for photos where no other file is named"
            );
            self.inputs.earlier_results += count;
        }
        self.inputs.finish(shard)
    }

    fn is_output(&self, path: &Path) -> bool {
        !self.outputs.is_empty() && std::fs::canonicalize(path).is_ok_and(|path| self.outputs.contains(&path))
    }

    fn add_folder(&mut self, folder: &Path) {
        let is_left_out =
            |entry: &walkdir::DirEntry| entry.depth() > 0 && is_of_system(&entry.file_name().to_string_lossy());
        let mut walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
        let below = |path: &Path| path.strip_prefix(folder).unwrap_or(path).to_owned();
        // A photo that links lead to as well is done under its own name.
        let mut links = Vec::new();
        while let Some(entry) = walk.next() {
            match entry {
                Ok(entry) if entry.file_type().is_dir() && (is_left_out(&entry) || self.is_output(entry.path())) => {
                    walk.skip_current_dir();
                }
                Ok(entry) if is_left_out(&entry) => {}
                // It comes before what is in it.
                Ok(entry) if entry.file_type().is_dir() => self.earlier.look_into(entry.path()),
                // A pipe or device would be waited for for ever.
                Ok(entry) if entry.file_type().is_file() && entry.path_is_symlink() => links.push(entry.into_path()),
                Ok(entry) if entry.file_type().is_file() => {
                    self.add_found(entry.path(), &below(entry.path()), false);
                }
                Ok(_) => self.inputs.skipped += 1,
                // A link that leads back up, or nowhere: no photo is lost by it.
                Err(error) if error.loop_ancestor().is_some() => {}
                Err(error) if error.path().is_some_and(|path| path.is_symlink() && !has_photo_extension(path)) => {}
                Err(error) => {
                    let path = error.path().unwrap_or(folder).to_owned();
                    let leads_nowhere = path.is_symlink() && !path.exists();
                    let cause = error.into_io_error().unwrap_or_else(|| std::io::ErrorKind::NotFound.into());
                    let nowhere = || std::io::Error::new(cause.kind(), "it is a link to a file that does not exist");
                    self.unreadable(&path, if leads_nowhere { nowhere() } else { cause });
                }
            }
        }
        for link in links {
            self.add_found(&link, &below(&link), true);
        }
    }

    /// Adds a file that nobody named, where it is a photo.
    fn add_found(&mut self, path: &Path, place: &Path, is_link: bool) {
        if self.earlier.contains(path) {
            self.inputs.earlier_results += 1;
            return;
        }
        match kind_of(path) {
            Ok(Kind::Photo(_)) => self.add_file(path, place, is_link),
            Ok(Kind::Unread(unread)) => self.inputs.unreadable.push((path.display().to_string(), unread.error())),
            Ok(Kind::Other) => self.inputs.skipped += 1,
            // Nothing says that it is a photo.
            Err(_) if path.extension().is_some() && Kind::of_file(path, &[]) == Kind::Other => self.inputs.skipped += 1,
            Err(error) => self.unreadable(path, error),
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

/// Whether a path is a pipe with a name of its own, which nobody may ever write into. Those that a shell makes for `<(command)`
/// have a writer, and lie among the devices.
#[cfg(unix)]
fn is_named_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let is_of_shell = ["/dev", "/proc"].iter().any(|place| path.starts_with(place));
    !is_of_shell && std::fs::metadata(path).is_ok_and(|facts| facts.file_type().is_fifo())
}

/// There are none among the files of this system.
#[cfg(not(unix))]
fn is_named_pipe(_: &Path) -> bool {
    false
}

/// What a file is: by its extension where that is a photo's, since its turn comes anyway, else by its first bytes.
fn kind_of(path: &Path) -> std::io::Result<Kind> {
    if has_photo_extension(path) {
        return Ok(Kind::Photo(Format::Image(ImageFormat::Jpeg)));
    }
    let mut head = Vec::new();
    std::fs::File::open(path)?.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(Kind::of_file(path, &head))
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
mod tests;
