//! Where the photos of a split lie, and their label files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use clothseg_batch::shortened_stem;

use crate::classes::yaml::{DataYaml, Folders};
use crate::counted::counted;
use crate::data::coco::stem;
use crate::data::photos::{NAME_TAKEN, extension, file_at, files_below, named_apart, photos_below};
use crate::data::{Listing, SourceFiles};
use crate::error::{Error, Result};
use crate::text::read_text;

/// Text files that lie beside labels and are none.
const NO_LABELS: [&str; 5] = ["classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt"];

/// A photo and where its label may be.
pub(super) struct Found {
    pub stem: String,
    pub photo: PathBuf,
    /// Nothing where there is no such file: the photo is background.
    pub label: Option<PathBuf>,
}

/// Where photos are named.
#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    /// A file with the path of a photo a line.
    List(PathBuf),
}

/// The photos of a split with their label files. What cannot be used is noted in the listing.
pub(super) fn find(
    root: &Path,
    split: &str,
    files: &SourceFiles,
    yaml: Option<&DataYaml>,
    listing: &mut Listing,
) -> Result<Vec<Found>> {
    let mut search = Search { root, split, files, photos: Vec::new(), looked_for: None, claimed: BTreeMap::new() };
    for place in places(root, split, files, yaml, listing)? {
        match place {
            Place::Folder(folder) => search.take_folder(&folder, listing)?,
            Place::List(list) => search.take_list(&list, listing)?,
        }
    }
    search.finish(listing)
}

/// What has been found.
struct Search<'a> {
    root: &'a Path,
    split: &'a str,
    files: &'a SourceFiles,
    photos: Vec<Found>,
    /// A label file that would have been read, for messages.
    looked_for: Option<PathBuf>,
    /// Photos by their label files.
    claimed: BTreeMap<PathBuf, PathBuf>,
}

impl Search<'_> {
    fn take_folder(&mut self, folder: &Path, listing: &mut Listing) -> Result<()> {
        let labels = label_folder(self.root, self.split, self.files, folder);
        for photo in photos_below(folder, &mut listing.notes)? {
            let below = photo.strip_prefix(folder).unwrap_or(&photo).to_owned();
            self.take(photo, &below, &below, &labels, listing);
        }
        // Labels of other splits may lie in a folder that the config names.
        if labels != folder && self.files.labels.is_none() && self.files.images.is_none() {
            self.note_without_photo(&labels, listing)?;
        }
        Ok(())
    }

    /// Takes the photos that a file names: paths from the file's folder, from the root, or of another machine.
    fn take_list(&mut self, list: &Path, listing: &mut Listing) -> Result<()> {
        let text = read_text(list)?;
        let lines: BTreeSet<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let folder = list.parent().unwrap_or(self.root);
        for line in lines {
            let is_file = |path: &Path| file_at(path.to_owned()).is_some();
            let Some(photo) = at_end_of(line, &[folder, self.root], 1, is_file).and_then(file_at) else {
                listing.incomplete.push(format!("{}: there is no photo {line}", list.display()));
                continue;
            };
            let photos = photo.parent().unwrap_or(self.root).to_owned();
            let labels = label_folder(self.root, self.split, self.files, &photos);
            let name = PathBuf::from(photo.file_name().unwrap_or_default());
            let below = photo.strip_prefix(self.root).unwrap_or(&name).to_owned();
            let below = below.strip_prefix("images").unwrap_or(&below);
            self.take(photo.clone(), below, &name, &labels, listing);
        }
        listing.tables.push(list.to_owned());
        Ok(())
    }

    /// Takes a photo, whose stem is made of the path `named`, and whose label lies at the path `below` in the folder `labels`.
    fn take(&mut self, photo: PathBuf, named: &Path, below: &Path, labels: &Path, listing: &mut Listing) {
        let Some(stem) = named.to_str().and_then(stem) else {
            listing.incomplete.push(format!("{}: has a name that is not UTF-8; rename it", photo.display()));
            return;
        };
        let [full, short, cut] = label_paths(labels, below);
        let label = [full, short.clone(), cut].into_iter().find_map(file_at);
        self.looked_for.get_or_insert(short);
        if let Some(label) = &label
            && let Some(first) = self.claimed.get(label)
        {
            let cause = format!("has the label of {}; rename or remove one of them", first.display());
            listing.incomplete.push(format!("{}: {cause}", photo.display()));
            return;
        }
        self.claimed.extend(label.clone().map(|label| (label, photo.clone())));
        self.photos.push(Found { stem, photo, label });
    }

    fn finish(self, listing: &mut Listing) -> Result<Vec<Found>> {
        let Self { root, split, photos, looked_for, .. } = self;
        note_unlabelled(&root.join(split), split, &photos, looked_for, listing)?;
        let left_out = |found: &Found| listing.incomplete.push(format!("{}: {NAME_TAKEN}", found.photo.display()));
        let named = named_apart(photos, |found| (&found.stem, &found.photo), left_out);
        Ok(named.into_iter().map(|(stem, found)| Found { stem, ..found }).collect())
    }

    /// Says how many label files no photo has.
    fn note_without_photo(&self, labels: &Path, listing: &mut Listing) -> Result<()> {
        let mut alone = files_below(labels)?;
        let is_label = |path: &Path| {
            let name = path.file_name().unwrap_or_default();
            extension(path) == "txt" && NO_LABELS.iter().all(|other| name != *other)
        };
        alone.retain(|path| is_label(path) && !self.claimed.contains_key(path));
        if let Some(first) = alone.first().map(|path| path.display()) {
            listing.notes.push(match alone.len() {
                1 => format!("left out: {first}: there is no photo of this label"),
                count => format!("left out: {count} label files without a photo, such as {first}"),
            });
        }
        Ok(())
    }
}

