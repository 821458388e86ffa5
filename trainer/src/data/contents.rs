//! What the labels of a dataset hold, compared with the classes that a network is to learn.

use std::fmt::Write as _;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Dataset, IGNORE, Label, Target};
use crate::counted::counted;
use crate::error::{Error, Result};

/// What a dataset shows of a class. Every image counts as one, whatever its size, since crops are cut at one scale; where a
/// source is repeated, so are its images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassCount {
    /// Sum of the class's shares of the images' pixels that count, each 0 to 1.
    pub area: f64,
    /// Images that show it.
    pub images: f64,
}

fn histogram(labels: &[u8]) -> [u64; 256] {
    let mut pixels = [0; 256];
    labels.iter().for_each(|label| pixels[usize::from(*label)] += 1);
    pixels
}

/// Of one image: a class's area and 1 for the classes that it shows. Ignored pixels and sets are above all classes.
fn counts(pixels: &[u64; 256], classes: usize) -> Vec<ClassCount> {
    let pixels = &pixels[..classes.min(256)];
    let total = pixels.iter().sum::<u64>().max(1) as f64;
    let count = |pixels: &u64| ClassCount { area: *pixels as f64 / total, images: f64::from(u8::from(*pixels > 0)) };
    pixels.iter().map(count).collect()
}

/// Pixels and photos of a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabelCount {
    /// Pixels.
    pub pixels: u64,
    /// Photos that have one.
    pub photos: usize,
}

/// What the labels of a dataset hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Contents {
    names: Vec<String>,
    /// Of each class, for certain.
    classes: Vec<LabelCount>,
    /// Of labels that are one of several classes.
    uncertain: LabelCount,
    ignored: LabelCount,
    /// Photos with labels.
    photos: usize,
    /// Photos of which nothing but tags is known.
    unlabelled: usize,
    counts: Vec<ClassCount>,
}

impl Contents {
    /// Reads all labels of a dataset.
    ///
    /// # Errors
    /// Where a label cannot be read.
    pub fn count(dataset: &Dataset, target: &Target) -> Result<Self> {
        Self::count_with_sources(dataset, target).map(|(contents, _)| contents)
    }

    /// As [`Contents::count`], and the same of each source.
    ///
    /// # Errors
    /// Where a label cannot be read.
    pub fn count_with_sources(dataset: &Dataset, target: &Target) -> Result<(Self, Vec<Self>)> {
        let names: Vec<String> = target.names().map(str::to_owned).collect();
        let histograms: Vec<Option<[u64; 256]>> = (0..dataset.len())
            .into_par_iter()
            .map(|index| match dataset.pair(index).label {
                Label::Unlabelled { .. } => Ok(None),
                _ => Ok(Some(histogram(&dataset.load_labels(index)?.data))),
            })
            .collect::<Result<_>>()?;
        let mut all = Self::of_nothing(names);
        let mut sources = vec![all.clone(); dataset.sources().len()];
        // In order, so that the sums are the same on any number of cores.
        for (index, histogram) in histograms.iter().enumerate() {
            for contents in [&mut all, &mut sources[dataset.source_number(index)]] {
                match histogram {
                    Some(histogram) => contents.add(histogram, dataset.source(index).repeat),
                    None => contents.unlabelled += 1,
                }
            }
        }
        Ok((all, sources))
    }

    fn of_nothing(names: Vec<String>) -> Self {
        let classes = names.len();
        Self {
            names,
            classes: vec![LabelCount::default(); classes],
            uncertain: LabelCount::default(),
            ignored: LabelCount::default(),
            photos: 0,
            unlabelled: 0,
            counts: vec![ClassCount::default(); classes],
        }
    }

    fn add(&mut self, pixels: &[u64; 256], repeat: f64) {
        let classes = self.classes.len();
        let add = |held: &mut LabelCount, pixels: u64| {
            held.pixels += pixels;
            held.photos += usize::from(pixels > 0);
        };
        self.classes.iter_mut().zip(pixels).for_each(|(held, pixels)| add(held, *pixels));
        add(&mut self.uncertain, pixels[classes..usize::from(IGNORE)].iter().sum());
        add(&mut self.ignored, pixels[usize::from(IGNORE)]);
        self.photos += 1;
        for (sum, count) in self.counts.iter_mut().zip(counts(pixels, classes)) {
            sum.area += repeat * count.area;
            sum.images += repeat * count.images;
        }
    }

    /// What class weights are made of.
    pub fn class_counts(&self) -> &[ClassCount] {
        &self.counts
    }

    fn total_px(&self) -> u64 {
        self.classes.iter().chain([&self.uncertain, &self.ignored]).map(|held| held.pixels).sum()
    }

    fn percent(&self, pixels: u64) -> f64 {
        100.0 * pixels as f64 / self.total_px().max(1) as f64
    }

