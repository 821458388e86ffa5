//! The classes that a network learns, and the files that name classes: tables in CSV, lists in YAML.

pub mod colors;
pub mod yaml;

use clothseg::{ClassKind, Taxonomy};

/// The label of a pixel that counts nowhere: not in a loss, not in a metric.
pub const IGNORE: u8 = 255;

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

    /// Names of the classes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.taxonomy.classes.iter().map(|class| class.name.as_str())
    }

    /// How many classes of persons stand at the end.
    pub fn persons_at_end(&self) -> usize {
        self.taxonomy.classes.iter().rev().take_while(|class| class.kind == ClassKind::Person).count()
    }
}

/// Whether two names are the same but for capitals and blanks around them.
pub fn same_name(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}
