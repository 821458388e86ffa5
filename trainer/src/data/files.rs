//! Which files a dataset is made of, and whether they are still the same: a run that goes on with other data than it began with
//! is no longer the run that its log tells of.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use clothseg_batch::write_atomically;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Dataset, Label};
use crate::counted::counted;
use crate::error::{Error, Result};

/// How the line of a new file begins.
const NEW: &str = "new: ";

/// Changes that a message names.
const NAMED: usize = 20;

/// A file as it was. One whose length and time of change are the same is taken to be the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    bytes: u64,
    /// Nanoseconds since 1970; 0 where the system does not tell.
    modified_ns: u64,
    blake3: String,
}

/// A row of the file that keeps them.
#[derive(Serialize, Deserialize)]
struct Row {
    data: String,
    file: String,
    bytes: u64,
    modified_ns: u64,
    blake3: String,
}

/// The files of the datasets of a run: what they are for with the source's number, and the path below the source's root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataFiles(BTreeMap<(String, String), State>);

impl DataFiles {
    /// Reads the files of datasets that are for `train` and `valid`. Those that are as in `known`, by length and time of change,
    /// are not read again.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn of(datasets: [(&str, &Dataset); 2], known: &DataFiles) -> Result<Self> {
        let mut files: BTreeMap<(String, String), PathBuf> = BTreeMap::new();
        for (data, dataset) in datasets {
            for (source, path) in dataset.files() {
                files.insert(key(data, dataset, source, path), path.to_owned());
            }
        }
        tracing::info!("comparing {} of the data", counted(files.len(), "file", "files"));
        let states = files.into_par_iter().map(|(key, path)| {
            let state = State::of(&path, known.0.get(&key))?;
            Ok((key, state))
        });
        Ok(Self(states.collect::<Result<_>>()?))
    }

    /// Reads what [`DataFiles::write`] has written; nothing where there is no such file.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let fail = |error: csv::Error| Error::file(path, error.to_string());
        let mut files = BTreeMap::new();
        for row in csv::Reader::from_path(path).map_err(fail)?.deserialize() {
            let Row { data, file, bytes, modified_ns, blake3 } = row.map_err(fail)?;
            files.insert((data, file), State { bytes, modified_ns, blake3 });
        }
        Ok(Some(Self(files)))
    }

    /// Writes them as CSV.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let fail = |cause: String| Error::file(path, format!("cannot be written: {cause}"));
        let mut table = csv::Writer::from_writer(Vec::new());
        for ((data, file), State { bytes, modified_ns, blake3 }) in &self.0 {
            let [data, file, blake3] = [data, file, blake3].map(String::clone);
            let row = Row { data, file, bytes: *bytes, modified_ns: *modified_ns, blake3 };
            table.serialize(row).map_err(|error| fail(error.to_string()))?;
        }
        let bytes = table.into_inner().map_err(|error| fail(error.to_string()))?;
        Ok(write_atomically(path, &bytes)?)
    }

    /// The photos of `valid` that are byte for byte photos of `train`, too.
    pub fn photos_of_both(&self, train: &Dataset, valid: &Dataset) -> Vec<String> {
        let photos = |data, dataset: &Dataset| -> Vec<((String, String), &State)> {
            let key = |index| key(data, dataset, dataset.source_number(index), &dataset.pair(index).photo);
            (0..dataset.len()).map(key).filter_map(|key| self.0.get(&key).map(|state| (key, state))).collect()
        };
        let trained: HashSet<&str> = photos("train", train).iter().map(|(_, state)| state.blake3.as_str()).collect();
        let is_trained = |(_, state): &((String, String), &State)| trained.contains(state.blake3.as_str());
        photos("valid", valid).into_iter().filter(is_trained).map(|(key, _)| name(&key)).collect()
    }

    /// What became of these files by `now`, a line each.
    pub fn changes(&self, now: &DataFiles) -> Vec<String> {
        let then = self.0.iter().filter_map(|(key, state)| match now.0.get(key) {
            None => Some(format!("missing: {}", name(key))),
            Some(other) if other.blake3 != state.blake3 => Some(format!("changed: {}", name(key))),
            Some(_) => None,
        });
        let new = now.0.keys().filter(|key| !self.0.contains_key(*key)).map(|key| format!("{NEW}{}", name(key)));
        then.chain(new).collect()
    }

    /// The changes as a sentence, the first ones by name.
    pub fn told(changes: &[String]) -> String {
        let named = changes.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join("\n  ");
        let more = changes.len().saturating_sub(NAMED);
        let tail = if more > 0 { format!("\n  and {more} more") } else { String::new() };
        let differ = match changes.len() {
            1 => "1 file of the data is not as it was when the run began".to_owned(),
            count => format!("{count} files of the data are not as they were when the run began"),
        };
        format!("{differ}:\n  {named}{tail}")
    }

    /// What to do to have the data of the beginning again.
    pub fn remedy(changes: &[String]) -> &'static str {
        let is_new = |change: &String| change.starts_with(NEW);
        match (changes.iter().any(is_new), changes.iter().all(is_new)) {
            (_, true) => "take the new files away",
            (true, false) => "put the earlier files back and take the new ones away",
            (false, false) => "put the earlier files back",
        }
    }
}

/// What a file of a dataset is for, with its source's number, and its path below the source's root.
fn key(data: &str, dataset: &Dataset, source: usize, path: &Path) -> (String, String) {
    let root = &dataset.sources()[source].root;
    let below = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
    (format!("{data} {}", source + 1), below)
}

