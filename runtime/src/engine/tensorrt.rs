//! What TensorRT is told: the shapes to build engines for, and where to keep them.

use std::path::{Path, PathBuf};

use super::binding::{Binding, ShapeRange};
use super::{EngineOptions, Provider};
use crate::digest;
use crate::error::{Error, Result};
use crate::onnx::Interface;
use crate::spec::{Fit, ModelSpec};

/// Shapes of the input that an engine is built for: the smallest, the one it is tuned to and the largest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) min: String,
    pub(super) opt: String,
    pub(super) max: String,
}

impl Profile {
    /// Covers every photo that the description's fit can give, so that no photo costs a new build. It is tuned to full
    /// batches of upright 3:4 photos, the commonest of people in clothes.
    pub(super) fn new(binding: &Binding) -> Self {
        let ShapeRange { smallest, largest } = binding.shapes;
        let mut best = largest;
        if let Fit::LongestSide { size, multiple } = binding.spec.input.fit {
            for (axis, side) in [(2, size), (3, (size * 3 / 4).max(1))] {
                best[axis] = u64::from(side.next_multiple_of(multiple.max(1))).clamp(smallest[axis], largest[axis]);
            }
        }
        let name = &binding.spec.input.name;
        let text =
            |shape: [u64; 4]| format!("{name}:{}", binding.input.shape(shape).map(|side| side.to_string()).join("x"));
        Self { min: text(smallest), opt: text(best), max: text(largest) }
    }
}

/// What to tell a user before [`open`](super::open), which then takes minutes: that TensorRT is asked for and has no
/// engine of this model yet. Nothing when opening is quick.
///
/// # Errors
/// [`Error::BadSpec`] and [`Error::NotOnnx`] for what `open` would refuse as well, [`Error::NoTensorrtCache`] where the
/// options name no folder for the engines.
pub fn slow_start(onnx: &[u8], spec: &ModelSpec, options: &EngineOptions) -> Result<Option<String>> {
    if options.provider != Provider::Tensorrt {
        return Ok(None);
    }
    let binding = Binding::new(spec, &Interface::of(onnx)?, options.max_batch)?;
    let folder = engine_folder(onnx, &binding, options)?;
    if holds_engine(&folder) {
        return Ok(None);
    }
    Ok(Some(format!(
        "TensorRT has no engine for this model yet: building one takes minutes; it is kept in {}",
        folder.display()
    )))
}

/// Where the engines of this model are kept. ONNX Runtime names an engine by the graph alone: another training of the
/// same network would be answered with the old weights. So each file has a folder, and so have the shapes and the
/// precision. (Version and GPU are in ONNX Runtime's own names.)
pub(super) fn engine_folder(onnx: &[u8], binding: &Binding, options: &EngineOptions) -> Result<PathBuf> {
    let root = match &options.tensorrt.cache {
        Some(folder) => std::path::absolute(folder).unwrap_or_else(|_| folder.clone()),
        None => return Err(Error::NoTensorrtCache),
    };
    let Profile { min, max, .. } = Profile::new(binding);
    let precision = if options.tensorrt.fp16 { "fp16" } else { "fp32" };
    let name: String = binding
        .spec
        .name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' })
        .collect();
    let all = format!("{} {min} {max} {precision}", digest::hex(onnx));
    let key = u128::from_be_bytes(digest::key(all.as_bytes()));
    Ok(root.join(format!("{name}-{precision}-{key:032x}")))
}

fn holds_engine(folder: &Path) -> bool {
    let is_engine = |path: &Path| path.extension().is_some_and(|extension| extension == "engine");
    std::fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| is_engine(&entry.path())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{BatchSize, TensorrtOptions};
    use crate::onnx::FLOAT32;
    use crate::spec::{InputSpec, OutputSpec};
    use crate::taxonomy::Taxonomy;

    fn binding(fit: Fit, sides: [Option<u64>; 4], max_batch: usize) -> Binding {
        let spec = ModelSpec::new(
            "a net",
            Taxonomy::builtin("garments").unwrap(),
            InputSpec::imagenet(fit),
            OutputSpec::logits(2),
        );
        let port = |name: &str, sides: [Option<u64>; 4]| crate::onnx::Port {
            name: name.into(),
            element_type: FLOAT32,
            sides: Some(sides.into()),
        };
        let interface = Interface {
            inputs: vec![port("input", sides)],
            outputs: vec![port("logits", [None; 4])],
            makers: std::collections::HashMap::new(),
        };
        Binding::new(&spec, &interface, max_batch).unwrap()
    }

    #[test]
    fn a_profile_covers_every_photo_of_the_fit() {
        let longest = binding(Fit::LongestSide { size: 192, multiple: 32 }, [None; 4], 4);
        let profile = Profile::new(&longest);
        assert_eq!(profile.min, "input:1x3x32x32");
        assert_eq!(profile.opt, "input:4x3x192x160");
        assert_eq!(profile.max, "input:4x3x192x192");
        let (spec_fit, all) = (longest.spec.input.fit, longest.shapes);
        for (width, height) in [(1, 1), (1, 9000), (9000, 1), (550, 831), (333, 127)] {
            let at = crate::geometry::geometry(&spec_fit, width, height);
            let sides = [u64::from(at.tensor_height), u64::from(at.tensor_width)];
            assert!(
                (0..2).all(|axis| (all.smallest[axis + 2]..=all.largest[axis + 2]).contains(&sides[axis])),
                "{at:?}"
            );
        }
        let mut larger = binding(Fit::LongestSide { size: 192, multiple: 32 }, [None; 4], 1);
        larger.shapes.largest = [1, 3, 288, 288];
        assert_eq!(Profile::new(&larger).opt, "input:1x3x192x160", "tuned to what most photos are looked at in");
        let fixed = binding(Fit::Stretch { width: 768, height: 512 }, [Some(1), Some(3), Some(512), Some(768)], 4);
        assert_eq!(Profile::new(&fixed).min, "input:1x3x512x768");
        assert_eq!(Profile::new(&fixed).max, Profile::new(&fixed).opt);
    }

    #[test]
    fn each_file_precision_and_shape_has_a_folder_of_its_own() {
        let fit = Fit::Stretch { width: 64, height: 64 };
        let options = |fp16| EngineOptions {
            tensorrt: TensorrtOptions { fp16, cache: Some("/cache".into()) },
            ..EngineOptions::default()
        };
        let folder = |onnx: &[u8], max_batch, fp16| {
            engine_folder(onnx, &binding(fit, [None; 4], max_batch), &options(fp16)).unwrap()
        };
        let first = folder(b"one", 1, false);
        assert_eq!(first, folder(b"one", 1, false));
        assert_eq!(binding(fit, [None; 4], 3).batch, BatchSize::UpTo(3));
        for other in [folder(b"two", 1, false), folder(b"one", 2, false), folder(b"one", 1, true)] {
            assert_ne!(first, other);
        }
        assert!(first.to_string_lossy().contains("a-net-fp32-"), "{first:?}");
    }

    #[test]
    fn a_build_is_announced_until_an_engine_is_there() {
        let cache = tempfile::tempdir().unwrap();
        assert!(!holds_engine(&cache.path().join("absent")));
        std::fs::write(cache.path().join("notes.txt"), b"").unwrap();
        assert!(!holds_engine(cache.path()));
        std::fs::write(cache.path().join("x_sm80.engine"), b"").unwrap();
        assert!(holds_engine(cache.path()));
    }
}
