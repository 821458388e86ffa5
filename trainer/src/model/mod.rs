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

pub use light_unet::Upsampling;
pub use network::{Architecture, Network, NetworkConfig};
pub use pass::{Pass, RunningUpdate, Seen, Survey};
