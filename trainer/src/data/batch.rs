//! Examples to batches, on a thread beside the training step.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor, TensorData};
use clothseg::preprocess::write_normalized;
use clothseg::spec::InputSpec;
use rand::Rng;
use rand::seq::SliceRandom;

use super::augment::{Example, generator};
use super::{Augmentation, Dataset, Frame, Sample, Shown};
use crate::error::{Error, Result};

/// Batches made ahead of the step.
const AHEAD: usize = 3;

/// Stacked examples in plain numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Normalised RGB, N x 3 x H x W.
    pub pictures: Vec<f32>,
    /// N, H, W of the pictures.
    pub picture_shape: [usize; 3],
    /// Classes, N x H x W of the output grid.
    pub labels: Vec<u8>,
    /// N, H, W of the labels.
    pub label_shape: [usize; 3],
    /// What is known of which classes each example shows beside its label, N x classes; empty where nothing is.
    pub shown: Vec<Shown>,
}

impl Batch {
    /// Stacks examples of equal size.
    pub fn stack(examples: &[Example], input: &InputSpec) -> Self {
        let (width, height) = examples.first().map_or((0, 0), |example| example.picture.dimensions());
        let grid = examples.first().map_or((0, 0), |example| (example.labels.width, example.labels.height));
        let plane = 3 * width as usize * height as usize;
        let mut pictures = vec![0.0; plane * examples.len()];
        for (example, planes) in examples.iter().zip(pictures.chunks_exact_mut(plane.max(1))) {
            write_normalized(&example.picture, &input.mean, &input.std, planes);
        }
        Self {
            pictures,
            picture_shape: [examples.len(), height as usize, width as usize],
            labels: examples.iter().flat_map(|example| example.labels.data.iter().copied()).collect(),
            label_shape: [examples.len(), grid.1 as usize, grid.0 as usize],
            shown: stack_shown(examples),
        }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.picture_shape[0]
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `parts` batches of nearly equal size, in order.
    pub fn split(&self, parts: usize) -> Vec<Batch> {
        let ([_, height, width], [_, rows, columns]) = (self.picture_shape, self.label_shape);
        let (picture, label) = (3 * height * width, rows * columns);
        let classes = self.shown.len() / self.len().max(1);
        let bound = |part: usize| self.len() * part / parts.max(1);
        (0..parts)
            .map(|part| (bound(part), bound(part + 1)))
            .filter(|(from, to)| to > from)
            .map(|(from, to)| Batch {
                pictures: self.pictures[from * picture..to * picture].to_vec(),
                picture_shape: [to - from, height, width],
                labels: self.labels[from * label..to * label].to_vec(),
                label_shape: [to - from, rows, columns],
                shown: self.shown[from * classes..to * classes].to_vec(),
            })
            .collect()
    }

    /// The pictures as a tensor `(N, 3, H, W)`.
    pub fn picture_tensor(&self, device: &Device) -> Tensor<4> {
        let [count, height, width] = self.picture_shape;
        Tensor::from_data(TensorData::new(self.pictures.clone(), [count, 3, height, width]), device)
    }
}

/// What is known of the examples' classes, where anything is known of any.
fn stack_shown(examples: &[Example]) -> Vec<Shown> {
    let classes = examples.iter().map(|example| example.shown.len()).max().unwrap_or(0);
    let of_example =
        |example: &Example| (0..classes).map(|class| example.shown.get(class).copied().unwrap_or_default()).collect();
    examples.iter().flat_map(|example| -> Vec<Shown> { of_example(example) }).collect()
}

/// Which examples make which batch: a function of seed and epoch alone.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Seed of the run.
    pub seed: u64,
    /// Examples in a batch.
    pub batch_size: usize,
    /// How examples vary.
    pub augmentation: Augmentation,
    /// The network's input.
    pub frame: Frame,
    /// Normalisation.
    pub input: InputSpec,
}

impl Plan {
    /// The example indices of an epoch in the order shown. Filled up from its own start to whole batches.
    pub fn order(&self, dataset: &Dataset, epoch: usize) -> Vec<usize> {
        let mut random = generator(self.seed, epoch, u32::MAX as usize);
        let mut order = Vec::new();
        for index in 0..dataset.len() {
            let repeat = dataset.source(index).repeat;
            let extra = random.random::<f64>() < repeat.fract();
            order.extend(std::iter::repeat_n(index, repeat.trunc() as usize + usize::from(extra)));
        }
        order.shuffle(&mut random);
        let missing = order.len().next_multiple_of(self.batch_size) - order.len();
        let wrap: Vec<usize> = order.iter().copied().cycle().take(missing).collect();
        order.extend(wrap);
        order
    }

