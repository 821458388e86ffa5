//! A confusion matrix as a picture: a row a true class, a column a predicted one, and the share of the row's pixels.

use std::path::Path;

use image::RgbImage;

use super::canvas::{BLACK, Canvas, Color, GREY, PALE, TextStyle, WHITE, mix, readable_on, shortened, text_width};
use crate::error::Result;
use crate::metrics::Confusion;

/// Sides of cells, the largest that keep the matrix within [`MATRIX_PX`].
const CELL_PX: std::ops::RangeInclusive<u32> = 18..=64;
const MATRIX_PX: u32 = 900;
/// Cells of at least this side carry their share in per cent.
const NUMBERED_CELL_PX: u32 = 30;
/// Longest name, in pixels.
const NAME_PX: f32 = 190.0;
const MARGIN: u32 = 16;
const TITLE_SIZE: f32 = 18.0;
const BAR_PX: u32 = 16;

/// Shares of 0 to 1 in the colours of matplotlib's `Blues` (ColorBrewer), light to dark at equal steps.
const BLUES: [Color; 5] = [WHITE, [198, 219, 239], [107, 174, 214], [33, 113, 181], [8, 48, 107]];

/// Draws a matrix. Classes that the truth does not have and that were never predicted are left out; the row of a
/// class that was only predicted is grey. `classes` names the classes, 0 = background.
pub fn draw(title: &str, classes: &[String], confusion: &Confusion) -> RgbImage {
    let shown: Vec<usize> = (0..confusion.classes())
        .filter(|class| confusion.truth(*class) > 0 || confusion.predicted(*class) > 0)
        .collect();
    Layout::new(classes, &shown).draw(title, confusion)
}

/// Draws a matrix into a PNG file.
pub fn write(path: &Path, title: &str, classes: &[String], confusion: &Confusion) -> Result<()> {
    super::write_png(path, &draw(title, classes, confusion))
}

struct Layout<'a> {
    shown: &'a [usize],
    /// Names, shortened.
    names: Vec<String>,
    cell: u32,
    text_size: f32,
    /// Corner of the matrix.
    left: u32,
    top: u32,
}

impl<'a> Layout<'a> {
    fn new(classes: &[String], shown: &'a [usize]) -> Self {
        let count = shown.len().max(1) as u32;
        let cell = (MATRIX_PX / count).clamp(*CELL_PX.start(), *CELL_PX.end());
        let text_size = (cell as f32 * 0.7).min(14.0);
        let name = |class: &usize| {
            let name = classes.get(*class).cloned().unwrap_or_else(|| class.to_string());
            shortened(text_size, &name, NAME_PX).into_owned()
        };
        let names: Vec<String> = shown.iter().map(name).collect();
        let widest = names.iter().map(|name| text_width(text_size, name)).fold(0.0, f32::max).ceil() as u32;
        let left = MARGIN + 24 + widest + 6;
        Self { shown, names, cell, text_size, left, top: MARGIN + 36 }
    }

    fn side(&self) -> u32 {
        self.cell * self.shown.len() as u32
    }

    fn draw(&self, title: &str, confusion: &Confusion) -> RgbImage {
        let right = self.left + self.side();
        // Below the matrix stand the names of the columns, which are as long as those of the rows.
        let below = self.left - MARGIN;
        let least = text_width(TITLE_SIZE, title).ceil() as u32 + 2 * MARGIN;
        let width = (right + 3 * MARGIN + BAR_PX + 40).max(least);
        let mut canvas = Canvas::new(width, (self.top + self.side().max(120) + below + MARGIN).max(200));
        canvas.text(MARGIN as f32, MARGIN as f32, TextStyle::new(TITLE_SIZE), title);
        for (row, truth) in self.shown.iter().enumerate() {
            let total = confusion.truth(*truth);
            for (column, prediction) in self.shown.iter().enumerate() {
                let share = (total > 0).then(|| confusion.count(*truth, *prediction) as f64 / total as f64);
                self.cell(&mut canvas, row, column, share);
            }
        }
        canvas.frame(i64::from(self.left) - 1, i64::from(self.top) - 1, self.side() + 2, self.side() + 2, GREY);
        self.names(&mut canvas, confusion);
        self.color_bar(&mut canvas, right + 2 * MARGIN);
        canvas.image
    }

