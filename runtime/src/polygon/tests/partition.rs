use std::collections::HashMap;

use super::*;

/// A label map of several classes.
#[derive(Debug, Clone)]
pub(super) struct Map {
    pub labels: Vec<u8>,
    pub width: u32,
    pub height: u32,
}

impl Map {
    /// A digit is a class.
    fn drawn(rows: &[&str]) -> Self {
        let labels = rows.concat().bytes().map(|c| c - b'0').collect();
        Self { labels, width: rows[0].len() as u32, height: rows.len() as u32 }
    }

    fn partition(&self, options: &PolygonOptions) -> Partition {
        partition(&self.labels, self.width, self.height, options)
    }

    pub fn mask(&self, class: u8) -> Mask {
        let labels = self.labels.iter().map(|&label| if label == class { 3 } else { 0 }).collect();
        Mask { labels, width: self.width, height: self.height }
    }
}

/// The points of a ring as whole numbers of 1/16 px.
fn sixteenths(point: [f32; 2]) -> [i64; 2] {
    point.map(|value| {
        let units = f64::from(value) * 16.0;
        assert_eq!(units.fract(), 0.0);
        units as i64
    })
}

/// That the polygons of all classes cover the photo once, exactly: each edge of a ring is on the frame, or the same edge
/// backwards is one of another ring; so the sum of the winding numbers is the same everywhere, and it is 1 outside of
/// none, as the areas add up to the photo's. The rings are simple, so no polygon covers anything twice either.
pub(super) fn assert_cover(partition: &Partition, width: u32, height: u32) {
    let mut edges: HashMap<[[i64; 2]; 2], i32> = HashMap::new();
    let mut total = 0.0;
    for class in 0..=255 {
        let polygons = partition.polygons(class);
        assert_valid(&polygons);
        total += total_area(&polygons);
        for ring in polygons.iter().flat_map(rings) {
            let first = ring.iter().min_by(|a, b| a[1].total_cmp(&b[1]).then(a[0].total_cmp(&b[0])));
            assert_eq!(first, ring.first());
            for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
                *edges.entry([sixteenths(*a), sixteenths(*b)]).or_default() += 1;
            }
        }
    }
    assert_eq!(total, f64::from(width) * f64::from(height));
    let frame = [width, height].map(|side| i64::from(side) * 16);
    for (&[a, b], &count) in &edges {
        let on_frame = (0..2).any(|i| a[i] == b[i] && (a[i] == 0 || a[i] == frame[i]));
        let backwards = edges.get(&[b, a]).copied().unwrap_or(0);
        assert_eq!((count, backwards), (1, i32::from(!on_frame)), "{a:?} {b:?}");
        assert!((0..2).all(|i| (0..=frame[i]).contains(&a[i])));
    }
}

/// What may be asked of any partition of a map in which no piece is too small.
fn assert_follows(map: &Map, tolerance_px: f64) {
    let partition = map.partition(&pixels(tolerance_px, 0.0));
    assert_cover(&partition, map.width, map.height);
    let reach = tolerance_px + tolerance_px.min(1.0) + 0.8;
    for class in 0..5 {
        let (mask, polygons) = (map.mask(class), partition.polygons(usize::from(class)));
        let drawn = Mask::rasterised(&polygons, map.width, map.height);
        if tolerance_px == 0.0 {
            assert_eq!((&drawn, total_area(&polygons)), (&mask, mask.pixels() as f64));
        }
        for (i, (a, b)) in mask.labels.iter().zip(&drawn.labels).enumerate() {
            let (x, y) = (i as u32 % map.width, i as u32 / map.width);
            assert!(a == b || !mask.is_settled(x, y, reach), "({x}, {y}) of {map:?}");
        }
    }
}

#[test]
fn nothing_and_one_class_and_short_maps() {
    for (width, height) in [(0, 0), (0, 5), (5, 0), (u32::MAX, 1)] {
        assert_eq!(partition(&[], width, height, &PolygonOptions::default()).polygons(0), []);
    }
    let rectangle = |w: f32, h: f32| [Polygon { exterior: vec![[0., 0.], [w, 0.], [w, h], [0., h]], holes: vec![] }];
    for options in [EXACT, PolygonOptions::default()] {
        assert_eq!(partition(&[7; 12], 4, 3, &options).polygons(7), rectangle(4., 3.));
        assert_eq!(partition(&[7; 11], 4, 3, &options).polygons(7), rectangle(4., 2.));
        assert_eq!(partition(&[7; 12], 4, 3, &options).polygons(6), []);
    }
}

#[test]
fn neighbours_have_the_points_where_others_meet() {
    let partition = Map::drawn(&["000", "000", "112"]).partition(&EXACT);
    // The border between 1 and 2 ends on the straight side of 0.
    let exterior = vec![[0., 0.], [3., 0.], [3., 2.], [2., 2.], [0., 2.]];
    assert_eq!(partition.polygons(0), [Polygon { exterior, holes: vec![] }]);
    assert_eq!(partition.polygons(1)[0].exterior, [[0., 2.], [2., 2.], [2., 3.], [0., 3.]]);
    assert_eq!(partition.polygons(2)[0].exterior, [[2., 2.], [3., 2.], [3., 3.], [2., 3.]]);
}

