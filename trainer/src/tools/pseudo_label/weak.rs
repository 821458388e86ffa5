//! What is known of photos beside the model: which classes they show (tags), or also roughly where (boxes).

use std::path::{Path, PathBuf};

use clothseg::{ClassKind, Taxonomy};

use crate::data::mapping::MappedTo;
use crate::data::{BoxFile, IGNORE, LabelSets, Mapping, TagFile, Tags, Target, Vocabulary};
use crate::error::{Error, Result};

/// Files that say what photos show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WeakLabels {
    /// None.
    #[default]
    None,
    /// A [`TagFile`].
    Tags {
        /// The file.
        file: PathBuf,
        /// Its names' mapping to the model's classes.
        mapping: PathBuf,
    },
    /// A [`BoxFile`].
    Boxes {
        /// The file.
        file: PathBuf,
        /// Its classes' mapping to the model's classes.
        mapping: PathBuf,
    },
}

/// What the labels of a photo may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    /// Whether each class may be anywhere.
    pub(super) anywhere: Vec<bool>,
    /// Where other classes may be, and one of them has to be.
    pub(super) boxes: Vec<Place>,
    /// Whether the photo shows something that no class names: it may be wherever the classes that may be there are unlikely.
    pub(super) has_unknown: bool,
}

/// A box of one of several classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// What it is called in its file.
    pub(super) name: String,
    /// Left, top, right and bottom.
    pub(super) edges: [u32; 4],
    /// The classes, one or more.
    pub(super) classes: Vec<u8>,
}

/// The weak labels of a folder of photos, in a model's classes.
pub(super) struct Constraints {
    /// Whether a class may be in any photo whatever its tags: background and persons.
    always: Vec<bool>,
    source: Source,
}

enum Source {
    Nothing,
    Tags { file: TagFile, vocabulary: Vocabulary },
    Boxes { file: BoxFile, names: Vec<String>, meanings: Vec<Meaning>, free: Vec<u8>, classes: usize },
}

/// What a box's class stands for.
enum Meaning {
    /// One of these classes.
    OneOf(Vec<u8>),
    /// Something that no class names, or a part of something.
    Other,
}

impl Constraints {
    /// Reads the files for a model of the classes `taxonomy`.
    pub(super) fn open(weak: &WeakLabels, taxonomy: &Taxonomy) -> Result<Self> {
        let classes = taxonomy.classes.iter().enumerate();
        let always = classes.map(|(index, class)| index == 0 || class.kind == ClassKind::Person).collect();
        let source = match weak {
            WeakLabels::None => Source::Nothing,
            WeakLabels::Tags { file, mapping } => {
                let (names, mapping, sets) = open_mapping(mapping, taxonomy)?;
                Source::Tags { file: TagFile::open(file)?, vocabulary: Vocabulary::new(&names, &mapping, &sets) }
            }
            WeakLabels::Boxes { file, mapping } => open_boxes(file, mapping, taxonomy)?,
        };
        Ok(Self { always, source })
    }

    /// What the labels of a photo of `width` x `height` may be; [`None`] where the file does not name it.
    pub(super) fn of(&self, photo: &str, width: u32, height: u32) -> Result<Option<Allowed>> {
        let anywhere = |allows: &dyn Fn(u8) -> bool| -> Vec<bool> {
            (0..=u8::MAX).zip(&self.always).map(|(class, always)| *always || allows(class)).collect()
        };
        Ok(match &self.source {
            Source::Nothing => Some(Allowed { anywhere: anywhere(&|_| true), boxes: Vec::new(), has_unknown: false }),
            Source::Tags { file, vocabulary } => file.tags(photo, vocabulary)?.map(|tags| Allowed {
                anywhere: anywhere(&|class| tags.allows(class)),
                boxes: Vec::new(),
                has_unknown: tags.has_unknown(),
            }),
            Source::Boxes { file, names, meanings, free, .. } => file.boxes(photo, width, height)?.map(|boxes| {
                let places = boxes.iter().filter_map(|found| match &meanings[found.class] {
                    Meaning::OneOf(classes) => Some(Place {
                        name: names[found.class].clone(),
                        edges: [found.left, found.top, found.right, found.bottom],
                        classes: classes.clone(),
                    }),
                    Meaning::Other => None,
                });
                let has_unknown = boxes.iter().any(|found| matches!(meanings[found.class], Meaning::Other));
                Allowed { anywhere: anywhere(&|class| free.contains(&class)), boxes: places.collect(), has_unknown }
            }),
        })
    }

