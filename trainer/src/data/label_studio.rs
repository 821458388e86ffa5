//! What Label Studio exports as JSON or JSON-MIN: one file of tasks, `ROOT/SPLIT.json` or `annotations`, with the photos in
//! `ROOT/SPLIT` or `images`.
//!
//! Brush strokes (its run-length code), bitmasks, polygons, rectangles and ellipses are regions. Of several annotations of a task the one
//! that is marked as ground truth counts, else the last that was not cancelled; a task without one is left out. A photo is found
//! by the name that the task has for it, without the eight characters and the hyphen that an upload puts in front.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::drawn::{
    Drawn, KnownLabels, NamedRegion, ellipse, embedded_picture, listing, named_apart, pixels, polygon, rectangle,
};
use super::photos::photos_below;
use super::regions::{Fault, Pieces, Shape};
use super::runs::Size;
use super::{Listing, PHOTO_EXTENSIONS, image_dimensions};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::text::{composed, read_text};

/// Lists the tasks of a file; the photos lie in `images`.
pub fn list(annotations: &Path, images: &Path, known: KnownLabels<'_>) -> Result<Listing> {
    let text = read_text(annotations)?;
    let mut tasks = Tasks::new(annotations, images)?;
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let result = deserializer.deserialize_any(EachTask(&mut |number, task| tasks.take(number, task)));
    result.and_then(|()| deserializer.end()).map_err(|error| Error::file(annotations, error.to_string()))?;
    let Tasks { mut photos, drawn, used, mut incomplete, unlabelled, .. } = tasks;
    photos.note_unused(&used, incomplete.is_empty() && unlabelled.is_empty());
    let drawn = named_apart(drawn, &mut incomplete);
    let mut found = listing(drawn, known, incomplete)?;
    found.notes.append(&mut photos.notes);
    if let Some(first) = unlabelled.first() {
        let (name, count) = (annotations.display(), counted(unlabelled.len(), "task", "tasks"));
        let such = if unlabelled.len() > 1 { "such as " } else { "" };
        found.notes.push(format!("left out: {name}: {count} without an annotation: {such}{first}"));
    }
    found.tables.push(annotations.to_owned());
    Ok(found)
}

/// Hands tasks on one by one: brush strokes are long lists of numbers, and not all of them are held at a time.
struct EachTask<'a>(&'a mut dyn FnMut(usize, Map<String, Value>));

impl<'de> Visitor<'de> for EachTask<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a list of tasks, as Label Studio exports them as JSON or JSON-MIN")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut tasks: A) -> std::result::Result<(), A::Error> {
        let mut number = 1;
        while let Some(task) = tasks.next_element()? {
            (self.0)(number, task);
            number += 1;
        }
        Ok(())
    }
}

/// What is gathered.
struct Tasks<'a> {
    path: &'a Path,
    photos: Photos,
    drawn: Vec<Drawn>,
    used: BTreeSet<PathBuf>,
    incomplete: Vec<String>,
    /// Tasks without an annotation, with what they call their photo.
    unlabelled: Vec<String>,
}

impl<'a> Tasks<'a> {
    fn new(path: &'a Path, images: &Path) -> Result<Self> {
        let photos = Photos::find(images)?;
        Ok(Self {
            path,
            photos,
            drawn: Vec::new(),
            used: BTreeSet::new(),
            incomplete: Vec::new(),
            unlabelled: Vec::new(),
        })
    }

    fn take(&mut self, number: usize, task: Map<String, Value>) {
        let name = task.get("id").map_or_else(|| format!("number {number}"), Value::to_string);
        match self.read(&task, &name) {
            Ok(Some(drawn)) => self.drawn.push(drawn),
            Ok(None) => {
                let photo = photo_names(&task).into_iter().next().map(|photo| format!(" ({photo})"));
                self.unlabelled.push(format!("task {name}{}", photo.unwrap_or_default()));
            }
            Err(cause) => self.incomplete.push(format!("{}: task {name}: {cause}", self.path.display())),
        }
    }

