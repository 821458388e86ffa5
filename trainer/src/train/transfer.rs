//! The weights of an earlier run, or of an exported model, as the start of another run: at another size, on other data, with
//! another loss, and with other classes too.

use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use clothseg::spec::InputSpec;
use serde_json::{Value, json};

use crate::config::{Config, names};
use crate::device::cpu;
use crate::error::{Error, Result};
use crate::model::values::{self, Values};
use crate::model::{Network, Upsampling};
use crate::onnx::{ExportedNetwork, FoldedConvolution, read_network, unfuse};
use crate::run::{Checkpoint, RunFolder};

/// The fields that make logits out of features: of every network, and of one with a head for the whole photo.
const CLASSIFIERS: [&str; 2] = ["classifier", "presence"];

/// Parts that a network may have and an exported file may lack, by their fields: the head for the whole photo alone, or all that
/// looks at the whole photo.
const NEW_PARTS: [&str; 2] = ["presence", "whole"];

/// Weights of an earlier training.
pub struct EarlierWeights {
    /// The file that they are from.
    path: PathBuf,
    kind: Kind,
    /// Names of the classes that it did not know.
    fresh_classes: Vec<String>,
    /// What the earlier training was: its name, data and steps, and what it had started from.
    facts: Value,
}

enum Kind {
    /// A run's best checkpoint, or its last where no epoch was finished.
    Checkpoint(Values),
    /// An exported file.
    Model(unfuse::Named),
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
        let earlier = Config::recorded(&folder.config())?;
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
        let target = config.target()?;
        let rows = ClassRows::new(earlier.target()?.names(), target.names());
        let fresh = values::read(&config.network(target.classes()).init(&cpu(), config.seed));
        for (name, value) in values.iter_mut().filter(|(name, _)| is_classifier(name)) {
            if let Some(fresh) = fresh.get(name) {
                *value = rows.fit(value, fresh);
            }
        }
        let fresh_classes = rows.fresh_classes(target.names());
        let facts = json!({
            "name": earlier.name,
            "trained_on": names(&earlier.data.train),
            "steps": opened.state.step,
            "started_from": folder.read_start()?,
        });
        Ok(Self { path, kind: Kind::Checkpoint(values), fresh_classes, facts })
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
        let rows = ClassRows::new(spec.taxonomy.classes.iter().map(|class| class.name.as_str()), target.names());
        let network = config.network(target.classes()).init(&cpu(), config.seed);
        let fresh = values::read(&network);
        let convolutions = unfuse::name(&network, convolutions, &NEW_PARTS, |name, convolution| {
            if is_classifier(name) { rows.fit_convolution(name, convolution, &fresh) } else { convolution }
        })
        .map_err(|cause| {
            let network = format!("{} of width {}", ours.network.name(), ours.width);
            fail(format!("is not a {network}: it {cause}"))
        })?;
        let fresh_classes = rows.fresh_classes(target.names());
        let fact = |key: &str| spec.training.get(key).cloned().unwrap_or_default();
        let calibrated = [fact("calibrated"), fact("balanced")].into_iter().find(|fact| !fact.is_null());
        let facts = json!({
            "name": spec.name,
            "trained_on": fact("trained_on"),
            "steps": fact("steps"),
            "started_from": fact("started_from"),
            "calibrated": calibrated,
        });
        Ok(Self { path: path.to_path_buf(), kind: Kind::Model(convolutions), fresh_classes, facts })
    }

    /// What the earlier training was, for the descriptions of models that come from it.
    pub fn facts(&self) -> &Value {
        &self.facts
    }

    /// Puts them into a network, and leaves as it is what they have no tensor of the same name and shape for: the stages of
    /// a decoder that goes further, a head for the whole photo. `pictures` are batches of normalised photos,
    /// `(N, 3, H, W)`, of the coming training; a model's file, which has no batch norms any more, needs them.
    pub fn load_into(
        &self,
        network: Network,
        pictures: impl IntoIterator<Item = Result<Tensor<4>>>,
    ) -> Result<Network> {
        let classes = match self.fresh_classes.is_empty() {
            true => String::new(),
            false => format!("; classes that start afresh: {}", self.fresh_classes.join(", ")),
        };
        match &self.kind {
            Kind::Checkpoint(values) => {
                let (network, placed) = values::place(network, values);
                let fresh = match placed.fresh.is_empty() {
                    true => String::new(),
                    false => format!("; fresh: {}", placed.fresh.join(", ")),
                };
                tracing::info!("weights: {} tensors of {}{fresh}{classes}", placed.taken, self.path.display());
                Ok(network)
            }
            Kind::Model(convolutions) => {
                tracing::info!("weights: {} convolutions of {}{classes}", convolutions.len(), self.path.display());
                unfuse::unfuse(network, convolutions, pictures)
            }
        }
    }
}

