use ndarray::Array3;

use super::partition::{Map, assert_cover};
use super::*;
use crate::geometry::Geometry;
use crate::spec::OutputSpec;

const STRIDE: u32 = 4;

/// What a network would give, and the label map of a photo from it.
struct Synthetic {
    output: NetworkOutput,
    map: LabelMap,
}

impl Synthetic {
    /// The logits of `classes` classes as functions of the place in the photo, sampled at stride 4 by a network whose
    /// input is `input` px a side, for a photo of `size` px a side.
    fn of<const N: usize>(classes: [&dyn Fn(f64, f64) -> f64; N], input: u32, size: u32) -> Self {
        let cells = (input / STRIDE) as usize;
        let place = |cell: usize| (cell as f64 + 0.5) * f64::from(size) / cells as f64;
        let values = Array3::from_shape_fn((N, cells, cells), |(c, y, x)| classes[c](place(x), place(y)) as f32);
        Self::new(values, [input; 2], [size; 2])
    }

    fn new(values: Array3<f32>, [input_width, input_height]: [u32; 2], [width, height]: [u32; 2]) -> Self {
        let geometry = Geometry {
            content_width: input_width,
            content_height: input_height,
            tensor_width: input_width,
            tensor_height: input_height,
        };
        let output = NetworkOutput::new(values, OutputSpec::logits(STRIDE), geometry);
        Self { map: output.label_map(width, height).unwrap(), output }
    }

    fn partition(&self, outline: Outline, tolerance_px: f64) -> Partition {
        let partition =
            partition_of(&self.map, &self.output, &PolygonOptions { tolerance_px, min_area_px: 0.0, outline });
        assert_cover(&partition, self.map.width(), self.map.height());
        partition
    }

    fn map(&self) -> Map {
        Map { labels: self.map.labels().to_vec(), width: self.map.width(), height: self.map.height() }
    }

    /// The share of pixels on whose class the polygons and the label map differ.
    fn difference(&self, partition: &Partition) -> f64 {
        let map = self.map();
        let different = |class: u8| {
            let drawn = Mask::rasterised(&partition.polygons(usize::from(class)), map.width, map.height);
            drawn.labels.iter().zip(&map.mask(class).labels).filter(|(a, b)| a != b).count()
        };
        (0..4).map(different).sum::<usize>() as f64 / map.labels.len() as f64
    }
}

/// Points on the rings, close to each other.
fn along(polygons: &[Polygon]) -> Vec<[f64; 2]> {
    let edges = polygons.iter().flat_map(rings).flat_map(|ring| ring.iter().zip(ring.iter().cycle().skip(1)));
    let points = edges.flat_map(|(a, b)| {
        let (a, b) = (a.map(f64::from), b.map(f64::from));
        let steps = ((b[0] - a[0]).hypot(b[1] - a[1]) * 20.0).ceil();
        (0..steps as usize).map(move |i| [0, 1].map(|k| a[k] + (b[k] - a[k]) * i as f64 / steps))
    });
    points.collect()
}

/// The Hausdorff distance between the outline of class 1 and a curve, given by points on it and the distance from it.
fn error(polygons: &[Polygon], curve: &[[f64; 2]], distance: impl Fn([f64; 2]) -> f64) -> f64 {
    let outline = along(polygons);
    let there = outline.iter().map(|point| distance(*point)).fold(0.0, f64::max);
    let nearest = |c: &[f64; 2]| outline.iter().map(|p| (p[0] - c[0]).hypot(p[1] - c[1])).fold(f64::INFINITY, f64::min);
    curve.iter().map(nearest).fold(there, f64::max)
}

#[test]
fn names_are_read_back() {
    for outline in Outline::ALL {
        assert_eq!(outline.to_string().to_uppercase().parse::<Outline>().unwrap(), outline);
    }
    assert!("round".parse::<Outline>().unwrap_err().to_string().contains("pixels, smooth"));
}

