use crate::polygon::{Polygon, PolygonOptions};
use crate::segmenter::{ClassRegion, Segmentation};

/// The polygons of one class that is present.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClassOutline<'a> {
    /// The class.
    pub region: &'a ClassRegion,
    /// Its pieces in photo pixels; none when all are smaller than asked for.
    pub polygons: Vec<Polygon>,
}

impl<'a> ClassOutline<'a> {
    /// Polygons of one's own for a class that is present.
    #[must_use]
    pub fn new(region: &'a ClassRegion, polygons: Vec<Polygon>) -> Self {
        Self { region, polygons }
    }
}

/// The outlines of those of `classes` that are present, in index order. Several formats are made from them.
pub(super) fn outlines<'a>(
    segmentation: &'a Segmentation,
    classes: &[usize],
    options: &PolygonOptions,
) -> Vec<ClassOutline<'a>> {
    let wanted = segmentation.regions().iter().filter(|region| classes.contains(&region.class));
    // One cut of the photo serves all classes.
    let partition = segmentation.partition(options);
    wanted.map(|region| ClassOutline::new(region, partition.polygons(region.class))).collect()
}
