//! Line charts as pictures. Axes, ticks and grid are plotters'; lines and text are drawn by the canvas, which brings its
//! own font and smooth strokes.

mod backend;

use std::ops::Range;
use std::path::Path;

use image::RgbImage;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use self::backend::Backend;
use super::canvas::{Canvas, Color, GREY, TextStyle, line_height, shortened, text_width};
use crate::error::{Error, Result};

/// The chart is drawn at this factor and then reduced, for lines that lie between pixels.
const FINER: u32 = 2;
const WIDTH: u32 = 1200;
const HEIGHT: u32 = 640;
const TITLE_SIZE: f32 = 20.0;
const TEXT_SIZE: f32 = 14.0;
/// Up to this many points are also marked with a dot each.
const MARKED_POINTS: usize = 40;
/// Values beyond this are none that a training has.
const LARGEST: f64 = 1e100;

/// Colours that people with any kind of colour vision can tell apart on white (Okabe and Ito 2008, without yellow).
const PALETTE: [Color; 7] =
    [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0], [86, 180, 233], [0, 0, 0]];
/// Lengths of stroke and gap in pixels; after each round through the colours the next one.
const DASHES: [(f32, f32); 3] = [(1.0, 0.0), (9.0, 4.0), (2.0, 4.0)];

/// A line of a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Points (x, y). The line is broken where one is no number.
    pub points: Vec<(f64, f64)>,
}

/// How values are laid along the y axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences are equally long.
    #[default]
    Linear,
    /// Equal ratios are equally long; values of 0 and below are left out.
    Logarithmic,
}

impl Scale {
    /// Logarithmic where the largest value is more than 30 times the smallest, and all are above 0.
    pub fn fitting(series: &[Series]) -> Self {
        let values = || series.iter().flat_map(|series| &series.points).map(|(_, y)| *y).filter(|y| y.is_finite());
        let smallest = values().fold(f64::INFINITY, f64::min);
        let wide = smallest > 0.0 && values().any(|y| y > 30.0 * smallest);
        if wide { Scale::Logarithmic } else { Scale::Linear }
    }
}

/// A line chart of 1200 x 640 pixels with a legend on its right.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// The line above it.
    pub title: String,
    /// What the x axis counts.
    pub x_label: String,
    /// What the y axis measures.
    pub y_label: String,
    /// How the y axis runs.
    pub y_scale: Scale,
    /// The ends of the y axis; without them, those of the values.
    pub y_range: Option<(f64, f64)>,
    /// The lines, in the order of the legend.
    pub series: Vec<Series>,
}

type Point = (f32, f32);

impl Chart {
    /// Draws it.
    pub fn draw(&self) -> Result<RgbImage> {
        let mut canvas = Canvas::new(WIDTH * FINER, HEIGHT * FINER);
        let finer = FINER as f32;
        let title = TextStyle::new(TITLE_SIZE * finer);
        canvas.text(20.0 * finer, 12.0 * finer, title, &self.title);
        let legend = self.legend_width();
        let drawn = match (self.x_range(), self.y_range()) {
            (Some(x), Some(y)) if self.y_scale == Scale::Logarithmic => {
                self.axes(&mut canvas, legend, x, y.log_scale())
            }
            (Some(x), Some(y)) => self.axes(&mut canvas, legend, x, y),
            _ => {
                let (x, y) = ((WIDTH * FINER / 2) as f32, (HEIGHT * FINER / 2) as f32);
                canvas.text(x, y, title.color(GREY).anchor(0.5, 0.5), "no values yet");
                Ok(Vec::new())
            }
        };
        let lines = drawn.map_err(|error| Error::picture(&self.title, error.to_string()))?;
        for (index, runs) in lines.iter().enumerate().rev() {
            let marked = runs.iter().map(Vec::len).sum::<usize>() <= MARKED_POINTS;
            for run in runs {
                stroke(&mut canvas, run, index, marked || run.len() == 1);
            }
        }
        self.legend(&mut canvas, legend);
        Ok(image::imageops::thumbnail(&canvas.image, WIDTH, HEIGHT))
    }

    /// Draws it into a PNG file.
    pub fn write(&self, path: &Path) -> Result<()> {
        super::write_png(path, &self.draw()?)
    }

    /// Whether a point can be shown: numbers, and such that differences and ratios of any two are numbers too.
    fn shows(&self, (x, y): (f64, f64)) -> bool {
        x.abs() < LARGEST && y.abs() < LARGEST && (self.y_scale == Scale::Linear || y > 1.0 / LARGEST)
    }

    fn shown(&self) -> impl Iterator<Item = (f64, f64)> {
        self.series.iter().flat_map(|series| &series.points).copied().filter(|point| self.shows(*point))
    }

    fn x_range(&self) -> Option<Range<f64>> {
        let (low, high) = ends(self.shown().map(|(x, _)| x))?;
        // One point stands in the middle.
        Some(if low < high { low..high } else { low - 1.0..high + 1.0 })
    }

