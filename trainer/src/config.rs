//! One TOML file a run. Every key is checked, and a complaint names it.

mod augment;
mod loss;
mod model;
mod train;

use std::path::{Path, PathBuf};

use clothseg::spec::{Cleanup, Fit, InputSpec, ModelSpec, OutputSpec, Settling};
use serde::{Deserialize, Serialize};

pub use augment::AugmentConfig;
pub use loss::LossConfig;
pub use model::ModelConfig;
pub use train::TrainConfig;

use crate::data::{Augmentation, Frame, Layout, OnDamage, Source, SourceFiles, Target};
use crate::error::{Error, Result};
use crate::loss::{Loss, ParseLossError, Term};
use crate::model::{NetworkConfig, pretrained};

/// The environment variable that names the folder of the data.
pub const DATA_VARIABLE: &str = "CLOTHSEG_DATA";

/// The first key whose value cannot be used, and why.
type Checked = std::result::Result<(), (&'static str, String)>;

fn demand(holds: bool, key: &'static str, cause: &str) -> Checked {
    if holds { Ok(()) } else { Err((key, cause.to_owned())) }
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the model.
    pub name: String,
    /// Taxonomy that the network learns: `garments` or `imaterialist`.
    pub taxonomy: String,
    /// Folder that the run writes to, relative to the working folder.
    pub run: PathBuf,
    /// Seed of everything random.
    #[serde(default)]
    pub seed: u64,
    /// Free facts for the model's description, such as the licence.
    #[serde(default)]
    pub about: serde_json::Map<String, serde_json::Value>,
    /// What the network gets.
    pub input: InputConfig,
    /// The network.
    pub model: ModelConfig,
    /// What the exported model's description says of its output.
    #[serde(default, skip_serializing_if = "OutputConfig::is_default")]
    pub output: OutputConfig,
    /// The loss.
    #[serde(default)]
    pub loss: LossConfig,
    /// Random variations.
    #[serde(default)]
    pub augment: AugmentConfig,
    /// The optimisation.
    pub train: TrainConfig,
    /// The data.
    pub data: DataConfig,
}

/// Table `[input]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// Longest side of a photo at inference, in pixels; the aspect ratio is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_side: Option<u32>,
    /// Longest side that the exported model asks for instead, where photos larger than in training are found to be better:
    /// random enlargement in training makes garments look larger than they are at inference (Touvron et al., "Fixing the
    /// train-test resolution discrepancy", 2019).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_longest_side: Option<u32>,
    /// With it: longest side that the exported model asks the quality `best` to look at besides
    /// ([`InputSpec::larger_side`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub larger_side: Option<u32>,
    /// With it: both sides of the tensor are padded to multiples of this. As little as the network takes where it is left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiple: Option<u32>,
    /// Instead of both: width and height to which every photo is stretched, as in the study.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stretch: Option<[u32; 2]>,
    /// With it, as [`InputConfig::export_longest_side`]: width and height that the exported model asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_stretch: Option<[u32; 2]>,
    /// Width and height of the crops in training.
    pub crop: [u32; 2],
}

/// Table `[output]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputConfig {
    /// How small and doubtful areas are merged into their neighbours: see [`Cleanup`]. Not at all where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<Cleanup>,
    /// Which splinters of garments are settled: see [`Settling`]. None where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settling: Option<Settling>,
}

impl OutputConfig {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Table `[data]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// `refuse` or `skip` damaged examples.
    #[serde(default)]
    pub on_damage: OnDamage,
    /// Trained on.
    pub train: Vec<SourceConfig>,
    /// Scored after each epoch.
    pub valid: Vec<SourceConfig>,
    /// Scored by `eval --test`: data that the run neither trains on nor chooses its best checkpoint by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<SourceConfig>,
}

/// Tables `[[data.train]]`, `[[data.valid]]` and `[[data.test]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// `folder`, `ccp`, `imaterialist`, `coco` or `tags`.
    pub layout: Layout,
    /// Root folder, relative to the data folder; `./...`, to the working folder.
    pub root: PathBuf,
    /// Split.
    pub split: String,
    /// Layout `folder`: the folder of the labels in the split, instead of `labels`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// Layouts `imaterialist` and `coco`: the annotation file, relative to the root, instead of the layout's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<PathBuf>,
    /// Layouts `imaterialist` and `coco`: the folder of the photos, relative to the root, instead of the split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<PathBuf>,
    /// CSV file of what the photos show, relative to the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<PathBuf>,
    /// Mapping file, relative to the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<PathBuf>,
    /// How often an epoch shows each example.
    #[serde(default = "one_time")]
    pub repeat: f64,
    /// Width over height of the photos before they were squashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aspect: Option<f64>,
}

fn one_time() -> f64 {
    1.0
}

impl Config {
    /// Reads and checks a config. Mapping paths come back relative to the working folder.
    pub fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let config = toml::from_str(&text).map_err(|error| Error::file(path, error.to_string()))?;
        Self::checked(config, path)
    }

