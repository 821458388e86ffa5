//! Flags to options.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use clap::builder::TypedValueParser;
use clothseg_cli::{EngineArgs, Generated};

/// Cuts garments out of photos over HTTP: masks, polygons and cut-outs, and a page to try it.
#[derive(Debug, Parser)]
#[command(name = "clothseg-serve", version, after_help = AFTER)]
pub struct Options {
    /// Address and port to listen on. 127.0.0.1 is this machine only; 0.0.0.0 lets others in; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// ONNX model, or a folder with model.onnx in it; the built-in one without it
    #[arg(short, long, value_name = "FILE")]
    pub model: Option<PathBuf>,

    #[command(flatten)]
    pub limits: LimitArgs,

    #[command(flatten)]
    pub access: AccessArgs,

    /// Log lines on standard error: plain or json. CLOTHSEG_LOG chooses what is logged, such as debug
    #[arg(long, value_name = "FORM", default_value = "plain")]
    pub log: LogForm,

    /// Ask the server that listens at --listen whether it is well, and stop: exit status 0 or 1
    #[arg(long)]
    pub health: bool,

    /// Write this to standard output, and stop: man (the man page), or a completion script: complete-bash, complete-zsh,
    /// complete-fish, complete-powershell or complete-elvish
    #[arg(long, value_name = "KIND", hide_possible_values = true, exclusive = true)]
    pub generate: Option<Generated>,

    #[command(flatten)]
    pub engine: EngineArgs,
}

pub const AFTER: &str = "\
Examples:
  clothseg-serve
  clothseg-serve --listen 0.0.0.0:8080 --allow-host photos.example.com --log json
  curl -F file=@photo.jpg 'http://127.0.0.1:8080/v1/segment?format=json&classes=shirt,pants'
  curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' -o pants.png http://127.0.0.1:8080/v1/masks/pants

Nothing is fetched and no photo is kept. There is no password: whoever can reach the address can use it.
The first Ctrl-C or SIGTERM answers the requests that have begun, the second stops at once.
Exit status: 0 stopped, all requests answered; 1 stopped with requests unanswered; 2 wrong usage or nothing can run.";

/// What requests may cost.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Photos to process at the same time; one per core by default
    #[arg(short, long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<NonZeroUsize>,

    /// Photos that may wait besides; those beyond are refused with 503
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).map(usize::from))]
    pub queue: usize,

    /// Photos in one run of the network, at most; more than 1 pays on a GPU only [default: 8 on a GPU, else 1]
    #[arg(long, value_name = "N")]
    pub batch: Option<NonZeroUsize>,

    /// Largest upload, in megabytes
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub max_megabytes: u64,

    /// Largest photo, in megapixels
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub max_megapixels: u64,

    /// Connections at a time; more wait to be accepted
    #[arg(long, value_name = "N", default_value = "256")]
    pub connections: NonZeroUsize,

    /// Seconds in which the head of a request must arrive; also how long a connection may be idle
    #[arg(long, value_name = "S", default_value = "15")]
    pub head_time: Seconds,

    /// Seconds in which an upload must arrive
    #[arg(long, value_name = "S", default_value = "30")]
    pub body_time: Seconds,

    /// Seconds in which a request is answered, from its head on
    #[arg(long, value_name = "S", default_value = "60")]
    pub request_time: Seconds,

    /// Seconds that requests have to finish when the server is asked to stop
    #[arg(long, value_name = "S", default_value = "30")]
    pub stop_time: Seconds,
}

/// Who may ask.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Access")]
pub struct AccessArgs {
    /// Host name that browsers may use for this server, besides localhost and IP addresses; '*' for any
    #[arg(long, value_name = "NAME")]
    pub allow_host: Vec<String>,

    /// Origin of other pages that may use this server from a browser, such as https://shop.example.com
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogForm {
    /// Lines for people.
    Plain,
    /// One JSON object a line.
    Json,
}

/// A time in seconds, from a millisecond to a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = text.parse().ok().filter(|seconds: &f64| (0.001..=86_400.0).contains(seconds));
        let seconds = seconds.ok_or_else(|| format!("'{text}' is not a valid time: write seconds, 0.001 to 86400"))?;
        Ok(Self(Duration::from_secs_f64(seconds)))
    }
}

/// Most photos in work at a time: each has a thread.
const MAX_JOBS: usize = 1024;

fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    let jobs = text.parse().ok().filter(|jobs: &NonZeroUsize| jobs.get() <= MAX_JOBS);
    jobs.ok_or_else(|| format!("'{text}' is not a number from 1 to {MAX_JOBS}"))
}

/// What requests may cost, as the server needs it.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest upload.
    pub max_bytes: u64,
    /// What a photo may cost.
    pub photo: clothseg::Limits,
    /// See [`LimitArgs`].
    pub connections: usize,
    /// See [`LimitArgs`].
    pub head_time: Duration,
    /// See [`LimitArgs`].
    pub body_time: Duration,
    /// See [`LimitArgs`].
    pub request_time: Duration,
    /// See [`LimitArgs`].
    pub stop_time: Duration,
}

impl LimitArgs {
    /// The same as options.
    pub fn limits(&self) -> Limits {
        let max_bytes = self.max_megabytes.saturating_mul(1_000_000);
        let photo = clothseg::Limits::default();
        let decode_time = photo.max_decode_time.min(self.request_time.0);
        Limits {
            max_bytes,
            photo: photo
                .with_max_bytes(max_bytes)
                .with_max_pixels(self.max_megapixels.saturating_mul(1_000_000))
                .with_max_decode_time(decode_time),
            connections: self.connections.get(),
            head_time: self.head_time.0,
            body_time: self.body_time.0,
            request_time: self.request_time.0,
            stop_time: self.stop_time.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_flags_holds() {
        Options::command().debug_assert();
    }

    #[test]
    fn times_are_seconds_within_a_day() {
        assert_eq!("0.5".parse::<Seconds>().unwrap().0, Duration::from_millis(500));
        for text in ["0", "-1", "nan", "inf", "1e9", "soon"] {
            assert!(text.parse::<Seconds>().unwrap_err().contains("86400"), "{text}");
        }
    }

    #[test]
    fn nobody_else_is_let_in_unless_told() {
        let options = Options::try_parse_from(["clothseg-serve"]).unwrap();
        assert!(options.listen.ip().is_loopback());
        assert!(options.access.allow_host.is_empty() && options.access.allow_origin.is_empty());
    }
}
