//! A model file and its description, read once.

pub(crate) mod external;
pub(crate) mod kinds;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::onnx::Interface;
use crate::spec::{ModelSpec, read_model};

/// Where models lie in a folder of Hugging Face.
const IN_FOLDER: [&str; 2] = ["model.onnx", "onnx/model.onnx"];

/// An ONNX file and what it expects and returns. No engine is open yet: see
/// [`Segmenter::open_model`](crate::Segmenter::open_model).
#[derive(Debug, Clone)]
pub struct Model {
    onnx: Cow<'static, [u8]>,
    spec: ModelSpec,
    path: Option<PathBuf>,
}

impl Model {
    /// Reads an ONNX file that describes itself, or has a description beside it (see [`ModelSpec::of_model`]). Weights in
    /// other files (`model.onnx.data`) are read with it, from the model's own folder only. A folder stands for the
    /// `model.onnx` or `onnx/model.onnx` in it.
    ///
    /// # Errors
    /// [`Error::Read`](crate::Error::Read); [`Error::NotOnnx`](crate::Error::NotOnnx), which names what the file is
    /// instead; [`Error::MissingSpec`](crate::Error::MissingSpec), [`Error::BadSpec`](crate::Error::BadSpec).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = model_file(path.as_ref())?;
        let onnx = read_whole(&path)?;
        let spec = ModelSpec::of_model(&path, &onnx)?;
        Ok(Self { onnx: onnx.into(), spec, path: Some(path) })
    }

    /// Reads an ONNX file as [`Model::open`] and describes it by `spec`, whatever it says of itself.
    ///
    /// # Errors
    /// [`Error::Read`](crate::Error::Read), [`Error::NotOnnx`](crate::Error::NotOnnx) and
    /// [`Error::BadSpec`](crate::Error::BadSpec).
    pub fn open_as(path: impl AsRef<Path>, spec: ModelSpec) -> Result<Self> {
        let path = model_file(path.as_ref())?;
        spec.validate()?;
        Ok(Self { onnx: read_whole(&path)?.into(), spec, path: Some(path) })
    }

    /// Takes the content of an ONNX file, its weights included, and its description.
    ///
    /// # Errors
    /// [`Error::NotOnnx`](crate::Error::NotOnnx) and [`Error::BadSpec`](crate::Error::BadSpec).
    pub fn from_bytes(onnx: impl Into<Cow<'static, [u8]>>, spec: ModelSpec) -> Result<Self> {
        let onnx = onnx.into();
        spec.validate()?;
        check(&onnx)?;
        external::refuse(&onnx)?;
        Ok(Self { onnx, spec, path: None })
    }

    /// Takes the content of an ONNX file, its weights included, that describes itself.
    ///
    /// # Errors
    /// [`Error::NotOnnx`](crate::Error::NotOnnx); [`Error::BadSpec`](crate::Error::BadSpec), where it has no description, too.
    pub fn from_onnx(onnx: impl Into<Cow<'static, [u8]>>) -> Result<Self> {
        let onnx = onnx.into();
        let spec = ModelSpec::from_onnx(&onnx)?
            .ok_or_else(|| Error::BadSpec { reason: "the ONNX file has none in its metadata".into() })?;
        external::refuse(&onnx)?;
        Ok(Self { onnx, spec, path: None })
    }

    /// The content of the ONNX file, with the weights that stand in other files in it.
    pub fn onnx(&self) -> &[u8] {
        &self.onnx
    }

    /// What the model expects and returns.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The file that it was read from.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

/// The file that a name stands for: itself, or the model in a folder.
fn model_file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let found = IN_FOLDER.iter().map(|name| path.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| Error::NotOnnx {
        reason: match kinds::by_name(path) {
            Some(kind) => format!("{} is {kind}", path.display()),
            None if path.join("last.ckpt").is_file() => {
                format!("{} is a run of clothseg-train: export it to ONNX, and name that file", path.display())
            }
            None => {
                let others = match &onnx_files(path)[..] {
                    [] if has_weights(path) => "; it holds PyTorch weights: export them to ONNX first".to_owned(),
                    [] => String::new(),
                    [name] => format!("; name the file in it: {name}"),
                    names => format!("; name one of the files in it: {}", names.join(", ")),
                };
                format!("{} is a folder without {}{others}", path.display(), IN_FOLDER.join(" or "))
            }
        },
    })
}

