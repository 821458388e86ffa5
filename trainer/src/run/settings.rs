//! Which settings change a training: a resume and a sweep's results must agree in these, and in no others.

use std::collections::BTreeSet;

use toml::Value;

use crate::config::{Config, ExportConfig, SourceConfig};
use crate::counted::counted;
use crate::error::{Error, Result};

/// Differing settings that a message names.
const NAMED: usize = 3;

/// The longest value that a message shows, in characters.
const LONGEST_SHOWN: usize = 40;

/// Whether two configs differ at most in what does not change the training. Mapping files count by their contents; one
/// that cannot be read is like no other.
pub(crate) fn same_training(earlier: &Config, now: &Config) -> bool {
    let mappings = |config: &Config| read_mappings(config).ok();
    same_settings(earlier, now) && mappings(earlier).is_some_and(|earlier| mappings(now) == Some(earlier))
}

/// The same without a look at the mapping files.
pub(crate) fn same_settings(earlier: &Config, now: &Config) -> bool {
    what_trains(earlier) == what_trains(now)
}

/// A config without what does not change the training, and without its mapping files.
fn what_trains(config: &Config) -> Config {
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
}

/// Which settings differ of those that change a training, as a list in a sentence: the first few by their keys, and by their
/// values where these are short.
pub(super) fn differences(earlier: &Config, now: &Config) -> String {
    let [before, after] = [earlier, now].map(|config| Value::try_from(what_trains(config)).ok());
    let mut found = Vec::new();
    compare("", "", before.as_ref(), after.as_ref(), &mut found);
    let (earlier, now) = (&earlier.data, &now.data);
    for (key, earlier, now) in [("train", &earlier.train, &now.train), ("valid", &earlier.valid, &now.valid)] {
        for (number, (earlier, now)) in (1..).zip(earlier.iter().zip(now)) {
            if read_mapping(earlier).ok() != read_mapping(now).ok() {
                found.push(format!("the contents of `data.{key}.mapping` of entry {number}"));
            }
        }
    }
    let more = found.len().saturating_sub(NAMED);
    found.truncate(NAMED);
    if more > 0 {
        found.push(format!("and {}", counted(more, "more key", "more keys")));
    }
    found.join(", ")
}

/// Adds the keys below `key` whose values differ. `entry` says which entry of a list of tables they are in.
fn compare(key: &str, entry: &str, earlier: Option<&Value>, now: Option<&Value>, found: &mut Vec<String>) {
    match (earlier, now) {
        (Some(Value::Table(earlier)), Some(Value::Table(now))) => {
            for name in earlier.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                compare(&key, entry, earlier.get(name), now.get(name), found);
            }
        }
        (Some(Value::Array(earlier)), Some(Value::Array(now)))
            if earlier.len() == now.len() && earlier.iter().chain(now).all(Value::is_table) =>
        {
            for (number, (earlier, now)) in (1..).zip(earlier.iter().zip(now)) {
                compare(key, &format!(" of entry {number}"), Some(earlier), Some(now), found);
            }
        }
        _ if earlier == now => {}
        _ => found.push(match (shown(earlier), shown(now)) {
            (Some(earlier), Some(now)) => format!("`{key}`{entry} ({earlier} before, {now} now)"),
            _ => format!("`{key}`{entry}"),
        }),
    }
}

/// A value as a message shows it; [`None`] where it is long.
fn shown(value: Option<&Value>) -> Option<String> {
    let text = value.map_or_else(|| "not set".to_owned(), Value::to_string);
    (text.chars().count() <= LONGEST_SHOWN && !text.contains('\n')).then_some(text)
}

/// The mapping files of the sources that a training sees, those to train on first; [`None`] where a source has none.
pub(super) fn read_mappings(config: &Config) -> Result<Vec<Option<Vec<u8>>>> {
    config.data.train.iter().chain(&config.data.valid).map(read_mapping).collect()
}

pub(super) fn read_mapping(source: &SourceConfig) -> Result<Option<Vec<u8>>> {
    source.mapping.as_ref().map(|path| std::fs::read(path).map_err(Error::io("read", path))).transpose()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_differ_are_named_with_short_values() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/garments-tiny.toml");
        let earlier = Config::recorded(&path).unwrap();
        let mut now = Config { name: "other".to_owned(), ..earlier.clone() };
        assert_eq!(differences(&earlier, &now), "");
        let epochs = earlier.train.epochs;
        now.train.epochs += 1;
        now.train.clip_norm = Some(0.5);
        let clip_norm = earlier.train.clip_norm.map_or("not set".to_owned(), |norm| Value::from(norm).to_string());
        let expected = format!(
            "`train.clip_norm` ({clip_norm} before, 0.5 now), `train.epochs` ({epochs} before, {} now)",
            epochs + 1
        );
        assert_eq!(differences(&earlier, &now), expected);
        now.data.train[0].split = "a split whose name is so long that no message shows it".to_owned();
        now.seed += 1;
        let found = differences(&earlier, &now);
        assert!(found.starts_with("`data.train.split` of entry 1, `seed` ("), "{found}");
        assert!(found.ends_with(", and 1 more key"), "{found}");
    }
}
