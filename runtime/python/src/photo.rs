//! A decoded photo.

use pyo3::prelude::*;

/// A decoded photo, upright. It may hold fewer pixels than the photo has.
#[pyclass(frozen, module = "clothseg._clothseg")]
pub struct Photo {
    pub photo: clothseg::Photo,
    pub decode_ms: f64,
}

#[pymethods]
impl Photo {
    /// Width of the photo in pixels, whatever was decoded.
    #[getter]
    fn width(&self) -> u32 {
        self.photo.width()
    }

    /// Height of the photo in pixels, whatever was decoded.
    #[getter]
    fn height(&self) -> u32 {
        self.photo.height()
    }

    /// Whether fewer pixels were decoded than the photo has.
    #[getter]
    fn is_reduced(&self) -> bool {
        self.photo.is_reduced()
    }
}
