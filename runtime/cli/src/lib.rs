//! `clothseg-run`: photos in, masks and polygons out. The program is a function, so that the Python package has the same one.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod advice;
mod args;
mod batch_args;
mod engine_args;
mod format_args;
mod generate;
mod info;
mod list_file;
mod log;
mod mask_args;
mod printable;
mod report;
mod signals;
mod watch;
mod watch_args;

use std::ffi::OsString;
use std::io::Write;

use clap::{CommandFactory, Parser};
use clothseg::{EngineOptions, Error, Model, Segmenter, Taxonomy, engine};
use clothseg_batch::{self as batch, BatchOptions, Cancel, Inputs, Stop};

use advice::{Remarks, explain, explain_of};
use args::Args;
pub use clothseg_batch::locate::TELEMETRY_SWITCH;
pub use engine_args::{EngineArgs, is_gpu, read_model, usual_jobs};
pub use generate::{Generated, generate};

/// All photos are done.
const ALL_DONE: u8 = 0;
/// Some photos failed, the rest are done.
const SOME_FAILED: u8 = 1;
/// Wrong usage, or nothing can run.
const UNUSABLE: u8 = 2;
/// Stopped by Ctrl-C or by being asked to end; what shells say of Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Runs the program with these arguments, its own name first, and returns its exit status: 0 all done, 1 some photos failed, 2
/// wrong usage or nothing can run, 130 stopped.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(answer) => {
            // Help and version are answers of this kind, too. A reader that has gone is no error.
            let _ = answer.print();
            return u8::try_from(answer.exit_code()).unwrap_or(UNUSABLE);
        }
    };
    log::begin(args.quiet);
    signals::outlive_file_size_limit();
    match obey(&args) {
        Ok(status) => status,
        Err(message) => {
            report::say(&format!("error: {message}"));
            UNUSABLE
        }
    }
}

fn obey(args: &Args) -> Result<u8, String> {
    // Most errors name the file that is at fault, which may be the description.
    let named = |error: Error| explain_of(args.model.as_deref(), &error);
    if let Some(what) = args.generate {
        let files = args::files();
        let sections = [("EXAMPLES", args::EXAMPLES), ("RESULTS", &files), ("EXIT STATUS", args::EXIT_STATUS)];
        return print(&generate(what, Args::command(), &sections)?).map(|()| ALL_DONE);
    }
    // What can be wrong with the command is found before an engine is opened.
    let engine_options = args.engine.options()?;
    let model = args.engine.model(args.model.as_deref()).map_err(named)?;
    if args.list_classes {
        return print(&report::class_list(model.spec())).map(|()| ALL_DONE);
    }
    let mut options = batch_options(args, &model.spec().taxonomy)?;
    if let Some(format) = args.info {
        let (segmenter, remarks) = open(args, &model, engine_options).map_err(named)?;
        return print(&info::info(&segmenter, &remarks, format)).map(|()| ALL_DONE);
    }
    if args.inputs.is_empty() && args.many.files_from.is_none() {
        return Err("no input: name photos, folders or '-' (see clothseg-run --help)".into());
    }
    let watched = args.watch.watch.then(|| args.watch.folder(&args.inputs)).transpose()?;
    let inputs = match watched {
        Some(_) => Inputs::default(),
        None => args.many.find(&args.inputs, &options.output, options.limits.max_bytes)?,
    };
    if watched.is_none() && inputs.is_empty() && inputs.unreadable.is_empty() {
        return nothing_to_do(args, inputs.earlier_results);
    }
    // How many arrive is not known: the engine is made for many.
    let photos = watched.map_or(inputs.len(), |_| usize::MAX);
    let engine_options = args.many.engine_options(engine_options, &args.engine, &model, photos);
    let (segmenter, remarks) = open(args, &model, engine_options).map_err(named)?;
    // The weights are the engine's now; a large model need not be held twice.
    drop(model);
    options.work = args.many.work_options(&segmenter);
    report::engine(segmenter.engine_info(), &remarks, args.quiet);
    if !args.quiet {
        args.without_effect(segmenter.engine_info().provider).iter().for_each(|line| report::say(line));
    }
    let Some(folder) = watched else { return segment(args, &segmenter, &inputs, &options) };
    let summary = watch::watch(&segmenter, folder, &options, &args.watch.options(), args.quiet)?;
    Ok(if summary.failed > 0 { SOME_FAILED } else { ALL_DONE })
}

