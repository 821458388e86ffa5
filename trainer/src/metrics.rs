//! Scores, from counts of pixels. Plain Rust; no score is a mean of means unless it says so.

use clothseg::Taxonomy;

use crate::data::{IGNORE, LabelSets};

/// How often each true class was predicted as each class. Ignored pixels are left out.
///
/// A pixel whose label is a set of classes ([`LabelSets`]) is a hit of the class that was predicted where that is one of the
/// set, else a false alarm of it, and a miss of none: nobody knows whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    sets: LabelSets,
    /// Whether a class is a garment.
    is_garment: Vec<bool>,
    /// Row = truth (classes, then sets), column = prediction.
    counts: Vec<u64>,
}

impl Confusion {
    /// All zero, of classes that are all garments but the first.
    pub fn new(classes: usize) -> Self {
        Self::with(LabelSets::from(classes), (0..classes).map(|class| class > 0).collect())
    }

    /// All zero, of a taxonomy's classes and a dataset's sets of them.
    pub fn of(taxonomy: &Taxonomy, sets: &LabelSets) -> Self {
        Self::with(sets.clone(), (0..sets.classes()).map(|class| taxonomy.is_garment(class)).collect())
    }

    fn with(sets: LabelSets, is_garment: Vec<bool>) -> Self {
        let rows = sets.classes() + sets.sets().len();
        Self { counts: vec![0; rows * sets.classes()], sets, is_garment }
    }

    /// The same of no pixel.
    pub fn empty(&self) -> Self {
        Self::with(self.sets.clone(), self.is_garment.clone())
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.sets.classes()
    }

    /// Rows: classes and sets.
    fn rows(&self) -> usize {
        self.classes() + self.sets.sets().len()
    }

    /// Counts pixels; pairs whose truth is [`IGNORE`] or no class or set are left out, and so is a prediction of no class.
    pub fn add(&mut self, truth: &[u8], prediction: &[u8]) {
        let (classes, rows) = (self.classes(), self.rows());
        for (truth, prediction) in truth.iter().zip(prediction) {
            let (truth, prediction) = (usize::from(*truth), usize::from(*prediction));
            if truth != usize::from(IGNORE) && truth < rows && prediction < classes {
                self.counts[truth * classes + prediction] += 1;
            }
        }
    }

    /// Adds the counts of another matrix of the same classes and sets.
    pub fn merge(&mut self, other: &Confusion) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// Pixels with the label `truth` that were predicted as `prediction`.
    pub fn count(&self, truth: usize, prediction: usize) -> u64 {
        self.counts[truth * self.classes() + prediction]
    }

    /// Pixels with a label: of a class, those that are certainly of it.
    pub fn truth(&self, label: usize) -> u64 {
        (0..self.classes()).map(|prediction| self.count(label, prediction)).sum()
    }

    /// All pixels.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Pixels predicted as a class.
    pub fn predicted(&self, class: usize) -> u64 {
        (0..self.rows()).map(|truth| self.count(truth, class)).sum()
    }

    fn allows(&self, label: usize, class: usize) -> bool {
        self.sets.allows(label as u8, class as u8)
    }

    /// Pixels predicted as a class, rightly.
    fn hits(&self, class: usize) -> u64 {
        (0..self.rows()).filter(|label| self.allows(*label, class)).map(|label| self.count(label, class)).sum()
    }

    /// Pixels that are certainly of a class and were predicted as others.
    fn misses(&self, class: usize) -> u64 {
        self.truth(class) - self.count(class, class)
    }

    /// `tp / (tp + fp + fn)` of a class; [`None`] where the truth does not have it for certain.
    pub fn iou(&self, class: usize) -> Option<f64> {
        let union = self.predicted(class) + self.misses(class);
        (self.truth(class) > 0).then(|| self.hits(class) as f64 / union as f64)
    }

    /// `2 tp / (2 tp + fp + fn)` of a class; [`None`] where the truth does not have it for certain.
    pub fn dice(&self, class: usize) -> Option<f64> {
        let total = self.predicted(class) + self.misses(class) + self.hits(class);
        (self.truth(class) > 0).then(|| 2.0 * self.hits(class) as f64 / total as f64)
    }

    /// The mean of [`Confusion::dice`] over the classes that the truth has, background included.
    pub fn mean_dice(&self) -> Option<f64> {
        mean((0..self.classes()).filter_map(|class| self.dice(class)))
    }

