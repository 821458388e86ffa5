//! Tag files: which classes a photo shows, without where. CSV with the columns `photo` and `tags`:
//!
//! ```csv
//! photo,tags
//! 1005,null blouse skirt hair
//! 1006,dress jacket|coat
//! ```
//!
//! `photo` is the photo's name, with or without its extension. Tags are separated by blanks; a blank within the name of a class
//! is written `_`. `a|b` is one of several. What is not tagged is not there, unless no name of the mapping stands for it: such
//! a class may be there in any photo. The word `ignore`, and a name that the mapping ignores, says that the photo shows something
//! that no class names certainly, a suit or a flower: whether it shows a class that is not tagged is then unknown.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use super::mapping::MappedTo;
use super::photos::without_extension;
use super::{IGNORE, LabelSets, Mapping, Tags};
use crate::error::{Error, Result};
use crate::text::table;

/// Stands for what no class names.
const UNKNOWN: &str = "ignore";

/// The background's name in several data sets.
const NULL: &str = "null";

/// The rows of a tag file, by photo.
#[derive(Clone, Debug)]
pub struct TagFile {
    path: PathBuf,
    photos: BTreeMap<String, String>,
}

/// The names that tags may have, and what they stand for.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    names: BTreeMap<String, Meaning>,
    /// Classes that no name stands for, and the background.
    untold: Vec<u8>,
    classes: usize,
}

/// What a tag stands for.
#[derive(Clone, Debug)]
enum Meaning {
    /// One of these classes.
    OneOf(Vec<u8>),
    /// Something that no class names.
    Unknown,
    /// A part of something else that is tagged.
    Part,
}

impl TagFile {
    /// Reads a tag file.
    pub fn open(path: &Path) -> Result<Self> {
        let mut photos = BTreeMap::new();
        table::read(path, ["photo", "tags"], |[photo, tags]| {
            match photos.entry(without_extension(photo).to_owned()) {
                Entry::Occupied(_) => Err(format!("photo {photo} has tags already; write one line for each photo")),
                Entry::Vacant(place) => {
                    place.insert(tags.to_owned());
                    Ok(())
                }
            }
        })?;
        if photos.is_empty() {
            return Err(Error::file(path, "names no photo"));
        }
        Ok(Self { path: path.to_path_buf(), photos })
    }

    /// The photos that it names, in order.
    pub fn photos(&self) -> impl Iterator<Item = &str> {
        self.photos.keys().map(String::as_str)
    }

    /// What a photo shows; [`None`] where the file does not name it.
    pub fn tags(&self, photo: &str, vocabulary: &Vocabulary) -> Result<Option<Tags>> {
        let words = self.photos.get(photo).map(|words| vocabulary.read(words));
        words.transpose().map_err(|tag| {
            let known = vocabulary.names.keys().take(8).cloned().collect::<Vec<_>>().join(", ");
            let cause = format!(
                "photo {photo}: there is no tag `{tag}`; there are {known} ... (the classes of the source, or the names in \
                 [classes] of its mapping file)"
            );
            Error::file(&self.path, cause)
        })
    }
}

impl Vocabulary {
    /// From the classes of a source and what they are mapped to.
    pub fn new(names: &[String], mapping: &Mapping, sets: &LabelSets) -> Self {
        let mut words = BTreeMap::new();
        let mut told = vec![false; sets.classes()];
        for (index, name) in (0..=u8::MAX).zip(names) {
            let meaning = match mapping.target(index) {
                Some(MappedTo::Label(label)) if label != IGNORE => Meaning::OneOf(sets.members(label)),
                Some(MappedTo::Merge) => Meaning::Part,
                _ => Meaning::Unknown,
            };
            if let Meaning::OneOf(members) = &meaning {
                members.iter().for_each(|class| told[usize::from(*class)] = true);
            }
            words.insert(word(name), meaning);
        }
        words.entry(NULL.to_owned()).or_insert_with(|| Meaning::OneOf(vec![0]));
        words.entry(UNKNOWN.to_owned()).or_insert(Meaning::Unknown);
        let untold = (0..=u8::MAX).zip(&told).filter(|(class, told)| *class == 0 || !**told).map(|(class, _)| class);
        Self { names: words, untold: untold.collect(), classes: sets.classes() }
    }

    /// What the tags of a photo say; a word that is none of the names is the error.
    fn read(&self, tags: &str) -> std::result::Result<Tags, String> {
        let mut members = vec![self.untold.clone()];
        let mut has_unknown = false;
        for tag in tags.split_whitespace() {
            let mut any = Vec::new();
            let mut is_unknown = false;
            for name in tag.split('|') {
                match self.names.get(name) {
                    Some(Meaning::OneOf(classes)) => any.extend(classes),
                    Some(Meaning::Unknown) => is_unknown = true,
                    Some(Meaning::Part) => {}
                    None => return Err(name.to_owned()),
                }
            }
            has_unknown |= is_unknown;
            any.sort_unstable();
            any.dedup();
            // One of a class and of something unknown does not say that the class is there.
            members.push(if is_unknown && !any.contains(&0) { [&[0][..], &any].concat() } else { any });
        }
        Ok(Tags::of(self.classes, members, has_unknown))
    }
}