fn open(args: &Args, model: &Model, mut options: EngineOptions) -> clothseg::Result<(Segmenter, Remarks)> {
    let refused = advice::complete(&mut options);
    if let Some(line) = engine::slow_start(model.onnx(), model.spec(), &options)?.filter(|_| !args.quiet) {
        report::say(&line);
    }
    let segmenter = Segmenter::open_model(model, &options)?.with_cleanup(!args.engine.no_cleanup);
    let segmenter = segmenter.with_quality(args.engine.quality)?;
    let remarks = Remarks::new(segmenter.engine_info(), &refused);
    Ok((segmenter, remarks))
}

/// A shard may well have no photo, and a list of what is new be empty; a folder without photos is a mistake.
fn nothing_to_do(args: &Args, earlier_results: usize) -> Result<u8, String> {
    let why = match (args.many.shard, &args.many.files_from) {
        (Some(shard), _) => format!("shard {shard} has none"),
        _ if earlier_results > 0 => {
            return Err(format!(
                "there are no photos in what was named but {earlier_results} results of earlier runs, which a manifest.jsonl \
                 there names; they are left out"
            ));
        }
        (None, Some(list)) if list.as_os_str() == "-" => "the list on standard input names none".to_owned(),
        (None, Some(list)) => format!("the list {} names none", list.display()),
        (None, None) => {
            let avif = if cfg!(feature = "avif") { " AVIF," } else { "" };
            let heic = if cfg!(feature = "heic") { " HEIC," } else { "" };
            return Err(format!("there are no photos in what was named (JPEG, PNG, WebP,{avif}{heic} BMP, GIF, TIFF)"));
        }
    };
    if !args.quiet {
        report::say(&format!("there are no photos to do: {why}"));
    }
    Ok(ALL_DONE)
}

fn batch_options(args: &Args, taxonomy: &Taxonomy) -> Result<BatchOptions, String> {
    let names = args.class_names(taxonomy)?;
    let classes = if names.is_empty() {
        taxonomy.garments()
    } else {
        taxonomy.resolve_all(&names).map_err(|error| explain(&error))?
    };
    let masks = args.masks.mask_options(taxonomy, &names, &classes).map_err(|error| explain(&error))?;
    args.files.check_classes(&classes)?;
    let outputs = args
        .files
        .output_options()?
        .with_masks(masks)
        .with_background(args.masks.background(&args.limits())?)
        .with_decontaminate(args.masks.decontaminate)
        .with_cutout_file(args.masks.cutout_file);
    Ok(BatchOptions::new(&args.output, classes)
        .with_outputs(outputs)
        .with_limits(args.limits())
        .with_review(args.many.review_options()?)
        .with_resume(args.many.resume)
        .with_sync(args.many.sync)
        .with_fail_fast(args.many.fail_fast)
        .with_shard(args.many.shard))
}

fn segment(args: &Args, segmenter: &Segmenter, inputs: &Inputs, options: &BatchOptions) -> Result<u8, String> {
    batch::create_output(&options.output).map_err(|error| explain(&error))?;
    let cancel = Cancel::new();
    signals::cancel_on_first(&cancel)?;
    let mut progress = report::Progress::new(inputs.len(), args.quiet, cancel.clone());
    for (name, error) in &inputs.unreadable {
        progress.unreadable(name, error);
    }
    let summary = batch::run(segmenter, inputs, options, &cancel, &mut |outcome| progress.photo(&outcome));
    let mut summary = summary.map_err(|error| explain(&error))?;
    if args.many.files_from.is_some() {
        // Lists are of what is new, as a rule.
        summary.missing.clear();
    }
    progress.finish(&summary, inputs, options, segmenter.engine_info());
    let some_failed = summary.failed + inputs.unreadable.len() > 0;
    Ok(match summary.stopped {
        Some(Stop::Cancelled) => INTERRUPTED,
        _ if some_failed => SOME_FAILED,
        _ => ALL_DONE,
    })
}

/// Writes to standard output; a reader that has gone, such as `head`, is no error.
///
/// # Errors
/// What is wrong otherwise, such as a full disk.
pub fn print(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("cannot write: {error}")),
        _ => Ok(()),
    }
}
