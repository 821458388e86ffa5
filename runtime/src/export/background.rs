//! What lies behind a cut-out, and how its colours are freed of what lay behind the garment.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use image::{GrayImage, RgbImage};

use crate::error::{Error, Result};
use crate::internals::digest;
use crate::masks;
use crate::preprocess::{Region, resize_region};

/// What lies behind cut-outs and crops: a colour, or a picture that covers the photo (its middle, at the photo's size).
#[derive(Clone, PartialEq)]
pub struct Background(Kind);

#[derive(Clone, PartialEq)]
enum Kind {
    Color([u8; 3]),
    Picture(Arc<RgbImage>),
}

/// Names of colours, as in CSS.
const NAMES: [(&str, [u8; 3]); 17] = [
    ("white", [255; 3]),
    ("black", [0; 3]),
    ("gray", [128; 3]),
    ("grey", [128; 3]),
    ("silver", [192; 3]),
    ("red", [255, 0, 0]),
    ("lime", [0, 255, 0]),
    ("blue", [0, 0, 255]),
    ("green", [0, 128, 0]),
    ("yellow", [255, 255, 0]),
    ("cyan", [0, 255, 255]),
    ("magenta", [255, 0, 255]),
    ("maroon", [128, 0, 0]),
    ("navy", [0, 0, 128]),
    ("olive", [128, 128, 0]),
    ("purple", [128, 0, 128]),
    ("teal", [0, 128, 128]),
];

impl Background {
    /// One colour: red, green, blue, in sRGB.
    pub fn color(color: [u8; 3]) -> Self {
        Self(Kind::Color(color))
    }

    /// A picture, in sRGB.
    ///
    /// # Errors
    /// [`Error::Invalid`] for one without pixels.
    pub fn picture(picture: RgbImage) -> Result<Self> {
        if picture.width() == 0 || picture.height() == 0 {
            return Err(Error::Invalid("a background without pixels".into()));
        }
        Ok(Self(Kind::Picture(Arc::new(picture))))
    }

    /// The background of a photo of this size.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a photo without pixels.
    pub(super) fn of_size(&self, width: u32, height: u32) -> Result<RgbImage> {
        match &self.0 {
            Kind::Color(color) => Ok(RgbImage::from_pixel(width, height, image::Rgb(*color))),
            Kind::Picture(picture) => {
                let (across, down) = (f64::from(picture.width()), f64::from(picture.height()));
                let scale = (across / f64::from(width.max(1))).min(down / f64::from(height.max(1)));
                // Rounding must not lead out of the picture.
                let (w, h) = ((f64::from(width) * scale).min(across), (f64::from(height) * scale).min(down));
                let region = Region { left: (across - w) / 2.0, top: (down - h) / 2.0, width: w, height: h };
                resize_region(picture, Some(region), width, height)
            }
        }
    }
}

impl fmt::Debug for Background {
    /// A picture by its hash: options are told by it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Color(color) => write!(f, "Color({color:?})"),
            Kind::Picture(picture) => {
                write!(f, "Picture({:?}, {})", picture.dimensions(), digest::hex(picture.as_raw()))
            }
        }
    }
}

impl serde::Serialize for Background {
    /// As [`fmt::Debug`] writes it: a run's options are told by it.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

impl FromStr for Background {
    type Err = Error;

    /// A colour: a name (`white`), `#rgb`, `#rrggbb` or `r,g,b`.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim().to_ascii_lowercase();
        let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, color)| *color);
        let color = named.or_else(|| hexadecimal(&text)).or_else(|| decimal(&text));
        color.map(Self::color).ok_or_else(|| {
            Error::Invalid(format!("'{text}' is no colour: write a name (white), #rrggbb or r,g,b (0 to 255)"))
        })
    }
}

fn hexadecimal(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    let is_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = u32::from_str_radix(digits, 16).ok().filter(|_| is_hexadecimal)?;
    match digits.len() {
        3 => Some([8, 4, 0].map(|shift| (value >> shift & 15) as u8 * 17)),
        6 => Some([16, 8, 0].map(|shift| (value >> shift & 255) as u8)),
        _ => None,
    }
}

fn decimal(text: &str) -> Option<[u8; 3]> {
    let parts: Vec<u8> = text.split(',').map(|part| part.trim().parse().ok()).collect::<Option<_>>()?;
    parts.try_into().ok()
}

