//! The default model on real photos.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use clothseg::{Detail, EngineOptions, LabelMap, Limits, Model, Photo, Provider, Segmenter};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const SAMPLES: [&str; 3] = ["astronaut.png", "cameraman.png", "hopper.jpg"];

/// Set to write the golden label maps anew, after a change that is meant to change them.
const BLESS: &str = "CLOTHSEG_BLESS";

/// The default model, which is in 8 bits.
fn open(provider: Provider) -> clothseg::Result<Segmenter> {
    open_model(&Model::from_onnx(clothseg_models::GARMENTS)?, provider)
}

/// The same in 16 bits.
fn open_sixteen_bits(provider: Provider) -> clothseg::Result<Segmenter> {
    open_model(&Model::open(Path::new(ROOT).join("models/garments.onnx"))?, provider)
}

fn open_model(model: &Model, provider: Provider) -> clothseg::Result<Segmenter> {
    let mut options = EngineOptions::default().with_provider(provider);
    options.library = std::env::var_os("ORT_DYLIB_PATH").map(Into::into);
    Segmenter::open_model(model, &options)
}

fn segment(segmenter: &Segmenter, path: &Path) -> LabelMap {
    let photo = Photo::open(path, &Limits::default()).unwrap();
    segmenter.segment(&photo).unwrap().label_map().clone()
}

/// Share of the pixels that have the same class in both, 0..1.
fn agreement(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
}

fn samples() -> Vec<PathBuf> {
    SAMPLES.iter().map(|name| Path::new(ROOT).join("samples").join(name)).collect()
}

#[test]
fn the_samples_give_the_golden_label_maps() {
    let segmenter = open(Provider::Embedded).unwrap();
    for sample in SAMPLES {
        let map = segment(&segmenter, &Path::new(ROOT).join("samples").join(sample));
        let stem = Path::new(sample).with_extension("labels.png");
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(stem);
        if std::env::var_os(BLESS).is_some() {
            std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
            image::GrayImage::from_raw(map.width(), map.height(), map.labels().to_vec())
                .unwrap()
                .save(&golden)
                .unwrap();
        }
        let expected = image::open(&golden).unwrap().into_luma8();
        assert_eq!(expected.dimensions(), (map.width(), map.height()), "{sample}");
        let same = agreement(map.labels(), expected.as_raw());
        assert!(same >= 0.999, "{sample}: {:.3} % as in {}; {BLESS}=1 writes it anew", same * 100.0, golden.display());
    }
}

#[test]
fn the_embedded_engine_runs_the_model_in_8_bits_in_floats() {
    let (eight_bits, float) = (open(Provider::Embedded).unwrap(), open_sixteen_bits(Provider::Embedded).unwrap());
    for photo in samples() {
        let (one, other) = (segment(&eight_bits, &photo), segment(&float, &photo));
        let same = agreement(one.labels(), other.labels());
        // Of the portraits, on which the model wavers, rounded weights turn a region; a wrong graph would leave nothing.
        assert!(same > 0.85, "{}: {:.2} %", photo.display(), same * 100.0);
    }
}

#[test]
fn the_samples_hold_garments() {
    let segmenter = open(Provider::Auto).unwrap();
    for sample in SAMPLES {
        let map = segment(&segmenter, &Path::new(ROOT).join("samples").join(sample));
        let garment_px = map.labels().iter().filter(|label| **label != 0).count();
        assert!(garment_px > map.labels().len() / 20, "{sample}: {garment_px} pixels of garments");
    }
}

