//! The key `taxonomy`: a built-in one by its name, classes of one's own in the config, or a file of them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use clothseg::{Class, ClassKind, Taxonomy};
use serde::{Deserialize, Serialize};

use crate::data::colors::{ClassTable, class_color};
use crate::data::text::read_text;
use crate::data::{Target, yaml};
use crate::error::{Error, Result};

/// Names that data sets give the background.
const BACKGROUND_NAMES: [&str; 5] = ["background", "_background_", "__background__", "bg", "null"];

/// The classes that a network learns. In a config that has been opened they are a built-in taxonomy's name or
/// [`TaxonomyConfig::Own`] with all that can be left out filled in, so that a copy of the config needs no other file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "must be garments, imaterialist, the name of a file, a list of classes, or a table with the list `classes` and, \
                 where wanted, `groups` and `name`; a class is its name, or a table of name, aliases, color and kind"
)]
pub enum TaxonomyConfig {
    /// A built-in taxonomy, or a file, relative to the config.
    Named(String),
    /// Classes.
    List(Vec<ClassConfig>),
    /// Classes and groups.
    Own(OwnTaxonomy),
}

/// Classes of one's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnTaxonomy {
    /// The name that mapping files call it by (`target`): without one, the file's, or `own`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The classes by their indices. The background is added in front where it is left out.
    classes: Vec<ClassConfig>,
    /// Names for several classes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    groups: BTreeMap<String, Vec<String>>,
}

/// A class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "must be the name of a class, or a table of name, aliases, color and kind")]
pub enum ClassConfig {
    /// Its name.
    Name(String),
    /// All of it.
    Class(ClassFacts),
}

impl ClassConfig {
    fn name(&self) -> &str {
        let (Self::Name(name) | Self::Class(ClassFacts { name, .. })) = self;
        name
    }
}

/// What can be said of a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassFacts {
    name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    #[serde(default, alias = "colour", skip_serializing_if = "Option::is_none")]
    color: Option<Color>,
    #[serde(default)]
    kind: ClassKind,
}

/// A colour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "must be a colour: [red, green, blue] of 0 to 255, or \"#rrggbb\"")]
enum Color {
    Levels([u8; 3]),
    Hex(String),
}

impl TaxonomyConfig {
    /// Reads the file, where there is one, and fills in what was left out. `folder` is that of the config.
    ///
    /// # Errors
    /// As a sentence, where no taxonomy can be made of it.
    pub(super) fn resolved(self, folder: &Path) -> std::result::Result<Self, String> {
        let own = match self {
            Self::Named(name) if Taxonomy::BUILTIN.contains(&name.as_str()) => return Ok(Self::Named(name)),
            Self::Named(name) => {
                let path = folder.join(&name);
                if !path.is_file() {
                    let known = Taxonomy::BUILTIN.join(" and ");
                    return Err(format!(
                        "there is no taxonomy `{name}`: {known} are built in, and {} is no file",
                        path.display()
                    ));
                }
                let read = read_file(&path).and_then(|own| own.completed().map_err(|cause| Error::file(&path, cause)));
                return read.map(Self::Own).map_err(|error| error.chain());
            }
            Self::List(classes) => OwnTaxonomy { name: None, classes, groups: BTreeMap::new() },
            Self::Own(own) => own,
        };
        own.completed().map(Self::Own)
    }

    /// The classes of the data where they are none of those of a built-in taxonomy: `tables` are the class tables of all data.
    /// Otherwise the same; whatever cannot be read is left to those who read the data.
    pub(super) fn or_of_data(self, tables: &[PathBuf]) -> Self {
        let Self::Named(name) = &self else { return self };
        let (Some(target), [first, others @ ..]) = (Target::builtin(name), tables) else { return self };
        let Ok(own) = read_file(first).and_then(|own| own.completed().map_err(|cause| Error::file(first, cause)))
        else {
            return self;
        };
        let names =
            |own: &OwnTaxonomy| -> Vec<String> { own.classes.iter().map(|class| class.name().to_owned()).collect() };
        let is_same = |table: &PathBuf| {
            let other = read_file(table).ok().and_then(|other| other.completed().ok());
            other.is_some_and(|other| names(&other) == names(&own))
        };
        let is_known = |class: &ClassConfig| target.taxonomy.index_of(class.name()).is_some();
        let garments = &own.classes[1..];
        if garments.is_empty() || garments.iter().any(is_known) || !others.iter().all(is_same) {
            return self;
        }
        tracing::warn!(
            "none of the classes in {0} is in `{name}`; the classes of {0} are trained instead, as with taxonomy = \"{0}\"",
            first.display()
        );
        Self::Own(own)
    }

