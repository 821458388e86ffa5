//! Classes, their other names, their colours and the groups they form.

mod tables;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::error::{Error, Result};

/// One class of a segmentation: a row of a class table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Class {
    /// Name as the data set writes it, such as `shirt, blouse`.
    pub name: String,
    /// Other names that users know it by.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Colour in overlays and colour-coded labels, red, green, blue.
    pub color: [u8; 3],
    /// What the class is a part of; left out of JSON for garments.
    #[serde(default, skip_serializing_if = "ClassKind::is_garment")]
    pub kind: ClassKind,
    /// Fields of a description that this version does not know; kept as they are.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// What a class is a part of. Classes of persons keep hair from being taken for a hat; they are found like all others, but
/// they are no garments: not of group `garment`, not in scores of garments, and written only where they are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ClassKind {
    /// Something that is worn or carried; also the kind of the background.
    #[default]
    Garment,
    /// Hair, skin: the person in the garments.
    Person,
}

impl ClassKind {
    fn is_garment(&self) -> bool {
        *self == ClassKind::Garment
    }
}

impl Class {
    /// A class of garments without aliases.
    pub fn new(name: impl Into<String>, color: [u8; 3]) -> Self {
        Self { name: name.into(), aliases: Vec::new(), color, kind: ClassKind::Garment, extra: serde_json::Map::new() }
    }

    /// The same class of another kind.
    pub fn with_kind(self, kind: ClassKind) -> Self {
        Self { kind, ..self }
    }

    /// Adds names that users know the class by.
    pub fn with_aliases<S: Into<String>>(mut self, aliases: impl IntoIterator<Item = S>) -> Self {
        self.aliases.extend(aliases.into_iter().map(Into::into));
        self
    }
}

/// The classes of a model or data set in the order of their indices (0 = background), and named groups of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taxonomy {
    /// Classes in index order.
    pub classes: Vec<Class>,
    /// Group name to class names.
    #[serde(default)]
    pub groups: BTreeMap<String, Vec<String>>,
}

impl Taxonomy {
    /// Names of the taxonomies that [`Taxonomy::builtin`] knows.
    pub const BUILTIN: [&'static str; 2] = ["garments", "imaterialist"];

    /// A taxonomy of this crate.
    ///
    /// - `imaterialist`: the 46 classes and background of iMaterialist (Fashion) 2019, with the study's views of them
    ///   as groups: `study-17` and `garment` (everything but background, its '2 classes').
    /// - `garments`: 20 whole garments and background, the product's own classes; then `hair` and `skin` of kind
    ///   [`ClassKind::Person`], group `person`.
    pub fn builtin(name: &str) -> Option<Self> {
        match name {
            "garments" => Some(tables::garments()),
            "imaterialist" => Some(tables::imaterialist()),
            _ => None,
        }
    }

    /// Number of classes, background included.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there are no classes at all.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Indices of the garments: all classes but background and those of kind [`ClassKind::Person`].
    pub fn garments(&self) -> Vec<usize> {
        (1..self.len()).filter(|&class| self.is_garment(class)).collect()
    }

    /// Whether a class is a garment: not the background, and no part of a person.
    pub fn is_garment(&self, class: usize) -> bool {
        class > 0 && self.classes.get(class).is_some_and(|class| class.kind == ClassKind::Garment)
    }

    /// Index of the class with this name or alias. Case, spaces, hyphens and a plural `s` do not matter.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        let key = normalize(name);
        forms(&key).find_map(|form| {
            let is = |text: &String| normalize(text) == form;
            self.classes
                .iter()
                .position(|class| is(&class.name))
                .or_else(|| self.classes.iter().position(|class| class.aliases.iter().any(is)))
        })
    }

    /// Class indices of a class name, an alias or a group, in index order. `all` is every class but the background, unless
    /// there is a class or group of that name.
    ///
    /// # Errors
    /// [`Error::UnknownClass`] lists what there is and names the nearest.
    pub fn resolve(&self, name: &str) -> Result<Vec<usize>> {
        let key = normalize(name);
        if let Some(index) = self.index_of(name) {
            return Ok(vec![index]);
        }
        let group = forms(&key).find_map(|form| self.groups.iter().find(|(group, _)| normalize(group) == form));
        match group {
            Some((_, members)) => {
                let mut indices: Vec<usize> = members.iter().filter_map(|member| self.index_of(member)).collect();
                indices.sort_unstable();
                indices.dedup();
                Ok(indices)
            }
            None if key == ALL => Ok((1..self.len()).collect()),
            None => Err(self.unknown(name)),
        }
    }

    /// Class indices of several names, without repeats, in index order.
    ///
    /// # Errors
    /// As [`Taxonomy::resolve`], for the first name that is unknown.
    pub fn resolve_all<S: AsRef<str>>(&self, names: &[S]) -> Result<Vec<usize>> {
        let mut indices = Vec::new();
        for name in names {
            indices.extend(self.resolve(name.as_ref())?);
        }
        indices.sort_unstable();
        indices.dedup();
        Ok(indices)
    }

