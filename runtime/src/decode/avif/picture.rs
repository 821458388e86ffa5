//! An AV1 still to RGB.

use image::RgbaImage;
use re_rav1d::dav1d::pixel::{MatrixCoefficients, YUVRange};
use re_rav1d::dav1d::{Decoder, Picture, PixelLayout, PlanarImageComponent, Settings};

use super::boxes::Cicp;
use super::{Limits, damaged};
use crate::error::{Error, Result};

/// Times that a decoder is asked for a frame. A still comes at the first or the second.
const MAX_ROUNDS: usize = 8;

/// Decodes one frame. What the file says of the colours counts before what the frame says.
pub(super) fn decode(data: &[u8], cicp: Option<Cicp>, limits: &Limits) -> Result<RgbaImage> {
    let failed =
        |error: re_rav1d::dav1d::Error| Error::Decode { reason: "damaged AVIF".into(), source: Some(error.into()) };
    let mut settings = Settings::new();
    // Photos run side by side; a frame has a thread of its own, this one.
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    settings.set_all_layers(false);
    settings.set_frame_size_limit(u32::try_from(limits.max_pixels).unwrap_or(u32::MAX));
    let mut decoder = Decoder::with_settings(&settings).map_err(failed)?;
    // What the decoder has no room for waits until a frame is taken out.
    let mut sent = decoder.send_data(data.to_vec(), None, None, None);
    let mut picture = None;
    for _ in 0..MAX_ROUNDS {
        if let Err(error) = sent
            && !error.is_again()
        {
            return Err(failed(error));
        }
        match decoder.get_picture() {
            Ok(found) => {
                picture = Some(found);
                break;
            }
            Err(error) if error.is_again() => sent = decoder.send_pending_data(),
            Err(error) => return Err(failed(error)),
        }
    }
    let picture = picture.ok_or_else(|| damaged("it holds no whole frame"))?;
    limits.check_pixels((picture.width(), picture.height()))?;
    to_rgba(&picture, cicp).ok_or_else(|| damaged("its colours are coded in a way that is not read"))
}

/// The samples of a component, in 0..1 from zero to the largest number.
struct Samples {
    plane: re_rav1d::dav1d::Plane,
    stride: usize,
    width: usize,
    height: usize,
    is_wide: bool,
    scale: f32,
}

impl Samples {
    fn new(picture: &Picture, component: PlanarImageComponent, [across, down]: [usize; 2]) -> Option<Self> {
        let bits = picture.bits_per_component()?.0;
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        Some(Self {
            plane: picture.plane(component),
            stride: picture.stride(component) as usize,
            width: width.div_ceil(across),
            height: height.div_ceil(down),
            is_wide: bits > 8,
            scale: 1.0 / ((1_u32 << bits) - 1) as f32,
        })
    }

    fn at(&self, x: usize, y: usize) -> f32 {
        let (x, y) = (x.min(self.width - 1), y.min(self.height - 1));
        let value = if self.is_wide {
            let at = y * self.stride + 2 * x;
            u16::from_ne_bytes([self.plane[at], self.plane[at + 1]])
        } else {
            u16::from(self.plane[y * self.stride + x])
        };
        f32::from(value) * self.scale
    }

    /// Between samples, whose centres lie in the middle of the pixels that they stand for.
    fn between(&self, x: usize, y: usize, [across, down]: [usize; 2]) -> f32 {
        let neighbours = |at: usize, factor: usize| match (factor, at % 2) {
            (1, _) => (at, at, 0.0),
            (_, 0) => ((at / 2).saturating_sub(1), at / 2, 0.75),
            _ => (at / 2, at / 2 + 1, 0.25),
        };
        let ((left, right, x_share), (above, below, y_share)) = (neighbours(x, across), neighbours(y, down));
        let row = |y: usize| self.at(left, y) * (1.0 - x_share) + self.at(right, y) * x_share;
        if above == below { row(above) } else { row(above) * (1.0 - y_share) + row(below) * y_share }
    }
}

