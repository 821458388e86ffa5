//! The networks there are, and their options.

use serde::{Deserialize, Serialize};

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
    /// The same on EfficientNet-Lite1.
    #[serde(rename = "unet-lite1")]
    UnetLite1,
    /// The same on EfficientNet-Lite2.
    #[serde(rename = "unet-lite2")]
    UnetLite2,
    /// DeepLabV3+ on ResNet50.
    #[serde(rename = "deeplab-resnet50")]
    DeeplabResnet50,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Architecture; 6] = [
        Architecture::UnetVgg16,
        Architecture::UnetVgg16Light,
        Architecture::UnetLite0,
        Architecture::UnetLite1,
        Architecture::UnetLite2,
        Architecture::DeeplabResnet50,
    ];

    /// Its name in configs.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::UnetVgg16 => "unet-vgg16",
            Architecture::UnetVgg16Light => "unet-vgg16-light",
            Architecture::UnetLite0 => "unet-lite0",
            Architecture::UnetLite1 => "unet-lite1",
            Architecture::UnetLite2 => "unet-lite2",
            Architecture::DeeplabResnet50 => "deeplab-resnet50",
        }
    }

    /// Height and width of the input must be multiples of this.
    pub fn input_multiple(self) -> u32 {
        match self {
            Architecture::UnetVgg16Light | Architecture::DeeplabResnet50 => 16,
            Architecture::UnetVgg16 | Architecture::UnetLite0 | Architecture::UnetLite1 | Architecture::UnetLite2 => 32,
        }
    }

    /// Which EfficientNet-Lite it stands on, if on one.
    pub fn lite_variant(self) -> Option<LiteVariant> {
        match self {
            Architecture::UnetLite0 => Some(LiteVariant::Lite0),
            Architecture::UnetLite1 => Some(LiteVariant::Lite1),
            Architecture::UnetLite2 => Some(LiteVariant::Lite2),
            Architecture::UnetVgg16 | Architecture::UnetVgg16Light | Architecture::DeeplabResnet50 => None,
        }
    }

    /// Whether it has a light decoder, of which [`DecoderConfig`] may choose.
    pub fn has_light_decoder(self) -> bool {
        !matches!(self, Architecture::UnetVgg16 | Architecture::DeeplabResnet50)
    }

    /// The strides at which it can return logits.
    pub fn output_strides(self) -> &'static [u32] {
        match self {
            Architecture::UnetVgg16 => &[1, 2],
            Architecture::DeeplabResnet50 => &[1, 4],
            _ => &[1, 2, 4],
        }
    }
}

/// Which of the published sizes of EfficientNet-Lite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteVariant {
    /// 3.0 million weights.
    Lite0,
    /// As wide and deeper: 3.7 million.
    Lite1,
    /// Wider and deeper: 4.4 million.
    Lite2,
}

/// How the decoder upsamples its feature maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Upsampling {
    /// Each value is repeated 2 x 2: fast to train.
    #[default]
    Nearest,
    /// Linear between cell centres (half-pixel centres).
    Bilinear,
}

/// How the weights of convolutions start.
///
/// Under a batch norm the size of a kernel changes nothing but how far a step of one rate turns it. Kernels of the second kind
/// are smaller by a factor of 2.4. Which learns faster depends on the rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Initialization {
    /// Normal, with deviation `sqrt(2 / fan_in)`: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", 2015. Biases 0.
    HeNormal,
    /// Uniform within `1 / sqrt(fan_in)`, as PyTorch's convolutions start; biases, too.
    #[default]
    Pytorch,
}

/// What the decoder is told of the whole photo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Context {
    /// Nothing but what the encoder's field of view holds.
    #[default]
    None,
    /// The deepest map's mean over the photo, through two layers, added to the map at every place: the image pooling of
    /// Liu, Rabinovich and Berg, "ParseNet: Looking Wider to See Better", 2015.
    Pool,
}

/// The most stages that a decoder can have: one for each doubling from stride 32 to stride 1.
pub const MOST_STAGES: usize = 5;

/// Options of a light decoder, and of what comes before it.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// How it upsamples.
    pub upsampling: Upsampling,
    /// Channels of its stages at width 1, the deepest first; the encoder's own choice where it is empty. Stages beyond
    /// the output stride are left out.
    pub channels: Vec<usize>,
    /// 3 x 3 convolutions in each stage, 1 or more.
    pub convolutions: usize,
    /// How its weights start.
    pub initialization: Initialization,
    /// What it is told of the whole photo.
    pub context: Context,
    /// Whether a head tells which classes the photo shows.
    pub presence: bool,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        Self {
            upsampling: Upsampling::default(),
            channels: Vec::new(),
            convolutions: 2,
            initialization: Initialization::default(),
            context: Context::None,
            presence: false,
        }
    }
}