    /// The mean of [`Confusion::iou`] over the classes that the truth has, background included.
    pub fn mean_iou(&self) -> Option<f64> {
        mean((0..self.classes()).filter_map(|class| self.iou(class)))
    }

    /// As [`Confusion::mean_iou`], of the garments alone.
    pub fn mean_garment_iou(&self) -> Option<f64> {
        mean((0..self.classes()).filter(|class| self.is_garment[*class]).filter_map(|class| self.iou(class)))
    }

    /// IoU of 'any garment', with all garments taken as one, and all else as another.
    pub fn any_garment_iou(&self) -> Option<f64> {
        self.clipped().iou(1)
    }

    /// Share of the pixels of a class that were predicted as garments; [`None`] where the truth does not have it.
    pub fn taken_for_garments(&self, class: usize) -> Option<f64> {
        let truth = self.truth(class);
        let taken = (0..self.classes()).filter(|prediction| self.is_garment[*prediction]);
        (truth > 0).then(|| taken.map(|prediction| self.count(class, prediction)).sum::<u64>() as f64 / truth as f64)
    }

    /// Share of pixels with the right class; [`None`] where there are no pixels.
    pub fn pixel_accuracy(&self) -> Option<f64> {
        let total = self.total();
        let right: u64 = (0..self.classes()).map(|class| self.hits(class)).sum();
        (total > 0).then(|| right as f64 / total as f64)
    }

    /// Whether a label is of a garment for certain, or of none for certain.
    fn garment(&self, label: usize) -> Option<bool> {
        let mut members = self.sets.members(label as u8).into_iter().map(|class| self.is_garment[usize::from(class)]);
        let first = members.next()?;
        members.all(|is_garment| is_garment == first).then_some(first)
    }

    /// The 2 x 2 matrix of no garment and any garment. Pixels that may be either are left out.
    pub fn clipped(&self) -> Confusion {
        let mut two = Confusion::new(2);
        for truth in 0..self.rows() {
            let Some(is_garment) = self.garment(truth) else { continue };
            for prediction in 0..self.classes() {
                let cell = 2 * usize::from(is_garment) + usize::from(self.is_garment[prediction]);
                two.counts[cell] += self.count(truth, prediction);
            }
        }
        two
    }

    /// Of one image's counts: the label of the garment with the largest area, and the largest garment that was predicted
    /// (none where nothing was).
    fn largest_garments(&self) -> Option<(usize, Option<usize>)> {
        let garments = (0..self.rows()).filter(|label| self.garment(*label) == Some(true));
        let truth = garments.max_by_key(|label| (self.truth(*label), std::cmp::Reverse(*label)))?;
        let predicted = (0..self.classes()).filter(|class| self.is_garment[*class] && self.predicted(*class) > 0);
        let predicted = predicted.max_by_key(|class| (self.predicted(*class), std::cmp::Reverse(*class)));
        (self.truth(truth) > 0).then_some((truth, predicted))
    }
}

/// How the largest garment of each photo was found: of photos of one garment, what matters to a shop.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LargestGarment {
    photos: u64,
    right: u64,
    iou: f64,
}

impl LargestGarment {
    /// Adds one image's counts; one without a garment counts nothing.
    pub fn add(&mut self, image: &Confusion) {
        let Some((label, predicted)) = image.largest_garments() else { return };
        let members = || (0..image.classes()).filter(|class| image.allows(label, *class));
        let found: u64 = members().map(|class| image.count(label, class)).sum();
        let area: u64 = members().map(|class| image.predicted(class)).sum();
        self.photos += 1;
        self.right += u64::from(predicted.is_some_and(|class| image.allows(label, class)));
        self.iou += found as f64 / (image.truth(label) + area - found) as f64;
    }

    /// Mean IoU of the right class (or set of classes) of the largest garment, over photos.
    pub fn iou(&self) -> Option<f64> {
        (self.photos > 0).then(|| self.iou / self.photos as f64)
    }

    /// Share of photos whose largest garment in the prediction has the class of the largest in truth.
    pub fn right(&self) -> Option<f64> {
        (self.photos > 0).then(|| self.right as f64 / self.photos as f64)
    }
}

/// The study's score: a class's IoU is the mean over the images that show it, and the score the mean over classes.
#[derive(Clone, Debug, PartialEq)]
pub struct PerImage {
    sums: Vec<f64>,
    images: Vec<u64>,
}

