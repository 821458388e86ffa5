//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clothseg::Quality;
use clothseg::engine::Provider;
use clothseg::internals::files::list;
use clothseg_trainer::data::{LabelReading, Layout, OnDamage, OutputSize, PrepareOptions, Source, SourceFiles, Splits};
use clothseg_trainer::device::DeviceChoice;
use clothseg_trainer::tools::calibrate::Objective;
use clothseg_trainer::tools::pseudo_label::WeakLabels;

use super::generate::Generated;

/// Train clothing segmentation networks and export them to ONNX for clothseg-run.
#[derive(Parser)]
#[command(name = "clothseg-train", version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Write this to standard output, and stop: man (the man page), or a completion script: complete-bash, complete-zsh,
    /// complete-fish, complete-powershell or complete-elvish.
    #[arg(long, value_name = "KIND", hide_possible_values = true, exclusive = true)]
    pub generate: Option<Generated>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Convert a dataset of any layout to the layout `folder`, at a given size. A command that was stopped goes on.
    Prepare(PrepareArguments),
    /// Train as a config says.
    Train {
        /// The config (TOML).
        config: PathBuf,
        /// Go on from the run's last checkpoint.
        #[arg(long)]
        resume: bool,
        /// Go on although photos or labels are not those that the run began with.
        #[arg(long, requires = "resume")]
        accept_changed_data: bool,
        /// What trains: auto (a GPU where there is one), cpu or gpu.
        #[arg(long, default_value_t)]
        device: DeviceChoice,
    },
    /// Score an ONNX model on labelled photos, at their full size, through clothseg.
    Eval(EvalArguments),
    /// Quantize a model to 8 bits for CPUs: a smaller file, faster where the processor has integer dot products, slightly less
    /// accurate.
    Quantize {
        /// The model, as `export` wrote it.
        model: PathBuf,
        /// A config; some of its training photos give the ranges of the values in the network.
        #[arg(long, value_name = "CONFIG")]
        data: PathBuf,
        /// The file to write [default: NAME-int8.onnx beside the model].
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Number of photos that give the ranges.
        #[arg(long, value_name = "COUNT", default_value_t = 64)]
        photos: usize,
        /// Execution provider that runs both models: auto, cpu, cuda or embedded.
        #[arg(long, default_value = "auto")]
        provider: Provider,
    },
    /// Logit adjustment: add a constant to the logits of each class, or of the background alone, that maximises the IoU on
    /// training photos. Rare classes then win the pixels that they should.
    #[command(alias = "balance")]
    Calibrate(CalibrateArguments),
    /// Average the weights of models of one chain of trainings, and score the result: often better than each of them, and as fast
    /// as one.
    Average {
        /// Two or more models that `export` or `calibrate` wrote; input and output settings are those of the first.
        #[arg(required = true, num_args = 2..)]
        models: Vec<PathBuf>,
        /// A config with the models' classes, whose validation data the average is scored on.
        #[arg(long, value_name = "CONFIG")]
        data: PathBuf,
        /// The file to write; its name without the extension becomes the model's name.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Execution provider that runs the model: auto, cpu, cuda or embedded.
        #[arg(long, default_value = "auto")]
        provider: Provider,
    },
    /// Draw training photos and the labels that a network learns from, mapped to its classes, as one PNG. Ignored pixels are
    /// striped.
    Labels {
        /// A training config; each of its sources starts a new row.
        config: PathBuf,
        /// The PNG file to write.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Number of photos per source.
        #[arg(long, value_name = "COUNT", default_value_t = 24)]
        photos: usize,
    },
    /// Label photos with a model, in the layout `folder`: to train on the pixels that it is sure of, or to correct by hand. Tags or
    /// boxes limit the classes in each photo.
    #[command(alias = "prelabel")]
    PseudoLabel(PseudoLabelArguments),
    /// Train a config with many changes, score every run, and write tables, charts and pictures. Runs that are done are not
    /// repeated.
    #[command(aliases = ["study", "experiments"])]
    Sweep {
        /// The sweep's config (TOML).
        config: PathBuf,
        /// Only this run; may be given several times.
        #[arg(long, value_name = "RUN")]
        only: Vec<String>,
        /// Train nothing: write the tables and pictures of the runs that are done.
        #[arg(long)]
        tables_only: bool,
        /// Print the runs, and which are done.
        #[arg(long)]
        list: bool,
        /// What trains: auto (a GPU where there is one), cpu or gpu.
        #[arg(long, default_value_t)]
        device: DeviceChoice,
        /// Execution provider that runs the models on the test data: auto, cpu, cuda, tensorrt or embedded.
        #[arg(long, default_value = "auto")]
        provider: Provider,
    },
    /// Export a run's best checkpoint to ONNX and check the file against the trained network.
    Export {
        /// The folder of a run, or its config.
        run: PathBuf,
        /// Take the last checkpoint instead of the best.
        #[arg(long)]
        last: bool,
        /// Store the weights as f16: half the file size; engines still calculate in 32 bits.
        #[arg(long)]
        half: bool,
        /// The file to write [default: NAME.onnx in the run's folder].
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Execution provider that checks the file: auto, cpu, cuda, tensorrt or embedded.
        #[arg(long, default_value = "auto")]
        provider: Provider,
    },
}

