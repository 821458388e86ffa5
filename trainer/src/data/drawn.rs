//! What the readers of annotation tools' files have in common: photos in folders, outlines of simple shapes, regions that are
//! held in memory, and classes that are found by their names.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::DynamicImage;

use super::photos::{self, NAME_TAKEN};
use super::regions::{Fault, Pieces, Region, RegionLabel, Shape};
use super::runs::{Runs, Size};
use super::{IGNORE, Label, LabelImage, Listing, Mapping, Pair, Target};
use crate::classes::same_name;
use crate::counted::counted;
use crate::error::{Error, Result};

/// What annotation tools call the background, and what counts nowhere.
const BACKGROUND: [&str; 3] = ["background", "_background_", "__background__"];
const IGNORED: [&str; 3] = ["__ignore__", "_ignore_", "ignore"];

/// Corners of a polygon that stands for an ellipse.
const ELLIPSE_CORNERS: u32 = 180;

/// A region whose class has a name.
#[derive(Debug)]
pub(super) struct NamedRegion {
    /// What messages call it: `shape 2`.
    pub name: String,
    pub label: String,
    pub shape: Shape,
}

/// A photo with named regions.
#[derive(Debug)]
pub(super) struct Drawn {
    pub stem: String,
    pub photo: PathBuf,
    /// The file that the regions are from, and the photo's name where that file has many.
    pub path: PathBuf,
    pub name: String,
    pub size: Size,
    pub regions: Vec<NamedRegion>,
    pub pieces: Pieces,
}

/// Which labels name a class: those of the mapping file, or without one those of the classes that a network is to learn. Where
/// neither is known, all do.
#[derive(Clone, Copy, Debug, Default)]
pub struct KnownLabels<'a> {
    /// The mapping file.
    pub mapping: Option<&'a Path>,
    /// The classes that a network is to learn.
    pub target: Option<&'a Target>,
}

impl KnownLabels<'_> {
    /// The names that a mapping file has.
    fn mapped(self) -> Result<Vec<String>> {
        self.mapping.map(Mapping::names).transpose().map(Option::unwrap_or_default)
    }

    /// What is wrong with a label that names no class, given the mapping file's names.
    fn fault(self, label: &str, mapped: &[String]) -> Option<Fault> {
        let is_mapped = || mapped.iter().any(|name| same_name(name, label));
        match (self.mapping, self.target) {
            (Some(_), _) if is_mapped() => None,
            (Some(path), _) => Some(format!("has the label `{label}`, which {} does not name", path.display()).into()),
            (None, Some(target)) if target.taxonomy.index_of(label).is_none() => {
                let name = &target.name;
                Some(
                    format!(
                        "has the label `{label}`, which is no class of `{name}`: correct it, or write a mapping file"
                    )
                    .into(),
                )
            }
            _ => None,
        }
    }
}

fn is_background(label: &str) -> bool {
    BACKGROUND.iter().any(|name| label.eq_ignore_ascii_case(name))
}

fn is_ignored(label: &str) -> bool {
    IGNORED.iter().any(|name| label.eq_ignore_ascii_case(name))
}

/// The listing of photos whose classes are known by their names alone. A mapping file's names are classes, too: a split need not
/// show them all. A region whose label names no class is left out.
pub(super) fn listing(mut photos: Vec<Drawn>, known: KnownLabels<'_>, incomplete: Vec<String>) -> Result<Listing> {
    let mapped = known.mapped()?;
    for Drawn { regions, pieces, .. } in &mut photos {
        regions.retain(|NamedRegion { name, label, .. }| {
            let fault = known.fault(label, &mapped).filter(|_| !is_background(label) && !is_ignored(label));
            fault.map(|fault| pieces.leave_out(name, fault)).is_none()
        });
    }
    let labels = photos.iter().flat_map(|photo| &photo.regions).map(|region| region.label.as_str());
    let names: BTreeSet<String> =
        labels.filter(|label| !is_background(label) && !is_ignored(label)).map(str::to_owned).collect();
    let mut classes: Vec<String> = std::iter::once("background".to_owned()).chain(names).collect();
    let more: Vec<String> = mapped.into_iter().filter(|name| !classes.contains(name)).collect();
    classes.extend(more);
    if classes.len() > usize::from(IGNORE) {
        let path = photos.first().map(|photo| photo.path.clone()).unwrap_or_default();
        return Err(Error::file(
            path,
            format!("and its like name {} classes; at most 254 are possible", classes.len() - 1),
        ));
    }
    let index: BTreeMap<&str, u8> = classes.iter().map(String::as_str).zip(0..).collect();
    photos.sort_by(|one, other| one.stem.cmp(&other.stem));
    let mut listing = Listing { incomplete, ..Listing::default() };
    for Drawn { stem, photo, path, name, size, regions, pieces } in photos {
        let class = |label: &str| match index.get(label) {
            None if is_ignored(label) => IGNORE,
            class => class.copied().unwrap_or(0),
        };
        let regions: Vec<Region> = regions
            .into_iter()
            .map(|NamedRegion { label, shape, .. }| Region { class: class(&label), shape })
            .collect();
        finish(DrawnPhoto { stem, photo, path, name, size, regions, pieces }, &mut listing);
    }
    listing.classes = classes;
    Ok(listing)
}