/// Where the label of a photo may be, the best first: `NAME.EXT.txt`, as `clothseg-run` writes it where photos share a name,
/// and `NAME.txt`; last, as it cuts long names.
fn label_paths(labels: &Path, below: &Path) -> [PathBuf; 3] {
    let with_txt = |path: PathBuf| {
        let mut name = path.into_os_string();
        name.push(".txt");
        labels.join(name)
    };
    let bare = below.with_extension("");
    [below.to_owned(), bare.clone(), shortened_stem(bare)].map(with_txt)
}

/// Says how many photos have no label file; an error where that is all of them.
fn note_unlabelled(
    place: &Path,
    split: &str,
    photos: &[Found],
    looked_for: Option<PathBuf>,
    listing: &mut Listing,
) -> Result<()> {
    let unlabelled: Vec<&Found> = photos.iter().filter(|found| found.label.is_none()).collect();
    let Some(first) = unlabelled.first().map(|found| found.photo.display()) else { return Ok(()) };
    let count = counted(unlabelled.len(), "photo", "photos");
    if unlabelled.len() == photos.len() {
        let label = looked_for.unwrap_or_default();
        let cause = format!(
            "there is no label file for its {count}; looked for {} and the like; labels lie beside \
             the photos, or in a folder `labels` in place of `images`",
            label.display()
        );
        return Err(Error::file(place, cause));
    }
    listing.notes.push(match unlabelled.len() {
        1 => format!("1 photo of {split} has no label file, and is all background: {first}"),
        _ => format!("{count} of {split} have no label file, and are all background, such as {first}"),
    });
    Ok(())
}

