use proptest::prelude::*;

use super::*;
use crate::taxonomy::Class;

/// A label map of 0 to 3 and its width.
fn maps() -> impl Strategy<Value = (usize, Vec<u8>)> {
    (1..14_usize, 1..14_usize).prop_flat_map(|(width, height)| {
        let labels = proptest::collection::vec(
            prop_oneof![3 => Just(0_u8), 2 => Just(1), 1 => Just(2), 1 => Just(3)],
            width * height,
        );
        labels.prop_map(move |labels| (width, labels))
    })
}

/// Classes 1 and 2; 3 is not chosen.
fn chosen() -> [bool; 256] {
    std::array::from_fn(|class| class == 1 || class == 2)
}

fn map(width: usize, labels: &[u8]) -> LabelMap {
    LabelMap::new(width as u32, (labels.len() / width) as u32, labels.to_vec()).unwrap()
}

fn apply(width: usize, labels: &[u8], options: &MaskOptions) -> Vec<u8> {
    let map = map(width, labels);
    options.labels(&map, &[1, 2]).unwrap().unwrap_or(map).labels().to_vec()
}

fn none() -> MaskOptions {
    MaskOptions::default().with_min_share(0.0)
}

/// The pixels that a flood from one reaches over pixels for which `may` holds.
fn flood(width: usize, labels: &[u8], from: usize, by_corners: bool, may: impl Fn(u8) -> bool) -> Vec<usize> {
    let (across, down) = (width as i64, (labels.len() / width) as i64);
    let mut seen = vec![false; labels.len()];
    let mut reached = vec![from];
    seen[from] = true;
    let mut next = 0;
    while next < reached.len() {
        let (x, y) = ((reached[next] % width) as i64, (reached[next] / width) as i64);
        next += 1;
        for (dx, dy) in [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1)] {
            let (x, y) = (x + dx, y + dy);
            if (dx != 0 && dy != 0 && !by_corners) || x < 0 || y < 0 || x >= across || y >= down {
                continue;
            }
            let at = (y * across + x) as usize;
            if !seen[at] && may(labels[at]) {
                seen[at] = true;
                reached.push(at);
            }
        }
    }
    reached
}

fn filled_by_definition(width: usize, labels: &[u8]) -> Vec<u8> {
    let height = labels.len() / width;
    let mut filled = labels.to_vec();
    for at in (0..labels.len()).filter(|at| !chosen()[usize::from(labels[*at])]) {
        let holes = [1_u8, 2].into_iter().filter_map(|class| {
            let area = flood(width, labels, at, false, |label| label != class);
            let at_edge = |at: &usize| {
                let (x, y) = (at % width, at / width);
                x == 0 || y == 0 || x + 1 == width || y + 1 == height
            };
            (!area.iter().any(at_edge)).then_some((area.len(), class))
        });
        if let Some((_, class)) = holes.min() {
            filled[at] = class;
        }
    }
    filled
}

fn largest_by_definition(width: usize, labels: &[u8]) -> Vec<u8> {
    let mut kept = labels.to_vec();
    for class in [1_u8, 2] {
        let starts = (0..labels.len()).filter(|at| labels[*at] == class);
        let areas = starts.map(|at| flood(width, labels, at, true, |label| label == class));
        let best = areas.fold(Vec::new(), |best: Vec<usize>, area| if area.len() > best.len() { area } else { best });
        for (at, label) in kept.iter_mut().enumerate() {
            if *label == class && !best.contains(&at) {
                *label = 0;
            }
        }
    }
    kept
}

fn square(width: usize, one: usize, other: usize) -> i64 {
    let [x, y] = [one % width, one / width].map(|value| value as i64);
    (x - (other % width) as i64).pow(2) + (y - (other / width) as i64).pow(2)
}

fn grown_by_definition(width: usize, labels: &[u8], reach_px: f64) -> Vec<u8> {
    let is_chosen = |at: &usize| chosen()[usize::from(labels[*at])];
    let each = 0..labels.len();
    each.map(|at| {
        if reach_px < 0.0 {
            let is_near =
                |other: usize| labels[other] != labels[at] && square(width, at, other) as f64 <= reach_px * reach_px;
            return if is_chosen(&at) && (0..labels.len()).any(is_near) { 0 } else { labels[at] };
        }
        // Of several the topmost, then the leftmost: the first.
        let nearest = (0..labels.len()).filter(is_chosen).min_by_key(|other| (square(width, at, *other), *other));
        match nearest.filter(|other| !is_chosen(&at) && square(width, at, *other) as f64 <= reach_px * reach_px) {
            Some(other) => labels[other],
            None => labels[at],
        }
    })
    .collect()
}

