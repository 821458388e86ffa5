//! The pictures are what pycocotools 2.0.11 draws: `decode(merge(frPyObjects(polygons, height, width)))`.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::data::LabelImage;
use crate::data::run_length::{parse_compressed, to_counts, write_compressed};
use proptest::prelude::*;

fn rings(polygons: &[&[f64]]) -> Vec<Vec<[f64; 2]>> {
    polygons.iter().map(|numbers| numbers.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect()).collect()
}

fn draw(polygons: &[&[f64]], width: u32, height: u32) -> Vec<String> {
    let size = Size::new(width.into(), height.into()).unwrap();
    let mut label = LabelImage { width, height, data: vec![0; size.pixels() as usize] };
    fill(&rings(polygons), size).paint(1, &mut label);
    let row = |row: &[u8]| row.iter().map(|pixel| if *pixel == 1 { '#' } else { '.' }).collect();
    label.data.chunks(width as usize).map(row).collect()
}

/// By hand: columns 1 to 3 and rows 1 and 2 have their centres inside.
#[test]
fn a_rectangle_on_pixel_edges_is_its_pixels() {
    let picture = draw(&[&[1.0, 1.0, 4.0, 1.0, 4.0, 3.0, 1.0, 3.0]], 6, 4);
    assert_eq!(picture, ["......", ".###..", ".###..", "......"]);
}

#[test]
fn slopes_are_rounded_as_in_pycocotools() {
    let picture = draw(&[&[0.5, 0.5, 5.5, 0.5, 0.5, 4.5]], 6, 5);
    assert_eq!(picture, ["......", ".###..", ".##...", ".#....", "......"]);
    let picture = draw(&[&[1.2, 0.3, 6.9, 2.7, 4.4, 5.9, 0.1, 4.2]], 8, 6);
    assert_eq!(picture, [".#......", ".###....", ".#####..", "######..", ".#####..", "...##..."]);
    let picture = draw(&[&[2.1, 1.5, 5.5, 1.5, 5.5, 1.5, 5.3, 4.7, 2.1, 4.5]], 8, 6);
    assert_eq!(picture, ["........", "........", "..####..", "..###...", "..###...", "........"]);
}

#[test]
fn a_ring_that_crosses_itself_is_even_odd() {
    let star = draw(&[&[3.0, 0.0, 5.0, 6.0, 0.0, 2.0, 6.0, 2.0, 1.0, 6.0]], 8, 6);
    assert_eq!(star, ["........", "..##....", ".#..#...", "........", ".####...", ".#..#..."]);
    let bow = draw(&[&[0.0, 0.0, 7.0, 0.0, 0.0, 5.0, 7.0, 5.0]], 8, 6);
    assert_eq!(bow, [".#####..", "..###...", "...#....", "..###...", ".#####..", "........"]);
}

#[test]
fn several_polygons_are_their_union() {
    let picture = draw(&[&[1.0, 1.0, 5.0, 1.0, 5.0, 4.0, 1.0, 4.0], &[3.0, 2.0, 7.0, 2.0, 7.0, 6.0, 3.0, 6.0]], 8, 6);
    assert_eq!(picture, ["........", ".####...", ".######.", ".######.", "...####.", "...####."]);
}

#[test]
fn what_lies_outside_is_cut_off() {
    let picture = draw(&[&[-3.0, -2.0, 4.0, 2.0, -1.0, 9.0], &[5.0, 1.0, 12.0, 1.0, 12.0, 4.0, 5.0, 4.0]], 8, 6);
    assert_eq!(picture, ["#.......", "###..###", "####.###", "###..###", "##......", "##......"]);
    let size = Size::new(8, 6).unwrap();
    assert!(check(&rings(&[&[0.0, 0.0, 1.0, 1.0]]), size).unwrap_err().contains("2 corners"));
    let error = check(&rings(&[&[0.0, 0.0, 1.0, 1.0, 1e9, 2.0]]), size).unwrap_err();
    assert!(error.contains("1000000000") && error.contains("8 x 6"), "{error}");
    assert!(check(&rings(&[&[0.0, 0.0, 1.0, f64::NAN, 1.0, 2.0]]), size).is_err());
}