    fn read(&mut self, task: &Map<String, Value>, name: &str) -> std::result::Result<Option<Drawn>, String> {
        let Some(results) = results(task) else { return Ok(None) };
        let told = photo_names(task);
        let photo = self.photos.get(&told)?;
        let stem = self.photos.stem(&photo);
        if !self.used.insert(photo.clone()) {
            return Err(format!("{} has a task before it", photo.display()));
        }
        let (width, height) = image_dimensions(&photo).map_err(|error| error.to_string())?;
        let size = Size::new(width.into(), height.into())?;
        let labels: BTreeMap<&str, &str> = results
            .iter()
            .filter_map(|result| Some((result.get("id")?.as_str()?, label(result.get("value")?)?)))
            .collect();
        let (mut regions, mut pieces) = (Vec::new(), Pieces::default());
        for (number, result) in (1..).zip(&results) {
            let name = format!("region {number}");
            match region(result, &labels, size) {
                Ok(found) => regions.extend(found.map(|(label, shape)| NamedRegion { name, label, shape })),
                Err(fault) => pieces.leave_out(name, fault),
            }
        }
        let name = format!("{}: task {name}", self.path.display());
        Ok(Some(Drawn { stem, photo, path: self.path.to_owned(), name, size, regions, pieces }))
    }
}

/// The regions of a task, in the form of JSON or of JSON-MIN; [`None`] where it has no annotation.
fn results(task: &Map<String, Value>) -> Option<Vec<&Map<String, Value>>> {
    let Some(annotations) = task.get("annotations").or_else(|| task.get("completions")).filter(|list| list.is_array())
    else {
        // JSON-MIN: a list of regions under the name of each control that was used.
        if task.contains_key("data") {
            return None;
        }
        let found: Vec<_> = task
            .values()
            .flat_map(|list| match list {
                Value::Array(list) => list.iter().filter_map(Value::as_object).collect(),
                _ => Vec::new(),
            })
            .collect();
        return (!found.is_empty()).then_some(found);
    };
    let is = |annotation: &Map<String, Value>, key: &str| annotation.get(key).and_then(Value::as_bool).unwrap_or(false);
    let annotations: Vec<_> =
        objects(annotations).into_iter().filter(|annotation| !is(annotation, "was_cancelled")).collect();
    let truth = annotations.iter().find(|annotation| is(annotation, "ground_truth"));
    let chosen = truth.or(annotations.last())?;
    Some(chosen.get("result").map(objects).unwrap_or_default())
}

fn objects(list: &Value) -> Vec<&Map<String, Value>> {
    list.as_array().into_iter().flatten().filter_map(Value::as_object).collect()
}

/// What a task calls its photo: the names to look for, the best first.
fn photo_names(task: &Map<String, Value>) -> Vec<String> {
    let data = task.get("data").and_then(Value::as_object).unwrap_or(task);
    let upload = task.get("file_upload").and_then(Value::as_str);
    let mut told: Vec<&str> = ["image", "img", "photo"].iter().filter_map(|key| data.get(*key)?.as_str()).collect();
    let is_photo =
        |text: &&str| PHOTO_EXTENSIONS.iter().any(|ending| text.to_lowercase().contains(&format!(".{ending}")));
    told.extend(data.values().filter_map(Value::as_str).filter(is_photo));
    told.extend(upload);
    let mut names = Vec::new();
    for text in told {
        // `/data/local-files/?d=folder/a.jpg`, `s3://bucket/a.jpg?signature`, `C:\photos\a.jpg`.
        let path = match text.split_once("?d=") {
            Some((_, path)) => path.split('&').next().unwrap_or_default(),
            None => text.split('?').next().unwrap_or_default(),
        };
        let decoded = percent_decode_str(path).decode_utf8_lossy().replace('\\', "/");
        let last = decoded.rsplit('/').next().unwrap_or_default();
        names.extend([decoded.trim_start_matches('/').to_owned(), last.to_owned()]);
        if let Some((prefix, rest)) = last.split_once('-')
            && prefix.len() == 8
            && prefix.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            names.push(rest.to_owned());
        }
    }
    names
}

/// The photos of a folder by their paths below it and by their names.
struct Photos {
    folder: PathBuf,
    by_path: BTreeMap<String, PathBuf>,
    by_name: BTreeMap<String, Vec<PathBuf>>,
    /// What was left out of them.
    notes: Vec<String>,
}

impl Photos {
    fn find(folder: &Path) -> Result<Self> {
        let mut found =
            Self { folder: folder.to_owned(), by_path: BTreeMap::new(), by_name: BTreeMap::new(), notes: Vec::new() };
        for path in photos_below(folder, &mut found.notes)? {
            let below = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            let below = composed(&below);
            let name = below.rsplit('/').next().unwrap_or_default().to_owned();
            found.by_name.entry(name).or_default().push(path.clone());
            found.by_path.insert(below, path);
        }
        Ok(found)
    }