    fn y_range(&self) -> Option<Range<f64>> {
        let (low, high) = ends(self.shown().map(|(_, y)| y))?;
        if let Some((low, high)) = self.y_range.filter(|(low, high)| low < high && self.shows((*high, *low))) {
            return Some(low..high);
        }
        if self.y_scale == Scale::Logarithmic {
            return Some(low / 1.15..high * 1.15);
        }
        let margin = if low < high { 0.05 * (high - low) } else { high.abs().max(1.0) / 2.0 };
        // From zero, unless that would squeeze the lines.
        let low = if low >= 0.0 && low < 0.5 * high { 0.0 } else { low - margin };
        Some(low..high + margin)
    }

    /// Draws axes and grid; returns each line's unbroken runs in pixels.
    fn axes<Y>(
        &self,
        canvas: &mut Canvas,
        legend: f32,
        x: Range<f64>,
        y: Y,
    ) -> Result<Vec<Vec<Vec<Point>>>, DrawingAreaErrorKind<std::convert::Infallible>>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let pixels = |length: f32| (length * FINER as f32) as u32;
        let area = Backend(canvas).into_drawing_area().margin(pixels(48.0), pixels(12.0), pixels(12.0), pixels(legend));
        let mut chart = ChartBuilder::on(&area)
            .x_label_area_size(pixels(52.0))
            .y_label_area_size(pixels(80.0))
            .build_cartesian_2d(x, y)?;
        let size = pixels(TEXT_SIZE);
        chart
            .configure_mesh()
            .max_light_lines(0)
            .bold_line_style(ShapeStyle::from(&RGBColor(225, 225, 225)).stroke_width(FINER))
            .axis_style(ShapeStyle::from(&RGBColor(110, 110, 110)).stroke_width(FINER))
            .label_style(("sans-serif", size))
            .axis_desc_style(("sans-serif", size))
            .x_label_formatter(&|value| tick(*value))
            .y_label_formatter(&|value| tick(*value))
            .x_desc(&self.x_label)
            .y_desc(&self.y_label)
            .draw()?;
        let pixel = |point: &(f64, f64)| {
            let (x, y) = chart.backend_coord(point);
            (x as f32, y as f32)
        };
        let runs = |series: &Series| {
            let parts = series.points.split(|point| !self.shows(*point)).filter(|part| !part.is_empty());
            parts.map(|part| part.iter().map(pixel).collect()).collect()
        };
        Ok(self.series.iter().map(runs).collect())
    }

    /// Width that the legend takes, with its margins.
    fn legend_width(&self) -> f32 {
        let widest = self.series.iter().map(|series| text_width(self.legend_size(), &series.name)).fold(0.0, f32::max);
        (widest + 70.0).min(0.4 * WIDTH as f32)
    }

    /// Size of the legend's letters: smaller where there are many lines.
    fn legend_size(&self) -> f32 {
        let room = (HEIGHT as f32 - 70.0) / self.series.len().max(1) as f32;
        TEXT_SIZE.min(room / 1.3)
    }

    fn legend(&self, canvas: &mut Canvas, width: f32) {
        let finer = FINER as f32;
        let size = self.legend_size();
        let left = WIDTH as f32 - width + 14.0;
        let step = (line_height(size) + 6.0).min((HEIGHT as f32 - 70.0) / self.series.len().max(1) as f32);
        for (index, series) in self.series.iter().enumerate() {
            let y = (54.0 + step * (index as f32 + 0.5)) * finer;
            stroke(canvas, &[(left * finer, y), ((left + 30.0) * finer, y)], index, false);
            let name = shortened(size, &series.name, width - 56.0);
            let style = TextStyle::new(size * finer).anchor(0.0, 0.5);
            canvas.text((left + 38.0) * finer, y, style, &name);
        }
    }
}

/// Draws the line of the series `index` through points, in its colour and dashes.
fn stroke(canvas: &mut Canvas, points: &[Point], index: usize, marked: bool) {
    let finer = FINER as f32;
    let color = PALETTE[index % PALETTE.len()];
    let (dash, gap) = DASHES[index / PALETTE.len() % DASHES.len()];
    let (dash, gap) = (dash * finer, gap * finer);
    let width = 1.8 * finer;
    // How far the line has come since the last dash began.
    let mut walked = 0.0;
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let length = (x1 - x0).hypot(y1 - y0);
        let at = |along: f32| (x0 + (x1 - x0) * along / length, y0 + (y1 - y0) * along / length);
        if gap == 0.0 {
            canvas.line(pair[0], pair[1], width, color);
            continue;
        }
        let mut along = -walked;
        while along < length {
            if along + dash > 0.0 {
                canvas.line(at(along.max(0.0)), at((along + dash).min(length)), width, color);
            }
            along += dash + gap;
        }
        walked = length - (along - dash - gap);
    }
    if marked {
        points.iter().for_each(|point| canvas.line(*point, *point, 7.0 * finer, color));
    }
}

/// Smallest and largest value.
fn ends(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |ends, value| {
        let (low, high) = ends.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

/// A number at an axis: `12 000`, `0.25`, `3e-5`.
fn tick(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 {
        return format!("{value:.0e}");
    }
    if value.abs() < 1e4 {
        let text = format!("{value:.4}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = format!("{:.0}", value.abs());
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    format!("{}{}", if value < 0.0 { "-" } else { "" }, groups.join(" "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
