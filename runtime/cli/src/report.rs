//! What the terminal shows: results and progress on standard error, listings on standard output.

use std::fmt::Write as _;
use std::io::Write as _;

use clothseg::{ClassRegion, EngineInfo, ModelSpec};
use clothseg_batch::{self as batch, BatchOptions, Cancel, Ended, Inputs, Outcome, Round, Summary};
use indicatif::{ProgressBar, ProgressStyle};

use crate::advice::{Remarks, explain_named};
use crate::printable::printable;

/// A line on standard error. That nobody reads it any more is no reason to stop.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable(text));
}

/// Shows photos as they end.
pub struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    cancel: Cancel,
    said_that_it_stops: bool,
}

impl Progress {
    /// A bar for more than one photo; it shows itself on a terminal only.
    pub fn new(photos: usize, quiet: bool, cancel: Cancel) -> Self {
        let bar = (photos > 1 && !quiet).then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} photos, {per_sec}, {eta} left {wide_msg}");
            let bar = ProgressBar::new(photos as u64);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, quiet, cancel, said_that_it_stops: false }
    }

    /// One photo ended.
    pub fn photo(&mut self, outcome: &Outcome) {
        match &outcome.result {
            // A line a photo helps with a few; with many the bar says enough.
            Ok(Ended::Done(done)) if self.bar.is_none() && !self.quiet => {
                self.line(&format!("{}: {}", outcome.name, found(&done.regions)));
            }
            Ok(_) => {}
            Err(error) => self.line(&format!("error: {}", explain_named(&outcome.name, error))),
        }
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        if self.cancel.is_cancelled() && !self.said_that_it_stops && !self.quiet {
            self.said_that_it_stops = true;
            self.line("stopping after the photos that have begun; press again to stop at once");
        }
    }

    /// Something else went wrong with an input.
    pub fn unreadable(&mut self, name: &str, error: &clothseg::Error) {
        self.line(&format!("error: {}", explain_named(name, error)));
    }

    /// The last lines: what was done, how fast, and how to go on.
    pub fn finish(self, summary: &Summary, inputs: &Inputs, options: &BatchOptions, engine: &EngineInfo) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.quiet {
            return;
        }
        told("skipped", inputs.skipped, "file that is not a photo", "files that are not photos");
        told("skipped", inputs.earlier_results, "result of an earlier run", "results of earlier runs");
        told_of_removed(summary);
        named(&summary.changed, "has changed since it was done", "have changed since they were done", "done again");
        let (one, several) = ("has results that were changed since", "have results that were changed since");
        named(&summary.edited, one, several, "they are kept");
        let (one, several) = ("in the manifest is not part of this run", "in the manifest are not part of this run");
        named(&summary.missing, one, several, "the results are kept");
        if summary.done > 1 {
            say(&pace(summary, engine));
        }
        let counts = counts(summary, inputs.unreadable.len());
        say(&format!("{counts}; results in {}", options.output.display()));
        if summary.to_review > 0 {
            let manifest = batch::manifest_path(&options.output, options.shard);
            match &options.review.folder {
                Some(folder) => say(&format!("photos to review are in {}", folder.display())),
                None => {
                    say(&format!("why to review them is in {}; --review-dir DIR collects them", manifest.display()))
                }
            }
        }
        if summary.not_begun > 0 {
            say(&format!("{} photos were not begun; the same command with --resume goes on", summary.not_begun));
        }
    }

    /// The line of photos that arrived together: how they ended.
    pub fn finish_round(self, round: &Round) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if !self.quiet {
            told_of_removed(&round.summary);
            let vanished =
                if round.vanished > 0 { format!(", {} deleted before", round.vanished) } else { String::new() };
            say(&format!("{}{vanished}", counts(&round.summary, 0)));
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }
}

/// Says what was done with so many files.
fn told(what: &str, count: usize, one: &str, several: &str) {
    match count {
        0 => {}
        1 => say(&format!("{what} 1 {one}")),
        _ => say(&format!("{what} {count} {several}")),
    }
}

/// Says how many files of earlier runs were removed.
fn told_of_removed(summary: &Summary) {
    let (one, several) = (
        "file of an earlier run that does not fit the new results",
        "files of earlier runs that do not fit the new results",
    );
    told("removed", summary.removed_files, one, several);
}

/// Photos that a sentence names at most.
const NAMED: usize = 5;

/// Says what is so of these photos, the first ones by name.
fn named(photos: &[String], one: &str, several: &str, what: &str) {
    let first = photos.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = photos.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    match photos.len() {
        0 => {}
        1 => say(&format!("1 photo {one}: {first}; {what}")),
        count => say(&format!("{count} photos {several}: {first}{more}; {what}")),
    }
}

/// A number of photos.
pub fn photos(count: usize) -> String {
    format!("{count} {}", if count == 1 { "photo" } else { "photos" })
}

fn counts(summary: &Summary, unreadable: usize) -> String {
    let mut text = format!("{} done", photos(summary.done));
    let others =
        [(summary.failed + unreadable, "failed"), (summary.skipped, "done before"), (summary.to_review, "to review")];
    for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
        let _ = write!(text, ", {count} {what}");
    }
    text
}

/// How fast it went, and in which stages the threads were.
fn pace(summary: &Summary, engine: &EngineInfo) -> String {
    let stages = summary.timings.work();
    let work_ms: f64 = stages.iter().map(|(_, ms)| ms).sum();
    let share = |(name, ms): &(&str, f64)| format!("{name} {:.0} %", ms / work_ms.max(f64::MIN_POSITIVE) * 100.0);
    let shares: Vec<String> = stages.iter().map(share).collect();
    let per_second = summary.done as f64 / summary.wall_s.max(1e-9);
    format!("{per_second:.1} photos a second on {}; of the work: {}", engine.provider, shares.join(", "))
}

fn found(regions: &[ClassRegion]) -> String {
    let mut regions: Vec<&ClassRegion> = regions.iter().collect();
    regions.sort_by_key(|region| std::cmp::Reverse(region.area_px));
    let names: Vec<String> =
        regions.iter().map(|region| format!("{} {:.1} %", region.name, region.area_share * 100.0)).collect();
    if names.is_empty() { "none of the classes asked for".into() } else { names.join(", ") }
}

/// What runs, and what the user should know about it; quietly, only what is not as it should be.
pub fn engine(info: &EngineInfo, remarks: &Remarks, quiet: bool) {
    if !quiet {
        say(&format!("engine: {info}"));
    }
    if let Some(warning) = &remarks.warning {
        say(&format!("warning: {warning}"));
    }
    if let Some(note) = remarks.note.as_ref().filter(|_| !quiet) {
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
