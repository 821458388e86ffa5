//! What a file is that was named as a model and is none, and what to do about it.

use std::path::Path;

/// As much of a file as tells its kind.
pub(crate) const HEAD_BYTES: usize = 1024;

/// What is said of a pointer of Git LFS.
pub(crate) const GIT_LFS: &str = "a Git LFS pointer, a text that stands for the file: fetch the file itself with `git lfs pull`, or \
     download it from the repository's page";

const PYTORCH: &str = "a PyTorch file (.pt, .pth), which holds weights and Python objects and no graph: load it in PyTorch, and export \
     it with torch.onnx.export";
const SAFETENSORS: &str = "a safetensors file, which holds weights and no graph: load it in PyTorch, and export it with \
     torch.onnx.export, or with `optimum-cli export onnx`";
const KERAS: &str = "a Keras file (.h5, .keras): convert it with tf2onnx";
const TFLITE: &str = "a TensorFlow Lite file (.tflite): convert it with `python -m tf2onnx.convert --tflite`";
const TENSORRT: &str = "a TensorRT engine (.engine, .plan), which is of one GPU and one version: name the ONNX file that it was built \
     from, and choose the provider TensorRT for the same speed";
const TENSORFLOW: &str = "a TensorFlow graph (.pb): convert it with tf2onnx";
const ORT_FORMAT: &str = "a file in ONNX Runtime's own format (.ort): name the ONNX file that it was made from";
const OPENVINO: &str = "an OpenVINO model (.xml, .bin): name the ONNX file that it was made from";
const COREML: &str =
    "a Core ML model: name the ONNX file that it was made from, or export the network anew with torch.onnx.export";
const NCNN: &str = "an ncnn model (.param, .bin): name the ONNX file that it was made from";
const PADDLE: &str = "a Paddle model: convert it with paddle2onnx";
const WEIGHTS: &str = "the weights of a model, not the model: name the .onnx file that belongs to them";
const ARCHIVE: &str = "an archive: unpack it, and name the .onnx file in it";
const PAGE: &str = "a web page: the download gave a page in place of the file; look whether it asks for a login";
const JSON: &str = "a JSON text: a description belongs beside the model, or is named apart from it";
const NUMPY: &str = "a NumPy file, which holds arrays and no graph";
const PHOTO: &str = "a picture";
const CHECKPOINT: &str = "a checkpoint of clothseg-train: export its run to ONNX, and name that file";

/// Whether these are the first bytes of a pointer of Git LFS.
pub(crate) fn is_git_lfs_pointer(head: &[u8]) -> bool {
    head.starts_with(b"version https://git-lfs.github.com/spec/")
}

/// What the bytes are, where they are plainly no ONNX file.
pub(crate) fn by_content(bytes: &[u8]) -> Option<&'static str> {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let at_four = head.get(4..8).unwrap_or_default();
    let is_page = |word: &[u8]| text.len() >= word.len() && text[..word.len()].eq_ignore_ascii_case(word);
    Some(match head {
        [] => "empty: copy it again",
        _ if head.iter().all(|byte| *byte == 0) => {
            "nothing but zeros: its copy or download was broken off; copy it again"
        }
        _ if head.starts_with(b"CLOTHCK") => CHECKPOINT,
        _ if is_git_lfs_pointer(head) => GIT_LFS,
        _ if head.starts_with(b"PK\x03\x04") => zipped(bytes),
        [0x80, 2..=5, ..] => PYTORCH,
        _ if is_safetensors(bytes) => SAFETENSORS,
        _ if head.starts_with(b"\x89HDF\r\n\x1a\n") => KERAS,
        _ if at_four == b"TFL3" => TFLITE,
        _ if at_four == b"ORTM" => ORT_FORMAT,
        _ if head.starts_with(b"ftrt") || head.starts_with(b"ptrt") => TENSORRT,
        _ if head.starts_with(b"7767517") => NCNN,
        _ if head.starts_with(b"\x93NUMPY") => NUMPY,
        _ if is_page(b"<!doctype html") || is_page(b"<html") => PAGE,
        _ if is_page(b"<?xml") || is_page(b"<net") => OPENVINO,
        _ if text.starts_with(b"{") => JSON,
        _ if head.starts_with(b"\x1f\x8b") || head.starts_with(b"7z\xbc\xaf") || head.starts_with(b"Rar!") => ARCHIVE,
        _ if head.get(257..262) == Some(b"ustar") => ARCHIVE,
        _ if head.starts_with(b"\xff\xd8\xff") || head.starts_with(b"\x89PNG") => PHOTO,
        _ => return None,
    })
}

