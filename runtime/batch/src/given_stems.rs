//! The stems of photos that are not all known when the first is done: once given, a stem stays, over restarts too.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use clothseg::Result;
use clothseg::internals::digest::{self, Key};
use serde::Deserialize;

use crate::journal;
use crate::stems::{StemForm, record_path, stem_key, unique_stems_beside};

/// The stems that were given, by the places of their photos.
#[derive(Debug, Default)]
pub(crate) struct GivenStems {
    forms: HashMap<Key, StemForm>,
    taken: HashSet<Key>,
}

/// The parts of a manifest's line that tell a photo's stem.
#[derive(Deserialize)]
struct LineNames<'a> {
    #[serde(borrow)]
    stem: Cow<'a, str>,
    #[serde(borrow)]
    input: LineInput<'a>,
}

#[derive(Deserialize)]
struct LineInput<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
}

impl GivenStems {
    /// Those that stand in manifests.
    ///
    /// # Errors
    /// [`clothseg::Error::Read`].
    pub(crate) fn read(manifests: &[PathBuf]) -> Result<Self> {
        let mut given = Self::default();
        for manifest in manifests {
            journal::for_each_line(manifest, |_, line| {
                if let Ok(names) = serde_json::from_slice::<LineNames<'_>>(line) {
                    given.add(Path::new(&*names.input.path), Path::new(&*names.stem));
                }
            })?;
        }
        Ok(given)
    }

    fn add(&mut self, place: &Path, stem: &Path) {
        self.taken.insert(stem_key(stem));
        // A stem that does not follow from the place stays taken, and is of no use to a photo that comes.
        if let Some(form) = StemForm::leading(place, stem) {
            self.forms.insert(place_key(place), form);
        }
    }

    /// The stems of photos at these places: those that they have, else new ones that no photo has.
    pub(crate) fn give(&mut self, places: &[PathBuf]) -> Vec<StemForm> {
        let new: Vec<&PathBuf> = places.iter().filter(|place| !self.forms.contains_key(&place_key(place))).collect();
        let forms = unique_stems_beside(new.iter().map(|place| (*place).clone()), &self.taken);
        for (place, form) in new.into_iter().zip(forms) {
            self.taken.insert(stem_key(&form.apply(place)));
            self.forms.insert(place_key(place), form);
        }
        let given = |place: &PathBuf| self.forms.get(&place_key(place)).copied().unwrap_or(StemForm::BARE);
        places.iter().map(given).collect()
    }
}

fn place_key(place: &Path) -> Key {
    digest::key(record_path(place).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stems(given: &mut GivenStems, places: &[&str]) -> Vec<String> {
        let places: Vec<PathBuf> = places.iter().map(PathBuf::from).collect();
        let forms = given.give(&places);
        places.iter().zip(forms).map(|(place, form)| record_path(&form.apply(place))).collect()
    }

    #[test]
    fn those_that_come_together_are_named_as_in_a_run() {
        let mut given = GivenStems::default();
        assert_eq!(stems(&mut given, &["a.jpg", "b.jpg", "b.png"]), ["a", "b.jpg", "b.png"]);
    }

    #[test]
    fn one_that_comes_later_takes_nothing_from_those_before() {
        let mut given = GivenStems::default();
        assert_eq!(stems(&mut given, &["b.jpg"]), ["b"]);
        assert_eq!(stems(&mut given, &["b.png", "c/b.jpg"]), ["b.png", "c/b"]);
        assert_eq!(stems(&mut given, &["b.jpg", "b.webp"]), ["b", "b.webp"], "the first keeps its own");
        assert_eq!(stems(&mut given, &["B.PNG"]), ["B.PNG-2"], "one file on some systems");
    }

    #[test]
    fn manifests_tell_what_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("manifest.jsonl");
        let line =
            |path: &str, stem: &str| format!(r#"{{"status":"done","input":{{"path":"{path}"}},"stem":"{stem}"}}"#);
        let lines = [line("b.jpg", "b"), line("d.jpg", "d.jpg"), line("e.jpg-2", "e.jpg-2"), "damaged".into()];
        std::fs::write(&manifest, lines.join("\n") + "\n").unwrap();
        let mut given = GivenStems::read(&[manifest]).unwrap();
        assert_eq!(
            stems(&mut given, &["b.png", "b.jpg", "d.png", "d.jpg", "e.jpg"]),
            ["b.png", "b", "d", "d.jpg", "e"]
        );
    }
}
