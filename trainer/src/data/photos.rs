//! Which files of a folder are photos, and what they are called: those with a known extension, and of the others those whose
//! first bytes are a photo's, as in the runtime.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clothseg::internals::files::kind::{HEAD_BYTES, Kind, Unread};
use unicode_normalization::UnicodeNormalization;
use walkdir::WalkDir;

use super::source::report_damage;
use super::{OnDamage, PHOTO_EXTENSIONS, is_of_system};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::text::{composed, read_text};

/// Extensions of texts that lie among photos. There is one for each photo in many sets, and none is worth opening.
const TEXTS: [&str; 7] = ["txt", "json", "csv", "xml", "yaml", "yml", "toml"];

/// A folder's photos.
struct Sorted {
    photos: Vec<PathBuf>,
    /// What was left out and looks like a picture.
    notes: Vec<String>,
}

fn has_known_extension(path: &Path) -> bool {
    PHOTO_EXTENSIONS.contains(&extension(path).as_str())
}

/// What a file without a known extension holds.
fn sniffed(path: &Path) -> Kind {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD_BYTES as u64).read_to_end(&mut head));
    // A file that cannot be opened is no photo by its name, and nothing says that it is one.
    read.map_or(Kind::Other, |_| Kind::of_file(path, &head))
}

/// Whether a file is a photo, by its extension or its first bytes.
pub(super) fn is_photo(path: &Path) -> bool {
    path.is_file() && (has_known_extension(path) || matches!(sniffed(path), Kind::Photo(_)))
}

/// The photos among files, in their order.
fn sort(folder: &Path, files: Vec<PathBuf>) -> Sorted {
    let bare = |path: &Path| path.with_extension("");
    let known: BTreeSet<PathBuf> =
        files.iter().filter(|path| has_known_extension(path)).map(|path| bare(path)).collect();
    let (mut photos, mut unread, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for path in files {
        if has_known_extension(&path) {
            photos.push(path);
            continue;
        }
        if TEXTS.contains(&extension(&path).as_str()) {
            continue;
        }
        match sniffed(&path) {
            // Programs keep the file that they changed as `a.jpg_original`.
            Kind::Photo(_) if known.contains(&bare(&path)) => {
                notes.push(format!("left out: {}: a photo of the same name lies beside it", path.display()));
            }
            Kind::Photo(_) => photos.push(path),
            Kind::Unread(kind) => unread.push((path, kind)),
            Kind::Other => {}
        }
    }
    notes.extend(unread_note(folder, &unread));
    Sorted { photos, notes }
}

/// A line about the files that hold pictures and are not read.
fn unread_note(folder: &Path, unread: &[(PathBuf, Unread)]) -> Option<String> {
    let ((path, Unread { what, advice }), rest) = unread.split_first()?;
    let more = match rest.len() {
        0 => String::new(),
        count => format!("; and {} of {}", counted(count, "more file", "more files"), folder.display()),
    };
    Some(format!("left out: {}: it is {what}, which is not read; {advice}{more}", path.display()))
}

/// [`photos_by_stem`] where nothing is checked: what is left out is a warning.
pub(crate) fn photos_of(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let (mut incomplete, mut notes) = (Vec::new(), Vec::new());
    let photos = photos_by_stem(folder, &mut incomplete, &mut notes)?;
    report_damage(incomplete, OnDamage::Skip)?;
    notes.iter().for_each(|note| tracing::warn!("{note}"));
    Ok(photos)
}

/// Photos directly in `folder`, by stem. Of photos of one stem the one whose name comes first stays, and the others are named
/// in `incomplete`: nothing tells which of them a label belongs to.
pub(super) fn photos_by_stem(
    folder: &Path,
    incomplete: &mut Vec<String>,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, PathBuf>> {
    let sorted = sort(folder, files_in(folder)?);
    notes.extend(sorted.notes);
    notes.extend(nested_note(folder)?);
    Ok(by_stem(sorted.photos, incomplete))
}

/// A line about photos in folders below one that is read without them.
fn nested_note(folder: &Path) -> Result<Option<String>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io("list", folder))?;
    let is_folder =
        |path: &PathBuf| path.is_dir() && !path.file_name().and_then(|name| name.to_str()).is_some_and(is_of_system);
    let mut nested = Vec::new();
    for below in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_folder) {
        nested.extend(files_below(&below)?.into_iter().filter(|path| has_known_extension(path)));
    }
    let first = nested.iter().min();
    Ok(first.map(|first| {
        let count = counted(nested.len(), "photo", "photos");
        format!("left out: {count} in folders below {}, such as {}", folder.display(), first.display())
    }))
}

