//! Where the files of each photo go, so that no two photos share one.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use clothseg::export::Format;
use clothseg::internals::digest::{self, Key};
use clothseg::internals::files::has_photo_extension;

/// Bytes that the last part of a stem has at most. File systems take 255 for a name; the rest is for suffixes, such as
/// `.CLASS.cutout.png`.
const MAX_NAME_BYTES: usize = 180;

/// Bytes that are kept of a longer one, before its hash.
const KEPT_BYTES: usize = 160;

/// How a photo's place below the output folder becomes its stem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StemForm {
    /// Whether `b.jpg` stays `b.jpg`.
    keeps_ending: bool,
    /// Added as `-2`, `-3` and so on; nothing for 1.
    number: u32,
    /// Whether a photo before has the very same place, and not only one that differs in case.
    repeats_place: bool,
}

impl StemForm {
    /// Without ending and number: unique where nothing else was chosen.
    pub(super) const BARE: Self = Self { keeps_ending: false, number: 1, repeats_place: false };

    /// The stem of the photo at this place.
    pub(super) fn apply(self, place: &Path) -> PathBuf {
        let stem = if self.keeps_ending { place.to_owned() } else { bare(place) };
        shortened_stem(if self.number == 1 { stem } else { with_suffix(&stem, &format!("-{}", self.number)) })
    }

    const UNNUMBERED: [Self; 2] = [Self::BARE, Self { keeps_ending: true, ..Self::BARE }];

    /// The stems that a place may have without a number.
    pub(super) fn unnumbered(place: &Path) -> [PathBuf; 2] {
        Self::UNNUMBERED.map(|form| form.apply(place))
    }

    /// How a place without a number becomes this stem.
    #[cfg(feature = "watch")]
    pub(super) fn leading(place: &Path, stem: &Path) -> Option<Self> {
        Self::UNNUMBERED.into_iter().find(|form| form.apply(place) == stem)
    }

    /// Whether another photo at the same place came first.
    pub(super) fn repeats_place(self) -> bool {
        self.repeats_place
    }
}

/// Gives every place a stem of its own: without ending where that is unique, with it where not, numbered as the last
/// resort. `places` is gone through twice.
pub(super) fn unique_stems(places: impl Iterator<Item = PathBuf> + Clone) -> Vec<StemForm> {
    unique_stems_beside(places, &HashSet::new())
}

/// The same beside stems that others have already.
pub(super) fn unique_stems_beside(
    places: impl Iterator<Item = PathBuf> + Clone,
    others: &HashSet<Key>,
) -> Vec<StemForm> {
    let mut sharing: HashMap<Key, u32> = HashMap::new();
    for place in places.clone() {
        *sharing.entry(stem_key(&bare(&place))).or_default() += 1;
    }
    let mut taken: HashSet<Key> = HashSet::new();
    let mut take = |key: Key| !others.contains(&key) && taken.insert(key);
    // Where the counting goes on for a name that many share; starting at 2 for each would take for ever.
    let mut last_number: HashMap<Key, u32> = HashMap::new();
    let mut places_before: HashSet<Key> = HashSet::new();
    let choose = |place: PathBuf| {
        let bare = bare(&place);
        let key = stem_key(&bare);
        let keeps_ending = is_of_another(&bare) || sharing.get(&key) != Some(&1) || others.contains(&key);
        let repeats_place = !places_before.insert(digest::key(record_path(&place).as_bytes()));
        let mut form = StemForm { keeps_ending, number: 1, repeats_place };
        let first = stem_key(&form.apply(&place));
        if is_of_another(&form.apply(&place)) || !take(first) {
            form.number = *last_number.get(&first).unwrap_or(&1) + 1;
            while !take(stem_key(&form.apply(&place))) {
                form.number += 1;
            }
            last_number.insert(first, form.number);
        }
        form
    };
    places.map(choose).collect()
}

/// Whether a file of this stem has the name of another: a file of the run (`coco.json`), or a file of another photo
/// (`b.labelme.json` is of `b`).
fn is_of_another(stem: &Path) -> bool {
    let name = record_path(stem).to_lowercase();
    let suffixes = || Format::ALL.iter().flat_map(|format| format.exporter().photo_suffixes());
    let is_anothers = |suffix: &str| {
        let longer = suffixes().filter_map(|longer| longer.strip_suffix(suffix));
        longer.filter(|rest| !rest.is_empty()).any(|rest| name.ends_with(rest))
    };
    suffixes().any(|suffix| is_anothers(suffix) || is_of_run(&format!("{name}{suffix}")))
}

/// Whether a run of any formats and shards may write a file of this name, in lower case, into its output folder.
fn is_of_run(file: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_shard = |stem: &str, extension: &str| {
        let shard = file.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension)?.strip_suffix('.'));
        let numbers = shard.and_then(|shard| shard.strip_prefix('-')?.split_once("-of-"));
        numbers.is_some_and(|(i, n)| is_number(i) && is_number(n))
    };
    Format::ALL.iter().map(|format| format.exporter()).any(|exporter| {
        exporter.run_files().iter().any(|name| {
            let sharded = || name.rsplit_once('.').is_some_and(|(stem, extension)| is_shard(stem, extension));
            file == *name || (exporter.needs().parts && sharded())
        })
    })
}