/// Colours of a photo in which a pixel of alpha a, neither 0 nor 255, has a / 255 of its own colour and the rest of that of the
/// nearest pixel of alpha 255 (of several the topmost, then the leftmost): what shines through at a soft edge is mostly
/// the old background. Where no pixel has alpha 255, nothing changes.
pub(super) fn decontaminated(rgb: &RgbImage, alpha: &GrayImage) -> RgbImage {
    let mut clean = rgb.clone();
    let width = rgb.width() as usize;
    let soft: Vec<usize> = (0..alpha.as_raw().len()).filter(|at| !matches!(alpha.as_raw()[*at], 0 | 255)).collect();
    if soft.is_empty() {
        return clean;
    }
    let nearest = masks::nearest(alpha.as_raw(), width, |level| level == 255);
    for at in soft {
        let Some(source) = nearest.of(at) else { continue };
        let own = u32::from(alpha.as_raw()[at]);
        for channel in 0..3 {
            let [mixed, pure] = [at, source].map(|at| u32::from(rgb.as_raw()[3 * at + channel]));
            clean.as_mut()[3 * at + channel] = ((own * mixed + (255 - own) * pure + 127) / 255) as u8;
        }
    }
    clean
}

/// Colours before a background: (alpha colour + (255 - alpha) background) / 255, rounded.
pub(super) fn composed(rgb: &RgbImage, alpha: &GrayImage, background: &RgbImage) -> RgbImage {
    let mut mixed = rgb.clone();
    let pixels = mixed.chunks_exact_mut(3).zip(background.as_raw().chunks_exact(3)).zip(alpha.as_raw());
    for ((pixel, behind), &alpha) in pixels {
        let alpha = u32::from(alpha);
        for (value, behind) in pixel.iter_mut().zip(behind) {
            *value = ((alpha * u32::from(*value) + (255 - alpha) * u32::from(*behind) + 127) / 255) as u8;
        }
    }
    mixed
}

#[cfg(test)]
mod tests {
    use image::{Luma, Rgb};

    use super::*;

    #[test]
    fn colours_are_read_in_every_usual_form() {
        let color = |text: &str| text.parse::<Background>().unwrap();
        for text in ["#ff8000", "FF8000", "255,128,0", " 255, 128, 0 "] {
            assert_eq!(color(text), Background::color([255, 128, 0]), "{text}");
        }
        assert_eq!(color("#0f0"), Background::color([0, 255, 0]));
        assert_eq!(color("White"), Background::color([255; 3]));
        for text in ["", "#12345", "256,0,0", "1,2", "+12345", "whitish"] {
            assert!(text.parse::<Background>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_picture_covers_the_photo_with_its_middle() {
        let picture = RgbImage::from_fn(40, 10, |x, _| Rgb([if (10..30).contains(&x) { 200 } else { 0 }; 3]));
        let background = Background::picture(picture.clone()).unwrap();
        let behind = background.of_size(8, 4).unwrap();
        // At its edges the filter sees what is beyond the middle.
        assert!((1..7).all(|x| behind.get_pixel(x, 2).0 == [200; 3]), "the middle is as wide as two heights");
        assert_ne!(format!("{background:?}"), format!("{:?}", Background::picture(RgbImage::new(40, 10)).unwrap()));
        assert!(Background::picture(RgbImage::new(0, 3)).is_err());
    }

    #[test]
    fn soft_edges_take_the_colour_of_the_nearest_whole_pixel() {
        let rgb = RgbImage::from_fn(4, 1, |x, _| Rgb([[100, 200, 200, 9][x as usize]; 3]));
        let alpha = GrayImage::from_fn(4, 1, |x, _| Luma([[255, 51, 0, 0][x as usize]]));
        let clean = decontaminated(&rgb, &alpha);
        assert_eq!(clean.pixels().map(|pixel| pixel.0[0]).collect::<Vec<_>>(), [100, 120, 200, 9]);
        let behind = RgbImage::from_pixel(4, 1, Rgb([0; 3]));
        let mixed = composed(&clean, &alpha, &behind);
        assert_eq!(mixed.pixels().map(|pixel| pixel.0[0]).collect::<Vec<_>>(), [100, 24, 0, 0]);
        let nowhere = GrayImage::from_pixel(4, 1, Luma([7]));
        assert_eq!(decontaminated(&rgb, &nowhere), rgb);
    }
}
