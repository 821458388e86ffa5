//! `--watch`: what the terminal shows of a folder that photos arrive in.

use std::path::Path;

use clothseg::{Error, Segmenter};
use clothseg_batch::{self as batch, BatchOptions, Cancel, WatchEvent, WatchOptions, WatchSummary, Way};

use crate::advice::explain;
use crate::report::{Progress, photos, say};
use crate::signals;

/// Does the photos of the folder and those that arrive, until somebody says stop. Gives how it ended, which is no failure.
pub fn watch(
    segmenter: &Segmenter,
    folder: &Path,
    options: &BatchOptions,
    how: &WatchOptions,
    quiet: bool,
) -> Result<WatchSummary, String> {
    let cancel = Cancel::new();
    signals::cancel_on_first(&cancel)?;
    let unwritten = options.outputs.formats.iter().filter(|format| format.exporter().needs().parts);
    for format in unwritten.filter(|_| !quiet) {
        let name = format.exporter().name();
        say(&format!(
            "note: the file of all photos of format {name} is written by a run with --resume, not by --watch"
        ));
    }
    let mut progress: Option<Progress> = None;
    let summary = batch::watch(segmenter, folder, options, how, &cancel, &mut |event| match event {
        WatchEvent::Listening(way) if !quiet => listening(folder, &way),
        WatchEvent::Begun(photos) => progress = Some(Progress::new(photos, quiet, cancel.clone())),
        WatchEvent::Photo(outcome) => {
            if let Some(progress) = &mut progress {
                progress.photo(&outcome);
            }
        }
        WatchEvent::Ended(round) => {
            if let Some(progress) = progress.take() {
                progress.finish_round(&round);
            }
        }
        WatchEvent::Unreadable { error: error @ Error::Read { .. }, .. } => {
            say(&format!("error: {}; it is tried again", explain(&error)));
        }
        WatchEvent::Unreadable { name, error } => say(&format!("error: {name}: {}", explain(&error))),
        WatchEvent::Back if !quiet => say(&format!("{} can be read again", folder.display())),
        _ => {}
    });
    let summary = summary.map_err(|error| explain(&error))?;
    if !quiet {
        let WatchSummary { done, failed, not_begun, .. } = summary;
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        let left = if not_begun > 0 { format!(", {not_begun} not begun") } else { String::new() };
        let output = options.output.display();
        say(&format!("stopped; since the start {} done{failed}{left}; results in {output}", photos(done)));
    }
    Ok(summary)
}

fn listening(folder: &Path, way: &Way) {
    let folder = folder.display();
    say(&match way {
        Way::Looking { reason: Some(_), .. } => format!("note: watching {folder}: {way}; --watch-poll sets how often"),
        _ => format!("watching {folder}: {way}; Ctrl-C stops"),
    });
}
