//! The files of one photo.

use std::path::{Path, PathBuf};

use clothseg::export::coco::CocoPhoto;
use clothseg::export::{ClassView, Exporter, PhotoView, class_file_names};
use clothseg::masks::Masked;
use clothseg::{Error, Photo, Result, Segmenter};
use rayon::prelude::*;

use super::existing::{Existing, OwnFiles, ResultFolder};
use super::inputs::{Identities, Input};
use super::links::path_to;
use super::options::BatchOptions;
use super::replaced::Replaced;
use super::stems::with_suffix;
use super::write::{remove_file, write_atomically};

/// What belongs to one photo besides its segmentation.
pub(super) struct Context<'a> {
    pub(super) segmenter: &'a Segmenter,
    pub(super) photo: &'a Photo,
    pub(super) input: &'a Input,
    pub(super) decode_ms: f64,
    pub(super) options: &'a BatchOptions,
    /// Photos of this run: they are never written over.
    pub(super) protected: &'a Identities,
    /// Which of the photo's files earlier runs wrote.
    pub(super) ours: &'a dyn Fn() -> OwnFiles,
    /// The files of an earlier run.
    pub(super) replaced: &'a Replaced,
    /// Whether the output folder was empty when the run began.
    pub(super) folder_is_new: bool,
}

/// What came of one photo.
pub(super) struct Written {
    /// The files, each with its bytes.
    pub(super) files: Vec<(PathBuf, u64)>,
    /// Its part of the files of the run, where a format collects it.
    pub(super) coco: Option<CocoPhoto>,
    /// How many files of earlier runs were removed, and not written anew.
    pub(super) removed: usize,
}

/// Encodes and writes the files of one photo under `stem`. Files of the same formats that an earlier run left for classes that
/// are not there any more go, and so do others that do not belong with the new ones. Before the first file is written, `announce`
/// is told whether it will lie among photos, beside what no run wrote.
pub(super) fn write_all(
    about: &Context<'_>,
    masked: &Masked<'_>,
    stem: &Path,
    announce: &dyn Fn(bool) -> Result<()>,
) -> Result<Written> {
    let options = &about.options.outputs;
    let mut formats = options.formats.clone();
    formats.sort_unstable();
    formats.dedup();
    let exporters: Vec<&dyn Exporter> = formats.iter().map(|format| format.exporter()).collect();
    let needs_path = exporters.iter().any(|exporter| exporter.needs().path);
    // The way from here to the photo is asked for before there may be a file.
    let folder = stem.parent().unwrap_or(Path::new(""));
    if needs_path || !about.folder_is_new {
        std::fs::create_dir_all(folder).map_err(|source| Error::Write { path: folder.to_owned(), source })?;
    }
    let path = if needs_path { path_to(&about.input.source, stem) } else { String::new() };
    let view = PhotoView::new(about.segmenter, about.photo, &masked.segmentation, &masked.classes, options)
        .with_name(&about.input.file_name, &path)
        .with_decode_ms(about.decode_ms);
    let folder = match about.folder_is_new {
        true => ResultFolder::of_new(about.protected),
        false => ResultFolder::new(folder, about.protected, about.ours),
    };
    let mut writer = Writer { stem, folder, files: Vec::new(), removed: Vec::new() };
    if writer.folder.may_hold_foreign() {
        writer.check_free(&view, &exporters)?;
    }
    announce(writer.folder.may_hold_foreign())?;
    // The JSON says that the others are there: it leaves first and comes last. One of the same garments that is not written anew
    // is true before and after.
    let has_json = exporters.iter().any(|exporter| exporter.photo_suffixes().contains(&".json"));
    if has_json || !about.replaced.belongs() {
        writer.remove(".json")?;
    }
    write_class_files(&mut writer, &view, &exporters)?;
    for exporter in &exporters {
        let files = exporter.photo_files(&view)?;
        for (suffix, bytes) in exporter.photo_suffixes().iter().zip(files) {
            writer.write(suffix, &bytes)?;
        }
    }
    for path in about.replaced.outdated(&writer.files) {
        // One that is a photo of this run stays.
        if writer.folder.existing(path) == Existing::Other {
            writer.remove_at(path)?;
        }
    }
    let coco = exporters.iter().find_map(|exporter| exporter.part(&view));
    Ok(Written { removed: writer.removed(), files: writer.files, coco })
}

