//! From a dataset's classes to those of a taxonomy, by a TOML file:
//!
//! ```toml
//! target = "garments"
//! [classes]
//! "null" = "background"
//! "jeans" = "pants"
//! "suit" = "ignore"    # pixels count nowhere
//! "sleeve" = "merge"   # a part: goes to the garment that it shares the longest border with
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use clothseg::Taxonomy;
use serde::Deserialize;

use super::{IGNORE, LabelImage, parts};
use crate::error::{Error, Result};

/// The classes that a network learns.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name of the taxonomy.
    pub name: String,
    /// Its classes, 0 = background.
    pub taxonomy: Taxonomy,
}

impl Target {
    /// A taxonomy of the runtime, by name.
    pub fn builtin(name: &str) -> Option<Self> {
        Taxonomy::builtin(name).map(|taxonomy| Self { name: name.to_owned(), taxonomy })
    }

    /// Number of classes, background included.
    pub fn classes(&self) -> usize {
        self.taxonomy.len()
    }
}

/// What becomes of one source class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is this class of the target.
    Class(u8),
    /// Its pixels count nowhere.
    Ignore,
    /// It is a part of the garment that it touches most.
    Merge,
}

/// A mapping, one fate for each source index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    fates: Vec<Fate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MappingFile {
    target: String,
    classes: BTreeMap<String, String>,
}

impl Mapping {
    /// Reads `path` for a dataset with the classes `source`, towards `target`.
    pub fn open(path: &Path, source: &[String], target: &Target) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Self::parse(&text, source, target).map_err(|cause| Error::file(path, cause))
    }

    /// Reads the text of a mapping file.
    pub fn parse(text: &str, source: &[String], target: &Target) -> std::result::Result<Self, String> {
        let file: MappingFile = toml::from_str(text).map_err(|error| error.to_string())?;
        if file.target != target.name {
            return Err(format!("maps to taxonomy `{}`, and `{}` is asked for", file.target, target.name));
        }
        if let Some(unknown) = file.classes.keys().find(|name| !source.contains(*name)) {
            return Err(format!("maps `{unknown}`, which the dataset does not have"));
        }
        let mut fates = Vec::with_capacity(source.len());
        for name in source {
            let Some(to) = file.classes.get(name) else {
                return Err(format!(
                    "does not say what becomes of `{name}`; add it to [classes] with a class of `{}`, \"ignore\" or \"merge\"",
                    target.name
                ));
            };
            fates.push(fate(name, to, target)?);
        }
        Ok(Self { fates })
    }

    /// The mapping of a dataset whose classes are the target's, by name or alias.
    pub fn by_name(source: &[String], target: &Target) -> std::result::Result<Self, String> {
        let fates = source.iter().map(|name| fate(name, name, target)).collect::<std::result::Result<_, _>>();
        fates.map(|fates| Self { fates }).map_err(|cause| format!("{cause}; write a mapping file for this dataset"))
    }

    /// Number of source classes.
    pub fn len(&self) -> usize {
        self.fates.len()
    }

    /// Whether there is no source class.
    pub fn is_empty(&self) -> bool {
        self.fates.is_empty()
    }

    /// What becomes of a source index; [`None`] where the dataset has no such class.
    pub fn fate(&self, index: u8) -> Option<Fate> {
        self.fates.get(usize::from(index)).copied()
    }

    /// The label in target classes and [`IGNORE`]. Indices that the dataset does not have are ignored.
    pub fn apply(&self, mut source: LabelImage) -> LabelImage {
        if self.fates.contains(&Fate::Merge) {
            return parts::merge(&source, self);
        }
        for pixel in &mut source.data {
            *pixel = match self.fate(*pixel) {
                Some(Fate::Class(class)) => class,
                _ => IGNORE,
            };
        }
        source
    }
}

fn fate(name: &str, to: &str, target: &Target) -> std::result::Result<Fate, String> {
    match to {
        "ignore" => Ok(Fate::Ignore),
        "merge" => Ok(Fate::Merge),
        class => match target.taxonomy.index_of(class).and_then(|index| u8::try_from(index).ok()) {
            Some(index) if index != IGNORE => Ok(Fate::Class(index)),
            _ => Err(format!("maps `{name}` to `{class}`, which is no class of `{}`", target.name)),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn parse(classes: &str, source: &[&str]) -> std::result::Result<Mapping, String> {
        let target = Target::builtin("garments").unwrap();
        Mapping::parse(&format!("target = \"garments\"\n[classes]\n{classes}"), &names(source), &target)
    }

    #[test]
    fn a_class_without_a_fate_is_named() {
        let error = parse("null = 'background'", &["null", "cape"]).unwrap_err();
        assert!(error.contains("`cape`"), "{error}");
    }

    #[test]
    fn unknown_names_on_either_side_are_named() {
        let error = parse("null = 'background'\nkimono = 'coat'", &["null"]).unwrap_err();
        assert!(error.contains("`kimono`"), "{error}");
        let error = parse("null = 'wallpaper'", &["null"]).unwrap_err();
        assert!(error.contains("`wallpaper`"), "{error}");
    }

    #[test]
    fn another_target_is_refused() {
        let target = Target::builtin("imaterialist").unwrap();
        let error = Mapping::parse("target = 'garments'\n[classes]", &[], &target).unwrap_err();
        assert!(error.contains("garments") && error.contains("imaterialist"), "{error}");
    }

    #[test]
    fn pixels_are_mapped_and_unknown_ones_ignored() {
        let mapping =
            parse("null = 'background'\njeans = 'pants'\nsuit = 'ignore'", &["null", "jeans", "suit"]).unwrap();
        let pants = Target::builtin("garments").unwrap().taxonomy.index_of("pants").unwrap() as u8;
        let label = LabelImage { width: 2, height: 2, data: vec![0, 1, 2, 77] };
        assert_eq!(mapping.apply(label).data, [0, pants, IGNORE, IGNORE]);
    }

    #[test]
    fn a_dataset_in_the_targets_own_classes_needs_no_file() {
        let target = Target::builtin("garments").unwrap();
        let mapping = Mapping::by_name(&names(&["background", "Pants"]), &target).unwrap();
        assert_eq!(mapping.fate(0), Some(Fate::Class(0)));
        assert!(Mapping::by_name(&names(&["wallpaper"]), &target).is_err());
    }
}
