//! Every network goes to ONNX, keeps its answers there, and takes photos of any size.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use clothseg::engine::{EngineOptions, Provider};
use clothseg::spec::{Fit, InputSpec, OutputSpec};
use clothseg::{ModelSpec, Photo, Segmenter};
use clothseg_trainer::config::{Config, ModelConfig};
use clothseg_trainer::data::Target;
use clothseg_trainer::data::augment::generator;
use clothseg_trainer::device::cpu;
use clothseg_trainer::model::{Architecture, Context, DecoderConfig, Network, NetworkConfig, Pass, Upsampling};
use clothseg_trainer::onnx::{self, Weights};
use clothseg_trainer::tools::quantize::quantize;
use clothseg_trainer::train::EarlierWeights;
use image::{Rgb, RgbImage};
use rand::Rng;

/// The one of the networks with a light decoder that has all that can be chosen of it.
const ALL_ON: Architecture = Architecture::UnetLite1;

fn decoder(architecture: Architecture) -> DecoderConfig {
    let plain = DecoderConfig { upsampling: Upsampling::Bilinear, ..DecoderConfig::default() };
    match architecture == ALL_ON {
        true => {
            let channels = vec![64, 40];
            DecoderConfig { channels, convolutions: 1, context: Context::Pool, presence: true, ..plain }
        }
        false => plain,
    }
}

/// With running statistics of what it sees, as after training: fresh ones let the values grow from layer to layer.
fn with_statistics(network: Network) -> Network {
    let side = 96;
    (0..40).fold(network, |network, step| {
        let mut random = generator(2, step, 0);
        let values: Vec<f32> = (0..2 * 3 * side * side).map(|_| random.random_range(-2.0..2.0)).collect();
        let mut pass = Pass::training(generator(1, step, 0));
        network.forward(Tensor::from_data(TensorData::new(values, [2, 3, side, side]), &cpu()), &mut pass);
        pass.into_statistics().apply(network)
    })
}

/// The config of a run that may start from a file of the networks below.
fn config_for(architecture: Architecture, output_stride: u32) -> Config {
    let network_name = architecture.name();
    let decoder = if architecture == ALL_ON {
        "decoder_channels = [64, 40]\ndecoder_convolutions = 1\ncontext = \"pool\"\npresence = true\n"
    } else {
        ""
    };
    toml::from_str(&format!(
        "name = \"a\"\ntaxonomy = \"garments\"\nrun = \"a\"\n[input]\nlongest_side = 64\nmultiple = 32\ncrop = [64, 64]\n\
         [model]\nnetwork = \"{network_name}\"\nwidth = 0.125\noutput_stride = {output_stride}\nupsampling = \"bilinear\"\n\
         {decoder}dropout = 0.0\n[train]\nepochs = 1\nbatch_size = 4\nlearning_rate = 0.01\n[data]\ntrain = []\nvalid = []"
    ))
    .unwrap()
}

/// A run that starts from the file begins with its answers, up to a share of the largest, also in training, where norms go by
/// the batch.
fn starts_again(network: &Network, path: &Path, config: &Config, tolerance: f32) {
    let ModelConfig { network: architecture, output_stride, .. } = config.model;
    let network_name = architecture.name();
    let fresh = config.network(config.target().unwrap().classes()).init(&cpu(), 7);
    let picture = |index: usize| {
        let mut random = generator(3, index, 0);
        let values: Vec<f32> = (0..4 * 3 * 96 * 96).map(|_| random.random_range(-2.0..2.0)).collect();
        Tensor::<4>::from_data(TensorData::new(values, [4, 3, 96, 96]), &cpu())
    };
    let again =
        EarlierWeights::open(path, config).unwrap().load_into(fresh, (0..3).map(|index| Ok(picture(index)))).unwrap();
    let numbers = |tensor: Tensor<4>| tensor.into_data().iter::<f32>().collect::<Vec<_>>();
    let far = |one: Tensor<4>, other: &[f32]| {
        let largest = other.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        numbers(one).iter().zip(other).map(|(one, other)| (one - other).abs() / largest).fold(0.0, f32::max)
    };
    let expected = numbers(network.evaluate(picture(9)));
    // With other classes all but the classifier is taken.
    let others = Config { taxonomy: "imaterialist".into(), ..config.clone() };
    EarlierWeights::open(path, &others).unwrap();
    let used = far(again.evaluate(picture(9)), &expected);
    assert!(used < tolerance, "{network_name} at stride {output_stride}: {used}");
    let trained = far(again.forward(picture(9), &mut Pass::training(generator(1, 0, 0))), &expected);
    // DeepLab's norm over pooled pictures goes by one value a photo, and pictures of noise have all the same.
    let is_alike = architecture == Architecture::DeeplabResnet50;
    assert!(is_alike || trained < 0.5, "{network_name} at stride {output_stride}, in training: {trained}");
    let refused = |change: &dyn Fn(&mut Config)| {
        let mut other = config.clone();
        change(&mut other);
        EarlierWeights::open(path, &other).err().unwrap().to_string()
    };
    assert!(refused(&|other| other.model.width = 0.25).contains("is not a "));
    let other_stride = architecture.output_strides().iter().copied().find(|stride| *stride != output_stride).unwrap();
    assert!(refused(&|other| other.model.output_stride = other_stride).contains("model.output_stride"));
    if architecture.has_light_decoder() {
        assert!(refused(&|other| other.model.upsampling = Upsampling::Nearest).contains("upsampling = \"bilinear\""));
    }
    assert!(refused(&|other| other.model.pretrained = true).contains("normalises photos in another way"));
}

