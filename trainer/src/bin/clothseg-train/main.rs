//! `clothseg-train`: see `--help`.

mod arguments;
mod generate;
mod tasks;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clothseg_batch::locate::TELEMETRY_SWITCH;
use clothseg_batch::uses_color;
use clothseg_trainer::config::Config;
use clothseg_trainer::data::prepare;
use clothseg_trainer::onnx::{CheckpointChoice, Weights, export_run};
use clothseg_trainer::run::log::progress::LineWriter;
use clothseg_trainer::sweep::{SweepConfig, SweepOptions, list, run_sweep};
use clothseg_trainer::tools::label_sheet::draw_labels;
use clothseg_trainer::train::Start;
use clothseg_trainer::{Error, Result, train};

use self::arguments::{Arguments, Command};
use self::tasks::{averaged, calibrated, eval, in_eight_bits, options, print, pseudo_labelled};

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(not(target_env = "msvc"))]
// SAFETY: jemalloc reads under this name a pointer to a C string. A reference to an array is one pointer, the bytes end with
// a NUL, and nothing else here has the name.
#[unsafe(export_name = "_rjem_malloc_conf")]
static ALLOCATOR_OPTIONS: &[u8; clothseg_trainer::ALLOCATOR_OPTIONS.len()] = clothseg_trainer::ALLOCATOR_OPTIONS;

fn main() -> ExitCode {
    if std::env::var_os(TELEMETRY_SWITCH).is_none() {
        // SAFETY: there is no other thread yet that could read the environment.
        unsafe { std::env::set_var(TELEMETRY_SWITCH, "1") };
    }
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,ort=warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(uses_color(&std::io::stderr()))
        .with_writer(LineWriter::new)
        .init();
    match obey(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

fn obey(arguments: Arguments) -> Result<()> {
    match (arguments.generate, arguments.command) {
        (Some(what), _) => print(&generate::generate(what).map_err(Error::io("write to", "standard output"))?),
        (None, Some(command)) => run(command),
        // Without any argument the help is shown, and nothing gets here.
        (None, None) => Ok(()),
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Prepare(arguments) => {
            let options = arguments.options();
            let done = prepare(&options)?;
            print(&format!("{}: {done}\n", options.output.display()))
        }
        Command::Train { config, resume, accept_changed_data, device } => {
            let config = Config::open(&config)?;
            let start = Start { resume, accepts_changed_data: accept_changed_data, device, last_step: None };
            train::train(&config, start)?;
            tracing::info!("done; next: clothseg-train export {}", config.run.display());
            Ok(())
        }
        Command::Eval(arguments) => eval(&arguments),
        Command::Quantize { model, data, output, photos, provider } => {
            in_eight_bits(&model, &data, output, photos, provider)
        }
        Command::Calibrate(arguments) => calibrated(arguments),
        Command::Average { models, data, output, provider } => averaged(&models, &data, &output, provider),
        Command::Labels { config, output, photos } => draw_labels(&Config::open(&config)?, &output, photos),
        Command::PseudoLabel(arguments) => pseudo_labelled(arguments),
        Command::Sweep { config, only, tables_only, list: lists, device, provider } => {
            let sweep = SweepConfig::open(&config)?;
            if lists {
                return print(&list(&sweep)?);
            }
            let options = SweepOptions { only, tables_only, device, engine: options(provider) };
            let folder = run_sweep(&sweep, &options)?;
            tracing::info!("done; the tables are in {}", folder.join("tables.md").display());
            Ok(())
        }
        Command::Export { run, last, half, output, provider } => {
            let choice = if last { CheckpointChoice::Last } else { CheckpointChoice::Best };
            let weights = if half { Weights::F16 } else { Weights::F32 };
            let done = export_run(&run, choice, output.as_deref(), weights, &options(provider))?;
            print(&format!(
                "{}: {:.1} MB; logits differ from the trained network's by at most {:.1e}{}; run by {}\n",
                done.path.display(),
                done.bytes as f64 / 1e6,
                done.difference,
                if half { " after rounding the weights" } else { "" },
                done.engine
            ))
        }
    }
}