    /// As [`Config::open`] of a file at `path` that holds `table`.
    pub fn from_table(table: toml::Table, path: &Path) -> Result<Self> {
        Self::checked(table.try_into().map_err(|error: toml::de::Error| Error::file(path, error.to_string()))?, path)
    }

    fn checked(mut config: Self, path: &Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new(""));
        for source in config.data.sources_mut() {
            if let Some(mapping) = &mut source.mapping {
                *mapping = folder.join(&*mapping);
            }
        }
        config.check().map_err(|(key, cause)| Error::Config {
            path: path.to_path_buf(),
            key: key.to_owned(),
            cause,
        })?;
        Ok(config)
    }

    /// The first key whose value cannot be used, and why.
    pub fn check(&self) -> Checked {
        let network = self.model.network;
        let step = network.input_multiple().max(self.model.output_stride);
        demand(!self.name.is_empty(), "name", "is empty")?;
        let Some(target) = Target::builtin(&self.taxonomy) else {
            return Err((
                "taxonomy",
                format!("there is no taxonomy `{}`; use garments or imaterialist", self.taxonomy),
            ));
        };
        let InputConfig { longest_side, multiple, stretch, .. } = self.input;
        let cause = "must be above 0 (or say `stretch = [width, height]` instead of it and of `multiple`)";
        demand(longest_side.is_some_and(|side| side > 0) != stretch.is_some(), "input.longest_side", cause)?;
        demand(stretch.is_none() || longest_side.or(multiple).is_none(), "input.stretch", "stands alone")?;
        let larger = self.input.export_longest_side;
        let cause = "must be above 0, and goes with longest_side";
        demand(larger.is_none_or(|side| side > 0 && longest_side.is_some()), "input.export_longest_side", cause)?;
        let asked = larger.or(longest_side);
        let cause = "must be above the longest side that the model asks for, and goes with longest_side";
        let is_larger = |side: u32| stretch.is_none() && asked.is_some_and(|asked| side > asked);
        demand(self.input.larger_side.is_none_or(is_larger), "input.larger_side", cause)?;
        let whole = |side: u32| side > 0 && side.is_multiple_of(step);
        let cause = format!("must be a multiple of {step}, for {}", network.name());
        demand(multiple.is_none_or(whole), "input.multiple", &cause)?;
        demand(stretch.iter().flatten().all(|side| whole(*side)), "input.stretch", &cause)?;
        let larger = self.input.export_stretch;
        demand(larger.iter().flatten().all(|side| whole(*side)), "input.export_stretch", &cause)?;
        demand(larger.is_none() || stretch.is_some(), "input.export_stretch", "goes with stretch")?;
        demand(self.input.crop.iter().all(|side| whole(*side)), "input.crop", &cause)?;
        self.model.check()?;
        let likeness = self.output.settling.and_then(|settling| settling.likeness_percent);
        let cause = "must be 1 to 100; leave it out to keep all patches";
        demand(likeness.is_none_or(|percent| (1..=100).contains(&percent)), "output.settling.likeness_percent", cause)?;
        let fault = self.output.cleanup.and_then(|cleanup| cleanup.fault());
        demand(fault.is_none(), "output.cleanup", &fault.unwrap_or_default())?;
        self.loss.check(self.train.shards)?;
        let has_term = self.loss().is_ok_and(|loss| loss.terms.iter().any(|(term, _)| *term == Term::Presence));
        let cause = "the term `presence` is of a head that the network does not have; say presence = true in [model]";
        demand(self.model.presence || !has_term, "loss.terms", cause)?;
        let cause = "must name the term `presence`, which alone trains the head of presence = true in [model]";
        demand(has_term || !self.model.presence, "loss.terms", cause)?;
        self.augment.check()?;
        let persons = target.classes() - 1 - target.taxonomy.garments().len();
        self.train.check(target.classes(), persons)?;
        let DataConfig { train, valid, test, .. } = &self.data;
        for (key, sources) in [("data.train", train), ("data.valid", valid), ("data.test", test)] {
            demand(key == "data.test" || !sources.is_empty(), key, "names no source")?;
            demand(
                sources.iter().all(|source| source.repeat > 0.0 && source.repeat <= 1000.0),
                key,
                "repeat must be above 0",
            )?;
            let real = |aspect: f64| aspect > 0.01 && aspect < 100.0;
            demand(sources.iter().filter_map(|source| source.aspect).all(real), key, "aspect must be width / height")?;
            let misplaced = sources.iter().find_map(|source| source.files().misplaced(source.layout));
            demand(misplaced.is_none(), key, misplaced.unwrap_or_default())?;
        }
        Ok(())
    }

    /// The classes that the network learns.
    pub fn target(&self) -> Result<Target> {
        Target::builtin(&self.taxonomy).ok_or_else(|| Error::Config {
            path: self.run.clone(),
            key: "taxonomy".to_owned(),
            cause: format!("there is no taxonomy `{}`", self.taxonomy),
        })
    }

    /// The loss.
    pub fn loss(&self) -> std::result::Result<Loss, ParseLossError> {
        self.loss.loss()
    }

    /// The network's sizes for `classes` classes.
    pub fn network(&self, classes: usize) -> NetworkConfig {
        NetworkConfig {
            architecture: self.model.network,
            classes,
            width: self.model.width,
            output_stride: self.model.output_stride,
            decoder: self.model.decoder(),
            dropout: self.model.dropout,
        }
    }

    /// What the exported model expects.
    pub fn input_spec(&self) -> InputSpec {
        let fit = match self.input.stretch {
            Some([width, height]) => Fit::Stretch { width, height },
            None => Fit::LongestSide {
                size: self.input.longest_side.unwrap_or_default(),
                multiple: self.input.multiple.unwrap_or(self.model.network.input_multiple()),
            },
        };
        if self.model.pretrained { pretrained::input_spec(fit) } else { InputSpec::imagenet(fit) }
    }

    /// The description of the exported model.
    pub fn model_spec(&self) -> Result<ModelSpec> {
        let output = OutputSpec {
            cleanup: self.output.cleanup,
            settling: self.output.settling,
            ..OutputSpec::logits(self.model.output_stride)
        };
        let mut input = self.input_spec();
        if let (Some(side), Fit::LongestSide { size, .. }) = (self.input.export_longest_side, &mut input.fit) {
            *size = side;
        }
        if let Some([width, height]) = self.input.export_stretch {
            input.fit = Fit::Stretch { width, height };
        }
        input.larger_side = self.input.larger_side;
        Ok(ModelSpec::new(self.name.clone(), self.target()?.taxonomy, input, output))
    }

    /// The frame of training crops.
    pub fn frame(&self) -> Frame {
        let [width, height] = self.input.crop;
        Frame { width, height, output_stride: self.model.output_stride, pad: self.input_spec().pad }
    }

    /// How examples vary.
    pub fn augmentation(&self) -> Augmentation {
        self.augment.augmentation(self.input_spec().fit)
    }
}