    fn cell(&self, canvas: &mut Canvas, row: usize, column: usize, share: Option<f64>) {
        let (x, y) = (self.left + column as u32 * self.cell, self.top + row as u32 * self.cell);
        let color = share.map_or(PALE, share_color);
        canvas.fill(x.into(), y.into(), self.cell, self.cell, color);
        if row == column {
            canvas.frame(x.into(), y.into(), self.cell, self.cell, GREY);
        }
        let per_cent = share.map(|share| 100.0 * share).filter(|per_cent| *per_cent >= 0.5);
        if let Some(per_cent) = per_cent.filter(|_| self.cell >= NUMBERED_CELL_PX) {
            let middle = self.cell as f32 / 2.0;
            let size = (self.cell as f32 * 0.34).min(15.0);
            let style = TextStyle::new(size).color(readable_on(color)).anchor(0.5, 0.5);
            canvas.text(x as f32 + middle, y as f32 + middle, style, &format!("{per_cent:.0}"));
        }
    }

    fn names(&self, canvas: &mut Canvas, confusion: &Confusion) {
        let (left, bottom) = (self.left as f32, (self.top + self.side()) as f32);
        for (place, (name, class)) in self.names.iter().zip(self.shown).enumerate() {
            let middle = (place as f32 + 0.5) * self.cell as f32;
            let color = if confusion.truth(*class) > 0 { BLACK } else { GREY };
            let style = TextStyle::new(self.text_size).color(color).anchor(1.0, 0.5);
            canvas.text(left - 6.0, self.top as f32 + middle, style, name);
            canvas.text(left + middle, bottom + 6.0, style.up(), name);
        }
        let middle = self.side() as f32 / 2.0;
        let style = TextStyle::new(14.0).color(GREY);
        let outside = (self.left - MARGIN - 12) as f32;
        canvas.text(left - outside, self.top as f32 + middle, style.anchor(0.5, 0.5).up(), "truth");
        canvas.text(left + middle, bottom + outside, style.anchor(0.5, 0.5), "prediction");
    }

    /// What the colours mean.
    fn color_bar(&self, canvas: &mut Canvas, left: u32) {
        let height = self.side().clamp(100, 300);
        for y in 0..height {
            let share = 1.0 - (f64::from(y) + 0.5) / f64::from(height);
            canvas.fill(left.into(), (self.top + y).into(), BAR_PX, 1, share_color(share));
        }
        canvas.frame(left.into(), self.top.into(), BAR_PX, height, GREY);
        for (text, along) in [("100 %", 0.0), ("50", 0.5), ("0", 1.0)] {
            let y = self.top as f32 + along * height as f32;
            canvas.text((left + BAR_PX + 4) as f32, y, TextStyle::new(12.0).anchor(0.0, along), text);
        }
    }
}

/// The colour of a share of 0 to 1.
fn share_color(share: f64) -> Color {
    let steps = BLUES.len() - 1;
    let along = share.clamp(0.0, 1.0) as f32 * steps as f32;
    let step = (along as usize).min(steps - 1);
    mix(BLUES[step], BLUES[step + 1], along - step as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|class| format!("class {class}")).collect()
    }

    /// Truth 0: 3 right, 1 as class 2, which has no truth; class 1 does not occur.
    fn small() -> Confusion {
        let mut confusion = Confusion::new(3);
        confusion.add(&[0, 0, 0, 0], &[0, 0, 0, 2]);
        confusion
    }

    #[test]
    fn cells_have_the_colour_of_their_share_of_the_row() {
        let classes = names(3);
        let layout = Layout::new(&classes, &[0, 2]);
        let picture = draw("small", &classes, &small());
        // Beside the numbers in the middle of the cells, inside the diagonal's frame.
        let at = |row: u32, column: u32| {
            picture.get_pixel(layout.left + column * layout.cell + 4, layout.top + row * layout.cell + 4).0
        };
        assert_eq!(layout.cell, 64);
        assert_eq!(at(0, 0), share_color(0.75));
        assert_eq!(at(0, 1), share_color(0.25));
        assert_eq!((at(1, 0), at(1, 1)), (PALE, PALE));
        // Right of the second column the matrix ends.
        assert_eq!(at(0, 2), WHITE);
    }

    #[test]
    fn shares_run_from_white_to_dark() {
        assert_eq!(share_color(0.0), WHITE);
        assert_eq!(share_color(0.25), BLUES[1]);
        assert_eq!(share_color(1.0), BLUES[4]);
        assert_eq!(share_color(7.0), BLUES[4]);
    }

    #[test]
    fn any_number_of_classes_fits_the_picture() {
        for count in [1, 2, 17, 47, 255] {
            let mut confusion = Confusion::new(count);
            let all: Vec<u8> = (0..count).map(|class| class as u8).collect();
            confusion.add(&all, &all);
            let picture = draw("many", &names(count), &confusion);
            let side = picture.width().max(picture.height());
            assert!((200..5200).contains(&side), "{count}: {side}");
        }
        // Nothing counted, and fewer names than classes.
        assert!(draw("empty", &[], &Confusion::new(4)).width() > 0);
        assert!(draw("no names", &[], &small()).width() > 0);
    }
}
