//! COCO's `segmentation`: polygons or a run-length code.

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use crate::data::polygon;
use crate::data::regions::Shape;
use crate::data::run_length::{from_counts, parse_compressed};
use crate::data::runs::Size;

/// A segmentation as it is written.
#[derive(Debug)]
pub(super) enum Segmentation {
    /// `[[x0, y0, x1, y1, ...], ...]`.
    Polygons(Vec<Vec<f64>>),
    /// `{"size": [height, width], "counts": ...}`.
    RunLength(RunLength),
}

/// A run-length code.
#[derive(Debug, Deserialize)]
pub(super) struct RunLength {
    size: [u64; 2],
    counts: Counts,
}

#[derive(Debug)]
enum Counts {
    Numbers(Vec<u64>),
    Text(String),
}

impl Segmentation {
    /// The shape in a picture of `size`, with all numbers checked.
    pub fn into_shape(self, size: Size) -> Result<Shape, String> {
        match self {
            Segmentation::Polygons(polygons) => shape_of(&polygons, size),
            Segmentation::RunLength(code) => {
                let [height, width] = code.size;
                if (width, height) != (u64::from(size.width()), u64::from(size.height())) {
                    return Err(format!("has a code for {width} x {height}, and its image is {size}"));
                }
                let counts = match code.counts {
                    Counts::Numbers(counts) => counts,
                    Counts::Text(text) => parse_compressed(&text)?,
                };
                let runs = from_counts(&counts, size)?;
                if runs.area_px() == 0 { Err("has an empty code".to_owned()) } else { Ok(Shape::Runs(runs)) }
            }
        }
    }
}

fn shape_of(polygons: &[Vec<f64>], size: Size) -> Result<Shape, String> {
    if polygons.is_empty() {
        return Err("has no polygon".to_owned());
    }
    let mut rings = Vec::with_capacity(polygons.len());
    for numbers in polygons {
        if !numbers.len().is_multiple_of(2) {
            return Err(format!("has a polygon of {} numbers; pairs of x and y were expected", numbers.len()));
        }
        let ring: Vec<[f64; 2]> = numbers.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
        rings.push(ring);
    }
    polygon::check(&rings, size)?;
    Ok(Shape::Polygons(rings))
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

            fn visit_seq<A: SeqAccess<'de>>(self, polygons: A) -> Result<Self::Value, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(polygons)).map(Segmentation::Polygons)
            }

            fn visit_map<A: MapAccess<'de>>(self, code: A) -> Result<Self::Value, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(code)).map(Segmentation::RunLength)
            }
        }
        deserializer.deserialize_any(Either)
    }
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
