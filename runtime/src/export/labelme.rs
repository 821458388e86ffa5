use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::format::{Exporter, Needs};
use super::masks::pack;
use super::outline::ClassOutline;
use super::png::{Header, Pixels, encode};
use super::view::PhotoView;
use crate::error::{Error, Result};
use crate::polygon::Polygon;

/// The version of labelme whose format this is; any later one reads it.
const VERSION: &str = "5.5.0";

#[derive(Serialize)]
struct Json<'a> {
    version: &'static str,
    flags: Nothing,
    shapes: Vec<Shape<'a>>,
    #[serde(rename = "imagePath")]
    image_path: &'a str,
    #[serde(rename = "imageData")]
    image_data: Option<&'a str>,
    #[serde(rename = "imageHeight")]
    image_height: u32,
    #[serde(rename = "imageWidth")]
    image_width: u32,
}

/// An empty object.
#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Shape<'a> {
    label: &'a str,
    points: Vec<[f32; 2]>,
    group_id: usize,
    description: &'static str,
    shape_type: &'static str,
    flags: Nothing,
    mask: Option<String>,
}

/// `NAME.labelme.json`: outlines for the annotation tool labelme.
pub(super) struct Labelme;

impl Exporter for Labelme {
    fn name(&self) -> &'static str {
        "labelme"
    }

    fn about(&self) -> &'static str {
        "for labelme: one polygon per connected region; a region with holes is a `mask` shape, as labelme's polygons have none; \
         `group_id` = class index"
    }

    fn needs(&self) -> Needs {
        Needs { outlines: true, path: true, ..Needs::default() }
    }

    fn photo_suffixes(&self) -> &'static [&'static str] {
        &[".labelme.json"]
    }

    fn photo_files(&self, photo: &PhotoView<'_>) -> Result<Vec<Vec<u8>>> {
        Ok(vec![labelme(photo.size(), &photo.outlines, photo.path)?])
    }
}

/// The outlines as labelme's JSON: one shape a piece, the pieces of one class in one group (`group_id` = class index).
///
/// labelme's polygons have no holes. A piece with holes is a shape of the type `mask` instead: exact, but not to be edited
/// point by point. `image_path` leads from the JSON's folder to the photo; the photo itself is not in it.
///
/// # Errors
/// [`Error::Encode`].
fn labelme(size: (u32, u32), outlines: &[ClassOutline<'_>], image_path: &str) -> Result<Vec<u8>> {
    let mut shapes = Vec::new();
    for outline in outlines {
        for polygon in &outline.polygons {
            shapes.extend(shape(outline, polygon, size)?);
        }
    }
    let json = Json {
        version: VERSION,
        flags: Nothing {},
        shapes,
        image_path,
        image_data: None,
        image_height: size.1,
        image_width: size.0,
    };
    serde_json::to_vec(&json).map_err(|error| Error::Encode { what: "labelme file", reason: error.to_string() })
}

/// Nothing for a piece with holes in which no pixel has its centre.
fn shape<'a>(outline: &ClassOutline<'a>, polygon: &Polygon, size: (u32, u32)) -> Result<Option<Shape<'a>>> {
    let shape = |shape_type, points, mask| Shape {
        label: &outline.region.name,
        points,
        group_id: outline.region.class,
        description: "",
        shape_type,
        flags: Nothing {},
        mask,
    };
    if polygon.holes.is_empty() {
        return Ok(Some(shape("polygon", polygon.exterior.clone(), None)));
    }
    let Some([left, top, right, bottom]) = pixel_bounds(polygon, size) else { return Ok(None) };
    let (width, height) = (right - left, bottom - top);
    let header = Header { what: "labelme mask", width, height, pixels: Pixels::Bits, icc: None };
    let mut mask = vec![0_u8; (width as usize).next_multiple_of(8)];
    let png = encode(&header, |y, row| {
        mask.fill(0);
        for [from, to] in row_spans(polygon, top + y as u32) {
            let column = |x: u32| (x.clamp(left, right) - left) as usize;
            mask[column(from)..column(to)].fill(255);
        }
        pack(&mask, row);
    })?;
    // Its points are the first and the last pixel of the mask.
    let points = vec![[left as f32, top as f32], [(right - 1) as f32, (bottom - 1) as f32]];
    Ok(Some(shape("mask", points, Some(STANDARD.encode(png)))))
}

