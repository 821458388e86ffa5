//! What was found in a photo.

use std::sync::OnceLock;

use clothseg::export::coco::CocoForm;
use clothseg::export::{
    ClassView, CropMargin, CutoutAlpha, Format, OutputOptions, PhotoView, class_file_names, pixels,
};
use clothseg::ndarray::{Array2, Array3, ArrayView2};
use clothseg::{
    ClassRegion, Error, GrayImage, LabelMap, Outline, PixelBox, Polygon, PolygonOptions, RgbImage, Segmentation,
    serde_json,
};
use numpy::{IntoPyArray, PyArray2, PyArray3, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors;
use crate::photo::Photo;
use crate::work::{self, Shared};

/// An outline and its holes, each n x 2: x and y in photo pixels.
type Rings<'py> = (Bound<'py, PyArray2<f32>>, Vec<Bound<'py, PyArray2<f32>>>);

/// What was found in a photo.
#[pyclass(frozen, module = "clothseg._clothseg")]
pub struct Found {
    segmenter: Shared,
    segmentation: Segmentation,
    /// Class indices wanted.
    classes: Vec<usize>,
    decode_ms: f64,
    /// The label map without the classes that are not wanted, where there are any.
    kept: OnceLock<LabelMap>,
}

impl Found {
    pub fn new(segmenter: Shared, segmentation: Segmentation, classes: Vec<usize>, decode_ms: f64) -> Self {
        Self { segmenter, segmentation, classes, decode_ms, kept: OnceLock::new() }
    }

    /// The classes wanted that are there, without the background.
    fn regions(&self) -> impl Iterator<Item = &ClassRegion> {
        self.segmentation.regions().iter().filter(|region| region.class > 0 && self.classes.contains(&region.class))
    }

    fn size(&self) -> (usize, usize) {
        let map = self.segmentation.label_map();
        (map.height() as usize, map.width() as usize)
    }

    /// The class of every pixel, of the classes wanted. Usually all of them are, and nothing is copied.
    fn map(&self) -> &LabelMap {
        let all = self.segmentation.regions().iter().all(|one| one.class == 0 || self.classes.contains(&one.class));
        let map = self.segmentation.label_map();
        if all { map } else { self.kept.get_or_init(|| map.keep(&self.classes)) }
    }

    /// The smallest box that holds all of some classes.
    fn bounds(&self, classes: &[usize]) -> Option<PixelBox> {
        let boxes = self.segmentation.regions().iter().filter(|one| classes.contains(&one.class)).map(|one| one.bounds);
        boxes.reduce(|a, b| {
            let (x, y) = (a.x.min(b.x), a.y.min(b.y));
            let (right, bottom) = ((a.x + a.width).max(b.x + b.width), (a.y + a.height).max(b.y + b.height));
            PixelBox { x, y, width: right - x, height: bottom - y }
        })
    }

    fn soft(&self, classes: &[usize]) -> clothseg::Result<GrayImage> {
        self.segmentation.soft_mask_of(classes)
    }

    /// How opaque each pixel of a cut-out is.
    fn alpha(&self, classes: &[usize], kind: CutoutAlpha) -> clothseg::Result<GrayImage> {
        let mask = || self.segmentation.mask_of(classes);
        Ok(match kind {
            CutoutAlpha::Soft => self.soft(classes)?,
            CutoutAlpha::Hard => mask(),
            _ => pixels::smooth_edges(&mask()),
        })
    }

    /// The files of one format: what follows the photo's name, and bytes.
    fn files(&self, format: Format, view: &PhotoView<'_>) -> clothseg::Result<Vec<(String, Vec<u8>)>> {
        let exporter = format.exporter();
        let mut files = Vec::new();
        if let Some(suffix) = exporter.class_suffix() {
            let names = class_file_names(view.taxonomy());
            for region in self.regions() {
                let name = names.get(region.class).map_or("class", String::as_str);
                let content = exporter.class_file(view, &ClassView::new(&self.segmentation, region))?;
                files.push((format!(".{name}{suffix}"), content));
            }
        }
        let suffixes = exporter.photo_suffixes().iter().map(|suffix| (*suffix).to_owned());
        files.extend(suffixes.zip(exporter.photo_files(view)?));
        Ok(files)
    }
}

#[pymethods]
impl Found {
    /// Width of the photo in pixels.
    #[getter]
    fn width(&self) -> u32 {
        self.segmentation.label_map().width()
    }

    /// Height of the photo in pixels.
    #[getter]
    fn height(&self) -> u32 {
        self.segmentation.label_map().height()
    }

    /// Milliseconds of decoding, preprocessing, inference and postprocessing.
    #[getter]
    fn timings_ms(&self) -> (f64, f64, f64, f64) {
        let timings = self.segmentation.timings();
        (self.decode_ms, timings.preprocess_ms, timings.inference_ms, timings.postprocess_ms)
    }

    /// Class, name, confidence, pixels, share of the photo and box (x, y, width, height) of each class.
    #[getter(regions)]
    #[expect(clippy::type_complexity, reason = "a row a class")]
    fn region_rows(&self) -> Vec<(usize, String, f32, u64, f64, (u32, u32, u32, u32))> {
        let row = |region: &ClassRegion| {
            let PixelBox { x, y, width, height } = region.bounds;
            let bounds = (x, y, width, height);
            (region.class, region.name.clone(), region.confidence, region.area_px, region.area_share, bounds)
        };
        self.regions().map(row).collect()
    }

    /// The class of every pixel: rows x columns. Not a copy, and not to be written to.
    fn labels<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyArray2<u8>>> {
        let py = slf.py();
        let found = slf.get();
        // No threads are needed, so that this works in a forked child, too.
        let map = py.detach(|| found.map());
        let view = ArrayView2::from_shape(found.size(), map.labels())
            .map_err(|error| errors::ClothsegError::new_err(error.to_string()))?;
        // SAFETY: the map is in an object that never changes (the class is frozen, and the lock is set once), and that the
        // array keeps alive.
        let array = unsafe { PyArray2::borrow_from_array(&view, slf.clone().into_any()) };
        array.readwrite().make_nonwriteable();
        Ok(array)
    }

    /// Class indices of a name, an alias or a group.
    fn resolve(&self, name: &str) -> PyResult<Vec<usize>> {
        self.segmenter.spec().taxonomy.resolve(name).map_err(|error| errors::to_python(&error))
    }

    /// Whether each pixel is of one of these classes, for each of some sets of classes.
    fn masks<'py>(&self, py: Python<'py>, sets: Vec<Vec<usize>>) -> PyResult<Bound<'py, PyArray3<bool>>> {
        let (height, width) = self.size();
        let masks = work::run(py, "masks", || {
            let labels = self.segmentation.label_map().labels();
            let mut masks = Vec::with_capacity(labels.len() * sets.len());
            for classes in &sets {
                let table: [bool; 256] = std::array::from_fn(|class| classes.contains(&class));
                masks.extend(labels.iter().map(|label| table[usize::from(*label)]));
            }
            Array3::from_shape_vec((sets.len(), height, width), masks).map_err(odd)
        })?;
        Ok(masks.into_pyarray(py))
    }

    /// How likely each pixel is of one of these classes: 255 = surely.
    fn soft_mask<'py>(&self, py: Python<'py>, classes: Vec<usize>) -> PyResult<Bound<'py, PyArray2<u8>>> {
        let size = self.size();
        let mask =
            work::run(py, "soft masks", || Array2::from_shape_vec(size, self.soft(&classes)?.into_raw()).map_err(odd))?;
        Ok(mask.into_pyarray(py))
    }

    /// The outlines of these classes, each with its holes.
    fn polygons<'py>(
        &self,
        py: Python<'py>,
        classes: Vec<usize>,
        smooth: bool,
        tolerance: Option<f64>,
        min_area: Option<f64>,
    ) -> PyResult<Vec<Rings<'py>>> {
        let options = polygon_options(smooth, tolerance, min_area);
        let polygons = work::run(py, "outlines", || {
            let present = self.segmentation.regions().iter().filter(|region| classes.contains(&region.class));
            Ok(present.flat_map(|region| self.segmentation.polygons_of(region, &options)).collect::<Vec<Polygon>>())
        })?;
        let ring = |points: Vec<[f32; 2]>| Array2::from(points).into_pyarray(py);
        Ok(polygons
            .into_iter()
            .map(|polygon| (ring(polygon.exterior), polygon.holes.into_iter().map(ring).collect()))
            .collect())
    }

    /// The photo with its garments tinted: rows x columns x RGB.
    fn overlay<'py>(&self, py: Python<'py>, photo: &Photo) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let overlay = work::run(py, "the overlay", || {
            let taxonomy = &self.segmenter.spec().taxonomy;
            let overlay: RgbImage = pixels::overlay_rgb(&photo.photo, self.map(), taxonomy)?;
            let (width, height) = overlay.dimensions();
            Array3::from_shape_vec((height as usize, width as usize, 3), overlay.into_raw()).map_err(odd)
        })?;
        Ok(overlay.into_pyarray(py))
    }

    /// What these classes leave of the photo, rows x columns x RGBA in the photo's own colours, and its ICC profile. With a margin
    /// it is trimmed to the box of the classes; nothing where they are not there.
    #[expect(clippy::type_complexity, reason = "pixels and their profile")]
    fn cutout<'py>(
        &self,
        py: Python<'py>,
        photo: &Photo,
        classes: Vec<usize>,
        alpha: &str,
        crop_margin: Option<&str>,
    ) -> PyResult<Option<(Bound<'py, PyArray3<u8>>, Option<Bound<'py, PyBytes>>)>> {
        let pixels = work::run(py, "the cut-out", || {
            let alpha = self.alpha(&classes, alpha.parse()?)?;
            let rgb = photo.photo.full_rgb()?;
            let (width, height) = rgb.dimensions();
            if alpha.dimensions() != (width, height) {
                return Err(Error::Decode {
                    reason: "the photo has changed since it was segmented".into(),
                    source: None,
                });
            }
            let whole = PixelBox { x: 0, y: 0, width, height };
            let area = match crop_margin {
                Some(text) => {
                    let margin: CropMargin = text.parse()?;
                    self.bounds(&classes).map(|bounds| margin.around(bounds, width, height))
                }
                None => Some(whole),
            };
            let Some(area) = area else { return Ok(None) };
            let (rows, columns) = (area.height as usize, area.width as usize);
            Array3::from_shape_vec((rows, columns, 4), rgba(rgb, &alpha, area)).map(Some).map_err(odd)
        })?;
        let icc = photo.photo.icc().map(|icc| PyBytes::new(py, icc));
        Ok(pixels.map(|pixels| (pixels.into_pyarray(py), icc)))
    }

    /// What the photo adds to a COCO file, as JSON.
    fn coco(
        &self,
        py: Python<'_>,
        form: &str,
        name: &str,
        smooth: bool,
        tolerance: Option<f64>,
    ) -> PyResult<Option<String>> {
        work::run(py, "COCO", || {
            let form: CocoForm = form.parse()?;
            let options = OutputOptions::default()
                .with_formats(vec!["coco".parse()?])
                .with_coco(form)
                .with_polygons(polygon_options(smooth, tolerance, None));
            let photo = no_pixels()?;
            let view = self.view(&photo, &options).with_name(name, name);
            let part = options.formats.iter().find_map(|format| format.exporter().part(&view));
            let json = |part| serde_json::to_string(&part).map_err(|error| Error::Invalid(error.to_string()));
            part.map(json).transpose()
        })
    }

    /// The files of some formats: what follows the photo's name in each name, and bytes. Without a photo those that need none.
    #[pyo3(signature = (photo, formats, *, name, path, smooth, tolerance, alpha, crop_margin))]
    #[expect(clippy::too_many_arguments, reason = "each has a name on the other side")]
    fn export<'py>(
        &self,
        py: Python<'py>,
        photo: Option<&Photo>,
        formats: Vec<String>,
        name: &str,
        path: &str,
        smooth: bool,
        tolerance: Option<f64>,
        alpha: &str,
        crop_margin: &str,
    ) -> PyResult<Vec<(String, Bound<'py, PyBytes>)>> {
        let files = work::run(py, "export", || {
            let mut formats = formats.iter().map(|name| name.parse()).collect::<clothseg::Result<Vec<Format>>>()?;
            formats.sort_unstable();
            formats.dedup();
            if let Some(format) = formats.iter().find(|format| format.holds_nothing_of(&self.classes)) {
                let reason = format!("the format '{}' has no background; ask for other classes", format.name());
                return Err(Error::Invalid(reason));
            }
            let options = OutputOptions::default()
                .with_formats(formats)
                .with_polygons(polygon_options(smooth, tolerance, None))
                .with_cutout_alpha(alpha.parse()?)
                .with_crop_margin(crop_margin.parse()?);
            let stand_in = no_pixels()?;
            let view = self.view(photo.map_or(&stand_in, |photo| &photo.photo), &options);
            let view = view.with_name(name, path).with_decode_ms(self.decode_ms);
            let files = options.formats.iter().map(|format| self.files(*format, &view));
            Ok(files.collect::<clothseg::Result<Vec<_>>>()?.concat())
        })?;
        Ok(files.into_iter().map(|(suffix, content)| (suffix, PyBytes::new(py, &content))).collect())
    }

    /// Whether one of these formats shows the photo's pixels. Formats of a whole run are refused.
    #[staticmethod]
    fn needs_pixels(formats: Vec<String>) -> PyResult<bool> {
        let mut needs = false;
        for name in &formats {
            let format: Format = name.parse().map_err(|error| errors::to_python(&error))?;
            let exporter = format.exporter();
            if exporter.class_suffix().is_none() && exporter.photo_suffixes().is_empty() {
                let reason = format!("the format '{name}' is one file for many photos; use to_{name}()");
                return Err(errors::to_python(&Error::Invalid(reason)));
            }
            needs |= exporter.needs().pixels;
        }
        Ok(needs)
    }
}