#[derive(clap::Args)]
pub struct PrepareArguments {
    /// Root folder of the dataset.
    pub root: PathBuf,
    /// Output folder: OUTPUT/SPLIT/{images,labels} and OUTPUT/class_dict.csv.
    pub output: PathBuf,
    /// Layout of the dataset: folder, ccp, imaterialist, coco, labelme, yolo, label-studio or tags.
    #[arg(long)]
    pub layout: Layout,
    /// Split to read.
    #[arg(long, value_name = "NAME", default_value = "train")]
    pub source_split: String,
    /// Annotation file, or for yolo that of the names, relative to ROOT [default: the layout's].
    #[arg(long, value_name = "FILE")]
    pub annotations: Option<PathBuf>,
    /// Folder of the photos, relative to ROOT [default: the layout's].
    #[arg(long, value_name = "FOLDER")]
    pub images: Option<PathBuf>,
    /// Folder of the labels in a split of the layout folder [default: labels], or of yolo's label files.
    #[arg(long, value_name = "NAME")]
    pub labels: Option<String>,
    /// What the pixels of label PNGs mean: auto, index, color or binary (masks of 0 and 255).
    #[arg(long, default_value_t)]
    pub reading: LabelReading,
    /// Resize to this size, such as 256x256, without keeping the aspect ratio. Without a size, images keep theirs.
    #[arg(long, value_name = "SIZE", conflicts_with = "longest_side")]
    pub size: Option<OutputSize>,
    /// Shrink the longest side to this many pixels; the aspect ratio is kept.
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub longest_side: Option<u32>,
    /// Splits to write, such as valid, or train=0.8,valid=0.1,test=0.1 [default: the split that is read].
    #[arg(long, value_name = "SPLITS")]
    pub split: Option<Splits>,
    /// Seed of the random splits, and of the selection with --limit.
    #[arg(long, default_value_t)]
    pub seed: u64,
    /// Take at most this many examples.
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
    /// Output folder: OUTPUT/train/{images,labels}, OUTPUT/class_dict.csv and, with tags or boxes, OUTPUT/tags.csv.
    pub output: PathBuf,
    /// CSV file `photo,tags`: a pixel can only be of a tagged class, of a person, or background. Photos that the file does not
    /// name are left out.
    #[arg(long, value_name = "FILE", requires = "mapping")]
    pub tags: Option<PathBuf>,
    /// CSV file `photo,class,left,top,right,bottom` in pixels: a class of the mapping is only inside its boxes, and each box holds
    /// its class. Photos that the file does not name are left out.
    #[arg(long, value_name = "FILE", requires = "mapping")]
    pub boxes: Option<PathBuf>,
    /// Mapping file from the names of the tags or boxes to the model's classes.
    #[arg(long, value_name = "FILE", requires = "weak")]
    pub mapping: Option<PathBuf>,
    /// Least probability of a pixel's class among those that it may be; less likely pixels are ignored.
    #[arg(long, value_name = "PROBABILITY", default_value_t = 0.6, value_parser = probability)]
    pub least: f64,
    /// fast or best (test-time augmentation).
    #[arg(long, default_value = "best")]
    pub quality: Quality,
    /// Quality of the JPEG files.
    #[arg(long, default_value_t = 92, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub jpeg_quality: u8,
    /// Execution provider that runs the model: auto, cpu, cuda, tensorrt or embedded.
    #[arg(long, default_value = "auto")]
    pub provider: Provider,
}

