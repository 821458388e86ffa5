//! A small dataset for tests.

use std::fs;
use std::path::{Path, PathBuf};

use image::{GrayImage, Luma, Rgb, RgbImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Layout, Source, SourceFiles};

/// Writes photos of noise, 32 x 32 pixels, and labels that are shirt on the left, in the folder layout.
pub(crate) fn write_noise(root: &Path, split: &str, stems: &[&str]) -> Source {
    for kind in ["images", "labels"] {
        fs::create_dir_all(root.join(split).join(kind)).unwrap();
    }
    fs::write(root.join("class_dict.csv"), "name,r,g,b\nbackground,0,0,0\nshirt,1,1,1\n").unwrap();
    for stem in stems {
        let mut random = ChaCha8Rng::seed_from_u64(stem.bytes().map(u64::from).sum());
        let edge = random.random_range(8..24);
        let photo = RgbImage::from_fn(32, 32, |_, _| Rgb([0; 3].map(|_: u8| random.random())));
        let label = GrayImage::from_fn(32, 32, |x, _| Luma([u8::from(x < edge)]));
        photo.save(photo_path(root, split, stem)).unwrap();
        label.save(root.join(split).join(format!("labels/{stem}.png"))).unwrap();
    }
    Source {
        layout: Layout::Folder,
        root: root.to_path_buf(),
        split: split.to_owned(),
        files: SourceFiles::default(),
        mapping: None,
        repeat: 1.0,
        aspect: None,
    }
}

/// Makes the labels masks of 0 and 255.
pub(crate) fn write_masks(root: &Path, split: &str, stems: &[&str]) {
    let mask = GrayImage::from_fn(32, 32, |x, _| Luma([if x < 16 { 255 } else { 0 }]));
    stems.iter().for_each(|stem| mask.save(root.join(split).join(format!("labels/{stem}.png"))).unwrap());
}

/// Cuts a photo off behind its head: its size can be told, and it cannot be decoded.
pub(crate) fn cut_off(root: &Path, split: &str, stem: &str) {
    let path = photo_path(root, split, stem);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
}

fn photo_path(root: &Path, split: &str, stem: &str) -> PathBuf {
    root.join(split).join(format!("images/{stem}.png"))
}