/// To and fro across the whole width, `corners` times.
fn zigzag(size: Size, corners: usize) -> Vec<[f64; 2]> {
    let x = |corner: usize| if corner.is_multiple_of(2) { 0.0 } else { f64::from(size.width()) };
    (0..corners).map(|corner| [x(corner), corner as f64 * f64::from(size.height()) / corners as f64]).collect()
}

#[test]
fn outlines_longer_than_any_garment_has_are_refused() {
    let wide = Size::new(16_000, 6_000).unwrap();
    let error = check(&[zigzag(wide, 90_000)], wide).unwrap_err();
    assert!(error.contains("4194304") && error.contains("16000 x 6000"), "{error}");
    // All polygons of a region together.
    assert!(check(&vec![zigzag(wide, 90); 3], wide).is_err());
    assert!(check(&vec![zigzag(wide, 90); 2], wide).is_ok());
    // 16 times 500 x 400 pixels: 6386 edges of 501.
    let small = Size::new(500, 400).unwrap();
    assert!(check(&[zigzag(small, 6_386)], small).is_ok());
    assert!(check(&[zigzag(small, 6_388)], small).is_err());
    // Many corners are refused even where they stand still.
    assert!(check(&[vec![[1.0, 1.0]; 1 << 22]], wide).is_ok());
    assert!(check(&[vec![[1.0, 1.0]; (1 << 22) + 1]], wide).is_err());
    // A fringe with threads of two pixels.
    assert!(check(&[zigzag(small, 200)], small).is_ok());
}

/// A large polygon with long slopes in every direction.
#[test]
fn a_large_polygon_has_the_counts_of_pycocotools() {
    let size = Size::new(LARGE_SIZE[0], LARGE_SIZE[1]).unwrap();
    let runs = fill(&rings(&[LARGE]), size);
    assert_eq!(write_compressed(&to_counts(&runs, size)), LARGE_COUNTS);
    assert_eq!(parse_compressed(LARGE_COUNTS).unwrap(), to_counts(&runs, size));
}

const LARGE_SIZE: [u64; 2] = [60, 45];
const LARGE: &[f64] = &[
    26.86, 25.55, 58.0, 20.75, 30.52, 26.96, 9.19, 23.11, 38.57, 37.44, 3.21, 12.47, 2.98, 38.29, 42.77, -0.86, 61.82,
    46.2, 40.16, 28.39, 7.39, -2.23,
];
const LARGE_COUNTS: &str = r"d4i0d0O2N2N1O2NA@4>NB15B1?KN:4FL3COc0OI1DOd01G0FMe03EO?2@MF0h03AMG0i04AM?3]OLJ1j04YO1g0OWO2j090CWO0NNl00XO1L0l0M[O1J1k0N\O0J2h00]ONK2g01^ONK0f04^OLM0c06_OJOOa09_OH00?:@F2O==@C509?@B7O8c0I]O5b0C^Of0c0ZO]Oe0d0[O]Od0c0\O^Ob0b0_O_O?b0A^O>c0A_O?`0AA`0=@Db09^OHc0a02A[O0g0NYO3i0JWO7j062N1NNBXO<g0D[O;n0N1O2N1N2OgN";

proptest! {
    #[test]
    fn no_polygon_that_passes_the_check_leaves_the_picture(
        width in 1..40_u32,
        height in 1..40_u32,
        corners in prop::collection::vec((-1.0..2.0_f64, -1.0..2.0_f64), 3..12),
    ) {
        let size = Size::new(width.into(), height.into()).unwrap();
        let ring: Vec<[f64; 2]> =
            corners.iter().map(|(x, y)| [x * f64::from(width), y * f64::from(height)]).collect();
        prop_assert!(check(std::slice::from_ref(&ring), size).is_ok());
        let runs = fill(std::slice::from_ref(&ring), size);
        prop_assert!(runs.ranges().last().is_none_or(|run| run.end <= size.pixels()));
        // The same ring the other way round, and twice, is the same region.
        let mut back = ring.clone();
        back.reverse();
        prop_assert_eq!(&fill(std::slice::from_ref(&back), size), &runs);
        prop_assert_eq!(&fill(&[ring.clone(), ring], size), &runs);
    }
}
