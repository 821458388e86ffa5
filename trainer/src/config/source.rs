//! How a source of data lies on disk, and what is to be made of it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
    /// The tag file ([`TagFile`](crate::data::TagFile)); without it, the layout `tags` has `tags.csv` and the others have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<PathBuf>,
    /// `folder`, `ccp`: what the pixels of the label PNGs mean.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reading: LabelReading,
    /// Whether ignored pixels hide no class, such as those along borders: what a label does not show is then not there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ignored_hides_nothing: bool,
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
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

/// What the pixels of label PNGs mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelReading {
    /// Grey and palette files hold indices, RGB files the colours of the class table, or an index in three equal channels.
    /// Files that could be read both ways, with different results, are refused.
    #[default]
    Auto,
    /// The stored number is the index of the class; 255 counts nowhere.
    Index,
    /// The colour is that of a class of the table.
    Color,
    /// Masks of one class: what is at least half as bright as the file's brightest pixel is class 1, the rest background.
    Binary,
}

impl LabelReading {
    /// All, by the names that users type.
    const ALL: [(&'static str, LabelReading); 4] = [
        ("auto", LabelReading::Auto),
        ("index", LabelReading::Index),
        ("color", LabelReading::Color),
        ("binary", LabelReading::Binary),
    ];
}

impl FromStr for LabelReading {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, reading)| *reading);
        let names = Self::ALL.map(|(name, _)| name).join(", ");
        found.ok_or_else(|| format!("there is no reading `{text}`; there are {names}"))
    }
}

impl fmt::Display for LabelReading {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, reading)| reading == self).map_or("", |(name, _)| *name);
        formatter.write_str(name)
    }
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

    #[test]
    fn readings_have_the_same_names_in_configs_and_flags() {
        for (name, reading) in LabelReading::ALL {
            assert_eq!((name.parse(), reading.to_string()), (Ok(reading), name.to_owned()));
            assert_eq!(serde_json::to_value(reading).unwrap(), name);
        }
        assert!("grey".parse::<LabelReading>().unwrap_err().contains("binary"));
    }
}
