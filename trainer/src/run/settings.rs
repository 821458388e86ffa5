//! Which settings change a training: a resume and a sweep's results must agree in these, and in no others.

use crate::config::{Config, ExportConfig, SourceConfig};
use crate::error::{Error, Result};

/// Whether two configs differ at most in what does not change the training. Mapping files count by their contents; one
/// that cannot be read is like no other.
pub(crate) fn same_training(earlier: &Config, now: &Config) -> bool {
    let mappings = |config: &Config| read_mappings(config).ok();
    same_settings(earlier, now) && mappings(earlier).is_some_and(|earlier| mappings(now) == Some(earlier))
}

/// The same without a look at the mapping files.
pub(crate) fn same_settings(earlier: &Config, now: &Config) -> bool {
    let core = |config: &Config| {
        let mut config = config.clone();
        // What the exported model says of itself, and where things lie and when they are saved.
        config.name.clear();
        config.about.clear();
        config.export = ExportConfig::default();
        config.run.clear();
        config.train.checkpoint_minutes = 1.0;
        config.data.test.clear();
        config.data.sources_mut().for_each(|source| source.mapping = None);
        config
    };
    core(earlier) == core(now)
}

/// The mapping files of the sources that a training sees, those to train on first; [`None`] where a source has none.
pub(super) fn read_mappings(config: &Config) -> Result<Vec<Option<Vec<u8>>>> {
    config.data.train.iter().chain(&config.data.valid).map(read_mapping).collect()
}

pub(super) fn read_mapping(source: &SourceConfig) -> Result<Option<Vec<u8>>> {
    source.mapping.as_ref().map(|path| std::fs::read(path).map_err(Error::io("read", path))).transpose()
}
