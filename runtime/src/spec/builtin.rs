//! Descriptions of well-known models made elsewhere; the files are in models/sidecars.

use std::path::Path;

use super::ModelSpec;
use crate::error::{Error, Result};

const SIDECARS: [(&str, &str); 2] = [
    ("u2net-cloth", include_str!("../../../models/sidecars/u2net-cloth.json")),
    ("segformer-b2-clothes", include_str!("../../../models/sidecars/segformer-b2-clothes.json")),
];

impl ModelSpec {
    /// Names of the descriptions that [`ModelSpec::builtin`] knows.
    pub const BUILTIN: [&'static str; 2] = [SIDECARS[0].0, SIDECARS[1].0];

    /// The description of a well-known clothing model made elsewhere, for use with that model's ONNX file:
    ///
    /// - `u2net-cloth`: U2-Net with 4 classes (upper body, lower body, full body), 768 x 768, as in rembg.
    /// - `segformer-b2-clothes`: SegFormer B2 with the 18 labels of ATR, 512 x 512, logits at stride 4.
    ///
    /// Case does not matter; nothing for another name.
    ///
    /// # Errors
    /// [`Error::BadSpec`], which this crate's tests rule out.
    pub fn builtin(name: &str) -> Option<Result<Self>> {
        let (_, json) = SIDECARS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(Self::from_json(json))
    }

    /// The description of this name (see [`ModelSpec::builtin`]), else that in the file of this name.
    ///
    /// # Errors
    /// [`Error::Invalid`] lists the names where there is neither; [`Error::Read`] and [`Error::BadSpec`] for the file.
    pub fn named(name_or_file: &str) -> Result<Self> {
        if let Some(spec) = Self::builtin(name_or_file) {
            return spec;
        }
        let path = Path::new(name_or_file);
        // A name of one word that is no file is a misspelt name rather than a lost file.
        if path.extension().is_none() && !path.exists() {
            return Err(Error::Invalid(format!(
                "there is no model description '{name_or_file}'; name a JSON file or one of: {}",
                Self::BUILTIN.join(", ")
            )));
        }
        let json = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::from_json(&json)
    }
}
