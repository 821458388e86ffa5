use std::path::PathBuf;

/// What can go wrong between a photo and its masks.
///
/// Every message names the thing at fault and what to do next; the underlying cause, where there is one, is in
/// [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file or folder could not be written.
    #[error("cannot write {path}; check that the folder exists, is writable and has room")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are no photo that this library reads, or a damaged one.
    #[error("not a readable photo: {reason}")]
    Decode {
        /// What is wrong with the bytes.
        reason: String,
        /// What the decoder said.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The photo ends before its last pixel.
    #[error("not a readable photo: it is cut off{}; copy or download it again", there(.percent))]
    CutOff {
        /// How much of its data is there, where that is known.
        percent: Option<u8>,
    },
    /// The photo, or its file, is larger than [`Limits`](crate::Limits) allow.
    #[error("too large: {found} {unit}, and at most {limit} are allowed")]
    TooLarge {
        /// Size found.
        found: u64,
        /// Largest size allowed.
        limit: u64,
        /// Unit of both.
        unit: &'static str,
    },
    /// Decoding a photo took longer than [`Limits`](crate::Limits) allow.
    #[error("decoding took longer than {limit:?}; raise the limit on time if the source is trusted")]
    DecodeTimeout {
        /// Longest time allowed.
        limit: std::time::Duration,
    },
    /// All pixels are needed of a photo that was decoded at a reduced size.
    #[error(
        "the photo was decoded at 1/{divisor} of its size, which is enough for masks and polygons and not for its pixels; \
         decode it with Detail::Full"
    )]
    ReducedPhoto {
        /// What its sides were divided by.
        divisor: u32,
    },
    /// A class name that the model does not have.
    #[error("unknown class '{name}'{}; the model has: {}{}", nearest_hint(.nearest), in_list(.known), groups_hint(.groups))]
    UnknownClass {
        /// The name asked for.
        name: String,
        /// The most similar name that exists.
        nearest: Option<String>,
        /// Every class of the model.
        known: Vec<String>,
        /// Every group of classes, which may be asked for like a class.
        groups: Vec<String>,
    },
    /// A file that should be an ONNX model is something else.
    #[error("not an ONNX model: {reason}")]
    NotOnnx {
        /// What is wrong with the bytes.
        reason: String,
    },
    /// An ONNX model that does not say what its classes and its input are.
    #[error(
        "the model has no description: neither metadata 'clothseg.spec' nor a file {sidecar} beside it, nor a config.json of \
         Hugging Face with id2label; write one of them (ModelSpec's documentation has the format)"
    )]
    MissingSpec {
        /// The sidecar that was looked for.
        sidecar: PathBuf,
    },
    /// A model description that cannot be used.
    #[error("bad model description: {reason}")]
    BadSpec {
        /// What is wrong with it.
        reason: String,
    },
    /// The provider asked for by name cannot run here.
    #[error("provider '{provider}' cannot run here: {reason}")]
    ProviderUnavailable {
        /// The provider's name.
        provider: &'static str,
        /// Why, and what to do about it.
        reason: String,
    },
    /// No ONNX Runtime could be loaded for a provider that needs it.
    #[error("provider '{provider}' cannot run here: {reason}")]
    NoOnnxRuntime {
        /// The provider's name.
        provider: &'static str,
        /// Why not.
        reason: String,
    },
    /// TensorRT was asked for without a folder in which it can keep its engines.
    #[error("TensorRT needs a folder for the engines that it builds (TensorrtOptions::cache)")]
    NoTensorrtCache,
    /// The engine failed to load or to run the model.
    #[error("the {engine} engine failed to {action}: {reason}")]
    Engine {
        /// Name of the engine.
        engine: &'static str,
        /// What it was doing.
        action: &'static str,
        /// What it said.
        reason: String,
    },
    /// The model gave an output that does not fit its description.
    #[error("the model's output does not fit its description: {reason}")]
    Output {
        /// What does not fit.
        reason: String,
    },
    /// A result could not be encoded.
    #[error("cannot encode the {what}: {reason}")]
    Encode {
        /// What was being encoded.
        what: &'static str,
        /// What the encoder said.
        reason: String,
    },
    /// A request that makes no sense, such as an empty region.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// The message followed by every cause, on one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let said = error.to_string();
            if !text.contains(said.trim()) {
                text.push_str(": ");
                text.push_str(said.trim());
            }
            cause = error.source();
        }
        text
    }
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn nearest_hint(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!(" (did you mean '{name}'?)"),
        None => String::new(),
    }
}

fn groups_hint(groups: &[String]) -> String {
    match groups {
        [] => String::new(),
        names => format!("; and the groups {}", in_list(names)),
    }
}

/// Names with commas between. One that holds commas is in quotation marks, as it has to be in a list.
fn in_list(names: &[String]) -> String {
    let quoted = |name: &String| if name.contains(',') { format!("\"{name}\"") } else { name.clone() };
    names.iter().map(quoted).collect::<Vec<_>>().join(", ")
}

fn there(percent: &Option<u8>) -> String {
    percent.map_or_else(String::new, |percent| format!(", and {percent} % of its data are there"))
}
