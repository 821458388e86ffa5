//! Results that somebody should look at, and where they are gathered.

use std::path::{Path, PathBuf};

use super::inputs::{Input, Source};
use super::manifest::ClassRecord;
use super::options::ReviewOptions;
use super::outcome::Reason;
use super::stems::with_suffix;
use super::write::{remove_file, write_atomically};
use clothseg::Result;

impl ReviewOptions {
    /// The reasons to look at a photo of this width and height with these classes found. Background is no garment.
    pub(super) fn reasons(
        &self,
        classes: &[ClassRecord],
        (width, height): (u32, u32),
        is_truncated: bool,
    ) -> Vec<Reason> {
        let garments = || classes.iter().filter(|class| class.index != 0);
        let at_edge = |class: &ClassRecord| {
            let bounds = class.bounds;
            bounds.x == 0 || bounds.y == 0 || bounds.x + bounds.width >= width || bounds.y + bounds.height >= height
        };
        let area_px: f64 = garments().map(|class| class.area_px as f64).sum();
        let sureness: f64 = garments().map(|class| class.area_px as f64 * class.confidence).sum();
        let found = [
            (Reason::NothingFound, garments().next().is_none()),
            // As many decimals as a confidence has: the mean of equal ones is no smaller than they are.
            (Reason::LowConfidence, sureness / area_px + 5e-5 < self.min_confidence),
            (Reason::CutByFrame, garments().any(at_edge)),
            (Reason::Truncated, is_truncated),
        ];
        found.into_iter().filter(|(_, holds)| *holds).map(|(reason, _)| reason).collect()
    }
}

/// What the overlay's name ends with.
pub(super) const REVIEW_SUFFIX: &str = ".review.png";

/// The two files of a photo in the folder of photos to look at. No format has these extensions, so that the folder may be
/// anywhere, among the results too.
pub(super) struct ReviewFiles {
    photo: PathBuf,
    overlay: PathBuf,
}

impl ReviewFiles {
    pub(super) fn of(input: &Input, folder: &Path) -> Self {
        let extension = match &input.source {
            Source::File(path) => path.extension().map(|extension| extension.to_string_lossy().into_owned()),
            Source::Bytes(bytes) => {
                let format = image::guess_format(bytes).ok();
                format.and_then(|format| format.extensions_str().first()).map(|extension| (*extension).to_owned())
            }
        };
        let stem = folder.join(&input.stem);
        let photo = match extension {
            Some(extension) => with_suffix(&stem, &format!(".photo.{extension}")),
            None => with_suffix(&stem, ".photo"),
        };
        Self { photo, overlay: with_suffix(&stem, REVIEW_SUFFIX) }
    }

    /// Both paths, the photo's first.
    pub(super) fn paths(&self) -> [&Path; 2] {
        [&self.photo, &self.overlay]
    }

    /// The folder that both are in.
    pub(super) fn folder(&self) -> &Path {
        self.photo.parent().unwrap_or(Path::new(""))
    }

    /// Whether both are there.
    pub(super) fn exist(&self) -> bool {
        self.paths().iter().all(|path| path.is_file())
    }

    /// Writes both. The photo is copied, not linked: an editor that saves in place would reach the original through a
    /// link.
    pub(super) fn write(&self, photo: &[u8], overlay: &[u8]) -> Result<()> {
        write_atomically(&self.photo, photo)?;
        write_atomically(&self.overlay, overlay)
    }

    /// Removes both, where they are there.
    pub(super) fn remove(&self) -> Result<()> {
        self.paths().into_iter().try_for_each(remove_file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clothseg::PixelBox;

    fn class(index: usize, confidence: f64, bounds: [u32; 4]) -> ClassRecord {
        let [x, y, width, height] = bounds;
        let bounds = PixelBox { x, y, width, height };
        ClassRecord { index, name: "any".into(), area_px: 300, area_share: 0.1, confidence, bounds }
    }

    #[test]
    fn each_gate_opens_at_its_own_edge() {
        let options = ReviewOptions { min_confidence: 0.6, ..ReviewOptions::default() };
        let reasons = |classes: &[ClassRecord]| options.reasons(classes, (100, 50), false);
        let inside = [1, 1, 98, 48];
        assert_eq!(reasons(&[]), [Reason::NothingFound]);
        assert_eq!(reasons(&[class(0, 0.1, [0, 0, 100, 50])]), [Reason::NothingFound], "background is no garment");
        assert_eq!(reasons(&[class(1, 0.6, inside)]), []);
        assert_eq!(reasons(&[class(2, 0.5999, inside)]), [Reason::LowConfidence]);
        assert_eq!(reasons(&[class(2, 0.6, inside), class(1, 0.5998, inside)]), [Reason::LowConfidence], "the mean");
        let speck = ClassRecord { area_px: 3, ..class(3, 0.01, inside) };
        assert_eq!(reasons(&[class(2, 0.9, inside), speck]), [], "a speck weighs as much as it is large");
        assert_eq!(options.reasons(&[class(1, 0.9, inside)], (100, 50), true), [Reason::Truncated]);
        for at_edge in [[0, 1, 98, 48], [1, 0, 98, 48], [1, 1, 99, 48], [1, 1, 98, 49]] {
            assert_eq!(reasons(&[class(1, 0.9, at_edge)]), [Reason::CutByFrame], "{at_edge:?}");
        }
    }
}
