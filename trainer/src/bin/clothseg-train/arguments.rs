//! What is called for.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clothseg::Quality;
use clothseg::engine::Provider;
use clothseg_trainer::data::{Layout, OnDamage, OutputSize, PrepareOptions, Source, SourceFiles, Splits};
use clothseg_trainer::device::DeviceChoice;
use clothseg_trainer::export::calibrate::Objective;
use clothseg_trainer::pseudo_label::WeakLabels;

/// Train clothing segmentation networks and write them as ONNX for clothseg-run.
#[derive(Parser)]
#[command(version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
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
    #[command(alias = "balance")]
    Calibrate(CalibrateArguments),
    /// Write the mean of the weights of models of one chain of trainings, and score it: often better than any of them, and as fast
    /// as one.
    Average {
        /// The models, two or more, as `export` or `calibrate` wrote them; input and output are those of the first.
        #[arg(required = true, num_args = 2..)]
        models: Vec<PathBuf>,
        /// A config of the models' classes, on whose validation data the mean is scored.
        #[arg(long, value_name = "CONFIG")]
        data: PathBuf,
        /// The file; its name without the ending becomes the model's.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// What runs the model: auto, cpu, cuda or embedded.
        #[arg(long, default_value = "auto")]
        provider: Provider,
    },
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
    /// Label photos with a model, in the layout `folder`: to train on what it is sure of, or to correct by hand. Tags or boxes say
    /// what the photos show.
    #[command(alias = "prelabel")]
    PseudoLabel(PseudoLabelArguments),
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
pub struct PrepareArguments {
    /// Root folder of the dataset.
    pub root: PathBuf,
    /// Folder to write: OUTPUT/SPLIT/{images,labels} and OUTPUT/class_dict.csv.
    pub output: PathBuf,
    /// How the dataset lies on disk: folder, ccp, imaterialist, coco or tags.
    #[arg(long)]
    pub layout: Layout,
    /// The dataset's split to read.
    #[arg(long, value_name = "NAME", default_value = "train")]
    pub source_split: String,
    /// Annotation file, relative to ROOT [default: SPLIT.csv, annotations/instances_SPLIT.json].
    #[arg(long, value_name = "FILE")]
    pub annotations: Option<PathBuf>,
    /// Folder of the photos of imaterialist and coco, relative to ROOT [default: SPLIT].
    #[arg(long, value_name = "FOLDER")]
    pub images: Option<PathBuf>,
    /// Folder of the labels in a split of the layout folder [default: labels].
    #[arg(long, value_name = "NAME")]
    pub labels: Option<String>,
    /// Squash to this size, such as 256x256. Without a size, pictures keep theirs.
    #[arg(long, value_name = "SIZE", conflicts_with = "longest_side")]
    pub size: Option<OutputSize>,
    /// Shrink the longest side to so many pixels; the aspect ratio is kept.
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub longest_side: Option<u32>,
    /// Splits to write, such as valid, or train=0.8,valid=0.1,test=0.1 [default: the one that is read].
    #[arg(long, value_name = "SPLITS")]
    pub split: Option<Splits>,
    /// Seed of the splits, and of the choice with --limit.
    #[arg(long, default_value_t)]
    pub seed: u64,
    /// Take at most so many examples.
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<usize>,
    /// Quality of the JPEG files.
    #[arg(long, default_value_t = 92, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub quality: u8,
    /// What to do with damaged examples: refuse or skip.
    #[arg(long, default_value_t)]
    pub on_damage: OnDamage,
}

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("weak").args(["tags", "boxes"]))]
pub struct PseudoLabelArguments {
    /// The model.
    pub model: PathBuf,
    /// Folder of the photos.
    pub photos: PathBuf,
    /// Folder to write: OUTPUT/train/{images,labels}, OUTPUT/class_dict.csv and, with tags or boxes, OUTPUT/tags.csv.
    pub output: PathBuf,
    /// CSV file `photo,tags` of what the photos show: a pixel is of a class that is tagged, of a person, or background. Photos
    /// that it does not name are left out.
    #[arg(long, value_name = "FILE", requires = "mapping")]
    pub tags: Option<PathBuf>,
    /// CSV file `photo,class,left,top,right,bottom` in the photos' pixels: a class of the mapping lies in a box of it, and each
    /// box has its class. Photos that it does not name are left out.
    #[arg(long, value_name = "FILE", requires = "mapping")]
    pub boxes: Option<PathBuf>,
    /// Mapping file from the names of the tags or boxes to the model's classes.
    #[arg(long, value_name = "FILE", requires = "weak")]
    pub mapping: Option<PathBuf>,
    /// How likely a pixel's class must be, among those that it may be; others count nowhere.
    #[arg(long, value_name = "PROBABILITY", default_value_t = 0.6, value_parser = probability)]
    pub least: f64,
    /// fast or best.
    #[arg(long, default_value = "best")]
    pub quality: Quality,
    /// Quality of the JPEG files.
    #[arg(long, default_value_t = 92, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub jpeg_quality: u8,
    /// What runs the model: auto, cpu, cuda, tensorrt or embedded.
    #[arg(long, default_value = "auto")]
    pub provider: Provider,
}