    /// The classes, in a config that has been opened.
    ///
    /// # Errors
    /// As a sentence, where no taxonomy can be made of it.
    pub fn target(&self) -> std::result::Result<Target, String> {
        match self.clone().resolved(Path::new(""))? {
            Self::Named(name) => Target::builtin(&name).ok_or_else(|| format!("there is no taxonomy `{name}`")),
            Self::List(classes) => OwnTaxonomy { name: None, classes, groups: BTreeMap::new() }.target(),
            Self::Own(own) => own.target(),
        }
    }
}

impl From<&str> for TaxonomyConfig {
    fn from(name: &str) -> Self {
        Self::Named(name.to_owned())
    }
}

impl OwnTaxonomy {
    /// The same with background, colours and name.
    fn completed(self) -> std::result::Result<Self, String> {
        let facts = |class| match class {
            ClassConfig::Name(name) => {
                ClassFacts { name, aliases: Vec::new(), color: None, kind: ClassKind::default() }
            }
            ClassConfig::Class(facts) => facts,
        };
        let mut classes: Vec<ClassFacts> = self.classes.into_iter().map(facts).collect();
        let is_background =
            |class: &ClassFacts| BACKGROUND_NAMES.iter().any(|name| class.name.trim().eq_ignore_ascii_case(name));
        match classes.iter().position(is_background) {
            Some(0) => {}
            Some(at) => {
                let name = &classes[at].name;
                return Err(format!("the class `{name}` is number {at}, and the background must be the first"));
            }
            None => {
                let background = ClassConfig::Name("background".to_owned());
                classes.insert(0, facts(background));
            }
        }
        let aliases = BACKGROUND_NAMES.map(str::to_owned).into_iter();
        let own = &classes[0];
        let more: Vec<String> = aliases.filter(|name| *name != own.name && !own.aliases.contains(name)).collect();
        classes[0].aliases.extend(more);
        for (index, class) in classes.iter_mut().enumerate() {
            class.name = class.name.trim().to_owned();
            let color = match &class.color {
                Some(color) => {
                    color.levels().ok_or_else(|| format!("the colour of `{}` is not #rrggbb", class.name))?
                }
                // At most 255 are checked below.
                None => class_color(u8::try_from(index).unwrap_or(u8::MAX)),
            };
            class.color = Some(Color::Levels(color));
        }
        let name = Some(self.name.unwrap_or_else(|| "own".to_owned()));
        let completed =
            Self { name, classes: classes.into_iter().map(ClassConfig::Class).collect(), groups: self.groups };
        completed.clone().target()?;
        Ok(completed)
    }

    fn target(self) -> std::result::Result<Target, String> {
        let class = |class| match class {
            ClassConfig::Name(name) => Class::new(name, [0; 3]),
            ClassConfig::Class(ClassFacts { name, aliases, color, kind }) => {
                let color = color.and_then(|color| color.levels()).unwrap_or_default();
                Class::new(name, color).with_aliases(aliases).with_kind(kind)
            }
        };
        let taxonomy = Taxonomy { classes: self.classes.into_iter().map(class).collect(), groups: self.groups };
        taxonomy.validate().map_err(|error| error.to_string())?;
        let mut owner = HashMap::new();
        for class in &taxonomy.classes {
            for alias in &class.aliases {
                if let Some(other) = owner.insert(alias.to_lowercase(), &class.name)
                    && *other != class.name
                {
                    return Err(format!("`{alias}` is an alias of both `{other}` and `{}`", class.name));
                }
            }
        }
        Ok(Target { name: self.name.unwrap_or_else(|| "own".to_owned()), taxonomy })
    }
}

impl Color {
    fn levels(&self) -> Option<[u8; 3]> {
        match self {
            Color::Levels(levels) => Some(*levels),
            Color::Hex(text) => {
                let digits = text.trim().strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
                let number = u32::from_str_radix(digits, 16).ok()?;
                let [_, red, green, blue] = number.to_be_bytes();
                Some([red, green, blue])
            }
        }
    }
}

