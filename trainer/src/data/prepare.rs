//! Any layout to the folder layout at a chosen size: `OUTPUT/SPLIT/{images,labels}/STEM.{jpg,png}`,
//! `OUTPUT/class_dict.csv` and, where the source has tags, `OUTPUT/tags.csv`. The classes are the source's own, in its order; a mapping is for training.
//!
//! Photos are shrunk or enlarged as for a network ([`clothseg::preprocess::resize_region`]); a label's pixel takes the
//! index under its centre. Every file is written whole or not at all, a photo before its label, so that an example with
//! both is done: a later call with the same options goes on where an earlier one stopped, and does again what has changed since. What a split was made with
//! stands in its `prepare.json`, and other options are refused there.

mod splits;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clothseg::preprocess::{geometry, resize_region};
use clothseg::spec::Fit;
use clothseg_batch::write_atomically;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;

use self::splits::{Draw, draw};
use super::dataset::{check, load};
use super::photos::extension;
use super::source::report_damage;
use super::{LabelImage, Listing, OnDamage, Pair, Source};
use crate::classes::colors::class_color;
use crate::counted::counted;
use crate::error::{Error, Result};

pub use self::splits::Splits;

/// Time between two lines about the progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// Size of the pictures that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputSize {
    /// As it is.
    Original,
    /// Squashed to this width and height, as in the study.
    Stretch {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The longest side has at most so many pixels; the aspect ratio is kept.
    LongestSide(u32),
}

/// Largest side that can be asked for, in pixels.
const MAX_SIDE: u32 = 16_384;

impl OutputSize {
    /// Width and height of a picture of `width` x `height`.
    pub fn of(self, width: u32, height: u32) -> (u32, u32) {
        match self {
            OutputSize::Stretch { width, height } => (width, height),
            OutputSize::LongestSide(size) if size < width.max(height) => {
                let at = geometry(&Fit::LongestSide { size, multiple: 1 }, width, height);
                (at.content_width, at.content_height)
            }
            _ => (width, height),
        }
    }
}

impl FromStr for OutputSize {
    type Err = String;

    /// `256x256` is a size to squash to, `512` a longest side, `original` none.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let side = |text: &str| text.trim().parse().ok().filter(|side| (1..=MAX_SIDE).contains(side));
        match text.split_once(['x', 'X']) {
            Some((width, height)) => {
                side(width).zip(side(height)).map(|(width, height)| OutputSize::Stretch { width, height })
            }
            None if text == "original" => Some(OutputSize::Original),
            None => side(text).map(OutputSize::LongestSide),
        }
        .ok_or_else(|| format!("`{text}` is no size; write 256x256, a longest side of 1 to {MAX_SIDE}, or original"))
    }
}

impl fmt::Display for OutputSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutputSize::Original => formatter.write_str("original"),
            OutputSize::Stretch { width, height } => write!(formatter, "{width}x{height}"),
            OutputSize::LongestSide(size) => write!(formatter, "{size}"),
        }
    }
}

/// What to prepare, and how.
#[derive(Clone, Debug)]
pub struct PrepareOptions {
    /// Where the examples come from.
    pub source: Source,
    /// Root of the folder layout.
    pub output: PathBuf,
    /// Size of the pictures.
    pub size: OutputSize,
    /// The splits to write.
    pub splits: Splits,
    /// Seed of the splits, and of the choice where not all are wanted.
    pub seed: u64,
    /// At most so many examples. A larger limit keeps those of a smaller one.
    pub limit: Option<usize>,
    /// Quality of the JPEG files, 1 to 100.
    pub jpeg_quality: u8,
    /// What to do with damage.
    pub on_damage: OnDamage,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Examples of each split that lie there now.
    pub splits: Vec<(String, usize)>,
    /// How many of them an earlier call had written.
    pub kept: usize,
    /// Examples that were skipped because of damage.
    pub skipped: usize,
}

/// Writes the source's examples.
pub fn prepare(options: &PrepareOptions) -> Result<Prepared> {
    let Listing { classes, pairs, incomplete: mut damage, bad_pieces, notes, .. } = options.source.list()?;
    notes.iter().for_each(|note| tracing::warn!("{note}"));
    let pairs = choose(pairs, options);
    tracing::info!("checking {}", counted(pairs.len(), "example", "examples"));
    let pairs = check(pairs, classes.len(), &mut damage);
    let skipped = damage.len();
    damage.extend(bad_pieces);
    report_damage(damage, options.on_damage)?;
    if pairs.is_empty() {
        return Err(Error::file(&options.source.root, "holds no usable example"));
    }
    start_output(&options.output, options.splits.names(), &classes, &manifest(options))?;
    if let Some(tags) = options.source.tag_file() {
        let text = std::fs::read(&tags).map_err(Error::io("read", &tags))?;
        write_atomically(&options.output.join("tags.csv"), &text)?;
    }
    let prepared = write_all(options, &pairs, skipped)?;
    tell_others(options, &pairs)?;
    Ok(prepared)
}