impl DataConfig {
    /// All sources: those to train on, to validate on, to test on.
    pub(crate) fn sources_mut(&mut self) -> impl Iterator<Item = &mut SourceConfig> {
        self.train.iter_mut().chain(&mut self.valid).chain(&mut self.test)
    }
}

impl SourceConfig {
    fn files(&self) -> SourceFiles {
        SourceFiles {
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            images: self.images.clone(),
            tags: self.tags.clone(),
        }
    }

    /// The source with its root under [`data_folder`], but for one that begins with `./`, which is under the working folder.
    pub fn resolve(&self) -> Source {
        Source {
            layout: self.layout,
            root: if self.root.starts_with(".") { self.root.clone() } else { data_folder().join(&self.root) },
            split: self.split.clone(),
            files: self.files(),
            mapping: self.mapping.clone(),
            repeat: self.repeat,
            aspect: self.aspect,
        }
    }
}

/// Where data with relative paths lies: the folder that `CLOTHSEG_DATA` names, else `data` in the working folder.
pub fn data_folder() -> PathBuf {
    std::env::var_os(DATA_VARIABLE).map_or_else(|| PathBuf::from("data"), PathBuf::from)
}

/// What descriptions call sources: `ccp/train`.
pub(crate) fn names(sources: &[SourceConfig]) -> Vec<String> {
    sources.iter().map(|source| format!("{}/{}", source.root.display(), source.split)).collect()
}

