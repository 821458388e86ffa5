//! The key `taxonomy`: a built-in one by its name, classes of one's own in the config, or a file of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clothseg::{Class, ClassKind, Taxonomy};
use serde::{Deserialize, Deserializer, Serialize};
use serde_untagged::UntaggedEnumVisitor;

use crate::classes::colors::{ClassTable, class_color};
use crate::classes::{Target, same_name, yaml};
use crate::error::{Error, Result};
use crate::text::read_text;

/// Names that data sets give the background.
const BACKGROUND_NAMES: [&str; 5] = ["background", "_background_", "__background__", "bg", "null"];

/// The classes that a network learns. In a config that has been opened they are a built-in taxonomy's name or
/// [`TaxonomyConfig::Own`] with all that can be left out filled in, so that a copy of the config needs no other file.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
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
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
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
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Color {
    Levels([u8; 3]),
    Hex(String),
}

/// Words of mapping files that can be no names, and what they mean there.
const RESERVED: [(&str, &str); 2] =
    [("ignore", "pixels that count nowhere"), ("merge", "a part that goes to the garment around it")];

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
        taxonomy.validate().map_err(|error| match error {
            clothseg::Error::BadSpec { reason } => reason,
            other => other.to_string(),
        })?;
        let is_class = |name: &str| taxonomy.classes.iter().position(|class| same_name(&class.name, name));
        for (word, meaning) in RESERVED {
            if let Some(at) = is_class(word) {
                return Err(format!("class {at} is called `{word}`, a word by which mapping files mean {meaning}"));
            }
            if taxonomy.groups.keys().any(|group| same_name(group, word)) {
                return Err(format!("a group is called `{word}`, a word by which mapping files mean {meaning}"));
            }
        }
        if let Some(group) = taxonomy.groups.keys().find(|group| is_class(group).is_some()) {
            return Err(format!("`{group}` is the name of a class and of a group"));
        }
        for (index, class) in taxonomy.classes.iter().enumerate() {
            let is_other = |alias: &&String| is_class(alias).is_some_and(|other| other != index);
            if let Some(alias) = class.aliases.iter().find(is_other) {
                return Err(format!("`{alias}` is the name of a class and an alias of `{}`", class.name));
            }
        }
        Ok(Target { name: self.name.unwrap_or_else(|| "own".to_owned()), taxonomy })
    }
}

// Not derived as `untagged`, which would say of a slip deep inside only that nothing matched.
impl<'de> Deserialize<'de> for TaxonomyConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        UntaggedEnumVisitor::new()
            .expecting(
                "garments, imaterialist, the name of a file, a list of classes, or a table with the list `classes` and, where \
                 wanted, `groups` and `name`",
            )
            .string(|name| Ok(Self::Named(name.to_owned())))
            .seq(|classes| classes.deserialize().map(Self::List))
            .map(|table| table.deserialize().map(Self::Own))
            .deserialize(deserializer)
    }
}

impl<'de> Deserialize<'de> for ClassConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        UntaggedEnumVisitor::new()
            .expecting("the name of a class, or a table of name, aliases, color and kind")
            .string(|name| Ok(Self::Name(name.to_owned())))
            .map(|table| table.deserialize().map(Self::Class))
            .deserialize(deserializer)
    }
}

impl<'de> Deserialize<'de> for Color {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        UntaggedEnumVisitor::new()
            .expecting("a colour: [red, green, blue] of 0 to 255, or \"#rrggbb\"")
            .string(|text| Ok(Self::Hex(text.to_owned())))
            .seq(|levels| levels.deserialize().map(Self::Levels))
            .deserialize(deserializer)
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
mod tests;
