//! Photos with tags and no labels: `ROOT/images/STEM.jpg` and `ROOT/tags.csv` (see [`super::tag_file`]); the names of the tags are
//! those of `ROOT/label_list.csv` (column `name`), where there is one, else those of the mapping file. A split is the file
//! `ROOT/SPLIT.txt` of stems; without it all photos are of split `train`.

use std::path::Path;

use super::photos::{photos_by_stem, read_stems};
use super::{IGNORE, Label, Listing, Mapping, Pair, TagFile};
use crate::classes::colors::ClassTable;
use crate::counted::counted;
use crate::error::{Error, Result};

/// Lists the photos of `root` that the tag file names.
pub fn list(root: &Path, split: &str, tags: &Path, mapping: Option<&Path>) -> Result<Listing> {
    let classes = classes(root, mapping)?;
    let tagged = TagFile::open(tags)?;
    let (mut incomplete, mut notes) = (Vec::new(), Vec::new());
    let mut photos = photos_by_stem(&root.join("images"), &mut incomplete, &mut notes)?;
    let split_file = root.join(format!("{split}.txt"));
    let chosen = match split == "train" && !split_file.exists() {
        true => None,
        false => Some(read_stems(&split_file, |stem| photos.contains_key(stem), &mut notes)?),
    };
    let is_chosen = |stem: &str| chosen.as_ref().is_none_or(|stems| stems.contains(stem));
    let mut pairs = Vec::new();
    for stem in tagged.photos().filter(|stem| is_chosen(stem)) {
        match photos.remove(stem) {
            Some(photo) => {
                let label = Label::Unlabelled { photo: photo.clone() };
                pairs.push(Pair { stem: stem.to_owned(), photo, label });
            }
            None => incomplete.push(format!("{}: {stem}: no photo", tags.display())),
        }
    }
    let untagged = photos.iter().filter(|(stem, _)| is_chosen(stem));
    incomplete.extend(untagged.map(|(_, photo)| format!("{}: no tags in {}", photo.display(), tags.display())));
    Ok(Listing { classes, pairs, incomplete, notes, ..Listing::default() })
}