impl PerImage {
    /// No image yet.
    pub fn new(classes: usize) -> Self {
        Self { sums: vec![0.0; classes], images: vec![0; classes] }
    }

    /// Adds one image's counts.
    pub fn add(&mut self, image: &Confusion) {
        for class in 0..self.sums.len().min(image.classes()) {
            if let Some(iou) = image.iou(class) {
                self.sums[class] += iou;
                self.images[class] += 1;
            }
        }
    }

    /// Mean IoU of a class over the images that show it, and how many do.
    pub fn class(&self, class: usize) -> Option<(f64, u64)> {
        let images = self.images[class];
        (images > 0).then(|| (self.sums[class] / images as f64, images))
    }

    /// The mean over the classes that some image shows.
    pub fn mean(&self) -> Option<f64> {
        self.mean_over(0..self.sums.len())
    }

    /// The mean over those of `classes` that some image shows.
    pub fn mean_over(&self, classes: impl IntoIterator<Item = usize>) -> Option<f64> {
        mean(classes.into_iter().filter_map(|class| self.class(class)).map(|(iou, _)| iou))
    }
}

/// The study's protocol: its mean IoU, always of the predictions of a model of all classes, over 2, a chosen few and all
/// of them.
#[derive(Clone, Debug, PartialEq)]
pub struct StudyProtocol {
    all: PerImage,
    clipped: PerImage,
    chosen: Vec<usize>,
}

/// The three scores of a [`StudyProtocol`]; [`None`] where no image shows any of the classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StudyScores {
    /// '2 classes': background and anything else, truth and prediction both clipped to these.
    pub two: Option<f64>,
    /// '17 classes': those of group `study-17`.
    pub seventeen: Option<f64>,
    /// '47 classes': all.
    pub all: Option<f64>,
}

impl StudyProtocol {
    /// No image yet. `chosen` are the classes of the middle score.
    pub fn new(classes: usize, chosen: Vec<usize>) -> Self {
        Self { all: PerImage::new(classes), clipped: PerImage::new(2), chosen }
    }

    /// Adds one image's counts.
    pub fn add(&mut self, image: &Confusion) {
        self.all.add(image);
        self.clipped.add(&image.clipped());
    }

    /// Each class by image.
    pub fn per_image(&self) -> &PerImage {
        &self.all
    }

