//! Models that are carried along, as bytes: nothing is read from disk and nothing is fetched.
//!
//! - With the feature `garments` (on by default), [`GARMENTS`]: clothseg's default model, an ONNX file that
//!   describes itself.
//! - [`DESCRIPTIONS`] of well-known clothing models made elsewhere, whose ONNX files carry none.
//!
//! ```rust
//! let onnx: &[u8] = clothseg_models::GARMENTS;
//! # assert!(!onnx.is_empty());
//! ```

#![deny(missing_docs)]
#![forbid(unsafe_code)]

/// The default model of clothseg: 20 whole garments, hair and skin, in 8 bits. Engines that do not calculate in 8 bits run
/// it in floats. Its card, `garments.md`, says what it can and cannot do, and what it learned from.
#[cfg(feature = "garments")]
pub const GARMENTS: &[u8] = include_bytes!("../garments-int8.onnx");

/// Name and description (the JSON of clothseg's `ModelSpec`) of well-known clothing models made elsewhere:
///
/// - `u2net-cloth`: U2-Net with 4 classes (upper body, lower body, full body), 768 x 768, as in rembg.
/// - `segformer-b2-clothes`: SegFormer B2 with the 18 labels of ATR, 512 x 512, logits at stride 4.
pub const DESCRIPTIONS: [(&str, &str); 2] = [
    ("u2net-cloth", include_str!("../sidecars/u2net-cloth.json")),
    ("segformer-b2-clothes", include_str!("../sidecars/segformer-b2-clothes.json")),
];

/// The description of this name, in any case; nothing for another name.
pub fn description(name: &str) -> Option<&'static str> {
    DESCRIPTIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, json)| *json)
}
