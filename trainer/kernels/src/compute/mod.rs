//! The arithmetic, on slices: knows nothing of tensors or graphs.

pub mod cells;
pub mod dense;
pub mod depthwise;
pub mod loss;
pub mod norm;
pub mod output;
pub mod pool;
pub mod resize;
pub mod taps;
pub mod tile;
pub mod weight_gradient;
pub mod winograd;
pub mod winograd_gradient;
