//! Embeds the library: one photo in, the mask of one class out, its outlines on standard output.
//!
//! ```text
//! cargo run --example segment -- samples/hopper.jpg jacket jacket.png
//! ```

use std::env;
use std::error::Error;
use std::path::PathBuf;

use clothseg::{EngineOptions, Limits, Photo, PolygonOptions, Segmenter};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [photo, class, mask] = arguments.as_slice() else {
        return Err("usage: segment PHOTO CLASS MASK.png".into());
    };

    // Open once, use for any number of photos and from any number of threads.
    let model = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/garments.onnx"));
    let mut options = EngineOptions::default();
    // Else what the system's loader finds.
    options.library = env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
    let segmenter = Segmenter::open_with(&model, &options)?;
    eprintln!("running on {}", segmenter.engine_info());

    let photo = Photo::open(photo, &Limits::default())?;
    let segmentation = segmenter.segment(&photo)?;
    for region in segmentation.regions() {
        eprintln!("{}: {:.1} % of the photo", region.name, region.area_share * 100.0);
    }

    segmentation.mask(class)?.save(mask)?;
    for polygon in segmentation.polygons(class, &PolygonOptions::default())? {
        println!("{} points, {} holes: {:?}", polygon.exterior.len(), polygon.holes.len(), polygon.exterior);
    }
    Ok(())
}
