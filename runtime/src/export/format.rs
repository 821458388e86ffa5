//! What a format is, and the one list of formats.

use std::cmp::Ordering;
use std::fmt;
use std::io::Write;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::coco::{Coco, CocoPhoto};
use super::cutout::{Crop, Cutout};
use super::json::Json;
use super::labelme::Labelme;
use super::masks::{Labels, Masks, Soft};
use super::options::OutputOptions;
use super::overlay::Overlay;
use super::parse::Parse;
use super::svg::Svg;
use super::view::{ClassView, PhotoView, RunView};
use super::yolo::Yolo;
use crate::error::{Error, Result};

/// A format: what it is called, which files it makes, and their bytes. It has files for each class, for each photo or for
/// all photos of a run, or several of these.
pub trait Exporter: Sync {
    /// The name that users type.
    fn name(&self) -> &'static str;

    /// What is in its files, as the documentation says it.
    fn about(&self) -> &'static str;

    /// What has to be there for it.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Whether the background can be one of its classes.
    fn holds_background(&self) -> bool {
        true
    }

    /// What follows `NAME.CLASS` in the name of the file of each class that is present.
    fn class_suffix(&self) -> Option<&'static str> {
        None
    }

    /// The same under these options, where the kind of file depends on them.
    fn class_suffix_of(&self, _options: &OutputOptions) -> Option<&'static str> {
        self.class_suffix()
    }

    /// What follows `NAME` in the names of the files of each photo.
    fn photo_suffixes(&self) -> &'static [&'static str] {
        &[]
    }

    /// Names of the files of a whole run.
    fn run_files(&self) -> &'static [&'static str] {
        &[]
    }

    /// The file of one class.
    ///
    /// # Errors
    /// [`Error::Encode`], [`Error::ReducedPhoto`]; [`Error::Invalid`] for a format without such files.
    fn class_file(&self, _photo: &PhotoView<'_>, _class: &ClassView<'_>) -> Result<Vec<u8>> {
        Err(Error::Invalid(format!("the format '{}' has no file per class", self.name())))
    }

    /// The files of one photo, one for each of [`Exporter::photo_suffixes`].
    ///
    /// # Errors
    /// [`Error::Encode`], [`Error::ReducedPhoto`].
    fn photo_files(&self, _photo: &PhotoView<'_>) -> Result<Vec<Vec<u8>>> {
        Ok(Vec::new())
    }

    /// What one photo adds to the files of the run, for formats that [collect](Needs::parts) it.
    fn part(&self, _photo: &PhotoView<'_>) -> Option<CocoPhoto> {
        None
    }

    /// Writes the file of the run with this name, one of [`Exporter::run_files`].
    ///
    /// # Errors
    /// [`Error::Encode`], and what reading the parts reports.
    fn run_file(&self, _name: &str, _run: &RunView<'_>, _out: &mut dyn Write) -> Result<()> {
        Ok(())
    }
}

/// What has to be there for a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Needs {
    /// The photo's own pixels; without them a photo need not be decoded at its full size.
    pub pixels: bool,
    /// Outlines: [`PhotoView::outlines`].
    pub outlines: bool,
    /// A soft mask of each class: a byte for every pixel.
    pub soft_masks: bool,
    /// The way to the photo: [`PhotoView::path`].
    pub path: bool,
    /// A part from each photo, from which the files of the run are made: [`Exporter::part`]. Runs that share the work have
    /// such files of their own.
    pub parts: bool,
}

/// A format by name: [`Format::ALL`] is the list of them.
#[derive(Clone, Copy)]
pub struct Format(&'static dyn Exporter);

impl Format {
    /// Every format, in the order in which files are written. The JSON is the last: where it is, the others are.
    pub const ALL: &'static [Self] = &[
        Self(&Masks),
        Self(&Soft),
        Self(&Cutout),
        Self(&Crop),
        Self(&Labels),
        Self(&Parse),
        Self(&Overlay),
        Self(&Svg),
        Self(&Labelme),
        Self(&Yolo),
        Self(&Coco),
        Self(&Json),
    ];

    /// What is written where nothing is asked for.
    pub const DEFAULT: [Self; 4] = [Self(&Masks), Self(&Labels), Self(&Overlay), Self(&Json)];

    /// What makes its files.
    pub fn exporter(self) -> &'static dyn Exporter {
        self.0
    }

    /// Whether nothing of these classes can be in its files: the background alone, where the format has none.
    pub fn holds_nothing_of(self, classes: &[usize]) -> bool {
        classes == [0] && !self.exporter().holds_background()
    }

    /// The name that users type.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The names of all formats, for messages and help.
    pub fn names() -> String {
        Self::ALL.iter().map(|format| format.name()).collect::<Vec<_>>().join(", ")
    }

    /// Its place in the list.
    fn position(self) -> usize {
        Self::ALL.iter().position(|format| format.name() == self.name()).unwrap_or(Self::ALL.len())
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Format").field(&self.name()).finish()
    }
}

impl Serialize for Format {
    /// By its name.
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Format {}

impl PartialOrd for Format {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Format {
    fn cmp(&self, other: &Self) -> Ordering {
        self.position().cmp(&other.position())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|format| format.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| Error::Invalid(format!("unknown format '{text}'; there are: {}", Self::names())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_names_and_the_json_is_the_last() {
        for format in Format::ALL {
            assert_eq!(format.name().to_uppercase().parse::<Format>().unwrap(), *format);
        }
        assert!(Format::ALL.is_sorted() && Format::ALL.last().unwrap().name() == "json");
        assert!("psd".parse::<Format>().unwrap_err().to_string().contains("labelme"));
        assert_eq!(
            serde_json::to_string(&Format::DEFAULT).unwrap(),
            r#"["masks","labels","overlay","json"]"#,
            "what a run can be resumed from follows from it"
        );
    }

    #[test]
    fn no_two_formats_write_one_file() {
        let mut names: Vec<String> = Vec::new();
        for exporter in Format::ALL.iter().map(|format| format.exporter()) {
            names.extend(exporter.class_suffix().map(|suffix| format!("a.class{suffix}")));
            names.extend(exporter.photo_suffixes().iter().map(|suffix| format!("a{suffix}")));
            names.extend(exporter.run_files().iter().map(|name| (*name).to_owned()));
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
