//! Scores of an ONNX file, taken through clothseg at each photo's own size: what is scored is what ships.

pub mod pictures;

use std::fmt::Write as _;

use clothseg::{ClassKind, ModelSpec, Photo, Quality, Segmenter};
use serde::{Deserialize, Serialize};

use crate::data::{Dataset, IGNORE, Label, Sample, Target};
use crate::error::{Error, Result};
use crate::metrics::{Confusion, LargestGarment, StudyProtocol, StudyScores};

/// The group of classes of the study's 'testing 2'.
const STUDY_GROUP: &str = "study-17";

/// The scores of a model on a dataset.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Class names, 0 = background.
    pub classes: Vec<String>,
    /// Photos scored.
    pub photos: usize,
    /// All pixels of all photos.
    pub confusion: Confusion,
    /// The study's score.
    pub study: StudyProtocol,
    /// How the largest garment of each photo was found.
    pub largest: LargestGarment,
    /// Classes that are parts of persons.
    pub persons: Vec<usize>,
    /// Whether the classes are the study's, so that its scores over 2 and 17 of them mean something.
    pub has_study_classes: bool,
    /// What ran the model.
    pub engine: String,
    /// How much work each photo was worth.
    pub quality: Quality,
}

/// Scores of one class, as results keep them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Its name.
    pub name: String,
    /// Photos whose truth shows it.
    pub photos: u64,
    /// Mean over these of its IoU.
    pub iou_per_image: Option<f64>,
    /// Its IoU over all pixels of all photos.
    pub iou: Option<f64>,
}

/// A share as results keep it, to six digits.
pub(crate) fn rounded(share: Option<f64>) -> Option<f64> {
    share.map(|share| (share * 1e6).round() / 1e6)
}

/// An error where no pixel of any label counts, so that a model cannot be scored. Looks no further than at the first pixel
/// that does.
pub fn require_scorable(dataset: &Dataset) -> Result<()> {
    let mut has_labels = false;
    for index in 0..dataset.len() {
        if matches!(dataset.pair(index).label, Label::Unlabelled { .. }) {
            continue;
        }
        has_labels = true;
        // A damaged label is left to the scoring, which knows whether it is left out.
        let Ok(labels) = dataset.load_labels(index) else { return Ok(()) };
        if labels.data.iter().any(|label| *label != IGNORE) {
            return Ok(());
        }
    }
    let cause = match has_labels {
        true => {
            "no pixel of any label counts: all are ignored (255, or mapped to \"ignore\"); masks of 0 and 255 are read with \
             reading = \"binary\" in the source"
        }
        false => "no photo has a label",
    };
    let roots: Vec<String> = dataset.sources().iter().map(|source| source.root.display().to_string()).collect();
    Err(Error::file(roots.join(", "), format!("a model cannot be scored on these labels: {cause}")))
}

/// Runs a model over a dataset whose labels are in the model's classes.
pub fn evaluate(segmenter: &Segmenter, dataset: &Dataset, classes: Vec<String>) -> Result<Evaluation> {
    require_scorable(dataset)?;
    let taxonomy = &segmenter.spec().taxonomy;
    let one = |sample: Sample| {
        let segmentation = segmenter.segment(&Photo::from_rgb(sample.photo)?)?;
        let mut confusion = Confusion::of(taxonomy, dataset.sets());
        confusion.add(&sample.labels.data, segmentation.label_map().labels());
        Ok(confusion)
    };
    let mut confusion = Confusion::of(taxonomy, dataset.sets());
    let mut largest = LargestGarment::default();
    let chosen = taxonomy.resolve(STUDY_GROUP).unwrap_or_default();
    let has_study_classes = !chosen.is_empty();
    let mut study = StudyProtocol::new(classes.len(), chosen);
    let photos = dataset.for_each(true, one, |image| {
        study.add(&image);
        largest.add(&image);
        confusion.merge(&image);
    })?;
    // Without the library's path: this goes into files that leave the machine.
    let mut engine = segmenter.engine_info().clone();
    engine.path = None;
    let (engine, quality) = (engine.to_string(), segmenter.quality());
    let is_person = |class: &usize| taxonomy.classes[*class].kind == ClassKind::Person;
    let persons = (0..taxonomy.len()).filter(is_person).collect();
    Ok(Evaluation { classes, photos, confusion, study, largest, persons, has_study_classes, engine, quality })
}

/// The model's class names, where they are those of `target` in the same order.
pub fn matching_classes(spec: &ModelSpec, target: &Target) -> Result<Vec<String>> {
    let names = |taxonomy: &clothseg::Taxonomy| -> Vec<String> {
        taxonomy.classes.iter().map(|class| class.name.clone()).collect()
    };
    let (model, data) = (names(&spec.taxonomy), names(&target.taxonomy));
    if model != data {
        return Err(Error::file(
            &spec.name,
            format!(
                "the model's {} classes are not those of `{}`, which the labels are mapped to",
                model.len(),
                target.name
            ),
        ));
    }
    Ok(model)
}

