//! The COCO file of a run: a line of JSON a photo while it runs, one file in the end.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::format::Format;
use super::write::write_with;
use super::{BatchOptions, Outcome};
use crate::error::{Error, Result};
use crate::export::coco::{CocoInfo, CocoPhoto, write_coco};
use crate::segmenter::Segmenter;
use crate::taxonomy::Taxonomy;

/// Its name below the output folder.
pub(super) const FILE_NAME: &str = "coco.json";

/// Makes the COCO file `to` of the lines of `lines`, each a [`CocoPhoto`] as JSON; empty lines are passed over. Whatever
/// the number of lines, one is held at a time. The file is written whole or not at all.
///
/// # Errors
/// [`Error::Read`] and [`Error::Write`]; [`Error::Invalid`] names a line that is no [`CocoPhoto`].
pub fn coco_from_lines(lines: &Path, to: &Path, taxonomy: &Taxonomy, classes: &[usize], info: &CocoInfo) -> Result<()> {
    write_with(to, |out| write_coco(out, taxonomy, classes, info, || read_lines(lines)))
}

fn read_lines(path: &Path) -> Result<impl Iterator<Item = Result<CocoPhoto>>> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let lines = BufReader::new(File::open(path).map_err(failed)?).lines().zip(1_u64..);
    Ok(lines.filter(|(line, _)| !line.as_ref().is_ok_and(String::is_empty)).map(move |(line, number)| {
        serde_json::from_str(&line.map_err(failed)?)
            .map_err(|error| Error::Invalid(format!("{}: line {number}: {error}", path.display())))
    }))
}

/// The lines of the run that is under way.
pub(super) struct CocoSpool {
    lines: Option<Result<Lines>>,
    to: PathBuf,
}

type Lines = BufWriter<tempfile::NamedTempFile>;

impl CocoSpool {
    /// Does nothing, now and later, unless a COCO file is wanted.
    pub(super) fn new(options: &BatchOptions) -> Self {
        let wanted = options.outputs.formats.contains(&Format::Coco);
        let create = || {
            let failed = |source| Error::Write { path: options.output.clone(), source };
            let file = tempfile::Builder::new().prefix(".clothseg-coco-").tempfile_in(&options.output);
            file.map(BufWriter::new).map_err(failed)
        };
        Self { lines: wanted.then(create), to: options.output.join(FILE_NAME) }
    }

    /// Adds a photo that is done. One that cannot be added is not done.
    pub(super) fn add(&mut self, outcome: Outcome) -> Outcome {
        let Outcome { name, result } = outcome;
        let result = result.and_then(|done| {
            if let (Some(Ok(lines)), Some(photo)) = (&mut self.lines, &done.coco) {
                let failed = |source| Error::Write { path: self.to.clone(), source };
                serde_json::to_writer(&mut *lines, photo).map_err(|error| failed(error.into()))?;
                lines.write_all(b"\n").map_err(failed)?;
            }
            Ok(done)
        });
        Outcome { name, result }
    }

    /// Writes the file; what goes wrong is reported under its name.
    pub(super) fn finish(self, segmenter: &Segmenter, options: &BatchOptions, report: &mut dyn FnMut(Outcome)) {
        let Some(lines) = self.lines else { return };
        let result = lines.and_then(|mut lines| {
            lines.flush().map_err(|source| Error::Write { path: self.to.clone(), source })?;
            let info = CocoInfo::new(&segmenter.spec().name);
            let path = lines.get_ref().path();
            coco_from_lines(path, &self.to, &segmenter.spec().taxonomy, &options.classes, &info)
        });
        if let Err(error) = result {
            report(Outcome { name: self.to.display().to_string(), result: Err(error) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_a_file_and_a_bad_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (lines, to) = (folder.path().join("lines"), folder.path().join("coco.json"));
        let taxonomy = Taxonomy::builtin("garments").unwrap();
        let info = CocoInfo::new("tiny");
        let photo = r#"{"file_name":"a.jpg","width":3,"height":2,"annotations":[]}"#;
        std::fs::write(&lines, format!("{photo}\n\n{photo}\n")).unwrap();
        coco_from_lines(&lines, &to, &taxonomy, &[1], &info).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&to).unwrap()).unwrap();
        assert_eq!(json["images"].as_array().unwrap().len(), 2);
        std::fs::write(&lines, format!("{photo}\n{{\"file_name\"")).unwrap();
        let error = coco_from_lines(&lines, &to, &taxonomy, &[1], &info).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
        assert!(to.exists(), "the file of before stays");
    }
}
