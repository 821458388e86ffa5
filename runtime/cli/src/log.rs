//! The log of the libraries: which of its messages are shown.

use std::ffi::OsStr;

use clothseg_batch as batch;
use tracing_subscriber::EnvFilter;

use crate::printable::LogLines;
use crate::report::say;

/// The environment variable with a filter.
const VARIABLE: &str = "CLOTHSEG_LOG";

/// Shows messages on standard error from now on: warnings, or with `quiet` errors alone, unless the environment has a filter.
pub fn begin(quiet: bool) {
    let usual = if quiet { "error" } else { "error,clothseg=warn" };
    let filter = match std::env::var_os(VARIABLE).map(|text| filter_of(&text)) {
        Some(Ok(filter)) => filter,
        Some(Err(cause)) if !quiet => {
            say(&format!(
                "warning: {VARIABLE} {cause}, and has no effect; write a level such as debug, or clothseg=debug"
            ));
            usual.into()
        }
        _ => usual.into(),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(batch::uses_color(&std::io::stderr()))
        .with_target(false)
        .with_writer(|| LogLines)
        .without_time();
    // Where the program runs a second time in one process, the first subscriber stays.
    let _ = subscriber.try_init();
}

/// The filter of this text, or what is wrong with it.
fn filter_of(text: &OsStr) -> Result<EnvFilter, String> {
    let known = text.to_str().ok_or_else(|| "is not UTF-8".to_owned())?;
    EnvFilter::try_new(known).map_err(|error| format!("'{known}' is not a log filter ({error})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_makes_no_sense_is_named() {
        assert!(filter_of(OsStr::new("debug")).is_ok() && filter_of(OsStr::new("error,clothseg=warn")).is_ok());
        assert!(filter_of(OsStr::new("clothseg=lots")).is_err_and(|cause| cause.contains("'clothseg=lots'")));
    }
}
