//! All networks behind one type.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::deeplab::{DeepLab, DeepLabConfig};
use super::light_unet::{LightEncoder, LightUNet, LightUNetConfig, Upsampling};
use super::pass::Pass;
use super::unet::{UNet, UNetConfig};

/// The networks there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// The study's U-Net on VGG16.
    #[serde(rename = "unet-vgg16")]
    UnetVgg16,
    /// A U-Net with a light decoder on VGG16.
    #[serde(rename = "unet-vgg16-light")]
    UnetVgg16Light,
    /// A U-Net with a light decoder on EfficientNet-Lite0.
    #[serde(rename = "unet-lite0")]
    UnetLite0,
    /// DeepLabV3+ on ResNet50.
    #[serde(rename = "deeplab-resnet50")]
    DeeplabResnet50,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Architecture; 4] =
        [Architecture::UnetVgg16, Architecture::UnetVgg16Light, Architecture::UnetLite0, Architecture::DeeplabResnet50];

    /// Its name in configs.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::UnetVgg16 => "unet-vgg16",
            Architecture::UnetVgg16Light => "unet-vgg16-light",
            Architecture::UnetLite0 => "unet-lite0",
            Architecture::DeeplabResnet50 => "deeplab-resnet50",
        }
    }

    /// Height and width of the input must be multiples of this.
    pub fn input_multiple(self) -> u32 {
        match self {
            Architecture::UnetVgg16Light | Architecture::DeeplabResnet50 => 16,
            Architecture::UnetVgg16 | Architecture::UnetLite0 => 32,
        }
    }

    /// The strides at which it can return logits.
    pub fn output_strides(self) -> &'static [u32] {
        match self {
            Architecture::UnetVgg16 => &[1, 2],
            Architecture::UnetVgg16Light | Architecture::UnetLite0 => &[1, 2, 4],
            Architecture::DeeplabResnet50 => &[1, 4],
        }
    }
}

/// Sizes of a [`Network`].
#[derive(Clone, Copy, Debug)]
pub struct NetworkConfig {
    /// Which one.
    pub architecture: Architecture,
    /// Number of classes, background included: the channels of the logits.
    pub classes: usize,
    /// Factor on all channels.
    pub width: f64,
    /// Stride of the logits, one of [`Architecture::output_strides`].
    pub output_stride: u32,
    /// How a light decoder enlarges; the study's networks do not ask.
    pub upsampling: Upsampling,
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
        let Self { classes, width, output_stride, upsampling, dropout, .. } = *self;
        let light = |encoder| {
            let config = LightUNetConfig { encoder, classes, width, output_stride, upsampling, dropout };
            Network::LightUNet(config.init(device))
        };
        match self.architecture {
            Architecture::UnetVgg16 => {
                Network::UNet(UNetConfig { classes, width, output_stride, dropout }.init(device))
            }
            Architecture::UnetVgg16Light => light(LightEncoder::Vgg16),
            Architecture::UnetLite0 => light(LightEncoder::EfficientNetLite0),
            Architecture::DeeplabResnet50 => {
                Network::DeepLab(DeepLabConfig { classes, width, output_stride, dropout }.init(device))
            }
        }
    }
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

impl Network {
    /// `(N, 3, H, W)`, normalised RGB, H and W multiples of [`Architecture::input_multiple`], to logits
    /// `(N, classes, H / stride, W / stride)`.
    pub fn forward(&self, input: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        match self {
            Network::UNet(network) => network.forward(input, pass),
            Network::LightUNet(network) => network.forward(input, pass),
            Network::DeepLab(network) => network.forward(input, pass),
        }
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

    /// With other numbers of weights old checkpoints are unreadable.
    #[test]
    fn networks_keep_their_numbers_of_weights() {
        for (architecture, expected) in
            Architecture::ALL.into_iter().zip([25_864_751, 24_562_223, 3_615_839, 40_358_863])
        {
            let upsampling = Upsampling::Nearest;
            let config =
                NetworkConfig { architecture, classes: 47, width: 1.0, output_stride: 1, upsampling, dropout: 0.0 };
            // Without autodiff no weight counts as one that training changes.
            let network = config.build(&cpu().autodiff());
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
            let upsampling = Upsampling::Nearest;
            let config =
                NetworkConfig { architecture, classes: 3, width: 0.0625, output_stride: 1, upsampling, dropout: 0.0 };
            let network = config.init(&cpu(), 1);
            let mut count = Count(network.encoder_parameters(), 0);
            network.visit(&mut count);
            assert!(0 < count.1 && count.1 < network.num_params(), "{architecture:?}: {}", count.1);
            if architecture == Architecture::DeeplabResnet50 {
                assert_eq!(count.1, ResNetConfig { width: 0.0625 }.init(&cpu()).num_params());
            }
        }
    }
}
