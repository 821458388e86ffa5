//! Segmentation labels as Ultralytics reads them: a text file per photo with a line per piece, `class x y x y ...`, where the
//! coordinates are shares of the photo's width and height, and `data.yaml` and `classes.txt` for all of them.
//!
//! Background is no class there, so numbers are class indices less 1, whatever classes are asked for. A ring has no holes in this
//! format: each hole is joined to the outline by a cut of no width, there and back.

use std::fmt::Write as _;
use std::io::Write;

use super::format::{Exporter, Needs};
use super::view::{PhotoView, RunView};
use crate::error::{Error, Result};
use crate::polygon::Polygon;

/// Names of the files of a run.
const DATA: &str = "data.yaml";
const CLASSES: &str = "classes.txt";

/// `NAME.txt`, `data.yaml` and `classes.txt`.
pub(super) struct Yolo;

impl Exporter for Yolo {
    fn name(&self) -> &'static str {
        "yolo"
    }

    fn about(&self) -> &'static str {
        "for Ultralytics: one line per connected region, with the class index minus 1 and the polygon as shares of width and height; \
         `classes.txt` and `data.yaml` have the names. Put the photos beside the labels"
    }

    fn needs(&self) -> Needs {
        Needs { outlines: true, ..Needs::default() }
    }

    fn holds_background(&self) -> bool {
        false
    }

    fn photo_suffixes(&self) -> &'static [&'static str] {
        &[".txt"]
    }

    fn run_files(&self) -> &'static [&'static str] {
        &[DATA, CLASSES]
    }

    fn photo_files(&self, photo: &PhotoView<'_>) -> Result<Vec<Vec<u8>>> {
        let (width, height) = photo.size();
        let mut text = String::new();
        for outline in &photo.outlines {
            let Some(class) = outline.region.class.checked_sub(1) else { continue };
            for polygon in &outline.polygons {
                text.push_str(&class.to_string());
                for [x, y] in ring(polygon) {
                    let share = |at: f32, side: u32| (f64::from(at) / f64::from(side)).clamp(0.0, 1.0);
                    // Writing to a string cannot fail.
                    let _ = write!(text, " {:.6} {:.6}", share(x, width), share(y, height));
                }
                text.push('\n');
            }
        }
        Ok(vec![text.into_bytes()])
    }

    fn run_file(&self, name: &str, run: &RunView<'_>, out: &mut dyn Write) -> Result<()> {
        let names = run.taxonomy.classes.iter().skip(1).map(|class| class.name.replace(['\n', '\r'], " "));
        let mut text = String::new();
        if name == DATA {
            text.push_str("path: .\ntrain: .\nval: .\nnames:\n");
            for (index, name) in names.enumerate() {
                // Text in JSON is text in YAML.
                let _ = writeln!(text, "  {index}: {}", serde_json::Value::from(name));
            }
        } else {
            names.for_each(|name| text.extend([name.as_str(), "\n"]));
        }
        out.write_all(text.as_bytes()).map_err(|error| Error::Encode { what: "YOLO file", reason: error.to_string() })
    }
}

/// The outline as one ring: each hole is entered and left at the two points, one on either side, that are nearest to each other.
pub(super) fn ring(polygon: &Polygon) -> Vec<[f32; 2]> {
    let mut ring = polygon.exterior.clone();
    let mut holes: Vec<&Vec<[f32; 2]>> = polygon.holes.iter().filter(|hole| !hole.is_empty()).collect();
    while let Some((at, from, to)) = nearest(&ring, &holes) {
        let hole = holes.swap_remove(at);
        let there = hole[to..].iter().chain(&hole[..=to]);
        let detour: Vec<[f32; 2]> = there.chain(std::iter::once(&ring[from])).copied().collect();
        ring.splice(from + 1..from + 1, detour);
    }
    ring
}

/// The hole that is nearest to the ring, and the points where they are: hole, point of the ring, point of the hole.
fn nearest(ring: &[[f32; 2]], holes: &[&Vec<[f32; 2]>]) -> Option<(usize, usize, usize)> {
    let mut best = None;
    let mut least = f32::INFINITY;
    for (at, hole) in holes.iter().enumerate() {
        for (from, a) in ring.iter().enumerate() {
            for (to, b) in hole.iter().enumerate() {
                let distance = (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
                if best.is_none() || distance < least {
                    (best, least) = (Some((at, from, to)), distance);
                }
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(left: f32, top: f32, side: f32) -> Vec<[f32; 2]> {
        vec![[left, top], [left + side, top], [left + side, top + side], [left, top + side]]
    }

    /// Twice the area within a ring, with its sign.
    fn area(ring: &[[f32; 2]]) -> f32 {
        ring.iter().zip(ring.iter().cycle().skip(1)).map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum()
    }

    #[test]
    fn holes_are_joined_to_the_outline_and_take_their_area_off() {
        let mut hole = square(2.0, 2.0, 3.0);
        hole.reverse();
        let mut other = square(6.0, 6.0, 2.0);
        other.reverse();
        let polygon = Polygon { exterior: square(0.0, 0.0, 10.0), holes: vec![hole, other] };
        let ring = ring(&polygon);
        assert_eq!(ring.len(), 4 + 2 * (4 + 2));
        assert_eq!(area(&ring) / 2.0, 100.0 - 9.0 - 4.0);
    }
}
