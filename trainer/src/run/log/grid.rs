//! Picture grids: photo, truth and the predictions of one or more models beside each other, a photo a row.

use std::path::Path;

use clothseg::{LabelMap, Taxonomy};
use image::imageops::FilterType;
use image::{Rgb, RgbImage};

use super::canvas::{Canvas, Color, GREY, PALE, TextStyle, line_height, mix, shortened, text_width};
use crate::data::label::nearest;
use crate::data::{IGNORE, LabelImage};
use crate::error::{Error, Result};

/// Pixels between cells and round the grid.
const GAP: u32 = 8;
const TEXT_SIZE: f32 = 14.0;
/// Side of a legend's colour sample.
const SAMPLE: u32 = 14;
/// Share of the class colour on a photo, as in clothseg's overlays.
const TINT: f32 = 140.0 / 256.0;
/// Ignored pixels are striped in these.
const STRIPES: [Color; 2] = [[150; 3], [200; 3]];
/// Most pixels of a grid that is drawn (600 MB).
const MAX_PX: u64 = 200_000_000;

/// Class indices, a byte a pixel, row by row from the top.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    width: u32,
    height: u32,
    data: &'a [u8],
}

impl Labels<'_> {
    /// The class at a pixel; [`IGNORE`] where there is none.
    fn at(&self, x: u32, y: u32) -> u8 {
        self.data.get(y as usize * self.width as usize + x as usize).copied().unwrap_or(IGNORE)
    }
}

impl<'a> From<&'a LabelImage> for Labels<'a> {
    fn from(image: &'a LabelImage) -> Self {
        Self { width: image.width, height: image.height, data: &image.data }
    }
}

impl<'a> From<&'a LabelMap> for Labels<'a> {
    fn from(map: &'a LabelMap) -> Self {
        Self { width: map.width(), height: map.height(), data: map.labels() }
    }
}

/// What a cell shows, as large as it fits, aspect ratio kept.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
    /// A photo.
    Photo(&'a RgbImage),
    /// Each pixel in the colour of its class.
    Labels(Labels<'a>),
    /// A photo tinted in the colours of all classes but background. Where the sizes differ, the labels are stretched.
    Tinted(&'a RgbImage, Labels<'a>),
    /// Nothing.
    Empty,
}

impl Cell<'_> {
    fn size(&self) -> Option<(u32, u32)> {
        match self {
            Cell::Photo(photo) | Cell::Tinted(photo, _) => Some(photo.dimensions()),
            Cell::Labels(labels) => Some((labels.width, labels.height)),
            Cell::Empty => None,
        }
        .filter(|(width, height)| *width > 0 && *height > 0)
    }
}

/// A row of cells.
#[derive(Clone, Debug, Default)]
pub struct GridRow<'a> {
    /// What stands above it, such as a photo's name and scores.
    pub caption: Option<String>,
    /// Its cells from the left.
    pub cells: Vec<Cell<'a>>,
}

/// A grid with column captions above and a legend of the classes that occur below.
#[derive(Clone, Debug)]
pub struct Grid<'a> {
    /// Captions: `photo`, `truth`, the models' names.
    pub columns: Vec<String>,
    /// Rows from the top.
    pub rows: Vec<GridRow<'a>>,
    /// Names and colours of the classes.
    pub taxonomy: &'a Taxonomy,
    /// Largest width and height of a cell's picture, in pixels.
    pub cell_px: (u32, u32),
}

