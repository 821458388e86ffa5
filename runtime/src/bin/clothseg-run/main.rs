//! `clothseg-run`: photos in, masks and polygons out.

mod args;
mod format_args;
mod report;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clothseg::batch::{self, BatchOptions};
use clothseg::{Error, ModelSpec, Segmenter, Taxonomy};

use args::Args;

/// Some photos failed, the rest are done.
const SOME_FAILED: u8 = 1;
/// Wrong usage, or nothing can run.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("CLOTHSEG_LOG")
                .unwrap_or_else(|_| "error,clothseg=warn".into()),
        )
        .with_writer(std::io::stderr)
        .without_time()
        .init();
    match run(&args) {
        Ok(code) => code,
        Err(message) => {
            report::say(&format!("error: {message}"));
            ExitCode::from(UNUSABLE)
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, String> {
    let named = |error: Error| match &args.model {
        Some(path) => format!("{}: {}", path.display(), error.chain()),
        None => error.chain(),
    };
    // What can be wrong with the command is found before an engine is opened.
    let spec = spec(args).map_err(named)?;
    if args.list_classes {
        return print(&report::class_list(&spec));
    }
    let options = batch_options(args, &spec.taxonomy)?;
    if args.inputs.is_empty() && !args.info {
        return Err("no input: name photos, folders or '-' (see clothseg-run --help)".into());
    }
    let segmenter = open(args).map_err(named)?;
    if args.info {
        return print(&report::info(&segmenter));
    }
    batch::create_output(&options.output).map_err(|error| error.chain())?;
    segment(args, &segmenter, &options)
}

fn spec(args: &Args) -> clothseg::Result<ModelSpec> {
    match &args.model {
        Some(path) => ModelSpec::open(path),
        #[cfg(feature = "default-model")]
        None => Segmenter::default_spec(),
        #[cfg(not(feature = "default-model"))]
        None => Err(Error::Invalid("this build carries no model: name one with --model FILE".into())),
    }
}

fn open(args: &Args) -> clothseg::Result<Segmenter> {
    match &args.model {
        Some(path) => Segmenter::open(path, &args.engine_options()),
        #[cfg(feature = "default-model")]
        None => Segmenter::open_default(&args.engine_options()),
        #[cfg(not(feature = "default-model"))]
        None => Err(Error::Invalid("this build carries no model: name one with --model FILE".into())),
    }
}

fn batch_options(args: &Args, taxonomy: &Taxonomy) -> Result<BatchOptions, String> {
    let classes = if args.classes.is_empty() {
        (1..taxonomy.len()).collect()
    } else {
        taxonomy.resolve_all(&args.classes).map_err(|error| error.chain())?
    };
    Ok(BatchOptions {
        output: args.output.clone(),
        classes,
        outputs: args.files.output_options()?,
        limits: args.limits(),
    })
}

fn segment(args: &Args, segmenter: &Segmenter, options: &BatchOptions) -> Result<ExitCode, String> {
    let stdin = &mut std::io::stdin().lock();
    let inputs = batch::find_inputs(&args.inputs, &options.output, options.limits.max_bytes, stdin)
        .map_err(|error: Error| error.chain())?;
    if inputs.photos.is_empty() && inputs.unreadable.is_empty() {
        return Err("there are no photos in what was named (jpg, png, webp, bmp, gif, tiff)".into());
    }
    if !args.quiet {
        report::engine(segmenter.engine_info());
    }
    let mut progress = report::Progress::new(inputs.photos.len(), args.quiet);
    for (name, error) in &inputs.unreadable {
        progress.unreadable(name, error);
    }
    batch::run(segmenter, &inputs.photos, options, &mut |outcome| progress.photo(&outcome));
    let failed = progress.finish(&options.output, inputs.skipped);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(SOME_FAILED) })
}

/// Writes to standard output; a reader that has gone, such as `head`, is no error.
fn print(text: &str) -> Result<ExitCode, String> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("cannot write: {error}")),
        _ => Ok(ExitCode::SUCCESS),
    }
}
