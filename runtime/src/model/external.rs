//! Weights that an ONNX file keeps in other files beside it, as `torch.onnx.export` writes them by default.
//!
//! They are put into the model's bytes when it is read: then both engines run it wherever the process works, one hash names
//! the model with its weights, and nothing is read later from a place that has changed. Where a file may lie is decided here
//! alone: beside the model, never in the working folder, never outside.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::kinds;
use crate::error::{Error, Result};
use crate::onnx::{External, Part, children, external_data};

/// Largest model with its weights in one, in bytes: the limit of protobuf.
const MAX_BYTES: u64 = (2 << 30) - 1;

/// TensorProto: where the bytes of a tensor stand, by field number.
const RAW_DATA_FIELD: u32 = 9;

/// Refuses bytes whose weights are elsewhere: without a path nothing says where.
///
/// # Errors
/// [`Error::NotOnnx`].
pub(crate) fn refuse(onnx: &[u8]) -> Result<()> {
    match first_location(Part::Model, onnx)? {
        Some(location) => Err(not_onnx(format!(
            "its weights are in another file, '{location}': open the model by its path, or export it in one file"
        ))),
        None => Ok(()),
    }
}

/// The same model with the weights that it keeps in files beside `path` put into it.
///
/// # Errors
/// [`Error::NotOnnx`] for a file that is not beside the model, is missing, or is too short; [`Error::Read`].
pub(crate) fn inline(path: &Path, onnx: Vec<u8>) -> Result<Vec<u8>> {
    if first_location(Part::Model, &onnx)?.is_none() {
        return Ok(onnx);
    }
    let mut files = Files::beside(path)?;
    let length = length(&mut files, Part::Model, &onnx, 0)?;
    if length > MAX_BYTES {
        return Err(not_onnx(format!(
            "with its weights it has {length} bytes, and such a file has at most 2 GiB; export it in 16 bits"
        )));
    }
    let mut out = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    write(&mut files, Part::Model, &onnx, 0, &mut out)?;
    Ok(out)
}

fn not_onnx(reason: String) -> Error {
    Error::NotOnnx { reason }
}

/// Graphs within graphs within graphs: no real model has so many.
const MAX_DEPTH: usize = 64;

fn first_location(kind: Part, message: &[u8]) -> Result<Option<String>> {
    fn look(kind: Part, message: &[u8], depth: usize) -> Result<Option<String>> {
        if depth > MAX_DEPTH {
            return Err(not_onnx("its graphs are nested too deeply".into()));
        }
        if kind == Part::Tensor {
            return Ok(external_data(message)?.map(|external| external.location));
        }
        for (child, field) in children(kind, message)? {
            if let Some(child) = child
                && let Some(location) = look(child, field.content, depth + 1)?
            {
                return Ok(Some(location));
            }
        }
        Ok(None)
    }
    look(kind, message, 0)
}

/// Bytes that the message will have.
fn length(files: &mut Files, kind: Part, message: &[u8], depth: usize) -> Result<u64> {
    if kind == Part::Tensor {
        let Some(external) = external_data(message)? else { return Ok(message.len() as u64) };
        let (_, data) = files.find(&external)?;
        return Ok(external.rest.len() as u64 + framed(RAW_DATA_FIELD, data));
    }
    if depth > MAX_DEPTH {
        return Err(not_onnx("its graphs are nested too deeply".into()));
    }
    let mut total = 0;
    for (child, field) in children(kind, message)? {
        total += match child {
            Some(child) => framed(field.number, length(files, child, field.content, depth + 1)?),
            None => field.bytes.len() as u64,
        };
    }
    Ok(total)
}

/// Bytes of a field of this many bytes with its key and length.
fn framed(number: u32, length: u64) -> u64 {
    (encoded_len_varint(u64::from(number) << 3) + encoded_len_varint(length)) as u64 + length
}

