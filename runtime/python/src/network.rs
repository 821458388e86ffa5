//! An open model.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Instant;

use clothseg::masks::MaskOptions;
use clothseg::{Detail, EngineOptions, Error, Limits, RgbImage, Segmenter};
use clothseg_batch::locate;
use numpy::{PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors;
use crate::found::Found;
use crate::photo::Photo;
use crate::work::{self, Shared};

/// Weights that sessions may hold together.
const SESSIONS_BYTES: usize = 2 << 30;

/// An open model.
#[pyclass(frozen, module = "clothseg._clothseg")]
pub struct Network {
    segmenter: Shared,
    masks: MaskOptions,
    limits: Limits,
    weights_bytes: usize,
}

#[pymethods]
impl Network {
    #[new]
    #[pyo3(signature = (
        *, model, spec, provider, library, threads, sessions, device, quality, cleanup, min_share, fill_holes, largest, grow,
        max_pixels
    ))]
    #[expect(clippy::too_many_arguments, reason = "each has a name on the other side")]
    fn new(
        py: Python<'_>,
        model: Option<PathBuf>,
        spec: Option<String>,
        provider: &str,
        library: Option<PathBuf>,
        threads: Option<usize>,
        sessions: usize,
        device: u32,
        quality: &str,
        cleanup: bool,
        min_share: f64,
        fill_holes: bool,
        largest: bool,
        grow: &str,
        max_pixels: u64,
    ) -> PyResult<Self> {
        let mut options =
            EngineOptions::default().with_provider(parsed(provider)?).with_sessions(sessions).with_device(device);
        options.library = library;
        options.threads = threads;
        options.tensorrt.cache = locate::tensorrt_cache();
        let quality = parsed(quality)?;
        let masks = MaskOptions::default()
            .with_min_share(min_share)
            .with_fill_holes(fill_holes)
            .with_largest(largest)
            .with_grow(parsed(grow)?);
        masks.validate().map_err(|error| PyValueError::new_err(error.to_string()))?;
        let limits = Limits::default().with_max_pixels(max_pixels);
        work::run(py, "opening the model", move || {
            let model = clothseg_cli::read_model(model.as_deref(), spec.as_deref())?;
            let weights_bytes = model.onnx().len();
            let segmenter = Segmenter::open_model(&model, &options)?.with_cleanup(cleanup).with_quality(quality)?;
            Ok(Self { segmenter: Shared::new(segmenter), masks, limits, weights_bytes })
        })
    }

    /// Reads and decodes the photo in this file, every pixel of it or as far as the network needs it.
    fn open_photo(&self, py: Python<'_>, path: PathBuf, full: bool) -> PyResult<Photo> {
        let detail = self.detail(full);
        work::run(py, "decoding", || {
            let started = Instant::now();
            let photo = clothseg::Photo::open_with(path, &self.limits, detail)?;
            Ok(Photo { photo, decode_ms: milliseconds_since(started) })
        })
    }

    /// Decodes the content of a file, in the same way.
    fn decode_photo(&self, py: Python<'_>, content: &[u8], full: bool) -> PyResult<Photo> {
        let detail = self.detail(full);
        work::run(py, "decoding", || {
            let started = Instant::now();
            let photo = clothseg::Photo::from_bytes_with(content, &self.limits, detail)?;
            Ok(Photo { photo, decode_ms: milliseconds_since(started) })
        })
    }

    /// Copies pixels: rows x columns x RGB, contiguous.
    fn take_photo(&self, py: Python<'_>, pixels: PyReadonlyArray3<'_, u8>) -> PyResult<Photo> {
        let &[height, width, 3] = pixels.shape() else {
            return Err(PyValueError::new_err(format!("an array of shape {:?}; (H, W, 3) is needed", pixels.shape())));
        };
        let values = pixels.as_slice().map_err(|error| PyValueError::new_err(error.to_string()))?;
        work::run(py, "copying", || {
            let started = Instant::now();
            let too_large = || Error::Invalid(format!("an array of {width} x {height} pixels is too large"));
            let (Ok(width), Ok(height)) = (u32::try_from(width), u32::try_from(height)) else {
                return Err(too_large());
            };
            let rgb = RgbImage::from_raw(width, height, values.to_vec()).ok_or_else(too_large)?;
            Ok(Photo { photo: clothseg::Photo::from_rgb(rgb)?, decode_ms: milliseconds_since(started) })
        })
    }

    /// Segments a photo. Without classes all garments are wanted.
    fn segment(&self, py: Python<'_>, photo: &Photo, classes: Option<Vec<usize>>) -> PyResult<Found> {
        let classes = classes.unwrap_or_else(|| self.segmenter.spec().taxonomy.garments());
        let segmentation = work::run(py, "the network", || {
            let segmentation = self.segmenter.segment(&photo.photo)?;
            let changed = match segmentation.with_masks(&classes, &self.masks)?.segmentation {
                Cow::Owned(changed) => Some(changed),
                Cow::Borrowed(_) => None,
            };
            Ok(changed.unwrap_or(segmentation))
        })?;
        Ok(Found::new(self.segmenter.clone(), segmentation, classes, photo.decode_ms))
    }

    /// Class indices of names, aliases and groups, without repeats, in index order.
    fn resolve(&self, names: Vec<String>) -> PyResult<Vec<usize>> {
        self.segmenter.spec().taxonomy.resolve_all(&names).map_err(|error| errors::to_python(&error))
    }

    /// Name, aliases, colour and kind (garment or person) of each class, in index order.
    #[getter]
    #[expect(clippy::type_complexity, reason = "a row a class")]
    fn classes(&self) -> Vec<(String, Vec<String>, (u8, u8, u8), &'static str)> {
        let taxonomy = &self.segmenter.spec().taxonomy;
        let kind = |class: &clothseg::Class| match class.kind {
            clothseg::ClassKind::Person => "person",
            _ => "garment",
        };
        let row =
            |class: &clothseg::Class| (class.name.clone(), class.aliases.clone(), class.color.into(), kind(class));
        taxonomy.classes.iter().map(row).collect()
    }

    /// Names of groups and of the classes in them.
    #[getter]
    fn groups(&self) -> Vec<(String, Vec<String>)> {
        self.segmenter.spec().taxonomy.groups.iter().map(|(name, members)| (name.clone(), members.clone())).collect()
    }

    /// What runs the model, and the model.
    fn engine<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (info, facts) = (self.segmenter.engine_info(), PyDict::new(py));
        facts.set_item("provider", info.provider.name())?;
        facts.set_item("library", info.library)?;
        facts.set_item("version", &info.version)?;
        facts.set_item("path", info.path.as_ref().map(|path| path.display().to_string()))?;
        facts.set_item("threads", info.threads)?;
        facts.set_item("sessions", self.segmenter.sessions())?;
        facts.set_item("note", &info.note)?;
        facts.set_item("no_gpu", &info.no_gpu)?;
        facts.set_item("model", &self.segmenter.spec().name)?;
        facts.set_item("model_hash", self.segmenter.model_hash())?;
        facts.set_item("quality", self.segmenter.quality().name())?;
        facts.set_item("cleans_up", self.segmenter.cleans_up())?;
        Ok(facts)
    }

    /// Sessions that hold no more weights together than is reasonable.
    #[getter]
    fn most_sessions(&self) -> usize {
        (SESSIONS_BYTES / self.weights_bytes.max(1)).max(1)
    }
}

impl Network {
    fn detail(&self, full: bool) -> Detail {
        if full { Detail::Full } else { self.segmenter.detail() }
    }
}

/// A word that the user typed.
fn parsed<T: std::str::FromStr<Err = Error>>(word: &str) -> PyResult<T> {
    word.parse().map_err(|error| errors::to_python(&error))
}

fn milliseconds_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}
