#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use geo::{LineString, MultiPolygon, Validation};
use proptest::prelude::*;

use super::*;

mod partition;
mod smooth;

const EXACT: PolygonOptions = pixels(0.0, 0.0);

const fn pixels(tolerance_px: f64, min_area_px: f64) -> PolygonOptions {
    PolygonOptions { tolerance_px, min_area_px, outline: Outline::Pixels }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mask {
    labels: Vec<u8>,
    width: u32,
    height: u32,
}

impl Mask {
    /// '#' is the class.
    fn drawn(rows: &[&str]) -> Self {
        let labels: Vec<u8> = rows.concat().bytes().map(|c| if c == b'#' { 3 } else { 0 }).collect();
        Self { labels, width: rows[0].len() as u32, height: rows.len() as u32 }
    }

    fn of(width: u32, height: u32, inside: impl Fn(f64, f64) -> bool) -> Self {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (f64::from(x) + 0.5, f64::from(y) + 0.5)));
        Self { labels: pixels.map(|(x, y)| if inside(x, y) { 3 } else { 0 }).collect(), width, height }
    }

    fn polygons(&self, options: &PolygonOptions) -> Vec<Polygon> {
        let bounds = PixelBox { x: 0, y: 0, width: self.width, height: self.height };
        polygons(&self.labels, self.width, self.height, 3, bounds, options)
    }

    fn pixels(&self) -> usize {
        self.labels.iter().filter(|&&label| label == 3).count()
    }

    /// Even-odd scanline at pixel centres, all polygons together.
    fn rasterised(polygons: &[Polygon], width: u32, height: u32) -> Self {
        let mut labels = vec![0; (width * height) as usize];
        for ring in polygons.iter().flat_map(rings) {
            for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
                let ([ax, ay], [bx, by]) = (a.map(f64::from), b.map(f64::from));
                for y in 0..height {
                    let centre = f64::from(y) + 0.5;
                    if (ay < centre) == (by < centre) {
                        continue;
                    }
                    let crossing = ax + (bx - ax) * (centre - ay) / (by - ay);
                    // A centre exactly on the crossing counts as right of it.
                    let first = (crossing - 0.5).ceil().clamp(0.0, f64::from(width)) as u32;
                    for x in first..width {
                        labels[(y * width + x) as usize] ^= 3;
                    }
                }
            }
        }
        Self { labels, width, height }
    }

    fn iou(&self, other: &Self) -> f64 {
        let pairs = || self.labels.iter().zip(&other.labels);
        let both = pairs().filter(|(a, b)| **a == 3 && **b == 3).count();
        let any = pairs().filter(|(a, b)| **a == 3 || **b == 3).count();
        both as f64 / any as f64
    }

    /// Whether all pixels within `radius` of this one (and within the frame) agree with it.
    fn is_settled(&self, x: u32, y: u32, radius: f64) -> bool {
        let reach = radius.ceil() as u32;
        let at = |x: u32, y: u32| self.labels[(y * self.width + x) as usize];
        (y.saturating_sub(reach)..self.height.min(y + reach + 1)).all(|v| {
            (x.saturating_sub(reach)..self.width.min(x + reach + 1)).all(|u| {
                let far = f64::from(u.abs_diff(x)).hypot(f64::from(v.abs_diff(y))) > radius;
                far || at(u, v) == at(x, y)
            })
        })
    }
}

fn rings(polygon: &Polygon) -> impl Iterator<Item = &Vec<[f32; 2]>> {
    std::iter::once(&polygon.exterior).chain(&polygon.holes)
}

fn area(ring: &[[f32; 2]]) -> f64 {
    let next = ring.iter().cycle().skip(1);
    let cross = |(a, b): (&[f32; 2], &[f32; 2])| f64::from(a[0]) * f64::from(b[1]) - f64::from(b[0]) * f64::from(a[1]);
    ring.iter().zip(next).map(cross).sum::<f64>() / 2.0
}

fn total_area(polygons: &[Polygon]) -> f64 {
    polygons.iter().flat_map(rings).map(|ring| area(ring)).sum()
}

