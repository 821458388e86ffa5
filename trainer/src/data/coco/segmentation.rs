//! COCO's `segmentation`: polygons or a run-length code.

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::number::Whole;
use crate::counted::counted;
use crate::data::regions::{Fault, Shape};
use crate::data::run_length::{from_counts, parse_compressed};
use crate::data::runs::Size;

/// A segmentation as it is written.
#[derive(Debug)]
pub(super) enum Segmentation {
    /// `[[x0, y0, x1, y1, ...], ...]`, or one polygon alone; `[x, y]` may stand for each `x, y`.
    Polygons(Vec<Vec<f64>>),
    /// `{"size": [height, width], "counts": ...}`.
    RunLength(RunLength),
}

/// A run-length code.
#[derive(Debug, Deserialize)]
pub(super) struct RunLength {
    size: [Whole; 2],
    counts: Counts,
}

#[derive(Debug)]
enum Counts {
    Numbers(Vec<Whole>),
    Text(String),
}

impl Segmentation {
    /// The shape in a picture of `size`, with all numbers checked.
    pub fn into_shape(self, size: Size) -> Result<Shape, Fault> {
        match self {
            Segmentation::Polygons(polygons) => shape_of(&polygons, size),
            Segmentation::RunLength(code) => {
                let [height, width] = [code.size[0].count()?, code.size[1].count()?];
                if (width, height) != (u64::from(size.width()), u64::from(size.height())) {
                    return Err(format!("has a code for {width} x {height}, and its image is {size}").into());
                }
                let counts = match code.counts {
                    Counts::Numbers(counts) => counts.into_iter().map(Whole::count).collect::<Result<_, _>>()?,
                    Counts::Text(text) => parse_compressed(&text)?,
                };
                let runs = from_counts(&counts, size)?;
                if runs.area_px() == 0 { Err(Fault::empty("has an empty code")) } else { Ok(Shape::Runs(runs)) }
            }
        }
    }
}

/// Polygons of fewer than 3 corners hold nothing, and are left out where there are others.
fn shape_of(polygons: &[Vec<f64>], size: Size) -> Result<Shape, Fault> {
    let mut rings = Vec::with_capacity(polygons.len());
    let mut fewest = None;
    for numbers in polygons {
        if !numbers.len().is_multiple_of(2) {
            return Err(format!(
                "has a polygon of {}; pairs of x and y were expected",
                counted(numbers.len(), "number", "numbers")
            )
            .into());
        }
        let ring: Vec<[f64; 2]> = numbers.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
        if ring.len() < 3 {
            fewest = Some(ring.len());
        } else {
            rings.push(ring);
        }
    }
    if rings.is_empty() {
        return Err(Fault::empty(match fewest {
            Some(corners) => format!("has a polygon of {}", counted(corners, "corner", "corners")),
            None => "has no polygon".to_owned(),
        }));
    }
    Shape::of_polygons(rings, size)
}

/// A polygon, or a number of one that stands alone.
#[derive(Debug)]
enum Part {
    Number(f64),
    Polygon(Vec<f64>),
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Part;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a polygon")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Part, A::Error> {
                let mut numbers = Vec::with_capacity(parts.size_hint().unwrap_or_default());
                while let Some(part) = parts.next_element()? {
                    match part {
                        Part::Number(number) => numbers.push(number),
                        Part::Polygon(pair) if pair.len() == 2 => numbers.extend(pair),
                        Part::Polygon(_) => return Err(serde::de::Error::custom("a list stands in a polygon")),
                    }
                }
                Ok(Part::Polygon(numbers))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Part, E> {
                Ok(Part::Number(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Part, E> {
                Ok(Part::Number(number as f64))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Part, E> {
                Ok(Part::Number(number as f64))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

// By hand and not `untagged`: that would copy every polygon once more, and say of damage only that nothing matched.
impl<'de> Deserialize<'de> for Segmentation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Segmentation;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a list of polygons, or a run-length code")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Self::Value, A::Error> {
                polygons(parts).map(Segmentation::Polygons)
            }

            fn visit_map<A: MapAccess<'de>>(self, code: A) -> Result<Self::Value, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(code)).map(Segmentation::RunLength)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Reads polygons one by one, or the numbers of one.
fn polygons<'de, A: SeqAccess<'de>>(mut parts: A) -> Result<Vec<Vec<f64>>, A::Error> {
    let (mut polygons, mut alone) = (Vec::new(), Vec::new());
    while let Some(part) = parts.next_element()? {
        match part {
            Part::Polygon(polygon) if alone.is_empty() => polygons.push(polygon),
            Part::Number(number) if polygons.is_empty() => alone.push(number),
            _ => return Err(serde::de::Error::custom("numbers stand beside polygons")),
        }
    }
    if !alone.is_empty() {
        polygons.push(alone);
    }
    // Corners, one by one, of one polygon.
    if polygons.len() >= 3 && polygons.iter().all(|corner| corner.len() == 2) {
        return Ok(vec![polygons.concat()]);
    }
    Ok(polygons)
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Counts;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("counts as numbers, or compressed as text")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, numbers: A) -> Result<Self::Value, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(numbers)).map(Counts::Numbers)
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Counts::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}