/// What makes two stems the same: paths that differ in case are one file on some systems.
pub(super) fn stem_key(stem: &Path) -> Key {
    digest::key(record_path(stem).to_lowercase().as_bytes())
}

/// A path as it stands in records: text, with `/` on every system.
pub(super) fn record_path(path: &Path) -> String {
    let text = path.to_string_lossy();
    if cfg!(windows) { text.replace('\\', "/") } else { text.into_owned() }
}

fn bare(place: &Path) -> PathBuf {
    if has_photo_extension(place) { place.with_extension("") } else { place.to_owned() }
}

/// The stem with a name that leaves room for suffixes: one of more than 180 bytes is cut, and its hash keeps it apart from others. So the
/// files of a photo are called.
pub fn shortened_stem(stem: PathBuf) -> PathBuf {
    let Some(name) = stem.file_name().filter(|name| name.len() > MAX_NAME_BYTES) else { return stem };
    let hash = digest::hex(name.as_encoded_bytes());
    let text = name.to_string_lossy();
    let short = format!("{}~{}", &text[..text.floor_char_boundary(KEPT_BYTES)], &hash[..8]);
    stem.with_file_name(short)
}

/// The same path with text after its last part.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Whether a path in a manifest is that of a result with this stem, below the output folder. What else a manifest names, which
/// anybody may have written, is never removed.
pub(super) fn is_result_of(stem: &str, path: &str) -> bool {
    let suffix = path.strip_prefix(stem).filter(|suffix| suffix.starts_with('.') && !suffix.contains(['/', '\\']));
    suffix.is_some() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stems(places: &[&str]) -> Vec<String> {
        let places = places.iter().map(PathBuf::from);
        let forms = unique_stems(places.clone());
        places.zip(forms).map(|(place, form)| record_path(&form.apply(&place))).collect()
    }

    #[test]
    fn endings_go_where_the_rest_is_unique_and_numbers_come_last() {
        assert_eq!(stems(&["a/c.png", "a/d.e.webp", "b.JPG", "notes"]), ["a/c", "a/d.e", "b", "notes"]);
        assert_eq!(stems(&["B.webp", "b.jpg", "b.png", "x/b.jpg"]), ["B.webp", "b.jpg", "b.png", "x/b"]);
        assert_eq!(stems(&["c.jpg", "c.jpg", "C.jpg", "c.jpg"]), ["c.jpg", "c.jpg-2", "C.jpg-3", "c.jpg-4"]);
        assert_eq!(stems(&["b.jpg.png", "b.jpg", "b.png"]), ["b.jpg", "b.jpg-2", "b.png"]);
        let forms = unique_stems(["c.jpg", "C.jpg", "c.jpg"].iter().map(PathBuf::from));
        let repeats: Vec<bool> = forms.into_iter().map(StemForm::repeats_place).collect();
        assert_eq!(repeats, [false, false, true]);
    }

    #[test]
    fn a_photo_gets_no_name_that_another_file_of_the_run_has() {
        assert_eq!(
            stems(&["coco.jpg", "a.labelme.jpg", "b/coco.jpg", "Coco-1-of-2.png", "coco"]),
            ["coco.jpg", "a.labelme.jpg", "b/coco", "Coco-1-of-2.png", "coco-2"]
        );
    }

    #[test]
    fn long_names_are_cut_and_kept_apart() {
        let long = |last: &str| format!("a/{}{last}.jpg", "袍".repeat(80));
        let stems = stems(&[&long("1"), &long("2"), &long("2"), &format!("{}.jpg", "n".repeat(180))]);
        assert!(stems[0].starts_with("a/袍袍") && stems[0] != stems[1] && stems[1] != stems[2], "{stems:?}");
        assert!(stems.iter().all(|stem| Path::new(stem).file_name().unwrap().len() <= MAX_NAME_BYTES), "{stems:?}");
        assert_eq!(stems[3], "n".repeat(180), "there is room for suffixes");
    }

    #[test]
    fn ten_thousand_photos_of_one_name_are_numbered_at_once() {
        let places = std::iter::repeat_n(PathBuf::from("photo.jpg"), 10_000);
        assert_eq!(
            unique_stems(places).last(),
            Some(&StemForm { keeps_ending: true, number: 10_000, repeats_place: true })
        );
    }

    proptest! {
        #[test]
        fn no_two_photos_share_a_stem(places in prop::collection::vec("([ab]/)?[abA]{1,2}(-2|\\.jpg|\\.PNG|\\.jpg-2){0,3}", 1..40)) {
            let places: Vec<&str> = places.iter().map(String::as_str).collect();
            let stems: HashSet<String> = stems(&places).iter().map(|stem| stem.to_lowercase()).collect();
            prop_assert_eq!(stems.len(), places.len());
        }
    }

    #[test]
    fn nothing_but_results_below_the_output_folder_is_removed() {
        for (stem, path) in [("a", "a.labels.png"), ("b/c d", "b/c d.json"), ("..a", "..a.json")] {
            assert!(is_result_of(stem, path), "{path}");
        }
        for (stem, path) in [
            ("a", "b.labels.png"),
            ("a", "a"),
            ("a", "ab.png"),
            ("a", "a./../../x.png"),
            ("../a", "../a.json"),
            ("/etc/a", "/etc/a.json"),
            ("b/../../a", "b/../../a.json"),
        ] {
            assert!(!is_result_of(stem, path), "{path}");
        }
    }
}