    fn seen(&self) -> impl Iterator<Item = (&str, &LabelCount)> {
        self.names.iter().map(String::as_str).zip(&self.classes).filter(|(_, held)| held.pixels > 0)
    }

    /// Classes that no label shows for certain.
    pub fn unseen(&self) -> Vec<&str> {
        let unseen = self.names.iter().zip(&self.classes).filter(|(_, held)| held.pixels == 0);
        unseen.map(|(name, _)| name.as_str()).collect()
    }

    /// Why nothing can be learnt from these labels, and what is likely wrong. `learns_tags` says whether the network also
    /// learns from tags alone.
    pub fn refusal(&self, learns_tags: bool) -> Option<String> {
        if self.photos == 0 {
            let cause = "no photo has a label, and the network has no head that learns from tags (model.presence)";
            return (!learns_tags).then(|| cause.to_owned());
        }
        match self.suspicion() {
            None => self.single_garment(),
            cause => cause,
        }
    }

    /// That nothing but ignored pixels is there, or the background beside them, with what is likely wrong. It says nothing of
    /// photos without labels.
    pub(crate) fn suspicion(&self) -> Option<String> {
        let ignored = format!(
            "{:.1} % of all pixels are ignored (255, or mapped to \"ignore\")",
            self.percent(self.ignored.pixels)
        );
        let masks = "masks of 0 and 255 are read with reading = \"binary\" in the source";
        let seen: Vec<&str> = self.seen().map(|(name, _)| name).collect();
        match &seen[..] {
            _ if self.photos == 0 || self.uncertain.pixels > 0 || self.ignored.pixels == 0 => None,
            [] => Some(format!("no pixel of any label counts: {ignored}; {masks}")),
            [only] => Some(format!("no pixel is of another class than `{only}`, and {ignored}; {masks}")),
            _ => None,
        }
    }

    /// That all pixels are of one garment. Photos without any garment are data, if poor: whoever has no others is told.
    fn single_garment(&self) -> Option<String> {
        let seen: Vec<&str> = self.seen().map(|(name, _)| name).collect();
        match &seen[..] {
            [only] if self.uncertain.pixels == 0 && *only != self.names[0] => {
                Some(format!("every pixel of all labels is `{only}`; a network needs at least two classes"))
            }
            _ => None,
        }
    }

    /// The error where a network cannot be scored on these labels, and what should be looked at as a warning.
    pub(crate) fn require_scorable(&self, dataset: &Dataset) -> Result<()> {
        let Some(cause) = self.suspicion() else { return Ok(()) };
        if self.seen().next().is_none() {
            let root = dataset.roots().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ");
            return Err(Error::file(root, format!("the run cannot be scored on the validation labels: {cause}")));
        }
        tracing::warn!("validation: {cause}");
        Ok(())
    }

    /// What should be looked at, though a network can be trained.
    pub fn warning(&self) -> Option<String> {
        let is_background_alone = self.photos > 0 && self.seen().all(|(name, _)| name == self.names[0]);
        (is_background_alone && self.uncertain.pixels == 0).then(|| {
            format!("every pixel of all labels is `{}`: the network can learn nothing else from them", self.names[0])
        })
    }

