//! From a dataset's classes to those of a taxonomy, by a TOML file:
//!
//! ```toml
//! target = "garments"
//! [classes]
//! "null" = "background"
//! "jeans" = "pants"
//! "suit" = "ignore"    # pixels count nowhere
//! "sleeve" = "merge"   # a part: goes to the garment that it shares the longest border with
//! "outwear" = ["jacket", "coat"]   # one of these; a group's name, such as "upper", is any of its classes
//! ```
//!
//! Capitals do not matter, unless the file or the dataset has names that differ in nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::{IGNORE, LabelImage, LabelSets, Target, parts};
use crate::classes::same_name;
use crate::error::{Error, Result};
use crate::text::read_text;

/// What one source class is mapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MappedTo {
    /// This label: a class of the target, or one of several (see [`LabelSets`]).
    Label(u8),
    /// Its pixels count nowhere.
    Ignore,
    /// It is a part of the garment that it touches most.
    Merge,
}

/// A mapping: a target for each source index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    targets: Vec<MappedTo>,
    /// Labels of which all possible classes are garments, to which parts can belong.
    garments: [bool; 256],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MappingFile {
    target: String,
    classes: BTreeMap<String, Names>,
}

/// A name, or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be the name of a class or group, or a list of such names")]
enum Names {
    One(String),
    Several(Vec<String>),
}

impl MappingFile {
    /// For each class of the source the key that maps it: its own name, or the only one that is the same but for capitals.
    fn keys_of(&self, source: &[String]) -> std::result::Result<Vec<Option<&str>>, String> {
        let key = |name: &String| {
            if let Some((key, _)) = self.classes.get_key_value(name) {
                return Ok(Some(key.as_str()));
            }
            let mut alike = self.classes.keys().filter(|key| same_name(key, name));
            match (alike.next(), alike.next()) {
                (Some(one), Some(other)) => {
                    Err(format!("maps `{name}` as `{one}` and as `{other}`; write it as the dataset does, once"))
                }
                (one, _) => Ok(one.map(String::as_str)),
            }
        };
        source.iter().map(key).collect()
    }
}

impl Mapping {
    /// Reads `path` for a dataset with the classes `source`, towards `target`. Sets of classes that it names are added to
    /// `sets`.
    pub fn open(path: &Path, source: &[String], target: &Target, sets: &mut LabelSets) -> Result<Self> {
        let text = read_text(path)?;
        Self::parse(&text, source, target, sets).map_err(|cause| Error::file(path, cause))
    }

    /// The names of a data set's classes that the mapping file at `path` maps, in order.
    pub fn names(path: &Path) -> Result<Vec<String>> {
        let text = read_text(path)?;
        let file: MappingFile = toml::from_str(&text).map_err(|error| Error::file(path, error.to_string()))?;
        Ok(file.classes.into_keys().collect())
    }

    /// The taxonomy that the mapping file at `path` maps to.
    pub fn target_name(path: &Path) -> Result<String> {
        let file: MappingFile =
            toml::from_str(&read_text(path)?).map_err(|error| Error::file(path, error.to_string()))?;
        Ok(file.target)
    }

    /// Reads the text of a mapping file.
    pub fn parse(
        text: &str,
        source: &[String],
        target: &Target,
        sets: &mut LabelSets,
    ) -> std::result::Result<Self, String> {
        let file: MappingFile = toml::from_str(text).map_err(|error| error.to_string())?;
        if !same_name(&file.target, &target.name) {
            return Err(format!("maps to taxonomy `{}`, and `{}` is asked for", file.target, target.name));
        }
        let keys = file.keys_of(source)?;
        if let Some(unknown) = file.classes.keys().find(|name| !keys.contains(&Some(name.as_str()))) {
            return Err(format!("maps `{unknown}`, which the dataset does not have"));
        }
        let mut targets = Vec::with_capacity(source.len());
        for (name, key) in source.iter().zip(keys) {
            let Some(to) = key.and_then(|key| file.classes.get(key)) else {
                return Err(format!(
                    "does not say what becomes of `{name}`; add it to [classes] with a class or group of `{}` or a list \
                     of them, \"ignore\" or \"merge\"",
                    target.name
                ));
            };
            targets.push(match to {
                Names::One(word) if same_name(word, "ignore") => MappedTo::Ignore,
                Names::One(word) if same_name(word, "merge") => MappedTo::Merge,
                Names::One(class) => label(name, std::slice::from_ref(class), target, sets)?,
                Names::Several(classes) => label(name, classes, target, sets)?,
            });
        }
        Ok(Self::new(targets, target, sets))
    }

