//! A source of examples: what lies where, and what to do with its damage.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::drawn::KnownLabels;
use super::{LabelReading, Listing, Target, ccp, coco, folder, imaterialist, label_studio, labelme, tagged, yolo};
use crate::error::{Error, Result};

/// How many damaged examples a message names.
const NAMED: usize = 20;

/// How a source lies on disk; docs/training.md describes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// The study's: `ROOT/{train,valid,test}/{images,labels}` and `ROOT/class_dict.csv`.
    Folder,
    /// Clothing Co-Parsing: `ROOT/{images,labels}`, `ROOT/label_list.csv` and a file `ROOT/SPLIT.txt` of stems a split.
    Ccp,
    /// iMaterialist as Kaggle gives it: a CSV file with a row for each region, and a folder of photos.
    Imaterialist,
    /// COCO's JSON for instances, and a folder of photos.
    Coco,
    /// Photos with tags and no labels: `ROOT/images` and `ROOT/tags.csv`.
    Tags,
    /// A JSON file of labelme for each photo, below `ROOT/SPLIT`.
    Labelme,
    /// Segmentation labels of Ultralytics: a text file for each photo, and `ROOT/data.yaml` or `ROOT/classes.txt`.
    Yolo,
    /// What Label Studio exports as JSON or JSON-MIN.
    #[serde(rename = "label-studio")]
    LabelStudio,
}

impl Layout {
    const ALL: [(&'static str, Layout); 8] = [
        ("folder", Layout::Folder),
        ("ccp", Layout::Ccp),
        ("imaterialist", Layout::Imaterialist),
        ("coco", Layout::Coco),
        ("tags", Layout::Tags),
        ("labelme", Layout::Labelme),
        ("yolo", Layout::Yolo),
        ("label-studio", Layout::LabelStudio),
    ];

    /// The name in configs.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, layout)| *layout == self).map_or("", |(name, _)| *name)
    }
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        let names = Self::ALL.map(|(name, _)| name).join(", ");
        found.map(|(_, layout)| *layout).ok_or_else(|| format!("there is no layout `{text}`; there are {names}"))
    }
}

/// What to do with damaged examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDamage {
    /// Stop and name them.
    #[default]
    Refuse,
    /// Warn, name them and go on without.
    Skip,
}

impl FromStr for OnDamage {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "refuse" => Ok(OnDamage::Refuse),
            "skip" => Ok(OnDamage::Skip),
            _ => Err(format!("`{text}` is neither refuse nor skip")),
        }
    }
}

impl fmt::Display for OnDamage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            OnDamage::Refuse => "refuse",
            OnDamage::Skip => "skip",
        })
    }
}

/// Names within a source that differ from the layout's own, relative to its root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFiles {
    /// `folder`: the folder of the labels in each split; without it, `labels`. `yolo`: the folder of the labels.
    pub labels: Option<String>,
    /// `imaterialist`, `coco`, `label-studio`: the annotation file; without it, `SPLIT.csv`,
    /// `annotations/instances_SPLIT.json` and `SPLIT.json`. `yolo`: the file with the names of the classes.
    pub annotations: Option<PathBuf>,
    /// `imaterialist`, `coco`, `label-studio`: the folder of the photos; without it, `SPLIT`. `labelme`, `yolo`: the same, where
    /// they are not where the files say.
    pub images: Option<PathBuf>,
    /// The tag file ([`TagFile`](super::TagFile)); without it, the layout `tags` has `tags.csv` and the others have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<PathBuf>,
    /// `folder`, `ccp`: what the pixels of the label PNGs mean.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reading: LabelReading,
    /// Whether ignored pixels hide no class, such as those along borders: what a label does not show is then not there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ignored_hides_nothing: bool,
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl SourceFiles {
    /// What is given and does not belong to the layout, as a sentence.
    pub fn misplaced(&self, layout: Layout) -> Option<&'static str> {
        use Layout::{Ccp, Coco, Folder, Imaterialist, LabelStudio, Labelme, Yolo};
        let is = |layouts: &[Layout]| layouts.contains(&layout);
        match self {
            Self { reading, .. } if *reading != LabelReading::Auto && !is(&[Folder, Ccp]) => {
                Some("`reading` belongs to the layouts folder and ccp")
            }
            Self { labels: Some(_), .. } if !is(&[Folder, Yolo]) => {
                Some("`labels` belongs to the layouts folder and yolo")
            }
            Self { annotations: Some(_), .. } if !is(&[Imaterialist, Coco, Yolo, LabelStudio]) => {
                Some("`annotations` belongs to the layouts imaterialist, coco, yolo and label-studio")
            }
            Self { images: Some(_), .. } if !is(&[Imaterialist, Coco, Labelme, Yolo, LabelStudio]) => {
                Some("`images` belongs to the layouts imaterialist, coco, labelme, yolo and label-studio")
            }
            _ => None,
        }
    }
}

