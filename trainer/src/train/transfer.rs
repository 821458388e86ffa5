//! The weights of an earlier run, or of an exported model, as the start of another run: at another size, on other data, with
//! another loss, and with other classes too.

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use clothseg::spec::InputSpec;
use serde_json::{Value, json};

use crate::config::{Config, names};
use crate::device::cpu;
use crate::error::{Error, Result};
use crate::evaluate::matching_classes;
use crate::model::values::{self, Values};
use crate::model::{Network, Upsampling};
use crate::onnx::{ExportedNetwork, FoldedConvolution, read_network, unfuse};
use crate::run::{Checkpoint, RunFolder};

/// The fields that make logits out of features: of every network, and of one with a head for the whole photo.
const CLASSIFIERS: [&str; 2] = ["classifier", "presence"];

/// Weights of an earlier training.
pub struct EarlierWeights {
    /// The file that they are from.
    path: PathBuf,
    kind: Kind,
    /// Whether the classes are others, so that the classifier starts afresh.
    other_classes: bool,
    /// What the earlier training was: its name, data and steps, and what it had started from.
    facts: Value,
}

enum Kind {
    /// A run's best checkpoint, or its last where no epoch was finished. Without the classifier's values where the classes
    /// are others.
    Checkpoint(Values),
    /// An exported file.
    Model(Vec<FoldedConvolution>),
}

impl EarlierWeights {
    /// Reads those of a run's folder, or of a model's ONNX file, for a run by `config`, which must have a network of the same
    /// kind that sees photos in the same way.
    pub fn open(path: &Path, config: &Config) -> Result<Self> {
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => Self::of_run(path, config),
            Ok(_) => Self::of_model(path, config),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::file(path, "does not exist; model.start_from needs the folder of a run or an ONNX file"))
            }
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    fn of_run(run: &Path, config: &Config) -> Result<Self> {
        let fail = |cause: String| Error::Run { path: run.to_path_buf(), cause };
        let folder = RunFolder::at(run);
        let path = folder
            .best_or_last()
            .ok_or_else(|| fail("has no checkpoint to start from (model.start_from)".to_owned()))?;
        let earlier = Config::open(&folder.config())?;
        if earlier.model.network != config.model.network || earlier.model.width != config.model.width {
            let [had, wanted] = [&earlier, config]
                .map(|config| format!("{} of width {}", config.model.network.name(), config.model.width));
            return Err(fail(format!(
                "is a run of the network {had}; {wanted} cannot start from it (model.start_from)"
            )));
        }
        if levels(&earlier.input_spec()) != levels(&config.input_spec()) {
            let pretrained = earlier.model.pretrained;
            return Err(fail(format!(
                "normalises photos in another way; set pretrained = {pretrained} in [model], as that run did"
            )));
        }
        let classes = earlier.target()?.classes();
        let network = earlier.network(classes).init(&cpu(), earlier.seed);
        let opened = Checkpoint::open(&path)?;
        let network = opened.load_model(&path, network)?;
        let mut values = values::read(&network);
        let other_classes = !earlier.target()?.names().eq(config.target()?.names());
        values.retain(|name, _| !(other_classes && is_classifier(name)));
        let facts = json!({
            "name": earlier.name,
            "trained_on": names(&earlier.data.train),
            "steps": opened.state.step,
            "started_from": folder.read_start()?,
        });
        Ok(Self { path, kind: Kind::Checkpoint(values), other_classes, facts })
    }

    fn of_model(path: &Path, config: &Config) -> Result<Self> {
        let ExportedNetwork { spec, convolutions, upsampling } = read_network(path)?;
        let fail =
            |cause: String| Error::file(path, format!("{cause}; this run cannot start from it (model.start_from)"));
        if levels(&spec.input) != levels(&config.input_spec()) {
            let other = !config.model.pretrained;
            return Err(fail(format!("normalises photos in another way (try pretrained = {other} in [model])")));
        }
        let ours = &config.model;
        if spec.output.stride != ours.output_stride {
            let [its, ours] = [spec.output.stride, ours.output_stride];
            return Err(fail(format!("has logits at stride {its}, not {ours} (model.output_stride)")));
        }
        let asks = ours.network.has_light_decoder();
        if let Some(way) = upsampling.filter(|way| asks && *way != ours.upsampling) {
            let way = match way {
                Upsampling::Nearest => "nearest",
                Upsampling::Bilinear => "bilinear",
            };
            return Err(fail(format!("upsamples in another way (set upsampling = \"{way}\" in [model])")));
        }
        let target = config.target()?;
        // Colours and aliases may change; the names are what the classifier learnt.
        let other_classes = matching_classes(&spec, &target).is_err();
        let network = config.network(target.classes()).init(&cpu(), config.seed);
        if let Some(cause) = unfuse::mismatch(&network, &convolutions, |name| other_classes && is_classifier(name)) {
            let network = format!("{} of width {}", ours.network.name(), ours.width);
            return Err(fail(format!("is not a {network}: it {cause}")));
        }
        let fact = |key: &str| spec.training.get(key).cloned().unwrap_or_default();
        let calibrated = [fact("calibrated"), fact("balanced")].into_iter().find(|fact| !fact.is_null());
        let facts = json!({
            "name": spec.name,
            "trained_on": fact("trained_on"),
            "steps": fact("steps"),
            "started_from": fact("started_from"),
            "calibrated": calibrated,
        });
        Ok(Self { path: path.to_path_buf(), kind: Kind::Model(convolutions), other_classes, facts })
    }

    /// What the earlier training was, for the descriptions of models that come from it.
    pub fn facts(&self) -> &Value {
        &self.facts
    }

    /// Puts them into a network, and leaves as it is what they have no tensor of the same name and shape for: the
    /// classifier of other classes, the stages of a decoder that goes further. `pictures` are batches of normalised photos,
    /// `(N, 3, H, W)`, of the coming training; a model's file, which has no batch norms any more, needs them.
    pub fn load_into(
        &self,
        network: Network,
        pictures: impl IntoIterator<Item = Result<Tensor<4>>>,
    ) -> Result<Network> {
        let is_fresh = |name: &str| self.other_classes && is_classifier(name);
        match &self.kind {
            Kind::Checkpoint(values) => {
                let (network, placed) = values::place(network, values);
                let fresh = match placed.fresh.is_empty() {
                    true => String::new(),
                    false => format!("; fresh: {}", placed.fresh.join(", ")),
                };
                tracing::info!("weights: {} tensors of {}{fresh}", placed.taken, self.path.display());
                Ok(network)
            }
            Kind::Model(convolutions) => {
                let fresh = if self.other_classes { "; fresh: the classifier" } else { "" };
                tracing::info!("weights: {} convolutions of {}{fresh}", convolutions.len(), self.path.display());
                unfuse::unfuse(network, convolutions, is_fresh, pictures)
            }
        }
    }
}

fn is_classifier(name: &str) -> bool {
    name.split('.').any(|field| CLASSIFIERS.contains(&field))
}

/// How photos become numbers.
fn levels(input: &InputSpec) -> [[f32; 3]; 2] {
    [input.mean, input.std]
}
