//! A model that sees pants on the left of every photo, and photos of noise.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::data::testing::{cut_off, write_noise};
use crate::data::{Dataset, Layout, OnDamage, Shown, Source, SourceFiles, Target};
use clothseg::engine::Engine;
use clothseg::spec::{Fit, InputSpec, OutputSpec};
use clothseg::{EngineInfo, ModelSpec, Provider, Taxonomy};
use ndarray::{Array4, ArrayView4};

/// Pants everywhere: by `left` on the left, by little on the right.
struct Halves {
    spec: ModelSpec,
    info: EngineInfo,
    left: f32,
}

impl Engine for Halves {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn run(&mut self, input: ArrayView4<'_, f32>) -> clothseg::Result<Array4<f32>> {
        let (batch, _, height, width) = input.dim();
        let shape = (batch, self.spec.taxonomy.len(), height / 4, width / 4);
        Ok(Array4::from_shape_fn(shape, |(_, class, _, column)| match (class, column * 8 < width) {
            (10, true) => self.left,
            (10, false) => 1.0,
            _ => 0.0,
        }))
    }
}

fn f16_values(left: f32) -> Segmenter {
    let fit = Fit::LongestSide { size: 32, multiple: 32 };
    let taxonomy = Taxonomy::builtin("garments").unwrap();
    let spec = ModelSpec::new("f16_values", taxonomy, InputSpec::imagenet(fit), OutputSpec::logits(4));
    let info = EngineInfo::new(Provider::Cpu, "fake", "1");
    Segmenter::with_engine(Box::new(Halves { spec, info, left })).unwrap()
}

/// What was written, as training data.
fn reopen(output: &Path, tags: Option<&str>) -> Dataset {
    let source = Source {
        layout: Layout::Folder,
        root: output.to_path_buf(),
        split: SPLIT.to_owned(),
        files: SourceFiles { tags: tags.map(PathBuf::from), ..SourceFiles::default() },
        mapping: None,
        repeat: 1.0,
        aspect: None,
    };
    Dataset::open(&[source], &Target::builtin("garments").unwrap(), OnDamage::Refuse).unwrap()
}

/// Photos `a`, `b` and `c`, a mapping file and a file of weak labels.
fn given(mapping: &str, weak: &str) -> (tempfile::TempDir, [PathBuf; 2], PseudoLabelOptions) {
    let root = tempfile::tempdir().unwrap();
    write_noise(root.path(), "photos", &["a", "b", "c"]);
    let [file, map] = ["weak.csv", "map.toml"].map(|name| root.path().join(name));
    std::fs::write(&file, weak).unwrap();
    std::fs::write(&map, format!("target = 'garments'\n[classes]\n{mapping}")).unwrap();
    let (photos, output) = (root.path().join("photos/images"), root.path().join("out"));
    let options =
        PseudoLabelOptions { photos, output, weak: WeakLabels::None, least_probability: 0.6, jpeg_quality: 92 };
    (root, [file, map], options)
}

#[test]
fn what_the_model_is_not_sure_of_counts_nowhere() {
    let root = tempfile::tempdir().unwrap();
    write_noise(root.path(), "photos", &["a", "b", "c"]);
    cut_off(root.path(), "photos", "b");
    let (photos, output) = (root.path().join("photos/images"), root.path().join("out"));
    let options = PseudoLabelOptions {
        photos,
        output: output.clone(),
        weak: WeakLabels::None,
        least_probability: 0.6,
        jpeg_quality: 92,
    };
    let done = pseudo_label(&f16_values(8.0), &options).unwrap();
    assert_eq!((done.photos, done.kept, done.left_out.total()), (2, 0, 1));
    assert!((0.4..0.6).contains(&done.sure), "{}", done.sure);

    let dataset = reopen(&output, None);
    let labels = dataset.load(0).unwrap().labels;
    assert_eq!((dataset.len(), labels.data[0], labels.data[31]), (2, 10, IGNORE));

    // Again, and nothing is done twice; with another demand it is another output.
    let again = pseudo_label(&f16_values(8.0), &options).unwrap();
    assert_eq!((again.photos, again.kept, again.left_out.total()), (2, 2, 1));
    let other = PseudoLabelOptions { least_probability: 0.7, ..options };
    assert!(pseudo_label(&f16_values(8.0), &other).unwrap_err().to_string().contains("other options"));
}

