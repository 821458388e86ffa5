use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::shard::Shard;
use super::stems::{StemForm, record_path, unique_stems};
use clothseg::Error;
use clothseg::internals::digest::{self, Key};

/// One photo to segment and where its files go.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Input {
    /// The photo as its user names it.
    pub name: String,
    /// Where its bytes are.
    pub source: Source,
    /// What results call it: its path below the folder that was given, as its files are mirrored, with `/` between its parts.
    /// No two photos of a run share it.
    pub file_name: String,
    /// Path of its files below the output folder, up to the first dot that is added: `a/b` for `a/b.labels.png`.
    pub stem: PathBuf,
}

/// Where a photo's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// Here; standard input was read.
    Bytes(Arc<[u8]>),
}

/// The photos of a run, each file once, in the order given and folders in the order of names.
///
/// All are known before the first is begun: only then does each have a stem of its own that is the same in every run and
/// shard. They are kept small, about 100 bytes each, so that 100 000 photos are 10 MB.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Inputs {
    folders: Vec<Folder>,
    photos: Vec<Entry>,
    identities: Identities,
    /// Folders and files that could not be looked at.
    pub unreadable: Vec<(String, Error)>,
    /// Files in folders that are no photos, and no kind of file with pictures in it.
    pub skipped: usize,
    /// Results of earlier runs in folders, which were left out.
    pub earlier_results: usize,
}

/// What the photos of one folder share.
#[derive(Debug)]
pub(super) struct Folder {
    /// As its user names it.
    pub(super) path: PathBuf,
    /// Below the output folder.
    pub(super) place: PathBuf,
}

#[derive(Debug)]
struct Entry {
    origin: Origin,
    form: StemForm,
}

#[derive(Debug)]
enum Origin {
    File { folder: u32, name: Box<OsStr> },
    Bytes(Arc<[u8]>),
}

impl Inputs {
    /// Number of photos.
    pub fn len(&self) -> usize {
        self.photos.len()
    }

    /// Whether there are no photos.
    pub fn is_empty(&self) -> bool {
        self.photos.is_empty()
    }

    /// The photo at this place in the order.
    pub fn get(&self, index: usize) -> Option<Input> {
        let entry = self.photos.get(index)?;
        let place = self.place(entry);
        let stem = entry.form.apply(&place);
        // Of several photos with one place only the first has it for a name.
        let file_name = record_path(if entry.form.repeats_place() { &stem } else { &place });
        Some(match &entry.origin {
            Origin::Bytes(bytes) => {
                Input { name: "-".into(), source: Source::Bytes(Arc::clone(bytes)), file_name, stem }
            }
            Origin::File { folder, name } => {
                let path = self.folders.get(*folder as usize)?.path.join(&**name);
                Input { name: path.display().to_string(), source: Source::File(path), file_name, stem }
            }
        })
    }

    /// The photos in order.
    pub fn iter(&self) -> impl Iterator<Item = Input> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// The photos' files, that nothing may write over; those of other shards too.
    pub(super) fn identities(&self) -> &Identities {
        &self.identities
    }

    /// A photo's path below the output folder, extension included.
    fn place(&self, entry: &Entry) -> PathBuf {
        match &entry.origin {
            Origin::Bytes(_) => "stdin".into(),
            Origin::File { folder, name } => {
                self.folders.get(*folder as usize).map_or_else(PathBuf::new, |folder| folder.place.join(&**name))
            }
        }
    }

    pub(super) fn push_bytes(&mut self, bytes: Vec<u8>) {
        self.photos.push(Entry { origin: Origin::Bytes(bytes.into()), form: StemForm::BARE });
    }

    /// Adds a folder for [`Inputs::push_file`].
    pub(super) fn push_folder(&mut self, folder: Folder) -> u32 {
        self.folders.push(folder);
        (self.folders.len() - 1) as u32
    }

    /// Adds a file of a folder unless it is there already under another name. `identity` is its one real path.
    pub(super) fn push_file(&mut self, folder: u32, name: &OsStr, identity: &Path) {
        if self.identities.insert(identity) {
            self.photos.push(Entry { origin: Origin::File { folder, name: name.into() }, form: StemForm::BARE });
        }
    }

    /// Gives each photo its stem, and leaves the photos of other shards out.
    pub(super) fn finish(mut self, shard: Option<Shard>) -> Self {
        let forms = unique_stems(self.photos.iter().map(|entry| self.place(entry)));
        for (entry, form) in self.photos.iter_mut().zip(forms) {
            entry.form = form;
        }
        if let Some(shard) = shard {
            let mut photos = std::mem::take(&mut self.photos);
            photos.retain(|entry| shard.holds(&self.place(entry)));
            self.photos = photos;
        }
        self.photos.shrink_to_fit();
        self
    }

    /// Gives each photo the stem that it has beside those of other rounds of a watch.
    #[cfg(feature = "watch")]
    pub(super) fn finish_beside(mut self, others: &mut super::given_stems::GivenStems) -> Self {
        let places: Vec<PathBuf> = self.photos.iter().map(|entry| self.place(entry)).collect();
        for (entry, form) in self.photos.iter_mut().zip(others.give(&places)) {
            entry.form = form;
        }
        self
    }
}

/// A set of files by their one real path each, and the folders that they are in.
#[derive(Debug, Default)]
pub(super) struct Identities {
    files: HashSet<Key>,
    folders: HashSet<Key>,
}

impl Identities {
    pub(super) fn insert(&mut self, path: &Path) -> bool {
        self.folders.extend(path.parent().map(Self::key));
        self.files.insert(Self::key(path))
    }

    /// Whether this real path is one of them.
    pub(super) fn contains(&self, path: &Path) -> bool {
        self.files.contains(&Self::key(path))
    }

    /// Whether any of them is in the folder of this real path.
    pub(super) fn are_in(&self, folder: &Path) -> bool {
        self.folders.contains(&Self::key(folder))
    }

    fn key(path: &Path) -> Key {
        digest::key(path.as_os_str().as_encoded_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 32, "{} bytes", size_of::<Entry>());
    }
}
