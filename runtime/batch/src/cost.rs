//! What a photo takes until its files are written, told by its header before a pixel of it is decoded.

use super::options::BatchOptions;
use clothseg::Limits;
use clothseg::internals::{Plan, ReducedPlan, upright_size};
use clothseg::preprocess::geometry;
use clothseg::spec::ModelSpec;

/// Bytes that a pixel takes from decoding in full until the files are written, with something to spare: 8 while an 8-bit photo
/// with transparency is decoded or turned upright, 16 for one of 16 bits; later RGB, the label map, and an overlay or masks on
/// their way into a file, 11 together.
const BYTES_PER_PIXEL: u64 = 16;

/// Bytes that a pixel of the photo takes after decoding it at a reduced size: its class, its class once more with only those
/// asked for, and outlines and compressed files. With masks, labels, JSON, SVG, COCO and labelme together, a street photo of 24
/// megapixels took 2.0 (peak of the process, less that of a small photo).
const BYTES_PER_LABEL: u64 = 4;

/// Bytes that a photo takes until its files are written. One that the decoder will refuse takes none.
pub(super) fn cost_bytes(content: &[u8], plan: &Plan, options: &BatchOptions, spec: &ModelSpec) -> u64 {
    let file_bytes = content.len() as u64;
    match plan {
        Plan::Reduced(plan) if !holds_all_pixels_later(options) => {
            let ReducedPlan { width, height, decoding_bytes, decoded_bytes } = *plan;
            let later = decoded_bytes
                + u64::from(width) * u64::from(height) * BYTES_PER_LABEL
                + network_bytes(spec, width, height);
            later.max(file_bytes + decoding_bytes)
        }
        Plan::Reduced(ReducedPlan { width, height, .. }) => whole_bytes(file_bytes, *width, *height, spec),
        Plan::Whole => match size(content, &options.limits) {
            Some((width, height)) => whole_bytes(file_bytes, width, height, spec),
            None => 0,
        },
    }
}

/// Whether a photo that is decoded at a reduced size may take as much afterwards as a whole one: each soft mask has a byte for
/// every pixel, and as many are made at once as there are cores; what somebody has to look at is decoded again, in full.
fn holds_all_pixels_later(options: &BatchOptions) -> bool {
    let soft = options.outputs.formats.iter().any(|format| format.exporter().needs().soft_masks);
    soft || options.review.folder.is_some()
}

fn whole_bytes(file_bytes: u64, width: u32, height: u32, spec: &ModelSpec) -> u64 {
    file_bytes + u64::from(width) * u64::from(height) * BYTES_PER_PIXEL + network_bytes(spec, width, height)
}

/// The network's input and output for a photo, each also as a part of a batch.
fn network_bytes(spec: &ModelSpec, width: u32, height: u32) -> u64 {
    let at = geometry(&spec.input.largest_fit(), width, height);
    let [across, down] = [at.tensor_width, at.tensor_height].map(u64::from);
    let stride = u64::from(spec.output.stride.max(1));
    let cells = across.div_ceil(stride) * down.div_ceil(stride);
    let numbers = 3 * across * down + spec.taxonomy.len() as u64 * cells;
    2 * numbers * size_of::<f32>() as u64
}

/// Width and height as the file has them, unless it is no photo or too large.
fn size(content: &[u8], limits: &Limits) -> Option<(u32, u32)> {
    let size = upright_size(content)?;
    (u64::from(size.0) * u64::from(size.1) <= limits.max_pixels).then_some(size)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{ImageFormat, RgbImage};

    use super::*;
    use clothseg::Detail;
    use clothseg::Taxonomy;
    use clothseg::spec::{Fit, InputSpec, OutputSpec};

    const FIT: Fit = Fit::LongestSide { size: 64, multiple: 32 };

    fn spec() -> ModelSpec {
        let taxonomy = Taxonomy::builtin("garments").unwrap();
        ModelSpec::new("a net", taxonomy, InputSpec::imagenet(FIT), OutputSpec::logits(4))
    }

    fn options(formats: &str) -> BatchOptions {
        let mut options = BatchOptions::new("out", vec![1]);
        options.outputs.formats = formats.split(',').map(|name| name.parse().unwrap()).collect();
        options
    }

    fn photo(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        RgbImage::new(width, height).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn cost(content: &[u8], options: &BatchOptions) -> u64 {
        let detail = if options.outputs.formats.iter().any(|format| format.exporter().needs().pixels) {
            Detail::Full
        } else {
            Detail::EnoughFor(FIT)
        };
        cost_bytes(content, &Plan::of(content, &options.limits, detail), options, &spec())
    }

    #[test]
    fn a_photo_that_is_decoded_in_full_is_estimated_by_its_size() {
        let png = photo(200, 100, ImageFormat::Png);
        let mut options = options("masks");
        // 64 x 32 in; cells of 4 x 4 pixels with the classes out, f32, twice.
        let network = 2 * 4 * (3 * 64 * 32 + spec().taxonomy.len() as u64 * 16 * 8);
        assert_eq!(cost(&png, &options), png.len() as u64 + 20_000 * BYTES_PER_PIXEL + network);
        options.limits.max_pixels = 19_999;
        assert_eq!(cost(&png, &options), 0);
        assert_eq!(cost(b"no photo", &options), 0);
    }

    #[test]
    fn a_reduced_jpeg_costs_what_its_decoder_and_its_label_map_hold() {
        let jpeg = photo(2000, 1504, ImageFormat::Jpeg);
        let pixels = 2000 * 1504;
        let [masks, pixels_too, soft] = ["masks,json", "overlay", "soft"].map(|formats| cost(&jpeg, &options(formats)));
        assert!((pixels * BYTES_PER_LABEL..pixels * (BYTES_PER_LABEL + 1)).contains(&masks), "{masks}");
        assert!(pixels_too >= pixels * BYTES_PER_PIXEL && soft == pixels_too, "{pixels_too} {soft}");
        let mut gathering = options("masks");
        gathering.review.folder = Some("look".into());
        assert_eq!(cost(&jpeg, &gathering), pixels_too);
        // A network that needs half of the pixels leaves nothing to reduce.
        let Plan::Reduced(plan) = Plan::of(&jpeg, &Limits::default(), Detail::EnoughFor(FIT)) else {
            panic!("in full")
        };
        let large = Fit::LongestSide { size: 1200, multiple: 1 };
        assert_eq!(Plan::of(&jpeg, &Limits::default(), Detail::EnoughFor(large)), Plan::Whole);
        // Where decoding takes more than all that comes later, it is what counts.
        let greedy = Plan::Reduced(ReducedPlan { decoding_bytes: 1 << 30, ..plan });
        let cost = cost_bytes(&jpeg, &greedy, &options("masks"), &spec());
        assert_eq!(cost, (1 << 30) + jpeg.len() as u64);
    }
}
