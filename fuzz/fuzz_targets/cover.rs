//! What every partition of a photo must be.

use clothseg::polygon::Partition;

fn area(ring: &[[f32; 2]]) -> f64 {
    let next = ring.iter().cycle().skip(1);
    let sum: f64 =
        ring.iter().zip(next).map(|(a, b)| f64::from(a[0]) * f64::from(b[1]) - f64::from(b[0]) * f64::from(a[1])).sum();
    sum / 2.0
}

/// Asserts that the polygons of classes 0 to `classes` - 1 cover `pixels` pixels once, and that exteriors and holes turn as
/// they should.
pub fn assert_cover(partition: &Partition, classes: usize, pixels: usize) {
    let mut covered = 0.0;
    for polygon in (0..classes).flat_map(|class| partition.polygons(class)) {
        let own = area(&polygon.exterior);
        assert!(own > 0.0 && polygon.holes.iter().all(|hole| area(hole) < 0.0), "{polygon:?}");
        covered += own + polygon.holes.iter().map(|hole| area(hole)).sum::<f64>();
    }
    let whole = pixels as f64;
    assert!((covered - whole).abs() < 1e-3 * whole, "{covered} of {whole} pixels are covered");
}