impl Grid<'_> {
    /// Draws it into a PNG file.
    pub fn write(&self, path: &Path) -> Result<()> {
        super::write_png(path, &self.draw()?)
    }

    /// Draws it.
    pub fn draw(&self) -> Result<RgbImage> {
        let line = line_height(TEXT_SIZE).ceil() as u32;
        let heights: Vec<u32> = self.rows.iter().map(|row| self.picture_height(row)).collect();
        let width = self.width();
        let legend = self.legend(width);
        let legend_lines = legend.last().map_or(0, |entry| entry.line + 1);
        let captions = self.rows.iter().filter(|row| row.caption.is_some()).count() as u64;
        let height = u64::from(2 * GAP + line)
            + heights.iter().map(|height| u64::from(height + GAP)).sum::<u64>()
            + captions * u64::from(line)
            + u64::from(legend_lines) * u64::from(line + 4);
        let too_large = || Error::picture("the grid", "it would be too large; draw fewer photos");
        if u64::from(width) * height > MAX_PX {
            return Err(too_large());
        }
        let mut canvas = Canvas::new(width, u32::try_from(height).map_err(|_| too_large())?);
        for (column, caption) in self.columns.iter().enumerate() {
            let middle = self.left(column) as f32 + self.cell_px.0 as f32 / 2.0;
            let caption = shortened(TEXT_SIZE, caption, self.cell_px.0 as f32);
            canvas.text(middle, GAP as f32, TextStyle::new(TEXT_SIZE).anchor(0.5, 0.0), &caption);
        }
        let mut top = 2 * GAP + line;
        for (row, height) in self.rows.iter().zip(heights) {
            if let Some(caption) = &row.caption {
                let caption = shortened(TEXT_SIZE, caption, (width - 2 * GAP) as f32);
                canvas.text(GAP as f32, top as f32, TextStyle::new(TEXT_SIZE).color(GREY), &caption);
                top += line;
            }
            for (column, cell) in row.cells.iter().enumerate() {
                self.place(&mut canvas, cell, self.left(column), top, height);
            }
            top += height + GAP;
        }
        for entry in legend {
            entry.draw(&mut canvas, top + entry.line * (line + 4));
        }
        Ok(canvas.image)
    }

    fn columns(&self) -> usize {
        self.rows.iter().map(|row| row.cells.len()).max().unwrap_or(0).max(self.columns.len())
    }

    fn left(&self, column: usize) -> u32 {
        GAP + column as u32 * (self.cell_px.0 + GAP)
    }

    fn width(&self) -> u32 {
        (self.columns().max(1) as u32).saturating_mul(self.cell_px.0.saturating_add(GAP)).saturating_add(GAP)
    }

    /// A row is as high as its highest picture.
    fn picture_height(&self, row: &GridRow) -> u32 {
        row.cells.iter().filter_map(Cell::size).map(|size| fit(size, self.cell_px).1).max().unwrap_or(self.cell_px.1)
    }

    /// Draws a cell into its place, in the middle.
    fn place(&self, canvas: &mut Canvas, cell: &Cell, left: u32, top: u32, height: u32) {
        let Some(size) = cell.size() else {
            canvas.frame(left.into(), top.into(), self.cell_px.0, height, PALE);
            return;
        };
        let size = fit(size, self.cell_px);
        let picture = match cell {
            Cell::Photo(photo) => image::imageops::resize(*photo, size.0, size.1, FilterType::Triangle),
            Cell::Labels(labels) => self.tinted(RgbImage::new(size.0, size.1), labels, 1.0),
            Cell::Tinted(photo, labels) => {
                self.tinted(image::imageops::resize(*photo, size.0, size.1, FilterType::Triangle), labels, TINT)
            }
            Cell::Empty => return,
        };
        let inset = (i64::from(self.cell_px.0 - size.0) / 2, i64::from(height.saturating_sub(size.1)) / 2);
        canvas.paste(&picture, i64::from(left) + inset.0, i64::from(top) + inset.1);
    }

    /// A picture with class colours laid over it; below a share of 1 background stays as it is.
    fn tinted(&self, mut picture: RgbImage, labels: &Labels, share: f32) -> RgbImage {
        let (width, height) = picture.dimensions();
        for (x, y, Rgb(pixel)) in picture.enumerate_pixels_mut() {
            let label = labels.at(nearest(x, width, labels.width), nearest(y, height, labels.height));
            match self.taxonomy.classes.get(usize::from(label)) {
                Some(_) if label == 0 && share < 1.0 => {}
                Some(class) => *pixel = mix(*pixel, class.color, share),
                None => *pixel = mix(*pixel, stripe(x, y), share),
            }
        }
        picture
    }

    /// The classes that occur, in index order, and what is ignored; laid out in lines of `width` pixels.
    fn legend(&self, width: u32) -> Vec<LegendEntry> {
        let mut occurs = [false; 256];
        for cell in self.rows.iter().flat_map(|row| &row.cells) {
            if let Cell::Labels(labels) | Cell::Tinted(_, labels) = cell {
                labels.data.iter().for_each(|label| occurs[usize::from(*label)] = true);
            }
        }
        let known = self.taxonomy.classes.iter().zip(&occurs).filter(|(_, occurs)| **occurs);
        let mut names: Vec<(String, Option<Color>)> =
            known.map(|(class, _)| (class.name.clone(), Some(class.color))).collect();
        if occurs.iter().skip(self.taxonomy.len()).any(|occurs| *occurs) {
            names.push(("ignored".to_owned(), None));
        }
        let (mut left, mut line) = (GAP, 0);
        let mut entries = Vec::new();
        for (name, color) in names {
            let room = width.saturating_sub(2 * GAP + SAMPLE + 5);
            let name = shortened(TEXT_SIZE, &name, room as f32).into_owned();
            let taken = SAMPLE + 5 + text_width(TEXT_SIZE, &name).ceil() as u32;
            if left > GAP && left + taken + GAP > width {
                (left, line) = (GAP, line + 1);
            }
            entries.push(LegendEntry { name, color, left, line });
            left += taken + 2 * GAP;
        }
        entries
    }
}

/// A class in the legend; without a colour, what is ignored.
struct LegendEntry {
    name: String,
    color: Option<Color>,
    left: u32,
    line: u32,
}

