//! The commands on models and data: from arguments to what is printed.

use std::io::Write;
use std::path::{Path, PathBuf};

use clothseg::engine::{EngineOptions, Provider};
use clothseg::spec::Cleanup;
use clothseg::{Model, Photo, Segmenter};
use clothseg_batch::write_atomically;
use clothseg_trainer::config::Config;
use clothseg_trainer::counted::counted;
use clothseg_trainer::data::{Dataset, Sample, resolve};
use clothseg_trainer::evaluate::pictures::{CaptionedModel, Shown, side_by_side, spread};
use clothseg_trainer::evaluate::{Evaluation, evaluate, require_scorable, scored_classes};
use clothseg_trainer::run::log::confusion;
use clothseg_trainer::tools::average::{Averaged, average};
use clothseg_trainer::tools::calibrate::{Calibrated, Objective, calibrate};
use clothseg_trainer::tools::pseudo_label::{PseudoLabelOptions, pseudo_label};
use clothseg_trainer::tools::quantize::quantize;
use clothseg_trainer::{Error, Result};

use crate::arguments::{CalibrateArguments, EvalArguments, PseudoLabelArguments};

pub fn in_eight_bits(
    model: &Path,
    data: &Path,
    output: Option<PathBuf>,
    photos: usize,
    provider: Provider,
) -> Result<()> {
    let config = Config::open(data)?;
    let dataset = Dataset::open(&resolve(&config.data.train), &config.target()?, config.data.on_damage)?;
    let photos = spread(&dataset, photos).map(|shown| Ok(Photo::from_rgb(shown?.0)?));
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    let output = output.unwrap_or_else(|| model.with_file_name(format!("{stem}-int8.onnx")));
    let done = quantize(model, photos, &output, &options(provider))?;
    print(&format!(
        "{}: {:.1} MB (was {:.1} MB); {} convolutions in 8 bits; {:.2} % of the output cells of {} keep their class; \
         logits differ by {:.3} (root mean square); run by {}\n",
        done.path.display(),
        done.bytes as f64 / 1e6,
        done.float_bytes as f64 / 1e6,
        done.convolutions,
        done.agreement * 100.0,
        counted(done.photos, "photo", "photos"),
        done.difference,
        done.engine
    ))
}

pub fn calibrated(arguments: CalibrateArguments) -> Result<()> {
    let CalibrateArguments { model, data, objective, output, photos, provider } = arguments;
    let config = Config::open(&data)?;
    let target = config.target()?;
    let sources = resolve(&config.data.train);
    let datasets =
        sources.iter().map(|source| Dataset::open(std::slice::from_ref(source), &target, config.data.on_damage));
    let datasets: Vec<Dataset> = datasets.collect::<Result<_>>()?;
    let samples = datasets.iter().zip(&sources).flat_map(|(dataset, source)| {
        // A source counts as in training, also where only some of its photos are looked at.
        let weight = source.repeat * dataset.len() as f64 / photos.min(dataset.len()).max(1) as f64;
        let with_label =
            move |(photo, labels): Shown| Some((Sample { photo, labels: labels?, tags: None }, weight as f32));
        spread(dataset, photos).filter_map(move |shown| shown.map(with_label).transpose())
    });
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    let output = output.unwrap_or_else(|| model.with_file_name(format!("{stem}-calibrated.onnx")));
    let Calibrated { path, adjustments, iou, photos, engine } =
        calibrate(&model, &target, objective, samples, &output, &options(provider))?;
    let moved = adjustments.iter().filter(|(_, offset)| *offset != 0.0);
    let moved: Vec<String> = moved.map(|(name, offset)| format!("{name} {offset:+.1}")).collect();
    let [before, after] = iou.map(|share| 100.0 * share);
    let what = match objective {
        Objective::MeanIou => "mean IoU",
        Objective::AnyGarment => "any-garment IoU",
    };
    print(&format!(
        "{}: {what} {before:.1} % -> {after:.1} % on the output cells of {photos} training photos; {}; run by {engine}\n",
        path.display(),
        if moved.is_empty() { "no class was adjusted".to_owned() } else { moved.join(", ") },
    ))
}

pub fn averaged(models: &[PathBuf], data: &Path, output: &Path, provider: Provider) -> Result<()> {
    let config = Config::open(data)?;
    let target = config.target()?;
    let dataset = Dataset::open(&resolve(&config.data.valid), &target, config.data.on_damage)?;
    require_scorable(&dataset)?;
    let samples = (0..dataset.len()).filter_map(|index| dataset.load_unsquashed(index).transpose());
    let name = output.file_stem().unwrap_or_default().to_string_lossy();
    let Averaged { path, confusion, photos, engine } =
        average(models, &name, &target, samples, output, &options(provider))?;
    let percent = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.1} %", 100.0 * share));
    print(&format!(
        "{}: average of {}; mean garment IoU {}, any-garment IoU {} on the output cells of {}; run by {engine}\n",
        path.display(),
        counted(models.len(), "model", "models"),
        percent(confusion.mean_garment_iou()),
        percent(confusion.any_garment_iou()),
        counted(photos, "photo", "photos"),
    ))
}

