use super::*;

/// 255 times alpha by the definition, unrounded.
fn reference_levels(case: &Case, kind: OutputKind, chosen: &[usize]) -> Vec<f64> {
    let (classes, ..) = case.output.dim();
    let (width, height) = case.size;
    let mut levels = Vec::new();
    for y in 0..height {
        let (top, bottom, down) = position(y, height, case.at.content_height, case.stride);
        for x in 0..width {
            let (left, right, across) = position(x, width, case.at.content_width, case.stride);
            let cell = |class: usize, y: usize, x: usize| {
                let value = f64::from(case.output[[class, y, x]]);
                if kind == OutputKind::Probabilities { value.max(0.0) } else { value }
            };
            let value = |class: usize| {
                let side =
                    |x: usize| cell(class, top, x) + (cell(class, bottom, x) - cell(class, top, x)) * f64::from(down);
                side(left) + (side(right) - side(left)) * f64::from(across)
            };
            let largest = (0..classes).map(value).fold(f64::NEG_INFINITY, f64::max);
            let weight = |class: usize| match kind {
                OutputKind::Logits => (value(class) - largest).exp(),
                OutputKind::Probabilities | OutputKind::ClassMap => value(class),
            };
            let sum = |classes: &mut dyn Iterator<Item = usize>| classes.map(weight).sum::<f64>();
            let all = sum(&mut (0..classes));
            let part = sum(&mut (0..classes).filter(|class| chosen.contains(class)));
            levels.push(if all > 0.0 { 255.0 * part / all } else { 0.0 });
        }
    }
    levels
}

/// Checks every pixel against the definition. Where that is half-way between two levels, to the last digits of `f64`,
/// either is right.
fn check_against_definition(case: &Case, kind: OutputKind, chosen: &[usize]) -> Result<(), TestCaseError> {
    let spec = OutputSpec { kind, ..OutputSpec::logits(case.stride) };
    let mask = soft_mask(case.output.view(), &spec, &case.at, case.size, chosen).unwrap();
    prop_assert_eq!(mask.dimensions(), case.size);
    for (level, exact) in mask.as_raw().iter().zip(reference_levels(case, kind, chosen)) {
        let away = (f64::from(*level) - exact).abs();
        prop_assert!(away <= 0.5 + 1e-9, "{} for {}", level, exact);
    }
    Ok(())
}

fn choices() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0_usize..6, 0..4)
}

proptest! {
    #[test]
    fn logits_give_what_the_definition_gives(case in cases(|value| 4.0 * value), chosen in choices()) {
        check_against_definition(&case, OutputKind::Logits, &chosen)?;
    }

    #[test]
    fn logits_between_certain_and_not_give_what_the_definition_gives(
        // Differences round ln(254.5 / 0.5) = 6.23, at which a level of 0 or 255 begins.
        case in cases(|value| 3.1 * value.signum() + 0.02 * value), chosen in choices(),
    ) {
        check_against_definition(&case, OutputKind::Logits, &chosen)?;
    }

    #[test]
    fn logits_that_are_far_apart_give_what_the_definition_gives(
        case in cases(|value| value.powi(7)), chosen in choices(),
    ) {
        check_against_definition(&case, OutputKind::Logits, &chosen)?;
    }

    #[test]
    fn large_equal_logits_give_what_the_definition_gives(
        case in cases(|value| 1e5 + value.round()), chosen in choices(),
    ) {
        check_against_definition(&case, OutputKind::Logits, &chosen)?;
    }

    #[test]
    fn probabilities_give_what_the_definition_gives(case in cases(|value| value.abs() / 3.0), chosen in choices()) {
        check_against_definition(&case, OutputKind::Probabilities, &chosen)?;
    }

    #[test]
    fn probabilities_of_nothing_and_below_nothing_give_what_the_definition_gives(
        case in cases(|value| if value < 1.0 { value.min(0.0) } else { 1.0 }), chosen in choices(),
    ) {
        check_against_definition(&case, OutputKind::Probabilities, &chosen)?;
    }
}

