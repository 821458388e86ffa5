use super::super::canvas::{PALE, WHITE};
use super::*;

fn level(y: f64) -> Series {
    Series { name: format!("at {y}"), points: (0..100).map(|x| (f64::from(x), y)).collect() }
}

fn chart(series: Vec<Series>, y_scale: Scale, y_range: Option<(f64, f64)>) -> Chart {
    Chart { title: "Loss".into(), x_label: "step".into(), y_label: "loss".into(), y_scale, y_range, series }
}

/// Mean row of a colour's pixels in a column of the plot.
fn row_of(picture: &RgbImage, x: u32, color: Color) -> f64 {
    let near = |pixel: [u8; 3]| pixel.iter().zip(color).all(|(a, b)| a.abs_diff(b) < 12);
    let rows: Vec<u32> = (0..HEIGHT).filter(|y| near(picture.get_pixel(x, *y).0)).collect();
    assert!(!rows.is_empty(), "{color:?}");
    f64::from(rows.iter().sum::<u32>()) / rows.len() as f64
}

#[test]
fn values_lie_where_the_axis_puts_them() {
    let series = [0.1, 0.3, 0.9].map(level).to_vec();
    let picture = chart(series.clone(), Scale::Linear, Some((0.0, 1.0))).draw().unwrap();
    let rows = [0, 1, 2].map(|line| row_of(&picture, 500, PALETTE[line]));
    let share = (rows[0] - rows[1]) / (rows[0] - rows[2]);
    assert!((share - 0.25).abs() < 0.005, "{rows:?}");

    let picture = chart([0.01, 0.1, 10.0].map(level).to_vec(), Scale::Logarithmic, None).draw().unwrap();
    let rows = [0, 1, 2].map(|line| row_of(&picture, 500, PALETTE[line]));
    let share = (rows[0] - rows[1]) / (rows[0] - rows[2]);
    assert!((share - 1.0 / 3.0).abs() < 0.005, "{rows:?}");
}

#[test]
fn title_labels_and_legend_are_written() {
    let picture = chart(vec![level(1.0), level(2.0)], Scale::Linear, None).draw().unwrap();
    assert_eq!(picture.dimensions(), (WIDTH, HEIGHT));
    let inked = |left: u32, top: u32, right: u32, bottom: u32| {
        (top..bottom).any(|y| (left..right).any(|x| picture.get_pixel(x, y).0.iter().all(|value| *value < 90)))
    };
    assert!(inked(20, 10, 80, 40), "title");
    assert!(inked(10, 200, 40, 450), "y label");
    assert!(inked(40, 60, 90, 600), "y ticks");
    assert!(inked(300, 610, 900, 635), "x label");
    assert!(inked(WIDTH - 60, 54, WIDTH, 100), "legend");
}

#[test]
fn what_is_no_number_breaks_the_line_and_nothing_else() {
    let mut broken = level(0.5);
    (40..60).for_each(|at| broken.points[at].1 = f64::NAN);
    broken.points[70].0 = f64::INFINITY;
    let picture = chart(vec![broken, level(-1.0)], Scale::Linear, Some((-2.0, 2.0))).draw().unwrap();
    let (whole, gap) = (row_of(&picture, 300, PALETTE[0]), row_of(&picture, 300, PALETTE[1]));
    assert!(whole < gap);
    // The plot's middle is the middle of the gap.
    let left = (0..WIDTH).find(|x| picture.get_pixel(*x, gap as u32).0 == PALETTE[1]).unwrap();
    let right = (0..WIDTH - 130).rev().find(|x| picture.get_pixel(*x, gap as u32).0 == PALETTE[1]).unwrap();
    assert!([WHITE, PALE].contains(&picture.get_pixel((left + right) / 2 + 3, whole as u32).0));
}

#[test]
fn a_chart_of_nothing_or_of_one_point_can_be_drawn() {
    let nothing = [vec![], vec![Series::default()], vec![level(f64::NAN)]];
    for series in nothing {
        let picture = chart(series, Scale::Linear, None).draw().unwrap();
        assert!(picture.pixels().any(|pixel| pixel.0 != WHITE));
    }
    chart(vec![level(-1.0)], Scale::Logarithmic, None).draw().unwrap();
    for scale in [Scale::Linear, Scale::Logarithmic] {
        let one = Series { name: "one".into(), points: vec![(3.0, 0.25)] };
        let picture = chart(vec![one], scale, None).draw().unwrap();
        assert!(picture.pixels().any(|pixel| pixel.0 == PALETTE[0]));
    }
    for extreme in [f64::MAX, f64::MIN, 1e99, -1e99, 1e-99, 1e-300, 0.0] {
        chart(vec![level(extreme), level(1.0)], Scale::Linear, None).draw().unwrap();
        chart(vec![level(extreme), level(1.0)], Scale::Logarithmic, Some((1.0, 1.0))).draw().unwrap();
    }
}

#[test]
fn a_dashed_line_has_gaps_and_keeps_its_rhythm_over_short_pieces() {
    let gaps = |pieces: usize| {
        let mut canvas = Canvas::new(400, 20);
        let points: Vec<Point> = (0..=pieces).map(|at| (10.0 + 380.0 * at as f32 / pieces as f32, 10.0)).collect();
        stroke(&mut canvas, &points, PALETTE.len(), false);
        (10..390).filter(|x| canvas.image.get_pixel(*x, 10).0 == WHITE).count()
    };
    assert!(gaps(1) > 40, "{}", gaps(1));
    assert!(gaps(1).abs_diff(gaps(95)) < 30, "{} {}", gaps(1), gaps(95));
}

#[test]
fn ticks_are_short() {
    let cases =
        [(0.0, "0"), (0.25, "0.25"), (0.30000000000000004, "0.3"), (12_000.0, "12 000"), (1_234_567.0, "1 234 567")];
    for (value, text) in cases {
        assert_eq!(tick(value), text);
    }
    assert_eq!(tick(3e-5), "3e-5");
    assert_eq!(tick(-20_000.0), "-20 000");
}

#[test]
fn a_wide_range_of_positive_values_asks_for_a_logarithm() {
    assert_eq!(Scale::fitting(&[level(0.1), level(2.0)]), Scale::Linear);
    assert_eq!(Scale::fitting(&[level(0.1), level(4.0)]), Scale::Logarithmic);
    assert_eq!(Scale::fitting(&[level(0.0), level(4.0)]), Scale::Linear);
    assert_eq!(Scale::fitting(&[]), Scale::Linear);
}
