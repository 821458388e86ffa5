//! Labels photos with a model: to train on what it is sure of (self-training: Lee, "Pseudo-Label: The Simple and Efficient
//! Semi-Supervised Learning Method for Deep Neural Networks", 2013; Xie et al., "Self-training with Noisy Student improves
//! ImageNet classification", 2020), or as a start for labelling by hand.
//!
//! Written is the layout `folder`: `OUTPUT/train/{images,labels}` and `OUTPUT/class_dict.csv` with the model's classes. What the
//! model is not sure of counts nowhere ([`IGNORE`]).

use std::path::PathBuf;

use clothseg::{Limits, Photo, Segmentation, Segmenter};

use crate::data::prepare::{is_written, start_output, write_example};
use crate::data::{IGNORE, LabelImage, PHOTO_EXTENSIONS, files_by_stem};
use crate::error::{Error, Result};

/// The split that is written.
const SPLIT: &str = "train";

/// What to label, and how.
#[derive(Clone, Debug)]
pub struct PrelabelOptions {
    /// Folder of the photos.
    pub photos: PathBuf,
    /// Root of the folder layout.
    pub output: PathBuf,
    /// How likely the class of a pixel must be to count, 0 to 1.
    pub least_probability: f64,
    /// Quality of the JPEG files, 1 to 100.
    pub jpeg_quality: u8,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prelabelled {
    /// Photos that lie there with a label now.
    pub photos: usize,
    /// How many of them an earlier call had written.
    pub kept: usize,
    /// Photos that could not be read, or in which no garment is sure; a line is logged for each.
    pub skipped: usize,
    /// Share of the pixels written by this call that are sure.
    pub sure: f64,
}

/// Labels the photos of a folder. A call that was stopped goes on.
pub fn prelabel(segmenter: &Segmenter, options: &PrelabelOptions) -> Result<Prelabelled> {
    let files = files_by_stem(&options.photos, &PHOTO_EXTENSIONS)?;
    if files.is_empty() {
        return Err(Error::file(&options.photos, "holds no photo"));
    }
    let classes: Vec<String> = segmenter.spec().taxonomy.classes.iter().map(|class| class.name.clone()).collect();
    start_output(&options.output, [SPLIT].into_iter(), &classes, &manifest(segmenter, options))?;
    let split = options.output.join(SPLIT);
    let (mut done, mut sure, mut pixels) = (Prelabelled::default(), 0, 0);
    for (stem, path) in files {
        if is_written(&split, &stem) {
            (done.photos, done.kept) = (done.photos + 1, done.kept + 1);
            continue;
        }
        let photo = match Photo::open(&path, &Limits::default()) {
            Ok(photo) => Photo::from_rgb(photo.srgb().into_owned())?,
            Err(error) => {
                tracing::warn!("skipped: {}: {}", path.display(), error.chain());
                done.skipped += 1;
                continue;
            }
        };
        let labels = sure_labels(&segmenter.segment(&photo)?, &photo, options.least_probability)?;
        if labels.data.iter().all(|class| [0, IGNORE].contains(class)) {
            tracing::warn!("skipped: {}: no garment is sure", path.display());
            done.skipped += 1;
            continue;
        }
        write_example(photo.rgb(), &labels, &split, &stem, options.jpeg_quality)?;
        done.photos += 1;
        sure += labels.data.iter().filter(|class| **class != IGNORE).count();
        pixels += labels.data.len();
    }
    done.sure = sure as f64 / pixels.max(1) as f64;
    Ok(done)
}

/// The label map with [`IGNORE`] wherever its class is less likely than `least_probability`.
fn sure_labels(segmentation: &Segmentation, photo: &Photo, least_probability: f64) -> Result<LabelImage> {
    let map = segmentation.label_map();
    let (width, height) = (map.width(), map.height());
    let mut data = map.labels().to_vec();
    let least = (least_probability * f64::from(u8::MAX)).round() as u8;
    let present: std::collections::BTreeSet<u8> = data.iter().copied().collect();
    for class in present {
        let likely = segmentation.network_output().soft_mask(width, height, &[usize::from(class)])?;
        for ((to, truth), likely) in data.iter_mut().zip(map.labels()).zip(likely.as_raw()) {
            if *truth == class && *likely < least {
                *to = IGNORE;
            }
        }
    }
    debug_assert_eq!((photo.width(), photo.height()), (width, height));
    Ok(LabelImage { width, height, data })
}

/// All that the files depend on.
fn manifest(segmenter: &Segmenter, options: &PrelabelOptions) -> Vec<u8> {
    let facts = serde_json::json!({
        "photos": options.photos.to_string_lossy(),
        "model": segmenter.spec().name,
        "model_hash": segmenter.model_hash(),
        "quality": segmenter.quality().name(),
        "settles": segmenter.settles(),
        "least_probability": options.least_probability,
        "jpeg_quality": options.jpeg_quality,
    });
    format!("{facts:#}\n").into_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::testing::{cut_off, write_noise};
    use crate::data::{Dataset, Layout, OnDamage, Source, Target};
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

    fn halves(left: f32) -> Segmenter {
        let fit = Fit::LongestSide { size: 32, multiple: 32 };
        let taxonomy = Taxonomy::builtin("garments").unwrap();
        let spec = ModelSpec::new("halves", taxonomy, InputSpec::imagenet(fit), OutputSpec::logits(4));
        let info = EngineInfo::new(Provider::Cpu, "fake", "1");
        Segmenter::with_engine(Box::new(Halves { spec, info, left })).unwrap()
    }

    #[test]
    fn what_the_model_is_not_sure_of_counts_nowhere() {
        let root = tempfile::tempdir().unwrap();
        write_noise(root.path(), "photos", &["a", "b", "c"]);
        cut_off(root.path(), "photos", "b");
        let (photos, output) = (root.path().join("photos/images"), root.path().join("out"));
        let options = PrelabelOptions { photos, output: output.clone(), least_probability: 0.6, jpeg_quality: 92 };
        let done = prelabel(&halves(8.0), &options).unwrap();
        assert_eq!((done.photos, done.kept, done.skipped), (2, 0, 1));
        assert!((0.4..0.6).contains(&done.sure), "{}", done.sure);

        let source = Source {
            layout: Layout::Folder,
            root: output,
            split: SPLIT.to_owned(),
            files: Default::default(),
            mapping: None,
            repeat: 1.0,
            aspect: None,
        };
        let dataset = Dataset::open(&[source], &Target::builtin("garments").unwrap(), OnDamage::Refuse).unwrap();
        let labels = dataset.load(0).unwrap().labels;
        assert_eq!((dataset.len(), labels.data[0], labels.data[31]), (2, 10, IGNORE));

        // Again, and nothing is done twice; with another demand it is another output.
        let again = prelabel(&halves(8.0), &options).unwrap();
        assert_eq!((again.photos, again.kept, again.skipped), (2, 2, 1));
        let other = PrelabelOptions { least_probability: 0.7, ..options };
        assert!(prelabel(&halves(8.0), &other).unwrap_err().to_string().contains("other options"));
    }

    #[test]
    fn a_photo_in_which_no_garment_is_sure_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        write_noise(root.path(), "photos", &["a"]);
        let (photos, output) = (root.path().join("photos/images"), root.path().join("out"));
        let options = PrelabelOptions { photos, output, least_probability: 0.6, jpeg_quality: 92 };
        let done = prelabel(&halves(1.0), &options).unwrap();
        assert_eq!((done.photos, done.skipped, done.sure), (0, 1, 0.0));
        let none = PrelabelOptions { photos: root.path().to_path_buf(), ..options };
        assert!(prelabel(&halves(1.0), &none).unwrap_err().to_string().contains("holds no photo"));
    }
}