impl Found {
    fn view<'a>(&'a self, photo: &'a clothseg::Photo, options: &'a OutputOptions) -> PhotoView<'a> {
        PhotoView::new(&self.segmenter, photo, &self.segmentation, &self.classes, options)
    }
}

/// Stands for a photo where no pixels are looked at.
fn no_pixels() -> clothseg::Result<clothseg::Photo> {
    clothseg::Photo::from_rgb(RgbImage::new(1, 1))
}

fn polygon_options(smooth: bool, tolerance: Option<f64>, min_area: Option<f64>) -> PolygonOptions {
    let mut options = PolygonOptions::of(if smooth { Outline::Smooth } else { Outline::Pixels });
    options.tolerance_px = tolerance.unwrap_or(options.tolerance_px);
    options.min_area_px = min_area.unwrap_or(options.min_area_px);
    options
}

/// A part of a photo with alpha, which is not multiplied in. Where alpha is 0 the colour is black, so that nothing of the background
/// is left.
fn rgba(rgb: &RgbImage, alpha: &GrayImage, area: PixelBox) -> Vec<u8> {
    let (stride, columns) = (rgb.width() as usize, area.width as usize);
    let mut pixels = Vec::with_capacity(4 * columns * area.height as usize);
    for y in area.y as usize..(area.y + area.height) as usize {
        let start = y * stride + area.x as usize;
        let colors = rgb.as_raw()[3 * start..][..3 * columns].chunks_exact(3);
        for (color, &alpha) in colors.zip(&alpha.as_raw()[start..][..columns]) {
            let shown = if alpha == 0 { 0 } else { u8::MAX };
            pixels.extend_from_slice(&[color[0] & shown, color[1] & shown, color[2] & shown, alpha]);
        }
    }
    pixels
}

/// Sizes that do not fit each other, which cannot be.
fn odd(error: clothseg::ndarray::ShapeError) -> Error {
    Error::Output { reason: error.to_string() }
}