/// Gives photos of one stem names of their own; a photo for which there is none is damage.
pub(super) fn named_apart(drawn: Vec<Drawn>, incomplete: &mut Vec<String>) -> Vec<Drawn> {
    let left_out = |drawn: &Drawn| incomplete.push(format!("{}: {} {NAME_TAKEN}", drawn.name, drawn.photo.display()));
    let named = photos::named_apart(drawn, |drawn| (&drawn.stem, &drawn.photo), left_out);
    named.into_iter().map(|(stem, drawn)| Drawn { stem, ..drawn }).collect()
}

/// A photo with regions of classes.
pub(super) struct DrawnPhoto {
    pub stem: String,
    pub photo: PathBuf,
    pub path: PathBuf,
    /// What messages call it.
    pub name: String,
    pub size: Size,
    pub regions: Vec<Region>,
    pub pieces: Pieces,
}

/// Adds the pair to a listing, and what is wrong with it.
pub(super) fn finish(drawn: DrawnPhoto, listing: &mut Listing) {
    let DrawnPhoto { stem, photo, path, name, size, regions, pieces } = drawn;
    if pieces.tell(name, regions.is_empty(), listing) {
        let label = Label::Regions(RegionLabel::in_memory(&path, size, regions));
        listing.pairs.push(Pair { stem, photo, label });
    }
}

/// A shape of one polygon, checked.
pub(super) fn polygon(corners: Vec<[f64; 2]>, size: Size) -> std::result::Result<Shape, Fault> {
    if corners.len() < 3 {
        return Err(Fault::empty(format!("has an outline of {}", counted(corners.len(), "corner", "corners"))));
    }
    Shape::of_polygons(vec![corners], size)
}

/// A picture in base64 that is no larger than the photo, such as a mask.
pub(super) fn embedded_picture(base64: &str, size: Size) -> std::result::Result<DynamicImage, Fault> {
    let bytes = STANDARD.decode(base64.trim()).map_err(|error| format!("has a mask that is no base64: {error}"))?;
    let mut reader =
        image::ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(size.width() + 1);
    limits.max_image_height = Some(size.height() + 1);
    reader.limits(limits);
    Ok(reader.decode().map_err(|error| format!("has a mask that cannot be read: {error}"))?)
}

/// The corners of a rectangle that is turned clockwise about its first corner.
pub(super) fn rectangle([x, y]: [f64; 2], [width, height]: [f64; 2], degrees: f64) -> Vec<[f64; 2]> {
    let corners = [[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]];
    corners.into_iter().map(|corner| turned(corner, degrees)).map(|[dx, dy]| [x + dx, y + dy]).collect()
}

/// Corners on an ellipse that is turned clockwise about its centre.
pub(super) fn ellipse([x, y]: [f64; 2], [width, height]: [f64; 2], degrees: f64) -> Vec<[f64; 2]> {
    let corner = |at: u32| {
        let (sin, cos) = (f64::from(at) / f64::from(ELLIPSE_CORNERS) * std::f64::consts::TAU).sin_cos();
        let [dx, dy] = turned([width * cos, height * sin], degrees);
        [x + dx, y + dy]
    };
    (0..ELLIPSE_CORNERS).map(corner).collect()
}

fn turned([x, y]: [f64; 2], degrees: f64) -> [f64; 2] {
    let (sin, cos) = degrees.to_radians().sin_cos();
    [x * cos - y * sin, x * sin + y * cos]
}

/// The pixels of a picture of `size` in which `is_inside` holds, of column and row.
pub(super) fn pixels(size: Size, is_inside: impl Fn(u32, u32) -> bool) -> std::result::Result<Shape, Fault> {
    let (width, height) = (size.width(), size.height());
    let rows = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let data = rows.map(|(x, y)| u8::from(is_inside(x, y))).collect();
    let runs = Runs::of_class(&LabelImage { width, height, data }, 1);
    if runs.area_px() == 0 { Err(Fault::empty("has no pixel")) } else { Ok(Shape::Runs(runs)) }
}
