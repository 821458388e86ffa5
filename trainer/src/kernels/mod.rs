//! Operations whose forward and backward passes are ours on the CPU, and Burn's on every other device.
//!
//! Models call these functions as they would call Burn's. On the CPU each records one node in Burn's graph
//! (`operation`) and computes on slices (`compute`); elsewhere, and while a graph is captured for export, it is made of
//! Burn's own operations, so that it can run on a GPU and is written as plain ONNX.

mod compute;
mod conv;
mod loss;
mod norm;
mod operation;
mod optimizer;
mod pool;
mod profile;
mod resize;

pub use compute::norm::Activation;
pub use conv::{ConvOptions, conv2d};
pub use loss::{PixelWeights, SegmentationLabels, segmentation_sums};
pub use norm::{BatchStatistics, norm_act, norm_act_frozen};
pub use operation::use_burn_operations;
pub use optimizer::{AdamFactors, SgdFactors, adam_step, average_step, sgd_step, sum_of_squares, updates_in_place};
pub use pool::{max_pool2d, mean_pool2d};
pub use profile::{profile, start_profile};
pub use resize::{join_nearest, resize_bilinear};
