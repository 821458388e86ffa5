//! Networks. One file a network or encoder; sizes and sources in their docs.
//!
//! Every network takes `(N, 3, H, W)`, normalised RGB, and returns logits `(N, classes, H / stride, W / stride)`.

mod blocks;
mod deeplab;
mod efficientnet_lite;
mod light_unet;
mod network;
mod pass;
pub mod pretrained;
mod resnet;
mod unet;
pub(crate) mod values;
mod vgg;
mod whole_view;

pub use network::{Network, NetworkConfig, Prediction};
pub use pass::{Pass, RunningUpdate, Seen, Survey};

pub use crate::config::{Architecture, Context, DecoderConfig, Initialization, LiteVariant, MOST_STAGES, Upsampling};