    /// Checks that the table can be used: 2 to 255 classes, no name or alias twice, groups made of known classes.
    ///
    /// # Errors
    /// [`Error::BadSpec`] names the first fault.
    pub fn validate(&self) -> Result<()> {
        let noun = if self.len() == 1 { "class" } else { "classes" };
        let fault = if (2..=255).contains(&self.len()) {
            self.name_fault().or_else(|| self.alias_fault()).or_else(|| self.group_fault())
        } else {
            Some(format!("{} {noun}; a label map holds 2 to 255", self.len()))
        };
        fault.map_or(Ok(()), |reason| Err(Error::BadSpec { reason }))
    }

    fn name_fault(&self) -> Option<String> {
        let mut seen: HashMap<String, usize> = HashMap::new();
        self.classes.iter().enumerate().find_map(|(index, Class { name, .. })| {
            let key = normalize(name);
            if key.is_empty() {
                return Some(match name.trim() {
                    "" => format!("class {index} has no name"),
                    _ => format!("the name of class {index}, '{name}', has neither a letter nor a digit"),
                });
            }
            let first = seen.insert(key, index)?;
            let other = &self.classes[first].name;
            Some(match other.to_lowercase() == name.to_lowercase() {
                true => format!("classes {first} and {index} are both named '{name}'"),
                false => format!("classes {first} and {index}, '{other}' and '{name}', differ in no letter or digit"),
            })
        })
    }

    /// An alias of two classes, of which nobody could say which one is meant. A name wins over an alias.
    fn alias_fault(&self) -> Option<String> {
        let names: HashSet<String> = self.classes.iter().map(|class| normalize(&class.name)).collect();
        let mut seen: HashMap<String, usize> = HashMap::new();
        self.classes.iter().enumerate().find_map(|(index, class)| {
            let mut keys = class.aliases.iter().map(|alias| (alias, normalize(alias)));
            keys.find_map(|(alias, key)| {
                let first = *seen.entry(key.clone()).or_insert(index);
                let is_shared = first != index && !key.is_empty() && !names.contains(&key);
                is_shared.then(|| {
                    let (one, other) = (&self.classes[first].name, &class.name);
                    format!("'{alias}' is an alias of two classes, '{one}' and '{other}'")
                })
            })
        })
    }

    fn group_fault(&self) -> Option<String> {
        self.groups.iter().find_map(|(group, members)| {
            if members.is_empty() {
                return Some(format!("group '{group}' has no classes"));
            }
            if let Some(member) = members.iter().find(|member| self.index_of(member).is_none()) {
                return Some(format!("group '{group}' names '{member}', which is no class"));
            }
            let class = self.classes.iter().position(|class| normalize(&class.name) == normalize(group))?;
            let is_other = members.iter().any(|member| self.index_of(member) != Some(class));
            is_other.then(|| format!("group '{group}' has the name of a class, and holds others"))
        })
    }

    fn unknown(&self, name: &str) -> Error {
        let key = normalize(name);
        let names = self.classes.iter().flat_map(|class| std::iter::once(&class.name).chain(&class.aliases));
        let nearest = names
            .chain(self.groups.keys())
            .flat_map(|known| known.split(',').map(move |part| (part, known)))
            .map(|(part, known)| (strsim::jaro_winkler(&key, &normalize(part)), known))
            .filter(|(similarity, _)| *similarity > 0.75)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, known)| known.clone());
        let known = self.classes.iter().map(|class| class.name.clone()).collect();
        Error::UnknownClass { name: name.to_owned(), nearest, known, groups: self.groups.keys().cloned().collect() }
    }
}

/// The word for all classes but the background.
const ALL: &str = "all";