#[test]
fn photos_without_a_known_extension_are_labelled_too() {
    let (root, _, options) = given("", "");
    let images = root.path().join("photos/images");
    std::fs::rename(images.join("a.png"), images.join("a")).unwrap();
    std::fs::rename(images.join("b.png"), images.join("b.png_large")).unwrap();
    assert_eq!(pseudo_label(&f16_values(8.0), &options).unwrap().photos, 3);
    assert_eq!(reopen(&options.output, None).len(), 3);
}

#[test]
fn a_photo_in_which_no_garment_is_sure_is_left_out() {
    let root = tempfile::tempdir().unwrap();
    write_noise(root.path(), "photos", &["a"]);
    let (photos, output) = (root.path().join("photos/images"), root.path().join("out"));
    let options =
        PseudoLabelOptions { photos, output, weak: WeakLabels::None, least_probability: 0.6, jpeg_quality: 92 };
    let done = pseudo_label(&f16_values(1.0), &options).unwrap();
    assert_eq!((done.photos, done.left_out.total(), done.sure), (0, 1, 0.0));
    let none = PseudoLabelOptions { photos: root.path().to_path_buf(), ..options };
    assert!(pseudo_label(&f16_values(1.0), &none).unwrap_err().to_string().contains("has no photo"));
}

#[test]
fn pixels_are_of_classes_that_are_tagged_and_the_tags_are_written() {
    let names = "null = 'background'\njeans = 'pants'\nblouse = 'shirt'";
    let (_root, [file, mapping], options) = given(names, "photo,tags\na,null jeans\nb.png,blouse\n");
    let options = PseudoLabelOptions { weak: WeakLabels::Tags { file: file.clone(), mapping }, ..options };
    let done = pseudo_label(&f16_values(8.0), &options).unwrap();
    // Pants may not be in `b`, and the model sees nothing else; `c` has no tags.
    let left_out = LeftOut { without_garment: 1, unnamed: 1, ..LeftOut::default() };
    assert_eq!((done.photos, done.left_out), (1, left_out));
    let text = left_out.to_string();
    assert!(text.starts_with("2 left out (1 not named") && text.ends_with("1 without a sure garment)"), "{text}");

    let sample = reopen(&options.output, Some("tags.csv")).load(0).unwrap();
    assert_eq!((sample.labels.data[0], sample.labels.data[31]), (10, IGNORE));
    let shown = sample.tags.unwrap().shown(true);
    assert_eq!([shown[10], shown[1], shown[2]], [Shown::Yes, Shown::No, Shown::Maybe]);

    // What the tags say now is not what was written.
    assert_eq!(pseudo_label(&f16_values(8.0), &options).unwrap().kept, 1);
    std::fs::write(&file, "photo,tags\na,null\n").unwrap();
    assert!(pseudo_label(&f16_values(8.0), &options).unwrap_err().to_string().contains("other options"));
    std::fs::write(&file, "photo,tags\na,kimono\n").unwrap();
    let again = PseudoLabelOptions { output: options.output.join("again"), ..options };
    assert!(pseudo_label(&f16_values(8.0), &again).unwrap_err().to_string().contains("`kimono`"));
}

#[test]
fn a_class_of_the_boxes_lies_in_a_box_and_each_box_has_its_class() {
    let names = "trousers = 'pants'\nbag = 'bag'\nouter = ['jacket', 'coat']";
    let rows = "photo,class,left,top,right,bottom\na,trousers,0,0,8,32\nb,bag,0,0,8,8\n";
    let (_root, [file, mapping], options) = given(names, rows);
    let weak = WeakLabels::Boxes { file: file.clone(), mapping };
    let options = PseudoLabelOptions { weak, ..options };
    let done = pseudo_label(&f16_values(8.0), &options).unwrap();
    let left_out = LeftOut { without_boxed_class: 1, unnamed: 1, ..LeftOut::default() };
    assert_eq!((done.photos, done.left_out, done.sure), (1, left_out, 0.25));
    let sample = reopen(&options.output, Some("tags.csv")).load(0).unwrap();
    assert_eq!((sample.labels.data[7], sample.labels.data[8]), (10, IGNORE));
    let shown = sample.tags.unwrap().shown(true);
    let class = |name| Taxonomy::builtin("garments").unwrap().index_of(name).unwrap();
    assert_eq!(
        ["pants", "bag", "coat", "dress"].map(|name| shown[class(name)]),
        [Shown::Yes, Shown::No, Shown::No, Shown::Maybe]
    );

    std::fs::write(&file, "photo,class,left,top,right,bottom\nc,bag,0,0,33,8\n").unwrap();
    let again = PseudoLabelOptions { output: options.output.join("again"), ..options };
    let error = pseudo_label(&f16_values(8.0), &again).unwrap_err().to_string();
    assert!(error.contains("photo c") && error.contains("32 x 32"), "{error}");
}