#[test]
fn two_equal_classes_have_half_each_and_half_is_rounded_up() {
    let output = array![[[0.0]], [[0.0]]];
    let mask = |kind, chosen: &[usize]| {
        let spec = OutputSpec { kind, ..OutputSpec::logits(1) };
        soft_mask(output.view(), &spec, &geometry(1, 1), (20, 3), chosen).unwrap().into_raw()
    };
    assert!(mask(OutputKind::Logits, &[1]).iter().all(|level| *level == 128));
    assert!(mask(OutputKind::Logits, &[0, 1]).iter().all(|level| *level == 255));
    assert!(mask(OutputKind::Logits, &[]).iter().all(|level| *level == 0));
    assert!(mask(OutputKind::Logits, &[7]).iter().all(|level| *level == 0));
    assert!(mask(OutputKind::Probabilities, &[1]).iter().all(|level| *level == 0), "nothing is likely at all");
}

#[test]
fn an_edge_is_a_sigmoid_of_the_distance() {
    // Logits that differ by -4 and 4 at the two cell centres, 100 pixels apart.
    let output = array![[[2.0, -2.0]], [[-2.0, 2.0]]];
    let spec = OutputSpec::logits(1);
    let mask = soft_mask(output.view(), &spec, &geometry(2, 1), (200, 1), &[1]).unwrap();
    for (x, _, pixel) in mask.enumerate_pixels() {
        let difference = ((f64::from(x) + 0.5 - 100.0) / 100.0 * 8.0).clamp(-4.0, 4.0);
        let alpha = 1.0 / (1.0 + (-difference).exp());
        assert_eq!(pixel[0], (255.0 * alpha).round() as u8, "{x}");
    }
}

#[test]
fn an_output_that_does_not_fit_is_refused() {
    let spec = OutputSpec::logits(2);
    let refused = |output: Array3<f32>, size| soft_mask(output.view(), &spec, &geometry(4, 4), size, &[1]).is_err();
    assert!(refused(Array3::zeros((2, 2, 3)), (4, 4)));
    assert!(refused(Array3::from_elem((2, 2, 2), f32::NAN), (4, 4)));
    assert!(refused(Array3::zeros((2, 2, 2)), (0, 4)));
    assert!(!refused(Array3::zeros((2, 2, 2)), (4, 4)));
}

/// Times at 12 megapixels and 20 classes. They mean something in a release build:
/// `cargo test --release -p clothseg --lib -- --ignored --nocapture time_at_12_megapixels`.
#[test]
#[ignore = "prints times"]
fn time_at_12_megapixels() {
    let (classes, high, wide) = (20, 128, 96);
    // Each class an ellipse whose logit falls off from its centre, over a background of 0, with some noise.
    let noise = |seed: usize| (seed as f32 * 12.9898).sin() * 43_758.547 % 1.0;
    let output = Array3::from_shape_fn((classes, high, wide), |(class, y, x)| {
        let (dx, dy) = (x as f32 / wide as f32 - noise(class).abs(), y as f32 / high as f32 - noise(class + 50).abs());
        let fall = 9.0 - 60.0 * dx.hypot(dy);
        let level = if class == 0 { 0.0 } else { fall.max(-9.0) };
        level + noise((class * high + y) * wide + x) / 2.0
    });
    let at = Geometry { content_width: 171, content_height: 256, tensor_width: 192, tensor_height: 256 };
    let spec = OutputSpec::logits(2);
    let time = |what: &str, work: &dyn Fn()| {
        work();
        let started = std::time::Instant::now();
        (0..9).for_each(|_| work());
        println!("{what}: {:.2?}", started.elapsed() / 9);
    };
    let map = label_map(output.view(), &spec, &at, 3000, 4000).unwrap();
    time("label map", &|| drop(label_map(output.view(), &spec, &at, 3000, 4000)));
    time("extents", &|| drop(map.extents()));
    time("confidence", &|| drop(mean_confidence(output.view(), &spec, &at)));
    time("soft mask", &|| drop(soft_mask(output.view(), &spec, &at, (3000, 4000), &[1])));
    let all: Vec<usize> = (1..classes).collect();
    time("soft mask of all garments", &|| drop(soft_mask(output.view(), &spec, &at, (3000, 4000), &all)));
}