    /// The mapping of a dataset whose classes are the target's, by name or alias. Of `unused` indices there is no label, and
    /// their names do not matter.
    pub fn by_name(source: &[String], unused: &BTreeSet<u8>, target: &Target) -> std::result::Result<Self, String> {
        let class = |(index, name): (u8, &String)| match target
            .taxonomy
            .index_of(name)
            .and_then(|index| u8::try_from(index).ok())
        {
            Some(class) if class != IGNORE => Ok(MappedTo::Label(class)),
            _ if unused.contains(&index) => Ok(MappedTo::Ignore),
            _ => Err(format!(
                "`{name}` is no class of `{}`; write a mapping file for this dataset, or a taxonomy of your own",
                target.name
            )),
        };
        let targets = (0..=u8::MAX).zip(source).map(class).collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(Self::new(targets, target, &LabelSets::from(target.classes())))
    }

    fn new(targets: Vec<MappedTo>, target: &Target, sets: &LabelSets) -> Self {
        let are_garments = |label: usize| {
            let members = sets.members(label as u8);
            !members.is_empty() && members.iter().all(|class| target.taxonomy.is_garment(usize::from(*class)))
        };
        Self { targets, garments: std::array::from_fn(are_garments) }
    }

    /// Number of source classes.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there is no source class.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// What a source index is mapped to; [`None`] where the dataset has no such class.
    pub fn target(&self, index: u8) -> Option<MappedTo> {
        self.targets.get(usize::from(index)).copied()
    }

    /// Whether a part can belong to areas of a label: they are certainly a garment.
    pub(super) fn takes_parts(&self, label: u8) -> bool {
        self.garments[usize::from(label)]
    }

    /// The label in target classes, sets of them and [`IGNORE`]. Indices that the dataset does not have are ignored.
    pub fn apply(&self, mut source: LabelImage) -> LabelImage {
        if self.targets.contains(&MappedTo::Merge) {
            return parts::merge(&source, self);
        }
        for pixel in &mut source.data {
            *pixel = match self.target(*pixel) {
                Some(MappedTo::Label(label)) => label,
                _ => IGNORE,
            };
        }
        source
    }
}

