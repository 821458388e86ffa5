//! What the integration tests share: a model that needs no training, photos drawn for it, and a place to run the CLI.

#![allow(dead_code, clippy::unwrap_used)]

pub mod foreign;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use clothseg::spec::{Fit, InputSpec, ModelSpec, OutputSpec};
use clothseg::{Class, Taxonomy};
use image::{Rgb, RgbImage};
use prost::Message;
use tract_onnx::pb;

/// Colours that the colour model tells apart.
pub const RED: Rgb<u8> = Rgb([230, 20, 20]);
pub const BLUE: Rgb<u8> = Rgb([20, 20, 230]);
pub const GREY: Rgb<u8> = Rgb([90, 90, 90]);

/// Stride of the colour model.
const STRIDE: i64 = 2;

/// An ONNX model of one 2 x 2 convolution at stride 2: red is a shirt, blue are pants, anything else is background.
pub fn color_model() -> Vec<u8> {
    color_spec().embed_in_onnx(&color_graph().encode_to_vec()).unwrap()
}

/// The same without a description.
pub fn model_without_spec() -> Vec<u8> {
    color_graph().encode_to_vec()
}

pub fn color_spec() -> ModelSpec {
    let classes = vec![
        Class::new("background", [0, 0, 0]),
        Class::new("shirt", [230, 60, 60]).with_aliases(["blouse"]),
        Class::new("pants", [60, 110, 220]).with_aliases(["trousers"]),
    ];
    let groups = [("garment".to_owned(), vec!["shirt".to_owned(), "pants".to_owned()])].into();
    let input = InputSpec {
        mean: [0.0; 3],
        std: [1.0; 3],
        ..InputSpec::imagenet(Fit::LongestSide { size: 128, multiple: 16 })
    };
    ModelSpec::new("colours", Taxonomy { classes, groups }, input, OutputSpec::logits(STRIDE as u32))
}

fn color_graph() -> pb::ModelProto {
    // Rows: background, shirt, pants; columns: red, green, blue. The kernel averages four pixels.
    let weights = [[0.0, 0.0, 0.0], [8.0, -4.0, -4.0], [-4.0, -4.0, 8.0]];
    let kernel = weights.iter().flatten().flat_map(|weight| [weight / 4.0; 4]).collect();
    let attributes = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[STRIDE, STRIDE])];
    let graph = pb::GraphProto {
        name: "colours".into(),
        node: vec![node("Conv", &["input", "weight", "bias"], "logits", attributes)],
        initializer: vec![floats("weight", &[3, 3, 2, 2], kernel), floats("bias", &[3], vec![2.0, 0.0, 0.0])],
        input: vec![tensor("input", ["batch", "3", "height", "width"])],
        output: vec![tensor("logits", ["batch", "3", "rows", "columns"])],
        ..Default::default()
    };
    model(graph)
}

fn model(graph: pb::GraphProto) -> pb::ModelProto {
    pb::ModelProto {
        ir_version: 8,
        opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: 17 }],
        graph: Some(graph),
        ..Default::default()
    }
}

/// A node with one output, which names it too.
fn node(operator: &str, inputs: &[&str], output: &str, attribute: Vec<pb::AttributeProto>) -> pb::NodeProto {
    pb::NodeProto {
        name: output.into(),
        op_type: operator.into(),
        input: inputs.iter().map(|input| (*input).into()).collect(),
        output: vec![output.into()],
        attribute,
        ..Default::default()
    }
}

fn ints(name: &str, values: &[i64]) -> pb::AttributeProto {
    let mut attribute = pb::AttributeProto { name: name.into(), ints: values.to_vec(), ..Default::default() };
    attribute.set_type(pb::attribute_proto::AttributeType::Ints);
    attribute
}

fn floats(name: &str, dims: &[i64], float_data: Vec<f32>) -> pb::TensorProto {
    let data_type = pb::tensor_proto::DataType::Float as i32;
    pb::TensorProto { name: name.into(), dims: dims.to_vec(), data_type, float_data, ..Default::default() }
}

/// A float tensor; sides that are numbers are fixed, others symbolic.
fn tensor(name: &str, sides: [&str; 4]) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension::Value};
    let dimension = |side: &str| {
        let value = side.parse().map_or_else(|_| Value::DimParam(side.into()), Value::DimValue);
        Dimension { value: Some(value), ..Default::default() }
    };
    let shape = pb::TensorShapeProto { dim: sides.map(dimension).into() };
    let tensor = pb::type_proto::Tensor { elem_type: pb::tensor_proto::DataType::Float as i32, shape: Some(shape) };
    let value = Some(pb::type_proto::Value::TensorType(tensor));
    pb::ValueInfoProto {
        name: name.into(),
        r#type: Some(pb::TypeProto { value, ..Default::default() }),
        ..Default::default()
    }
}

/// A grey photo with a red square in the upper half and a blue one in the lower half.
pub fn drawn_photo(width: u32, height: u32) -> RgbImage {
    let inside = |x: u32| x >= width / 4 && x < width * 3 / 4;
    RgbImage::from_fn(width, height, |x, y| match y * 8 / height {
        1 | 2 if inside(x) => RED,
        5 | 6 if inside(x) => BLUE,
        _ => GREY,
    })
}

/// A grey photo with a red frame in it, whose hole holds a blue square that touches it.
pub fn ring_photo(width: u32, height: u32) -> RgbImage {
    let within = |x: u32, y: u32, tenths: u32| {
        let inside = |at: u32, side: u32| at >= side * tenths / 20 && at < side * (20 - tenths) / 20;
        inside(x, width) && inside(y, height)
    };
    RgbImage::from_fn(width, height, |x, y| {
        if within(x, y, 6) && x >= width / 2 {
            BLUE
        } else if within(x, y, 2) && !within(x, y, 6) {
            RED
        } else {
            GREY
        }
    })
}

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
        std::process::Command::new(env!("CARGO_BIN_EXE_clothseg-run"))
            .current_dir(self.folder.path())
            .args(["--model", "colours.onnx", "--provider", "embedded"])
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
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
        std::fs::copy(env!("CARGO_BIN_EXE_clothseg-run"), &binary).unwrap();
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
