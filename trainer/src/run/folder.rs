//! The folder of a run.

use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::lock::RunLock;
use super::settings::{differences, read_mapping, read_mappings, same_training};
use crate::config::Config;
use crate::error::{Error, Result};
use clothseg_batch::write_atomically;
use serde_json::Value;

/// The files of a run.
#[derive(Debug)]
pub struct RunFolder {
    root: PathBuf,
    /// Of a training that writes into the folder, until it ends.
    _lock: Option<RunLock>,
}

impl RunFolder {
    /// The folder at `root`, as it is.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf(), _lock: None }
    }

    /// Makes the folder of a new run and puts the config into it, or finds that of a run to resume. No other training can
    /// prepare the folder as long as the result lives.
    pub fn prepare(config: &Config, resume: bool) -> Result<Self> {
        if resume { Self::prepare_resume(config) } else { Self::prepare_new(config) }
    }

    fn prepare_resume(config: &Config) -> Result<Self> {
        if !Self::at(&config.run).last().is_file() {
            return Err(refused(config, "has no last.ckpt to resume from; start without --resume"));
        }
        let folder = Self::locked(&config.run)?;
        let earlier = Config::recorded(&folder.config())?;
        // So that a mapping file that is missing is named as such.
        read_mappings(&earlier)?;
        read_mappings(config)?;
        if !same_training(&earlier, config) {
            let differences = differences(&earlier, config);
            return Err(refused(
                config,
                &format!(
                    "was started with other training settings than the config has now: {differences}; resume with the \
                     config.toml in the run's folder, or set another folder in `run`"
                ),
            ));
        }
        Ok(folder)
    }

    fn prepare_new(config: &Config) -> Result<Self> {
        let folder = Self::at(&config.run);
        if !folder.last().exists() && !folder.best().exists() {
            // First, so that a folder of something else gets no lock either.
            folder.refuse_foreign()?;
        }
        std::fs::create_dir_all(&folder.root).map_err(Error::io("make", &folder.root))?;
        let folder = Self::locked(&config.run)?;
        if folder.last().exists() {
            return Err(refused(config, "already has a run; go on with --resume, or set another folder in `run`"));
        }
        if folder.best().exists() {
            let cause = "has a best.ckpt but no last.ckpt to go on from; export it, then remove it or set another folder in \
                         `run`";
            return Err(refused(config, cause));
        }
        let has_config = folder.has_config(config)?;
        folder.remove_beginnings()?;
        if !has_config {
            folder.copy_config(config)?;
        }
        Ok(folder)
    }

    fn locked(root: &Path) -> Result<Self> {
        Ok(Self { _lock: Some(RunLock::take(root)?), ..Self::at(root) })
    }

    /// An error where the folder has a config.toml that is not of a run.
    fn refuse_foreign(&self) -> Result<()> {
        if !self.config().exists() {
            return Ok(());
        }
        let foreign = |error| Error::Run {
            path: self.root.clone(),
            cause: format!("has a config.toml that is not of a run; set another folder in `run` ({error})"),
        };
        Config::recorded(&self.config()).map_err(foreign).map(|_| ())
    }

    /// Removes what a run that ended before its first checkpoint has left and a new one would add to. Its config stays
    /// until another replaces it: the new run may have been started with it. A folder without one is nobody's run.
    fn remove_beginnings(&self) -> Result<()> {
        if !self.config().exists() {
            return Ok(());
        }
        for entry in std::fs::read_dir(&self.root).map_err(Error::io("list", &self.root))? {
            let path = entry.map_err(Error::io("list", &self.root))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_events = name.starts_with("events.out.tfevents.") && name.contains(".clothseg.");
            if is_events
                || [self.log(), self.class_weights(), self.start(), self.contents(), self.data_files()].contains(&path)
            {
                std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Writes the config and its mapping files, so that the run stands alone. The copies are numbered: sources may have
    /// files of one name in different folders.
    fn copy_config(&self, config: &Config) -> Result<()> {
        let mut copy = config.clone();
        for (index, source) in copy.data.sources_mut().enumerate() {
            let Some(bytes) = read_mapping(source)? else { continue };
            let Some(mapping) = &mut source.mapping else { continue };
            let file_name = mapping.file_name().unwrap_or_default().to_string_lossy();
            let name = PathBuf::from("mappings").join(format!("{index}-{file_name}"));
            let to = self.root.join(&name);
            std::fs::create_dir_all(self.root.join("mappings")).map_err(Error::io("make", &to))?;
            write_atomically(&to, &bytes)?;
            *mapping = name;
        }
        let text = toml::to_string(&copy).map_err(|error| Error::file(self.config(), error.to_string()))?;
        Ok(write_atomically(&self.config(), text.as_bytes())?)
    }

    /// Whether the folder's config.toml says what `config` says. It may then be the very file that was given (`run = "."`
    /// beside it, or the run's own copy), which keeps its comments.
    ///
    /// # Errors
    /// Where it does not say all that a run's copy has to, so that it would have to be replaced.
    fn has_config(&self, config: &Config) -> Result<bool> {
        let path = self.config();
        if !path.exists() {
            return Ok(false);
        }
        let config = with_real_mappings(config.clone());
        if with_real_mappings(Config::recorded(&path)?) == config {
            return Ok(true);
        }
        // As it reads where it is given: its classes can be those of the data, which a copy names.
        if Config::open(&path).is_ok_and(|given| with_real_mappings(given) == config) {
            let cause = "has the config that was given as its config.toml, where the run keeps a copy that names the \
                         data's classes; rename that config, or set another folder in `run`";
            return Err(refused(&config, cause));
        }
        Ok(false)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The copy of the config.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.root.join("log.csv")
    }

    /// What the network makes of a few validation photos.
    pub fn pictures(&self) -> PathBuf {
        self.root.join("pictures.png")
    }

    /// The newest checkpoint.
    pub fn last(&self) -> PathBuf {
        self.root.join("last.ckpt")
    }

    /// What the run started from, where that was an earlier run.
    fn start(&self) -> PathBuf {
        self.root.join("started_from.json")
    }

    /// Notes what the run starts from.
    pub(crate) fn write_start(&self, facts: &Value) -> Result<()> {
        Ok(write_atomically(&self.start(), format!("{facts:#}\n").as_bytes())?)
    }

    /// What the run started from; null where it started from nothing.
    pub fn read_start(&self) -> Result<Value> {
        let path = self.start();
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| Error::file(path, error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Value::Null),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    /// The weights of the classes, where they come from the data.
    pub fn class_weights(&self) -> PathBuf {
        self.root.join("class_weights.json")
    }

    /// What the labels hold, by class.
    pub fn contents(&self) -> PathBuf {
        self.root.join("data_classes.csv")
    }

    /// The files that the data are made of.
    pub fn data_files(&self) -> PathBuf {
        self.root.join("data_files.csv")
    }

    /// The checkpoint that `train.best_by` finds best on the validation data.
    pub fn best(&self) -> PathBuf {
        self.root.join("best.ckpt")
    }

    /// The best checkpoint, or with a warning the last one; none where there is neither.
    ///
    /// A warning, no error: a run without any scored epoch has no best checkpoint, and of one that was removed the last is all
    /// that is left.
    pub fn best_or_last(&self) -> Option<PathBuf> {
        if self.best().is_file() {
            return Some(self.best());
        }
        let last = Some(self.last()).filter(|path| path.is_file())?;
        let state = Checkpoint::open(&last).ok().map(|checkpoint| checkpoint.state);
        let cause = match state.filter(|state| state.best_score.is_some()) {
            Some(state) => format!("is missing, although the run wrote it after epoch {}", state.best_epoch),
            None => "does not exist, because no epoch has been scored on the validation data yet".to_owned(),
        };
        tracing::warn!("{} {cause}; taking last.ckpt, which may be worse", self.best().display());
        Some(last)
    }
}

fn refused(config: &Config, cause: &str) -> Error {
    Error::Run { path: config.run.clone(), cause: cause.to_owned() }
}

/// The config with its mapping files by their real paths, which compare.
fn with_real_mappings(mut config: Config) -> Config {
    for mapping in config.data.sources_mut().filter_map(|source| source.mapping.as_mut()) {
        *mapping = std::fs::canonicalize(&*mapping).unwrap_or_else(|_| mapping.clone());
    }
    config
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;

    /// A shipped config whose run lies in `root`, and whose first two sources have mapping files of one name there.
    fn config(root: &Path) -> Config {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/garments-tiny.toml");
        let mut config = Config { run: root.join("run"), ..Config::open(&path).unwrap() };
        for (source, folder) in config.data.train.iter_mut().zip(["a", "b"]) {
            let mapping = root.join(folder).join("map.toml");
            fs::create_dir_all(mapping.parent().unwrap()).unwrap();
            fs::write(&mapping, format!("target = \"{folder}\"")).unwrap();
            source.mapping = Some(mapping);
        }
        config
    }

    /// Prepares the folder of a new run, as a training does that ends at once.
    fn prepare(config: &Config) -> Result<RunFolder> {
        RunFolder::prepare(config, false).map(|folder| RunFolder::at(folder.root()))
    }

    #[test]
    fn mapping_files_of_one_name_keep_apart() {
        let root = tempfile::tempdir().unwrap();
        let config = config(root.path());
        let folder = prepare(&config).unwrap();
        let copy = Config::open(&folder.config()).unwrap();
        let mapping = |index: usize| copy.data.train[index].mapping.clone().unwrap();
        assert!(mapping(1).ends_with("mappings/1-map.toml"), "{}", mapping(1).display());
        assert_eq!(
            [0, 1].map(|index| fs::read_to_string(mapping(index)).unwrap()),
            ["target = \"a\"", "target = \"b\""]
        );
        assert!(same_training(&copy, &config));
    }

    #[test]
    fn a_run_that_ended_before_its_first_checkpoint_is_started_anew() {
        let root = tempfile::tempdir().unwrap();
        let config = config(root.path());
        let folder = prepare(&config).unwrap();
        let events = folder.root().join("events.out.tfevents.0000000001.clothseg.000");
        let foreign = [folder.root().join("notes.txt"), folder.root().join("events.out.tfevents.1.host")];
        let stale = [folder.log(), folder.class_weights(), events];
        stale.iter().chain(&foreign).for_each(|path| fs::write(path, "x").unwrap());
        prepare(&Config { seed: 77, ..config.clone() }).unwrap();
        assert!(stale.iter().all(|path| !path.exists()) && foreign.iter().all(|path| path.exists()));
        // Once more, with the copy itself.
        let copy = Config { run: config.run.clone(), ..Config::open(&folder.config()).unwrap() };
        assert_eq!(copy.seed, 77);
        prepare(&copy).unwrap();
        assert!(same_training(&Config::open(&folder.config()).unwrap(), &copy));
    }

    #[test]
    fn a_folder_with_a_checkpoint_or_of_something_else_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let config = config(root.path());
        let folder = prepare(&config).unwrap();
        fs::write(folder.log(), "kept").unwrap();
        for (path, expected) in [(folder.last(), "--resume"), (folder.best(), "no last.ckpt")] {
            fs::write(&path, "").unwrap();
            let error = prepare(&config).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            fs::remove_file(&path).unwrap();
        }
        fs::write(folder.config(), "[server]\nport = 1\n").unwrap();
        let error = prepare(&config).unwrap_err().to_string();
        assert!(error.contains("not of a run"), "{error}");
        assert_eq!(fs::read_to_string(folder.log()).unwrap(), "kept");
    }

    #[test]
    fn what_the_exported_model_says_of_itself_does_not_count() {
        let root = tempfile::tempdir().unwrap();
        let earlier = config(root.path());
        let mut now = Config { name: "other".to_owned(), ..earlier.clone() };
        now.export.tta_long_side = Some(480);
        now.about.insert("licence".to_owned(), "other".into());
        assert!(same_training(&earlier, &now));
        now.train.epochs += 1;
        assert!(!same_training(&earlier, &now));
    }

    #[test]
    fn a_mapping_counts_by_its_contents() {
        let root = tempfile::tempdir().unwrap();
        let earlier = config(root.path());
        let mut now = earlier.clone();
        let renamed = root.path().join("renamed.toml");
        fs::copy(root.path().join("a/map.toml"), &renamed).unwrap();
        now.data.train[0].mapping = Some(renamed.clone());
        assert!(same_training(&earlier, &now));
        fs::write(&renamed, "target = \"other\"").unwrap();
        assert!(!same_training(&earlier, &now));
        now.data.train[0].mapping = now.data.train[1].mapping.clone();
        assert!(!same_training(&earlier, &now));
        now.data.train[0].mapping = None;
        assert!(!same_training(&earlier, &now));
        // What cannot be read is not the same, and a resume names it.
        let folder = prepare(&earlier).unwrap();
        fs::write(folder.last(), "").unwrap();
        fs::remove_file(root.path().join("b/map.toml")).unwrap();
        assert!(!same_training(&earlier, &earlier));
        let error = RunFolder::prepare(&earlier, true).unwrap_err().to_string();
        assert!(error.contains("b/map.toml"), "{error}");
    }
}
