//! Drawing on a picture: boxes, lines, and text in an embedded font, so that no machine needs fonts for it.
//! Places are in pixels from the top left corner, and what lies outside the picture is cut off.

use std::borrow::Cow;
use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};
use image::{Rgb, RgbImage};

/// DejaVu Sans 2.37, Latin, Greek and Cyrillic; see the licence beside it.
static FONT: LazyLock<Option<FontRef<'static>>> =
    LazyLock::new(|| FontRef::try_from_slice(include_bytes!("../../../assets/DejaVuSans-subset.ttf")).ok());

/// Red, green, blue.
pub(super) type Color = [u8; 3];

pub(super) const WHITE: Color = [255; 3];
pub(super) const BLACK: Color = [0; 3];
/// Of text that is beside the point, and of frames.
pub(super) const GREY: Color = [110; 3];
/// Of grid lines and of what has no value.
pub(super) const PALE: Color = [225; 3];

/// Where a text's box lies beside its place, across and along the text: 0 = the place is its left or upper end,
/// 0.5 = its middle, 1 = its right or lower end.
pub(super) type Anchor = (f32, f32);

/// How a text runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Across,
    /// From below, turned by a quarter to the left.
    Up,
}

/// Letters of one kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextStyle {
    /// Height of the em square, in pixels.
    pub size: f32,
    pub color: Color,
    pub anchor: Anchor,
    pub direction: Direction,
}

impl TextStyle {
    /// Black text across, to the right of its place and below it.
    pub(super) fn new(size: f32) -> Self {
        Self { size, color: BLACK, anchor: (0.0, 0.0), direction: Direction::Across }
    }

    pub(super) fn color(self, color: Color) -> Self {
        Self { color, ..self }
    }

    pub(super) fn anchor(self, across: f32, along: f32) -> Self {
        Self { anchor: (across, along), ..self }
    }

    pub(super) fn up(self) -> Self {
        Self { direction: Direction::Up, ..self }
    }
}

/// A picture that is drawn on.
pub(super) struct Canvas {
    pub image: RgbImage,
}

impl Canvas {
    /// A white picture.
    pub(super) fn new(width: u32, height: u32) -> Self {
        Self { image: RgbImage::from_pixel(width.max(1), height.max(1), Rgb(WHITE)) }
    }

