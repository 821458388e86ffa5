//! Flags for a folder that photos arrive in, to options.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clothseg_batch::WatchOptions;

/// How a folder is watched.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Watch")]
pub struct WatchArgs {
    /// Watch the folder INPUT: process the photos that are there and not done, then those that arrive, until Ctrl-C
    #[arg(long, requires = "inputs", conflicts_with_all = ["files_from", "shard", "fail_fast"])]
    pub watch: bool,

    /// How long a photo must be left unchanged to count as whole [default: 2; on Linux 0.2 after its writer has closed it]
    #[arg(long, value_name = "SECONDS", requires = "watch")]
    pub watch_settle: Option<Seconds>,

    /// Look for changes this often, for folders that other machines write to [default: the system tells of changes; every 5
    /// seconds where it cannot]
    #[arg(long, value_name = "SECONDS", requires = "watch")]
    pub watch_poll: Option<Seconds>,
}

/// A time in seconds, from 0.1 to a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seconds(Duration);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = text.trim().parse().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
        seconds
            .map(|seconds| Self(Duration::from_secs_f64(seconds)))
            .ok_or_else(|| format!("'{text}' is no number of seconds from 0.1 to 86400"))
    }
}

impl WatchArgs {
    /// The folder to watch: the one input.
    pub fn folder<'a>(&self, inputs: &'a [PathBuf]) -> Result<&'a Path, String> {
        match inputs {
            [folder] if folder.is_dir() => Ok(folder),
            [other] => Err(format!("--watch: {} is no folder; name the folder that photos arrive in", other.display())),
            _ => Err("--watch takes one folder: start a watch for each, with an output folder of its own".into()),
        }
    }

    /// How it is watched.
    pub fn options(&self) -> WatchOptions {
        let options = WatchOptions::default().with_poll(self.watch_poll.map(|seconds| seconds.0));
        match self.watch_settle {
            // Somebody whose writers close a photo and open it again needs the same after closing.
            Some(Seconds(settle)) => options.with_settle(settle).with_settle_after_closing(settle),
            None => options,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_numbers_that_make_sense() {
        assert_eq!("0.5".parse(), Ok(Seconds(Duration::from_millis(500))));
        for text in ["", "0", "-1", "nan", "inf", "1e9", "2s"] {
            assert!(text.parse::<Seconds>().is_err(), "{text}");
        }
    }
}
