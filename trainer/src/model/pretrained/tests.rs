#![allow(clippy::unwrap_used)]

use burn::module::ModuleVisitor;
use burn::tensor::Device;
use clothseg::preprocess::write_normalized;

use super::*;
use crate::config::LiteVariant;
use crate::model::efficientnet_lite::EfficientNetLiteConfig;
use crate::model::pass::Pass;
use crate::model::{Architecture, DecoderConfig, Network, NetworkConfig};

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Shape and values of every parameter: the encoder's by published name, the others by path.
#[derive(Default)]
struct Collected {
    module: Vec<String>,
    encoder: Tensors,
    others: Tensors,
    trained: usize,
}

impl ModuleVisitor for Collected {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.module.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.module.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = (param.val().dims().to_vec(), param.val().into_data().iter::<f32>().collect());
        self.trained += usize::from(param.is_require_grad());
        let earlier = match published_name(&self.module, LiteVariant::Lite0) {
            Some(name) => self.encoder.insert(name, tensor),
            None => self.others.insert(self.module.join("."), tensor),
        };
        assert!(earlier.is_none(), "{:?}", self.module);
    }
}

fn collect(network: &Network) -> Collected {
    let mut collected = Collected::default();
    network.visit(&mut collected);
    collected
}

fn network(seed: u64) -> Network {
    let config = NetworkConfig {
        architecture: Architecture::UnetLite0,
        classes: 3,
        width: 0.125,
        output_stride: 4,
        decoder: DecoderConfig::default(),
        dropout: 0.0,
    };
    config.init(&Device::default().autodiff(), seed)
}

fn weights(tensors: Tensors) -> EncoderWeights {
    EncoderWeights { variant: LiteVariant::Lite0, path: PathBuf::from("a.safetensors"), tensors }
}

#[test]
fn every_tensor_of_the_encoder_is_taken_and_nothing_else_changes() {
    let (one, other) = (collect(&network(1)), network(2));
    let before = collect(&other);
    // Stem and 16 blocks of three layers, but for the first block, which does not widen; five tensors a layer.
    assert_eq!(one.encoder.len(), 5 * (1 + 3 * 16 - 1));
    assert_eq!(one.encoder["_blocks.3._bn1.running_var"].0, [18]); // 24 x 6 channels, at an eighth
    let loaded = collect(&weights(one.encoder.clone()).load_into(other).unwrap());
    assert_eq!(loaded.encoder, one.encoder);
    assert_ne!(loaded.encoder, before.encoder);
    assert_eq!((loaded.others, loaded.trained), (before.others, before.trained));
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let whole = collect(&network(1)).encoder;
    let refused = |change: fn(&mut Tensors)| {
        let mut tensors = whole.clone();
        change(&mut tensors);
        weights(tensors).load_into(network(2)).unwrap_err().to_string()
    };
    let missing = refused(|tensors| drop(tensors.remove("_bn0.bias")));
    assert!(missing.contains("`_bn0.bias` must be [4], and there is none"), "{missing}");
    let other = refused(|tensors| drop(tensors.insert("_bn0.bias".to_owned(), (vec![5], vec![0.0; 5]))));
    assert!(other.contains("`_bn0.bias` must be [4], and it is [5]"), "{other}");
    let extra = refused(|tensors| drop(tensors.insert("_fc.bias".to_owned(), (vec![1], vec![0.0]))));
    assert!(extra.contains("has no tensor `_fc.bias`"), "{extra}");
}

#[test]
fn a_file_is_read_as_written_and_a_bad_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        EncoderWeights::open(&path, LiteVariant::Lite0)
    };
    let missing = EncoderWeights::open(&path, LiteVariant::Lite0).unwrap_err().to_string();
    assert!(missing.contains("ci/weights"), "{missing}");
    let file = |dtype, numbers: &[u8]| {
        let tensor = safetensors::tensor::TensorView::new(dtype, vec![numbers.len() / 4], numbers).unwrap();
        safetensors::serialize([("a", tensor)], None).unwrap()
    };
    let numbers: Vec<u8> = [0.5_f32, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let whole = file(Dtype::F32, &numbers);
    assert_eq!(open(&whole).unwrap().tensors["a"], (vec![2], vec![0.5, -2.0]));
    let bad = [
        whole[..whole.len() - 1].to_vec(),
        vec![0xff; 100],
        Vec::new(),
        file(Dtype::I32, &numbers),
        file(Dtype::F32, &f32::NAN.to_le_bytes()),
    ];
    for bytes in bad {
        let error = open(&bytes).unwrap_err().to_string();
        assert!(error.contains("a.safetensors") && error.contains("run `ci/weights lite0` again"), "{error}");
    }
}