/// Those that the limit leaves, in the order of their names.
fn choose(mut pairs: Vec<Pair>, options: &PrepareOptions) -> Vec<Pair> {
    if let Some(limit) = options.limit.filter(|limit| *limit < pairs.len()) {
        let drawn = |pair: &Pair| draw(options.seed, Draw::Choice, &pair.stem);
        pairs.sort_by(|one, other| drawn(one).total_cmp(&drawn(other)).then_with(|| one.stem.cmp(&other.stem)));
        pairs.truncate(limit);
        pairs.sort_by(|one, other| one.stem.cmp(&other.stem));
    }
    pairs
}

/// Makes sure that the output is of the options that `manifest` holds, and writes what all its examples share.
pub(crate) fn start_output<'a>(
    output: &Path,
    splits: impl Iterator<Item = &'a str>,
    classes: &[String],
    manifest: &[u8],
) -> Result<()> {
    let table = class_table(classes).map_err(|error| Error::file(output, error.to_string()))?;
    let splits: Vec<PathBuf> = splits.map(|split| output.join(split)).collect();
    let table_path = output.join("class_dict.csv");
    agree(&table_path, &table, "has other classes than the source")?;
    for split in &splits {
        let path = split.join("prepare.json");
        agree(&path, manifest, "was written with other options")?;
        if !path.exists() && split.exists() {
            return Err(Error::file(split, "is there and not from this command; name another output folder"));
        }
    }
    write_atomically(&table_path, &table)?;
    for split in splits {
        write_atomically(&split.join("prepare.json"), manifest)?;
    }
    Ok(())
}

/// Refuses a file that is there with something else in it.
pub(crate) fn agree(path: &Path, expected: &[u8], otherwise: &str) -> Result<()> {
    match std::fs::read(path) {
        Ok(found) if found != expected => {
            Err(Error::file(path, format!("{otherwise}; name another output folder, or remove this one")))
        }
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::io("read", path)(source)),
        _ => Ok(()),
    }
}

/// `name,r,g,b`, row = index.
fn class_table(classes: &[String]) -> std::result::Result<Vec<u8>, csv::Error> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["name", "r", "g", "b"])?;
    for (index, name) in (0..=u8::MAX).zip(classes) {
        let [r, g, b] = class_color(index).map(|channel| channel.to_string());
        table.write_record([name, &r, &g, &b])?;
    }
    table.into_inner().map_err(|error| error.into_error().into())
}

/// All that the files of a split depend on.
fn manifest(options: &PrepareOptions) -> Vec<u8> {
    let PrepareOptions { source, size, splits, seed, jpeg_quality, .. } = options;
    let facts = serde_json::json!({
        "layout": source.layout,
        "root": source.root.to_string_lossy(),
        "split": source.split,
        "files": source.files,
        "size": size.to_string(),
        "splits": splits.to_string(),
        "seed": seed,
        "jpeg_quality": jpeg_quality,
    });
    format!("{facts:#}\n").into_bytes()
}

/// How far the writing is.
struct Progress {
    splits: Vec<usize>,
    kept: usize,
    damage: Vec<String>,
    started: Instant,
    told: Instant,
}

/// How an example ended.
enum Outcome {
    Written,
    Kept,
    Damaged(Error),
}

fn write_all(options: &PrepareOptions, pairs: &[Pair], skipped: usize) -> Result<Prepared> {
    let names: Vec<&str> = options.splits.names().collect();
    let now = Instant::now();
    let start = Progress { splits: vec![0; names.len()], kept: 0, damage: Vec::new(), started: now, told: now };
    let progress = Mutex::new(start);
    pairs.par_iter().try_for_each(|pair| {
        let place = options.splits.place(options.seed, &pair.stem);
        let outcome = write(pair, &options.output.join(names[place]), options)?;
        // A thread that held the lock can only have ended between whole updates.
        let mut progress = progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match outcome {
            Outcome::Damaged(error) if options.on_damage == OnDamage::Refuse => {
                return Err(Error::Damage { found: vec![error.chain()], total: 1 });
            }
            Outcome::Damaged(error) => progress.damage.push(error.chain()),
            Outcome::Kept => (progress.splits[place], progress.kept) = (progress.splits[place] + 1, progress.kept + 1),
            Outcome::Written => progress.splits[place] += 1,
        }
        progress.tell(pairs.len());
        Ok(())
    })?;
    let mut progress = progress.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    progress.damage.sort();
    let skipped = skipped + progress.damage.len();
    report_damage(progress.damage, options.on_damage)?;
    let splits = names.into_iter().map(str::to_owned).zip(progress.splits).collect();
    Ok(Prepared { splits, kept: progress.kept, skipped })
}