/// Where the photos of a split are: what the config says, else `data.yaml`, else the usual folders. Where nothing of what
/// `data.yaml` says is there, that is noted; where a part is, the rest is missing.
fn places(
    root: &Path,
    split: &str,
    files: &SourceFiles,
    yaml: Option<&DataYaml>,
    listing: &mut Listing,
) -> Result<Vec<Place>> {
    if let Some(images) = &files.images {
        return Ok(vec![Place::Folder(root.join(images))]);
    }
    let told = yaml.and_then(|yaml| told(yaml, split)).map(Folders::list).unwrap_or_default();
    let base = yaml.and_then(|yaml| yaml.path.as_ref()).map(|path| root.join(path));
    let bases: Vec<&Path> = base.as_deref().into_iter().chain([root]).collect();
    let place = |told: &String| {
        let found = at_end_of(told, &bases, 2, Path::exists)?;
        if found.is_dir() {
            Some(Place::Folder(found))
        } else {
            (extension(&found) == "txt").then_some(Place::List(found))
        }
    };
    let found: Vec<Option<Place>> = told.iter().map(place).collect();
    let missing = told.iter().zip(&found).find(|(_, found)| found.is_none()).map(|(told, _)| told);
    let Some(missing) = missing else {
        if !told.is_empty() {
            return Ok(found.into_iter().flatten().collect());
        }
        return usual_folder(root, split, "");
    };
    let says = format!("data.yaml names `{missing}` for {split}, and there is no such folder and no such list");
    if found.iter().any(Option::is_some) {
        return Err(Error::file(root, format!("{says}; correct it")));
    }
    let places = usual_folder(root, split, &format!("; {says}"))?;
    if let [Place::Folder(folder)] = &places[..] {
        listing.notes.push(format!("{}: {says}: {} is read", root.display(), folder.display()));
    }
    Ok(places)
}

/// The folder that a split has where nothing else is said. `why` ends the message where there is none.
fn usual_folder(root: &Path, split: &str, why: &str) -> Result<Vec<Place>> {
    let names: &[&str] = match split {
        "valid" => &["valid", "val"],
        "val" => &["val", "valid"],
        other => &[other],
    };
    let places =
        names.iter().flat_map(|name| [root.join("images").join(name), root.join(name).join("images"), root.join(name)]);
    let tried: Vec<PathBuf> = places.collect();
    match tried.iter().find(|path| path.is_dir()) {
        Some(folder) => Ok(vec![Place::Folder(folder.clone())]),
        None => {
            let tried = tried.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
            let cause = format!("has no photos of {split}; looked for {tried}; name the folder by `images`{why}");
            Err(Error::file(root, cause))
        }
    }
}

/// What a path names: from one of the folders `bases`, or, where it is a path of another machine, the longest end of it, of
/// `least_parts` or more, that exists below one.
fn at_end_of(told: &str, bases: &[&Path], least_parts: usize, exists: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let slashes = told.replace('\\', "/");
    // Nothing is looked for outside of the folders: `/` and `..` in front go.
    let inside = |part: &Component<'_>| matches!(part, Component::Normal(_));
    let whole: Vec<PathBuf> = bases.iter().map(|base| base.join(&slashes)).collect();
    let parts: Vec<Component<'_>> = Path::new(&slashes).components().filter(inside).collect();
    let is_long_enough = |from: &usize| *from == 0 || parts.len() - from >= least_parts;
    let ends = (0..parts.len()).filter(is_long_enough).flat_map(|from| bases.iter().map(move |base| (from, base)));
    let ends = ends.map(|(from, base)| base.join(parts[from..].iter().collect::<PathBuf>()));
    whole.into_iter().chain(ends).find(|path| exists(path))
}

fn told<'a>(yaml: &'a DataYaml, split: &str) -> Option<&'a Folders> {
    match split {
        "train" => yaml.train.as_ref(),
        "valid" | "val" => yaml.val.as_ref().or(yaml.valid.as_ref()),
        "test" => yaml.test.as_ref(),
        _ => None,
    }
}

/// The folder of the labels of a folder of photos.
fn label_folder(root: &Path, split: &str, files: &SourceFiles, photos: &Path) -> PathBuf {
    if let Some(labels) = &files.labels {
        return root.join(labels);
    }
    let components: Vec<Component<'_>> = photos.components().collect();
    let images = components.iter().rposition(|component| component.as_os_str() == "images");
    let swapped = images.map(|at| {
        let swap = |(index, component): (usize, &Component<'_>)| match index == at {
            true => "labels".into(),
            false => component.as_os_str().to_owned(),
        };
        components.iter().enumerate().map(swap).collect::<PathBuf>()
    });
    match swapped.filter(|path| path.is_dir()) {
        Some(labels) => labels,
        // Photos that stay where they are, and labels that a program wrote elsewhere.
        None if files.images.is_some() => {
            Some(root.join(split)).filter(|path| path.is_dir()).unwrap_or(root.to_owned())
        }
        None => photos.to_owned(),
    }
}