/// The names of the tags.
fn classes(root: &Path, mapping: Option<&Path>) -> Result<Vec<String>> {
    let table = root.join("label_list.csv");
    match mapping {
        Some(path) if !table.exists() => {
            let names = Mapping::names(path)?;
            let most = usize::from(IGNORE);
            if names.is_empty() || names.len() > most {
                return Err(Error::file(
                    path,
                    format!("maps {}; 1 to {most} are possible", counted(names.len(), "name", "names")),
                ));
            }
            Ok(names)
        }
        None if !table.exists() => Err(Error::file(
            root,
            "holds no label_list.csv with the names of the tags; write one (column `name`), or a mapping file that names them",
        )),
        _ => Ok(ClassTable::open(&table)?.names),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::testing::write_noise;
    use crate::data::{Dataset, Layout, OnDamage, Shown, Source, SourceFiles, Target};

    const MAPPING: &str = "target = 'garments'\n[classes]\nnull = 'background'\nblouse = 'shirt'\njeans = 'pants'\n";

    /// Photos `a`, `b` and `c`, of which two are tagged.
    fn given(tags: &str) -> (tempfile::TempDir, Source) {
        let root = tempfile::tempdir().unwrap();
        let source = write_noise(root.path(), ".", &["a", "b", "c"]);
        std::fs::write(root.path().join("tags.csv"), format!("photo,tags\n{tags}")).unwrap();
        let mapping = root.path().join("mapping.toml");
        std::fs::write(&mapping, MAPPING).unwrap();
        let source = Source { layout: Layout::Tags, split: "train".to_owned(), mapping: Some(mapping), ..source };
        (root, source)
    }

    fn open(source: &Source, on_damage: OnDamage) -> Result<Dataset> {
        Dataset::open(std::slice::from_ref(source), &Target::builtin("garments").unwrap(), on_damage)
    }

    #[test]
    fn a_split_names_photos_with_or_without_extension_and_each_counts_once() {
        let (root, source) = given("c,null jeans\na,blouse\nb,blouse\n");
        std::fs::write(root.path().join("few.txt"), "a.png\r\n\r\nc\na\n").unwrap();
        let listing = Source { split: "few".to_owned(), ..source }.list().unwrap();
        let stems: Vec<&str> = listing.pairs.iter().map(|pair| pair.stem.as_str()).collect();
        assert_eq!((stems, listing.incomplete.len()), (vec!["a", "c"], 0), "{listing:?}");
        assert!(
            matches!(&listing.notes[..], [note] if note.contains("1 name stands there again")),
            "{:?}",
            listing.notes
        );
    }

    #[test]
    fn photos_have_tags_and_labels_that_count_nowhere() {
        let (_root, source) = given("c,null jeans\na,blouse\n");
        assert!(open(&source, OnDamage::Refuse).unwrap_err().to_string().contains("b.png: no tags in"));
        let dataset = open(&source, OnDamage::Skip).unwrap();
        assert_eq!((dataset.len(), dataset.skipped()), (2, 1));
        let sample = dataset.load(0).unwrap();
        assert_eq!(sample.labels.data, vec![IGNORE; 32 * 32]);
        assert_eq!(sample.tags.unwrap().shown(true)[..2], [Shown::Yes; 2]);
        assert_eq!(dataset.load(1).unwrap().tags.unwrap().shown(true)[..2], [Shown::Yes, Shown::No]);
        assert!(dataset.load_labels(0).unwrap().data.iter().all(|label| *label == IGNORE));
    }

    #[test]
    fn a_split_is_a_file_of_stems_and_names_come_from_a_table_where_there_is_one() {
        let (root, source) = given("a,blouse\nb,blouse\nc,jeans\nd,jeans\n");
        std::fs::write(root.path().join("valid.txt"), "b\nc\n").unwrap();
        let valid = Source { split: "valid".to_owned(), ..source.clone() };
        assert_eq!(open(&valid, OnDamage::Refuse).unwrap().len(), 2);
        let error = open(&source, OnDamage::Refuse).unwrap_err().to_string();
        assert!(error.contains("tags.csv: d: no photo"), "{error}");
        let other = Source { split: "test".to_owned(), ..source.clone() };
        assert!(open(&other, OnDamage::Refuse).unwrap_err().to_string().contains("test.txt"));
        let none = Source { mapping: None, ..valid.clone() };
        assert!(open(&none, OnDamage::Refuse).unwrap_err().to_string().contains("label_list.csv"));
        std::fs::write(root.path().join("label_list.csv"), "name\nbackground\nblouse\njeans\n").unwrap();
        assert_eq!(open(&none, OnDamage::Refuse).unwrap().len(), 2);
        assert!(open(&valid, OnDamage::Refuse).unwrap_err().to_string().contains("maps `null`"));
    }

    #[test]
    fn a_file_of_another_layout_gives_tags_to_the_photos_that_it_names() {
        let (root, source) = given("");
        std::fs::create_dir(root.path().join("more")).unwrap();
        std::fs::write(root.path().join("more/own.csv"), "photo,tags\nb.png,shirt\nz,null\n").unwrap();
        let files = SourceFiles { tags: Some("more/own.csv".into()), ..SourceFiles::default() };
        let source = Source { layout: Layout::Folder, split: ".".to_owned(), mapping: None, files, ..source };
        let dataset = open(&source, OnDamage::Refuse).unwrap();
        let tags: Vec<_> = (0..3).map(|index| dataset.load(index).unwrap().tags).collect();
        assert!(tags[0].is_none() && tags[2].is_none());
        let shown = tags[1].as_ref().unwrap().shown(true);
        // The source's classes are background and shirt: of others its tags say nothing.
        assert_eq!(shown[..3], [Shown::Yes, Shown::Yes, Shown::Maybe]);
        std::fs::write(root.path().join("more/own.csv"), "photo,tags\na,shirt\nb,cape\n").unwrap();
        let error = open(&source, OnDamage::Refuse).unwrap_err().to_string();
        assert!(error.contains("own.csv") && error.contains("photo b") && error.contains("`cape`"), "{error}");
    }
}