#[test]
fn every_network_is_exported_with_its_answers() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::builtin("garments").unwrap();
    for architecture in Architecture::ALL {
        for output_stride in architecture.output_strides() {
            let config = NetworkConfig {
                architecture,
                classes: target.classes(),
                width: 0.125,
                output_stride: *output_stride,
                decoder: decoder(architecture),
                dropout: 0.5,
            };
            let network = with_statistics(config.init(&cpu(), 1));
            let multiple = architecture.input_multiple();
            let input = InputSpec::imagenet(Fit::LongestSide { size: 2 * multiple, multiple });
            let output = OutputSpec::logits(*output_stride);
            let spec = ModelSpec::new(architecture.name(), target.taxonomy.clone(), input, output);
            let path = folder.path().join(format!("{}-{output_stride}.onnx", architecture.name()));
            let options = EngineOptions::default().with_provider(Provider::Embedded);
            let exported = onnx::export(&network, &spec, &path, Weights::F32, &options).unwrap();
            assert!(exported.difference <= onnx::TOLERANCE, "{}: {}", path.display(), exported.difference);
            let outputs = onnx_outputs(&path);
            assert_eq!(outputs.contains(&"presence".to_owned()), architecture == ALL_ON, "{outputs:?}");
            let segmenter = Segmenter::open_with(&path, &options).unwrap();
            let photo = RgbImage::from_fn(70, 110, |x, y| Rgb([x as u8, y as u8, 99]));
            let photo = Photo::from_rgb(photo).unwrap();
            let segmentation = segmenter.segment(&photo).unwrap();
            assert_eq!(segmentation.label_map().labels().len(), 70 * 110);
            let config = config_for(architecture, *output_stride);
            starts_again(&network, &path, &config, 1e-3);
            // With weights stored in 16 bits as well, and from there in 8. Without training the logits lie close together: that classes change is no failure here.
            let halves = path.with_extension("half.onnx");
            let half = onnx::export(&network, &spec, &halves, Weights::F16, &options).unwrap();
            assert!(half.bytes * 10 < exported.bytes * 7, "{half:?} {exported:?}");
            starts_again(&network, &halves, &config, 0.1);
            let int8 = path.with_extension("int8.onnx");
            match quantize(&halves, [Ok(photo)], &int8, &options) {
                Ok(done) => {
                    assert!(done.convolutions > 10, "{done:?}");
                    let refused = EarlierWeights::open(&int8, &config).err().unwrap().to_string();
                    assert!(refused.contains("8-bit"), "{refused}");
                }
                Err(error) => assert!(error.to_string().contains("keep their class"), "{}: {error}", path.display()),
            }
        }
    }
}

/// Names of a file's outputs.
fn onnx_outputs(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap();
    let model: onnx_ir::ModelProto = onnx_ir::Message::parse_from_bytes(&bytes).unwrap();
    model.graph.output.iter().map(|output| output.name.clone()).collect()
}