/// Compares the label maps of ONNX Runtime and of the embedded engine. In 8 bits the first one rounds what flows between
/// the layers and the second one does not.
fn assert_engines_agree(open: fn(Provider) -> clothseg::Result<Segmenter>, least: f64, photos: &[PathBuf]) {
    let fast = match open(Provider::Cpu) {
        Ok(segmenter) => segmenter,
        Err(error) if std::env::var_os("CLOTHSEG_REQUIRE_ONNXRUNTIME").is_none() => {
            eprintln!("skipped: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let embedded = open(Provider::Embedded).unwrap();
    for photo in photos {
        let (a, b) = (segment(&fast, photo), segment(&embedded, photo));
        let same = agreement(a.labels(), b.labels());
        eprintln!("{}: {:.3} % of the pixels agree", photo.display(), same * 100.0);
        assert!(same >= least, "{}: {:.3} % of the pixels agree", photo.display(), same * 100.0);
    }
}

#[test]
fn both_engines_agree_on_the_samples() {
    assert_engines_agree(open_sixteen_bits, 0.999, &samples());
    assert_engines_agree(open, 0.9, &samples());
}

/// For each photo, enlarged to JPEGs that are decoded at a reduced size, the share of the pixels whose class is that of decoding
/// in full. The place of the first one decides how much they are enlarged.
fn shares_at_reduced_size(
    open: fn(Provider) -> clothseg::Result<Segmenter>,
    photos: &[PathBuf],
    first: usize,
) -> Vec<f64> {
    // A region goes to its neighbour or not, as a whole: without that, what differs is the decoding's alone.
    let segmenter = open(Provider::Auto).unwrap().with_cleanup(false);
    let fit = segmenter.spec().input.fit;
    let share = |(at, path): (usize, &PathBuf)| {
        let small = Photo::open(path, &Limits::default()).unwrap();
        // The longest side at just over 16 and 8 times the network's: the least that a divisor leaves, and more.
        let clothseg::spec::Fit::LongestSide { size, .. } = fit else { panic!("{fit:?}") };
        let longest = if at == 3 { 16 * size + 5 } else { [8 * size + 5, 9 * size, 11 * size + 1][at % 3] };
        let scale = f64::from(longest) / f64::from(small.width().max(small.height()));
        let side = |side: u32| (f64::from(side) * scale).round() as u32;
        let (width, height) = (side(small.width()), side(small.height()));
        let large = image::imageops::resize(small.rgb(), width, height, image::imageops::FilterType::CatmullRom);
        let mut jpeg = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 90).encode_image(&large).unwrap();
        let map = |detail| {
            let photo = Photo::from_bytes_with(&jpeg, &Limits::default(), detail).unwrap();
            assert_eq!(photo.is_reduced(), detail != Detail::Full, "{width} x {height}");
            segmenter.segment(&photo).unwrap().label_map().clone()
        };
        let (full, reduced) = (map(Detail::Full), map(Detail::EnoughFor(fit)));
        assert_eq!((reduced.width(), reduced.height()), (width, height));
        let share = agreement(full.labels(), reduced.labels());
        eprintln!("{:.3} % {width} x {height} {}", share * 100.0, path.display());
        share
    };
    (first..).zip(photos).map(share).collect()
}

#[test]
fn a_sample_at_a_reduced_size_gives_nearly_the_same_label_map() {
    // Of the portraits among the samples the model is unsure, so that less moves its borders.
    let shares = shares_at_reduced_size(open, &samples(), 0);
    assert!(shares.iter().all(|share| *share >= 0.95), "{shares:.4?}");
}

mod needs_data {
    use super::*;

    /// The first street photos of the data sets, by name.
    fn street_photos(count: usize) -> Vec<PathBuf> {
        let Some(data) = std::env::var_os("CLOTHSEG_DATA") else {
            panic!("CLOTHSEG_DATA must name the folder of data sets")
        };
        let entries = std::fs::read_dir(Path::new(&data).join("photos")).unwrap();
        let mut photos: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        photos.sort();
        photos.truncate(count);
        photos
    }

    #[test]
    #[ignore = "needs CLOTHSEG_DATA"]
    fn both_engines_agree_on_street_photos() {
        let photos = street_photos(5);
        assert_engines_agree(open_sixteen_bits, 0.999, &photos);
        assert_engines_agree(open, 0.95, &photos);
    }

    #[test]
    #[ignore = "needs CLOTHSEG_DATA"]
    fn a_street_photo_at_a_reduced_size_gives_the_same_label_map() {
        // Without rounding to 8 bits, for the same reason.
        let shares = shares_at_reduced_size(open_sixteen_bits, &street_photos(3), SAMPLES.len());
        assert!(shares.iter().all(|share| *share >= 0.995), "{shares:.4?}");
    }
}

#[test]
fn the_model_says_what_it_is() {
    let segmenter = open(Provider::Embedded).unwrap();
    let spec = segmenter.spec();
    // Classes of persons have come behind the garments since; the model's own are the first ones all the same.
    let known = clothseg::Taxonomy::builtin("garments").unwrap().classes;
    assert!(spec.taxonomy.len() >= 21 && known.starts_with(&spec.taxonomy.classes));
    for fact in ["trained_on", "licence", "scores_on_network_grid"] {
        assert!(spec.training.contains_key(fact), "no '{fact}' in {:?}", spec.training);
    }
}
