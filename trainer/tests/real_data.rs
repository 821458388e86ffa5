//! The readers on the real datasets. Skipped, with a message, where they are not there.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use clothseg_trainer::config::{Config, data_folder, resolve};
use clothseg_trainer::data::{Dataset, IGNORE, OnDamage, Target};

/// The shipped config, or [`None`] with a message where its data is missing.
fn config() -> Option<Config> {
    let config = Config::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/garments-tiny.toml")).unwrap();
    let missing = resolve(&config.data.train).into_iter().find(|source| !source.root.is_dir());
    if let Some(source) = missing {
        eprintln!("skipped: no {} (set CLOTHSEG_DATA)", source.root.display());
        return None;
    }
    let counted = data_folder();
    eprintln!("data: {}", counted.display());
    Some(config)
}

#[test]
fn the_shipped_config_finds_undamaged_data() {
    let Some(config) = config() else { return };
    let target = config.target().unwrap();
    let valid = Dataset::open(&resolve(&config.data.valid), &target, OnDamage::Refuse).unwrap();
    assert_eq!((valid.len(), valid.skipped()), (100, 0));
    let train = Dataset::open(&resolve(&config.data.train), &target, OnDamage::Refuse).unwrap();
    assert_eq!(train.len(), 754 + 679);
}

#[test]
fn labels_hold_classes_of_the_target_and_little_is_ignored() {
    let Some(config) = config() else { return };
    let target = Target::builtin("garments").unwrap();
    for source in resolve(&config.data.train) {
        let dataset = Dataset::open(std::slice::from_ref(&source), &target, OnDamage::Refuse).unwrap();
        let mut counts = [0_u64; 256];
        for index in (0..dataset.len()).step_by(dataset.len() / 30) {
            let sample = dataset.load(index).unwrap();
            assert_eq!(sample.photo.dimensions(), (sample.labels.width, sample.labels.height));
            sample.labels.data.iter().for_each(|class| counts[usize::from(*class)] += 1);
        }
        let total: u64 = counts.iter().sum();
        let classes: u64 = counts[..target.classes()].iter().sum();
        assert_eq!(classes + counts[usize::from(IGNORE)], total, "{source:?}");
        assert!(counts[usize::from(IGNORE)] * 20 < total, "more than a twentieth ignored in {source:?}");
        assert!(counts[0] * 10 > total * 3, "little background in {source:?}");
    }
}