/// One source of examples, with its paths resolved.
#[derive(Clone, Debug)]
pub struct Source {
    /// How it lies on disk.
    pub layout: Layout,
    /// Its root folder.
    pub root: PathBuf,
    /// `train`, `valid`, `test` ...
    pub split: String,
    /// Names that differ from the layout's own.
    pub files: SourceFiles,
    /// The mapping file; without one the classes' names must be the taxonomy's.
    pub mapping: Option<PathBuf>,
    /// How often an epoch shows each example, on average: 0.5 is every other one.
    pub repeat: f64,
    /// Width over height that the photos had before they were squashed to another shape.
    pub aspect: Option<f64>,
}

impl Source {
    /// Finds the pairs, with the source's own classes. Labels in annotation files are checked; for others see
    /// [`Dataset`](super::Dataset).
    pub fn list(&self) -> Result<Listing> {
        self.list_for(None)
    }

    /// As [`Source::list`] for the classes that a network is to learn: where a layout has names in place of a list of classes,
    /// a region of another name is damage.
    pub fn list_for(&self, target: Option<&Target>) -> Result<Listing> {
        let Source { layout, root, split, files, mapping, .. } = self;
        if !root.is_dir() {
            return Err(Error::file(
                root,
                "there is no such folder; set the environment variable CLOTHSEG_DATA to the folder that the data lies in, \
                 or write an absolute path into the config",
            ));
        }
        if let Some(cause) = files.misplaced(*layout) {
            return Err(Error::file(root, cause));
        }
        let annotations = |default: String| root.join(files.annotations.clone().unwrap_or(default.into()));
        let images = root.join(files.images.clone().unwrap_or(split.into()));
        let known = KnownLabels { mapping: mapping.as_deref(), target };
        match layout {
            Layout::Folder => folder::list(root, split, files.labels.as_deref().unwrap_or("labels"), files.reading),
            Layout::Ccp => ccp::list(root, split, files.reading),
            Layout::Imaterialist => imaterialist::list(&annotations(format!("{split}.csv")), &images),
            Layout::Coco => coco::list(&annotations(format!("annotations/instances_{split}.json")), &images),
            Layout::Tags => tagged::list(root, split, &self.tags_path(), mapping.as_deref()),
            Layout::Labelme => labelme::list(root, split, files.images.as_deref(), known),
            Layout::Yolo => yolo::list(root, split, files),
            Layout::LabelStudio => label_studio::list(&annotations(format!("{split}.json")), &images, known),
        }
    }

    /// The tag file, where there is one.
    pub fn tag_file(&self) -> Option<PathBuf> {
        let is_there = self.files.tags.is_some() || self.layout == Layout::Tags;
        is_there.then(|| self.tags_path())
    }

    fn tags_path(&self) -> PathBuf {
        self.root.join(self.files.tags.as_deref().unwrap_or(Path::new("tags.csv")))
    }
}

/// Names the damage: as an error, or as warnings.
pub(super) fn report_damage(damage: Vec<String>, on_damage: OnDamage) -> Result<()> {
    if damage.is_empty() {
        return Ok(());
    }
    let total = damage.len();
    let found: Vec<String> = damage.into_iter().take(NAMED).collect();
    if on_damage == OnDamage::Refuse {
        return Err(Error::Damage { found, total });
    }
    for line in &found {
        tracing::warn!("skipped: {line}");
    }
    if total > found.len() {
        tracing::warn!("skipped: {} more", total - found.len());
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_named_as_in_configs() {
        for (name, layout) in Layout::ALL {
            assert_eq!(name.parse::<Layout>().unwrap(), layout);
            assert_eq!(serde_json::to_value(layout).unwrap(), layout.name());
        }
        assert!("zip".parse::<Layout>().unwrap_err().contains("imaterialist"));
    }

    #[test]
    fn names_of_other_layouts_are_refused() {
        let files = SourceFiles { images: Some("photos".into()), ..SourceFiles::default() };
        assert!(files.misplaced(Layout::Folder).unwrap().contains("`images`"));
        assert_eq!(files.misplaced(Layout::Coco), None);
        let files = SourceFiles { labels: Some("clabels".into()), ..SourceFiles::default() };
        assert!(files.misplaced(Layout::Ccp).is_some() && files.misplaced(Layout::Folder).is_none());
    }
}