proptest! {
    #[test]
    fn holes_are_filled_as_a_flood_finds_them((width, labels) in maps()) {
        let filled = apply(width, &labels, &none().with_fill_holes(true));
        prop_assert_eq!(&filled, &filled_by_definition(width, &labels));
        // Nothing is taken from a class, and a second time nothing is left to fill.
        prop_assert!(labels.iter().zip(&filled).all(|(before, now)| !chosen()[usize::from(*before)] || before == now));
        prop_assert_eq!(&apply(width, &filled, &none().with_fill_holes(true)), &filled);
    }

    #[test]
    fn the_largest_piece_stays((width, labels) in maps()) {
        let kept = apply(width, &labels, &none().with_largest(true));
        prop_assert_eq!(&kept, &largest_by_definition(width, &labels));
        prop_assert_eq!(&apply(width, &kept, &none().with_largest(true)), &kept);
    }

    #[test]
    fn masks_grow_and_shrink_by_the_distance_of_centres((width, labels) in maps(), reach_px in -4.0_f64..4.0) {
        let grown = apply(width, &labels, &none().with_grow(Length::Pixels(reach_px)));
        prop_assert_eq!(grown, grown_by_definition(width, &labels, reach_px));
    }

    #[test]
    fn a_feathered_mask_falls_with_the_distance_from_its_outline((width, labels) in maps(), reach_px in 0.1_f64..5.0) {
        let mask = map(width, &labels).mask(&[1]);
        let levels = none().with_feather(Length::Pixels(reach_px)).levels(mask.clone());
        for (at, level) in levels.as_raw().iter().enumerate() {
            let other = (0..labels.len()).filter(|other| mask.as_raw()[*other] != mask.as_raw()[at]);
            let inside = mask.as_raw()[at] == 255;
            let expected = match other.map(|other| square(width, at, other)).min() {
                None => if inside { 255.0 } else { 0.0 },
                Some(square) => {
                    let distance = (square as f64).sqrt() - 0.5;
                    let signed = if inside { distance } else { -distance };
                    (255.0 * (0.5 + signed / (2.0 * reach_px)).clamp(0.0, 1.0)).round()
                }
            };
            prop_assert_eq!(f64::from(*level), expected);
        }
    }

    #[test]
    fn more_mask_is_never_less_of_a_feathered_one((width, labels) in maps(), reach_px in 0.1_f64..5.0) {
        let options = none().with_feather(Length::Pixels(reach_px));
        let less = options.levels(map(width, &labels).mask(&[1]));
        let more = options.levels(map(width, &labels).mask(&[1, 2]));
        prop_assert!(less.iter().zip(more.iter()).all(|(less, more)| less <= more));
        let inverted = options.clone().with_invert(true).levels(map(width, &labels).mask(&[1]));
        prop_assert!(less.iter().zip(inverted.iter()).all(|(level, other)| level + other == 255));
    }

    #[test]
    fn the_steps_are_taken_in_their_order((width, labels) in maps(), reach_px in -3.0_f64..3.0, min_share in 0.0_f64..0.3) {
        let all = none().with_fill_holes(true).with_largest(true).with_min_share(min_share).with_grow(Length::Pixels(reach_px));
        let mut by_step = labels.clone();
        for step in [
            none().with_fill_holes(true),
            none().with_largest(true),
            none().with_min_share(min_share),
            none().with_grow(Length::Pixels(reach_px)),
        ] {
            by_step = apply(width, &by_step, &step);
        }
        prop_assert_eq!(apply(width, &labels, &all), by_step);
        prop_assert_eq!(apply(width, &labels, &none()), labels);
    }
}

#[test]
fn small_classes_become_background_and_others_do_not() {
    let mut labels = vec![0_u8; 100];
    labels[..4].fill(1);
    labels[10..15].fill(2);
    labels[20] = 3;
    let kept = apply(10, &labels, &none().with_min_share(0.05));
    assert_eq!(
        (areas::counts(&kept)[1], areas::counts(&kept)[2], areas::counts(&kept)[3]),
        (0, 5, 1),
        "3 is not chosen"
    );
    assert_eq!(none().with_min_share(0.04).labels(&map(10, &labels), &[1, 2]).unwrap(), None, "nothing changes");
}

