//! `clothseg-train`: see `--help`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use clothseg::batch::write_atomically;
use clothseg::engine::{EngineOptions, Provider};
use clothseg::{Photo, Quality, Segmenter};
use clothseg_trainer::config::{Config, resolve};
use clothseg_trainer::data::{
    Dataset, Layout, OnDamage, OutputSize, PrepareOptions, Sample, Source, SourceFiles, Splits, prepare,
};
use clothseg_trainer::device::DeviceChoice;
use clothseg_trainer::evaluate::pictures::{Contestant, Shown, label_sheet, side_by_side, small, spread};
use clothseg_trainer::evaluate::{Evaluation, evaluate, matching_classes};
use clothseg_trainer::experiments::{ExperimentsConfig, ExperimentsOptions, run_experiments};
use clothseg_trainer::export::balance::{Balanced, Objective, balance};
use clothseg_trainer::export::quantize::quantize;
use clothseg_trainer::export::{Chosen, Weights};
use clothseg_trainer::log::progress::LineWriter;
use clothseg_trainer::study::{StudyConfig, StudyOptions};
use clothseg_trainer::train::Start;
use clothseg_trainer::{Error, Result, export, log, study, train};

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(not(target_env = "msvc"))]
#[unsafe(export_name = "_rjem_malloc_conf")]
static ALLOCATOR_OPTIONS: &[u8] = clothseg_trainer::ALLOCATOR_OPTIONS;

/// Train clothing segmentation networks and write them as ONNX for clothseg-run.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a dataset of any layout in the layout `folder`, at a chosen size. A call that was stopped goes on.
    Prepare(PrepareArguments),
    /// Train by a config file.
    Train {
        /// The config, TOML.
        config: PathBuf,
        /// Go on from the run's last checkpoint.
        #[arg(long)]
        resume: bool,
        /// What trains: auto (a GPU where there is one), cpu or gpu.
        #[arg(long, default_value_t)]
        device: DeviceChoice,
    },
    /// Score an ONNX file on labelled photos, through clothseg and at the photos' own size.
    Eval(EvalArguments),
    /// Write a model in 8 bits, for CPUs: smaller, faster where the processor has integer dot products, and a little off.
    Quantize {
        /// The model, as `export` wrote it.
        model: PathBuf,
        /// A config; the ranges of the values in the network are taken from some of its training photos.
        #[arg(long, value_name = "CONFIG")]
        data: PathBuf,
        /// The file; without it, NAME-int8.onnx beside the model.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Photos that the ranges are taken from.
        #[arg(long, value_name = "COUNT", default_value_t = 64)]
        photos: usize,
        /// What runs both models: auto, cpu, cuda or embedded.
        #[arg(long, default_value = "auto")]
        provider: Provider,
    },
    /// Add a constant to each class's logits, so that the mean IoU over the classes is largest on training photos: rare classes
    /// are no longer drowned by their neighbours. Or to the background's alone.
    Balance(BalanceArguments),
    /// Draw photos and the labels that a network would learn from them, mapped to its classes, as PNG. Striped is what counts
    /// nowhere.
    Labels {
        /// The training's config; each of its sources begins a row.
        config: PathBuf,
        /// The picture.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Photos of each source.
        #[arg(long, value_name = "COUNT", default_value_t = 24)]
        photos: usize,
    },
    /// Train many networks and losses, score them as the study does, and write its tables, charts and pictures. What is
    /// done is not repeated.
    Study {
        /// The study's config, TOML.
        config: PathBuf,
        /// Only this run; may be given several times.
        #[arg(long, value_name = "RUN")]
        only: Vec<String>,
        /// Train nothing: write the tables and pictures of what there is.
        #[arg(long)]
        tables_only: bool,
        /// Print the runs, and which are done.
        #[arg(long)]
        list: bool,
        /// What trains: auto (a GPU where there is one), cpu or gpu.
        #[arg(long, default_value_t)]
        device: DeviceChoice,
        /// What runs the models on the test data: auto, cpu, cuda, tensorrt or embedded.
        #[arg(long, default_value = "auto")]
        provider: Provider,
    },
    /// Train one config with the changes of each experiment, and write a table of what each gave. What is done is not
    /// repeated.
    Experiments {
        /// The series, TOML.
        config: PathBuf,
        /// Only this experiment; may be given several times.
        #[arg(long, value_name = "KEY")]
        only: Vec<String>,
        /// Train nothing: write the tables of what there is.
        #[arg(long)]
        tables_only: bool,
        /// What trains: auto (a GPU where there is one), cpu or gpu.
        #[arg(long, default_value_t)]
        device: DeviceChoice,
        /// What runs the models on the test data: auto, cpu, cuda, tensorrt or embedded.
        #[arg(long, default_value = "auto")]
        provider: Provider,
    },
    /// Write a run's best checkpoint as ONNX, checked against the network in training.
    Export {
        /// The run's folder or its config.
        run: PathBuf,
        /// The last checkpoint instead of the best.
        #[arg(long)]
        last: bool,
        /// Store the weights in 16 bits: half the file; engines calculate in 32 bits all the same.
        #[arg(long)]
        half: bool,
        /// The file; without it, NAME.onnx in the run's folder.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// What checks the file: auto, cpu, cuda, tensorrt or embedded.
        #[arg(long, default_value = "auto")]
        provider: Provider,
    },
}

