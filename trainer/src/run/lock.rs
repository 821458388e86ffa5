//! One training at a time in a run's folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::error::{Error, Result};

/// The file that is locked. It stays when a training ends: one that removed it could take it from under the next.
const LOCK_FILE: &str = "train.lock";

/// Held while a training writes into a run's folder. The system releases it when the process ends, by a kill too.
#[derive(Debug)]
pub(super) struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the lock of the folder at `root`, which must exist.
    ///
    /// # Errors
    /// [`Error::Run`] where another training has it.
    pub(super) fn take(root: &Path) -> Result<Self> {
        let path = root.join(LOCK_FILE);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(Error::io("write", &path))?;
        // A file system without locks is no reason to refuse the work.
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            let cause = "another training writes into it; wait for it, or set another folder in `run`".to_owned();
            return Err(Error::Run { path: root.to_owned(), cause });
        }
        Ok(Self { _file: file })
    }
}