#[test]
fn lengths_are_pixels_or_per_cent_of_the_longer_side() {
    let px = |text: &str| text.parse::<Length>().unwrap().pixels(200, 100);
    assert_eq!((px("12"), px("-3"), px("1.5%"), px("2 px"), px("-0.5%")), (12.0, -3.0, 3.0, 2.0, -1.0));
    for text in ["", "x", "nan", "inf", "1e999", "%"] {
        assert!(text.parse::<Length>().is_err(), "{text}");
    }
    assert_eq!("1.5%".parse::<Length>().unwrap().to_string(), "1.5%");
    assert_eq!(px("1e9"), 30_000.0);
    assert!(MaskOptions::default().with_feather(Length::Pixels(-1.0)).validate().is_err());
    assert!(MaskOptions::default().with_min_share(f64::NAN).validate().is_err());
}

fn taxonomy() -> Taxonomy {
    let classes = ["background", "shirt", "coat", "pants", "hair"].map(|name| Class::new(name, [1; 3])).to_vec();
    let groups = [("upper".to_owned(), vec!["shirt".to_owned(), "coat".to_owned()])].into();
    Taxonomy { classes, groups }
}

#[test]
fn merged_classes_take_the_place_of_their_first_member() {
    let merge = vec![MergedClass::new("upper", vec![1, 2])];
    let options = MaskOptions::default().with_merge(merge);
    let (merged, wanted) = options.classes(&taxonomy(), &[1, 2, 4]).unwrap();
    let names: Vec<&str> = merged.classes.iter().map(|class| class.name.as_str()).collect();
    assert_eq!((names, wanted), (vec!["background", "upper", "pants", "hair"], vec![1, 3]));
    merged.validate().unwrap();
    assert_eq!(merged.index_of("coat"), Some(1), "its members are its aliases");
    let twice = vec![MergedClass::new("a", vec![1, 2]), MergedClass::new("b", vec![2, 3])];
    assert!(
        MaskOptions::default().with_merge(twice).classes(&taxonomy(), &[1]).unwrap_err().to_string().contains("coat")
    );
    let background = vec![MergedClass::new("a", vec![0, 1])];
    assert!(MaskOptions::default().with_merge(background).classes(&taxonomy(), &[1]).is_err());
}

#[test]
fn the_scores_of_merged_classes_are_added_before_the_largest_wins() {
    use crate::spec::OutputKind;
    // Pants win over shirt and coat each, and lose against both together.
    let logits = ndarray::arr3(&[[[-9.0_f32]], [[1.0]], [[1.0]], [[1.5]], [[-9.0]]]);
    let merge = crate::merge::Merge::new(&taxonomy(), &[MergedClass::new("upper", vec![1, 2])]).unwrap();
    let merged = merge.values(logits.view(), OutputKind::Logits);
    assert!((merged[[1, 0, 0]] - (1.0 + 2.0_f32.ln())).abs() < 1e-6 && merged[[1, 0, 0]] > merged[[2, 0, 0]]);
    let probabilities = merge.values(logits.mapv(f32::exp).view(), OutputKind::Probabilities);
    assert!((probabilities[[1, 0, 0]] - 2.0 * 1.0_f32.exp()).abs() < 1e-5);
}

/// `cargo test --release masks -- --ignored --nocapture` prints how long each step takes.
#[test]
#[ignore = "prints times"]
fn time_of_steps() {
    let (width, height) = (4000_usize, 3000_usize);
    let labels: Vec<u8> = (0..width * height)
        .map(|at| {
            let (x, y) = ((at % width) as f64 - 2000.0, (at / width) as f64 - 1500.0);
            let radius = x.hypot(y) + 40.0 * (8.0 * y.atan2(x)).sin();
            if !(200.0..=1200.0).contains(&radius) {
                0
            } else if x < 0.0 {
                1
            } else {
                2
            }
        })
        .collect();
    for (name, options) in [
        ("fill holes", none().with_fill_holes(true)),
        ("largest", none().with_largest(true)),
        ("smallest share", none().with_min_share(0.001)),
        ("grow by 15 px", none().with_grow(Length::Pixels(15.0))),
        ("shrink by 15 px", none().with_grow(Length::Pixels(-15.0))),
    ] {
        let map = map(width, &labels);
        let started = std::time::Instant::now();
        let _ = options.labels(&map, &[1, 2]).unwrap();
        eprintln!("{name}: {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
    }
    let mask = map(width, &labels).mask(&[1]);
    let started = std::time::Instant::now();
    let _ = none().with_feather(Length::Pixels(8.0)).levels(mask);
    eprintln!("feather by 8 px: {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
}
