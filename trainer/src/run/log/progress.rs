//! The progress of a run on a terminal: a bar below the lines of the log. Where standard error is no terminal, there is none.

use std::io::Write;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressFinish, ProgressStyle};

/// What is drawn at the end of the terminal; lines go above it.
static TERMINAL: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Seconds over which loss and speed are smoothed.
const SMOOTHING_S: f64 = 15.0;

/// Standard error for lines that must not run into the bar: for `tracing_subscriber::fmt().with_writer(LineWriter::new)`.
#[derive(Debug, Default)]
pub struct LineWriter;

impl LineWriter {
    /// A writer; all write to the same terminal.
    pub fn new() -> Self {
        Self
    }
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        TERMINAL.suspend(|| std::io::stderr().write_all(bytes)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// How far a run is.
pub struct Progress {
    bar: ProgressBar,
    first_step: usize,
    total_steps: usize,
    started: Instant,
    /// When the last step ended, unless something else was done since then.
    last: Option<Instant>,
    speed: Smoothed,
    loss: Smoothed,
}

impl Progress {
    /// The progress of a run that goes on after `step` of `total_steps`.
    pub fn new(step: usize, total_steps: usize) -> Self {
        let bar = TERMINAL.add(ProgressBar::new(total_steps as u64).with_finish(ProgressFinish::AndClear));
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_position(step as u64);
        Self {
            bar,
            first_step: step,
            total_steps,
            started: Instant::now(),
            last: Some(Instant::now()),
            speed: Smoothed::default(),
            loss: Smoothed::default(),
        }
    }

    /// Whether a bar is seen. If not, lines have to say how the run goes.
    pub fn is_visible(&self) -> bool {
        !self.bar.is_hidden()
    }

    /// A step ended.
    pub fn step(&mut self, step: usize, loss: f64, images: usize) {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            let seconds = now.duration_since(last).as_secs_f64().max(1e-9);
            self.speed.add(images as f64 / seconds, seconds);
            self.loss.add(loss, seconds);
        }
        if self.is_visible() {
            let left = self.time_left(step).map(|left| format!(", {} left", in_words(left))).unwrap_or_default();
            let (loss, speed) = (self.loss.value, self.speed.value);
            self.bar.set_position(step as u64);
            self.bar.set_message(format!("steps, loss {loss:.4}, {speed:.1} images/s{left}"));
        }
    }

    /// Something else than steps was done, such as a validation: it does not count for the speed.
    pub fn pause(&mut self) {
        self.last = None;
    }

    /// Time until the last step, at the mean speed of this process, validations included.
    pub fn time_left(&self, step: usize) -> Option<Duration> {
        let done = step.saturating_sub(self.first_step);
        let left = self.total_steps.saturating_sub(step);
        let seconds = self.started.elapsed().as_secs_f64() * left as f64 / done as f64;
        Duration::try_from_secs_f64(seconds).ok().filter(|_| done > 0)
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A mean in which the last [`SMOOTHING_S`] seconds count most.
#[derive(Clone, Copy, Debug, Default)]
struct Smoothed {
    value: f64,
    seconds: f64,
}

impl Smoothed {
    /// Adds what held for some seconds.
    fn add(&mut self, value: f64, seconds: f64) {
        self.seconds += seconds;
        // A plain mean at first.
        let share = (1.0 - (-seconds / SMOOTHING_S).exp()).max(seconds / self.seconds);
        self.value += (value - self.value) * share;
    }
}

/// A time to the minute: `3 h 05 min`.
pub fn in_words(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match (minutes / 60, minutes % 60) {
        (0, 0) => "less than 1 min".to_owned(),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_given_to_the_minute() {
        let words = |seconds| in_words(Duration::from_secs(seconds));
        assert_eq!(words(59), "less than 1 min");
        assert_eq!(words(119), "1 min");
        assert_eq!(words(3 * 3600 + 5 * 60), "3 h 05 min");
    }

    #[test]
    fn a_smoothed_value_is_a_mean_first_and_follows_later() {
        let mut speed = Smoothed::default();
        speed.add(2.0, 1.0);
        speed.add(4.0, 1.0);
        assert!((speed.value - 3.0).abs() < 1e-12);
        (0..1000).for_each(|_| speed.add(10.0, 1.0));
        assert!((speed.value - 10.0).abs() < 1e-3);
        // Two steps of half a second weigh as one of a second.
        let mut halves = speed;
        speed.add(5.0, 1.0);
        halves.add(5.0, 0.5);
        halves.add(5.0, 0.5);
        assert!((speed.value - halves.value).abs() < 1e-9);
    }

    #[test]
    fn the_time_left_counts_the_steps_of_this_process() {
        let mut progress = Progress::new(100, 200);
        assert_eq!(progress.time_left(100), None);
        progress.started = Instant::now().checked_sub(Duration::from_secs(60)).unwrap_or(progress.started);
        let left = progress.time_left(150).map(|left| left.as_secs_f64()).unwrap_or_default();
        assert!((left - 60.0).abs() < 1.0, "{left}");
        assert_eq!(progress.time_left(200).map(|left| left.as_secs()), Some(0));
    }
}
