//! The command lines of `clothseg-run` in the documents, run as they stand there, and their Rust code, which the documentation
//! of the packages compiles.

#![allow(clippy::unwrap_used)]
#![cfg(all(unix, feature = "default-model"))]

use std::path::Path;
use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

const DOCUMENTS: [&str; 4] = ["README.md", "docs/guide.md", "docs/foreign-models.md", "runtime/cli/README.md"];

/// What cannot be run here: other programs, models that are not ours, what never ends, and files outside of the folder.
const LEFT_OUT: [&str; 10] = [
    "pip install",
    "cargo install",
    "docker ",
    "--watch",
    "runs/mine",
    "mine.onnx",
    "u2net_cloth_seg.onnx",
    "segformer_b2_clothes.onnx",
    "~/",
    "/mnt/",
];

/// The lines of a document's shell blocks that call the program.
fn commands(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(ROOT).join(document)).unwrap().replace("\\\n", " ");
    let mut in_shell = false;
    let mut found = Vec::new();
    for line in text.lines() {
        match line.trim() {
            "```sh" => in_shell = true,
            "```" => in_shell = false,
            line if in_shell && line.contains("clothseg-run ") => found.push(line.to_owned()),
            _ => {}
        }
    }
    found
}

/// The lines of Rust in a text's blocks, without comments at their ends and without what rustdoc hides.
fn rust_lines(text: &str) -> Vec<String> {
    let mut in_rust = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        match line {
            "```rust" | "```no_run" | "```rust,no_run" => in_rust = true,
            "```" => in_rust = false,
            line if in_rust && !line.starts_with("# ") => {
                let code = line.split(" //").next().unwrap_or(line).trim();
                if !code.is_empty() {
                    found.push(code.to_owned());
                }
            }
            _ => {}
        }
    }
    found
}

#[test]
fn every_line_of_rust_stands_in_documentation_that_is_compiled() {
    let read = |file: &str| std::fs::read_to_string(Path::new(ROOT).join(file)).unwrap();
    let documentation = ["runtime/src/lib.rs", "runtime/batch/src/lib.rs", "models/src/lib.rs"].map(|file| {
        let comments = |line: &str| line.strip_prefix("//!").map(|comment| format!("{comment}\n"));
        rust_lines(&read(file).lines().filter_map(comments).collect::<String>())
    });
    let compiled = documentation.concat();
    for document in ["README.md", "runtime/README.md", "runtime/batch/README.md", "models/README.md"] {
        let lines = rust_lines(&read(document));
        assert!(!lines.is_empty(), "{document} has no Rust");
        for line in lines {
            assert!(compiled.contains(&line), "{document}: no documentation of a package has the line '{line}'");
        }
    }
}

#[test]
fn every_command_line_does_what_its_document_says() {
    if std::env::var_os("ORT_DYLIB_PATH").is_none() {
        // ci/test sets it.
        assert!(std::env::var_os("CLOTHSEG_REQUIRE_ONNXRUNTIME").is_none(), "ORT_DYLIB_PATH is not set");
        eprintln!("skipped: without ONNX Runtime the built-in model takes too long in a debug build");
        return;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_clothseg-run")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut done = 0;
    for document in DOCUMENTS {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink(Path::new(ROOT).join("models"), at("models")).unwrap();
        std::fs::create_dir_all(at("photos/shop")).unwrap();
        let photo = Path::new(ROOT).join("samples/hopper.jpg");
        for name in ["photo.jpg", "other.png", "photos/1.jpg", "photos/shop/2.jpg"] {
            std::fs::copy(&photo, at(name)).unwrap();
        }
        std::fs::write(at("list.txt"), "photo.jpg\n").unwrap();
        for command in commands(document) {
            if LEFT_OUT.iter().any(|words| command.contains(words)) {
                continue;
            }
            let mut shell = Command::new("sh");
            shell.args(["-c", &command]).env("PATH", &path).current_dir(folder.path());
            let output = shell.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{document}: {command}\n{said}");
            assert!(!said.contains("no effect"), "{document}: {command}\n{said}");
            done += 1;
        }
    }
    assert!(done >= 18, "{done} command lines were found");
}
