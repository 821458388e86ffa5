//! Networks. One file a network or encoder; sizes and sources in their docs.
//!
//! Every network takes `(N, 3, H, W)`, normalised RGB, and returns logits `(N, classes, H / stride, W / stride)`.

mod blocks;
mod unet;
mod vgg;

pub use blocks::{ConvNormRelu, ConvNormReluConfig};
pub use unet::{UNet, UNetConfig, Upsampling};
pub use vgg::{VggEncoder, VggEncoderConfig};
