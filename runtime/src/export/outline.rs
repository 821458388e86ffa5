use rayon::prelude::*;

use crate::polygon::{Polygon, PolygonOptions};
use crate::segmenter::{ClassRegion, Segmentation};

/// The polygons of one class that is present.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline<'a> {
    /// The class.
    pub region: &'a ClassRegion,
    /// Its pieces in photo pixels; none when all are smaller than asked for.
    pub polygons: Vec<Polygon>,
}

/// The outlines of those of `classes` that are present, in index order. Several formats are made from them.
pub fn outlines<'a>(segmentation: &'a Segmentation, classes: &[usize], options: &PolygonOptions) -> Vec<Outline<'a>> {
    let wanted: Vec<_> = segmentation.regions().iter().filter(|region| classes.contains(&region.class)).collect();
    let outline = |region| Outline { region, polygons: segmentation.polygons_of(region, options) };
    wanted.into_par_iter().map(outline).collect()
}