fn assert_valid(polygons: &[Polygon]) {
    for polygon in polygons {
        assert!(area(&polygon.exterior) > 0.0, "{polygon:?}");
        assert!(polygon.holes.iter().all(|hole| area(hole) < 0.0), "{polygon:?}");
        for ring in rings(polygon) {
            let mut points: Vec<_> = ring.iter().map(|p| p.map(f32::to_bits)).collect();
            points.sort_unstable();
            points.dedup();
            assert_eq!(points.len(), ring.len(), "a ring visits a point twice: {ring:?}");
        }
    }
    let line = |ring: &Vec<[f32; 2]>| LineString::from(ring.iter().map(|p| p.map(f64::from)).collect::<Vec<_>>());
    let polygon = |p: &Polygon| geo::Polygon::new(line(&p.exterior), p.holes.iter().map(line).collect());
    let all = MultiPolygon::new(polygons.iter().map(polygon).collect());
    all.check_validation().unwrap_or_else(|error| panic!("{error}: {polygons:?}"));
}

fn assert_exact(mask: &Mask) {
    let polygons = mask.polygons(&EXACT);
    assert_eq!(&Mask::rasterised(&polygons, mask.width, mask.height), mask);
    assert_eq!(total_area(&polygons), mask.pixels() as f64);
    assert_valid(&polygons);
}

/// What may be asked of any simplified outline.
fn assert_close(mask: &Mask, tolerance_px: f64) {
    let polygons = mask.polygons(&pixels(tolerance_px, 0.0));
    assert_valid(&polygons);
    assert_eq!(polygons.len(), mask.polygons(&EXACT).len());
    let drawn = Mask::rasterised(&polygons, mask.width, mask.height);
    let reach = tolerance_px + tolerance_px.min(1.0) + 0.8;
    for (i, (a, b)) in mask.labels.iter().zip(&drawn.labels).enumerate() {
        let (x, y) = (i as u32 % mask.width, i as u32 / mask.width);
        assert!(a == b || !mask.is_settled(x, y, reach), "({x}, {y}) of {mask:?}: {polygons:?}");
    }
}

#[test]
fn nothing_gives_nothing() {
    assert!(Mask::drawn(&["...", "..."]).polygons(&EXACT).is_empty());
    assert!(Mask { labels: vec![], width: 0, height: 0 }.polygons(&PolygonOptions::default()).is_empty());
}

#[test]
fn one_pixel_is_a_square_clockwise_on_screen() {
    let square = vec![[0., 0.], [1., 0.], [1., 1.], [0., 1.]];
    assert_eq!(Mask::drawn(&["#"]).polygons(&EXACT), [Polygon { exterior: square, holes: vec![] }]);
    let inner = [[1., 1.], [2., 1.], [2., 2.], [1., 2.]];
    for tolerance_px in [0.0, 1.0, 100.0] {
        let options = pixels(tolerance_px, 0.0);
        let polygons = Mask::drawn(&["...", ".#.", "..."]).polygons(&options);
        assert_eq!(polygons.len(), 1);
        assert_eq!(total_area(&polygons), 1.0);
        assert!(inner.iter().all(|point| polygons[0].exterior.contains(point)));
    }
}

#[test]
fn the_full_frame_is_its_rectangle() {
    let full = Mask::of(200, 130, |_, _| true);
    for options in [EXACT, PolygonOptions::default()] {
        let exterior = vec![[0., 0.], [200., 0.], [200., 130.], [0., 130.]];
        assert_eq!(full.polygons(&options), [Polygon { exterior, holes: vec![] }]);
    }
}

#[test]
fn a_ring_has_its_hole_anticlockwise() {
    let polygons = Mask::drawn(&["####", "#..#", "####"]).polygons(&EXACT);
    assert_eq!(polygons.len(), 1);
    assert_eq!(polygons[0].exterior, [[0., 0.], [4., 0.], [4., 3.], [0., 3.]]);
    assert_eq!(polygons[0].holes.len(), 1);
    assert_eq!(area(&polygons[0].holes[0]), -2.0);
}

#[test]
fn an_island_in_a_hole_is_its_own_polygon_and_a_neighbour_keeps_its_own_hole() {
    let mask = Mask::drawn(&[
        "#######.....",
        "#.....#.####",
        "#.###.#.#..#",
        "#.#.#.#.####",
        "#.###.#.....",
        "#.....#.....",
        "#######.....",
    ]);
    assert_exact(&mask);
    let polygons = mask.polygons(&EXACT);
    let areas: Vec<Vec<f64>> = polygons.iter().map(|p| rings(p).map(|r| area(r)).collect()).collect();
    assert_eq!(areas, [vec![49.0, -25.0], vec![12.0, -2.0], vec![9.0, -1.0]]);
}

