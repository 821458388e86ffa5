//! Sources put together, checked, and loaded one example at a time.

use clothseg::decode::{Limits, Photo};
use image::RgbImage;
use rayon::prelude::*;

use super::source::report_damage;
use super::{IGNORE, Label, LabelImage, Listing, Mapping, OnDamage, Pair, Sample, Source, Target, image_dimensions};
use crate::error::{Error, Result};

/// Examples that are worked on before what comes of them is gathered.
const AT_ONCE: usize = 256;

#[derive(Clone, Debug)]
struct Entry {
    pair: Pair,
    source: usize,
}

/// The examples of one or more sources, in target classes.
#[derive(Clone, Debug)]
pub struct Dataset {
    entries: Vec<Entry>,
    mappings: Vec<Mapping>,
    sources: Vec<Source>,
    skipped: usize,
}

impl Dataset {
    /// Lists the sources and looks into every label: pairs, sizes, indices.
    pub fn open(sources: &[Source], target: &Target, on_damage: OnDamage) -> Result<Self> {
        let mut entries = Vec::new();
        let mut mappings = Vec::new();
        let mut damage = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let Listing { classes, pairs, incomplete } = source.list()?;
            let mapping = match &source.mapping {
                Some(path) => Mapping::open(path, &classes, target)?,
                None => Mapping::by_name(&classes, target).map_err(|cause| Error::file(&source.root, cause))?,
            };
            damage.extend(incomplete);
            let sound = check(pairs, mapping.len(), &mut damage);
            entries.extend(sound.into_iter().map(|pair| Entry { pair, source: index }));
            mappings.push(mapping);
        }
        let skipped = damage.len();
        report_damage(damage, on_damage)?;
        if entries.is_empty() {
            let root = sources.first().map(|source| source.root.clone()).unwrap_or_default();
            return Err(Error::file(root, "holds no usable example"));
        }
        Ok(Self { entries, mappings, sources: sources.to_vec(), skipped })
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of examples that were skipped because of damage.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// The files of an example.
    pub fn pair(&self, index: usize) -> &Pair {
        &self.entries[index].pair
    }

    /// The source of an example.
    pub fn source(&self, index: usize) -> &Source {
        &self.sources[self.entries[index].source]
    }

    /// Decodes an example and maps its label.
    pub fn load(&self, index: usize) -> Result<Sample> {
        let entry = &self.entries[index];
        let (photo, labels) = load(&entry.pair)?;
        Ok(Sample { photo, labels: self.mappings[entry.source].apply(labels) })
    }

    /// Loads every example, does `work` on it, and hands what comes of it to `gather`, in the order of the examples; where
    /// `parallel`, up to 256 at a time. Stops at an error. Returns how many examples there were.
    pub fn for_each<T: Send>(
        &self,
        parallel: bool,
        work: impl Fn(Sample) -> Result<T> + Sync,
        gather: impl FnMut(T),
    ) -> Result<usize> {
        in_order(self.len(), parallel, |index| work(self.load(index)?), gather)?;
        Ok(self.len())
    }

    /// Reads and maps an example's label alone.
    pub fn load_labels(&self, index: usize) -> Result<LabelImage> {
        let entry = &self.entries[index];
        Ok(self.mappings[entry.source].apply(entry.pair.label.load()?))
    }
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
    let photo = Photo::open(&pair.photo, &Limits::default())?.rgb().clone();
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
