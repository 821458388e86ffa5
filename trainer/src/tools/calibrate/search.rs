//! The search for the offsets: one class after the other, each over all its steps in one look at the cells; or the background
//! against all garments.

use super::Objective;

/// Distance of two offsets that are tried.
const STEP: f32 = 0.1;
/// Steps that are tried: offsets up to 2, a factor of 7 on the odds. Classes are only raised. Lowering the rare ones that are found
/// too often gains more on photos of the training, and loses on others, of which the network is less sure.
const STEPS: usize = 20;
/// Looks at all classes.
const ROUNDS: usize = 4;
/// Least gain of the mean IoU for which a class is moved.
const LEAST_GAIN: f64 = 1e-5;

/// Logits that are kept: 1 GiB.
const MOST_VALUES: usize = 1 << 28;

/// Logits and truth of cells.
pub(super) struct Cells {
    classes: usize,
    most_values: usize,
    /// Of the cells that come, every so many is kept.
    one_in: usize,
    /// Cells that came.
    came: usize,
    /// Cell by cell.
    values: Vec<f32>,
    truth: Vec<u8>,
    weights: Vec<f32>,
}

/// What was found.
pub(super) struct Found {
    /// By class.
    pub offsets: Vec<f32>,
    /// The objective without and with them.
    pub iou: [f64; 2],
}

/// Counts a class.
#[derive(Clone, Copy, Default)]
struct Count {
    predicted: f64,
    hit: f64,
}

impl Count {
    fn add(&mut self, weight: f64, is_hit: bool) {
        self.predicted += weight;
        self.hit += if is_hit { weight } else { 0.0 };
    }
}