/// The photos in a folder and in all below it, by their paths without extension, with `/` between the parts. Of photos of one path the
/// one whose name comes first stays, and the others are named in `incomplete`.
pub(super) fn photos_by_path(
    folder: &Path,
    incomplete: &mut Vec<String>,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, PathBuf>> {
    Ok(by_path(folder, photos_below(folder, notes)?, incomplete))
}

/// The files with one of the `extensions`, as [`photos_by_path`].
pub(super) fn list_by_path(
    folder: &Path,
    extensions: &[&str],
    incomplete: &mut Vec<String>,
) -> Result<BTreeMap<String, PathBuf>> {
    let mut files = files_below(folder)?;
    files.retain(|path| extensions.contains(&extension(path).as_str()));
    Ok(by_path(folder, files, incomplete))
}

fn by_path(folder: &Path, files: Vec<PathBuf>, incomplete: &mut Vec<String>) -> BTreeMap<String, PathBuf> {
    by_name(files, incomplete, |path| path_below(folder, &path.with_extension("")))
}

/// The path of a file below a folder, with `/` between its parts; nothing where it is not UTF-8.
pub(super) fn path_below(folder: &Path, path: &Path) -> Option<String> {
    let parts = path.strip_prefix(folder).ok()?.iter().map(|part| part.to_str().map(composed));
    parts.collect::<Option<Vec<_>>>().map(|parts| parts.join("/"))
}

/// The file of this path, or that of the same name with accents written the other way.
pub(super) fn file_at(path: PathBuf) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path);
    }
    let name = path.file_name()?.to_str().filter(|name| !name.is_ascii())?;
    let forms: [String; 2] = [name.nfc().collect(), name.nfd().collect()];
    forms.into_iter().map(|name| path.with_file_name(name)).find(|path| path.is_file())
}

/// Files directly in `folder` with one of the `extensions`, by stem, as [`photos_by_stem`].
pub(super) fn list_by_stem(
    folder: &Path,
    extensions: &[&str],
    incomplete: &mut Vec<String>,
) -> Result<BTreeMap<String, PathBuf>> {
    let mut files = files_in(folder)?;
    files.retain(|path| extensions.contains(&extension(path).as_str()));
    Ok(by_stem(files, incomplete))
}

/// Files directly in a folder, sorted, without those of systems.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io("list", folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<std::io::Result<_>>().map_err(Error::io("list", folder))?;
    let is_of_system = |path: &Path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_of_system);
    paths.retain(|path| !is_of_system(path) && !path.is_dir());
    paths.sort_unstable();
    Ok(paths)
}

fn by_stem(paths: Vec<PathBuf>, incomplete: &mut Vec<String>) -> BTreeMap<String, PathBuf> {
    by_name(paths, incomplete, |path| path.file_stem().and_then(|text| text.to_str()).map(composed))
}

fn by_name(
    paths: Vec<PathBuf>,
    incomplete: &mut Vec<String>,
    name: impl Fn(&Path) -> Option<String>,
) -> BTreeMap<String, PathBuf> {
    let mut files = BTreeMap::new();
    for path in paths {
        let Some(name) = name(&path) else { continue };
        match files.entry(name) {
            Entry::Vacant(place) => _ = place.insert(path),
            Entry::Occupied(first) => {
                let first: &PathBuf = first.get();
                let first = first.file_name().unwrap_or_default().display();
                incomplete.push(format!("{}: has the name of {first}; rename or remove one of them", path.display()));
            }
        }
    }
    files
}

