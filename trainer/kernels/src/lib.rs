//! CPU training kernels for [Burn](https://burn.dev): operations with a forward and a backward pass.
//!
//! A network calls these functions instead of Burn's own. On the CPU each records one node in Burn's graph (`operation`) and
//! computes on slices (`compute`). On another device, and while a graph is captured for export, it is made of Burn's own
//! operations, so that it can run on a GPU and is written as plain ONNX. Tensors are `(N, C, H, W)` of 32-bit floats.
//!
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use clothseg_kernels::{ConvOptions, burn, conv2d};
//!
//! let device = Device::default().autodiff();
//! let photos = Tensor::<4>::random([8, 3, 64, 64], Distribution::Default, &device);
//! let weights = Tensor::<4>::random([16, 3, 3, 3], Distribution::Default, &device).require_grad();
//! let features = conv2d(photos, weights.clone(), None, ConvOptions { padding: (1, 1), ..ConvOptions::default() });
//! let gradients = features.sum().backward();
//! assert_eq!(weights.grad(&gradients).unwrap().dims(), [16, 3, 3, 3]);
//! ```

mod compute;
mod conv;
mod loss;
mod norm;
mod operation;
mod optimizer;
mod pool;
mod profile;
mod resize;

pub use burn;
pub use compute::norm::Activation;
pub use conv::{ConvOptions, conv2d};
pub use loss::{PixelWeights, SegmentationLabels, segmentation_sums};
pub use norm::{BatchStatistics, norm_act, norm_act_frozen};
pub use operation::use_burn_operations;
pub use optimizer::{AdamFactors, SgdFactors, adam_step, average_step, sgd_step, sum_of_squares, updates_in_place};
pub use pool::{max_pool2d, mean_pool2d};
pub use profile::{profile, start_profile};
pub use resize::{join_nearest, resize_bilinear};