impl Cells {
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            most_values: MOST_VALUES,
            one_in: 1,
            came: 0,
            values: Vec::new(),
            truth: Vec::new(),
            weights: Vec::new(),
        }
    }

    /// Cells that are kept.
    pub fn len(&self) -> usize {
        self.truth.len()
    }

    /// Adds cells of one photo: `truth.len() * classes` logits. Where there are too many to keep, every second goes.
    pub fn add(&mut self, values: &[f32], truth: &[u8], weight: f32) {
        for (values, class) in values.chunks_exact(self.classes).zip(truth) {
            if self.came.is_multiple_of(self.one_in) {
                self.values.extend_from_slice(values);
                self.truth.push(*class);
                self.weights.push(weight);
            }
            self.came += 1;
        }
        while self.values.len() > self.most_values {
            self.thin();
        }
    }

    fn thin(&mut self) {
        self.one_in *= 2;
        let kept = self.truth.len().div_ceil(2);
        for index in 1..kept {
            let from = 2 * index * self.classes;
            self.values.copy_within(from..from + self.classes, index * self.classes);
            self.truth[index] = self.truth[2 * index];
            self.weights[index] = self.weights[2 * index];
        }
        self.values.truncate(kept * self.classes);
        self.truth.truncate(kept);
        self.weights.truncate(kept);
    }

    /// The offsets with which the objective is largest.
    pub fn search(&self, objective: Objective) -> Found {
        match objective {
            Objective::MeanIou => self.raise_classes(),
            Objective::AnyGarment => self.move_background(),
        }
    }

    /// An offset of the background, down or up, with which garments of whatever class have the largest IoU.
    fn move_background(&self) -> Found {
        let no_offset = vec![0.0; self.classes];
        // A garment wins where its lead over the background is larger than the offset.
        let leads: Vec<f32> = self
            .values
            .chunks_exact(self.classes)
            .map(|values| strongest(values, &no_offset, 0).1 - values[0])
            .collect();
        let iou = |offset: f32| {
            let [mut hit, mut either] = [0.0, 0.0];
            for ((lead, class), weight) in leads.iter().zip(&self.truth).zip(&self.weights) {
                let [found, is_garment] = [*lead > offset, *class != 0];
                hit += if found && is_garment { f64::from(*weight) } else { 0.0 };
                either += if found || is_garment { f64::from(*weight) } else { 0.0 };
            }
            if either > 0.0 { hit / either } else { 0.0 }
        };
        let before = iou(0.0);
        let (mut offsets, mut best) = (no_offset, before);
        // The smallest of those that are equally good.
        for offset in (1..=STEPS).map(offset_of).flat_map(|offset| [offset, -offset]) {
            let score = iou(offset);
            if score > best + LEAST_GAIN {
                (offsets[0], best) = (offset, score);
            }
        }
        Found { offsets, iou: [before, best] }
    }

    /// The offsets of the classes, up, with which the mean IoU over those that the truth has is largest, as far as moving one
    /// at a time finds them.
    fn raise_classes(&self) -> Found {
        let mut offsets = vec![0.0; self.classes];
        let mut truth = vec![0.0; self.classes];
        for (class, weight) in self.truth.iter().zip(&self.weights) {
            truth[usize::from(*class)] += f64::from(*weight);
        }
        let mut mean_iou: Option<[f64; 2]> = None;
        for _ in 0..ROUNDS {
            let mut has_moved = false;
            for class in 1..self.classes {
                let scores = self.scores(class, &offsets, &truth);
                let now = scores[step_of(offsets[class])];
                let [_, best] = mean_iou.get_or_insert([now, now]);
                // Of equal ones the smallest offset.
                let order =
                    (0..scores.len()).min_by(|one, other| scores[*other].total_cmp(&scores[*one]).then(one.cmp(other)));
                let Some(step) = order.filter(|step| scores[*step] > now + LEAST_GAIN) else { continue };
                offsets[class] = offset_of(step);
                *best = scores[step];
                has_moved = true;
            }
            if !has_moved {
                break;
            }
        }
        #[expect(clippy::expect_used, reason = "calibrate() refuses a model without a class besides the background")]
        let iou = mean_iou.expect("a class besides the background was looked at");
        Found { offsets, iou }
    }

    /// Mean IoU for every step of one class's offset, the others' being what they are.
    fn scores(&self, class: usize, offsets: &[f32], truth: &[f64]) -> Vec<f64> {
        let steps = STEPS + 1;
        // Without the class every cell is its strongest rival's. From some step on the cell is the class's.
        let mut rivals = vec![Count::default(); self.classes];
        let mut lost = vec![vec![Count::default(); self.classes]; steps];
        let mut won = vec![Count::default(); steps];
        let cells = self.values.chunks_exact(self.classes).zip(self.truth.iter().zip(&self.weights));
        for (values, (true_class, weight)) in cells {
            let (rival, value) = strongest(values, offsets, class);
            let (true_class, weight) = (usize::from(*true_class), f64::from(*weight));
            rivals[rival].add(weight, rival == true_class);
            let first = ((value - values[class]) / STEP).floor() + 1.0;
            if first < steps as f32 {
                let first = first.max(0.0) as usize;
                lost[first][rival].add(weight, rival == true_class);
                won[first].add(weight, class == true_class);
            }
        }
        let mut own = Count::default();
        let mut scores = Vec::with_capacity(steps);
        for (lost, won) in lost.iter().zip(&won) {
            own.predicted += won.predicted;
            own.hit += won.hit;
            for (rival, lost) in rivals.iter_mut().zip(lost) {
                rival.predicted -= lost.predicted;
                rival.hit -= lost.hit;
            }
            let count = |index: usize| if index == class { own } else { rivals[index] };
            scores.push(mean_iou(truth, count));
        }
        scores
    }
}

/// The class with the largest value but for `left_out`, and that value.
fn strongest(values: &[f32], offsets: &[f32], left_out: usize) -> (usize, f32) {
    let mut found = (0, f32::NEG_INFINITY);
    for (class, (value, offset)) in values.iter().zip(offsets).enumerate() {
        if class != left_out && value + offset > found.1 {
            found = (class, value + offset);
        }
    }
    found
}

/// Over the classes that the truth has.
fn mean_iou(truth: &[f64], count: impl Fn(usize) -> Count) -> f64 {
    let (mut sum, mut classes) = (0.0, 0.0);
    for (class, truth) in truth.iter().enumerate().filter(|(_, truth)| **truth > 0.0) {
        let count = count(class);
        sum += count.hit / (truth + count.predicted - count.hit);
        classes += 1.0;
    }
    if classes > 0.0 { sum / classes } else { 0.0 }
}

fn offset_of(step: usize) -> f32 {
    step as f32 * STEP
}