/// The file that a photo's tags are written to, as `photo,tags`, in the words of [`Vocabulary`] for `classes` of a taxonomy.
pub fn write_tags<'a>(
    photos: impl IntoIterator<Item = (&'a str, &'a Tags)>,
    classes: &[String],
) -> std::result::Result<Vec<u8>, csv::Error> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["photo", "tags"])?;
    for (photo, tags) in photos {
        table.write_record([photo, &words(tags, classes)])?;
    }
    table.into_inner().map_err(|error| error.into_error().into())
}

/// The tags of a photo in words. Classes that may be there are one of them or the background.
fn words(tags: &Tags, classes: &[String]) -> String {
    let names = || (0..=u8::MAX).zip(classes);
    let mut words: Vec<String> = names().filter(|(class, _)| tags.has(*class)).map(|(_, name)| word(name)).collect();
    let may_be: Vec<String> = names()
        .filter(|(class, _)| *class == 0 || (tags.allows(*class) && !tags.has(*class)))
        .map(|(_, name)| word(name))
        .collect();
    if may_be.len() > 1 {
        words.push(may_be.join("|"));
    }
    if tags.has_unknown() {
        words.push(UNKNOWN.to_owned());
    }
    words.join(" ")
}

/// A class's name as one word.
fn word(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join("_").replace('|', "_")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::{Shown, Target};

    const NAMES: [&str; 7] = ["null", "blouse", "outer", "suit", "sleeve", "a belt", "hair"];

    fn vocabulary() -> (Vocabulary, Target) {
        let target = Target::builtin("garments").unwrap();
        let mut sets = LabelSets::from(target.classes());
        let names = NAMES.map(str::to_owned);
        let text = "target = 'garments'\n[classes]\nnull = 'background'\nblouse = 'shirt'\nouter = ['jacket', 'coat']\n\
                    suit = 'ignore'\nsleeve = 'merge'\n'a belt' = 'belt'\nhair = 'hair'";
        let mapping = Mapping::parse(text, &names, &target, &mut sets).unwrap();
        (Vocabulary::new(&names, &mapping, &sets), target)
    }

    fn file(text: &str) -> Result<TagFile> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        TagFile::open(file.path())
    }

    #[test]
    fn tags_are_classes_and_the_rest_is_not_there_unless_no_tag_stands_for_it() {
        let (vocabulary, target) = vocabulary();
        let class = |name: &str| target.taxonomy.index_of(name).unwrap();
        let tags = file("photo,tags\n7.jpg,null blouse  outer sleeve\n").unwrap();
        let shown = tags.tags("7", &vocabulary).unwrap().unwrap().shown(true);
        let of = |name: &str| shown[class(name)];
        assert_eq!([of("background"), of("shirt")], [Shown::Yes, Shown::Yes]);
        assert_eq!([of("jacket"), of("coat"), of("dress")], [Shown::Maybe; 3]); // no name stands for a dress
        assert_eq!([of("belt"), of("hair")], [Shown::No; 2]);
        assert!(tags.tags("8", &vocabulary).unwrap().is_none());
        assert_eq!(tags.photos().collect::<Vec<_>>(), ["7"]);
    }

    #[test]
    fn an_ignored_tag_leaves_open_what_else_is_there() {
        let (vocabulary, target) = vocabulary();
        let belt = target.taxonomy.index_of("belt").unwrap();
        for text in ["photo,tags\n7,suit hair\n", "photo,tags\n7,ignore hair\n", "photo,tags\n7,suit|blouse hair\n"] {
            let tags = file(text).unwrap().tags("7", &vocabulary).unwrap().unwrap();
            assert!(tags.has_unknown() && !tags.allows(belt as u8));
            assert_eq!([tags.shown(true)[belt], tags.shown(true)[1]], [Shown::Maybe; 2]);
        }
    }

    #[test]
    fn a_tag_that_no_name_is_and_a_photo_that_stands_there_twice_are_named() {
        let (vocabulary, _) = vocabulary();
        let tags = file("photo,tags\n7,null kimono\n").unwrap();
        let error = tags.tags("7", &vocabulary).unwrap_err().to_string();
        assert!(error.contains("photo 7") && error.contains("`kimono`") && error.contains("blouse"), "{error}");
        assert!(file("photo,tags\n7,null\n7.jpg,hair\n").unwrap_err().to_string().contains("line 3: photo 7.jpg"));
        assert!(file("photo,tags\n").unwrap_err().to_string().contains("names no photo"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (vocabulary, target) = vocabulary();
        let classes: Vec<String> = target.taxonomy.classes.iter().map(|class| class.name.clone()).collect();
        let mapping = Mapping::by_name(&classes, &Default::default(), &target).unwrap();
        let own = Vocabulary::new(&classes, &mapping, &LabelSets::from(classes.len()));
        for words in ["null blouse outer", "a_belt", "suit blouse", "outer|blouse suit|blouse"] {
            let tags = vocabulary.read(words).unwrap();
            let text = String::from_utf8(write_tags([("7", &tags)], &classes).unwrap()).unwrap();
            assert_eq!(file(&text).unwrap().tags("7", &own).unwrap().unwrap(), tags, "{text}");
        }
    }
}
