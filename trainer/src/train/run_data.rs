//! What a run is told of its data before the first step: what the labels hold, and whether the files are those that it began
//! with.

use clothseg_batch::write_atomically;

use crate::data::{Contents, DataFiles, Dataset, Target};
use crate::error::{Error, Result};
use crate::run::RunFolder;

/// The data of a run.
pub(super) struct RunData<'a> {
    pub folder: &'a RunFolder,
    pub train: &'a Dataset,
    pub valid: &'a Dataset,
    pub target: &'a Target,
}

impl RunData<'_> {
    /// Counts what the labels hold, says it, and writes it into the run's folder. Returns the contents of the training data.
    ///
    /// # Errors
    /// Where nothing can be learnt from them.
    pub fn look(&self, learns_tags: bool) -> Result<Contents> {
        tracing::info!("counting the classes of {} examples", self.train.len() + self.valid.len());
        let train = Contents::count(self.train, self.target)?;
        let valid = Contents::count(self.valid, self.target)?;
        let path = self.folder.contents();
        let fail = |error: csv::Error| Error::file(&path, error.to_string());
        let rows = [train.csv("train").map_err(fail)?, valid.csv("valid").map_err(fail)?].concat();
        write_atomically(&path, &[b"data,label,pixels,photos\n", &rows[..]].concat())?;
        train.require_learnable(self.train, learns_tags)?;
        tracing::info!("{}", train.table());
        let unseen = train.unseen();
        if !unseen.is_empty() {
            tracing::warn!("never seen in training: {}", unseen.join(", "));
        }
        let in_training_alone: Vec<&str> = valid.unseen().into_iter().filter(|name| !unseen.contains(name)).collect();
        if !in_training_alone.is_empty() {
            tracing::info!("not seen in validation: {}", in_training_alone.join(", "));
        }
        Ok(train)
    }

    /// Notes the files of a new run; compares those of a run that goes on with what it began with.
    ///
    /// # Errors
    /// Where they are others and `accepts` does not say that this is meant.
    pub fn guard(&self, resume: bool, accepts: bool) -> Result<()> {
        let path = self.folder.data_files();
        let earlier = if resume { DataFiles::read(&path)? } else { None };
        let datasets = [("train", self.train), ("valid", self.valid)];
        let now = DataFiles::of(datasets, &earlier.clone().unwrap_or_default())?;
        let Some(earlier) = earlier else { return now.write(&path) };
        let changes = earlier.changes(&now);
        if changes.is_empty() {
            return Ok(());
        }
        let told = DataFiles::told(&changes);
        if !accepts {
            let cause = format!(
                "{told}\nput them back, or go on with the data as they are now by --accept-changed-data: what comes out is then \
                 not what an unbroken run would give"
            );
            return Err(Error::Run { path: self.folder.root().to_owned(), cause });
        }
        tracing::warn!("{told}");
        now.write(&path)
    }
}