/// The label of any class that `to` names.
fn label(name: &str, to: &[String], target: &Target, sets: &mut LabelSets) -> std::result::Result<MappedTo, String> {
    let mut members = Vec::new();
    for to in to {
        let classes = target.taxonomy.resolve(to).ok().filter(|classes| !classes.is_empty());
        let classes = classes
            .ok_or_else(|| format!("maps `{name}` to `{to}`, which is no class or group of `{}`", target.name))?;
        members.extend(classes.into_iter().filter_map(|class| u8::try_from(class).ok()));
    }
    if members.is_empty() {
        return Err(format!("maps `{name}` to an empty list; write \"ignore\" for pixels that count nowhere"));
    }
    match sets.label(members)? {
        IGNORE => Ok(MappedTo::Ignore),
        label => Ok(MappedTo::Label(label)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn parse_into(classes: &str, source: &[&str], sets: &mut LabelSets) -> std::result::Result<Mapping, String> {
        let target = Target::builtin("garments").unwrap();
        Mapping::parse(&format!("target = \"garments\"\n[classes]\n{classes}"), &names(source), &target, sets)
    }

    fn parse(classes: &str, source: &[&str]) -> std::result::Result<Mapping, String> {
        parse_into(classes, source, &mut LabelSets::from(Target::builtin("garments").unwrap().classes()))
    }

    #[test]
    fn a_class_that_is_not_mapped_is_named() {
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
    fn capitals_do_not_matter_where_one_name_is_meant() {
        let target = Target::builtin("garments").unwrap();
        let pants = target.taxonomy.index_of("pants").unwrap() as u8;
        let text = "target = 'Garments'\n[classes]\nBackground = 'BACKGROUND'\nDUPATTA = 'Ignore'\njeans = 'Pants'\nSleeve = 'MERGE'";
        let source = names(&["background", "dupatta", "Jeans", "sleeve"]);
        let mapping = Mapping::parse(text, &source, &target, &mut LabelSets::from(target.classes())).unwrap();
        let targets: Vec<_> = (0..4).map(|index| mapping.target(index).unwrap()).collect();
        assert_eq!(targets, [MappedTo::Label(0), MappedTo::Ignore, MappedTo::Label(pants), MappedTo::Merge]);
        // Names that differ in capitals alone keep their own meaning.
        let two = parse("hat = 'hat'\nHat = 'ignore'", &["hat", "Hat"]).unwrap();
        assert!(two.target(1) == Some(MappedTo::Ignore) && two.target(0) != two.target(1));
        assert!(parse("hat = 'hat'\nHat = 'ignore'", &["HAT"]).unwrap_err().contains("as `Hat` and as `hat`"));
        assert!(parse("hat = 'hat'\nHat = 'ignore'", &["hat"]).unwrap_err().contains("maps `Hat`, which"));
    }

    #[test]
    fn another_target_is_refused() {
        let target = Target::builtin("imaterialist").unwrap();
        let error =
            Mapping::parse("target = 'garments'\n[classes]", &[], &target, &mut LabelSets::from(47)).unwrap_err();
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
        let mapping = Mapping::by_name(&names(&["background", "Pants"]), &BTreeSet::new(), &target).unwrap();
        assert_eq!(mapping.target(0), Some(MappedTo::Label(0)));
        assert!(Mapping::by_name(&names(&["wallpaper"]), &BTreeSet::new(), &target).is_err());
        let mapping = Mapping::by_name(&names(&["background", "garments"]), &BTreeSet::from([1]), &target).unwrap();
        assert_eq!(mapping.target(1), Some(MappedTo::Ignore));
    }

    #[test]
    fn a_list_or_a_group_is_any_of_its_classes() {
        let taxonomy = Target::builtin("garments").unwrap().taxonomy;
        let class = |name: &str| taxonomy.index_of(name).unwrap() as u8;
        let mut sets = LabelSets::from(taxonomy.len());
        let text =
            "bg = ['background', 'person']\nouter = ['jacket', 'coat']\nlow = 'lower'\nwear = ['coat', 'blazer']";
        let mapping = parse_into(text, &["bg", "outer", "low", "wear"], &mut sets).unwrap();
        let first = taxonomy.len() as u8;
        let label = LabelImage { width: 4, height: 1, data: vec![0, 1, 2, 3] };
        assert_eq!(mapping.apply(label).data, [first, first + 1, first + 2, first + 1]);
        assert_eq!(sets.members(first), [0, class("hair"), class("skin")]);
        assert_eq!(sets.members(first + 2).len(), 4);
        assert!(mapping.takes_parts(class("coat")) && mapping.takes_parts(first + 1));
        assert!(![0, class("hair"), first, IGNORE].into_iter().any(|label| mapping.takes_parts(label)));
        assert!(parse("x = ['jacket', 'kimono']", &["x"]).unwrap_err().contains("`kimono`"));
        assert!(parse("x = []", &["x"]).unwrap_err().contains("empty"));
        assert!(parse("x = 3", &["x"]).unwrap_err().contains("list of such names"));
        // Anything at all says nothing.
        assert_eq!(parse("x = ['background', 'garment', 'person']", &["x"]).unwrap().target(0), Some(MappedTo::Ignore));
    }
}
