//! `clothseg-train`: see `--help`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use clothseg_trainer::{config::Config, train};

/// Train clothing segmentation networks and write them as ONNX for clothseg-run.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train by a config file.
    Train {
        /// The config, TOML.
        config: PathBuf,
        /// Go on from the run's last checkpoint.
        #[arg(long)]
        resume: bool,
    },
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(std::io::stderr).init();
    let result = match Arguments::parse().command {
        Command::Train { config, resume } => {
            Config::open(&config).and_then(|config| train::train(&config, resume)).map(|_| ())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