/// Reads a file of classes by its extension: TOML or JSON as in a config, a class table in CSV, names in YAML as Ultralytics
/// writes them, or a name a line.
fn read_file(path: &Path) -> Result<OwnTaxonomy> {
    let fail = |cause: String| Error::file(path, cause);
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase();
    let named = |classes| OwnTaxonomy { name: None, classes, groups: BTreeMap::new() };
    let own = match extension.as_str() {
        "toml" => toml::from_str(&read_text(path)?).map_err(|error| fail(error.to_string()))?,
        "json" => match serde_json::from_str(&read_text(path)?).map_err(|error| fail(error.to_string()))? {
            TaxonomyConfig::Own(own) => own,
            TaxonomyConfig::List(classes) => named(classes),
            TaxonomyConfig::Named(_) => return Err(fail("is a text; a list of classes was expected".to_owned())),
        },
        "csv" => {
            let ClassTable { names, colors } = ClassTable::open(path)?;
            let color = |index: usize| {
                let colors = colors.as_ref()?;
                colors.of(u8::try_from(index).ok()?).map(Color::Levels)
            };
            let class = |(index, name)| {
                let color = color(index);
                ClassConfig::Class(ClassFacts { name, aliases: Vec::new(), color, kind: ClassKind::default() })
            };
            named(names.into_iter().enumerate().map(class).collect())
        }
        "yaml" | "yml" => named(yaml::names(path)?.into_iter().map(ClassConfig::Name).collect()),
        "txt" => {
            let text = read_text(path)?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            named(lines.map(|line| ClassConfig::Name(line.to_owned())).collect())
        }
        _ => {
            let cause = "is no file of classes: .toml and .json hold what a config may hold, .csv a class table, .yaml `names`, \
                         and .txt a name a line";
            return Err(fail(cause.to_owned()));
        }
    };
    let stem = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
    Ok(OwnTaxonomy { name: own.name.clone().or(stem), ..own })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn inline(toml: &str) -> std::result::Result<Target, String> {
        let table: toml::Table = toml::from_str(toml).unwrap();
        let config: TaxonomyConfig =
            table["taxonomy"].clone().try_into().map_err(|error: toml::de::Error| error.to_string())?;
        config.resolved(Path::new(""))?.target()
    }

    fn names(target: &Target) -> Vec<&str> {
        target.taxonomy.classes.iter().map(|class| class.name.as_str()).collect()
    }

    #[test]
    fn a_list_of_names_gets_a_background_and_colours_that_differ() {
        let target = inline("taxonomy = ['sari', 'dupatta']").unwrap();
        assert_eq!((names(&target), target.name.as_str()), (vec!["background", "sari", "dupatta"], "own"));
        assert_eq!(target.taxonomy.classes[2].color, [0, 128, 0]);
        assert_eq!(target.taxonomy.index_of("null"), Some(0));
        assert_eq!(names(&inline("taxonomy = ['Background', 'sari']").unwrap()), ["Background", "sari"]);
    }

    #[test]
    fn a_table_says_all_of_a_class() {
        let target = inline(
            "[taxonomy]\nname = 'india'\nclasses = ['bg', { name = 'sari', aliases = ['saree'], color = '#ff8000' },\
             { name = 'hair', colour = [1, 2, 3], kind = 'person' }]\n[taxonomy.groups]\nall = ['sari']\n",
        )
        .unwrap();
        assert_eq!((names(&target), target.name.as_str()), (vec!["bg", "sari", "hair"], "india"));
        let [_, sari, hair] = &target.taxonomy.classes[..] else { panic!() };
        assert_eq!((sari.color, hair.color), ([255, 128, 0], [1, 2, 3]));
        assert_eq!(
            (target.taxonomy.resolve("saree").unwrap(), target.taxonomy.resolve("all").unwrap()),
            (vec![1], vec![1])
        );
        assert_eq!(target.taxonomy.garments(), [1]);
    }

    #[test]
    fn classes_that_no_taxonomy_can_have_are_refused() {
        let many = |count: usize| {
            let list = (0..count).map(|index| format!("'c{index}'")).collect::<Vec<_>>().join(",");
            inline(&format!("taxonomy = [{list}]"))
        };
        assert_eq!(many(254).unwrap().classes(), 255);
        for (refused, expected) in [
            (many(255).map(|_| ()), "256 classes"),
            (many(0).map(|_| ()), "1 classes"),
            (inline("taxonomy = ['sari', 'background']").map(|_| ()), "must be the first"),
            (inline("taxonomy = ['sari', 'Sari']").map(|_| ()), "both named"),
            (inline("taxonomy = [{ name = 'sari', color = 'red' }]").map(|_| ()), "#rrggbb"),
            (inline("taxonomy = [{ name = 'sari', size = 3 }]").map(|_| ()), "list of classes"),
            (
                inline("taxonomy = [{ name = 'a', aliases = ['c'] }, { name = 'b', aliases = ['C'] }]").map(|_| ()),
                "alias of both",
            ),
            (inline("taxonomy = { classes = ['a'], groups = { g = ['z'] } }").map(|_| ()), "'z'"),
            (inline("taxonomy = 'cars'").map(|_| ()), "garments and imaterialist"),
        ] {
            assert!(refused.as_ref().unwrap_err().contains(expected), "{refused:?} {expected}");
        }
    }

    #[test]
    fn files_of_all_kinds_hold_classes() {
        let root = tempfile::tempdir().unwrap();
        let table = "Name;R;G;B\r\nbackground;0;0;0\r\nsari;255;0;0\r\n";
        for (name, text, color) in [
            ("a.toml", "classes = ['sari']", [128, 0, 0]),
            ("b.json", "{\"classes\": [{\"name\": \"sari\", \"color\": [255, 0, 0]}]}", [255, 0, 0]),
            ("c.json", "[\"background\", \"sari\"]", [128, 0, 0]),
            ("d.csv", table, [255, 0, 0]),
            ("e.txt", "\u{feff}sari\r\n\r\n", [128, 0, 0]),
            ("f.yaml", "names:\n  0: sari\n", [128, 0, 0]),
        ] {
            std::fs::write(root.path().join(name), text).unwrap();
            let resolved = TaxonomyConfig::from(name).resolved(root.path()).unwrap();
            let target = resolved.target().unwrap();
            assert_eq!(names(&target), ["background", "sari"], "{name}");
            assert_eq!((target.taxonomy.classes[1].color, target.name.as_str()), (color, &name[..1]), "{name}");
            assert_eq!(resolved.clone().resolved(Path::new("elsewhere")).unwrap(), resolved);
        }
        std::fs::write(root.path().join("g.toml"), "classes = 3").unwrap();
        assert!(TaxonomyConfig::from("g.toml").resolved(root.path()).unwrap_err().contains("g.toml"));
        std::fs::write(root.path().join("h.png"), "").unwrap();
        assert!(TaxonomyConfig::from("h.png").resolved(root.path()).unwrap_err().contains(".toml and .json"));
    }

    #[test]
    fn data_of_other_classes_bring_them() {
        let root = tempfile::tempdir().unwrap();
        let table = |name: &str, text: &str| {
            let path = root.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let own = table("own.csv", "name,r,g,b\nbackground,0,0,0\nsari,255,0,0\n");
        let same = table("same.csv", "name,r,g,b\nbackground,0,0,0\nsari,255,0,0\n");
        let other = table("other.csv", "name,r,g,b\nbackground,0,0,0\nlehenga,255,0,0\n");
        let mixed = table("mixed.csv", "name,r,g,b\nbackground,0,0,0\nsari,255,0,0\npants,0,255,0\n");
        let plain = table("plain.csv", "name\nbackground\nsari\n");
        let garments = TaxonomyConfig::from("garments");
        let found = garments.clone().or_of_data(&[own.clone(), same, plain]).target().unwrap();
        assert_eq!((names(&found), found.taxonomy.classes[1].color), (vec!["background", "sari"], [255, 0, 0]));
        // One class that is known: a slip of the pen is more likely than another taxonomy. And two tables are no taxonomy.
        for tables in [vec![mixed], vec![own.clone(), other], vec![], vec![root.path().join("absent.csv")]] {
            assert_eq!(garments.clone().or_of_data(&tables), garments);
        }
        let list = TaxonomyConfig::List(vec![ClassConfig::Name("dhoti".to_owned())]);
        assert_eq!(list.clone().or_of_data(&[own]), list);
    }
}