fn probability(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (0.0..=1.0).contains(value));
    value.ok_or_else(|| format!("`{text}` is not a number from 0 to 1"))
}

impl PseudoLabelArguments {
    /// What the photos are known to show.
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
    /// A config with the model's classes; its training photos are used, and those of each source count by its `repeat`.
    #[arg(long, value_name = "CONFIG")]
    pub data: PathBuf,
    /// What to maximise: mean-iou adjusts the classes, any-garment the background alone.
    #[arg(long, default_value_t)]
    pub objective: Objective,
    /// The file to write [default: NAME-calibrated.onnx beside the model].
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Number of photos per source, at most.
    #[arg(long, value_name = "COUNT", default_value_t = 2000)]
    pub photos: usize,
    /// Execution provider that runs the model: auto, cpu, cuda, tensorrt or embedded.
    #[arg(long, default_value = "auto")]
    pub provider: Provider,
}

#[derive(clap::Args)]
pub struct EvalArguments {
    /// The model.
    pub model: PathBuf,
    /// A config; its validation data is used.
    #[arg(long, value_name = "CONFIG")]
    pub data: PathBuf,
    /// Use its test data instead.
    #[arg(long)]
    pub test: bool,
    /// Use only the source with this root folder, such as products.
    #[arg(long, value_name = "ROOT")]
    pub source: Option<PathBuf>,
    /// Use another split of that data.
    #[arg(long)]
    pub split: Option<String>,
    /// Also write the scores as CSV.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Also write the scores as Markdown.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Also draw the confusion matrix (PNG).
    #[arg(long, value_name = "FILE")]
    pub confusion: Option<PathBuf>,
    /// Also draw some photos with labels and predictions (PNG).
    #[arg(long, value_name = "FILE")]
    pub grid: Option<PathBuf>,
    /// Also draw the predictions of this model, which must have the same classes; may be given several times.
    #[arg(long, value_name = "MODEL", requires = "grid")]
    pub beside: Vec<PathBuf>,
    /// Number of photos in that picture.
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    pub grid_photos: usize,
    /// fast, or best (test-time augmentation).
    #[arg(long, default_value_t)]
    pub quality: Quality,
    /// Turn off the clean-up that the model's description asks for.
    #[arg(long, alias = "keep-specks")]
    pub no_cleanup: bool,
    /// Clean up with other values: BORDER_PERCENT,MERGE_PERCENT,LEAST_PPM, as in a model's description.
    #[arg(long, value_name = "NUMBERS", conflicts_with = "no_cleanup")]
    pub cleanup: Option<Numbers>,
    /// Execution provider that runs the model: auto, cpu, cuda, tensorrt or embedded.
    #[arg(long, default_value = "auto")]
    pub provider: Provider,
}

impl PrepareArguments {
    pub fn options(self) -> PrepareOptions {
        let files = SourceFiles {
            labels: self.labels,
            annotations: self.annotations,
            images: self.images,
            reading: self.reading,
            ..SourceFiles::default()
        };
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

/// Whole numbers between commas.
#[derive(Clone, Debug)]
pub struct Numbers(pub Vec<u32>);

impl std::str::FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |item: &String| item.parse().map_err(|_| format!("'{item}' is no whole number"));
        list::parse(text)?.iter().map(number).collect::<Result<_, _>>().map(Self)
    }
}