/// All sources resolved.
pub fn resolve(sources: &[SourceConfig]) -> Vec<Source> {
    sources.iter().map(SourceConfig::resolve).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../configs/garments-tiny.toml");

    fn open(text: &str) -> Result<Config> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::open(file.path())
    }

    #[test]
    fn the_shipped_config_is_read_and_survives_a_copy() {
        let config = open(SHIPPED).unwrap();
        let copy: Config = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(copy, config);
        assert_eq!(config.frame().grid(), (64, 96));
        assert_eq!(config.model_spec().unwrap().taxonomy.len(), config.target().unwrap().classes());
    }

    #[test]
    fn an_exported_model_may_ask_for_larger_photos_than_training() {
        let config = open(&SHIPPED.replace("multiple = 32", "multiple = 32\nexport_longest_side = 320")).unwrap();
        assert_eq!(config.model_spec().unwrap().input.fit, Fit::LongestSide { size: 320, multiple: 32 });
        assert_eq!(config.input_spec().fit, Fit::LongestSide { size: 192, multiple: 32 });
        let best = |side| open(&SHIPPED.replace("multiple = 32", &format!("multiple = 32\nlarger_side = {side}")));
        assert_eq!(best(288).unwrap().model_spec().unwrap().input.larger_side, Some(288));
        assert!(best(192).unwrap_err().to_string().contains("input.larger_side"));
        let stretched = SHIPPED.replace("longest_side = 192", "stretch = [64, 64]");
        let config = open(&stretched.replace("multiple = 32", "export_stretch = [96, 64]")).unwrap();
        assert_eq!(config.model_spec().unwrap().input.fit, Fit::Stretch { width: 96, height: 64 });
        assert_eq!(config.input_spec().fit, Fit::Stretch { width: 64, height: 64 });
    }

    #[test]
    fn a_wrong_value_names_its_key() {
        for (from, to, key) in [
            ("width = 0.25", "width = 0.0", "model.width"),
            ("output_stride = 2", "output_stride = 3", "model.output_stride"),
            ("crop = [128, 192]", "crop = [100, 192]", "input.crop"),
            ("longest_side = 192", "longest_side = 0", "input.longest_side"),
            ("longest_side = 192", "longest_side = 192\nstretch = [64, 64]", "input.longest_side"),
            ("longest_side = 192", "stretch = [64, 64]", "input.stretch"),
            ("multiple = 32", "multiple = 24", "input.multiple"),
            ("multiple = 32", "export_longest_side = 0", "input.export_longest_side"),
            ("multiple = 32", "export_stretch = [64, 64]", "input.export_stretch"),
            ("terms = \"ce:1,miou:1\"", "terms = \"kl:1\"", "loss.terms"),
            ("scale = [0.8, 1.6]", "scale = [1.6, 0.8]", "augment.scale"),
            ("flip = 0.5", "brightness = 1.5", "augment.brightness"),
            ("flip = 0.5", "rotation_degrees = nan", "augment.rotation_degrees"),
            ("flip = 0.5", "erase_share = 0.01", "augment.erase_share"),
            ("dropout = 0.3", "pretrained = true", "model.pretrained"),
            ("dropout = 0.3", "presence = true", "loss.terms"),
            (
                "[loss]",
                "[output]\nsettling = { speck_px = 9, likeness_percent = 101 }\n[loss]",
                "output.settling.likeness_percent",
            ),
            ("shards = 2", "shards = 0", "train.shards"),
            ("terms = \"ce:1,miou:1\"", "over = \"batch\"", "loss.over"),
            ("taxonomy = \"garments\"", "taxonomy = \"cars\"", "taxonomy"),
            ("repeat = 0.75", "repeat = -1.0", "data.train"),
            ("repeat = 0.75", "images = \"photos\"", "data.train"),
        ] {
            assert!(SHIPPED.contains(from), "{from}");
            let error = open(&SHIPPED.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}`")), "{error}");
        }
    }

    #[test]
    fn a_pretrained_encoder_gets_the_input_that_it_was_trained_on() {
        let text =
            SHIPPED.replace("unet-vgg16-light", "unet-lite0").replace("width = 0.25", "width = 1.0\npretrained = true");
        let config = open(&text).unwrap();
        assert_eq!(config.model_spec().unwrap().input.mean, [127.0 / 255.0; 3]);
        assert_eq!(config.frame().pad, [127; 3]);
    }

    #[test]
    fn unknown_and_missing_keys_are_named() {
        let error = open(&SHIPPED.replace("dropout = 0.3", "drop_out = 0.3")).unwrap_err().to_string();
        assert!(error.contains("drop_out"), "{error}");
        let error = open(&SHIPPED.replace("epochs = 18", "")).unwrap_err().to_string();
        assert!(error.contains("epochs"), "{error}");
    }
}