/// Files below a folder, sorted by their paths, without those of systems.
pub(super) fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_wanted =
        |entry: &walkdir::DirEntry| entry.depth() == 0 || !entry.file_name().to_str().is_some_and(is_of_system);
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter().filter_entry(is_wanted) {
        match entry {
            Ok(entry) if entry.file_type().is_file() => files.push(entry.into_path()),
            Ok(_) => {}
            // A link that leads back up holds nothing more.
            Err(error) if error.loop_ancestor().is_some() => {}
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_owned();
                return Err(Error::io("list", path)(error.into()));
            }
        }
    }
    Ok(files)
}

/// The lower-case extension of a file.
pub(super) fn extension(path: &Path) -> String {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase()
}

/// Photos in `folder` and the folders in it, sorted by their paths.
pub(super) fn photos_below(folder: &Path, notes: &mut Vec<String>) -> Result<Vec<PathBuf>> {
    let sorted = sort(folder, files_below(folder)?);
    notes.extend(sorted.notes);
    Ok(sorted.photos)
}

/// What a file calls a photo, without the extension that some write.
pub(super) fn without_extension(photo: &str) -> &str {
    match photo.rsplit_once('.') {
        Some((stem, extension)) if PHOTO_EXTENSIONS.contains(&extension.to_lowercase().as_str()) => stem,
        _ => photo,
    }
}

/// The stems that a split file names, one a line, each once. Names with a photo's extension are read, too, and lines of several
/// stems with blanks between them; `is_known` tells a stem from either.
pub(super) fn read_stems(
    path: &Path,
    is_known: impl Fn(&str) -> bool,
    notes: &mut Vec<String>,
) -> Result<BTreeSet<String>> {
    let text = read_text(path)?;
    let known = |name: &str| {
        let name = composed(name);
        [&*name, without_extension(&name)].into_iter().find(|stem| is_known(stem)).map(str::to_owned)
    };
    let mut stems = BTreeSet::new();
    let mut again = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words = || line.split_whitespace().map(|word| known(word).unwrap_or_else(|| word.to_owned())).collect();
        for stem in known(line).map_or_else(words, |stem| vec![stem]) {
            if let Some(stem) = stems.replace(stem) {
                again.push(stem);
            }
        }
    }
    if let Some(first) = again.first() {
        let count = counted(again.len(), "name stands there again and counts", "names stand there again and count");
        notes.push(format!("{}: {count} once: {first}", path.display()));
    }
    Ok(stems)
}

/// Gives photos of one stem names of their own. `key` tells the stem and the file of each; a photo for which there is no name is
/// left out, and `left_out` told.
pub(super) fn named_apart<T>(
    photos: Vec<T>,
    key: impl Fn(&T) -> (&str, &Path),
    mut left_out: impl FnMut(&T),
) -> Vec<(String, T)> {
    let names = distinct_names(photos.iter().map(&key));
    let named = |(photo, name): (T, Option<String>)| {
        if name.is_none() {
            left_out(&photo);
        }
        Some((name?, photo))
    };
    photos.into_iter().zip(names).filter_map(named).collect()
}

/// What is said of a photo for which there is no name.
pub(super) const NAME_TAKEN: &str = "has the name of another photo; rename one of them";

