//! What can go wrong, each with the file or key that it is about and what to do next.

use std::path::{Path, PathBuf};

/// An error of the trainer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `read`, `write`, `list` ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file was read and does not hold what it should.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        cause: String,
    },
    /// A config says something that cannot be done.
    #[error("{}: key `{key}`: {cause}", path.display())]
    Config {
        /// The config file.
        path: PathBuf,
        /// The key, with its tables: `model.width`.
        key: String,
        /// What is wrong and what may stand there.
        cause: String,
    },
    /// The data has damage and the config says to refuse it.
    #[error("{}", refused_text(found, *total))]
    Damage {
        /// Pairs with damage, the first ones.
        found: Vec<String>,
        /// How many pairs have damage.
        total: usize,
    },
    /// The run folder and the request do not fit.
    #[error("run folder {}: {cause}", path.display())]
    Run {
        /// The run folder.
        path: PathBuf,
        /// What is wrong and what to do.
        cause: String,
    },
    /// The device that was asked for cannot train.
    #[error("no device to train on: {cause}")]
    Device {
        /// What is missing and what to do.
        cause: String,
    },
    /// Training went wrong.
    #[error("training stopped at epoch {epoch}, step {step}: {cause}")]
    Training {
        /// Epoch, from 1.
        epoch: usize,
        /// Step in the whole run, from 1.
        step: usize,
        /// What happened and what to do.
        cause: String,
    },
    /// The model could not be written as ONNX.
    #[error("cannot export to {}: {cause}", path.display())]
    Export {
        /// The file that was asked for; it was not written.
        path: PathBuf,
        /// What happened.
        cause: String,
    },
    /// A chart or another picture could not be made.
    #[error("cannot draw {picture}: {cause}")]
    Picture {
        /// Which one: its title or file.
        picture: String,
        /// What happened and what to do.
        cause: String,
    },
    /// The runtime reports an error.
    #[error(transparent)]
    Runtime(#[from] clothseg::Error),
}

/// The trainer's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An [`Error::Io`].
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { action, path, source }
    }

    /// What is wrong with the model in a file, with the file's name where the runtime does not say it.
    pub fn model(path: &Path) -> impl Fn(clothseg::Error) -> Error + '_ {
        move |error| match error {
            clothseg::Error::NotOnnx { .. } | clothseg::Error::BadSpec { .. } => Error::file(path, error.chain()),
            error => error.into(),
        }
    }

    /// The message with its causes, on one line.
    pub fn chain(&self) -> String {
        match self {
            Error::Runtime(error) => error.chain(),
            error => error.to_string(),
        }
    }

    /// An [`Error::Picture`].
    pub fn picture(picture: impl Into<String>, cause: impl Into<String>) -> Error {
        Error::Picture { picture: picture.into(), cause: cause.into() }
    }

    /// An [`Error::File`].
    pub fn file(path: impl AsRef<Path>, cause: impl Into<String>) -> Error {
        Error::File { path: path.as_ref().to_path_buf(), cause: cause.into() }
    }
}

fn refused_text(found: &[String], total: usize) -> String {
    let more = total.saturating_sub(found.len());
    let tail = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    format!(
        "{} (repair {}, or set on_damage = \"skip\" in [data]; `prepare` takes --on-damage skip):\n  {}{tail}",
        crate::counted::counted(total, "damaged example", "damaged examples"),
        if total == 1 { "it" } else { "them" },
        found.join("\n  ")
    )
}