    /// Decodes, cuts and stacks batch `index` of an epoch. Where an example's damage shows only now and is to be skipped,
    /// the next sound one of the order takes its place, so that the batch stays a function of seed, epoch and index.
    pub fn batch(&self, dataset: &Dataset, order: &[usize], epoch: usize, index: usize) -> Result<Batch> {
        let first = index * self.batch_size;
        let examples: Vec<Example> = (first..first + self.batch_size)
            .map(|place| self.example(dataset, order, epoch, place))
            .collect::<Result<_>>()?;
        Ok(Batch::stack(&examples, &self.input))
    }

    fn example(&self, dataset: &Dataset, order: &[usize], epoch: usize, place: usize) -> Result<Example> {
        let Some((mosaic, mut random)) = self.augmentation.draw_mosaic(self.seed, epoch, place, &self.frame) else {
            let mut random = generator(self.seed, epoch, place);
            let (sample, aspect) = sound(dataset, order, place)?;
            let mut variation = self.augmentation.draw(sample.photo.dimensions(), aspect, &self.frame, &mut random);
            let at = [epoch, place];
            variation.crop = self.augmentation.close_up(variation.crop, &sample, aspect, &self.frame, at, self.seed);
            variation.focus = self.augmentation.focus(at, self.seed);
            return variation.apply(&sample, &self.frame);
        };
        let augmentation = self.augmentation.in_tiles();
        let tiles = (0..).zip(mosaic.frames(&self.frame)).map(|(tile, frame)| {
            let place = if tile == 0 { place } else { random.random_range(0..order.len()) };
            let (sample, aspect) = sound(dataset, order, place)?;
            augmentation.draw(sample.photo.dimensions(), aspect, &frame, &mut random).apply(&sample, &frame)
        });
        Ok(mosaic.join(&tiles.collect::<Result<Vec<_>>>()?, &self.frame))
    }
}

/// The sample at a place of the order, or the next sound one, and how much wider than high it was before it was squashed.
fn sound(dataset: &Dataset, order: &[usize], place: usize) -> Result<(Sample, Option<f64>)> {
    let (before, from) = order.split_at(place);
    for index in from.iter().chain(before) {
        if let Some(sample) = dataset.load_sound(*index)? {
            return Ok((sample, dataset.source(*index).aspect));
        }
    }
    Err(dataset.nothing_usable())
}

/// The batches of one epoch, made on a thread of their own.
pub struct Prefetch {
    receiver: Option<Receiver<Result<Batch>>>,
    worker: Option<JoinHandle<()>>,
    waited: Duration,
}

impl Prefetch {
    /// Starts with batch `first` of the epoch.
    pub fn start(dataset: Arc<Dataset>, plan: Plan, order: Vec<usize>, epoch: usize, first: usize) -> Result<Self> {
        let (sender, receiver) = sync_channel(AHEAD);
        let worker = std::thread::Builder::new()
            .name("prefetch".to_owned())
            .spawn(move || {
                for index in first..order.len() / plan.batch_size {
                    let batch = plan.batch(&dataset, &order, epoch, index);
                    let failed = batch.is_err();
                    if sender.send(batch).is_err() || failed {
                        return;
                    }
                }
            })
            .map_err(Error::io("start the thread that reads", "the data"))?;
        Ok(Self { receiver: Some(receiver), worker: Some(worker), waited: Duration::ZERO })
    }

    /// How long the step has waited for data since the last call.
    pub fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }
}

impl Iterator for Prefetch {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = Instant::now();
        let batch = self.receiver.as_ref().and_then(|receiver| receiver.recv().ok());
        self.waited += start.elapsed();
        batch
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        self.receiver = None; // lets the worker's next send fail
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::data::testing::{cut_off, write_noise};
    use crate::data::{LabelImage, OnDamage, Target};
    use clothseg::spec::Fit;
    use image::{Rgb, RgbImage};

    fn stacked(count: u8) -> Batch {
        let examples: Vec<Example> = (0..count)
            .map(|index| Example {
                picture: RgbImage::from_pixel(4, 2, Rgb([index, 0, 255])),
                labels: LabelImage { width: 2, height: 1, data: vec![index, 9] },
                shown: if index % 2 == 0 { Vec::new() } else { vec![Shown::No, Shown::Yes] },
            })
            .collect();
        let fit = Fit::Stretch { width: 4, height: 2 };
        let input = InputSpec::imagenet(fit).with_normalization([0.0; 3], [1.0; 3]);
        Batch::stack(&examples, &input)
    }

