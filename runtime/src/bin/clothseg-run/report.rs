//! What the terminal shows: results and progress on standard error, listings on standard output.

use std::fmt::Write as _;
use std::io::Write as _;

use clothseg::batch::Outcome;
use clothseg::{ClassRegion, EngineInfo, ModelSpec};
use indicatif::{ProgressBar, ProgressStyle};

/// A line on standard error. That nobody reads it any more is no reason to stop.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Shows photos as they end and counts failures.
pub struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    done: usize,
    failed: usize,
}

impl Progress {
    /// A bar for more than one photo; it shows itself on a terminal only.
    pub fn new(photos: usize, quiet: bool) -> Self {
        let bar = (photos > 1 && !quiet).then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} photos, {per_sec}, {eta} left {wide_msg}");
            let bar = ProgressBar::new(photos as u64);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, quiet, done: 0, failed: 0 }
    }

    /// One photo ended.
    pub fn photo(&mut self, outcome: &Outcome) {
        match &outcome.result {
            Ok(done) => {
                self.done += 1;
                // A line a photo helps with a few; with many the bar says enough.
                if self.bar.is_none() && !self.quiet {
                    self.line(&format!("{}: {}", outcome.name, found(&done.regions)));
                }
            }
            Err(error) => {
                self.failed += 1;
                self.line(&format!("error: {}: {}", outcome.name, error.chain()));
            }
        }
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Something else went wrong with an input.
    pub fn unreadable(&mut self, name: &str, error: &clothseg::Error) {
        self.failed += 1;
        self.line(&format!("error: {name}: {}", error.chain()));
    }

    /// The last line; returns the number of failures.
    pub fn finish(self, output: &std::path::Path, skipped: usize) -> usize {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if !self.quiet {
            let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
            let photos = if self.done == 1 { "photo" } else { "photos" };
            if skipped > 0 {
                say(&format!("{skipped} other files in the folders are no photos by their names and were left alone"));
            }
            say(&format!("{} {photos} done{failed}; results in {}", self.done, output.display()));
        }
        self.failed
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }
}

fn found(regions: &[ClassRegion]) -> String {
    let mut regions: Vec<&ClassRegion> = regions.iter().collect();
    regions.sort_by_key(|region| std::cmp::Reverse(region.area_px));
    let names: Vec<String> =
        regions.iter().map(|region| format!("{} {:.1} %", region.name, region.area_share * 100.0)).collect();
    if names.is_empty() { "none of the classes asked for".into() } else { names.join(", ") }
}

/// What runs, and what the user should know about it; quietly, only what is not as it should be.
pub fn engine(info: &EngineInfo, quiet: bool) {
    if !quiet {
        say(&format!("engine: {info}"));
    }
    if let Some(warning) = &info.warning {
        say(&format!("warning: {warning}"));
    }
    if let Some(note) = info.note.as_ref().filter(|_| !quiet) {
        say(&format!("note: {note}"));
    }
}

/// The classes and groups of a model.
pub fn class_list(spec: &ModelSpec) -> String {
    let mut text = String::new();
    for (index, class) in spec.taxonomy.classes.iter().enumerate() {
        let aliases =
            if class.aliases.is_empty() { String::new() } else { format!("  ({})", class.aliases.join(", ")) };
        let _ = writeln!(text, "{index:3}  {}{aliases}", class.name);
    }
    for (group, members) in &spec.taxonomy.groups {
        let _ = writeln!(text, "group {group}: {}", members.join(", "));
    }
    text
}
