//! Scores, from counts of pixels. Plain Rust; no score is a mean of means unless it says so.

use crate::data::IGNORE;

/// How often each true class was predicted as each class. Ignored pixels are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// Row = truth, column = prediction.
    counts: Vec<u64>,
}

impl Confusion {
    /// All zero.
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Counts pixels; pairs whose truth is [`IGNORE`] or no class are left out, and so is a prediction of no class.
    pub fn add(&mut self, truth: &[u8], prediction: &[u8]) {
        for (truth, prediction) in truth.iter().zip(prediction) {
            let (truth, prediction) = (usize::from(*truth), usize::from(*prediction));
            if truth != usize::from(IGNORE) && truth < self.classes && prediction < self.classes {
                self.counts[truth * self.classes + prediction] += 1;
            }
        }
    }

    /// Adds the counts of another matrix of as many classes.
    pub fn merge(&mut self, other: &Confusion) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// Pixels of true class `truth` that were predicted as `prediction`.
    pub fn count(&self, truth: usize, prediction: usize) -> u64 {
        self.counts[truth * self.classes + prediction]
    }

    /// True pixels of a class.
    pub fn truth(&self, class: usize) -> u64 {
        (0..self.classes).map(|prediction| self.count(class, prediction)).sum()
    }

    /// Pixels predicted as a class.
    pub fn predicted(&self, class: usize) -> u64 {
        (0..self.classes).map(|truth| self.count(truth, class)).sum()
    }

    /// `tp / (tp + fp + fn)` of a class; [`None`] where the truth does not have it.
    pub fn iou(&self, class: usize) -> Option<f64> {
        let truth = self.truth(class);
        let hit = self.count(class, class);
        let union = truth + self.predicted(class) - hit;
        (truth > 0).then(|| hit as f64 / union as f64)
    }

    /// `2 tp / (2 tp + fp + fn)` of a class; [`None`] where the truth does not have it.
    pub fn dice(&self, class: usize) -> Option<f64> {
        let truth = self.truth(class);
        let total = truth + self.predicted(class);
        (truth > 0).then(|| 2.0 * self.count(class, class) as f64 / total as f64)
    }

    /// The mean of [`Confusion::dice`] over the classes that the truth has, background included.
    pub fn mean_dice(&self) -> Option<f64> {
        mean((0..self.classes).filter_map(|class| self.dice(class)))
    }

    /// The mean of [`Confusion::iou`] over the classes that the truth has, background included.
    pub fn mean_iou(&self) -> Option<f64> {
        mean((0..self.classes).filter_map(|class| self.iou(class)))
    }

    /// As [`Confusion::mean_iou`], without background.
    pub fn mean_garment_iou(&self) -> Option<f64> {
        mean((1..self.classes).filter_map(|class| self.iou(class)))
    }

    /// IoU of 'any garment', with all classes but background taken as one.
    pub fn any_garment_iou(&self) -> Option<f64> {
        self.clipped().iou(1)
    }

    /// Share of pixels with the right class; [`None`] where there are no pixels.
    pub fn pixel_accuracy(&self) -> Option<f64> {
        let total: u64 = self.counts.iter().sum();
        let right: u64 = (0..self.classes).map(|class| self.count(class, class)).sum();
        (total > 0).then(|| right as f64 / total as f64)
    }

    /// The 2 x 2 matrix of background and anything else.
    pub fn clipped(&self) -> Confusion {
        let mut two = Confusion::new(2);
        for truth in 0..self.classes {
            for prediction in 0..self.classes {
                two.counts[truth.min(1) * 2 + prediction.min(1)] += self.count(truth, prediction);
            }
        }
        two
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

    #[test]
    fn nothing_counted_has_no_score() {
        let mut confusion = Confusion::new(2);
        confusion.add(&[IGNORE, 7], &[0, 1]);
        assert_eq!(confusion.mean_iou(), None);
        assert_eq!(confusion.pixel_accuracy(), None);
        assert_eq!(PerImage::new(2).mean(), None);
    }
}
