//! A place to run `clothseg-run` in, with a model that needs no training.

#![allow(dead_code, unused_imports, clippy::unwrap_used)]

#[path = "../../../tests/support/mod.rs"]
mod models;

use std::path::{Path, PathBuf};

use assert_cmd::Command;

pub use models::*;

/// A PNG as it is stored: a palette is not applied.
pub struct RawPng {
    /// Kind of pixels and bits a value.
    pub kind: (png::ColorType, png::BitDepth),
    pub size: (u32, u32),
    pub pixels: Vec<u8>,
    pub palette: Option<Vec<u8>>,
}

pub fn raw_png(path: &Path) -> RawPng {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    let palette = reader.info().palette.as_ref().map(|colors| colors.to_vec());
    RawPng { kind: (frame.color_type, frame.bit_depth), size: (frame.width, frame.height), pixels, palette }
}

/// The class indices of a labels file.
pub fn label_indices(path: &Path) -> image::GrayImage {
    let png = raw_png(path);
    assert_eq!(png.kind, (png::ColorType::Indexed, png::BitDepth::Eight));
    image::GrayImage::from_raw(png.size.0, png.size.1, png.pixels).unwrap()
}

/// A folder with the colour model in it, in which the CLI runs.
pub struct TestEnv {
    folder: tempfile::TempDir,
}

impl TestEnv {
    pub fn new() -> Self {
        let env = Self { folder: tempfile::tempdir().unwrap() };
        env.write("colours.onnx", &color_model());
        env
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn photo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        drawn_photo(96, 128).save(&path).unwrap();
        path
    }

    /// Photos of different sizes below a folder, some of them in folders of their own: `in/00.png`, `in/b/01.png`.
    pub fn photos(&self, below: &str, count: u32) {
        for number in 0..count {
            let folder = if number % 2 == 0 { "" } else { "b/" };
            let photo = drawn_photo(40 + number, 64 + number % 7).into();
            self.save(&format!("{below}/{folder}{number:02}.png"), &photo);
        }
    }

    /// Writes an image in the format of its name.
    pub fn save(&self, name: &str, image: &image::DynamicImage) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image.save(&path).unwrap();
        path
    }

    /// `clothseg-run` with the colour model and the embedded engine, so that a test means the same everywhere.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.run_plain(&[&["--model", "colours.onnx", "--provider", "embedded"], arguments].concat())
    }

    /// The same, started and not waited for.
    pub fn start(&self, arguments: &[&str]) -> std::process::Child {
        self.start_with(std::process::Stdio::null(), arguments)
    }

    /// The same with a standard input that the child's handle holds open.
    pub fn start_with_stdin(&self, arguments: &[&str]) -> std::process::Child {
        self.start_with(std::process::Stdio::piped(), arguments)
    }

    fn start_with(&self, stdin: std::process::Stdio, arguments: &[&str]) -> std::process::Child {
        std::process::Command::new(env!("CARGO_BIN_EXE_clothseg-run"))
            .current_dir(self.folder.path())
            .args(["--model", "colours.onnx", "--provider", "embedded"])
            .args(arguments)
            .stdin(stdin)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The same as [`TestEnv::run`], with an environment variable.
    pub fn run_with_variable(&self, name: &str, value: &str, arguments: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clothseg-run"));
        command.env(name, value);
        self.finish(command, &[&["--model", "colours.onnx", "--provider", "embedded"], arguments].concat(), b"")
    }

    /// The whole lines of a manifest.
    pub fn manifest(&self, name: &str) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// `clothseg-run` with these arguments only.
    pub fn run_plain(&self, arguments: &[&str]) -> Run {
        self.run_with_stdin(arguments, b"")
    }

    /// A copy of `clothseg-run` in `bin`, out of the checkout, where no environment variable leads to ONNX Runtime.
    pub fn run_elsewhere(&self, arguments: &[&str]) -> Run {
        let binary = self.path("bin/clothseg-run");
        std::fs::create_dir_all(self.path("bin")).unwrap();
        if !binary.exists() {
            // A copy is open for writing for a moment, and a process that another test starts just then keeps it so: "text file busy".
            let program = env!("CARGO_BIN_EXE_clothseg-run");
            std::fs::hard_link(program, &binary).or_else(|_| std::fs::copy(program, &binary).map(drop)).unwrap();
        }
        let mut command = Command::new(binary);
        for name in ["ORT_DYLIB_PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "PATH"] {
            command.env_remove(name);
        }
        self.finish(command, arguments, b"")
    }

    pub fn run_with_stdin(&self, arguments: &[&str], stdin: &[u8]) -> Run {
        self.finish(Command::new(env!("CARGO_BIN_EXE_clothseg-run")), arguments, stdin)
    }

    fn finish(&self, mut command: Command, arguments: &[&str], stdin: &[u8]) -> Run {
        let output = command.current_dir(self.folder.path()).args(arguments).write_stdin(stdin).output().unwrap();
        Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Files below a folder, relative, sorted; manifests left out.
    pub fn files(&self, below: &str) -> Vec<String> {
        let is_manifest = |name: &String| name.starts_with("manifest") && name.ends_with(".jsonl");
        self.all_files(below).into_iter().filter(|name| !is_manifest(name)).collect()
    }

    /// Files below a folder, relative, sorted.
    pub fn all_files(&self, below: &str) -> Vec<String> {
        let root = self.path(below);
        let name = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
        let entries = walkdir::WalkDir::new(&root).into_iter().flatten();
        let mut files: Vec<String> =
            entries.filter(|entry| entry.file_type().is_file()).map(|entry| name(entry.path())).collect();
        files.sort();
        files
    }
}

/// How a run of the CLI ended.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Asserts the exit status and that the messages hold each text.
    #[track_caller]
    pub fn expect(&self, code: i32, texts: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for text in texts {
            assert!(self.stderr.contains(text), "'{text}' is not in: {self:#?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }
}
