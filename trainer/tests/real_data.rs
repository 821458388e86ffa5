//! The readers on the real datasets: `CLOTHSEG_DATA=FOLDER ci/test --data` runs these tests.

#![allow(clippy::unwrap_used)]

mod needs_data {
    use std::path::Path;

    use clothseg_trainer::config::{Config, data_folder};
    use clothseg_trainer::data::{
        Dataset, IGNORE, Layout, OnDamage, OutputSize, PrepareOptions, Source, SourceFiles, Splits, Target, prepare,
        resolve,
    };

    /// A shipped config.
    fn config() -> Config {
        Config::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/garments-tiny.toml")).unwrap()
    }

    #[test]
    #[ignore = "needs CLOTHSEG_DATA"]
    fn the_shipped_config_finds_undamaged_data() {
        let config = config();
        let target = config.target().unwrap();
        let valid = Dataset::open(&resolve(&config.data.valid), &target, OnDamage::Refuse).unwrap();
        assert_eq!((valid.len(), valid.skipped()), (100, 0));
        let train = Dataset::open(&resolve(&config.data.train), &target, OnDamage::Refuse).unwrap();
        assert_eq!(train.len(), 754 + 679);
    }

    #[test]
    #[ignore = "needs CLOTHSEG_DATA"]
    fn labels_hold_classes_of_the_target_and_little_is_ignored() {
        let config = config();
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
            let known = target.classes() + dataset.sets().sets().len();
            let classes: u64 = counts[..known].iter().sum();
            assert_eq!(classes + counts[usize::from(IGNORE)], total, "{source:?}");
            assert!(counts[usize::from(IGNORE)] * 20 < total, "more than a twentieth ignored in {source:?}");
            // The background may be a set: of data that do not label hair and skin.
            let background =
                (0..known).filter(|label| dataset.sets().allows(*label as u8, 0)).map(|label| counts[label]);
            assert!(background.sum::<u64>() * 10 > total * 3, "little background in {source:?}");
        }
    }

    /// The study's subset in the layout `folder`.
    fn study(split: &str, labels: &str) -> Source {
        let root = data_folder().join("imaterialist");
        let files = SourceFiles { labels: Some(labels.to_owned()), ..SourceFiles::default() };
        let split = split.to_owned();
        Source { layout: Layout::Folder, root, split, files, mapping: None, repeat: 1.0, aspect: None }
    }

    #[test]
    #[ignore = "needs CLOTHSEG_DATA"]
    fn colour_coded_labels_are_the_indexed_ones() {
        let (colored, indexed) = (study("valid", "clabels"), study("valid", "labels"));
        let listing = colored.list().unwrap();
        // The other valid photos have no colour-coded label.
        assert_eq!((listing.pairs.len(), listing.incomplete.len()), (46, 186 - 46));
        let indexed = indexed.list().unwrap().pairs;
        for pair in listing.pairs {
            let label = pair.label.load().unwrap();
            let place = indexed.binary_search_by(|other| other.stem.cmp(&pair.stem)).unwrap();
            assert!(label == indexed[place].label.load().unwrap(), "{}", pair.stem);
            assert!(label.data.iter().any(|class| *class > 0), "{}", pair.stem);
        }
    }

    #[test]
    #[ignore = "needs CLOTHSEG_DATA"]
    fn data_prepared_at_its_own_size_keep_labels_and_classes() {
        let source = study("valid", "clabels");
        let output = tempfile::tempdir().unwrap();
        let options = PrepareOptions {
            source: source.clone(),
            output: output.path().to_owned(),
            size: OutputSize::Stretch { width: 256, height: 256 },
            splits: Splits::one("valid"),
            seed: 0,
            limit: Some(12),
            jpeg_quality: 92,
            on_damage: OnDamage::Skip,
        };
        assert_eq!(prepare(&options).unwrap().splits, [("valid".to_owned(), 12)]);
        let original = source.list().unwrap();
        let written =
            Source { root: output.path().to_owned(), files: SourceFiles::default(), ..source }.list().unwrap();
        assert_eq!(written.classes, original.classes);
        for pair in written.pairs {
            let place = original.pairs.binary_search_by(|other| other.stem.cmp(&pair.stem)).unwrap();
            assert!(pair.label.load().unwrap() == original.pairs[place].label.load().unwrap(), "{}", pair.stem);
        }
        let text = |root: &Path| std::fs::read_to_string(root.join("class_dict.csv")).unwrap().replace("\r\n", "\n");
        assert_eq!(text(output.path()), text(&data_folder().join("imaterialist")));
    }
}