fn write(files: &mut Files, kind: Part, message: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<()> {
    if kind == Part::Tensor {
        let Some(external) = external_data(message)? else {
            out.extend_from_slice(message);
            return Ok(());
        };
        out.extend_from_slice(&external.rest);
        let (path, data) = files.find(&external)?;
        encode_key(RAW_DATA_FIELD, WireType::LengthDelimited, out);
        encode_varint(data, out);
        return files.read(&path, external.offset, data, out);
    }
    for (child, field) in children(kind, message)? {
        let Some(child) = child else {
            out.extend_from_slice(field.bytes);
            continue;
        };
        encode_key(field.number, WireType::LengthDelimited, out);
        encode_varint(length(files, child, field.content, depth + 1)?, out);
        write(files, child, field.content, depth + 1, out)?;
    }
    Ok(())
}

/// The files beside a model.
struct Files {
    /// The model's folder as it was named, and the one that its file really lies in: a cache of downloads has links to the
    /// files of one folder.
    folders: Vec<PathBuf>,
    folder: PathBuf,
    found: HashMap<String, (PathBuf, u64)>,
    open: Option<(PathBuf, File)>,
}

impl Files {
    fn beside(model: &Path) -> Result<Self> {
        let failed = |source| Error::Read { path: model.to_owned(), source };
        let folder = match model.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let real = std::fs::canonicalize(model).map_err(failed)?;
        let mut folders = vec![std::fs::canonicalize(&folder).map_err(failed)?];
        folders.extend(real.parent().map(Path::to_owned));
        Ok(Self { folders, folder, found: HashMap::new(), open: None })
    }

    /// The file of some weights, and how many bytes of it they are.
    fn find(&mut self, external: &External) -> Result<(PathBuf, u64)> {
        let location = external.location.as_str();
        let (path, size) = match self.found.get(location) {
            Some(found) => found.clone(),
            None => {
                let found = self.look(location)?;
                self.found.insert(location.to_owned(), found.clone());
                found
            }
        };
        let length = match external.length {
            Some(length) => length,
            None => size.saturating_sub(external.offset),
        };
        if external.offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(not_onnx(format!(
                "its weights' file {} has {size} bytes, and {length} from byte {} on are needed: it is cut off, or of another \
                 model; copy it again",
                path.display(),
                external.offset
            )));
        }
        Ok((path, length))
    }

    fn look(&self, location: &str) -> Result<(PathBuf, u64)> {
        let Some(relative) = beside(location) else {
            return Err(not_onnx(format!(
                "its weights are said to be in '{location}', which is not beside the model; nothing is read from there"
            )));
        };
        let named = self.folder.join(relative);
        let missing = || {
            not_onnx(format!(
                "its weights are in a second file, '{location}', and {} is not there: put it beside the model, or export the \
                 model in one file (torch.onnx.export with external_data=False)",
                named.display()
            ))
        };
        let real = std::fs::canonicalize(&named).map_err(|_| missing())?;
        if !self.folders.iter().any(|folder| real.starts_with(folder)) {
            return Err(not_onnx(format!(
                "its weights '{location}' lead out of the model's folder, to {}; nothing is read from there",
                real.display()
            )));
        }
        let facts = std::fs::metadata(&real).map_err(|source| Error::Read { path: named.clone(), source })?;
        if !facts.is_file() {
            return Err(missing());
        }
        if facts.len() < kinds::HEAD_BYTES as u64 {
            let head = std::fs::read(&real).map_err(|source| Error::Read { path: named.clone(), source })?;
            if kinds::is_git_lfs_pointer(&head) {
                return Err(not_onnx(format!("its weights' file {} is {}", named.display(), kinds::GIT_LFS)));
            }
        }
        Ok((real, facts.len()))
    }

    fn read(&mut self, path: &Path, offset: u64, length: u64, out: &mut Vec<u8>) -> Result<()> {
        let failed = |source| Error::Read { path: path.to_owned(), source };
        if self.open.as_ref().is_none_or(|(open, _)| open != path) {
            self.open = Some((path.to_owned(), File::open(path).map_err(failed)?));
        }
        let Some((_, file)) = &mut self.open else {
            return Err(failed(std::io::ErrorKind::NotFound.into()));
        };
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let before = out.len();
        file.take(length).read_to_end(out).map_err(failed)?;
        if (out.len() - before) as u64 == length {
            Ok(())
        } else {
            Err(failed(std::io::ErrorKind::UnexpectedEof.into()))
        }
    }
}

/// The path of a location below the model's folder: parts with `/` between them. Nothing for one that leads elsewhere.
fn beside(location: &str) -> Option<PathBuf> {
    let text = location.replace('\\', "/");
    let path = Path::new(&text);
    let stays = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    // A drive of another system is no file's name either.
    let has_drive = text.as_bytes().get(1) == Some(&b':');
    let is_file = !text.is_empty() && !text.contains('\0');
    (is_file && stays && !has_drive)
        .then(|| path.components().filter(|part| matches!(part, Component::Normal(_))).collect())
}

#[cfg(test)]
mod tests;