#[test]
fn the_input_is_what_the_network_was_trained_on() {
    let spec = input_spec(Fit::Stretch { width: 1, height: 1 });
    let levels = image::RgbImage::from_fn(2, 1, |x, _| image::Rgb(if x == 0 { spec.pad } else { [0, 191, 255] }));
    let mut planes = [f32::NAN; 6];
    write_normalized(&levels, &spec.mean, &spec.std, &mut planes);
    for (value, expected) in planes.iter().zip([0.0, -127.0 / 128.0, 0.0, 0.5, 0.0, 1.0]) {
        assert!((value - expected).abs() < 1e-6, "{planes:?}");
    }
}

/// Means of the values and of their amounts, and the values at 1/7, 1/3, 1/2 and 5/6 of each feature map of
/// `samples/astronaut.png`, rows 32 to 95, columns 192 to 287: by PyTorch 2.15 with the package efficientnet_lite_pytorch
/// 0.1.0 and the published weights.
const PUBLISHED: [[f64; 6]; 5] = [
    [
        0.3881722795602481,
        5.621824158708493,
        5.60198974609375,
        6.027548789978027,
        -8.174836158752441,
        -0.8510429263114929,
    ],
    [
        0.22681620481307618,
        7.131788437169032,
        0.4363594055175781,
        14.423076629638672,
        -7.262530326843262,
        6.869414329528809,
    ],
    [
        0.4785127689829096,
        6.0961910723669765,
        16.789594650268555,
        4.209983825683594,
        -6.6857194900512695,
        -13.993688583374023,
    ],
    [
        0.6335598722244391,
        5.704735431825698,
        -7.216033458709717,
        1.3391135931015015,
        6.388739585876465,
        1.0246319770812988,
    ],
    [
        0.25332643288511464,
        2.7838925484412056,
        -0.03421304374933243,
        -4.529792785644531,
        -2.3724942207336426,
        -6.573795795440674,
    ],
];

#[test]
fn the_feature_maps_are_those_of_the_published_network() {
    let path = EncoderWeights::path(LiteVariant::Lite0);
    if !path.is_file() {
        eprintln!("SKIPPED: {} is not there; run ci/weights to test against the published network", path.display());
        return;
    }
    let device = Device::default();
    let weights = EncoderWeights::open(&path, LiteVariant::Lite0).unwrap();
    let config = EfficientNetLiteConfig { variant: LiteVariant::Lite0, width: 1.0 };
    let encoder = weights.load_into(config.init(&device)).unwrap();
    let photo = image::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../samples/astronaut.png")).unwrap().to_rgb8();
    let part = image::imageops::crop_imm(&photo, 192, 32, 96, 64).to_image();
    let spec = input_spec(Fit::Stretch { width: 96, height: 64 });
    let mut planes = vec![0.0; 3 * 96 * 64];
    write_normalized(&part, &spec.mean, &spec.std, &mut planes);
    let input = Tensor::<4>::from_data(TensorData::new(planes, [1, 3, 64, 96]), &device);
    let maps = encoder.forward(input, &mut Pass::evaluation());
    for (map, published) in maps.into_iter().zip(PUBLISHED) {
        let values: Vec<f64> = map.into_data().iter::<f32>().map(f64::from).collect();
        let count = values.len();
        let mean = |value: fn(f64) -> f64| values.iter().copied().map(value).sum::<f64>() / count as f64;
        let at = [count / 7, count / 3, count / 2, count * 5 / 6].map(|index| values[index]);
        let found = [mean(|value| value), mean(f64::abs), at[0], at[1], at[2], at[3]];
        for (found, published) in found.iter().zip(published) {
            assert!((found - published).abs() < 1e-4 * published.abs().max(1.0), "{found} for {published}");
        }
    }
}
