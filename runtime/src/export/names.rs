//! The classes as they stand in file names.

use std::collections::HashSet;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::Format;
use crate::taxonomy::Taxonomy;

/// One name per class for files, all different: the first word group of the class's name, in lower case, with `-` for
/// anything unusual (`shirt, blouse` gives `shirt`, `leg warmer` gives `leg-warmer`). One that clashes with another, or with a
/// word in the name of another file, gets the class index.
pub fn class_file_names(taxonomy: &Taxonomy) -> Vec<String> {
    let plain: Vec<String> = taxonomy.classes.iter().map(|class| file_name(&class.name)).collect();
    let reserved = reserved();
    let clashes =
        |name: &String| reserved.contains(&name.as_str()) || plain.iter().filter(|other| *other == name).count() > 1;
    let mut taken: HashSet<String> = plain.iter().filter(|name| !clashes(name)).cloned().collect();
    let mut names = Vec::with_capacity(plain.len());
    for (index, name) in plain.iter().enumerate() {
        let mut unique = name.clone();
        while clashes(&unique) || (unique != *name && taken.contains(&unique)) {
            unique.push_str(&format!("-{index}"));
        }
        taken.insert(unique.clone());
        names.push(unique);
    }
    names
}

fn file_name(class: &str) -> String {
    let first = class.split(',').next().unwrap_or(class).trim();
    // Vowel signs and accents belong to the letter before them.
    let is_kept = |c: char| c.is_alphanumeric() || is_combining_mark(c);
    let safe: String = first.nfc().map(|c| if is_kept(c) { c } else { '-' }).flat_map(char::to_lowercase).collect();
    if safe.is_empty() { "class".into() } else { safe }
}

/// Words between `NAME.` and `.png` in the names of files: `labels`, `soft` and the like.
fn reserved() -> Vec<&'static str> {
    let exporters = Format::ALL.iter().map(|format| format.exporter());
    let suffixes =
        exporters.flat_map(|exporter| exporter.photo_suffixes().iter().copied().chain(exporter.class_suffix()));
    suffixes.filter_map(|suffix| suffix.strip_prefix('.')?.strip_suffix(".png")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::taxonomy::Class;

    fn names(classes: &[&str]) -> Vec<String> {
        let classes = classes.iter().map(|name| Class::new(*name, [0; 3])).collect();
        class_file_names(&Taxonomy { classes, groups: Default::default() })
    }

    #[test]
    fn file_names_are_safe_and_different() {
        assert_eq!(
            names(&["shirt, blouse", "leg warmer", "a/b", "A b", ""]),
            ["shirt", "leg-warmer", "a-b-2", "a-b-3", "class"]
        );
        assert_eq!(
            names(&["Cafe\u{301}", "É", "हिन्दी"]),
            ["caf\u{e9}", "\u{e9}", "हिन्दी"],
            "letters keep their accents and signs"
        );
        let names = names(&["x, a", "x 1", "x, b", "labels", "x-0"]);
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), 5, "{names:?}");
        assert!(!names.contains(&"labels".to_owned()));
    }

    #[test]
    fn words_of_every_format_are_reserved() {
        let mut words = reserved();
        words.sort_unstable();
        assert_eq!(words, ["atr", "crop", "cutout", "labels", "lip", "overlay", "soft"]);
    }
}