/// Weights of red and blue in light (ITU-T H.273, table 4); nothing where light is made in another way.
fn weights(matrix: u16) -> Option<[f32; 2]> {
    match matrix {
        1 => Some([0.2126, 0.0722]),
        2 | 5 | 6 => Some([0.299, 0.114]),
        4 => Some([0.30, 0.11]),
        7 => Some([0.212, 0.087]),
        9 => Some([0.2627, 0.0593]),
        _ => None,
    }
}

const IDENTITY: u16 = 0;

fn said_by_frame(picture: &Picture) -> Cicp {
    let matrix = match picture.matrix_coefficients() {
        MatrixCoefficients::Identity => IDENTITY,
        MatrixCoefficients::BT709 => 1,
        MatrixCoefficients::BT470M => 4,
        MatrixCoefficients::ST240M => 7,
        MatrixCoefficients::BT2020NonConstantLuminance => 9,
        MatrixCoefficients::Unspecified | MatrixCoefficients::BT470BG | MatrixCoefficients::ST170M => 6,
        _ => u16::MAX,
    };
    Cicp { matrix, full_range: picture.color_range() == YUVRange::Full }
}

fn to_rgba(picture: &Picture, cicp: Option<Cicp>) -> Option<RgbaImage> {
    let Cicp { matrix, full_range } = cicp.unwrap_or_else(|| said_by_frame(picture));
    let bits = picture.bits_per_component()?.0;
    // In limited range numbers from 16 to 235, and chroma to 240, of 255 are used, or as many times more of more bits.
    let most = ((1_u32 << bits) - 1) as f32;
    let step = (1_u32 << (bits - 8)) as f32 / most;
    let light = |value: f32| if full_range { value } else { (value - 16.0 * step) / (219.0 * step) };
    let middle = (1_u32 << (bits - 1)) as f32 / most;
    let chroma = |value: f32| if full_range { value - middle } else { (value - middle) / (224.0 * step) };
    let to_u8 = |value: f32| (value * 255.0 + 0.5).clamp(0.0, 255.0) as u8;
    let factor = match picture.pixel_layout() {
        PixelLayout::I420 => [2, 2],
        PixelLayout::I422 => [2, 1],
        PixelLayout::I400 | PixelLayout::I444 => [1, 1],
    };
    let (width, height) = (picture.width(), picture.height());
    let first = Samples::new(picture, PlanarImageComponent::Y, [1, 1])?;
    if picture.pixel_layout() == PixelLayout::I400 {
        return Some(RgbaImage::from_fn(width, height, |x, y| {
            let grey = to_u8(light(first.at(x as usize, y as usize)));
            image::Rgba([grey, grey, grey, 255])
        }));
    }
    let second = Samples::new(picture, PlanarImageComponent::U, factor)?;
    let third = Samples::new(picture, PlanarImageComponent::V, factor)?;
    if matrix == IDENTITY {
        return (factor == [1, 1]).then(|| {
            RgbaImage::from_fn(width, height, |x, y| {
                let [green, blue, red] =
                    [&first, &second, &third].map(|samples| to_u8(light(samples.at(x as usize, y as usize))));
                image::Rgba([red, green, blue, 255])
            })
        });
    }
    let [red_weight, blue_weight] = weights(matrix)?;
    let green_weight = 1.0 - red_weight - blue_weight;
    Some(RgbaImage::from_fn(width, height, |x, y| {
        let (x, y) = (x as usize, y as usize);
        let luma = light(first.at(x, y));
        let red = luma + 2.0 * (1.0 - red_weight) * chroma(third.between(x, y, factor));
        let blue = luma + 2.0 * (1.0 - blue_weight) * chroma(second.between(x, y, factor));
        let green = (luma - red_weight * red - blue_weight * blue) / green_weight;
        image::Rgba([to_u8(red), to_u8(green), to_u8(blue), 255])
    }))
}