#[derive(clap::Args)]
struct PrepareArguments {
    /// Root folder of the dataset.
    root: PathBuf,
    /// Folder to write: OUTPUT/SPLIT/{images,labels} and OUTPUT/class_dict.csv.
    output: PathBuf,
    /// How the dataset lies on disk: folder, ccp, imaterialist or coco.
    #[arg(long)]
    layout: Layout,
    /// The dataset's split to read.
    #[arg(long, value_name = "NAME", default_value = "train")]
    source_split: String,
    /// Annotation file, relative to ROOT [default: SPLIT.csv, annotations/instances_SPLIT.json].
    #[arg(long, value_name = "FILE")]
    annotations: Option<PathBuf>,
    /// Folder of the photos of imaterialist and coco, relative to ROOT [default: SPLIT].
    #[arg(long, value_name = "FOLDER")]
    images: Option<PathBuf>,
    /// Folder of the labels in a split of the layout folder [default: labels].
    #[arg(long, value_name = "NAME")]
    labels: Option<String>,
    /// Squash to this size, such as 256x256. Without a size, pictures keep theirs.
    #[arg(long, value_name = "SIZE", conflicts_with = "longest_side")]
    size: Option<OutputSize>,
    /// Shrink the longest side to so many pixels; the aspect ratio is kept.
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    longest_side: Option<u32>,
    /// Splits to write, such as valid, or train=0.8,valid=0.1,test=0.1 [default: the one that is read].
    #[arg(long, value_name = "SPLITS")]
    split: Option<Splits>,
    /// Seed of the splits, and of the choice with --limit.
    #[arg(long, default_value_t)]
    seed: u64,
    /// Take at most so many examples.
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Quality of the JPEG files.
    #[arg(long, default_value_t = 92, value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: u8,
    /// What to do with damaged examples: refuse or skip.
    #[arg(long, default_value_t)]
    on_damage: OnDamage,
}

#[derive(clap::Args)]
struct BalanceArguments {
    /// The model, as `export` wrote it.
    model: PathBuf,
    /// A config of the model's classes, whose training photos are looked at; those of each source count by its `repeat`.
    #[arg(long, value_name = "CONFIG")]
    data: PathBuf,
    /// What is made largest: mean-iou raises classes, any-garment moves the background alone.
    #[arg(long, default_value_t)]
    objective: Objective,
    /// The file; without it, NAME-balanced.onnx beside the model.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Photos of each source that are looked at, at most.
    #[arg(long, value_name = "COUNT", default_value_t = 2000)]
    photos: usize,
    /// What runs the model: auto, cpu, cuda, tensorrt or embedded.
    #[arg(long, default_value = "auto")]
    provider: Provider,
}

#[derive(clap::Args)]
struct EvalArguments {
    /// The model.
    model: PathBuf,
    /// A config (of a run); its validation data is used.
    #[arg(long, value_name = "CONFIG")]
    data: PathBuf,
    /// Its test data instead.
    #[arg(long)]
    test: bool,
    /// Another split of that data.
    #[arg(long)]
    split: Option<String>,
    /// Also write the scores as CSV.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Also write the scores as Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Also draw the confusion matrix, as PNG.
    #[arg(long, value_name = "FILE")]
    confusion: Option<PathBuf>,
    /// Also draw some photos with truth and prediction, as PNG.
    #[arg(long, value_name = "FILE")]
    grid: Option<PathBuf>,
    /// In that picture, what this model of the same classes makes of them; may be given several times.
    #[arg(long, value_name = "MODEL", requires = "grid")]
    beside: Vec<PathBuf>,
    /// Photos in that picture.
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    grid_photos: usize,
    /// fast, or best: the mean over the photo and its mirror image.
    #[arg(long, default_value_t)]
    quality: Quality,
    /// Leave specks and patches as the network sees them, where the model's description says which to settle.
    #[arg(long)]
    keep_specks: bool,
    /// What runs the model: auto, cpu, cuda, tensorrt or embedded.
    #[arg(long, default_value = "auto")]
    provider: Provider,
}