    /// What is known of the photos that the file names; nothing without a file.
    pub(super) fn tags(&self) -> Result<Vec<(&str, Tags)>> {
        match &self.source {
            Source::Nothing => Ok(Vec::new()),
            Source::Tags { file, vocabulary } => {
                let tags = file.photos().map(|photo| Ok((photo, file.tags(photo, vocabulary)?)));
                let tags: Vec<(&str, Option<Tags>)> = tags.collect::<Result<_>>()?;
                Ok(tags.into_iter().filter_map(|(photo, tags)| Some((photo, tags?))).collect())
            }
            Source::Boxes { file, meanings, free, classes, .. } => Ok(file
                .photos()
                .map(|(photo, boxes)| {
                    let shown = boxes.iter().filter_map(|found| match &meanings[found.class] {
                        Meaning::OneOf(classes) => Some(classes.clone()),
                        Meaning::Other => None,
                    });
                    let has_unknown = boxes.iter().any(|found| matches!(meanings[found.class], Meaning::Other));
                    (photo, Tags::of(*classes, shown.chain([free.clone()]), has_unknown))
                })
                .collect()),
        }
    }
}

/// The names that a mapping file maps, what they are mapped to, and the sets among that.
fn open_mapping(path: &Path, taxonomy: &Taxonomy) -> Result<(Vec<String>, Mapping, LabelSets)> {
    let target = match target_of(taxonomy) {
        Some(target) => target,
        None => own_target(path, taxonomy)?,
    };
    let names = Mapping::names(path)?;
    let mut sets = LabelSets::from(target.classes());
    let mapping = Mapping::open(path, &names, &target, &mut sets)?;
    if mapping.len() > usize::from(IGNORE) {
        return Err(Error::file(path, format!("maps {} names; at most {IGNORE} are possible", mapping.len())));
    }
    Ok((names, mapping, sets))
}

/// The taxonomy whose classes a model has; those of persons may be missing.
fn target_of(taxonomy: &Taxonomy) -> Option<Target> {
    let has_classes = |target: &Target| {
        target.taxonomy.classes.split_at_checked(taxonomy.len()).is_some_and(|(known, rest)| {
            known.iter().zip(&taxonomy.classes).all(|(one, other)| one.name == other.name)
                && rest.iter().all(|class| class.kind == ClassKind::Person)
        })
    };
    Taxonomy::BUILTIN.iter().filter_map(|name| Target::builtin(name)).find(has_classes)
}

/// The classes of a model that were its trainer's own, under the name that the mapping file has for them.
fn own_target(path: &Path, taxonomy: &Taxonomy) -> Result<Target> {
    let name = Mapping::target_name(path)?;
    if Taxonomy::BUILTIN.contains(&name.as_str()) {
        let known = Taxonomy::BUILTIN.join(" and ");
        let cause = format!("maps to `{name}`, and the model's classes are not those of it; built in are {known}");
        return Err(Error::file(path, cause));
    }
    Ok(Target { name, taxonomy: taxonomy.clone() })
}

fn open_boxes(file: &Path, path: &Path, taxonomy: &Taxonomy) -> Result<Source> {
    let (names, mapping, sets) = open_mapping(path, taxonomy)?;
    let classes = taxonomy.len();
    let mut told = vec![false; classes];
    let meaning = |index| match mapping.target(index) {
        Some(MappedTo::Label(label)) => {
            let members: Vec<u8> =
                sets.members(label).into_iter().filter(|class| usize::from(*class) < classes).collect();
            // What may be the background need not be there.
            if members.is_empty() || members.contains(&0) { Meaning::Other } else { Meaning::OneOf(members) }
        }
        _ => Meaning::Other,
    };
    let meanings: Vec<Meaning> = (0..=u8::MAX).zip(&names).map(|(index, _)| meaning(index)).collect();
    for meaning in &meanings {
        if let Meaning::OneOf(members) = meaning {
            members.iter().for_each(|class| told[usize::from(*class)] = true);
        }
    }
    let free =
        (0..=u8::MAX).zip(&told).filter(|(class, told)| *class == 0 || !**told).map(|(class, _)| class).collect();
    Ok(Source::Boxes { file: BoxFile::open(file, &names)?, names, meanings, free, classes })
}
