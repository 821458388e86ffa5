//! The learning rate of each step.

use crate::config::{Schedule, TrainConfig};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Steps done.
    pub step: usize,
    /// Steps of the whole run.
    pub total: usize,
    /// Epochs done.
    pub epoch: usize,
}

/// A straight rise over the first steps, which ends at the highest rate, then [`Schedule`].
pub fn learning_rate(config: &TrainConfig, at: Position) -> f64 {
    let (warmup, highest) = (config.warmup_steps, config.learning_rate);
    if at.step < warmup {
        return highest * (at.step + 1) as f64 / warmup as f64;
    }
    let progress = (at.step - warmup) as f64 / at.total.saturating_sub(warmup).max(1) as f64;
    let progress = progress.min(1.0);
    let share = config.final_learning_rate_share;
    let down_to_share = |left: f64| highest * (share + (1.0 - share) * left);
    match config.schedule {
        Schedule::Constant => highest,
        Schedule::Cosine => down_to_share((1.0 + (std::f64::consts::PI * progress).cos()) / 2.0),
        Schedule::Polynomial => down_to_share((1.0 - progress).powf(config.polynomial_power)),
        Schedule::Step => highest * config.step_factor.powf((at.epoch / config.step_epochs.max(1)) as f64),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(more: &str) -> TrainConfig {
        let text = "epochs = 1\nbatch_size = 1\nlearning_rate = 0.1\nwarmup_steps = 10\n";
        toml::from_str(&format!("{text}{more}")).unwrap()
    }

    /// The rates at steps of a run of 110 steps and 11 epochs.
    fn assert_rates(more: &str, expected: &[(usize, f64)]) {
        for (step, value) in expected {
            let rate = learning_rate(&config(more), Position { step: *step, total: 110, epoch: step / 10 });
            assert!((rate - value).abs() < 1e-12, "{more}, step {step}: {rate}");
        }
    }

    const RISE: [(usize, f64); 3] = [(0, 0.01), (4, 0.05), (9, 0.1)];

    #[test]
    fn the_default_rises_straight_and_falls_as_a_cosine() {
        let fall = [(10, 0.1), (60, 0.055), (110, 0.01), (500, 0.01)];
        assert_rates("final_learning_rate_share = 0.1", &[&RISE[..], &fall].concat());
    }

    #[test]
    fn a_constant_rate_stays_after_its_rise() {
        assert_rates("schedule = \"constant\"", &[&RISE[..], &[(10, 0.1), (500, 0.1)]].concat());
    }

    #[test]
    fn a_polynomial_is_a_power_of_what_is_left() {
        let text = "schedule = \"polynomial\"\npolynomial_power = 2\nfinal_learning_rate_share = 0.2";
        // A quarter is left at step 85: 0.1 (0.2 + 0.8 / 16).
        assert_rates(text, &[&RISE[..], &[(10, 0.1), (85, 0.025), (110, 0.02), (500, 0.02)]].concat());
    }

    #[test]
    fn steps_come_every_few_epochs() {
        let text = "schedule = \"step\"\nstep_epochs = 3\nstep_factor = 0.5";
        assert_rates(text, &[&RISE[..], &[(10, 0.1), (29, 0.1), (30, 0.05), (59, 0.05), (60, 0.025)]].concat());
    }

    proptest! {
        #[test]
        fn no_rate_is_above_the_highest_or_rises_after_the_warm_up(
            kind in 0_usize..4, step in 0_usize..200, total in 0_usize..200, warmup in 0_usize..20, share in 0.0..1.0_f64
        ) {
            let schedule = [Schedule::Constant, Schedule::Cosine, Schedule::Polynomial, Schedule::Step][kind];
            let config = TrainConfig {
                schedule, warmup_steps: warmup, final_learning_rate_share: share, ..config("")
            };
            let at = |step| learning_rate(&config, Position { step, total, epoch: step / 7 });
            let rate = at(step);
            // A share of the rate is rounded.
            prop_assert!((0.0..=config.learning_rate * (1.0 + 1e-12)).contains(&rate), "{rate}");
            prop_assert!(step < warmup || at(step + 1) <= rate + 1e-15);
        }
    }
}