/// Whether weights of PyTorch lie in a folder.
fn has_weights(folder: &Path) -> bool {
    ["model.safetensors", "pytorch_model.bin"].iter().any(|name| folder.join(name).is_file())
}

/// The ONNX files in a folder and in the folder `onnx` in it, by their paths below it.
fn onnx_files(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for below in ["", "onnx"] {
        let entries = std::fs::read_dir(folder.join(below)).into_iter().flatten().flatten();
        let paths = entries.map(|entry| Path::new(below).join(entry.file_name()));
        let is_onnx = |path: &PathBuf| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"));
        names.extend(paths.filter(is_onnx).map(|path| path.display().to_string()));
    }
    names.sort();
    names
}

/// Reads a model with its weights, or says what the file is instead.
fn read_whole(path: &Path) -> Result<Vec<u8>> {
    let named = |error: Error| match error {
        Error::NotOnnx { reason } => {
            let reason = match kinds::by_name(path) {
                Some(kind) if !reason.starts_with("it is ") => format!("it is {kind} ({reason})"),
                _ => reason,
            };
            Error::NotOnnx { reason: format!("{}: {reason}", path.display()) }
        }
        error => error,
    };
    let onnx = read_model(path)?;
    check(&onnx).map_err(named)?;
    external::inline(path, onnx).map_err(|error| match error {
        Error::NotOnnx { reason } => Error::NotOnnx { reason: format!("{}: {reason}", path.display()) },
        error => error,
    })
}

/// Refuses what is no ONNX file by what it is.
fn check(onnx: &[u8]) -> Result<()> {
    match kinds::by_content(onnx) {
        Some(kind) => Err(Error::NotOnnx { reason: format!("it is {kind}") }),
        None => Interface::of(onnx).map(drop).map_err(|error| match error {
            // The first field of every ONNX file is the version of the format.
            Error::NotOnnx { reason } if onnx.first() == Some(&IR_VERSION_KEY) => {
                Error::NotOnnx { reason: format!("it is cut off or damaged: copy it again ({reason})") }
            }
            error => error,
        }),
    }
}

/// Key of the field `ir_version`, with which writers of ONNX begin.
const IR_VERSION_KEY: u8 = 0x08;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path) -> String {
        Model::open(path).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_model_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, bytes: &[u8]| std::fs::write(at(name), bytes).unwrap();
        // The version of the format, and a graph of which most is missing.
        write("cut.onnx", &[0x08, 8, 0x3a, 99, 1]);
        assert!(
            refused(&at("cut.onnx")).contains("it is cut off or damaged: copy it again"),
            "{}",
            refused(&at("cut.onnx"))
        );
        std::fs::create_dir_all(at("hub/onnx")).unwrap();
        assert!(refused(&at("hub")).ends_with("hub is a folder without model.onnx or onnx/model.onnx"));
        std::fs::write(at("hub").join("model.safetensors"), "").unwrap();
        assert!(refused(&at("hub")).ends_with("it holds PyTorch weights: export them to ONNX first"));
        write("hub/a.onnx", b"");
        assert!(refused(&at("hub")).ends_with("; name the file in it: a.onnx"));
        write("hub/onnx/b.ONNX", b"");
        let named = format!("; name one of the files in it: a.onnx, {}", Path::new("onnx").join("b.ONNX").display());
        assert!(refused(&at("hub")).ends_with(&named), "{}", refused(&at("hub")));
        std::fs::create_dir_all(at("run")).unwrap();
        write("run/last.ckpt", b"CLOTHCK2");
        assert!(refused(&at("run")).contains("export it to ONNX"));
    }
}