/// The pixels that the exterior touches: left, top, right, bottom, the last two exclusive.
fn pixel_bounds(polygon: &Polygon, (width, height): (u32, u32)) -> Option<[u32; 4]> {
    let ends = |axis: usize, length: u32| {
        let values = polygon.exterior.iter().map(|point| point[axis]);
        let (least, most) =
            values.fold((f32::INFINITY, f32::NEG_INFINITY), |(least, most), v| (least.min(v), most.max(v)));
        let (first, last) = (least.floor().max(0.0) as u32, (most.ceil().max(0.0) as u32).min(length));
        (first < last).then_some([first, last])
    };
    let ([left, right], [top, bottom]) = (ends(0, width)?, ends(1, height)?);
    Some([left, top, right, bottom])
}

/// The runs of pixels of a row whose centres lie in a polygon (even-odd): first column, column after the last.
fn row_spans(polygon: &Polygon, y: u32) -> Vec<[u32; 2]> {
    let center = f64::from(y) + 0.5;
    let mut crossings = Vec::new();
    for ring in std::iter::once(&polygon.exterior).chain(&polygon.holes) {
        let next = ring.iter().cycle().skip(1);
        for (a, b) in ring.iter().zip(next) {
            let ([ax, ay], [bx, by]) = (a.map(f64::from), b.map(f64::from));
            // Half open, so that a point on the line counts once.
            if (ay <= center) != (by <= center) {
                crossings.push(ax + (center - ay) / (by - ay) * (bx - ax));
            }
        }
    }
    crossings.sort_unstable_by(f64::total_cmp);
    // A pixel is inside from the first centre at or after a crossing on.
    let column = |x: f64| (x - 0.5).ceil().max(0.0) as u32;
    crossings.chunks_exact(2).map(|pair| [column(pair[0]), column(pair[1])]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postprocess::PixelBox;
    use crate::segmenter::ClassRegion;

    fn region() -> ClassRegion {
        let bounds = PixelBox { x: 0, y: 0, width: 6, height: 5 };
        ClassRegion { class: 3, name: "coat".into(), area_px: 28, area_share: 0.5, bounds, confidence: 0.5 }
    }

    fn square(left: f32, top: f32, right: f32, bottom: f32) -> Vec<[f32; 2]> {
        vec![[left, top], [right, top], [right, bottom], [left, bottom]]
    }

    #[test]
    fn a_piece_is_a_polygon_and_one_with_holes_a_mask() {
        let region = region();
        let whole = Polygon { exterior: square(0.0, 0.0, 2.0, 2.0), holes: Vec::new() };
        let holed = Polygon { exterior: square(3.0, 1.0, 12.0, 5.0), holes: vec![square(4.0, 2.0, 6.0, 3.0)] };
        let outlines = [ClassOutline { region: &region, polygons: vec![whole, holed] }];
        let json = labelme((12, 9), &outlines, "../a.jpg").unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!((json["imagePath"].as_str(), json["imageHeight"].as_u64()), (Some("../a.jpg"), Some(9)));
        assert!(json["imageData"].is_null() && json["flags"].is_object());
        let [polygon, mask] = &json["shapes"].as_array().unwrap()[..] else { panic!("{json}") };
        assert_eq!(polygon["points"], serde_json::json!([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]]));
        assert_eq!((polygon["shape_type"].as_str(), polygon["group_id"].as_u64()), (Some("polygon"), Some(3)));
        assert_eq!(mask["points"], serde_json::json!([[3.0, 1.0], [11.0, 4.0]]));
        let png = STANDARD.decode(mask["mask"].as_str().unwrap()).unwrap();
        let pixels = image::load_from_memory(&png).unwrap().into_luma8();
        assert_eq!(pixels.dimensions(), (9, 4));
        for (x, y, pixel) in pixels.enumerate_pixels() {
            let hole = y == 1 && (1..3).contains(&x);
            assert_eq!(pixel[0], if hole { 0 } else { 255 }, "{x}, {y}");
        }
    }

    #[test]
    fn a_slanted_edge_takes_the_pixels_whose_centres_it_encloses() {
        let triangle = Polygon { exterior: vec![[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]], holes: Vec::new() };
        // The slanted edge runs through the centres of (3, 0), (2, 1) ...: they are outside.
        let rows: Vec<_> = (0..5).map(|y| row_spans(&triangle, y)).collect();
        assert_eq!(rows, [vec![[0, 3]], vec![[0, 2]], vec![[0, 1]], vec![[0, 0]], vec![]]);
    }
}