#[test]
fn a_model_that_does_not_know_persons_takes_the_same_mapping() {
    let names = "jeans = 'pants'\nhair = 'hair'\nall = ['background', 'hair']";
    let (_root, [file, mapping], _) = given(names, "photo,tags\na,jeans hair\n");
    let weak = WeakLabels::Tags { file, mapping };
    let mut taxonomy = Taxonomy::builtin("garments").unwrap();
    taxonomy.classes.truncate(21);
    let allowed = Constraints::open(&weak, &taxonomy).unwrap().of("a", 1, 1).unwrap().unwrap();
    assert_eq!((allowed.anywhere.len(), allowed.anywhere[10], allowed.has_unknown), (21, true, false));
    taxonomy.classes.truncate(20);
    let error = Constraints::open(&weak, &taxonomy).err().unwrap().to_string();
    assert!(error.contains("map.toml") && error.contains("garments and imaterialist"), "{error}");
}

/// A mapping file of this crate.
fn shipped(mapping: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings").join(mapping)
}

#[test]
fn the_shipped_mapping_of_boxes_fits_the_taxonomy() {
    let rows = "photo,class,left,top,right,bottom\na,jacket,0,0,8,32\na,sunglass,0,0,8,8\n";
    let (_root, [file, _], _) = given("", rows);
    let weak = WeakLabels::Boxes { file, mapping: shipped("cfpd-boxes-to-garments.toml") };
    let taxonomy = Taxonomy::builtin("garments").unwrap();
    let allowed = Constraints::open(&weak, &taxonomy).unwrap().of("a", 32, 32).unwrap().unwrap();
    let free = |name| allowed.anywhere[taxonomy.index_of(name).unwrap()];
    assert!(["background", "hair", "skin", "scarf", "tights"].into_iter().all(free));
    assert!(!["shirt", "coat", "glasses", "shoe"].into_iter().any(free));
    assert_eq!((allowed.boxes.len(), allowed.boxes[0].name.as_str(), allowed.boxes[0].classes.len()), (2, "jacket", 4));
}

mod needs_data {
    use super::*;

    #[test]
    #[ignore = "needs CLOTHSEG_DATA"]
    fn the_real_tags_and_boxes_are_read_whole() {
        let data = crate::config::data_folder();
        let (tags, boxes) = (data.join("ccp-tags"), data.join("cfpd-boxes"));
        let source = Source {
            layout: Layout::Tags,
            root: tags,
            split: "train".to_owned(),
            files: SourceFiles::default(),
            mapping: Some(shipped("ccp-to-garments.toml")),
            repeat: 1.0,
            aspect: None,
        };
        let target = Target::builtin("garments").unwrap();
        let dataset = Dataset::open(&[source], &target, OnDamage::Refuse).unwrap();
        let hair = target.taxonomy.index_of("hair").unwrap() as u8;
        let has_hair = (0..dataset.len()).filter(|index| dataset.load(*index).unwrap().tags.unwrap().has(hair));
        assert_eq!(dataset.len(), 854);
        assert!(has_hair.count() > 700);

        let weak = WeakLabels::Boxes { file: boxes.join("boxes.csv"), mapping: shipped("cfpd-boxes-to-garments.toml") };
        let constraints = Constraints::open(&weak, &target.taxonomy).unwrap();
        let mut count = 0;
        for (stem, photo) in photos_of(&boxes.join("images")).unwrap() {
            let (width, height) = image::image_dimensions(photo).unwrap();
            count += constraints.of(&stem, width, height).unwrap().unwrap().boxes.len();
        }
        assert_eq!((constraints.tags().unwrap().len(), count), (800, 3097));
    }
}