/// Letters and digits in lower case, so that `T-Shirt`, `t shirt` and `tshirt` are one name. A letter with an accent is one however it
/// is written (NFC).
fn normalize(name: &str) -> String {
    name.nfc().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The name itself, then without a plural `s`, then with one.
fn forms(key: &str) -> impl Iterator<Item = String> {
    let singular = key.strip_suffix('s').filter(|rest| rest.len() > 2).map(str::to_owned);
    [Some(key.to_owned()), singular, Some(format!("{key}s"))].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_tables_are_valid_and_have_the_published_sizes() {
        for (name, classes) in [("imaterialist", 47), ("garments", 23)] {
            let taxonomy = Taxonomy::builtin(name).unwrap();
            taxonomy.validate().unwrap();
            assert_eq!(taxonomy.len(), classes, "{name}");
            assert_eq!(taxonomy.classes[0].name, "background");
        }
        assert_eq!(Taxonomy::builtin("imaterialist").unwrap().resolve("study-17").unwrap().len(), 17);
        assert_eq!(Taxonomy::builtin("imaterialist").unwrap().resolve("garment").unwrap().len(), 46);
    }

    #[test]
    fn persons_are_classes_but_no_garments() {
        let taxonomy = Taxonomy::builtin("garments").unwrap();
        let names = |classes: Vec<usize>| -> Vec<&str> {
            classes.into_iter().map(|class| taxonomy.classes[class].name.as_str()).collect()
        };
        assert_eq!(names(taxonomy.resolve("person").unwrap()), ["hair", "skin"]);
        assert_eq!(taxonomy.resolve("All").unwrap(), (1..23).collect::<Vec<_>>());
        assert_eq!(taxonomy.garments(), (1..21).collect::<Vec<_>>());
        assert_eq!(taxonomy.resolve("garment").unwrap(), taxonomy.garments());
        assert!(!taxonomy.is_garment(0) && !taxonomy.is_garment(99));
        let json = serde_json::to_value(&taxonomy.classes).unwrap();
        assert_eq!((&json[22]["kind"], json[1].get("kind")), (&"person".into(), None));
        let back: Vec<Class> = serde_json::from_value(json).unwrap();
        assert_eq!(back, taxonomy.classes);
    }

    #[test]
    fn names_aliases_case_plural_and_hyphens_find_the_class() {
        let taxonomy = Taxonomy::builtin("garments").unwrap();
        let pants = taxonomy.index_of("pants");
        for name in ["Pants", "trousers", "pant", " JEANS "] {
            assert_eq!(taxonomy.index_of(name), pants, "{name}");
        }
        assert_eq!(taxonomy.index_of("T Shirt"), taxonomy.index_of("top"));
        assert_eq!(taxonomy.index_of("shirts"), taxonomy.index_of("blouse"));
    }

    #[test]
    fn a_class_name_wins_over_an_alias_of_an_earlier_class() {
        let classes = vec![Class::new("top", [0; 3]).with_aliases(["shirt"]), Class::new("shirt", [1; 3])];
        let taxonomy = Taxonomy { classes, groups: BTreeMap::new() };
        assert_eq!(taxonomy.index_of("shirt"), Some(1));
    }

    #[test]
    fn an_unknown_name_lists_what_there_is_and_the_nearest() {
        let error = Taxonomy::builtin("garments").unwrap().resolve("pnats").unwrap_err();
        let Error::UnknownClass { nearest, known, .. } = &error else { panic!("{error}") };
        assert_eq!(nearest.as_deref(), Some("pants"));
        assert!(known.iter().any(|name| name == "skirt"));
        assert!(error.to_string().contains("did you mean 'pants'"));
    }

    #[test]
    fn groups_resolve_to_their_members_in_index_order() {
        let taxonomy = Taxonomy::builtin("garments").unwrap();
        let lower = taxonomy.resolve("lower").unwrap();
        let names: Vec<_> = lower.iter().map(|&index| taxonomy.classes[index].name.as_str()).collect();
        assert_eq!(names, ["skirt", "pants", "shorts", "tights"]);
        assert_eq!(taxonomy.resolve_all(&["pants", "lower", "trousers"]).unwrap(), lower);
    }

    #[test]
    fn a_table_with_a_fault_is_refused_by_name() {
        let mut taxonomy = Taxonomy::builtin("garments").unwrap();
        taxonomy.groups.insert("odd".into(), vec!["spacesuit".into()]);
        assert!(taxonomy.validate().unwrap_err().to_string().contains("spacesuit"));
        taxonomy.groups.clear();
        taxonomy.classes[2].name = "Shirt".into();
        assert!(taxonomy.validate().unwrap_err().to_string().contains("both named"));
        let refused = |names: [&str; 2], aliases: [&str; 2], group: &[&str]| {
            let class = |at: usize| Class::new(names[at], [0; 3]).with_aliases([aliases[at]]);
            let groups = BTreeMap::from([("warm".to_owned(), group.iter().map(|name| (*name).to_owned()).collect())]);
            Taxonomy { classes: vec![class(0), class(1)], groups }.validate().unwrap_err().to_string()
        };
        assert!(refused(["a/b", "a:b"], ["c", "d"], &["c"]).contains("'a/b' and 'a:b', differ in no letter"));
        assert!(refused(["a", "\u{1f457}"], ["c", "d"], &["c"]).contains("has neither a letter nor a digit"));
        assert!(refused(["a", "b"], ["c", "C"], &["c"]).contains("an alias of two classes, 'a' and 'b'"));
        assert!(refused(["a", "b"], ["c", "d"], &[]).contains("group 'warm' has no classes"));
        assert!(refused(["a", "Warm"], ["c", "d"], &["a"]).contains("has the name of a class"));
    }

    #[test]
    fn an_accent_is_the_same_however_it_is_written() {
        let classes = vec![Class::new("background", [0; 3]), Class::new("Gu\u{308}rtel", [1; 3])];
        let taxonomy = Taxonomy { classes, groups: BTreeMap::new() };
        assert_eq!(taxonomy.index_of("g\u{fc}rtel"), Some(1));
    }
}