    /// A line of what there is, and a table with a line for each class that is seen.
    pub fn table(&self) -> String {
        let seen: Vec<_> = self.seen().collect();
        let mut text = format!(
            "labels of {}: {} of {}; {:.1} % of the pixels are ignored",
            counted(self.photos, "photo", "photos"),
            seen.len(),
            counted(self.names.len(), "class", "classes"),
            self.percent(self.ignored.pixels)
        );
        if self.uncertain.pixels > 0 {
            let _ = write!(text, ", {:.1} % are one of several classes", self.percent(self.uncertain.pixels));
        }
        if self.unlabelled > 0 {
            let more = counted(self.unlabelled, "more photo has", "more photos have");
            let _ = write!(text, "; {more} tags alone");
        }
        let width = seen.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, held) in seen {
            let share = self.percent(held.pixels);
            let photos = counted(held.photos, "photo", "photos");
            let _ = write!(text, "\n  {name:width$}  {share:>7.3} % of the pixels, in {photos}");
        }
        text
    }

    /// The same as CSV: `data,label,pixels,photos`, with `data` in front of each line and all classes.
    pub fn csv(&self, data: &str) -> std::result::Result<Vec<u8>, csv::Error> {
        let mut table = csv::Writer::from_writer(Vec::new());
        let more = [("(one of several)", &self.uncertain), ("(ignored)", &self.ignored)];
        for (name, held) in self.names.iter().map(String::as_str).zip(&self.classes).chain(more) {
            table.write_record([data, name, &held.pixels.to_string(), &held.photos.to_string()])?;
        }
        table.into_inner().map_err(|error| error.into_error().into())
    }

    /// The error where [`Contents::refusal`] has one, and the warnings as warnings. `data` is what the labels are for.
    pub(crate) fn require_learnable(&self, dataset: &Dataset, learns_tags: bool) -> Result<()> {
        if let Some(cause) = self.refusal(learns_tags) {
            let root = dataset.roots().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ");
            let seen = format!("{}\nnever seen: {}", self.table(), self.unseen().join(", "));
            return Err(Error::file(root, format!("nothing can be learnt from these labels: {cause}\n{seen}")));
        }
        if let Some(warning) = self.warning() {
            tracing::warn!("{warning}");
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::OnDamage;
    use crate::data::testing::{write_masks, write_noise};

    fn contents(labels: &[&[u8]]) -> Contents {
        let mut contents = Contents::of_nothing(["background", "shirt", "hat"].map(str::to_owned).to_vec());
        labels.iter().for_each(|labels| contents.add(&histogram(labels), 1.0));
        contents
    }

    #[test]
    fn labels_are_counted_by_their_share_of_what_counts() {
        let count = |area, images| ClassCount { area, images };
        let found = counts(&histogram(&[0, 0, 2, 0, IGNORE, IGNORE]), 4);
        assert_eq!(found, [count(0.75, 1.0), count(0.0, 0.0), count(0.25, 1.0), count(0.0, 0.0)]);
        assert_eq!(counts(&histogram(&[IGNORE]), 2), [count(0.0, 0.0); 2]);
    }

    #[test]
    fn pixels_and_photos_are_told_by_class() {
        // The label 3 is a set.
        let contents = contents(&[&[0, 0, 1, IGNORE], &[1, 1, 3, 0]]);
        assert_eq!(contents.unseen(), ["hat"]);
        let table = contents.table();
        for expected in
            ["2 photos: 2 of 3 classes; 12.5 %", "12.5 % are one of", "shirt        37.500 % of the pixels, in 2"]
        {
            assert!(table.contains(expected), "{table}");
        }
        let csv = String::from_utf8(contents.csv("train").unwrap()).unwrap();
        let expected =
            "train,background,3,2\ntrain,shirt,3,2\ntrain,hat,0,0\ntrain,(one of several),1,1\ntrain,(ignored),1,1\n";
        assert_eq!(csv, expected);
        assert_eq!(contents.refusal(false), None);
    }

    #[test]
    fn validation_labels_of_which_no_pixel_counts_are_refused_before_the_run() {
        let root = tempfile::tempdir().unwrap();
        let source = [write_noise(root.path(), "valid", &["a", "b"])];
        let target = Target::builtin("garments").unwrap();
        let checked = || {
            let dataset = Dataset::open(&source, &target, OnDamage::Refuse).unwrap();
            Contents::count(&dataset, &target).unwrap().require_scorable(&dataset)
        };
        checked().unwrap();
        // The background is left, to be scored on.
        write_masks(root.path(), "valid", &["a", "b"]);
        checked().unwrap();
        for stem in ["a", "b"] {
            let path = root.path().join(format!("valid/labels/{stem}.png"));
            image::GrayImage::from_pixel(32, 32, image::Luma([IGNORE])).save(path).unwrap();
        }
        let error = checked().unwrap_err().to_string();
        let expected = ["cannot be scored on the validation labels", "100.0 %", "reading = \"binary\""];
        assert!(expected.iter().all(|expected| error.contains(expected)), "{error}");
    }

    #[test]
    fn labels_that_teach_nothing_are_refused_with_the_likely_cause() {
        for (labels, expected) in [
            (&[&[IGNORE; 4][..]][..], "100.0 % of all pixels are ignored"),
            (&[&[0, 0, 0, IGNORE]], "`background`, and 25.0 %"),
            (&[&[0, 0, 0, IGNORE]], "reading = \"binary\""),
            (&[&[1, IGNORE]], "`shirt`, and 50.0 %"),
            (&[&[1, 1]], "every pixel of all labels is `shirt`"),
            (&[], "no photo has a label"),
        ] {
            let refusal = contents(labels).refusal(false).unwrap();
            assert!(refusal.contains(expected), "{refusal}");
        }
        assert_eq!(contents(&[]).refusal(true), None);
        // Two classes, or one and a set of several, can be told apart.
        assert!([&[0, 1][..], &[1, 2], &[3, 0]].iter().all(|labels| contents(&[labels]).refusal(false).is_none()));
        let bare = contents(&[&[0, 0]]);
        assert!(bare.refusal(false).is_none() && bare.warning().unwrap().contains("`background`"));
        assert_eq!(contents(&[&[0, 1]]).warning(), None);
    }
}