    /// The scores.
    pub fn scores(&self) -> StudyScores {
        StudyScores {
            two: self.clipped.mean(),
            seventeen: self.all.mean_over(self.chosen.iter().copied()),
            all: self.all.mean(),
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Truth 0 0 0 1 1 2 ignored, prediction 0 0 1 1 2 2 0.
    fn hand_worked() -> Confusion {
        let mut confusion = Confusion::new(4);
        confusion.add(&[0, 0, 0, 1, 1, 2, IGNORE], &[0, 0, 1, 1, 2, 2, 0]);
        confusion
    }

    #[test]
    fn iou_counts_hits_misses_and_false_alarms() {
        let confusion = hand_worked();
        assert_eq!(confusion.iou(0), Some(2.0 / 3.0));
        assert_eq!(confusion.iou(1), Some(1.0 / 3.0));
        assert_eq!(confusion.iou(2), Some(1.0 / 2.0));
        assert_eq!(confusion.iou(3), None);
        assert_eq!(confusion.mean_iou(), Some((2.0 / 3.0 + 1.0 / 3.0 + 0.5) / 3.0));
        assert_eq!(confusion.pixel_accuracy(), Some(4.0 / 6.0));
    }

    #[test]
    fn any_garment_takes_all_but_background_as_one() {
        assert_eq!(hand_worked().any_garment_iou(), Some(3.0 / 4.0));
    }

    #[test]
    fn the_study_averages_over_images_first() {
        let mut scores = PerImage::new(3);
        let mut one = Confusion::new(3);
        one.add(&[0, 0, 1, 1], &[0, 0, 1, 1]);
        let mut other = Confusion::new(3);
        other.add(&[0, 0, 0, 1], &[0, 0, 0, 0]);
        scores.add(&one);
        scores.add(&other);
        assert_eq!(scores.class(0), Some(((1.0 + 0.75) / 2.0, 2)));
        assert_eq!(scores.class(1), Some((0.5, 2)));
        assert_eq!(scores.class(2), None);
        assert_eq!(scores.mean(), Some((0.875 + 0.5) / 2.0));
    }

    #[test]
    fn the_studys_three_scores() {
        let mut protocol = StudyProtocol::new(4, vec![0, 2]);
        let mut one = Confusion::new(4);
        one.add(&[0, 0, 1, 1, 2, 2], &[0, 1, 1, 2, 2, 2]);
        let mut other = Confusion::new(4);
        other.add(&[0, 0, 0, 2], &[0, 0, 3, 0]);
        protocol.add(&one);
        protocol.add(&other);
        let scores = protocol.scores();
        // One: 1/2, 1/3, 2/3. Other: 2/4, -, 0. Class 3 is nowhere true.
        let [zero, first, second] = [(0.5 + 0.5) / 2.0, 1.0 / 3.0, (2.0 / 3.0 + 0.0) / 2.0];
        assert_eq!(scores.all, Some((zero + first + second) / 3.0));
        assert_eq!(scores.seventeen, Some((zero + second) / 2.0));
        // Clipped, one: background 1/2, anything 4/5; other: 2/4 and 0/2.
        assert_eq!(scores.two, Some(((0.5 + 0.5) / 2.0 + (0.8 + 0.0) / 2.0) / 2.0));
    }

    #[test]
    fn dice_is_twice_the_hits_over_both_areas() {
        assert_eq!(hand_worked().dice(0), Some(4.0 / 5.0));
        assert_eq!(hand_worked().dice(3), None);
        assert_eq!(hand_worked().mean_dice(), Some((4.0 / 5.0 + 2.0 / 4.0 + 2.0 / 3.0) / 3.0));
    }

    /// Background, jacket, coat, hair; label 4 is jacket or coat, 5 background or hair, 6 background or coat.
    fn with_sets() -> Confusion {
        let mut sets = LabelSets::from(4);
        assert_eq!([vec![1, 2], vec![0, 3], vec![0, 2]].map(|set| sets.label(set)), [Ok(4), Ok(5), Ok(6)]);
        Confusion::with(sets, vec![false, true, true, false])
    }

    #[test]
    fn any_class_of_a_set_is_right() {
        let mut confusion = with_sets();
        confusion.add(&[1, 1, 4, 4, 4, 5, 5, 3, 6], &[1, 2, 1, 2, 0, 3, 1, 1, 2]);
        // Jacket: hits 1 and one of the set, a miss, alarms on the background or hair and on hair.
        assert_eq!(confusion.iou(1), Some(2.0 / 5.0));
        assert_eq!(confusion.iou(2), None);
        assert_eq!(confusion.dice(1), Some(4.0 / 7.0));
        assert_eq!(confusion.pixel_accuracy(), Some(5.0 / 9.0));
        // Any garment: four of five; two alarms. The last pixel may be either.
        assert_eq!(confusion.any_garment_iou(), Some(4.0 / 7.0));
        assert_eq!((confusion.taken_for_garments(3), confusion.taken_for_garments(0)), (Some(1.0), None));
        assert_eq!(confusion.mean_garment_iou(), Some(2.0 / 5.0));
        assert_eq!((confusion.truth(1), confusion.total()), (2, 9));
    }

    #[test]
    fn the_largest_garment_may_be_any_of_its_set() {
        let mut largest = LargestGarment::default();
        let mut add = |truth: &[u8], prediction: &[u8]| {
            let mut image = with_sets();
            image.add(truth, prediction);
            largest.add(&image);
        };
        add(&[4, 4, 4, 1, 0], &[2, 2, 3, 1, 0]); // 3 of the set and jacket's 1; found 2, predicted 3 of jacket or coat
        add(&[1, 1, 0, 3], &[2, 2, 2, 1]); // nothing found of 2, and 1 predicted
        add(&[0, 3], &[1, 1]); // no garment
        assert_eq!(largest.right(), Some(0.5));
        assert_eq!(largest.iou(), Some((2.0 / 4.0 + 0.0) / 2.0));
    }

    #[test]
    fn nothing_counted_has_no_score() {
        let mut confusion = Confusion::new(2);
        confusion.add(&[IGNORE, 7], &[0, 1]);
        assert_eq!(confusion.mean_iou(), None);
        assert_eq!(confusion.pixel_accuracy(), None);
        assert_eq!(PerImage::new(2).mean(), None);
    }
}