    /// Lays a colour over a pixel; `cover` of 0 to 1.
    pub(super) fn blend(&mut self, x: i64, y: i64, color: Color, cover: f32) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        if let Some(Rgb(pixel)) = self.image.get_pixel_mut_checked(x, y) {
            *pixel = mix(*pixel, color, cover);
        }
    }

    /// Fills a box from (`left`, `top`).
    pub(super) fn fill(&mut self, left: i64, top: i64, width: u32, height: u32, color: Color) {
        let (limit_x, limit_y) = (i64::from(self.image.width()), i64::from(self.image.height()));
        for y in top.max(0)..(top + i64::from(height)).min(limit_y) {
            for x in left.max(0)..(left + i64::from(width)).min(limit_x) {
                self.image.put_pixel(x as u32, y as u32, Rgb(color));
            }
        }
    }

    /// Draws a box's frame, one pixel wide, just inside it.
    pub(super) fn frame(&mut self, left: i64, top: i64, width: u32, height: u32, color: Color) {
        let (right, bottom) = (left + i64::from(width) - 1, top + i64::from(height) - 1);
        self.fill(left, top, width, 1, color);
        self.fill(left, bottom, width, 1, color);
        self.fill(left, top, 1, height, color);
        self.fill(right, top, 1, height, color);
    }

    /// Copies a picture to (`left`, `top`).
    pub(super) fn paste(&mut self, picture: &RgbImage, left: i64, top: i64) {
        image::imageops::replace(&mut self.image, picture, left, top);
    }

    /// A straight line with round ends. A pixel's cover is how far its centre lies inside.
    pub(super) fn line(&mut self, from: (f32, f32), to: (f32, f32), width: f32, color: Color) {
        let radius = width / 2.0;
        let ((x0, y0), (x1, y1)) = (from, to);
        let (dx, dy) = (x1 - x0, y1 - y0);
        let length_2 = (dx * dx + dy * dy).max(f32::MIN_POSITIVE);
        let span = |a: f32, b: f32, limit: u32| {
            let low = (a.min(b) - radius - 1.0).floor().max(0.0) as i64;
            low..=((a.max(b) + radius + 1.0).ceil() as i64).min(i64::from(limit) - 1)
        };
        for y in span(y0, y1, self.image.height()) {
            for x in span(x0, x1, self.image.width()) {
                let (px, py) = (x as f32 - x0, y as f32 - y0);
                let along = ((px * dx + py * dy) / length_2).clamp(0.0, 1.0);
                let distance = (px - along * dx).hypot(py - along * dy);
                self.blend(x, y, color, (radius + 0.5 - distance).clamp(0.0, 1.0));
            }
        }
    }

    /// Writes a line of text.
    pub(super) fn text(&mut self, x: f32, y: f32, style: TextStyle, text: &str) {
        let Some(font) = FONT.as_ref() else { return };
        let (width, height) = (text_width(style.size, text), line_height(style.size));
        // The origin of the baseline, from the place that the text is anchored at.
        let left = -style.anchor.0 * width;
        let base = font.as_scaled(scale(font, style.size)).ascent() - style.anchor.1 * height;
        for glyph in laid_out(font, style.size, text) {
            let mut glyph = glyph;
            glyph.position.x += left;
            glyph.position.y += base;
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let corner = outline.px_bounds().min;
            outline.draw(|column, row, cover| {
                let (across, along) = (corner.x as i64 + i64::from(column), corner.y as i64 + i64::from(row));
                let (x, y) = (x.round() as i64, y.round() as i64);
                match style.direction {
                    Direction::Across => self.blend(x + across, y + along, style.color, cover),
                    Direction::Up => self.blend(x + along, y - across, style.color, cover),
                }
            });
        }
    }
}

/// `share` of `over` on `under`.
pub(super) fn mix(under: Color, over: Color, share: f32) -> Color {
    let share = share.clamp(0.0, 1.0);
    std::array::from_fn(|channel| {
        let (under, over) = (f32::from(under[channel]), f32::from(over[channel]));
        (under + (over - under) * share).round() as u8
    })
}

/// Black or white, whichever can be read better on a colour.
pub(super) fn readable_on(color: Color) -> Color {
    let [red, green, blue] = color.map(f32::from);
    // ITU-R BT.601's luma.
    if 0.299 * red + 0.587 * green + 0.114 * blue > 140.0 { BLACK } else { WHITE }
}

/// Width of a text in pixels.
pub(super) fn text_width(size: f32, text: &str) -> f32 {
    let Some(font) = FONT.as_ref() else { return 0.0 };
    let font_size = font.as_scaled(scale(font, size));
    laid_out(font, size, text).last().map_or(0.0, |last| last.position.x + font_size.h_advance(last.id))
}

/// Height of a line, from the top of its highest letter to the bottom of its lowest.
pub(super) fn line_height(size: f32) -> f32 {
    FONT.as_ref().map_or(size, |font| font.as_scaled(scale(font, size)).height())
}

/// The text, shortened with an ellipsis to a width in pixels.
pub(super) fn shortened(size: f32, text: &str, width: f32) -> Cow<'_, str> {
    if text_width(size, text) <= width {
        return Cow::Borrowed(text);
    }
    let ends = text.char_indices().map(|(at, _)| at).rev();
    let mut cut = ends.map(|end| format!("{}…", text[..end].trim_end_matches([' ', ','])));
    Cow::Owned(cut.find(|cut| text_width(size, cut) <= width).unwrap_or_default())
}

