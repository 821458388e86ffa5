use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::BatchOptions;
use super::inputs::Identities;
use super::leftovers::TEMPORARY_PREFIX;
use super::stems::with_suffix;
use crate::decode::Photo;
use crate::error::{Error, Result};
use crate::export;
use crate::segmenter::{Segmentation, Segmenter};

/// A kind of file that is written for a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Format {
    /// `NAME.CLASS.png`: one mask a class that is present.
    Masks,
    /// `NAME.labels.png`: class indices.
    Labels,
    /// `NAME.overlay.png`: the photo with tinted garments.
    Overlay,
    /// `NAME.json`: polygons, boxes, areas, confidence, timings. Written last: where it is, the others are.
    Json,
}

impl Format {
    /// Every format, in the order in which they are written.
    pub const ALL: [Self; 4] = [Self::Masks, Self::Labels, Self::Overlay, Self::Json];

    /// The name that users type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Masks => "masks",
            Self::Labels => "labels",
            Self::Overlay => "overlay",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Invalid(format!("unknown format '{text}'; there are: {names}"))
        })
    }
}

/// What belongs to one photo besides its segmentation.
pub(super) struct Context<'a> {
    pub(super) segmenter: &'a Segmenter,
    pub(super) photo: &'a Photo,
    pub(super) name: &'a str,
    pub(super) decode_ms: f64,
    pub(super) options: &'a BatchOptions,
    /// Photos of this run: they are never written over.
    pub(super) protected: &'a Identities,
}

impl Context<'_> {
    /// Fails for a path that is one of the photos.
    fn spare_photos(&self, path: &Path) -> Result<()> {
        if std::fs::canonicalize(path).is_ok_and(|path| self.protected.contains(&path)) {
            let path = path.display();
            return Err(Error::Invalid(format!(
                "{path} is a photo and would be written over; choose another output folder"
            )));
        }
        Ok(())
    }

    /// Removes a file of an earlier run.
    fn remove(&self, path: &Path) -> Result<()> {
        self.spare_photos(path)?;
        match std::fs::remove_file(path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::Write { path: path.to_owned(), source })
            }
            _ => Ok(()),
        }
    }
}

/// Encodes and writes the files of one photo under `stem`. What an earlier run left for the same photo goes first.
pub(super) fn write_all(about: &Context<'_>, segmentation: &Segmentation, stem: &Path) -> Result<Vec<PathBuf>> {
    let options = about.options;
    let mut formats = options.formats.clone();
    formats.sort_unstable();
    formats.dedup();
    let taxonomy = &about.segmenter.spec().taxonomy;
    let kept = segmentation.label_map().keep(&options.classes);
    let mut files = Vec::new();
    let mut write = |suffix: &str, bytes: Vec<u8>| {
        let path = with_suffix(stem, suffix);
        about.spare_photos(&path)?;
        write_atomically(&path, &bytes)?;
        files.push(path);
        Ok::<_, Error>(())
    };
    // The JSON says that the others are there: it leaves first and comes last.
    about.remove(&with_suffix(stem, ".json"))?;
    for format in formats {
        match format {
            Format::Masks => {
                for (class, name) in taxonomy.file_names().iter().enumerate() {
                    let suffix = format!(".{name}.png");
                    let found = segmentation.regions().iter().any(|region| region.class == class);
                    if found && options.classes.contains(&class) {
                        write(&suffix, export::mask_png(segmentation, &[class])?)?;
                    } else {
                        about.remove(&with_suffix(stem, &suffix))?;
                    }
                }
            }
            Format::Labels => write(".labels.png", export::labels_png(&kept)?)?,
            Format::Overlay => write(".overlay.png", export::overlay_png(about.photo, &kept, taxonomy)?)?,
            Format::Json => {
                let document = export::Document {
                    photo: about.name,
                    classes: &options.classes,
                    polygons: &options.polygons,
                    decode_ms: about.decode_ms,
                };
                write(".json", export::document(about.segmenter, segmentation, &document)?)?;
            }
        }
    }
    Ok(files)
}

/// Writes a file whole or not at all: into a new file beside it, which then takes its name.
///
/// # Errors
/// [`Error::Write`].
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any new file: the process's mask decides. Temporary files are for their owner only otherwise.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