#[test]
fn a_circle_is_found_between_the_pixels() {
    for (size, largest_error) in [(128, 0.12), (64, 0.1), (320, 0.25)] {
        let scale = f64::from(size) / 128.0;
        let (cx, cy, radius) = (61.3 * scale, 66.1 * scale, 41.7 * scale);
        let circle = Synthetic::of([&|_, _| 0.0, &|x, y| radius - (x - cx).hypot(y - cy)], 128, size);
        let curve: Vec<_> = (0..720).map(|i| (f64::from(i) / 720.0 * std::f64::consts::TAU).sin_cos()).collect();
        let curve: Vec<_> = curve.into_iter().map(|(sin, cos)| [cx + radius * cos, cy + radius * sin]).collect();
        let error = |outline, tolerance| {
            let polygons = circle.partition(outline, tolerance).polygons(1);
            error(&polygons, &curve, |[x, y]| ((x - cx).hypot(y - cy) - radius).abs())
        };
        let [exact, simplified] = [0.0, 0.25].map(|tolerance| error(Outline::Smooth, tolerance));
        let [pixels, fitted] = [0.0, 0.75].map(|tolerance| error(Outline::Pixels, tolerance));
        assert!(exact < largest_error, "{size}: {exact}");
        assert!(simplified < largest_error + 0.25, "{size}: {simplified}");
        assert!(exact < pixels / 3.0 && simplified < fitted, "{size}: {exact} {simplified} {pixels} {fitted}");
        assert_eq!(circle.difference(&circle.partition(Outline::Smooth, 0.0)), 0.0);
        assert!(circle.difference(&circle.partition(Outline::Smooth, 0.25)) < 0.005);
    }
}

#[test]
fn a_slanted_line_is_found_between_the_pixels() {
    for angle in [0.0, 0.1, 0.46, 0.785, 1.3, 2.0, 2.9] {
        let (sin, cos) = f64::sin_cos(angle);
        let side = |x: f64, y: f64| (x - 50.2) * cos + (y - 49.7) * sin;
        let line = Synthetic::of([&|_, _| 0.0, &side], 96, 100);
        // Beyond the outermost cell centres the output does not change, so that no line goes on there.
        let inside = |point: &[f64; 2]| point.iter().all(|value| (2.5..97.5).contains(value));
        let error = |outline, tolerance| {
            let polygons = line.partition(outline, tolerance).polygons(1);
            let points = along(&polygons).into_iter().filter(inside);
            points.map(|[x, y]| side(x, y).abs()).fold(0.0, f64::max)
        };
        let [exact, simplified, pixels] =
            [error(Outline::Smooth, 0.0), error(Outline::Smooth, 0.25), error(Outline::Pixels, 0.0)];
        // Points are multiples of 1/16 px, and not in a pixel centre.
        assert!(exact < 0.07 && exact < pixels / 3.0, "{angle}: {exact} {pixels}");
        assert!(simplified < 0.25, "{angle}: {simplified}");
        let polygons = line.partition(Outline::Smooth, 0.25).polygons(1);
        assert!(polygons[0].exterior.len() <= 8, "{angle}: {}", polygons[0].exterior.len());
        assert!(line.difference(&line.partition(Outline::Smooth, 0.1)) < 0.002);
    }
}