    /// Says how many photos no task is about, where `all_found`: else a task that could not be read may be about one of them.
    fn note_unused(&mut self, used: &BTreeSet<PathBuf>, all_found: bool) {
        let unused: Vec<&PathBuf> = self.by_path.values().filter(|photo| !used.contains(*photo)).collect();
        let Some(first) = unused.first().filter(|_| all_found) else { return };
        self.notes.push(match unused.len() {
            1 => format!("left out: {}: no task is about it", first.display()),
            count => format!("left out: {count} photos that no task is about, such as {}", first.display()),
        });
    }

    /// The path below the folder without extension, its folders joined by `_`, as for other layouts.
    fn stem(&self, photo: &Path) -> String {
        let below = photo.strip_prefix(&self.folder).unwrap_or(photo).with_extension("");
        below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("_")
    }

    fn get(&self, names: &[String]) -> std::result::Result<PathBuf, String> {
        for name in names.iter().map(|name| composed(name)) {
            if let Some(path) = self.by_path.get(&name) {
                return Ok(path.clone());
            }
            match self.by_name.get(&name).map(Vec::as_slice) {
                Some([path]) => return Ok(path.clone()),
                Some([path, ..]) => {
                    let name = path.file_name().unwrap_or_default().display();
                    return Err(format!("{name} is the name of several photos below {}", self.folder.display()));
                }
                _ => {}
            }
        }
        let told = names.first().map_or("names no photo".to_owned(), |name| format!("no photo `{name}`"));
        Err(format!("{told} in {}", self.folder.display()))
    }
}

/// The key of a value's labels, such as `brushlabels`, and the first of them.
fn labelled(value: &Value) -> Option<(&str, &str)> {
    let mut labels = value.as_object()?.iter().filter(|(key, _)| key.ends_with("labels"));
    labels.find_map(|(key, labels)| Some((key.as_str(), labels.as_array()?.first()?.as_str()?.trim())))
}

/// The label that a region's value has.
fn label(value: &Value) -> Option<&str> {
    labelled(value).map(|(_, label)| label)
}

/// Shares of the picture in percent, as far as a kind of region has them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Geometry {
    points: Option<Vec<[f64; 2]>>,
    rle: Option<Vec<u8>>,
    x: Option<f64>,
    y: Option<f64>,
    width: Option<f64>,
    height: Option<f64>,
    radius_x: Option<f64>,
    radius_y: Option<f64>,
    #[serde(rename = "imageDataURL")]
    picture: Option<String>,
    #[serde(default)]
    rotation: f64,
}

/// Label and shape of a region; nothing where a result is none, such as a choice or a comment.
fn region(
    result: &Map<String, Value>,
    labels: &BTreeMap<&str, &str>,
    size: Size,
) -> std::result::Result<Option<(String, Shape)>, Fault> {
    // JSON-MIN has no `value` around the numbers.
    let flat = Value::Object(result.clone());
    let value = result.get("value").filter(|value| value.is_object()).unwrap_or(&flat);
    let has = |key: &str| value.get(key).is_some();
    let is_region =
        ["points", "rle", "radiusX", "imageDataURL"].iter().any(|key| has(key)) || (has("width") && has("x"));
    let is_other = ["text", "keypointlabels", "choices", "vector", "vertices"].iter().any(|key| has(key));
    if !is_region || is_other {
        return match labelled(value) {
            None => Ok(None),
            Some(("keypointlabels", _)) => Err(Fault::empty("is a keypoint, which has no area")),
            Some(("vectorlabels", _)) => Err(Fault::empty("is a vector, which has no area")),
            Some((key, _)) => Err(format!("has `{key}`, and no outline, brush or bitmask that could be read").into()),
        };
    }
    let id = result.get("id").and_then(Value::as_str);
    let label = label(value).or_else(|| labels.get(id?).copied()).ok_or("has no label")?.to_owned();
    let sides = ["original_width", "original_height"].map(|key| result.get(key).and_then(Value::as_u64));
    if let [Some(width), Some(height)] = sides
        && (width, height) != (u64::from(size.width()), u64::from(size.height()))
    {
        return Err(format!("is of a picture of {width} x {height}, and the photo is {size}").into());
    }
    if result.get("image_rotation").and_then(Value::as_f64).is_some_and(|degrees| degrees != 0.0) {
        return Err("was drawn on a photo that was turned in Label Studio".into());
    }
    let geometry = Geometry::deserialize(value).map_err(|error| format!("cannot be read: {error}"))?;
    Ok(Some((label, shape(geometry, size)?)))
}