#[test]
fn pixels_that_meet_by_a_corner_are_two_pieces_in_raster_order() {
    let polygons = Mask::drawn(&["#.", ".#"]).polygons(&EXACT);
    assert_eq!(polygons.len(), 2);
    assert_eq!(polygons[0].exterior, [[0., 0.], [1., 0.], [1., 1.], [0., 1.]]);
    assert_exact(&Mask::drawn(&[".#", "#."]));
}

#[test]
fn a_piece_that_touches_itself_becomes_an_exterior_and_a_hole() {
    // The gap in the middle is open to the outside by a corner only.
    let mask = Mask::drawn(&[".##", "#.#", "###"]);
    let polygons = mask.polygons(&EXACT);
    assert_eq!(polygons.len(), 1);
    assert_eq!((area(&polygons[0].exterior), polygons[0].holes.len()), (8.0, 1));
    assert_exact(&mask);
    // Two holes that meet.
    let mask = Mask::drawn(&["####", "#.##", "##.#", "####"]);
    assert_eq!(mask.polygons(&EXACT)[0].holes.len(), 2);
    assert_exact(&mask);
}

#[test]
fn checkerboard_comb_and_spiral_are_exact() {
    let odd = |v: f64| v.floor() % 2.0 == 1.0;
    for flip in [false, true] {
        assert_exact(&Mask::of(9, 8, |x, y| (odd(x) != odd(y)) != flip));
        assert_exact(&Mask::of(130, 7, |x, y| (odd(x) || y < 1.0) != flip));
        assert_exact(&Mask::of(7, 130, |x, y| (odd(y) || x < 1.0) != flip));
        assert_exact(&Mask::of(129, 3, |x, y| (odd(x) && odd(y)) != flip));
    }
    assert_exact(&Mask::drawn(&["#######", "......#", "#####.#", "#...#.#", "#.###.#", "#.....#", "#######"]));
}

#[test]
fn masks_reach_the_frame_on_each_side_exactly() {
    let (w, h) = (90.0, 70.0);
    for (cx, cy) in [(0.0, 35.0), (w, 35.0), (45.0, 0.0), (45.0, h), (2.0, 1.0)] {
        let disc = Mask::of(90, 70, |x, y| (x - cx).hypot(y - cy) < 21.3);
        let ends = |polygons: &[Polygon]| {
            let points = || polygons[0].exterior.iter();
            let low = [0, 1].map(|axis| points().map(|p| p[axis]).fold(f32::INFINITY, f32::min));
            let high = [0, 1].map(|axis| points().map(|p| p[axis]).fold(0.0, f32::max));
            let on_frame = |p: &&[f32; 2]| p[0] == 0.0 || p[1] == 0.0 || p[0] == 90.0 || p[1] == 70.0;
            let on_frame: Vec<_> = points().filter(on_frame).copied().collect();
            (low.map(|v| v == 0.0), [high[0] == 90.0, high[1] == 70.0], on_frame)
        };
        assert_eq!(ends(&disc.polygons(&PolygonOptions::default())), ends(&disc.polygons(&EXACT)));
        assert_exact(&disc);
    }
}

#[test]
fn small_pieces_go_and_small_holes_are_filled() {
    let mask = Mask::drawn(&["#####.##", "#.#.#...", "#.###..#", "#####..."]);
    let polygons = mask.polygons(&pixels(0.0, 2.0));
    let areas: Vec<Vec<f64>> = polygons.iter().map(|p| rings(p).map(|r| area(r)).collect()).collect();
    assert_eq!(areas, [vec![20.0, -2.0], vec![2.0]]);
}

#[test]
fn only_the_class_within_the_bounds_counts_and_short_maps_are_short() {
    let labels = [3, 3, 3, 1, 3, 3, 3, 3, 3];
    let bounds = |x, y, width, height| PixelBox { x, y, width, height };
    let area_in = |labels: &[u8], bounds| total_area(&polygons(labels, 3, 3, 3, bounds, &EXACT));
    assert_eq!(area_in(&labels, bounds(0, 0, 3, 3)), 8.0);
    assert_eq!(area_in(&labels, bounds(1, 1, u32::MAX, u32::MAX)), 4.0);
    assert_eq!(area_in(&labels, bounds(u32::MAX, 1, 7, 7)), 0.0);
    assert_eq!(area_in(&labels[..5], bounds(0, 0, 3, 3)), 3.0);
    let polygons = polygons(&labels, 3, 3, 3, bounds(1, 2, 1, 1), &EXACT);
    assert_eq!(polygons[0].exterior, [[1., 2.], [2., 2.], [2., 3.], [1., 3.]]);
}

