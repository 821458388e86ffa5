//! All networks behind one type.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor};

use super::deeplab::{DeepLab, DeepLabConfig};
use super::light_unet::{LightEncoder, LightUNet, LightUNetConfig};
use super::pass::Pass;
use super::unet::{UNet, UNetConfig};
use crate::config::{Architecture, DecoderConfig};

impl Architecture {
    /// The encoder of a network with a light decoder; none of the others, which have no [`DecoderConfig`].
    fn light_encoder(self) -> Option<LightEncoder> {
        match self {
            Architecture::UnetVgg16Light => Some(LightEncoder::Vgg16),
            Architecture::UnetVgg16 | Architecture::DeeplabResnet50 => None,
            _ => self.lite_variant().map(LightEncoder::EfficientNetLite),
        }
    }
}

/// Sizes of a [`Network`].
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Which one.
    pub architecture: Architecture,
    /// Number of classes, background included: the channels of the logits.
    pub classes: usize,
    /// Factor on all channels.
    pub width: f64,
    /// Stride of the logits, one of [`Architecture::output_strides`].
    pub output_stride: u32,
    /// The light decoder; the study's networks do not ask.
    pub decoder: DecoderConfig,
    /// Probability with which a value of the deepest features is dropped in training, 0 to 1.
    pub dropout: f64,
}

impl NetworkConfig {
    /// Fresh weights on `device`, which are a function of the seed alone.
    pub fn init(&self, device: &Device, seed: u64) -> Network {
        // Burn draws from one generator a process, and only when a weight is first looked at.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        device.seed(seed);
        let network = self.build(device);
        network.trainable_parameters();
        network
    }

    fn build(&self, device: &Device) -> Network {
        let Self { classes, width, output_stride, dropout, .. } = *self;
        if let Some(encoder) = self.architecture.light_encoder() {
            let decoder = self.decoder.clone();
            let config = LightUNetConfig { encoder, classes, width, output_stride, decoder, dropout };
            return Network::LightUNet(config.init(device));
        }
        match self.architecture {
            Architecture::DeeplabResnet50 => {
                Network::DeepLab(DeepLabConfig { classes, width, output_stride, dropout }.init(device))
            }
            _ => Network::UNet(UNetConfig { classes, width, output_stride, dropout }.init(device)),
        }
    }
}

/// What a network finds in a batch of photos.
pub struct Prediction {
    /// `(N, classes, H / stride, W / stride)`.
    pub logits: Tensor<4>,
    /// How likely each photo shows each class anywhere, `(N, classes, 1, 1)`, before the sigmoid; its logarithm is part of
    /// `logits`. Only of networks with a head for it.
    pub presence: Option<Tensor<4>>,
}

/// A network.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // there is one in a run
pub enum Network {
    /// The study's U-Net.
    UNet(UNet),
    /// A U-Net with a light decoder.
    LightUNet(LightUNet),
    /// A DeepLabV3+.
    DeepLab(DeepLab),
}

impl From<Tensor<4>> for Prediction {
    /// Logits, and no head.
    fn from(logits: Tensor<4>) -> Self {
        Self { logits, presence: None }
    }
}

impl Network {
    /// Of `(N, 3, H, W)`, normalised RGB, H and W multiples of [`Architecture::input_multiple`].
    pub fn predict(&self, input: Tensor<4>, pass: &mut Pass) -> Prediction {
        let logits = match self {
            Network::UNet(network) => network.forward(input, pass),
            Network::LightUNet(network) => return network.forward(input, pass),
            Network::DeepLab(network) => network.forward(input, pass),
        };
        logits.into()
    }

    /// The logits alone: `(N, classes, H / stride, W / stride)`.
    pub fn forward(&self, input: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.predict(input, pass).logits
    }

    /// Whether it has a head that tells which classes a photo shows.
    pub fn has_presence(&self) -> bool {
        matches!(self, Network::LightUNet(network) if network.has_presence())
    }

    /// Number of weights that training changes: all but the batch norms' running statistics.
    pub fn trainable_parameters(&self) -> usize {
        let mut count = Trainable(0);
        self.visit(&mut count);
        count.0
    }

    /// The weights and running statistics of the network's field `encoder`.
    pub fn encoder_parameters(&self) -> HashSet<ParamId> {
        let mut encoder = EncoderParameters::default();
        self.visit(&mut encoder);
        encoder.ids
    }

    /// [`Network::forward`] as the network will be used.
    pub fn evaluate(&self, input: Tensor<4>) -> Tensor<4> {
        self.forward(input, &mut Pass::evaluation())
    }
}

struct Trainable(usize);

impl ModuleVisitor for Trainable {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            self.0 += param.val().dims().iter().product::<usize>();
        }
    }
}

#[derive(Default)]
struct EncoderParameters {
    /// How many modules deep in the encoder the visit is, the encoder included.
    depth: usize,
    ids: HashSet<ParamId>,
}

impl ModuleVisitor for EncoderParameters {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.depth += usize::from(self.depth > 0 || name == "encoder");
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.depth > 0 {
            self.ids.insert(param.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu;
    use crate::model::resnet::ResNetConfig;

    fn config(architecture: Architecture, classes: usize, width: f64) -> NetworkConfig {
        let decoder = DecoderConfig::default();
        NetworkConfig { architecture, classes, width, output_stride: 1, decoder, dropout: 0.0 }
    }

    /// With other numbers of weights old checkpoints are unreadable.
    #[test]
    fn networks_keep_their_numbers_of_weights() {
        for (architecture, expected) in
            Architecture::ALL.into_iter().zip([25_864_751, 24_562_223, 3_615_839, 4_380_511, 5_032_863, 40_358_863])
        {
            // Without autodiff no weight counts as one that training changes.
            let network = config(architecture, 47, 1.0).build(&cpu().autodiff());
            assert_eq!(network.trainable_parameters(), expected, "{architecture:?}");
        }
    }

    #[test]
    fn the_encoder_is_a_part_of_every_network() {
        struct Count(HashSet<ParamId>, usize);
        impl ModuleVisitor for Count {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if self.0.contains(&param.id) {
                    self.1 += param.val().dims().iter().product::<usize>();
                }
            }
        }
        for architecture in Architecture::ALL {
            let network = config(architecture, 3, 0.0625).init(&cpu(), 1);
            let mut count = Count(network.encoder_parameters(), 0);
            network.visit(&mut count);
            assert!(0 < count.1 && count.1 < network.num_params(), "{architecture:?}: {}", count.1);
            if architecture == Architecture::DeeplabResnet50 {
                assert_eq!(count.1, ResNetConfig { width: 0.0625 }.init(&cpu()).num_params());
            }
        }
    }
}