/// The class names of `target`, where a model can be scored on labels in them: its classes are these, or these without the
/// classes of persons at their end, which it then takes for background.
pub fn scored_classes(spec: &ModelSpec, target: &Target) -> Result<Vec<String>> {
    let known = spec.taxonomy.len().min(target.classes());
    let is_person = |class: &clothseg::Class| class.kind == ClassKind::Person;
    if known == target.classes() || !target.taxonomy.classes[known..].iter().all(is_person) {
        return matching_classes(spec, target);
    }
    let mut first = target.clone();
    first.taxonomy.classes.truncate(known);
    matching_classes(spec, &first)?;
    Ok(target.taxonomy.classes.iter().map(|class| class.name.clone()).collect())
}

impl Evaluation {
    /// The sums, name and value.
    pub fn summary(&self) -> Vec<(String, Option<f64>)> {
        let StudyScores { two, seventeen, all } = self.study.scores();
        let mut summary = vec![
            ("mean IoU".to_owned(), self.confusion.mean_iou()),
            ("mean garment IoU".to_owned(), self.confusion.mean_garment_iou()),
            ("any-garment IoU".to_owned(), self.confusion.any_garment_iou()),
            ("IoU of the largest garment, mean over photos".to_owned(), self.largest.iou()),
            ("photos whose largest garment has the right class".to_owned(), self.largest.right()),
            ("mean Dice".to_owned(), self.confusion.mean_dice()),
            ("pixel accuracy".to_owned(), self.confusion.pixel_accuracy()),
            ("study's mean IoU".to_owned(), all),
        ];
        if self.has_study_classes {
            summary.push(("study's mean IoU, 17 classes".to_owned(), seventeen));
            summary.push(("study's mean IoU, 2 classes".to_owned(), two));
        }
        let persons = self.persons.iter().filter_map(|class| {
            let taken = self.confusion.taken_for_garments(*class)?;
            Some((format!("{} pixels taken for garments", self.classes[*class]), Some(taken)))
        });
        summary.extend(persons);
        summary
    }

    /// The scores of each class, in order.
    pub fn class_scores(&self) -> Vec<ClassScore> {
        let score = |(class, name): (usize, &String)| {
            let per_image = self.study.per_image().class(class);
            ClassScore {
                name: name.clone(),
                photos: per_image.map_or(0, |(_, photos)| photos),
                iou_per_image: rounded(per_image.map(|(iou, _)| iou)),
                iou: rounded(self.confusion.iou(class)),
            }
        };
        self.classes.iter().enumerate().map(score).collect()
    }

    /// A table for the terminal.
    pub fn table(&self) -> String {
        let width = self.classes.iter().map(String::len).max().unwrap_or(0).max(5);
        let mut text = format!("{:width$}     IoU  per image  photos  share of pixels\n", "class");
        for row in self.rows() {
            let _ = writeln!(
                text,
                "{:width$}  {:>6}     {:>6}  {:>6}         {:>8}",
                row.class, row.iou, row.per_image, row.photos, row.share
            );
        }
        for (name, value) in self.summary() {
            let _ = writeln!(text, "{name}: {}", percent(value));
        }
        text
    }

    /// The same as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("| quality {} | |\n| --- | ---: |\n", self.quality);
        for (name, value) in self.summary() {
            let _ = writeln!(text, "| {name} | {} |", percent(value));
        }
        text.push_str(
            "\n| class | IoU | per image | photos | share of pixels |\n| --- | ---: | ---: | ---: | ---: |\n",
        );
        for row in self.rows() {
            let _ =
                writeln!(text, "| {} | {} | {} | {} | {} |", row.class, row.iou, row.per_image, row.photos, row.share);
        }
        text
    }

    /// The same as CSV, shares as numbers of 0 to 1.
    pub fn csv(&self) -> String {
        let number = |value: Option<f64>| value.map(|value| format!("{value:.6}")).unwrap_or_default();
        let mut text = String::from("class,iou,iou_per_image,photos,truth_px,predicted_px\n");
        for (class, name) in self.classes.iter().enumerate() {
            let per_image = self.study.per_image().class(class);
            let _ = writeln!(
                text,
                "\"{name}\",{},{},{},{},{}",
                number(self.confusion.iou(class)),
                number(per_image.map(|(iou, _)| iou)),
                per_image.map_or(0, |(_, photos)| photos),
                self.confusion.truth(class),
                self.confusion.predicted(class)
            );
        }
        for (name, value) in self.summary() {
            let _ = writeln!(text, "\"{name}\",{},,{},,", number(value), self.photos);
        }
        text
    }

    fn rows(&self) -> impl Iterator<Item = TableRow<'_>> {
        let total = self.confusion.total();
        self.classes.iter().enumerate().map(move |(class, name)| {
            let per_image = self.study.per_image().class(class);
            TableRow {
                class: name,
                iou: percent(self.confusion.iou(class)),
                per_image: percent(per_image.map(|(iou, _)| iou)),
                photos: per_image.map_or(0, |(_, photos)| photos),
                share: format!("{:.2} %", 100.0 * self.confusion.truth(class) as f64 / total.max(1) as f64),
            }
        })
    }
}

struct TableRow<'a> {
    class: &'a str,
    iou: String,
    per_image: String,
    photos: u64,
    share: String,
}

/// A share as tables show it.
pub(crate) fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.1} %", 100.0 * value))
}
