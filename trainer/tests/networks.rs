//! Every network goes to ONNX, keeps its answers there, and takes photos of any size.

#![allow(clippy::unwrap_used)]

use burn::tensor::{Tensor, TensorData};
use clothseg::engine::{EngineOptions, Provider};
use clothseg::spec::{Fit, InputSpec, OutputSpec};
use clothseg::{ModelSpec, Photo, Segmenter};
use clothseg_trainer::data::Target;
use clothseg_trainer::data::augment::generator;
use clothseg_trainer::device::cpu;
use clothseg_trainer::export::quantize::quantize;
use clothseg_trainer::export::{self, Weights};
use clothseg_trainer::model::{Architecture, Network, NetworkConfig, Pass, Upsampling};
use image::{Rgb, RgbImage};
use rand::Rng;

/// With running statistics of what it sees, as after training: fresh ones let the values grow from layer to layer.
fn settled(network: Network) -> Network {
    let side = 96;
    (0..40).fold(network, |network, step| {
        let mut random = generator(2, step, 0);
        let values: Vec<f32> = (0..2 * 3 * side * side).map(|_| random.random_range(-2.0..2.0)).collect();
        let mut pass = Pass::training(generator(1, step, 0));
        network.forward(Tensor::from_data(TensorData::new(values, [2, 3, side, side]), &cpu()), &mut pass);
        pass.into_statistics().apply(network)
    })
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
                upsampling: Upsampling::Bilinear,
                dropout: 0.5,
            };
            let network = settled(config.init(&cpu(), 1));
            let multiple = architecture.input_multiple();
            let input = InputSpec::imagenet(Fit::LongestSide { size: 2 * multiple, multiple });
            let output = OutputSpec::logits(*output_stride);
            let spec = ModelSpec::new(architecture.name(), target.taxonomy.clone(), input, output);
            let path = folder.path().join(format!("{}-{output_stride}.onnx", architecture.name()));
            let options = EngineOptions { provider: Provider::Embedded, ..EngineOptions::default() };
            let exported = export::export(&network, &spec, &path, Weights::Full, &options).unwrap();
            assert!(exported.difference <= export::TOLERANCE, "{}: {}", path.display(), exported.difference);
            let segmenter = Segmenter::open(&path, &options).unwrap();
            let photo = RgbImage::from_fn(70, 110, |x, y| Rgb([x as u8, y as u8, 99]));
            let photo = Photo::from_rgb(photo).unwrap();
            let segmentation = segmenter.segment(&photo).unwrap();
            assert_eq!(segmentation.label_map().labels().len(), 70 * 110);
            // With weights stored in 16 bits as well, and from there in 8. Without training the logits lie close together: that classes change is no failure here.
            let halves = path.with_extension("half.onnx");
            let half = export::export(&network, &spec, &halves, Weights::Half, &options).unwrap();
            assert!(half.bytes * 10 < exported.bytes * 7, "{half:?} {exported:?}");
            match quantize(&halves, [Ok(photo)], &path.with_extension("int8.onnx"), &options) {
                Ok(done) => assert!(done.convolutions > 10, "{done:?}"),
                Err(error) => assert!(error.to_string().contains("keep their class"), "{}: {error}", path.display()),
            }
        }
    }
}