impl PrepareArguments {
    fn options(self) -> PrepareOptions {
        let files = SourceFiles { labels: self.labels, annotations: self.annotations, images: self.images };
        PrepareOptions {
            splits: self.split.unwrap_or_else(|| Splits::one(&self.source_split)),
            source: Source {
                layout: self.layout,
                root: self.root,
                split: self.source_split,
                files,
                mapping: None,
                repeat: 1.0,
                aspect: None,
            },
            output: self.output,
            size: self.size.or(self.longest_side.map(OutputSize::LongestSide)).unwrap_or(OutputSize::Original),
            seed: self.seed,
            limit: self.limit,
            jpeg_quality: self.quality,
            on_damage: self.on_damage,
        }
    }
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,ort=warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(LineWriter::new).init();
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Prepare(arguments) => {
            let options = arguments.options();
            let done = prepare(&options)?;
            print(&format!("{}: {done}\n", options.output.display()))
        }
        Command::Train { config, resume, device } => {
            let config = Config::open(&config)?;
            train::train(&config, Start { resume, device, last_step: None })?;
            tracing::info!("done; next: clothseg-train export {}", config.run.display());
            Ok(())
        }
        Command::Eval(arguments) => eval(&arguments),
        Command::Quantize { model, data, output, photos, provider } => {
            in_eight_bits(&model, &data, output, photos, provider)
        }
        Command::Balance(arguments) => balanced(arguments),
        Command::Labels { config, output, photos } => draw_labels(&config, &output, photos),
        Command::Study { config, only, tables_only, list, device, provider } => {
            let config = StudyConfig::open(&config)?;
            if list {
                return print(&study::list(&config)?);
            }
            let options = StudyOptions { only, tables_only, device, engine: options(provider) };
            let folder = study::study(&config, &options)?;
            tracing::info!("done; the tables are in {}", folder.join("tables.md").display());
            Ok(())
        }
        Command::Experiments { config, only, tables_only, device, provider } => {
            let options = ExperimentsOptions { only, tables_only, device, engine: options(provider) };
            let folder = run_experiments(&ExperimentsConfig::open(&config)?, &options)?;
            tracing::info!("done; the tables are in {}", folder.join("tables.md").display());
            Ok(())
        }
        Command::Export { run, last, half, output, provider } => {
            let chosen = if last { Chosen::Last } else { Chosen::Best };
            let weights = if half { Weights::Half } else { Weights::Full };
            let done = export::export_run(&run, chosen, output.as_deref(), weights, &options(provider))?;
            print(&format!(
                "{}: {:.1} MB; logits differ from Burn's by at most {:.1e}{}, run by {}\n",
                done.path.display(),
                done.bytes as f64 / 1e6,
                done.difference,
                if half { " with rounded weights" } else { "" },
                done.engine
            ))
        }
    }
}

fn draw_labels(config: &Path, output: &Path, photos: usize) -> Result<()> {
    let config = Config::open(config)?;
    let target = config.target()?;
    let mut shown = Vec::new();
    for source in resolve(&config.data.train) {
        let dataset = Dataset::open(&[source], &target, config.data.on_damage)?;
        shown.push(spread(&dataset, photos).map(|shown| Ok(small(shown?))).collect::<Result<Vec<_>>>()?);
    }
    label_sheet(output, &target.taxonomy, &shown)
}

fn in_eight_bits(model: &Path, data: &Path, output: Option<PathBuf>, photos: usize, provider: Provider) -> Result<()> {
    let config = Config::open(data)?;
    let dataset = Dataset::open(&resolve(&config.data.train), &config.target()?, config.data.on_damage)?;
    let photos = spread(&dataset, photos).map(|shown| Ok(Photo::from_rgb(shown?.0)?));
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    let output = output.unwrap_or_else(|| model.with_file_name(format!("{stem}-int8.onnx")));
    let done = quantize(model, photos, &output, &options(provider))?;
    print(&format!(
        "{}: {:.1} MB (was {:.1}); {} convolutions in 8 bits; {:.2} % of the cells of {} photos keep their class, logits \
         differ by {:.3} (root mean square), run by {}\n",
        done.path.display(),
        done.bytes as f64 / 1e6,
        done.float_bytes as f64 / 1e6,
        done.convolutions,
        done.agreement * 100.0,
        done.photos,
        done.difference,
        done.engine
    ))
}

