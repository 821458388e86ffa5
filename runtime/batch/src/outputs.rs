//! The files of one photo.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use image::GrayImage;
use rayon::prelude::*;

use super::BatchOptions;
use super::format::{CutoutAlpha, Format};
use super::inputs::{Identities, Input};
use super::links::{link_to, path_to};
use super::occupant::{Occupant, ResultFolder};
use super::stems::with_suffix;
use super::write::write_atomically;
use clothseg::Photo;
use clothseg::{Error, Result};
use clothseg::export::coco::{CocoPhoto, coco_photo};
use clothseg::export::{self, ClassOutline};
use clothseg::{ClassRegion, Segmentation, Segmenter};

/// What belongs to one photo besides its segmentation.
pub(super) struct Context<'a> {
    pub(super) segmenter: &'a Segmenter,
    pub(super) photo: &'a Photo,
    pub(super) input: &'a Input,
    pub(super) decode_ms: f64,
    pub(super) options: &'a BatchOptions,
    /// Photos of this run: they are never written over.
    pub(super) protected: &'a Identities,
}

/// What came of one photo.
pub(super) struct Written {
    /// The files.
    pub(super) files: Vec<PathBuf>,
    /// Its part of the run's COCO file, if that is wanted.
    pub(super) coco: Option<CocoPhoto>,
}

/// Encodes and writes the files of one photo under `stem`. Files of the same formats that an earlier run left for classes that
/// are not there any more go.
pub(super) fn write_all(about: &Context<'_>, segmentation: &Segmentation, stem: &Path) -> Result<Written> {
    let options = &about.options.outputs;
    let classes = &about.options.classes;
    let mut formats = options.formats.clone();
    formats.sort_unstable();
    formats.dedup();
    let taxonomy = &about.segmenter.spec().taxonomy;
    let map = segmentation.label_map();
    let size = (map.width(), map.height());
    let outlines = if formats.iter().any(|format| format.needs_outlines()) {
        export::outlines(segmentation, classes, &options.polygons)
    } else {
        Vec::new()
    };
    // The way from here to the photo is asked for before there may be a file.
    let folder = stem.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder).map_err(|source| Error::Write { path: folder.to_owned(), source })?;
    let mut writer = Writer { about, stem, folder: ResultFolder::new(folder, about.protected), files: Vec::new() };
    // The JSON says that the others are there: it leaves first and comes last.
    writer.remove(".json")?;
    write_class_files(&mut writer, segmentation, &formats)?;
    let mut coco = None;
    for format in formats {
        match format {
            Format::Masks | Format::Soft | Format::Cutout | Format::Crop => {}
            Format::Labels => writer.write(".labels.png", &export::labels_png(&map.keep(classes), taxonomy)?)?,
            Format::Overlay => {
                let overlay = export::overlay_png(about.photo, &map.keep(classes), taxonomy)?;
                writer.write(".overlay.png", &overlay)?;
            }
            Format::Svg => {
                let link = options.svg_photo.then(|| link_to(&about.input.source, stem));
                writer.write(".svg", &export::svg(taxonomy, size, &outlines, link.as_deref()))?;
            }
            Format::Labelme => {
                let link = path_to(&about.input.source, stem);
                writer.write(".labelme.json", &export::labelme(size, &outlines, &link)?)?;
            }
            Format::Coco => coco = Some(coco_photo(&about.input.name, map, &outlines, options.coco)),
            Format::Json => writer.write(".json", &json(about, segmentation, &outlines)?)?,
        }
    }
    Ok(Written { files: writer.files, coco })
}

/// Writes files beside each other and remembers them.
struct Writer<'a> {
    about: &'a Context<'a>,
    stem: &'a Path,
    folder: ResultFolder<'a>,
    files: Vec<PathBuf>,
}