    fn config() -> Config {
        toml::from_str(include_str!("../../configs/garments-tiny.toml")).unwrap()
    }

    fn plan(augmentation: Augmentation) -> Plan {
        let frame = Frame { width: 32, height: 32, output_stride: 2, pad: [0; 3] };
        Plan { seed: 3, batch_size: 2, augmentation, frame, input: config().input_spec() }
    }

    #[test]
    fn a_batch_is_nchw() {
        let batch = stacked(2);
        assert_eq!((batch.picture_shape, batch.label_shape), ([2, 2, 4], [2, 1, 2]));
        assert_eq!(batch.pictures[24], 1.0 / 255.0); // second picture, red plane
        assert_eq!(batch.pictures[16], 1.0); // first picture, blue plane
        assert_eq!(batch.labels, [0, 9, 1, 9]);
        assert_eq!(batch.shown, [Shown::ByLabel, Shown::ByLabel, Shown::No, Shown::Yes]);
    }

    #[test]
    fn parts_are_the_batch_in_order() {
        let batch = stacked(5);
        let parts = batch.split(2);
        assert_eq!(parts.iter().map(Batch::len).collect::<Vec<_>>(), [2, 3]);
        let joined: Vec<f32> = parts.iter().flat_map(|part| part.pictures.clone()).collect();
        assert_eq!(joined, batch.pictures);
        assert_eq!(parts.iter().flat_map(|part| part.shown.clone()).collect::<Vec<_>>(), batch.shown);
        assert_eq!(stacked(1).split(2).len(), 1);
    }

    #[test]
    fn a_mosaic_changes_no_example_but_those_that_it_replaces() {
        let root = tempfile::tempdir().unwrap();
        let source = [write_noise(root.path(), "train", &["a", "b", "c", "d"])];
        let dataset = Dataset::open(&source, &Target::builtin("garments").unwrap(), OnDamage::Refuse).unwrap();
        let order = [3, 0, 1, 2];
        let examples = |mosaic| {
            let plan = plan(Augmentation { mosaic, ..config().augmentation().unwrap() });
            let examples = (0..4).map(|place| plan.example(&dataset, &order, 2, place).unwrap().picture);
            examples.collect::<Vec<_>>()
        };
        let [none, half, all] = [0.0, 0.5, 1.0].map(examples);
        assert!((0..4).all(|place| none[place] != all[place]));
        assert!((0..4).all(|place| half[place] == none[place] || half[place] == all[place]));
        assert!(half != none && half != all);
        assert!(examples(1.0) == all);
    }

    #[test]
    fn the_next_of_the_order_takes_the_place_of_a_photo_that_is_cut_off() {
        let root = tempfile::tempdir().unwrap();
        let source = [write_noise(root.path(), "train", &["a", "b", "c", "d"])];
        let target = Target::builtin("garments").unwrap();
        let open = |on_damage| Dataset::open(&source, &target, on_damage).unwrap();
        let plan = plan(config().augmentation().unwrap());
        let order = [3, 0, 1, 2];
        let batches = |dataset: &Dataset, order: &[usize]| [0, 1].map(|index| plan.batch(dataset, order, 5, index));
        let as_if = batches(&open(OnDamage::Refuse), &[3, 0, 2, 2]).map(Result::unwrap);
        let wrapped = batches(&open(OnDamage::Refuse), &[3, 0, 3, 3]).map(Result::unwrap);
        cut_off(root.path(), "train", "b");
        let dataset = open(OnDamage::Skip);
        assert!(batches(&dataset, &order).map(Result::unwrap) == as_if);
        // As after a resume: the second batch alone.
        assert!(plan.batch(&open(OnDamage::Skip), &order, 5, 1).unwrap() == as_if[1]);
        let error = plan.batch(&open(OnDamage::Refuse), &order, 5, 1).unwrap_err().to_string();
        assert!(error.contains("b.png"), "{error}");
        // Behind the end of the order comes its start.
        cut_off(root.path(), "train", "c");
        assert!(batches(&open(OnDamage::Skip), &order).map(Result::unwrap) == wrapped);
        ["a", "d"].iter().for_each(|stem| cut_off(root.path(), "train", stem));
        let error = plan.batch(&open(OnDamage::Skip), &order, 5, 0).unwrap_err().to_string();
        assert!(error.contains("no usable example"), "{error}");
    }
}
