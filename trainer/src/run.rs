//! A run: its folder, its checkpoints and its log, and what its config means for the network, the data and the loss.

pub mod checkpoint;
mod folder;
mod lock;
pub mod log;
mod settings;
mod setup;

pub use checkpoint::{Checkpoint, State};
pub use folder::RunFolder;
pub(crate) use settings::{same_settings, same_training};