fn step_of(offset: f32) -> usize {
    (offset / STEP).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean IoU as it is defined.
    fn plainly(cells: &Cells, offsets: &[f32]) -> f64 {
        let mut truth = vec![0.0; cells.classes];
        let mut counts = vec![Count::default(); cells.classes];
        for (index, (class, weight)) in cells.truth.iter().zip(&cells.weights).enumerate() {
            let (class, weight) = (usize::from(*class), f64::from(*weight));
            let values = &cells.values[index * cells.classes..(index + 1) * cells.classes];
            let (found, _) = strongest(values, offsets, usize::MAX);
            truth[class] += weight;
            counts[found].add(weight, found == class);
        }
        mean_iou(&truth, |class| counts[class])
    }

    #[test]
    fn a_class_that_is_always_second_is_found() {
        let mut cells = Cells::new(3);
        // Class 2 is 0.55 behind class 1 where it is true, and 1.05 behind where class 1 is.
        cells.add(&[-5.0, 1.0, 0.45, -5.0, 1.0, 0.45], &[2, 2], 1.0);
        cells.add(&[-5.0, 1.0, -0.05, 5.0, 0.0, 0.0], &[1, 0], 2.0);
        let found = cells.search(Objective::MeanIou);
        // Background 1, class 1: 2 of 4, class 2: nothing; then all of it.
        assert!((found.iou[0] - 0.5).abs() < 1e-9, "{:?}", found.iou);
        assert!((found.iou[1] - 1.0).abs() < 1e-9, "{:?}", found.iou);
        assert_eq!(found.offsets[0], 0.0);
        let gap = found.offsets[2] - found.offsets[1];
        assert!((0.55..1.05).contains(&gap), "{:?}", found.offsets);
    }

    #[test]
    fn every_step_has_the_score_that_it_would_have() {
        // A fixed sequence of numbers without a pattern.
        let mut state = 1_u32;
        let mut number = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        let mut cells = Cells::new(4);
        for _ in 0..200 {
            let values: Vec<f32> = (0..4).map(|_| 3.0 * number()).collect();
            let truth = (4.0 * number()) as u8;
            cells.add(&values, &[truth], 0.5 + number());
        }
        let mut truth = vec![0.0; 4];
        for (class, weight) in cells.truth.iter().zip(&cells.weights) {
            truth[usize::from(*class)] += f64::from(*weight);
        }
        let mut offsets = vec![0.0, 0.3, 0.4, 0.0];
        for (step, score) in cells.scores(3, &offsets, &truth).into_iter().enumerate() {
            offsets[3] = offset_of(step);
            let expected = plainly(&cells, &offsets);
            assert!((score - expected).abs() < 1e-9, "step {step}: {score} {expected}");
        }
        let found = cells.search(Objective::MeanIou);
        assert!((found.iou[0] - plainly(&cells, &[0.0; 4])).abs() < 1e-9);
        assert!((found.iou[1] - plainly(&cells, &found.offsets)).abs() < 1e-9);
        assert!(found.iou[1] > found.iou[0]);
    }

    #[test]
    fn the_background_moves_to_where_garments_end() {
        let mut cells = Cells::new(3);
        // Garments lead by 2, 1.25 and -0.5; the background is true where they lead by 0.85 and less.
        cells.add(&[0.0, 2.0, 1.0, 0.0, 0.0, 1.25], &[1, 1], 1.0);
        cells.add(&[0.0, 0.85, 0.0, 0.5, 0.0, 0.0], &[0, 0], 2.0);
        let found = cells.search(Objective::AnyGarment);
        assert!((found.iou[0] - 0.5).abs() < 1e-9 && (found.iou[1] - 1.0).abs() < 1e-9, "{:?}", found.iou);
        assert!((found.offsets[0] - 0.9).abs() < 1e-6, "{:?}", found.offsets);
        assert_eq!(found.offsets[1..], [0.0, 0.0]);
        // And down, where it hides them.
        let mut cells = Cells::new(2);
        cells.add(&[0.25, 0.0, 3.0, 0.0], &[1, 0], 1.0);
        assert!((cells.search(Objective::AnyGarment).offsets[0] + 0.3).abs() < 1e-6);
    }

    #[test]
    fn of_too_many_cells_every_second_is_kept() {
        let mut cells = Cells::new(2);
        cells.most_values = 8;
        for photo in 0_u8..4 {
            let values: Vec<f32> = (0..6).map(|index| f32::from(6 * photo + index)).collect();
            cells.add(&values, &[3 * photo, 3 * photo + 1, 3 * photo + 2], f32::from(photo));
        }
        // Cells 0 to 11, of which the logits of four find room.
        assert_eq!(cells.truth, [0, 4, 8]);
        assert_eq!(cells.values, [0.0, 1.0, 8.0, 9.0, 16.0, 17.0]);
        assert_eq!(cells.weights, [0.0, 1.0, 2.0]);
    }

    #[test]
    fn nothing_to_look_at_moves_nothing() {
        for objective in Objective::ALL {
            let found = Cells::new(3).search(objective);
            assert_eq!((found.offsets, found.iou), (vec![0.0; 3], [0.0; 2]));
        }
    }
}