#[test]
fn three_classes_meet_where_they_are_equal() {
    let errors = (0..10).map(|step| {
        // The nearest of three places wins: borders are straight, and meet where all are equally far.
        let shift = f64::from(step) * 0.37;
        let places = [[30.4 + shift, 40.9], [71.8, 33.3 + shift], [55.5, 80.1]];
        let near = |i: usize| move |x: f64, y: f64| -(x - places[i][0]).powi(2) - (y - places[i][1]).powi(2);
        let voronoi = Synthetic::of([&near(0), &near(1), &near(2)], 96, 96);
        let partition = voronoi.partition(Outline::Smooth, 0.0);
        assert_eq!(voronoi.difference(&partition), 0.0);
        let points = |class: usize| partition.polygons(class).iter().flat_map(rings).flatten().copied().collect();
        let [of_all, of_0, of_1]: [Vec<[f32; 2]>; 3] = [points(2), points(0), points(1)];
        let of_all: Vec<_> = of_all.into_iter().filter(|point| of_0.contains(point) && of_1.contains(point)).collect();
        assert_eq!(of_all.len(), 1);
        let at = of_all[0].map(f64::from);
        let distances = places.map(|place| (at[0] - place[0]).hypot(at[1] - place[1]));
        distances.iter().map(|distance| (distance - distances[0]).abs()).fold(0.0, f64::max)
    });
    let mut errors: Vec<f64> = errors.collect();
    errors.sort_by(f64::total_cmp);
    // Where the point lies next to the four pixel centres that see all three classes, it is not quite reached.
    assert!(errors[5] < 0.1 && errors[9] < 0.6, "{errors:?}");
}

#[test]
fn what_does_not_fit_gives_pixel_outlines_or_middles() {
    let map = LabelMap::new(3, 2, vec![0, 200, 0, 0, 200, 1]).unwrap();
    for shape in [(0, 0, 0), (2, 1, 1), (1, 5, 3)] {
        let small = Synthetic::of([&|_, _| 1.0], 8, 8);
        let output = NetworkOutput::new(Array3::zeros(shape), OutputSpec::logits(STRIDE), *small.output.geometry());
        let options = PolygonOptions { min_area_px: 0.0, ..PolygonOptions::of(Outline::Smooth) };
        assert_cover(&partition_of(&map, &output, &options), 3, 2);
    }
}

/// Random logits, photos smaller and larger than the network's input, of any aspect.
fn synthetic() -> impl Strategy<Value = Synthetic> {
    (1u32..9, 1u32..9, 1usize..5, 1u32..=40, 1u32..=40).prop_flat_map(|(wide, high, classes, width, height)| {
        let shape = (classes, high as usize, wide as usize);
        proptest::collection::vec(-3.0f32..3.0, classes * (wide * high) as usize).prop_map(move |values| {
            let values = Array3::from_shape_vec(shape, values).unwrap();
            Synthetic::new(values, [wide * STRIDE, high * STRIDE], [width, height])
        })
    })
}

impl std::fmt::Debug for Synthetic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.output.values(), self.map())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn smooth_partitions_cover_the_photo_and_keep_every_pixel(synthetic in synthetic()) {
        let partition = synthetic.partition(Outline::Smooth, 0.0);
        assert_eq!(synthetic.difference(&partition), 0.0);
        let exact = synthetic.partition(Outline::Pixels, 0.0);
        for class in 0..4 {
            let (smooth, pixels) = (partition.polygons(class), exact.polygons(class));
            let count = |polygons: &[Polygon]| polygons.iter().map(|p| p.holes.len()).collect::<Vec<_>>();
            assert_eq!(count(&smooth), count(&pixels));
            let edges = along(&pixels);
            for [x, y] in smooth.iter().flat_map(rings).flatten().map(|point| point.map(f64::from)) {
                assert!(edges.iter().any(|c| (x - c[0]).hypot(y - c[1]) < 0.75), "({x}, {y})");
            }
        }
    }

    #[test]
    fn simplified_smooth_partitions_cover_the_photo(
        synthetic in synthetic(),
        tolerance_px in 0.02f64..3.0,
        min_area_px in 0.0f64..9.0,
    ) {
        let options = PolygonOptions { tolerance_px, min_area_px, outline: Outline::Smooth };
        let partition = partition_of(&synthetic.map, &synthetic.output, &options);
        assert_cover(&partition, synthetic.map.width(), synthetic.map.height());
    }
}
