//! `clothseg-serve`: garments cut out of photos over HTTP, and a page to try it. The program is a function, as `clothseg-run` is.
//!
//! A request takes a place before its photo is read; where all are taken it is refused (503). The photo is then read within limits,
//! waits for its turn, and is segmented on a thread of its own. Nothing is kept and nothing is fetched.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod access;
mod batcher;
mod engines;
mod files;
mod guard;
mod health;
mod metrics;
mod openapi;
mod options;
mod page;
mod pictures;
mod problem;
mod request_body;
mod routes;
mod sending;
mod serve;
mod state;
mod steady;
mod upload;
mod work;
mod zip;

use std::ffi::OsString;
use std::io::Write;

use axum::body::Bytes;
use clap::{CommandFactory, Parser};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

pub use clothseg_cli::TELEMETRY_SWITCH;

use access::Access;
use engines::Engines;
use options::{LogForm, Options};
use state::{Shared, State};

/// Stopped, and all requests are answered; or the server that was asked is well.
const WELL: u8 = 0;
/// Stopped with requests unanswered; or the server that was asked is not well.
const NOT_WELL: u8 = 1;
/// Wrong usage, or nothing can run.
const UNUSABLE: u8 = 2;

/// Threads for connections; photos have threads of their own.
const CONNECTION_THREADS: usize = 2;

/// Runs the program with these arguments, its own name first, and returns its exit status: 0 stopped with all requests answered, 1
/// stopped with some unanswered, 2 wrong usage or nothing can run.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let options = match Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(answer) => {
            // Help and version are answers of this kind, too. A reader that has gone is no error.
            let _ = answer.print();
            return u8::try_from(answer.exit_code()).unwrap_or(UNUSABLE);
        }
    };
    let outcome = if let Some(what) = options.generate {
        let text = clothseg_cli::generate(what, Options::command(), &[("EXAMPLES AND EXIT STATUS", options::AFTER)]);
        text.and_then(|text| clothseg_cli::print(&text)).map(|()| WELL).map_err(|said| (said, UNUSABLE))
    } else if options.health {
        health::ask(options.listen).map(|()| WELL).map_err(|said| (said, NOT_WELL))
    } else {
        start_log(options.log);
        obey(&options).map_err(|said| (said, UNUSABLE))
    };
    outcome.unwrap_or_else(|(said, status)| {
        let _ = writeln!(std::io::stderr(), "error: {said}");
        status
    })
}

fn start_log(form: LogForm) {
    let filter = EnvFilter::try_from_env("CLOTHSEG_LOG");
    let filter = filter.unwrap_or_else(|_| "error,clothseg=warn,clothseg_server=info".into());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // Where the program runs a second time in one process, the first subscriber stays.
    let _ = match form {
        LogForm::Plain => lines.with_ansi(false).try_init(),
        LogForm::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
}

fn obey(options: &Options) -> Result<u8, String> {
    let access = Access::new(&options.access)?;
    let (engines, remarks) = Engines::open(options)?;
    if let Ok(segmenter) = engines.get(None) {
        tracing::info!(engine = %segmenter.engine_info(), model = segmenter.spec().name, "the model is open");
    }
    for note in [&remarks.note, &remarks.warning].into_iter().flatten() {
        tracing::warn!("{note}");
    }
    let jobs = engines.jobs;
    let state = State::new(engines, options.limits.limits(), access, options.limits.queue);
    warm_up(&state)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONNECTION_THREADS)
        // A few more than work at a time: threads that end take a moment.
        .max_blocking_threads(jobs.saturating_add(4))
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start threads: {error}"))?;
    let served = runtime.block_on(listen(options, state));
    // Work that nobody waits for any more must not keep the program.
    runtime.shutdown_background();
    let all_answered = served?;
    if all_answered {
        tracing::info!("stopped: all requests are answered");
        return Ok(WELL);
    }
    tracing::warn!("stopped; some requests were not answered");
    Ok(NOT_WELL)
}

/// One photo before the first request: what cannot run is known at the start, and the first request is as fast as the others.
fn warm_up(state: &State) -> Result<(), String> {
    let photo = clothseg::Photo::from_bytes(&Bytes::from_static(page::SAMPLE), &clothseg::Limits::default());
    let photo = photo.map_err(|error| error.chain())?;
    let segmenter = state.engines.get(None).map_err(|_| "the model cannot be run at this quality".to_owned())?;
    let segmented = state.engines.segment(segmenter, photo);
    segmented.map(drop).map_err(|error| format!("the model cannot segment the sample photo: {}", error.chain()))
}

async fn listen(options: &Options, state: Shared) -> Result<bool, String> {
    let failed = |error: std::io::Error| format!("cannot listen on {}: {error}", options.listen);
    let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!("listening on http://{address}");
    if !address.ip().is_loopback() {
        tracing::warn!("other machines can reach this address, and no password is asked for");
    }
    serve::serve(listener, routes::router(state.clone()), state).await.map_err(failed)
}
