//! Embeds the library in a program with threads: one open model, as many photos at once as there are cores.
//!
//! ```text
//! cargo run --release --example parallel -- samples/*.jpg samples/*.png
//! ```

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use clothseg::{EngineOptions, Limits, Photo, Segmenter};

fn main() -> Result<(), Box<dyn Error>> {
    let photos: Vec<PathBuf> = env::args().skip(1).map(PathBuf::from).collect();
    if photos.is_empty() {
        return Err("usage: parallel PHOTO...".into());
    }
    let cores = std::thread::available_parallelism()?.get();

    // A session a core, each with one thread: with many photos that wastes less than one session on all cores. What one
    // photo alone takes is longer, and each session holds the weights.
    let model = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/garments.onnx"));
    let mut options = EngineOptions::default().with_sessions(cores).with_threads(1);
    // Else what the system's loader finds.
    options.library = env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
    let segmenter = Segmenter::open_with(&model, &options)?;
    eprintln!("running on {} with {} sessions", segmenter.engine_info(), segmenter.sessions());

    let started = Instant::now();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(path) = photos.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let segmentation =
                        Photo::open(path, &Limits::default()).and_then(|photo| segmenter.segment(&photo));
                    match segmentation {
                        Ok(segmentation) => {
                            let names: Vec<&str> = segmentation.regions().iter().map(|r| r.name.as_str()).collect();
                            println!("{}: {}", path.display(), names.join(", "));
                        }
                        Err(error) => eprintln!("{}: {}", path.display(), error.chain()),
                    }
                }
            });
        }
    });
    eprintln!("{:.1} photos a second", photos.len() as f64 / started.elapsed().as_secs_f64());
    Ok(())
}
