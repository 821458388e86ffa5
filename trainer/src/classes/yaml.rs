//! The file `data.yaml` of Ultralytics' data sets: names of classes, and folders of splits.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use serde_untagged::UntaggedEnumVisitor;

use super::IGNORE;
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::text::read_text;

/// What is used of a `data.yaml`.
#[derive(Debug, Default, Deserialize)]
pub struct DataYaml {
    /// Folder that the splits lie in.
    pub path: Option<String>,
    pub train: Option<Folders>,
    pub val: Option<Folders>,
    pub valid: Option<Folders>,
    pub test: Option<Folders>,
    names: Option<Names>,
}

/// One folder or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Folders {
    One(String),
    Several(Vec<String>),
}

impl Folders {
    /// The folders in order.
    pub fn list(&self) -> &[String] {
        match self {
            Folders::One(folder) => std::slice::from_ref(folder),
            Folders::Several(folders) => folders,
        }
    }
}

/// Names by number.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "must be a list of names, or a name for each number; put true, false, yes and no in quotes"
)]
enum Names {
    List(Vec<Name>),
    Numbered(BTreeMap<Number, Name>),
}

/// A name, which may be a number.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    Whole(i64),
    Real(f64),
}

impl Name {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Whole(number) => number.to_string(),
            Self::Real(number) => number.to_string(),
        }
    }
}

/// The number of a class, which may be in quotes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Number(u32);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        UntaggedEnumVisitor::new()
            .expecting("the number of a class")
            .u32(|number| Ok(Self(number)))
            .string(|text| text.trim().parse().map(Self).map_err(serde::de::Error::custom))
            .deserialize(deserializer)
    }
}

impl DataYaml {
    /// Reads a file.
    pub fn open(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        serde_saphyr::from_str(&text).map_err(|error| {
            let message = error.to_string();
            Error::file(path, format!("cannot be read as YAML: {}", message.lines().next().unwrap_or_default()))
        })
    }

    /// The names of the classes, from 0.
    pub fn into_names(self, path: &Path) -> Result<Vec<String>> {
        let names: Vec<String> = match self.names {
            Some(Names::List(names)) => names.into_iter().map(Name::into_text).collect(),
            Some(Names::Numbered(names)) => {
                if let Some(missing) = (0..).zip(names.keys()).find(|(index, key)| *index != key.0) {
                    return Err(Error::file(path, format!("`names` has no name for class {}", missing.0)));
                }
                names.into_values().map(Name::into_text).collect()
            }
            None => return Err(Error::file(path, "has no `names`; the names of the classes were expected")),
        };
        if names.is_empty() || names.len() >= usize::from(IGNORE) {
            return Err(Error::file(
                path,
                format!("names {}; 1 to 254 are possible", counted(names.len(), "class", "classes")),
            ));
        }
        Ok(names)
    }
}

/// The names of the classes in a `data.yaml`.
pub fn names(path: &Path) -> Result<Vec<String>> {
    DataYaml::open(path)?.into_names(path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_list_or_numbered() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            names(file.path()).map_err(|error| error.to_string())
        };
        for text in [
            "# made by hand\npath: ../x\ntrain: images/train\nnc: 2\nnames: ['hat', \"shoe, low\"]\n",
            "names:\r\n- hat\r\n- shoe, low\r\n",
            "names:\n  1: shoe, low\n  0: hat\nroboflow:\n  version: 3\n",
            "names: {0: hat, 1: 'shoe, low'}\ntrain: [a, b]\n",
        ] {
            assert_eq!(read(text).unwrap(), ["hat", "shoe, low"], "{text}");
        }
        assert_eq!(read("names: [90, 1.5, x]\n").unwrap(), ["90", "1.5", "x"]);
        assert_eq!(read("names: {'1': shoe, '0': hat}\n").unwrap(), ["hat", "shoe"]);
        assert!(read("names: {0: hat, 2: shoe}\n").unwrap_err().contains("class 1"));
        assert!(read("nc: 2\n").unwrap_err().contains("has no `names`"));
        assert!(read("names: []\n").unwrap_err().contains("0 classes"));
        assert!(read("names: [a\n").unwrap_err().contains("as YAML"));
    }
}
