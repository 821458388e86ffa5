//! The label of a photo: a PNG, regions in an annotation file, or none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clothseg::Limits;

use super::IGNORE;
use super::colors::ClassColors;
use super::dimensions::image_dimensions;
use super::regions::RegionLabel;
use crate::error::{Error, Result};

/// Where a label comes from.
#[derive(Clone, Debug)]
pub enum Label {
    /// A PNG of indices, or of the colours of a class table; see [`LabelImage::open_coded`].
    Png {
        /// The file.
        path: PathBuf,
        /// Colours of the classes, for colour-coded labels.
        colors: Option<Arc<ClassColors>>,
    },
    /// Regions in an annotation file.
    Regions(RegionLabel),
    /// There is none: nothing is known of any pixel.
    Unlabelled {
        /// The photo.
        photo: PathBuf,
    },
}

impl Label {
    /// The file that holds it, or of what has none.
    pub fn path(&self) -> &Path {
        match self {
            Label::Png { path, .. } => path,
            Label::Regions(regions) => regions.path(),
            Label::Unlabelled { photo } => photo,
        }
    }

    /// Reads the label in the source's classes.
    pub fn load(&self) -> Result<LabelImage> {
        match self {
            Label::Png { path, colors } => LabelImage::open_coded(path, colors.as_deref()),
            Label::Regions(regions) => regions.load(),
            Label::Unlabelled { photo } => {
                let (width, height) = image_dimensions(photo)?;
                Ok(LabelImage { width, height, data: vec![IGNORE; width as usize * height as usize] })
            }
        }
    }
}

/// One index a pixel, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelImage {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width * height` indices.
    pub data: Vec<u8>,
}

impl LabelImage {
    /// Reads an 8-bit PNG of indices (grey or palette: the stored index counts, not the colour).
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_coded(path, None)
    }

    /// Reads an 8-bit PNG: grey or palette as [`LabelImage::open`], RGB or RGBA as `colors` of classes; alpha does not
    /// matter.
    pub fn open_coded(path: &Path, colors: Option<&ClassColors>) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(Error::io("read", path))?;
        let fail = |cause: String| Error::file(path, cause);
        let mut decoder = png::Decoder::new(std::io::BufReader::new(file));
        decoder.set_transformations(png::Transformations::IDENTITY);
        let mut reader = decoder.read_info().map_err(|error| fail(format!("is no readable PNG: {error}")))?;
        let info = reader.info();
        let (width, height, color, depth) = (info.width, info.height, info.color_type, info.bit_depth);
        let channels = match color {
            png::ColorType::Grayscale | png::ColorType::Indexed => Some(1),
            png::ColorType::Rgb if colors.is_some() => Some(3),
            png::ColorType::Rgba if colors.is_some() => Some(4),
            _ => None,
        };
        let Some(channels) = channels.filter(|_| depth == png::BitDepth::Eight) else {
            return Err(fail(format!(
                "is a {color:?} PNG of {depth:?} bits; a label is 8-bit grey or palette, or 8-bit RGB in the colours \
                 of a class_dict.csv with columns r, g and b"
            )));
        };
        let pixels = u64::from(width) * u64::from(height);
        let size = reader.output_buffer_size().filter(|_| pixels <= Limits::default().max_pixels);
        let Some(size) = size else {
            return Err(fail(format!("is too large: {width} x {height}")));
        };
        let mut data = vec![0; size];
        reader.next_frame(&mut data).map_err(|error| fail(format!("is damaged: {error}")))?;
        data.truncate(pixels as usize * channels);
        if let Some(colors) = colors.filter(|_| channels > 1) {
            data = colors.indices(&data, channels, width).map_err(fail)?;
        }
        Ok(Self { width, height, data })
    }

    /// The label at another size: each pixel takes the index under its centre. Indices are never mixed.
    pub fn resized(&self, width: u32, height: u32) -> Self {
        let columns: Vec<usize> = (0..width).map(|x| nearest(x, width, self.width) as usize).collect();
        let rows = (0..height).map(|y| nearest(y, height, self.height) as usize * self.width as usize);
        let data = rows.flat_map(|row| columns.iter().map(move |column| self.data[row + column])).collect();
        Self { width, height, data }
    }
}

/// The pixel of `from` whose cell holds the centre of pixel `at` of `to`: (at + 0.5) * from / to, rounded down.
pub(crate) fn nearest(at: u32, to: u32, from: u32) -> u32 {
    ((2 * u64::from(at) + 1) * u64::from(from) / (2 * u64::from(to).max(1))) as u32
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage, Rgba, RgbaImage};
    use proptest::prelude::*;

    fn colors() -> ClassColors {
        ClassColors::new(Path::new("class_dict.csv"), &[[0, 0, 0], [128, 0, 0], [0, 128, 0]])
    }

    #[test]
    fn colours_of_the_table_are_indices_and_others_damage() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("label.png");
        let mut picture = RgbImage::new(3, 2);
        picture.put_pixel(1, 0, Rgb([0, 128, 0]));
        picture.put_pixel(2, 1, Rgb([128, 0, 0]));
        picture.save(&path).unwrap();
        assert_eq!(LabelImage::open_coded(&path, Some(&colors())).unwrap().data, [0, 2, 0, 0, 0, 1]);
        assert!(LabelImage::open(&path).unwrap_err().to_string().contains("8-bit grey or palette"));
        picture.put_pixel(1, 1, Rgb([127, 0, 0]));
        picture.save(&path).unwrap();
        let error = LabelImage::open_coded(&path, Some(&colors())).unwrap_err().to_string();
        assert!(error.contains("(127, 0, 0) at pixel (1, 1)") && error.contains("label.png"), "{error}");
        RgbaImage::from_pixel(1, 1, Rgba([0, 128, 0, 9])).save(&path).unwrap();
        assert_eq!(LabelImage::open_coded(&path, Some(&colors())).unwrap().data, [2]);
    }

    #[test]
    fn resizing_takes_the_pixel_under_the_centre() {
        let label = LabelImage { width: 5, height: 2, data: vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10] };
        // Centres of 2 columns of 5: 1.25 and 3.75; of 1 row of 2: 1.0.
        assert_eq!(label.resized(2, 1).data, [7, 9]);
        assert_eq!(label.resized(5, 4).data[..10], [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]);
    }

    proptest! {
        #[test]
        fn resizing_up_and_back_by_odd_factors_is_exact(factor in 0..4_u32, data in prop::collection::vec(0..9_u8, 12)) {
            let label = LabelImage { width: 4, height: 3, data };
            let factor = 2 * factor + 1;
            prop_assert_eq!(label.resized(4 * factor, 3 * factor).resized(4, 3), label);
        }

        #[test]
        fn the_nearest_pixel_exists_and_rises(to in 2..500_u32, from in 1..500_u32) {
            let all: Vec<u32> = (0..to).map(|at| nearest(at, to, from)).collect();
            prop_assert!(all.is_sorted() && all[to as usize - 1] < from);
            prop_assert_eq!(u64::from(all[0]), u64::from(from) / (2 * u64::from(to)));
        }
    }
}