fn probability(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (0.0..=1.0).contains(value));
    value.ok_or_else(|| format!("`{text}` is not a number from 0 to 1"))
}

impl PseudoLabelArguments {
    /// What is known of the photos.
    pub fn weak_labels(&self) -> WeakLabels {
        match (&self.tags, &self.boxes, &self.mapping) {
            (Some(file), _, Some(mapping)) => WeakLabels::Tags { file: file.clone(), mapping: mapping.clone() },
            (None, Some(file), Some(mapping)) => WeakLabels::Boxes { file: file.clone(), mapping: mapping.clone() },
            _ => WeakLabels::None,
        }
    }
}

#[derive(clap::Args)]
pub struct CalibrateArguments {
    /// The model, as `export` wrote it.
    pub model: PathBuf,
    /// A config of the model's classes, whose training photos are looked at; those of each source count by its `repeat`.
    #[arg(long, value_name = "CONFIG")]
    pub data: PathBuf,
    /// What is made largest: mean-iou raises classes, any-garment moves the background alone.
    #[arg(long, default_value_t)]
    pub objective: Objective,
    /// The file; without it, NAME-calibrated.onnx beside the model.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Photos of each source that are looked at, at most.
    #[arg(long, value_name = "COUNT", default_value_t = 2000)]
    pub photos: usize,
    /// What runs the model: auto, cpu, cuda, tensorrt or embedded.
    #[arg(long, default_value = "auto")]
    pub provider: Provider,
}

#[derive(clap::Args)]
pub struct EvalArguments {
    /// The model.
    pub model: PathBuf,
    /// A config (of a run); its validation data is used.
    #[arg(long, value_name = "CONFIG")]
    pub data: PathBuf,
    /// Its test data instead.
    #[arg(long)]
    pub test: bool,
    /// Of that data only the source with this root folder, such as products.
    #[arg(long, value_name = "ROOT")]
    pub source: Option<PathBuf>,
    /// Another split of that data.
    #[arg(long)]
    pub split: Option<String>,
    /// Also write the scores as CSV.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Also write the scores as Markdown.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Also draw the confusion matrix, as PNG.
    #[arg(long, value_name = "FILE")]
    pub confusion: Option<PathBuf>,
    /// Also draw some photos with truth and prediction, as PNG.
    #[arg(long, value_name = "FILE")]
    pub grid: Option<PathBuf>,
    /// In that picture, what this model of the same classes makes of them; may be given several times.
    #[arg(long, value_name = "MODEL", requires = "grid")]
    pub beside: Vec<PathBuf>,
    /// Photos in that picture.
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    pub grid_photos: usize,
    /// fast, or best: the mean over the photo and its mirror image.
    #[arg(long, default_value_t)]
    pub quality: Quality,
    /// Leave small and doubtful areas as the network sees them, where the model's description says how to clean up.
    #[arg(long, alias = "keep-specks")]
    pub no_cleanup: bool,
    /// Clean up in another way: BORDER_PERCENT,MERGE_PERCENT,LEAST_PPM, as in the model's description.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', num_args = 1, conflicts_with = "no_cleanup")]
    pub cleanup: Vec<u32>,
    /// What runs the model: auto, cpu, cuda, tensorrt or embedded.
    #[arg(long, default_value = "auto")]
    pub provider: Provider,
}

impl PrepareArguments {
    pub fn options(self) -> PrepareOptions {
        let files = SourceFiles { labels: self.labels, annotations: self.annotations, images: self.images, tags: None };
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