/// A file beside photos would be written over.
pub(super) fn foreign(path: &Path) -> Error {
    let path = path.display();
    Error::Invalid(format!(
        "{path} is there already, and no earlier run wrote it; choose another output folder, or move it away"
    ))
}

/// Writes files beside each other and remembers them.
struct Writer<'a> {
    stem: &'a Path,
    folder: ResultFolder<'a>,
    files: Vec<(PathBuf, u64)>,
    removed: Vec<PathBuf>,
}

impl Writer<'_> {
    fn write(&mut self, suffix: &str, bytes: &[u8]) -> Result<()> {
        let path = with_suffix(self.stem, suffix);
        self.look(&path)?;
        write_atomically(&path, bytes)?;
        self.files.push((path, bytes.len() as u64));
        Ok(())
    }

    /// Checks that no file which is about to be written is there already.
    fn check_free(&self, view: &PhotoView<'_>, exporters: &[&dyn Exporter]) -> Result<()> {
        let names = class_file_names(view.taxonomy());
        let regions = view.segmentation.regions();
        let wanted: Vec<&String> = regions
            .iter()
            .filter(|region| view.classes.contains(&region.class))
            .filter_map(|region| names.get(region.class))
            .collect();
        for exporter in exporters {
            let of_classes = exporter.class_suffix_of(view.options).into_iter();
            let of_classes = of_classes.flat_map(|suffix| wanted.iter().map(move |name| format!(".{name}{suffix}")));
            for suffix in exporter.photo_suffixes().iter().map(|suffix| (*suffix).to_owned()).chain(of_classes) {
                let path = with_suffix(self.stem, &suffix);
                if self.look(&path)? == Existing::Foreign {
                    return Err(foreign(&path));
                }
            }
        }
        Ok(())
    }

    /// Removes the file of an earlier run, if there is one.
    fn remove(&mut self, suffix: &str) -> Result<()> {
        self.remove_at(&with_suffix(self.stem, suffix))
    }

    fn remove_at(&mut self, path: &Path) -> Result<()> {
        if self.look(path)? == Existing::Other && self.folder.may_remove(path) {
            remove_file(path)?;
            self.removed.push(path.to_owned());
        }
        Ok(())
    }

    /// How many files were removed and not written anew.
    fn removed(&self) -> usize {
        self.removed.iter().filter(|removed| self.files.iter().all(|(path, _)| path != *removed)).count()
    }

    /// What is there already; an error where it is one of the photos.
    fn look(&self, path: &Path) -> Result<Existing> {
        match self.folder.existing(path) {
            Existing::Photo => Err(Error::Invalid(format!(
                "{} is a photo and would be written over; choose another output folder",
                path.display()
            ))),
            existing => Ok(existing),
        }
    }
}

/// Writes the formats that have a file per class, and removes those of classes that are not there.
fn write_class_files(writer: &mut Writer<'_>, view: &PhotoView<'_>, exporters: &[&dyn Exporter]) -> Result<()> {
    let exporters: Vec<(&dyn Exporter, &str)> =
        exporters.iter().filter_map(|exporter| Some((*exporter, exporter.class_suffix_of(view.options)?))).collect();
    let regions = view.segmentation.regions();
    let present: Vec<_> = regions.iter().filter(|region| view.classes.contains(&region.class)).collect();
    // Encoding is the work; each class has a core of its own.
    let encoded: Vec<Vec<Vec<u8>>> = present
        .par_iter()
        .map(|region| {
            let class = ClassView::new(view.segmentation, region);
            exporters.iter().map(|(exporter, _)| exporter.class_file(view, &class)).collect()
        })
        .collect::<Result<_>>()?;
    let mut encoded = present.iter().map(|region| region.class).zip(encoded).peekable();
    let names = class_file_names(view.taxonomy());
    // Of a run that did not merge them.
    for name in class_file_names(&view.segmenter.spec().taxonomy).iter().filter(|name| !names.contains(name)) {
        for (_, suffix) in &exporters {
            writer.remove(&format!(".{name}{suffix}"))?;
        }
    }
    for (class, name) in names.iter().enumerate() {
        let files = encoded.next_if(|(present, _)| *present == class).map(|(_, files)| files);
        for (index, (_, suffix)) in exporters.iter().enumerate() {
            let suffix = format!(".{name}{suffix}");
            match &files {
                Some(files) => writer.write(&suffix, &files[index])?,
                None => writer.remove(&suffix)?,
            }
        }
    }
    Ok(())
}