fn is_classifier(name: &str) -> bool {
    name.split('.').any(|field| CLASSIFIERS.contains(&field))
}

/// Which row of an earlier classifier each class begins with: that of the same name.
struct ClassRows(Vec<Option<usize>>);

impl ClassRows {
    fn new<'a>(earlier: impl Iterator<Item = &'a str>, ours: impl Iterator<Item = &'a str>) -> Self {
        let earlier: Vec<&str> = earlier.collect();
        Self(ours.map(|name| earlier.iter().position(|earlier| *earlier == name)).collect())
    }

    fn fresh_classes<'a>(&self, ours: impl Iterator<Item = &'a str>) -> Vec<String> {
        ours.zip(&self.0).filter(|(_, row)| row.is_none()).map(|(name, _)| name.to_owned()).collect()
    }

    /// `fresh`, whose first axis is the classes, with the rows of `earlier` that there are.
    fn fit(&self, earlier: &TensorData, fresh: &TensorData) -> TensorData {
        if earlier.shape()[1..] != fresh.shape()[1..] {
            return earlier.clone(); // of other features, so that nothing takes it
        }
        let of = |data: &TensorData| data.iter::<f32>().collect::<Vec<f32>>();
        let each = of(fresh).len() / self.0.len();
        TensorData::new(self.merge(&of(earlier), &of(fresh), each), fresh.shape().clone())
    }

    /// The same for a file's convolution, whose weights are called `name` in the network that `fresh` is read from.
    fn fit_convolution(&self, name: &str, earlier: FoldedConvolution, fresh: &Values) -> FoldedConvolution {
        let of = |name: &str| fresh.get(name).map(|data| data.iter::<f32>().collect::<Vec<f32>>());
        let classes = self.0.len();
        let Some(weight) = of(name) else { return earlier };
        let bias = of(&name.replace(".weight", ".bias")).unwrap_or_else(|| vec![0.0; classes]);
        let each = weight.len() / classes;
        let has_row = |row: &Option<usize>| row.is_none_or(|row| row < earlier.bias.len());
        if earlier.weight.len() != each * earlier.bias.len() || !self.0.iter().all(has_row) {
            return earlier; // other features, or fewer classes than its description has; the comparison of shapes says so
        }
        let shape = [&[classes], &earlier.shape[1..]].concat();
        FoldedConvolution {
            weight: self.merge(&earlier.weight, &weight, each),
            bias: self.merge(&earlier.bias, &bias, 1),
            shape,
        }
    }

    fn merge(&self, earlier: &[f32], fresh: &[f32], each: usize) -> Vec<f32> {
        let rows = self.0.iter().zip(fresh.chunks(each));
        rows.flat_map(|(row, fresh)| row.map_or(fresh, |row| &earlier[row * each..][..each])).copied().collect()
    }
}

/// How photos become numbers.
fn levels(input: &InputSpec) -> [[f32; 3]; 2] {
    [input.mean, input.std]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_begin_with_the_rows_of_their_names() {
        let rows = ClassRows::new(
            ["background", "pants", "hat"].into_iter(),
            ["background", "hat", "hair", "pants"].into_iter(),
        );
        assert_eq!(rows.fresh_classes(["background", "hat", "hair", "pants"].into_iter()), ["hair"]);
        let data = |values: &[f32], shape: [usize; 4]| TensorData::new(values.to_vec(), shape);
        let earlier = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let fresh = [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0, -8.0];
        let fitted = rows.fit(&data(&earlier, [3, 2, 1, 1]), &data(&fresh, [4, 2, 1, 1]));
        assert_eq!(fitted, data(&[1.0, 2.0, 5.0, 6.0, -5.0, -6.0, 3.0, 4.0], [4, 2, 1, 1]));
        // Rows of other features are no start.
        let other = data(&earlier, [2, 3, 1, 1]);
        assert_eq!(rows.fit(&other, &data(&fresh, [4, 2, 1, 1])), other);

        let convolution =
            FoldedConvolution { shape: vec![3, 2, 1, 1], weight: earlier.to_vec(), bias: vec![0.1, 0.2, 0.3] };
        let values = Values::from([
            ("classifier.weight".to_owned(), data(&fresh, [4, 2, 1, 1])),
            ("classifier.bias".to_owned(), TensorData::new(vec![-0.1_f32, -0.2, -0.3, -0.4], [4])),
        ]);
        let fitted = rows.fit_convolution("classifier.weight", convolution, &values);
        assert_eq!((fitted.shape, fitted.bias), (vec![4, 2, 1, 1], vec![0.1, 0.3, -0.3, 0.2]));
        assert_eq!(fitted.weight, [1.0, 2.0, 5.0, 6.0, -5.0, -6.0, 3.0, 4.0]);
    }
}
