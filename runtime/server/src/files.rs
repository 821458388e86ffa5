//! The files of an answer, made by the library's formats.

use std::path::Path;

use clothseg::Error;
use clothseg::export::coco::CocoPhoto;
use clothseg::export::{ClassView, Format, OutputOptions, PhotoView, RunView, class_file_names};

use crate::problem::Problem;
use crate::work::{File, Found, photo_name};
use crate::zip;

/// The word for the usual formats of `clothseg-run`, in an archive.
pub const ZIP: &str = "zip";

/// What an answer consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    formats: Vec<Format>,
    is_archive: bool,
}

impl Wanted {
    /// One format, `zip`, or several formats with commas between. What is one file is sent as it is, everything else in an archive.
    ///
    /// # Errors
    /// 400 for an unknown format.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.eq_ignore_ascii_case(ZIP) {
            return Ok(Self { formats: Format::DEFAULT.to_vec(), is_archive: true });
        }
        let formats = text.split(',').map(|name| name.trim().parse::<Format>()).collect::<Result<Vec<_>, _>>();
        let mut formats = formats.map_err(|_| {
            let known = format!("there are: {}, {ZIP}", Format::names());
            Problem::bad_request("format", format!("there is no format '{text}'; {known}"))
        })?;
        formats.sort_unstable();
        formats.dedup();
        let is_archive = !matches!(formats[..], [format] if is_one_file(format));
        Ok(Self { formats, is_archive })
    }

    /// Whether the photo's pixels are shown.
    pub fn needs_pixels(&self) -> bool {
        self.formats.iter().any(|format| format.exporter().needs().pixels)
    }

    /// Makes the answer for the classes wanted.
    ///
    /// # Errors
    /// 400 for the background alone in a format that has none.
    pub fn file(
        &self,
        found: &Found<'_>,
        content: &[u8],
        classes: &[usize],
        options: OutputOptions,
    ) -> Result<File, Problem> {
        if let Some(format) = self.formats.iter().find(|format| format.holds_nothing_of(classes)) {
            let name = format.name();
            return Err(Problem::bad_request("format", format!("'{name}' has no background; ask for other classes")));
        }
        let options = options.with_formats(self.formats.clone());
        let masked = found.masked(classes)?;
        let name = photo_name(content);
        let view = PhotoView::new(found.segmenter, &found.photo, &masked.segmentation, &masked.classes, &options)
            .with_name(&name, &name)
            .with_decode_ms(found.decode_ms);
        let files = self.formats.iter().map(|format| files_of(*format, &view)).collect::<Result<Vec<_>, _>>();
        let mut files = files.map_err(|error| Problem::of(&error))?.concat();
        let library = found.segmenter.engine_info().path.as_deref();
        for (name, content) in files.iter_mut().filter(|(name, _)| name.ends_with(".json")) {
            hide_path(name, content, library);
        }
        if self.is_archive {
            return Ok(File { media_type: "application/zip", content: zip::archive(&files)? });
        }
        let (name, content) = files.pop().ok_or_else(|| Problem::internal("the format", "it gave no file"))?;
        Ok(File { media_type: media_type(&name), content })
    }
}

/// Whether a format always makes exactly one file of a photo.
fn is_one_file(format: Format) -> bool {
    let exporter = format.exporter();
    exporter.class_suffix().is_none() && exporter.photo_suffixes().len() + exporter.run_files().len() == 1
}

/// The files of one format: names and contents.
fn files_of(format: Format, view: &PhotoView<'_>) -> clothseg::Result<Vec<(String, Vec<u8>)>> {
    let exporter = format.exporter();
    let mut files = Vec::new();
    if let Some(suffix) = exporter.class_suffix_of(view.options) {
        let names = class_file_names(view.taxonomy());
        let wanted = view.segmentation.regions().iter().filter(|region| view.classes.contains(&region.class));
        for region in wanted {
            let name = &names[region.class];
            let content = exporter.class_file(view, &ClassView::new(view.segmentation, region))?;
            files.push((format!("photo.{name}{suffix}"), content));
        }
    }
    let suffixes = exporter.photo_suffixes().iter().map(|suffix| format!("photo{suffix}"));
    files.extend(suffixes.zip(exporter.photo_files(view)?));
    let part = exporter.part(view);
    let parts = || {
        let parts: Box<dyn Iterator<Item = clothseg::Result<CocoPhoto>>> = Box::new(part.clone().map(Ok).into_iter());
        Ok(parts)
    };
    let run = RunView::new(view.taxonomy(), view.classes, &view.segmenter.spec().name, &parts);
    for name in exporter.run_files() {
        let mut content = Vec::new();
        exporter.run_file(name, &run, &mut content)?;
        files.push(((*name).to_owned(), content));
    }
    Ok(files)
}

/// The JSON of a photo says where ONNX Runtime lies, which is nobody's business but the server's.
fn hide_path(name: &str, content: &mut Vec<u8>, library: Option<&Path>) {
    let text = library.and_then(|path| serde_json::to_string(path).ok()).map(|path| format!("\"path\":{path}"));
    let Some(text) = text.filter(|_| name == "photo.json") else { return };
    let place = content.windows(text.len()).position(|bytes| bytes == text.as_bytes());
    if let Some(at) = place {
        content.splice(at..at + text.len(), *b"\"path\":null");
    }
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "png" => "image/png",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "jpg" => "image/jpeg",
        "webp" => "image/webp",
        "txt" | "yaml" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// What goes wrong while an archive is made.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::of(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_is_sent_as_it_is_and_more_in_an_archive() {
        for name in ["json", "labels", "overlay", "coco", "labelme", "svg"] {
            assert!(!Wanted::parse(name).unwrap().is_archive, "{name}");
        }
        for name in ["zip", "masks", "cutout", "soft", "crop", "parse", "yolo", "json,svg"] {
            assert!(Wanted::parse(name).unwrap().is_archive, "{name}");
        }
        assert!(Wanted::parse("json,json").is_ok_and(|wanted| !wanted.is_archive));
        for name in ["psd", "", "json,", "../json"] {
            assert_eq!(Wanted::parse(name).unwrap_err().status().as_u16(), 400, "{name}");
        }
    }

    #[test]
    fn pixels_are_decoded_only_where_they_are_shown() {
        assert!(!Wanted::parse("labels").unwrap().needs_pixels());
        assert!(Wanted::parse("labels,overlay").unwrap().needs_pixels());
    }

    #[test]
    fn the_place_of_the_library_is_hidden() {
        let mut content = br#"{"engine":{"path":"/opt/lib.so"},"path":"/opt/lib.so"}"#.to_vec();
        hide_path("photo.json", &mut content, Some(Path::new("/opt/lib.so")));
        assert_eq!(content, br#"{"engine":{"path":null},"path":"/opt/lib.so"}"#);
    }
}