#[test]
fn a_small_piece_goes_to_the_neighbour_with_the_longest_border() {
    let areas = |rows: &[&str], min_area_px: f64| -> Vec<f64> {
        let map = Map::drawn(rows);
        let partition = map.partition(&pixels(0.0, min_area_px));
        assert_cover(&partition, map.width, map.height);
        (0..4).map(|class| total_area(&partition.polygons(class))).collect()
    };
    // 2 shares two edges with 0, one with 1 and one with 3.
    let map = ["0011", "0021", "3331", "3331"];
    assert_eq!(areas(&map, 1.0), [4., 5., 1., 6.]);
    assert_eq!(areas(&map, 2.0), [4., 6., 0., 6.]);
    // Between equal borders the larger neighbour, and pieces of one class that come to touch are one.
    let map = Map::drawn(&["00200", "00200"]);
    let polygons = map.partition(&pixels(0.0, 3.0)).polygons(0);
    assert_eq!(polygons.len(), 1);
    assert_eq!(polygons[0].exterior, [[0., 0.], [5., 0.], [5., 2.], [0., 2.]]);
    // Everything is too small: the last piece stays.
    assert_eq!(areas(&["0123", "0123"], 1e9).iter().filter(|area| **area > 0.0).count(), 1);
}

#[test]
fn holes_islands_and_corners_of_several_classes() {
    for rows in [
        &["0000000", "0111110", "0122210", "0123210", "0122210", "0111110", "0000000"][..],
        &["0101", "1010", "0101", "1010"],
        &["0123", "1230", "2301", "3012"],
        &["00000", "01020", "02010", "00000"],
        &["11111", "12021", "10201", "12021", "11111"],
        &["0110", "1001", "1001", "0110"],
        &["012340123401234"],
        &["0", "1", "1", "0", "2"],
    ] {
        for tolerance in [0.0, 0.3, 0.75, 1.5, 10.0] {
            assert_follows(&Map::drawn(rows), tolerance);
        }
    }
}

#[test]
fn borders_between_three_discs_are_simple() {
    let labels = Mask::of(300, 300, |_, _| true);
    let centres = [[100.0, 110.0], [190.0, 120.0], [150.0, 200.0]];
    let label = |i: usize| {
        let (x, y) = ((i % 300) as f64 + 0.5, (i / 300) as f64 + 0.5);
        let near = centres.iter().zip(1u8..).map(|([cx, cy], class)| ((x - cx).hypot(y - cy), class));
        near.filter(|(distance, _)| *distance < 70.0).min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |(_, class)| class)
    };
    let map = Map { labels: (0..labels.labels.len()).map(label).collect(), width: 300, height: 300 };
    assert_follows(&map, 0.75);
    let partition = map.partition(&PolygonOptions::default());
    for class in 1..=3u8 {
        let polygons = partition.polygons(usize::from(class));
        assert_eq!((polygons.len(), polygons[0].holes.len()), (1, 0));
        assert!(polygons[0].exterior.len() < 40, "{}", polygons[0].exterior.len());
        assert!(Mask::rasterised(&polygons, 300, 300).iou(&map.mask(class)) > 0.99);
    }
    assert_eq!(partition.polygons(0)[0].holes.len(), 1);
}

/// Noise and blobs of up to five classes, of all shapes down to one row or column.
fn maps() -> impl Strategy<Value = Map> {
    (1u32..=40, 1u32..=40, 2usize..=5, 0usize..4).prop_flat_map(|(width, height, classes, smoothing)| {
        let noise = proptest::collection::vec(0.0f64..1.0, (width * height) as usize * classes);
        noise.prop_map(move |values| {
            let fields = values.chunks((width * height) as usize).map(|field| {
                (0..smoothing).fold(field.to_vec(), |field, _| smoothed(&field, width as usize, height as usize))
            });
            let fields: Vec<Vec<f64>> = fields.collect();
            let winner = |i: usize| (0..classes).max_by(|&a, &b| fields[a][i].total_cmp(&fields[b][i])).unwrap() as u8;
            Map { labels: (0..(width * height) as usize).map(winner).collect(), width, height }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn exact_partitions_are_the_map(map in maps()) {
        assert_follows(&map, 0.0);
    }

    #[test]
    fn simplified_partitions_cover_and_follow_the_map(map in maps(), tolerance in 0.1f64..4.0) {
        assert_follows(&map, tolerance);
    }

    #[test]
    fn without_small_pieces_the_photo_is_still_covered(map in maps(), tolerance in 0.0f64..3.0, area in 0.0f64..20.0) {
        assert_cover(&map.partition(&pixels(tolerance, area)), map.width, map.height);
        let exact = map.partition(&pixels(0.0, area));
        let pieces: Vec<Polygon> = (0..5).flat_map(|class| exact.polygons(class)).collect();
        let large = |piece: &Polygon| total_area(std::slice::from_ref(piece)) >= area;
        assert!(pieces.len() == 1 || pieces.iter().all(large), "{map:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn the_widest_maps_are_exact(
        starts in proptest::collection::vec((0u32..1 << 24, 0u8..3), 0..60),
        shift in 0u32..3,
        tolerance in 0.0f64..2.0,
    ) {
        const WIDTH: u32 = 1 << 24;
        let mut row = vec![0; WIDTH as usize];
        for &(start, class) in &starts {
            // Short runs, some at the far end, where f32 has no fractions left.
            let start = if class == 1 { WIDTH - 1 - start % 50 } else { start } as usize;
            let end = (start + 5).min(row.len());
            row[start..end].fill(class + 1);
        }
        let mut labels = row.clone();
        row.rotate_right(shift as usize);
        labels.extend(row);
        assert_cover(&partition(&labels, WIDTH, 2, &pixels(tolerance, 0.0)), WIDTH, 2);
        let exact = partition(&labels, WIDTH, 2, &EXACT);
        assert_cover(&exact, WIDTH, 2);
        for class in 0..=3 {
            let pixels = labels.iter().filter(|label| **label == class).count();
            assert_eq!(total_area(&exact.polygons(usize::from(class))), pixels as f64);
        }
    }
}