impl LegendEntry {
    fn draw(&self, canvas: &mut Canvas, top: u32) {
        let middle = top as f32 + line_height(TEXT_SIZE) / 2.0;
        let sample_top = middle as u32 - SAMPLE / 2;
        for y in sample_top..sample_top + SAMPLE {
            for x in self.left..self.left + SAMPLE {
                canvas.blend(x.into(), y.into(), self.color.unwrap_or(stripe(x, y)), 1.0);
            }
        }
        canvas.frame(self.left.into(), sample_top.into(), SAMPLE, SAMPLE, GREY);
        let left = (self.left + SAMPLE + 5) as f32;
        canvas.text(left, middle, TextStyle::new(TEXT_SIZE).anchor(0.0, 0.5), &self.name);
    }
}

/// The colour of an ignored pixel: slanting stripes.
fn stripe(x: u32, y: u32) -> Color {
    STRIPES[((x + y) / 4 % 2) as usize]
}

/// The largest size within `cell` that has the aspect ratio of `size`, at least 1 x 1.
fn fit(size: (u32, u32), cell: (u32, u32)) -> (u32, u32) {
    let factor = (f64::from(cell.0) / f64::from(size.0)).min(f64::from(cell.1) / f64::from(size.1));
    let side = |side: u32, most: u32| ((f64::from(side) * factor).round() as u32).clamp(1, most.max(1));
    (side(size.0, cell.0), side(size.1, cell.1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_have_their_colours_at_their_places() {
        let taxonomy = Taxonomy::builtin("garments").unwrap();
        // Left half class 3, right half ignored; a photo of one colour.
        let labels = LabelImage { width: 4, height: 2, data: vec![3, 3, 255, 255, 3, 3, 255, 255] };
        let plain = LabelImage { width: 1, height: 1, data: vec![0] };
        let photo = RgbImage::from_pixel(4, 2, Rgb([10, 200, 90]));
        let rows = vec![GridRow {
            caption: Some("one".into()),
            cells: vec![
                Cell::Photo(&photo),
                Cell::Labels((&labels).into()),
                Cell::Tinted(&photo, (&labels).into()),
                Cell::Tinted(&photo, (&plain).into()),
                Cell::Empty,
            ],
        }];
        let grid = Grid { columns: vec!["photo".into()], rows, taxonomy: &taxonomy, cell_px: (80, 60) };
        let picture = grid.draw().unwrap();
        assert_eq!(picture.width(), 5 * 88 + 8);
        let line = line_height(TEXT_SIZE).ceil() as u32;
        let at = |column: u32, x: u32, y: u32| picture.get_pixel(8 + column * 88 + x, 2 * GAP + 2 * line + y).0;
        let color = taxonomy.classes[3].color;
        assert_eq!(at(0, 40, 20), [10, 200, 90]);
        assert_eq!(at(1, 39, 39), color);
        assert!(STRIPES.contains(&at(1, 40, 0)));
        assert_eq!(at(2, 20, 20), mix([10, 200, 90], color, TINT));
        assert_eq!(at(3, 40, 20), [10, 200, 90]);
        assert_eq!(at(4, 40, 20), [255; 3]);
        // Captions are written, and the legend has background, class 3 and the ignored.
        let dark = |top: u32, bottom: u32| (top..bottom).any(|y| (0..300).any(|x| picture.get_pixel(x, y).0 == [0; 3]));
        assert!(dark(GAP, GAP + line));
        assert_eq!(grid.legend(picture.width()).len(), 3);
    }

    #[test]
    fn a_grid_without_rows_is_its_captions_and_a_huge_one_is_refused() {
        let taxonomy = Taxonomy::builtin("garments").unwrap();
        let mut grid = Grid {
            columns: vec!["photo".into(), "truth".into()],
            rows: vec![],
            taxonomy: &taxonomy,
            cell_px: (50, 50),
        };
        assert_eq!(grid.draw().unwrap().width(), 2 * 58 + 8);
        grid.cell_px = (100_000, 100_000);
        grid.rows = vec![GridRow { caption: None, cells: vec![Cell::Empty] }];
        assert!(grid.draw().unwrap_err().to_string().contains("too large"));
    }

    #[test]
    fn labels_with_too_few_pixels_count_as_ignored() {
        let taxonomy = Taxonomy::builtin("garments").unwrap();
        let broken = LabelImage { width: 4, height: 4, data: vec![1; 3] };
        let rows = vec![GridRow { caption: None, cells: vec![Cell::Labels((&broken).into())] }];
        let grid = Grid { columns: vec![], rows, taxonomy: &taxonomy, cell_px: (40, 40) };
        assert!(grid.draw().is_ok());
    }

    proptest! {
        #[test]
        fn pictures_fit_their_cells_and_keep_their_shape(
            width in 1..5000_u32, height in 1..5000_u32, cell in (16..400_u32, 16..400_u32)
        ) {
            let (w, h) = fit((width, height), cell);
            prop_assert!(w >= 1 && h >= 1 && w <= cell.0 && h <= cell.1);
            prop_assert!(w == cell.0 || h == cell.1);
            let ideal = f64::from(height) * f64::from(w) / f64::from(width);
            let other = f64::from(width) * f64::from(h) / f64::from(height);
            prop_assert!((ideal - f64::from(h)).abs() <= 1.0 || (other - f64::from(w)).abs() <= 1.0);
        }
    }
}
