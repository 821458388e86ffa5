//! Where a photo lies in the network's input.

use crate::spec::Fit;

/// Where a photo lies in the input tensor, in tensor pixels: the content is in the top left corner, padding fills the
/// right and the bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Width of the resized photo.
    pub content_width: u32,
    /// Height of the resized photo.
    pub content_height: u32,
    /// Width of the tensor.
    pub tensor_width: u32,
    /// Height of the tensor.
    pub tensor_height: u32,
}

/// A rectangle of a photo, in photo pixels; edges may lie between pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Distance of the left edge from the photo's left edge.
    pub left: f64,
    /// Distance of the top edge from the photo's top edge.
    pub top: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// Where a photo of `width` x `height` pixels lies in the input tensor.
pub fn geometry(fit: &Fit, width: u32, height: u32) -> Geometry {
    match *fit {
        Fit::Stretch { width, height } => {
            Geometry { content_width: width, content_height: height, tensor_width: width, tensor_height: height }
        }
        Fit::LongestSide { size, multiple } => {
            let longest = f64::from(width.max(height).max(1));
            let scaled = |side: u32| ((f64::from(side) * f64::from(size) / longest).round() as u32).max(1);
            let (content_width, content_height) = (scaled(width), scaled(height));
            Geometry {
                content_width,
                content_height,
                tensor_width: content_width.next_multiple_of(multiple.max(1)),
                tensor_height: content_height.next_multiple_of(multiple.max(1)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST_192: Fit = Fit::LongestSide { size: 192, multiple: 32 };

    #[test]
    fn longest_side_keeps_the_aspect_ratio_and_pads_to_the_multiple() {
        let sizes = |w, h| {
            let at = geometry(&LONGEST_192, w, h);
            ([at.content_width, at.content_height], [at.tensor_width, at.tensor_height])
        };
        assert_eq!(sizes(550, 825), ([128, 192], [128, 192]));
        assert_eq!(sizes(825, 550), ([192, 128], [192, 128]));
        assert_eq!(sizes(550, 831), ([127, 192], [128, 192]));
        assert_eq!(sizes(1, 1), ([192, 192], [192, 192]));
        assert_eq!(sizes(10_000, 1), ([192, 1], [192, 32]));
        assert_eq!(geometry(&Fit::Stretch { width: 64, height: 96 }, 5, 7).tensor_height, 96);
    }
}