/// A rectangle of half sizes `half` turned by `angle` about (100, 100).
fn turned(angle: f64, half: [f64; 2]) -> Mask {
    let (sin, cos) = angle.sin_cos();
    Mask::of(200, 200, |x, y| {
        let (x, y) = (x - 100.0, y - 100.0);
        (x * cos + y * sin).abs() < half[0] && (y * cos - x * sin).abs() < half[1]
    })
}

#[test]
fn a_turned_rectangle_gets_few_points_and_keeps_its_area() {
    for step in 0..45 {
        let mask = turned(f64::from(step) * 0.0349 + 0.01, [61.3, 27.7]);
        let polygons = mask.polygons(&PolygonOptions::default());
        assert!(polygons[0].exterior.len() <= 6, "{step}: {:?}", polygons[0]);
        let error = total_area(&polygons) / mask.pixels() as f64 - 1.0;
        assert!(error.abs() < 0.003, "{step}: {error}");
        assert!(Mask::rasterised(&polygons, 200, 200).iou(&mask) > 0.99);
    }
}

#[test]
fn a_disc_and_a_thin_slanted_line_keep_their_shape() {
    let disc = Mask::of(200, 200, |x, y| (x - 99.6).hypot(y - 100.3) < 80.0);
    let polygons = disc.polygons(&PolygonOptions::default());
    assert!(polygons[0].exterior.len() < 40, "{}", polygons[0].exterior.len());
    assert!(Mask::rasterised(&polygons, 200, 200).iou(&disc) > 0.99);
    for half_width in [0.72, 1.0, 1.6] {
        let line = turned(0.4, [80.0, half_width]);
        assert_close(&line, 1.0);
        let polygons = line.polygons(&PolygonOptions::default());
        let share = total_area(&polygons) / line.pixels() as f64;
        assert!((share - 1.0).abs() < 0.25, "{half_width}: {share}");
    }
}

#[test]
fn holes_and_islands_on_the_way_do_not_stop_simplification() {
    // The tallest edge is on the right: everything else lies between it and the left side.
    let mask = Mask::of(300, 200, |x, y| {
        let from = |cx: f64, cy: f64| (x - cx).hypot(y - cy);
        let body = x > 20.0 + (y - 100.0).abs() / 3.0 && x < 270.0 && (y - 100.0).abs() < 80.0;
        (body && from(90.0, 90.0) > 30.0 && from(190.0, 110.0) > 50.0) || from(190.0, 105.0) < 25.0
    });
    let polygons = mask.polygons(&PolygonOptions::default());
    let points: Vec<Vec<usize>> = polygons.iter().map(|p| rings(p).map(Vec::len).collect()).collect();
    assert_eq!(points.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
    assert!(points.iter().flatten().all(|&points| points < 45), "{points:?}");
    assert_close(&mask, 1.0);
}

/// Noise, blobs (noise smoothed and thresholded) and thin structures, often touching the frame.
fn masks() -> impl Strategy<Value = Mask> {
    (1u32..=26, 1u32..=24, 0usize..3, 0.2f64..0.8).prop_flat_map(|(width, height, smoothing, share)| {
        let noise = proptest::collection::vec(0.0f64..1.0, (width * height) as usize);
        noise.prop_map(move |mut values| {
            for _ in 0..smoothing {
                values = smoothed(&values, width as usize, height as usize);
            }
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let threshold = sorted[(share * sorted.len() as f64) as usize];
            Mask { labels: values.iter().map(|v| if *v < threshold { 3 } else { 0 }).collect(), width, height }
        })
    })
}

fn smoothed(values: &[f64], width: usize, height: usize) -> Vec<f64> {
    let mean = |i: usize| {
        let (x, y) = (i % width, i / width);
        let near = (y.saturating_sub(1)..height.min(y + 2))
            .flat_map(|v| (x.saturating_sub(1)..width.min(x + 2)).map(move |u| values[v * width + u]));
        let (sum, count) = near.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        sum / count
    };
    (0..values.len()).map(mean).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn exact_polygons_give_back_the_mask(mask in masks()) {
        assert_exact(&mask);
    }

    #[test]
    fn simplified_polygons_are_valid_and_close(mask in masks(), tolerance in 0.1f64..4.0) {
        assert_close(&mask, tolerance);
    }

    #[test]
    fn dropping_small_pieces_keeps_the_rest_valid(mask in masks(), tolerance in 0.0f64..3.0, area in 0.0f64..12.0) {
        assert_valid(&mask.polygons(&pixels(tolerance, area)));
    }
}