fn name((data, file): &(String, String)) -> String {
    format!("{file} ({data})")
}

impl State {
    fn of(path: &Path, known: Option<&State>) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let metadata = file.metadata().map_err(Error::io("read", path))?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let (bytes, modified_ns) =
            (metadata.len(), modified.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(0)));
        if let Some(known) = known.filter(|known| (known.bytes, known.modified_ns) == (bytes, modified_ns))
            && modified_ns > 0
        {
            return Ok(known.clone());
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(BufReader::new(file)).map_err(Error::io("read", path))?;
        Ok(Self { bytes, modified_ns, blake3: hasher.finalize().to_hex().to_string() })
    }
}

impl Dataset {
    /// All files that its examples are made of, each with the number of its source: photos, labels, and tables that these depend
    /// on.
    fn files(&self) -> impl Iterator<Item = (usize, &Path)> {
        let examples = (0..self.len()).flat_map(|index| {
            let pair = self.pair(index);
            let label = match &pair.label {
                Label::Unlabelled { .. } => None,
                label => Some(label.path()),
            };
            let source = self.source_number(index);
            std::iter::once(pair.photo.as_path()).chain(label).map(move |path| (source, path))
        });
        examples.chain(self.tables())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::testing::write_noise;
    use crate::data::{OnDamage, Target};
    use std::fs;

    #[test]
    fn every_change_of_a_photo_a_label_or_a_table_is_named() {
        let root = tempfile::tempdir().unwrap();
        let source = [write_noise(root.path(), "train", &["a", "b", "c"])];
        let target = Target::builtin("garments").unwrap();
        let open = || Dataset::open(&source, &target, OnDamage::Skip).unwrap();
        let of = |known: &DataFiles| DataFiles::of([("train", &open()), ("valid", &open())], known).unwrap();
        let first = of(&DataFiles::default());
        assert_eq!(first.0.len(), 2 * (3 + 3 + 1));
        let list = root.path().join("data_files.csv");
        assert_eq!(DataFiles::read(&list).unwrap(), None);
        first.write(&list).unwrap();
        let known = DataFiles::read(&list).unwrap().unwrap();
        assert_eq!(known, first);
        assert_eq!(known.changes(&of(&known)), [""; 0]);

        let path = |name: &str| root.path().join("train").join(name);
        fs::remove_file(path("images/c.png")).unwrap();
        fs::copy(path("images/b.png"), path("images/d.png")).unwrap();
        fs::copy(path("labels/b.png"), path("labels/d.png")).unwrap();
        fs::copy(path("labels/a.png"), path("labels/b.png")).unwrap();
        fs::write(root.path().join("class_dict.csv"), "name,r,g,b\nbackground,0,0,0\nshirt,1,1,2\n").unwrap();
        let changes = known.changes(&of(&known));
        for expected in [
            "missing: train/images/c.png (train 1)",
            "changed: train/labels/b.png (train 1)",
            "changed: class_dict.csv (valid 1)",
            "new: train/images/d.png (train 1)",
        ] {
            assert!(changes.iter().any(|change| change == expected), "{expected}: {changes:?}");
        }
        // The lost photo's label is no example any more.
        assert_eq!(changes.len(), 2 * 6, "{changes:?}");
        assert!(DataFiles::told(&changes).contains("12 files"));
        assert!(DataFiles::remedy(&changes).contains("and take the new ones away"));
        let [old, new]: [Vec<String>; 2] = [vec!["missing: a".to_owned()], vec!["new: b".to_owned()]];
        assert_eq!(
            [&new, &old].map(|changes| DataFiles::remedy(changes)),
            ["take the new files away", "put the earlier files back"]
        );
        assert!(DataFiles::told(&new).starts_with("1 file of the data is not"), "{}", DataFiles::told(&new));
    }

    #[test]
    fn validation_photos_that_are_training_photos_are_found_by_their_bytes() {
        let roots = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let target = Target::builtin("garments").unwrap();
        let [train, valid] = [("train", ["a", "b"]), ("valid", ["b", "c"])].map(|(split, stems)| {
            let root = roots[usize::from(split == "valid")].path();
            Dataset::open(&[write_noise(root, split, &stems)], &target, OnDamage::Refuse).unwrap()
        });
        // The same photo under another name.
        let [from, to] = [("a", &roots[0], "train"), ("c", &roots[1], "valid")]
            .map(|(stem, root, split)| root.path().join(split).join(format!("images/{stem}.png")));
        fs::copy(from, to).unwrap();
        let files = DataFiles::of([("train", &train), ("valid", &valid)], &DataFiles::default()).unwrap();
        let expected = ["b", "c"].map(|stem| format!("valid/images/{stem}.png (valid 1)"));
        assert_eq!(files.photos_of_both(&train, &valid), expected);
    }

    #[test]
    fn a_copy_of_a_file_is_the_same_and_a_written_one_is_read() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a");
        fs::write(&path, "one").unwrap();
        let state = State::of(&path, None).unwrap();
        let touched = State { modified_ns: state.modified_ns + 1, ..state.clone() };
        assert_eq!(State::of(&path, Some(&touched)).unwrap(), state);
        // The same length and time: not read.
        let trusted = State { blake3: "x".to_owned(), ..state };
        assert_eq!(State::of(&path, Some(&trusted)).unwrap().blake3, "x");
    }
}
