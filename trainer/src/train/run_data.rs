//! What a run is told of its data before the first step: what the labels hold, and whether the files are those that it began
//! with.

use clothseg_batch::write_atomically;

use crate::counted::counted;
use crate::data::{Contents, DataFiles, Dataset, Source, Target};
use crate::error::{Error, Result};
use crate::run::RunFolder;

/// The data of a run.
pub(super) struct RunData<'a> {
    pub folder: &'a RunFolder,
    pub train: &'a Dataset,
    pub valid: &'a Dataset,
    pub target: &'a Target,
}

/// Names the sources of which nothing can be learnt, where there are others that hide it.
fn warn_of_sources(data: &str, dataset: &Dataset, contents: &[Contents]) {
    for warning in source_warnings(data, dataset, contents) {
        tracing::warn!("{warning}");
    }
}

fn source_warnings(data: &str, dataset: &Dataset, contents: &[Contents]) -> Vec<String> {
    let sources = dataset.sources();
    if sources.len() < 2 {
        return Vec::new();
    }
    let warning = |((number, source), contents): ((usize, &Source), &Contents)| {
        let cause = contents.suspicion()?;
        let root = source.root.display();
        Some(format!("source {number} of the {data} data ({root}, split {}) teaches nothing: {cause}", source.split))
    };
    (1..).zip(sources).zip(contents).filter_map(warning).collect()
}

/// What to say of `valid` validation photos of which some are training photos.
fn warning_of_both(in_both: &[String], valid: usize) -> Option<String> {
    let first = in_both.first()?;
    let are = if in_both.len() == 1 { "is also a training photo" } else { "are also training photos" };
    Some(format!(
        "{} of the {valid} validation photos {are}, first {first}: their scores do not show how well the model does on new photos",
        in_both.len()
    ))
}

impl RunData<'_> {
    /// Counts what the labels hold, says it, and writes it into the run's folder. Returns the contents of the training data.
    ///
    /// # Errors
    /// Where nothing can be learnt from them.
    pub fn look(&self, learns_tags: bool) -> Result<Contents> {
        let examples = counted(self.train.len() + self.valid.len(), "example", "examples");
        tracing::info!("counting the classes of {examples}");
        let (train, train_sources) = Contents::count_with_sources(self.train, self.target)?;
        let (valid, valid_sources) = Contents::count_with_sources(self.valid, self.target)?;
        let path = self.folder.contents();
        let fail = |error: csv::Error| Error::file(&path, error.to_string());
        let rows = [train.csv("train").map_err(fail)?, valid.csv("valid").map_err(fail)?].concat();
        write_atomically(&path, &[b"data,label,pixels,photos\n", &rows[..]].concat())?;
        train.require_learnable(self.train, learns_tags)?;
        valid.require_scorable(self.valid)?;
        warn_of_sources("training", self.train, &train_sources);
        warn_of_sources("validation", self.valid, &valid_sources);
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
        if let Some(warning) = warning_of_both(&now.photos_of_both(self.train, self.valid), self.valid.len()) {
            tracing::warn!("{warning}");
        }
        let Some(earlier) = earlier else {
            if resume {
                tracing::warn!(
                    "{} does not exist (earlier versions wrote none), so that nothing tells whether the data are those that \
                     the run began with; they are noted there as they are now",
                    path.display()
                );
            }
            return now.write(&path);
        };
        let changes = earlier.changes(&now);
        if changes.is_empty() {
            return Ok(());
        }
        let told = DataFiles::told(&changes);
        if !accepts {
            let cause = format!(
                "{told}\n{}, or go on with the data as they are now by --accept-changed-data: what comes out is then \
                 not what an unbroken run would give",
                DataFiles::remedy(&changes)
            );
            return Err(Error::Run { path: self.folder.root().to_owned(), cause });
        }
        tracing::warn!("{told}");
        now.write(&path)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::OnDamage;
    use crate::data::testing::{write_masks, write_noise};

    #[test]
    fn validation_on_training_photos_is_told() {
        assert_eq!(warning_of_both(&[], 3), None);
        let warning = warning_of_both(&["b.png (valid 1)".to_owned()], 3).unwrap();
        assert!(warning.starts_with("1 of the 3 validation photos is also a training photo, first b.png"), "{warning}");
    }

    #[test]
    fn a_source_that_teaches_nothing_is_named_beside_others() {
        let [good, bad] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let sources = [write_noise(good.path(), "train", &["a"]), write_noise(bad.path(), "train", &["b", "c"])];
        write_masks(bad.path(), "train", &["b", "c"]);
        let target = Target::builtin("garments").unwrap();
        let warnings = |sources: &[Source]| {
            let dataset = Dataset::open(sources, &target, OnDamage::Refuse).unwrap();
            let (_, contents) = Contents::count_with_sources(&dataset, &target).unwrap();
            source_warnings("training", &dataset, &contents)
        };
        let found = warnings(&sources);
        let [warning] = &found[..] else { panic!("{found:?}") };
        let root = bad.path().display().to_string();
        for expected in ["source 2 of the training data", &root, "`background`", "reading = \"binary\""] {
            assert!(warning.contains(expected), "{expected}: {warning}");
        }
        // One source alone is told of by what is told of all labels.
        assert!(warnings(&sources[1..]).is_empty());
    }
}
