//! What is done to models and photos beside training: calibrate, average, quantize, label photos, draw labels.

pub mod average;
pub mod calibrate;
mod cells;
pub mod label_sheet;
pub mod pseudo_label;
pub mod quantize;
