//! What `clothseg-run` writes for annotation tools is training data again, to the pixel and without edits.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use clothseg::engine::Engine;
use clothseg::export::OutputOptions;
use clothseg::spec::{Fit, InputSpec, ModelSpec, OutputSpec};
use clothseg::{Class, EngineInfo, Limits, Photo, PolygonOptions, Provider, Segmenter, Taxonomy};
use clothseg_batch::{self as batch, BatchOptions, Cancel};
use clothseg_trainer::data::{Layout, Source, SourceFiles};
use image::RgbImage;
use ndarray::{Array4, ArrayView4};

const NAMES: [&str; 4] = ["background", "shirt, blouse", "hat", "tie"];

/// Sees a shirt with a hole, in which there is a hat, ties of a few cells, and a hat at the edge.
struct Drawing {
    spec: ModelSpec,
    info: EngineInfo,
}

fn class_at(row: usize, column: usize) -> usize {
    match (row.abs_diff(7), column.abs_diff(7)) {
        (0..=1, 0..=1) => 2,
        (0..=2, 0..=2) => 0,
        (0..=5, 0..=5) => 1,
        _ if (row * 5 + column * 3).is_multiple_of(23) => 3,
        _ if column > 13 => 2,
        _ => 0,
    }
}

impl Engine for Drawing {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn run(&mut self, input: ArrayView4<'_, f32>) -> clothseg::Result<Array4<f32>> {
        let (batch, _, height, width) = input.dim();
        Ok(Array4::from_shape_fn((batch, NAMES.len(), height / 4, width / 4), |(_, class, row, column)| {
            if class == class_at(row, column) { 4.0 } else { 0.0 }
        }))
    }
}

fn segmenter() -> Segmenter {
    let color = |index: usize| [40 * index as u8, 200 - 60 * index as u8, 90];
    let classes = NAMES.iter().enumerate().map(|(index, name)| Class::new(*name, color(index))).collect();
    let taxonomy = Taxonomy { classes, groups: Default::default() };
    let fit = Fit::LongestSide { size: 64, multiple: 32 };
    let spec = ModelSpec::new("drawing", taxonomy, InputSpec::imagenet(fit), OutputSpec::logits(4));
    Segmenter::with_engine(Box::new(Drawing { spec, info: EngineInfo::new(Provider::Cpu, "fake", "1") })).unwrap()
}

/// Photos in `photos`, and what is found in them in `found`.
fn export(root: &Path, segmenter: &Segmenter) {
    let photos = root.join("photos");
    for (name, width, height) in [("a.png", 64, 64), ("sub/b.c.png", 97, 80), ("sub/d.png", 30, 61)] {
        let path = photos.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::new(width, height).save(path).unwrap();
    }
    let formats = ["coco", "labelme", "yolo"].map(|name| name.parse().unwrap()).to_vec();
    // Exact outlines; simpler ones are not the label map.
    let polygons = PolygonOptions::default().with_tolerance_px(0.0).with_min_area_px(0.0);
    let outputs = OutputOptions::default().with_formats(formats).with_polygons(polygons);
    let options = BatchOptions::new(root.join("found"), vec![1, 2, 3]).with_outputs(outputs);
    let inputs = batch::find_inputs(&[photos], &options.output, 1 << 20, &mut std::io::empty()).unwrap();
    let summary = batch::run(segmenter, &inputs, &options, &Cancel::new(), &mut |_| {}).unwrap();
    assert_eq!((summary.done, summary.failed), (3, 0));
}

fn source(root: &Path, layout: Layout, split: &str, files: SourceFiles) -> Source {
    Source { layout, root: root.to_owned(), split: split.to_owned(), files, mapping: None, repeat: 1.0, aspect: None }
}

#[test]
fn coco_labelme_and_yolo_train_again_without_edits() {
    let root = tempfile::tempdir().unwrap();
    let segmenter = segmenter();
    export(root.path(), &segmenter);
    let path = |text: &str| Some(PathBuf::from(text));
    let coco = SourceFiles { annotations: path("found/coco.json"), images: path("photos"), ..SourceFiles::default() };
    let yolo = SourceFiles {
        annotations: path("found/data.yaml"),
        images: path("photos"),
        labels: Some("found".to_owned()),
        ..SourceFiles::default()
    };
    for (layout, split, files) in [
        (Layout::Coco, "train", coco),
        (Layout::Labelme, "found", SourceFiles::default()),
        (Layout::Yolo, "train", yolo),
    ] {
        let listing = source(root.path(), layout, split, files).list().unwrap();
        assert!(listing.incomplete.is_empty() && listing.bad_pieces.is_empty(), "{layout:?}: {listing:?}");
        assert_eq!(listing.pairs.len(), 3, "{layout:?}");
        for pair in &listing.pairs {
            let photo = Photo::open(&pair.photo, &Limits::default()).unwrap();
            let segmentation = segmenter.segment(&photo).unwrap();
            let map = segmentation.label_map();
            let label = pair.label.load().unwrap();
            assert_eq!((label.width, label.height), (photo.width(), photo.height()));
            let (expected, found) = (map.labels(), &label.data);
            let differing = expected
                .iter()
                .zip(found)
                .filter(|(expected, found)| NAMES[usize::from(**expected)] != listing.classes[usize::from(**found)]);
            assert_eq!(differing.count(), 0, "{layout:?} {}", pair.stem);
            assert!(expected.iter().collect::<std::collections::BTreeSet<_>>().len() >= 3);
        }
    }
}
