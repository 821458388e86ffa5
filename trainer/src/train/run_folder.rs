//! The folder of a run.

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::{Error, Result};
use clothseg::batch::write_atomically;

/// The files of a run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// The folder at `root`, as it is.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// Makes the folder of a new run and puts the config into it, or finds that of a run to resume.
    pub fn prepare(config: &Config, resume: bool) -> Result<Self> {
        let folder = Self::at(&config.run);
        let fail = |cause: &str| Error::Run { path: config.run.clone(), cause: cause.to_owned() };
        if resume {
            if !folder.last().is_file() {
                return Err(fail("holds no last.ckpt to resume from; start without --resume"));
            }
            let earlier = Config::open(&folder.config())?;
            if !same_training(&earlier, config) {
                return Err(fail(
                    "was started with other settings than the config now has; resume with the run's own config.toml, \
                     or give the new settings another `run`",
                ));
            }
            return Ok(folder);
        }
        if folder.config().exists() || folder.last().exists() {
            return Err(fail("already holds a run; go on with it by --resume, or name another folder under `run`"));
        }
        std::fs::create_dir_all(&folder.root).map_err(Error::io("make", &folder.root))?;
        folder.copy_config(config)?;
        Ok(folder)
    }

    /// Writes the config and its mapping files, so that the run stands alone.
    fn copy_config(&self, config: &Config) -> Result<()> {
        let mut copy = config.clone();
        for source in copy.data.train.iter_mut().chain(&mut copy.data.valid) {
            let Some(mapping) = &mut source.mapping else { continue };
            let name = PathBuf::from("mappings").join(mapping.file_name().unwrap_or_default());
            let bytes = std::fs::read(&*mapping).map_err(Error::io("read", &*mapping))?;
            let to = self.root.join(&name);
            std::fs::create_dir_all(self.root.join("mappings")).map_err(Error::io("make", &to))?;
            write_atomically(&to, &bytes)?;
            *mapping = name;
        }
        let text = toml::to_string(&copy).map_err(|error| Error::file(self.config(), error.to_string()))?;
        Ok(write_atomically(&self.config(), text.as_bytes())?)
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

    /// The weights of the classes, where they come from the data.
    pub fn class_weights(&self) -> PathBuf {
        self.root.join("class_weights.json")
    }

    /// The checkpoint that `train.best_by` finds best on the validation data.
    pub fn best(&self) -> PathBuf {
        self.root.join("best.ckpt")
    }
}

/// Whether two configs differ at most in what does not change the training.
pub(crate) fn same_training(one: &Config, other: &Config) -> bool {
    let core = |config: &Config| {
        let mut config = config.clone();
        config.about.clear();
        config.run.clear();
        config.train.checkpoint_minutes = 1.0;
        for source in config.data.train.iter_mut().chain(&mut config.data.valid) {
            source.mapping = source.mapping.take().and_then(|path| path.file_name().map(PathBuf::from));
        }
        config
    };
    core(one) == core(other)
}