fn shape(geometry: Geometry, size: Size) -> std::result::Result<Shape, Fault> {
    let [width, height] = [size.width(), size.height()].map(f64::from);
    let px = |[x, y]: [f64; 2]| [x / 100.0 * width, y / 100.0 * height];
    let Geometry { points, rle, x, y, radius_x, radius_y, picture, rotation, .. } = geometry;
    if let Some(picture) = picture {
        return bitmask(&picture, size);
    }
    if let Some(rle) = rle {
        let alpha = brush_alpha(&rle, size)?;
        return pixels(size, |x, y| alpha[(y * size.width() + x) as usize] >= 128);
    }
    if let Some(points) = points {
        return polygon(points.into_iter().map(px).collect(), size);
    }
    let at = px([x.ok_or("has no x")?, y.ok_or("has no y")?]);
    match (radius_x, radius_y, geometry.width, geometry.height) {
        (Some(x), Some(y), ..) => polygon(ellipse(at, px([x, y]), rotation), size),
        (_, _, Some(width), Some(height)) => polygon(rectangle(at, px([width, height]), rotation), size),
        _ => Err("has neither width and height nor radii".into()),
    }
}

/// The pixels of a bitmask, a picture in a `data:` address: those that are not transparent, or in a picture without transparent
/// pixels those that are not black.
fn bitmask(address: &str, size: Size) -> std::result::Result<Shape, Fault> {
    let base64 = address.split_once("base64,").map(|(_, base64)| base64);
    let picture =
        embedded_picture(base64.ok_or("has a bitmask that is no data: address in base64")?, size)?.into_rgba8();
    if picture.dimensions() != (size.width(), size.height()) {
        let (width, height) = picture.dimensions();
        return Err(format!("has a bitmask of {width} x {height}, and the photo is {size}").into());
    }
    let has_transparency = picture.pixels().any(|pixel| pixel[3] < 128);
    pixels(size, |x, y| match picture.get_pixel(x, y).0 {
        [_, _, _, alpha] if has_transparency => alpha >= 128,
        [red, green, blue, _] => red.max(green).max(blue) > 0,
    })
}

/// The alpha of Label Studio's run-length code of an RGBA picture (`decode_rle` of its converter): the number of bytes in 32 bits,
/// the bits of a value less 1 in 5, four lengths of numbers less 1 in 4 each; then runs: a bit that says whether one value is
/// repeated, two bits that choose the length of the number that follows, the number of values less 1, and the value or values.
fn brush_alpha(code: &[u8], size: Size) -> std::result::Result<Vec<u8>, String> {
    let mut bits = Bits { code, at: 0 };
    let count = bits.take(32)? as usize;
    let expected = size.pixels() as usize * 4;
    if count != expected {
        return Err(format!("has a brush of {count} bytes, and the photo of {size} needs {expected}"));
    }
    let value_bits = bits.take(5)? + 1;
    let mut lengths = [0; 4];
    for length in &mut lengths {
        *length = bits.take(4)? + 1;
    }
    let mut alpha = vec![0; size.pixels() as usize];
    let mut put = |at: usize, value: u32| {
        if at % 4 == 3 {
            alpha[at / 4] = value.min(255) as u8;
        }
    };
    let mut at = 0;
    while at < count {
        let is_repeated = bits.take(1)? == 1;
        let length = lengths[bits.take(2)? as usize];
        let end = at + 1 + bits.take(length)? as usize;
        if end > count {
            return Err(format!("has a brush that goes on behind its {count} bytes"));
        }
        let mut value = 0;
        for position in at..end {
            if !is_repeated || position == at {
                value = bits.take(value_bits)?;
            }
            put(position, value);
        }
        at = end;
    }
    Ok(alpha)
}

/// Bits of bytes, the highest first.
struct Bits<'a> {
    code: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next bits, at most 32, as a number.
    fn take(&mut self, count: u32) -> std::result::Result<u32, String> {
        let mut number = 0;
        for _ in 0..count {
            let byte = self.code.get(self.at / 8).ok_or("has a brush that is cut off")?;
            number = number << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests;
