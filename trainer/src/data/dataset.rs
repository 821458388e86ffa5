//! Sources put together, checked, and loaded one example at a time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clothseg::preprocess::resize_region;
use clothseg::{Limits, Photo};
use image::RgbImage;
use rayon::prelude::*;

use super::source::report_damage;
use super::{
    IGNORE, Label, LabelImage, LabelSets, Listing, Mapping, OnDamage, Pair, Sample, Source, TagFile, Tags, Target,
    Vocabulary, image_dimensions,
};
use crate::error::{Error, Result};

/// Examples that are worked on before what comes of them is gathered.
const AT_ONCE: usize = 256;

#[derive(Clone, Debug)]
struct Entry {
    pair: Pair,
    source: usize,
    tags: Option<Tags>,
}

/// The examples of one or more sources, in target classes.
#[derive(Clone, Debug)]
pub struct Dataset {
    entries: Vec<Entry>,
    mappings: Vec<Mapping>,
    sets: LabelSets,
    sources: Vec<Source>,
    /// Files that the labels of a source depend on, beside their own.
    tables: Vec<(usize, PathBuf)>,
    on_damage: OnDamage,
    skipped: usize,
    /// Examples whose damage showed when they were loaded.
    unsound: Arc<Mutex<BTreeSet<usize>>>,
}