impl Progress {
    fn tell(&mut self, all: usize) {
        if self.told.elapsed() < PROGRESS {
            return;
        }
        self.told = Instant::now();
        let done: usize = self.splits.iter().sum::<usize>() + self.damage.len();
        let rate = (done - self.kept) as f64 / self.started.elapsed().as_secs_f64();
        tracing::info!("{done} of {all} examples, {rate:.1} a second");
    }
}

fn write(pair: &Pair, split: &Path, options: &PrepareOptions) -> Result<Outcome> {
    if is_written(split, &pair.stem) && is_up_to_date(split, pair) {
        return Ok(Outcome::Kept);
    }
    let (photo, label) = match load(pair) {
        Ok(loaded) => loaded,
        Err(error) => return Ok(Outcome::Damaged(error)),
    };
    let (width, height) = options.size.of(photo.width(), photo.height());
    let photo = if photo.dimensions() == (width, height) { photo } else { resize_region(&photo, None, width, height)? };
    write_example(&photo, &label.resized(width, height), split, &pair.stem, options.jpeg_quality)?;
    Ok(Outcome::Written)
}

/// Writes `SPLIT/images/STEM.jpg` and, last, `SPLIT/labels/STEM.png`.
pub(crate) fn write_example(
    photo: &RgbImage,
    labels: &LabelImage,
    split: &Path,
    stem: &str,
    jpeg_quality: u8,
) -> Result<()> {
    let [photo_path, label_path] = example_paths(split, stem);
    let mut jpeg = Vec::new();
    photo
        .write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, jpeg_quality.clamp(1, 100)))
        .map_err(|error| Error::file(&photo_path, format!("cannot be encoded: {error}")))?;
    let png = encode_labels(labels).map_err(|error| Error::file(&label_path, error.to_string()))?;
    write_atomically(&photo_path, &jpeg)?;
    write_atomically(&label_path, &png)?;
    Ok(())
}

/// Where photo and label of an example lie.
fn example_paths(split: &Path, stem: &str) -> [PathBuf; 2] {
    [split.join("images").join(format!("{stem}.jpg")), split.join("labels").join(format!("{stem}.png"))]
}

/// Whether neither photo nor label has changed since an example was written, as far as their times tell.
fn is_up_to_date(split: &Path, pair: &Pair) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let [_, written] = example_paths(split, &pair.stem);
    let written = changed(&written);
    [&pair.photo, pair.label.path()].into_iter().all(|source| changed(source) <= written)
}

/// Says how many examples lie in the output that the source does not have, or not among those that were asked for.
fn tell_others(options: &PrepareOptions, pairs: &[Pair]) -> Result<()> {
    let names: Vec<&str> = options.splits.names().collect();
    let mut ours = vec![HashSet::new(); names.len()];
    for pair in pairs {
        ours[options.splits.place(options.seed, &pair.stem)].insert(pair.stem.as_str());
    }
    for (split, ours) in names.iter().zip(ours) {
        let labels = options.output.join(split).join("labels");
        let listed = match std::fs::read_dir(&labels) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            listed => listed.map_err(Error::io("list", &labels))?,
        };
        let paths = listed.filter_map(|entry| Some(entry.ok()?.path()));
        let is_other = |path: &PathBuf| {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            extension(path) == "png" && stem.is_some_and(|stem| !ours.contains(stem))
        };
        let others: Vec<PathBuf> = paths.filter(is_other).collect();
        if let Some(first) = others.iter().min() {
            let count = counted(others.len(), "example of an earlier call is", "examples of earlier calls are");
            let (labels, first) = (labels.display(), first.file_stem().unwrap_or_default().display());
            tracing::warn!("{labels}: {count} not among those of this one, and left there: {first}");
        }
    }
    Ok(())
}

/// Whether an earlier call has written an example.
pub(crate) fn is_written(split: &Path, stem: &str) -> bool {
    example_paths(split, stem).iter().all(|path| path.exists())
}

/// An 8-bit grey PNG of the indices.
fn encode_labels(label: &LabelImage) -> std::result::Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, label.width, label.height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&label.data)?;
    writer.finish()?;
    Ok(bytes)
}

impl fmt::Display for Prepared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let splits: Vec<String> = self.splits.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let (kept, skipped) = (self.kept, self.skipped);
        write!(formatter, "{}; {kept} of them from before; {skipped} skipped as damaged", splits.join(", "))
    }
}

#[cfg(test)]
mod tests;