impl Writer<'_> {
    fn write(&mut self, suffix: &str, bytes: &[u8]) -> Result<()> {
        let path = with_suffix(self.stem, suffix);
        self.look(&path)?;
        write_atomically(&path, bytes)?;
        self.files.push(path);
        Ok(())
    }

    /// Removes the file of an earlier run, if there is one.
    fn remove(&self, suffix: &str) -> Result<()> {
        let path = with_suffix(self.stem, suffix);
        if self.look(&path)? == Occupant::Nobody {
            return Ok(());
        }
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::Write { path, source }),
            _ => Ok(()),
        }
    }

    /// What is there already; an error where it is one of the photos.
    fn look(&self, path: &Path) -> Result<Occupant> {
        match self.folder.occupant(path) {
            Occupant::Photo => Err(Error::Invalid(format!(
                "{} is a photo and would be written over; choose another output folder",
                path.display()
            ))),
            occupant => Ok(occupant),
        }
    }
}

/// Writes the formats that have a file a class, and removes those of classes that are not there.
fn write_class_files(writer: &mut Writer<'_>, segmentation: &Segmentation, formats: &[Format]) -> Result<()> {
    let about = writer.about;
    let formats: Vec<_> = formats.iter().filter_map(|format| Some((*format, format.infix()?))).collect();
    let present: Vec<_> =
        segmentation.regions().iter().filter(|region| about.options.classes.contains(&region.class)).collect();
    // Encoding is the work; each class has a core of its own.
    let encoded: Vec<Vec<Vec<u8>>> = present
        .par_iter()
        .map(|region| {
            let alpha = OnceCell::new();
            formats.iter().map(|(format, _)| encode(about, segmentation, region, *format, &alpha)).collect()
        })
        .collect::<Result<_>>()?;
    let mut encoded = present.iter().map(|region| region.class).zip(encoded).peekable();
    for (class, name) in about.segmenter.spec().taxonomy.file_names().iter().enumerate() {
        let files = encoded.next_if(|(present, _)| *present == class).map(|(_, files)| files);
        for (index, (_, infix)) in formats.iter().enumerate() {
            let suffix = format!(".{name}{infix}.png");
            match &files {
                Some(files) => writer.write(&suffix, &files[index])?,
                None => writer.remove(&suffix)?,
            }
        }
    }
    Ok(())
}

/// One file of one class. `soft` holds the class's soft mask from its first use on.
fn encode(
    about: &Context<'_>,
    segmentation: &Segmentation,
    region: &ClassRegion,
    format: Format,
    soft: &OnceCell<GrayImage>,
) -> Result<Vec<u8>> {
    let options = &about.options.outputs;
    let map = segmentation.label_map();
    let (width, height) = (map.width(), map.height());
    let class = [region.class];
    if format == Format::Masks {
        return export::mask_png(map, &class, options.mask_depth);
    }
    let soft = || match soft.get() {
        Some(alpha) => Ok(alpha),
        None => segmentation.network_output().soft_mask(width, height, &class).map(|alpha| soft.get_or_init(|| alpha)),
    };
    if format == Format::Soft {
        return export::soft_png(soft()?);
    }
    let alpha = match options.cutout_alpha {
        CutoutAlpha::Smooth => export::smooth_edges(&segmentation.mask_of(&class)),
        CutoutAlpha::Soft => soft()?.clone(),
        CutoutAlpha::Hard => segmentation.mask_of(&class),
    };
    match format {
        Format::Crop => {
            let crop = options.crop_margin.around(region.bounds, width, height);
            export::crop_png(about.photo, &alpha, crop)
        }
        _ => export::cutout_png(about.photo, &alpha),
    }
}

fn json(about: &Context<'_>, segmentation: &Segmentation, outlines: &[ClassOutline<'_>]) -> Result<Vec<u8>> {
    let document =
        export::Document::new(&about.input.name, &about.options.classes, outlines).with_decode_ms(about.decode_ms);
    export::document(about.segmenter, segmentation, &document)
}