fn balanced(arguments: BalanceArguments) -> Result<()> {
    let BalanceArguments { model, data, objective, output, photos, provider } = arguments;
    let config = Config::open(&data)?;
    let target = config.target()?;
    let sources = resolve(&config.data.train);
    let datasets =
        sources.iter().map(|source| Dataset::open(std::slice::from_ref(source), &target, config.data.on_damage));
    let datasets: Vec<Dataset> = datasets.collect::<Result<_>>()?;
    let samples = datasets.iter().zip(&sources).flat_map(|(dataset, source)| {
        // A source counts as in training, also where only some of its photos are looked at.
        let weight = source.repeat * dataset.len() as f64 / photos.min(dataset.len()).max(1) as f64;
        let with_label = move |(photo, labels): Shown| Some((Sample { photo, labels: labels? }, weight as f32));
        spread(dataset, photos).filter_map(move |shown| shown.map(with_label).transpose())
    });
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    let output = output.unwrap_or_else(|| model.with_file_name(format!("{stem}-balanced.onnx")));
    let Balanced { path, offsets, iou, photos, engine } =
        balance(&model, &target, objective, samples, &output, &options(provider))?;
    let moved = offsets.iter().filter(|(_, offset)| *offset != 0.0);
    let moved: Vec<String> = moved.map(|(name, offset)| format!("{name} {offset:+.1}")).collect();
    let [before, after] = iou.map(|share| 100.0 * share);
    let what = match objective {
        Objective::MeanIou => "mean IoU",
        Objective::AnyGarment => "any-garment IoU",
    };
    print(&format!(
        "{}: {what} {before:.1} % -> {after:.1} % on the grid of {photos} training photos; {}; run by {engine}\n",
        path.display(),
        if moved.is_empty() { "nothing moved".to_owned() } else { moved.join(", ") },
    ))
}

fn options(provider: Provider) -> EngineOptions {
    EngineOptions { provider, ..EngineOptions::default() }
}

fn eval(arguments: &EvalArguments) -> Result<()> {
    let EvalArguments { model, quality, provider, .. } = arguments;
    let config = Config::open(&arguments.data)?;
    let dataset = labelled(arguments, &config)?;
    let open = |model: &Path| {
        let segmenter = Segmenter::open(model, &options(*provider));
        let chosen = segmenter.map(|segmenter| segmenter.with_settling(!arguments.keep_specks));
        chosen.and_then(|segmenter| segmenter.with_quality(*quality)).map_err(Error::model(model))
    };
    let segmenter = open(model)?;
    let evaluation = evaluate(&segmenter, &dataset, matching_classes(segmenter.spec(), &config.target()?)?)?;
    for (path, text) in [(&arguments.csv, evaluation.csv()), (&arguments.markdown, evaluation.markdown())] {
        if let Some(path) = path {
            write_atomically(path, text.as_bytes())?;
        }
    }
    if let Some(path) = &arguments.confusion {
        log::confusion::write(path, &model.to_string_lossy(), &evaluation.classes, &evaluation.confusion)?;
    }
    if let Some(path) = &arguments.grid {
        let contestant = |model: &PathBuf| {
            let segmenter = open(model)?;
            Ok(Contestant { caption: segmenter.spec().name.clone(), segmenter })
        };
        let models = std::iter::once(model).chain(&arguments.beside).map(contestant).collect::<Result<Vec<_>>>()?;
        let shown = spread(&dataset, arguments.grid_photos).collect::<Result<Vec<_>>>()?;
        side_by_side(path, &models, &shown)?;
    }
    let Evaluation { photos, engine, quality, .. } = &evaluation;
    print(&format!("{photos} photos, {engine}, quality {quality}\n{}", evaluation.table()))
}

/// The data to score on: a config's validation data or test data, or another split of it.
fn labelled(arguments: &EvalArguments, config: &Config) -> Result<Dataset> {
    let chosen = if arguments.test { &config.data.test } else { &config.data.valid };
    if chosen.is_empty() {
        let cause = "names no data to test on ([[data.test]]); leave out --test".to_owned();
        return Err(Error::Config { path: arguments.data.clone(), key: "data.test".to_owned(), cause });
    }
    let mut sources = resolve(chosen);
    if let Some(split) = &arguments.split {
        sources.iter_mut().for_each(|source| source.split = split.to_owned());
    }
    Dataset::open(&sources, &config.target()?, config.data.on_damage)
}

fn print(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).map_err(Error::io("write to", "standard output"))
}
