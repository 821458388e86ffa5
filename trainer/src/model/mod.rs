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
mod vgg;
mod whole_view;

pub use blocks::Initialization;
pub use efficientnet_lite::LiteVariant;
pub use light_unet::{DecoderConfig, MOST_STAGES, Upsampling};
pub use network::{Architecture, Network, NetworkConfig, Prediction};
pub use pass::{Pass, RunningUpdate, Seen, Survey};
pub use whole_view::Context;
