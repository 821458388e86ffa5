use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::BatchOptions;
use super::inputs::with_suffix;
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
}

/// Encodes and writes the files of one photo under `stem`.
pub(super) fn write_all(about: &Context<'_>, segmentation: &Segmentation, stem: &Path) -> Result<Vec<PathBuf>> {
    let mut formats = about.options.formats.clone();
    formats.sort_unstable();
    formats.dedup();
    let taxonomy = &about.segmenter.spec().taxonomy;
    let mut files = Vec::new();
    let mut write = |suffix: &str, bytes: Vec<u8>| {
        let path = with_suffix(stem, suffix);
        write_atomically(&path, &bytes)?;
        files.push(path);
        Ok::<_, Error>(())
    };
    for format in formats {
        match format {
            Format::Masks => {
                let names = taxonomy.file_names();
                for region in segmentation.regions() {
                    let mask = export::mask_png(segmentation, &[region.class])?;
                    write(&format!(".{}.png", names[region.class]), mask)?;
                }
            }
            Format::Labels => write(".labels.png", export::labels_png(segmentation)?)?,
            Format::Overlay => write(".overlay.png", export::overlay_png(about.photo, segmentation, taxonomy)?)?,
            Format::Json => {
                let document = export::Document {
                    photo: about.name,
                    classes: &about.options.classes,
                    polygons: &about.options.polygons,
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
    builder.prefix(".clothseg-");
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