impl Dataset {
    /// Lists the sources and looks into every label: pairs, sizes, indices.
    pub fn open(sources: &[Source], target: &Target, on_damage: OnDamage) -> Result<Self> {
        let mut entries = Vec::new();
        let mut mappings = Vec::new();
        let mut sets = LabelSets::from(target.classes());
        let (mut damage, mut pieces) = (Vec::new(), Vec::new());
        let mut all_tables = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let Listing { classes, unused, pairs, incomplete, bad_pieces, notes, tables } =
                source.list_for(Some(target))?;
            let mapping = match &source.mapping {
                Some(path) => Mapping::open(path, &classes, target, &mut sets)?,
                None => {
                    Mapping::by_name(&classes, &unused, target).map_err(|cause| Error::file(&source.root, cause))?
                }
            };
            damage.extend(incomplete);
            let sound = check(pairs, mapping.len(), &mut damage);
            pieces.extend(bad_pieces);
            notes.iter().for_each(|note| tracing::warn!("{note}"));
            all_tables.extend(tables.into_iter().chain(source.tag_file()).map(|path| (index, path)));
            let tags = tags_of(source, &classes, &mapping, &sets)?;
            for pair in sound {
                let tags = tags(&pair.stem)?;
                entries.push(Entry { pair, source: index, tags });
            }
            mappings.push(mapping);
        }
        let skipped = damage.len();
        damage.extend(pieces);
        report_damage(damage, on_damage)?;
        let dataset = Self {
            entries,
            mappings,
            sets,
            sources: sources.to_vec(),
            tables: all_tables,
            on_damage,
            skipped,
            unsound: Arc::default(),
        };
        if dataset.is_empty() { Err(dataset.nothing_usable()) } else { Ok(dataset) }
    }

    /// The error where no example can be used.
    pub(super) fn nothing_usable(&self) -> Error {
        let root = self.sources.first().map(|source| source.root.clone()).unwrap_or_default();
        Error::file(root, "holds no usable example")
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of examples that were skipped because of damage when the dataset was opened.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// What its labels may be besides classes.
    pub fn sets(&self) -> &LabelSets {
        &self.sets
    }

    /// The files of an example.
    pub fn pair(&self, index: usize) -> &Pair {
        &self.entries[index].pair
    }

    /// The source of an example.
    pub fn source(&self, index: usize) -> &Source {
        &self.sources[self.entries[index].source]
    }

    /// Its sources.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The number of an example's source.
    pub(super) fn source_number(&self, index: usize) -> usize {
        self.entries[index].source
    }

    /// Files that the labels depend on beside their own, each with the number of its source.
    pub(super) fn tables(&self) -> impl Iterator<Item = (usize, &Path)> {
        self.tables.iter().map(|(source, path)| (*source, path.as_path()))
    }

    /// The root folders of its sources.
    pub(super) fn roots(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().map(|source| source.root.as_path())
    }

    /// Decodes an example and maps its label.
    pub fn load(&self, index: usize) -> Result<Sample> {
        let entry = &self.entries[index];
        // What the runtime finds odd in a photo names it.
        let _span = tracing::warn_span!("photo", file = %entry.pair.photo.display()).entered();
        let (photo, labels) = load(&entry.pair)?;
        let labels = self.mappings[entry.source].apply(labels);
        // Behind ignored pixels there may be anything.
        let hides = !self.sources[entry.source].files.ignored_hides_nothing && labels.data.contains(&IGNORE);
        let tags = entry.tags.clone().or_else(|| hides.then(|| Tags::unknown(self.sets.classes())));
        Ok(Sample { photo, labels, tags })
    }

    /// As [`Dataset::load`], and [`None`] for an example whose damage shows only now, such as a photo that is cut off
    /// behind its head, where damage is to be skipped. Each is named once.
    pub fn load_sound(&self, index: usize) -> Result<Option<Sample>> {
        let unsound = || self.unsound.lock().unwrap_or_else(PoisonError::into_inner);
        if unsound().contains(&index) {
            return Ok(None);
        }
        match self.load(index) {
            Ok(sample) => Ok(Some(sample)),
            // What a file holds stays as it is. That one cannot be read may be over by the next time, and a run would
            // not be a function of its data.
            Err(error @ Error::File { .. }) if self.on_damage == OnDamage::Skip => {
                if unsound().insert(index) {
                    tracing::warn!("skipped: {}", error.chain());
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// As [`Dataset::load_sound`], in the shape that the photo had before it was squashed, where the source says it: what a
    /// model is shown when it is scored, since nobody squashes photos for it.
    pub fn load_unsquashed(&self, index: usize) -> Result<Option<Sample>> {
        let Some(sample) = self.load_sound(index)? else { return Ok(None) };
        let Some(aspect) = self.source(index).aspect else { return Ok(Some(sample)) };
        let height = sample.photo.height();
        let width = (f64::from(height) * aspect).round().clamp(1.0, f64::from(u16::MAX)) as u32;
        let photo = resize_region(&sample.photo, None, width, height)?;
        Ok(Some(Sample { photo, labels: sample.labels.resized(width, height), tags: sample.tags }))
    }

    /// Loads every sound example, does `work` on it, and hands what comes of it to `gather`, in the order of the examples;
    /// where `parallel`, up to 256 at a time. Stops at an error. Returns how many examples there were.
    pub fn for_each<T: Send>(
        &self,
        parallel: bool,
        work: impl Fn(Sample) -> Result<T> + Sync,
        mut gather: impl FnMut(T),
    ) -> Result<usize> {
        let mut count = 0;
        let one = |index| self.load_unsquashed(index)?.map(&work).transpose();
        in_order(self.len(), parallel, one, |result| {
            count += usize::from(result.is_some());
            result.into_iter().for_each(&mut gather);
        })?;
        if count == 0 { Err(self.nothing_usable()) } else { Ok(count) }
    }

    /// Reads and maps an example's label alone.
    pub fn load_labels(&self, index: usize) -> Result<LabelImage> {
        let entry = &self.entries[index];
        Ok(self.mappings[entry.source].apply(entry.pair.label.load()?))
    }
}

/// What tells the tags of a source's photos, by their stems.
fn tags_of(
    source: &Source,
    classes: &[String],
    mapping: &Mapping,
    sets: &LabelSets,
) -> Result<impl Fn(&str) -> Result<Option<Tags>> + use<>> {
    let file = source.tag_file().map(|path| TagFile::open(&path)).transpose()?;
    let vocabulary = Vocabulary::new(classes, mapping, sets);
    Ok(move |stem: &str| match &file {
        Some(file) => file.tags(stem, &vocabulary),
        None => Ok(None),
    })
}

/// Hands what `work` makes of 0 to `count` to `gather`, in order. Few results wait, and little is begun after an error.
fn in_order<T: Send>(
    count: usize,
    parallel: bool,
    work: impl Fn(usize) -> Result<T> + Sync,
    mut gather: impl FnMut(T),
) -> Result<()> {
    if !parallel {
        return (0..count).try_for_each(|index| work(index).map(&mut gather));
    }
    for first in (0..count).step_by(AT_ONCE) {
        let chunk = first..count.min(first + AT_ONCE);
        let results: Vec<T> = chunk.into_par_iter().map(&work).collect::<Result<_>>()?;
        results.into_iter().for_each(&mut gather);
    }
    Ok(())
}

/// Decodes a pair. The label is in the source's classes.
pub(super) fn load(pair: &Pair) -> Result<(RgbImage, LabelImage)> {
    let photo = Photo::open(&pair.photo, &Limits::default()).map_err(|error| match error {
        clothseg::Error::Read { .. } => Error::from(error),
        _ => Error::file(&pair.photo, error.chain()),
    })?;
    // As the runtime sees it.
    let photo = photo.srgb().into_owned();
    let labels = pair.label.load()?;
    match mismatch(pair, photo.dimensions(), (labels.width, labels.height)) {
        Some(cause) => Err(Error::file(pair.label.path(), cause)),
        None => Ok((photo, labels)),
    }
}

/// The pairs without damage. Sizes are compared, and PNG labels read; regions were checked when they were listed.
pub(super) fn check(pairs: Vec<Pair>, classes: usize, damage: &mut Vec<String>) -> Vec<Pair> {
    let causes: Vec<Option<String>> = pairs.par_iter().map(|pair| check_pair(pair, classes)).collect();
    let mut sound = Vec::with_capacity(pairs.len());
    for (pair, cause) in pairs.into_iter().zip(causes) {
        match cause {
            None => sound.push(pair),
            Some(cause) => damage.push(cause),
        }
    }
    sound
}

/// What is wrong with a pair, if anything.
fn check_pair(pair: &Pair, classes: usize) -> Option<String> {
    let path = pair.label.path().display();
    let read = image_dimensions(&pair.photo).and_then(|photo| match &pair.label {
        Label::Regions(regions) => Ok((photo, (regions.size().width(), regions.size().height()), 0)),
        Label::Unlabelled { .. } => Ok((photo, photo, 0)),
        Label::Png { .. } => {
            let label = pair.label.load()?;
            let largest = label.data.iter().copied().filter(|index| *index != IGNORE).max().unwrap_or(0);
            Ok((photo, (label.width, label.height), largest))
        }
    });
    match read {
        Err(error) => Some(error.to_string()),
        Ok((_, _, largest)) if usize::from(largest) >= classes => {
            Some(format!("{path}: class {largest}, and the dataset has {classes}"))
        }
        Ok((photo, label, _)) => mismatch(pair, photo, label).map(|cause| format!("{path}: {cause}")),
    }
}

fn mismatch(pair: &Pair, photo: (u32, u32), label: (u32, u32)) -> Option<String> {
    (photo != label).then(|| {
        let stem = &pair.stem;
        format!("the label of {stem} is {} x {}, its photo upright {} x {}", label.0, label.1, photo.0, photo.1)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::testing::{cut_off, write_noise};
    use crate::data::{Shown, SourceFiles};
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    #[test]
    fn results_come_in_order_and_few_wait() {
        for parallel in [false, true] {
            let waiting = AtomicUsize::new(0);
            let (mut seen, mut most) = (Vec::new(), 0);
            let work = |index: usize| {
                waiting.fetch_add(1, SeqCst);
                Ok(index)
            };
            in_order(1000, parallel, work, |index| {
                most = most.max(waiting.fetch_sub(1, SeqCst));
                seen.push(index);
            })
            .unwrap();
            assert_eq!(seen, (0..1000).collect::<Vec<_>>());
            assert_eq!(most, if parallel { AT_ONCE } else { 1 });
        }
    }

    #[test]
    fn a_squashed_photo_is_scored_in_the_shape_that_it_had() {
        let root = tempfile::tempdir().unwrap();
        let source = write_noise(root.path(), "train", &["a"]);
        let target = Target::builtin("garments").unwrap();
        let shape = |aspect| {
            let dataset = Dataset::open(&[Source { aspect, ..source.clone() }], &target, OnDamage::Refuse).unwrap();
            let mut shapes = Vec::new();
            let work = |sample: Sample| Ok((sample.photo.dimensions(), (sample.labels.width, sample.labels.height)));
            dataset.for_each(false, work, |shape| shapes.push(shape)).unwrap();
            shapes[0]
        };
        let (photo, labels) = shape(None);
        assert_eq!(photo, labels);
        let narrow = (photo.1 / 2, photo.1);
        assert_eq!(shape(Some(0.5)), (narrow, narrow));
    }

    #[test]
    fn a_photo_that_is_cut_off_is_named_where_damage_is_refused_and_left_out_where_it_is_skipped() {
        let root = tempfile::tempdir().unwrap();
        let source = [write_noise(root.path(), "train", &["a", "b", "c"])];
        cut_off(root.path(), "train", "b");
        let target = Target::builtin("garments").unwrap();
        let open = |on_damage| Dataset::open(&source, &target, on_damage).unwrap();
        let photos = |dataset: &Dataset| {
            let mut photos = Vec::new();
            dataset.for_each(true, |sample| Ok(sample.photo), |photo| photos.push(photo)).map(|count| (count, photos))
        };
        let error = photos(&open(OnDamage::Refuse)).unwrap_err().to_string();
        assert!(error.contains("b.png") && error.contains("not a readable photo"), "{error}");
        let dataset = open(OnDamage::Skip);
        let [first, last] = [0, 2].map(|index| dataset.load(index).unwrap().photo);
        for _ in 0..2 {
            assert_eq!(photos(&dataset).unwrap(), (2, vec![first.clone(), last.clone()]));
        }
        ["a", "c"].iter().for_each(|stem| cut_off(root.path(), "train", stem));
        assert!(photos(&open(OnDamage::Skip)).unwrap_err().to_string().contains("no usable example"));
        // A file that has gone is no damage of its contents.
        std::fs::remove_file(root.path().join("train/images/a.png")).unwrap();
        assert!(dataset.load_sound(0).is_err());
    }

    #[test]
    fn behind_ignored_pixels_there_may_be_any_class_unless_the_source_says_otherwise() {
        let root = tempfile::tempdir().unwrap();
        let source = write_noise(root.path(), "train", &["a", "b"]);
        let mut label = image::open(root.path().join("train/labels/b.png")).unwrap().into_luma8();
        label.put_pixel(31, 31, image::Luma([IGNORE]));
        label.save(root.path().join("train/labels/b.png")).unwrap();
        let target = Target::builtin("garments").unwrap();
        let shown = |ignored_hides_nothing| {
            let files = SourceFiles { ignored_hides_nothing, ..SourceFiles::default() };
            let dataset = Dataset::open(&[Source { files, ..source.clone() }], &target, OnDamage::Refuse).unwrap();
            [0, 1].map(|index| dataset.load(index).unwrap().tags.map(|tags| tags.shown(true)))
        };
        assert_eq!(shown(false), [None, Some(vec![Shown::Maybe; target.classes()])]);
        assert_eq!(shown(true), [None, None]);
    }

    #[test]
    fn an_error_ends_the_work_before_all_is_done() {
        for parallel in [false, true] {
            let begun = AtomicUsize::new(0);
            let mut gathered = 0;
            let work = |index: usize| {
                begun.fetch_add(1, SeqCst);
                if index == 300 { Err(Error::file("300", "is broken")) } else { Ok(()) }
            };
            let error = in_order(10_000, parallel, work, |()| gathered += 1).unwrap_err().to_string();
            assert!(error.contains("is broken") && begun.load(SeqCst) <= 2 * AT_ONCE, "{error}");
            assert_eq!(gathered, if parallel { AT_ONCE } else { 300 });
        }
    }
}