/// What a file that cannot be read as ONNX is by its name.
pub(crate) fn by_name(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    Some(match extension.as_str() {
        "pt" | "pth" | "ckpt" | "pkl" => PYTORCH,
        "safetensors" => SAFETENSORS,
        "h5" | "hdf5" | "keras" => KERAS,
        "tflite" => TFLITE,
        "engine" | "plan" | "trt" => TENSORRT,
        "pb" | "pbtxt" => TENSORFLOW,
        "ort" => ORT_FORMAT,
        "xml" => OPENVINO,
        "mlmodel" | "mlpackage" => COREML,
        "param" => NCNN,
        "pdmodel" | "pdparams" | "pdiparams" => PADDLE,
        "data" | "onnx_data" | "bin" | "weights" => WEIGHTS,
        _ => return None,
    })
}

/// What kind of ZIP file it is, by the names of what is in it: they stand at its beginning and once more at its end.
fn zipped(bytes: &[u8]) -> &'static str {
    const ENDS: usize = 1 << 16;
    let tail = &bytes[bytes.len().saturating_sub(ENDS)..];
    let holds = |name: &[u8]| {
        [&bytes[..bytes.len().min(ENDS)], tail].iter().any(|part| memchr::memmem::find(part, name).is_some())
    };
    if holds(b"data.pkl") || holds(b"constants.pkl") {
        PYTORCH
    } else if holds(b"model.weights.h5") {
        KERAS
    } else if holds(b".npy") {
        NUMPY
    } else {
        ARCHIVE
    }
}

/// Eight bytes that tell the length of a JSON text, and the text.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return false };
    let length = u64::from_le_bytes(*length);
    length >= 2 && length <= rest.len() as u64 && rest.first() == Some(&b'{')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_kinds_are_told_by_their_first_bytes() {
        let safetensors = [&16_u64.to_le_bytes()[..], b"{\"a\":{}}        "].concat();
        let pytorch = [b"PK\x03\x04".as_slice(), &[0; 26], b"model/data.pkl", &[0; 99]].concat();
        for (bytes, word) in [
            (&b""[..], "empty"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
            (&pytorch, "PyTorch"),
            (b"PK\x03\x04 a.txt", "archive"),
            (b"\x80\x02\x8a\x0al\xfc", "PyTorch"),
            (&safetensors, "safetensors"),
            (b"\x89HDF\r\n\x1a\n\0\0", "Keras"),
            (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
            (b"ftrt\0\0", "TensorRT"),
            (b"\n<!DOCTYPE HTML><html>", "web page"),
            (&[0; 99], "nothing but zeros"),
            (b"CLOTHCK2\x10", "export its run"),
            (b"\xef\xbb\xbf {\"version\": 1}", "JSON"),
        ] {
            assert!(by_content(bytes).unwrap().contains(word), "{word}");
        }
    }

    #[test]
    fn an_onnx_file_is_not_taken_for_another_kind() {
        // ir_version, producer and a graph.
        assert_eq!(by_content(&[0x08, 8, 0x12, 2, b'p', b't', 0x3a, 0]), None);
        // A cut-off length is no safetensors.
        assert_eq!(by_content(&[0x08, 8, 0, 0, 0, 0, 0, 0, b'{']), None);
    }

    #[test]
    fn names_tell_what_bytes_do_not() {
        let of = |name: &str| by_name(Path::new(name));
        assert!(of("a/b.ENGINE").unwrap().contains("TensorRT") && of("x.onnx.data").unwrap().contains(".onnx file"));
        assert_eq!((of("a.onnx"), of("a")), (None, None));
    }
}