/// The scale at which the em square has `size` pixels.
fn scale(font: &FontRef, size: f32) -> PxScale {
    let em = font.units_per_em().unwrap_or(1000.0);
    PxScale::from(size * font.height_unscaled() / em)
}

/// The glyphs of a text beside each other from (0, 0).
fn laid_out(font: &FontRef, size: f32, text: &str) -> impl Iterator<Item = Glyph> {
    let scale = scale(font, size);
    let font = font.as_scaled(scale);
    let mut x = 0.0;
    let mut previous = None;
    text.chars().map(move |letter| {
        let id = font.glyph_id(letter);
        if let Some(previous) = previous.replace(id) {
            x += font.kern(previous, id);
        }
        let glyph = id.with_scale_and_position(scale, point(x, 0.0));
        x += font.h_advance(id);
        glyph
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Left, top, right and bottom of what is not white.
    fn inked(canvas: &Canvas) -> Option<(u32, u32, u32, u32)> {
        let dark = canvas.image.enumerate_pixels().filter(|(_, _, pixel)| pixel.0 != WHITE);
        dark.fold(None, |bounds, (x, y, _)| {
            let (left, top, right, bottom) = bounds.unwrap_or((x, y, x, y));
            Some((left.min(x), top.min(y), right.max(x), bottom.max(y)))
        })
    }

    #[test]
    fn text_fills_the_box_that_it_is_measured_at() {
        let mut canvas = Canvas::new(200, 60);
        canvas.text(20.0, 10.0, TextStyle::new(20.0), "Hxg");
        let (left, top, right, bottom) = inked(&canvas).unwrap_or_default();
        let (width, height) = (text_width(20.0, "Hxg"), line_height(20.0));
        assert!((20..=23).contains(&left) && (10..=16).contains(&top), "{left} {top}");
        assert!((right as f32 - (20.0 + width)).abs() < 3.0, "{right} {width}");
        assert!(bottom as f32 <= 10.0 + height && bottom as f32 > 10.0 + 0.75 * height, "{bottom} {height}");
    }

    #[test]
    fn text_upwards_is_the_same_text_turned() {
        let (mut across, mut up) = (Canvas::new(100, 100), Canvas::new(100, 100));
        let style = TextStyle::new(16.0).anchor(0.5, 0.5);
        across.text(50.0, 50.0, style, "abc");
        up.text(50.0, 50.0, style.up(), "abc");
        let (mut shifted, turned) = (Canvas::new(100, 100), image::imageops::rotate270(&across.image));
        // A quarter turn about a pixel's centre, not about the picture's.
        shifted.paste(&turned, 0, 1);
        assert_eq!(up.image, shifted.image);
    }

    #[test]
    fn what_lies_outside_is_cut_off() {
        let mut canvas = Canvas::new(20, 20);
        canvas.text(-30.0, 12.0, TextStyle::new(14.0), "a long text that goes over both sides");
        canvas.line((-50.0, -50.0), (90.0, 90.0), 3.0, BLACK);
        canvas.fill(-5, 15, 100, 100, GREY);
        canvas.frame(-5, -5, 100, 100, GREY);
        assert_eq!(canvas.image.get_pixel(5, 5).0, BLACK);
        assert_eq!(canvas.image.get_pixel(0, 19).0, GREY);
    }

    #[test]
    fn a_long_name_is_shortened_to_its_place() {
        let name = "headband, head covering, hair accessory";
        assert_eq!(shortened(12.0, name, 1000.0), name);
        let cut = shortened(12.0, name, 80.0);
        assert!(cut.starts_with("headband") && cut.ends_with('…') && text_width(12.0, &cut) <= 80.0, "{cut}");
        assert_eq!(shortened(12.0, name, 0.0), "");
    }

    #[test]
    fn letters_of_other_alphabets_are_in_the_font() {
        let ids = FONT.iter().flat_map(|font| "aéłΣЖ…×".chars().map(|letter| font.glyph_id(letter).0));
        assert!(ids.clone().count() == 7 && ids.into_iter().all(|id| id != 0));
    }
}