pub fn pseudo_labelled(arguments: PseudoLabelArguments) -> Result<()> {
    let weak = arguments.weak_labels();
    let PseudoLabelArguments { model, photos, output, least, quality, jpeg_quality, provider, .. } = arguments;
    let segmenter = Segmenter::open_with(&model, &options(provider))
        .and_then(|segmenter| segmenter.with_quality(quality))
        .map_err(Error::model(&model))?;
    let options = PseudoLabelOptions { photos, output, weak, least_probability: least, jpeg_quality };
    let done = pseudo_label(&segmenter, &options)?;
    print(&format!(
        "{}: {} labelled, {} of them earlier; {}; {:.1} % of the pixels of the new ones are sure; run by {}\n",
        options.output.display(),
        counted(done.photos, "photo", "photos"),
        done.kept,
        done.left_out,
        100.0 * done.sure,
        segmenter.engine_info(),
    ))
}

pub fn options(provider: Provider) -> EngineOptions {
    clothseg_batch::locate::engine_options(provider)
}

pub fn eval(arguments: &EvalArguments) -> Result<()> {
    let EvalArguments { model, quality, provider, .. } = arguments;
    let config = Config::open(&arguments.data)?;
    let dataset = labelled(arguments, &config)?;
    let cleanup = match arguments.cleanup.as_ref().map_or(&[][..], |numbers| &numbers.0)[..] {
        [] => None,
        [border_percent, merge_percent, least_ppm] => Some(Cleanup::new(border_percent, merge_percent, least_ppm)),
        _ => {
            let cause = "needs three numbers: BORDER_PERCENT,MERGE_PERCENT,LEAST_PPM".to_owned();
            return Err(Error::Config { path: arguments.data.clone(), key: "--cleanup".to_owned(), cause });
        }
    };
    let open = |path: &Path| {
        let open = || {
            let mut model = Model::open(path)?;
            if cleanup.is_some() {
                let mut spec = model.spec().clone();
                spec.output.cleanup = cleanup;
                model = Model::open_as(path, spec)?;
            }
            let segmenter = Segmenter::open_model(&model, &options(*provider))?.with_cleanup(!arguments.no_cleanup);
            segmenter.with_quality(*quality)
        };
        open().map_err(Error::model(path))
    };
    let segmenter = open(model)?;
    let evaluation = evaluate(&segmenter, &dataset, scored_classes(segmenter.spec(), &config.target()?)?)?;
    for (path, text) in [(&arguments.csv, evaluation.csv()), (&arguments.markdown, evaluation.markdown())] {
        if let Some(path) = path {
            write_atomically(path, text.as_bytes())?;
        }
    }
    if let Some(path) = &arguments.confusion {
        confusion::write(path, &model.to_string_lossy(), &evaluation.classes, &evaluation.confusion)?;
    }
    if let Some(path) = &arguments.grid {
        let captioned = |model: &PathBuf| {
            let segmenter = open(model)?;
            Ok(CaptionedModel { caption: segmenter.spec().name.clone(), segmenter })
        };
        let models = std::iter::once(model).chain(&arguments.beside).map(captioned).collect::<Result<Vec<_>>>()?;
        let shown = spread(&dataset, arguments.grid_photos).collect::<Result<Vec<_>>>()?;
        side_by_side(path, &models, &shown)?;
    }
    let Evaluation { photos, engine, quality, .. } = &evaluation;
    let photos = counted(*photos, "photo", "photos");
    print(&format!("{photos}, {engine}, quality {quality}\n{}", evaluation.table()))
}

/// The data to score on: a config's validation data or test data, or another split of it.
fn labelled(arguments: &EvalArguments, config: &Config) -> Result<Dataset> {
    let chosen = if arguments.test { &config.data.test } else { &config.data.valid };
    if chosen.is_empty() {
        let cause = "has no test data ([[data.test]]); leave out --test".to_owned();
        return Err(Error::Config { path: arguments.data.clone(), key: "data.test".to_owned(), cause });
    }
    let mut sources = resolve(chosen);
    if let Some(root) = &arguments.source {
        sources.retain(|source| source.root.ends_with(root));
        if sources.is_empty() {
            let cause = format!("there is no source with the root {}", root.display());
            return Err(Error::Config { path: arguments.data.clone(), key: "--source".to_owned(), cause });
        }
    }
    if let Some(split) = &arguments.split {
        sources.iter_mut().for_each(|source| source.split = split.to_owned());
    }
    Dataset::open(&sources, &config.target()?, config.data.on_damage)
}

pub fn print(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).map_err(Error::io("write to", "standard output"))
}