/// Names for photos with these stems: the stem, and where several have it, the stem with the photo's extension. [`None`] for a
/// photo that even so has the name of one before it.
fn distinct_names<'a>(photos: impl Iterator<Item = (&'a str, &'a Path)> + Clone) -> Vec<Option<String>> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    photos.clone().for_each(|(stem, _)| *counts.entry(stem).or_default() += 1);
    let mut taken = HashSet::new();
    let name = |(stem, path): (&str, &Path)| {
        let extension = path.extension().filter(|_| counts[stem] > 1);
        let name = match extension {
            Some(extension) => format!("{stem}.{}", extension.to_string_lossy()),
            None => stem.to_owned(),
        };
        taken.insert(name.clone()).then_some(name)
    };
    photos.map(name).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::{LabelReading, Listing, folder};

    #[test]
    fn an_extension_of_photos_is_no_part_of_a_name() {
        assert_eq!(["7", "7.jpg", "7.JPEG", "7.5"].map(without_extension), ["7", "7", "7", "7.5"]);
    }

    #[test]
    fn of_two_files_of_one_name_the_first_stays_and_the_other_is_damage() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("train/images");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::create_dir_all(root.path().join("train/labels")).unwrap();
        std::fs::write(root.path().join("class_dict.csv"), "name,r,g,b\nbackground,0,0,0\nshirt,1,1,1\n").unwrap();
        for name in ["7.png", "7.jpg", "7.bmp", "8.jpg", "8.txt", "._8.jpg", ".DS_Store", "Thumbs.db"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        for name in ["7.png", "8.png"] {
            std::fs::write(root.path().join("train/labels").join(name), "").unwrap();
        }
        let Listing { pairs, incomplete, .. } =
            folder::list(root.path(), "train", "labels", LabelReading::Auto).unwrap();
        let photos: Vec<_> = pairs.iter().map(|pair| pair.photo.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(photos, ["7.bmp", "8.jpg"]);
        assert_eq!(incomplete.len(), 2);
        assert!(incomplete[0].contains("7.jpg: has the name of 7.bmp"), "{incomplete:?}");
        assert!(incomplete[1].contains("7.png: has the name of 7.bmp"), "{incomplete:?}");
        assert_eq!(photos_of(&folder).unwrap().len(), 2);
    }

    #[test]
    fn photos_are_known_by_their_bytes_and_what_cannot_be_read_is_named() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(root.path().join(name), bytes).unwrap();
        let jpeg = [0xff, 0xd8, 0xff, 0xe0, 0, 16];
        for name in ["a", "b.jpg_large", "c.jpg", "c.jpg_original"] {
            write(name, &jpeg);
        }
        write("d.psd", b"8BPS\0\x01");
        write("e.psd", b"8BPS\0\x01");
        write("f.dat", b"text");
        let (mut incomplete, mut notes) = (Vec::new(), Vec::new());
        let photos = photos_by_stem(root.path(), &mut incomplete, &mut notes).unwrap();
        assert_eq!(photos.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(photos["c"].ends_with("c.jpg") && incomplete.is_empty(), "{photos:?} {incomplete:?}");
        let [copy, unread] = &notes[..] else { panic!("{notes:?}") };
        assert!(copy.contains("c.jpg_original: a photo of the same name"), "{copy}");
        assert!(unread.contains("d.psd: it is a Photoshop file") && unread.contains("and 1 more file of"), "{unread}");
        assert_eq!(photos_below(root.path(), &mut notes).unwrap().len(), 3);
        assert!(is_photo(&root.path().join("a")) && !is_photo(&root.path().join("d.psd")));
    }

    #[test]
    fn photos_of_one_stem_are_named_with_their_extensions() {
        let names = |photos: &[(&str, &str)]| {
            distinct_names(photos.iter().map(|(stem, path)| (*stem, Path::new(*path))))
                .into_iter()
                .map(Option::unwrap_or_default)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&[("a", "a.jpg"), ("b", "b.jpg"), ("b", "b.png")]), ["a", "b.jpg", "b.png"]);
        assert_eq!(names(&[("x_a", "x/a.jpg"), ("x_a", "x_a.jpg"), ("x_a", "x_a")]), ["x_a.jpg", "", "x_a"]);
    }
}
